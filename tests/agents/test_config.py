"""What an agent's configuration may say, and how a wrong one is told."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.config import (
    MAX_PROBLEMS,
    AgentConfig,
    AgentLimits,
    ConfigError,
    McpServer,
    Tools,
    configuration,
    default_toml,
)
from hyperhive.containers.interfaces import Limits
from hyperhive.store.agents import AgentRow

WHOLE = """
model = "sonnet"
recipients = ["manager", "operator", "alice"]

[tools]
built_in = ["Bash", "Read"]
bash = ["git *", "ls"]

[mcp_servers.issues]
command = "issue-server"
args = ["--stdio"]
env = { EDITOR = "true" }

[environment]
EDITOR = "true"

[limits]
memory = "2G"
cpu = 1.5
tasks = 200
turn_timeout = 3600
silence_timeout = 60.5
"""
CONFIG = AgentConfig(
    "sonnet",
    ("manager", "operator", "alice"),
    Tools(("Bash", "Read"), ("git *", "ls")),
    {"issues": McpServer("issue-server", ("--stdio",), {"EDITOR": "true"})},
    {"EDITOR": "true"},
    AgentLimits("2G", 1.5, 200, 3600, 60.5),
)


class ReadingTests(SynchronousTestCase):
    """What is right."""

    def test_everything(self) -> None:
        """Every key is read."""
        config = AgentConfig.from_toml(WHOLE)
        self.assertEqual(config, CONFIG)
        self.assertEqual(config.limits.container, Limits(2 * 1024**3, 1.5, 200))

    def test_nothing(self) -> None:
        """Nothing set is the defaults; so is what a new agent begins with."""
        self.assertEqual(AgentConfig.from_toml(""), AgentConfig())
        self.assertEqual(AgentConfig.from_toml(default_toml("bob")), AgentConfig())
        self.assertEqual(AgentConfig().limits.container, Limits())

    def test_the_template_is_right(self) -> None:
        """What it shows as comments could be set as it stands."""
        lines = default_toml("bob").splitlines()
        shown = [
            line.removeprefix("# ")
            for line in lines
            if "=" in line or line.removeprefix("# ").startswith("[")
        ]
        config = AgentConfig.from_toml("\n".join(shown))
        self.assertEqual((config.model, config.limits.memory), ("haiku", "2G"))

    def test_json(self) -> None:
        """What is stored is read back, and what is not set is not stored."""
        self.assertEqual(AgentConfig.from_json(CONFIG.to_json()), CONFIG)
        self.assertNotIn("null", AgentConfig().to_json())
        self.assertEqual(AgentConfig.from_json(AgentConfig().to_json()), AgentConfig())

    def test_row(self) -> None:
        """Without a deployment the defaults hold; what can't be read is never them."""
        row = AgentRow("bob", "agent", 0.0)
        self.assertEqual(configuration(row), AgentConfig())
        stored = AgentRow("bob", "agent", 0.0, config=CONFIG.to_json())
        self.assertEqual(configuration(stored), CONFIG)
        newer = AgentRow("bob", "agent", 0.0, config='{"sandbox": "strict"}')
        with self.assertRaises(ConfigError) as raised:
            configuration(newer)
        self.assertIn("bob", str(raised.exception))


