"""The builder that builds nothing."""

import json

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.config import AgentConfig
from hyperhive.deploy.interfaces import Built, EvalError, IBuilder
from hyperhive.deploy.toml_build import TomlBuilder
from hyperhive.deploy.trees import SourceTree


class TomlBuilderTests(SynchronousTestCase):
    """What becomes of ``agent.toml``."""

    def setUp(self) -> None:
        self.builder = TomlBuilder()
        self.said: list[str] = []

    def build(self, files: dict[str, bytes]) -> Built:
        return self.successResultOf(
            self.builder.build("bob", "agent", SourceTree(files), self.said.append)
        )

    def refused(self, files: dict[str, bytes]) -> EvalError:
        failure = self.failureResultOf(
            self.builder.build("bob", "agent", SourceTree(files), self.said.append),
            EvalError,
        )
        error = failure.value
        assert isinstance(error, EvalError)
        return error

    def test_template(self) -> None:
        """What a repo begins with is the default configuration."""
        self.assertTrue(IBuilder.providedBy(self.builder))
        files = dict(self.builder.template("bob"))
        self.assertEqual(list(files), [self.builder.entry])
        built = self.build(files)
        self.assertIsNone(built.system)
        self.assertEqual(AgentConfig.from_json(built.config), AgentConfig())

    def test_values(self) -> None:
        """What the file sets is in the configuration; other files mean nothing."""
        built = self.build(
            {"agent.toml": b'model = "opus"\n[limits]\ncpu = 1.5\n', "x": b"\xff"}
        )
        config = json.loads(built.config)
        self.assertEqual((config["model"], config["limits"]["cpu"]), ("opus", 1.5))

    def test_limits(self) -> None:
        """The log says which limits are only on paper here, and is silent of others."""
        self.build({"agent.toml": b"[limits]\nturn_timeout = 60\n"})
        self.assertEqual(self.said, [])
        self.build({"agent.toml": b'[limits]\nmemory = "2G"\ntasks = 9\n'})
        [line] = self.said
        self.assertTrue(line.startswith("memory, tasks: not enforced"), line)

    def test_limits_are_kept(self) -> None:
        """Nothing is said where they hold."""
        self.builder = TomlBuilder(limits=True)
        self.build({"agent.toml": b'[limits]\nmemory = "2G"\ntasks = 9\n'})
        self.assertEqual(self.said, [])

    def test_wrong(self) -> None:
        """A wrong file fails with its name and the line."""
        error = self.refused({"agent.toml": b'model = "opus"\n\nmodle = 1\n'})
        self.assertEqual((error.file, error.line), ("agent.toml", 3))
        self.assertIn("modle", str(error))

    def test_not_toml(self) -> None:
        """So does one that is not TOML, or not even text."""
        error = self.refused({"agent.toml": b'model = "opus"\nx = = 1\n'})
        self.assertEqual((error.file, error.line), ("agent.toml", 2))
        self.assertEqual(self.refused({"agent.toml": b"\xff"}).file, "agent.toml")

    def test_missing(self) -> None:
        """Without the file there is nothing to build."""
        error = self.refused({"agent.nix": b"{ }"})
        self.assertEqual(str(error), "There is no file agent.toml.")

    def test_release(self) -> None:
        """There is nothing to hold, so that nothing has to be released."""
        self.assertIsNone(self.successResultOf(self.builder.release("bob")))
