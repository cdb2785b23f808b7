"""What an agent's container is, and how its claude is logged in: where, and when not."""

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.executable import Executable
from hyperhive.agents.launcher import Launcher, NoFolder
from hyperhive.agents.login_interfaces import LoginRefused
from hyperhive.settings import Settings
from hyperhive.store.agents import AgentRow
from hyperhive.testing.containers import MemoryDriver

BOB = AgentRow("bob", "agent", 0.0)


class LauncherCase(SynchronousTestCase):
    """A launcher that has prepared bob."""

    def launcher(self, demo: bool = False, **environ: str) -> Launcher:
        """One whose daemon has this environment."""
        folder = Path(self.mktemp()).absolute()
        self.settings = Settings(state_dir=folder / "s", run_dir=folder / "r")
        claude = Executable(("claude",), (), demo, version_source=Path("/claude"))
        clock = Clock()
        launcher = Launcher(
            clock, self.settings, MemoryDriver(clock), claude, environ, "agent.toml"
        )
        launcher.prepare("bob")
        return launcher


class SpecTests(LauncherCase):
    """What is mounted in a container."""

    def test_writable(self) -> None:
        """Of the host an agent writes three folders of its own; the manager proposals, too."""
        own = {"/root", "/root/.claude", "/state"}
        launcher = self.launcher()
        for name, more in (("bob", set()), ("hm1nd", {"/agents"})):
            spec = launcher.spec(AgentRow(name, "agent", 0.0))
            writable = {bind.destination for bind in spec.binds if bind.writable}
            self.assertEqual(writable, own | more)
            self.assertIn("/run/hive", {bind.destination for bind in spec.binds})


class FolderTests(LauncherCase):
    """What an agent needs of the host."""

    def test_in_the_way(self) -> None:
        """What can't be made is named, with why."""
        launcher = self.launcher()
        notes = self.settings.layout.notes("bob")
        notes.rmdir()
        notes.touch()
        error = self.assertRaises(NoFolder, launcher.prepare, "bob")
        self.assertEqual(str(error), f"bob can't have the folder {notes}: File exists.")


class LoginPlanTests(LauncherCase):
    """The plan of a login."""

    def test_commands(self) -> None:
        """Both run in the agent's container with the homes of its turns; one reads a code."""
        plan = self.launcher(HTTPS_PROXY="http://proxy", HOME="/root/x").login_plan(BOB)
        self.assertEqual(plan.container, "h-bob")
        self.assertEqual(plan.login.argv, ("claude", "auth", "login"))
        self.assertEqual(plan.status.argv, ("claude", "auth", "status"))
        self.assertEqual((plan.login.keep_stdin, plan.status.keep_stdin), (True, False))
        self.assertEqual(plan.login.environment, plan.status.environment)
        environment = plan.login.environment
        self.assertEqual(environment["HOME"], "/root")
        self.assertEqual(environment["CLAUDE_CONFIG_DIR"], "/root/.claude")
        self.assertEqual(environment["HTTPS_PROXY"], "http://proxy")

    def test_stamp(self) -> None:
        """A login that is written again is told from the one before, a link is none."""
        plan = self.launcher().login_plan(BOB)
        file = self.settings.layout.claude("bob") / ".credentials.json"
        self.assertIs(plan.stamp(), None)
        file.symlink_to("/etc/hostname")
        self.assertIs(plan.stamp(), None)
        stamps = []
        for text in ("{}", "{ }"):
            new = file.with_name("new")
            new.write_text(text)
            new.replace(file)
            stamps.append(plan.stamp())
        self.assertNotEqual(*stamps)

    def test_key_of_all(self) -> None:
        """With a key for all agents a login would not be used; it is not begun."""
        for variable in ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"):
            launcher = self.launcher(**{variable: "secret"})
            error = self.assertRaises(LoginRefused, launcher.login_plan, BOB)
            self.assertIn(variable, str(error))
            self.assertNotIn("secret", str(error))

    def test_demo(self) -> None:
        """The scripted agent has no login."""
        launcher = self.launcher(demo=True)
        error = self.assertRaises(LoginRefused, launcher.login_plan, BOB)
        self.assertIn("scripted", str(error))