class WrongTests(SynchronousTestCase):
    """What is refused, with the line."""

    def refused(self, text: str, *words: str, line: int | None = None) -> str:
        """The error of a file, which names its line and has these words."""
        error = self.assertRaises(ConfigError, AgentConfig.from_toml, text)
        for word in words:
            self.assertIn(word, str(error))
        if line is not None:
            self.assertEqual(error.line, line, str(error))
            self.assertIn(f"agent.toml, line {line}: ", str(error))
        return str(error)

    def test_lines(self) -> None:
        """The line is that of the key, however it is spelled."""
        for text, line in (
            ('\nmodle = "x"', 2),
            ("model = 3", 1),
            ("[tools]\n\nbuilt_in = 3", 3),
            ("tools.built_in = 3", 1),
            ("[limits]\n# cpu\n'cpu' = -1", 3),
            ('limits = { cpu = 1, memory = "lots" }', 1),
            ('[mcp_servers."x"]\nargs = []', 1),
            ('model = "haiku"\nrecipients = [\n  "bob",\n  "NOBODY",\n]', 2),
            ("x = = 1", 1),
            ("[tools]\n[tools]\n", 2),
        ):
            self.refused(text, line=line)

    def test_values(self) -> None:
        """Each says what was found and what is allowed."""
        for text, words in (
            ('model = "--help"', ("model", "--help", "alias")),
            ('recipients = ["*"]', ("recipients", "'manager'")),
            ('recipients = "bob"', ("list",)),
            ('[tools]\nbuilt_in = ["WebSearch"]', ("WebSearch", "Bash, Read")),
            ('[tools]\nbash = ["git *) Write"]', ("parentheses",)),
            ('[tools]\nbash = ["a,Write"]', ("commas",)),
            ('[tools]\nbash = [" ls"]', ("outer spaces",)),
            ('[tools]\nbash = [""]', ("pattern",)),
            ('[limits]\nmemory = "2 GB"', ("512M",)),
            ("[limits]\ncpu = true", ("processors",)),
            ("[limits]\ntasks = 1.5", ("whole number",)),
            ("[limits]\nturn_timeout = 0", ("seconds",)),
            ("[limits]\ncpu = nan", ("processors",)),
            ("[mcp_servers.hyperhive]\ncommand = 'x'", ("not called hyperhive",)),
            ("[mcp_servers.x]\nargs = []", ("mcp_servers.x.command",)),
            ("mcp_servers = 3", ("table",)),
            ("[environment]\n'a b' = 'x'", ("letters",)),
            ("[environment]\nA = 3", ("text",)),
            ('environment.A = "x\\u0000"', ("text",)),
        ):
            self.refused(text, *words)

    def test_what_the_hive_sets(self) -> None:
        """Nothing changes which program runs, what it loads, or whose login it has."""
        for name in (
            *("HOME", "PATH", "LD_PRELOAD", "BASH_ENV", "NODE_OPTIONS", "https_proxy"),
            *("CLAUDE_CONFIG_DIR", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        ):
            self.refused(f"[environment]\n{name} = 'x'", name, "hive", line=2)
            self.refused(
                f"[mcp_servers.x]\ncommand = 'x'\nenv = {{ {name} = 'x' }}", name
            )

    def test_all_at_once(self) -> None:
        """All problems of a file are told, up to a number."""
        text = self.refused("a = 1\nb = 2\nmodel = 3\n")
        self.assertEqual(len(text.splitlines()), 3)
        many = "\n".join(f"key{number} = 1" for number in range(50))
        lines = self.refused(many).splitlines()
        self.assertEqual(len(lines), MAX_PROBLEMS + 1)
        self.assertIn("40 more", lines[-1])

    def test_bounds(self) -> None:
        """Neither a file nor a list is longer than it may be."""
        self.refused("#" * 300_000, "262144")
        self.refused(f"recipients = {['bob'] * 101}".replace("'", '"'), "100")
        self.refused(f"model = {'[' * 5000}", "agent.toml")

    def test_not_json(self) -> None:
        """What is stored can be broken, too."""
        for text in ("", "{", "[]", "3", "[" * 100_000):
            self.assertRaises(ConfigError, AgentConfig.from_json, text)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["model", "tools", "bash", "limits", "cpu", "env", "x"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=10,
        )
    )
    def test_anything(self, value: object) -> None:
        """Any JSON is read or refused in words."""
        text = json.dumps(value)
        try:
            config = AgentConfig.from_json(text)
        except ConfigError as error:
            self.assertTrue(str(error))
        else:
            self.assertEqual(AgentConfig.from_json(config.to_json()), config)
