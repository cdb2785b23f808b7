"""The plugin, its options, and what refuses to start."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.internet.task import Clock
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.errors import PublicError
from hyperhive.settings import Settings
from hyperhive.tap import Hive, Options

BIN = Path(sys.executable).parent


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run one of our commands in an environment that has nothing else."""
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd="/",
    )


class PluginTests(SynchronousTestCase):
    """What twistd sees."""

    def test_plugin(self) -> None:
        """twistd finds the service maker, which names this module."""
        [maker] = [
            one for one in getPlugins(IServiceMaker) if one.tapname == "hyperhive"
        ]
        self.assertIs(maker.options, Options)

    def test_help(self) -> None:
        """Every setting is in the help, outside of the source tree as well."""
        help = run("twistd", "hyperhive", "--help")
        self.assertEqual(help.returncode, 0, help.stderr)
        for flag in ("--state-dir", "--agent-ports", "--demo", "--silence-timeout"):
            self.assertIn(flag, help.stdout)

    def test_other_reactors_are_refused(self) -> None:
        """With a sentence that names the right one, and status 2."""
        done = run("twistd", "--nodaemon", "--pidfile=", "--reactor=epoll", "hyperhive")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--reactor=asyncio", done.stderr)

    def test_wrong_setting(self) -> None:
        """One line that names it, and status 2."""
        for arguments in (
            ("--max-turns", "none"),
            ("--frobnicate",),
            ("--config", "/no/such/file"),
        ):
            done = run(
                *("twistd", "--nodaemon", "--pidfile=", "--reactor=asyncio"),
                *("hyperhive", *arguments),
            )
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertIn(arguments[0].strip("-"), done.stderr)

    def test_no_claude(self) -> None:
        """Without claude and without --demo it says what to do, with status 1."""
        base = tempfile.mkdtemp(prefix="hive-")  # short enough for a socket
        self.addCleanup(shutil.rmtree, base)
        done = run(
            *("twistd", "--nodaemon", "--pidfile=", "--reactor=asyncio", "hyperhive"),
            *("--state-dir", f"{base}/s", "--run-dir", f"{base}/r"),
            *("--claude", "/no/such/claude"),
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("--demo", done.stderr)


class ClaimTests(SynchronousTestCase):
    """The folders that a hive has for itself."""

    def hive(self, base: Path) -> Hive:
        """A hive that was not started."""
        settings = Settings(state_dir=base / "s", run_dir=base / "r")
        return Hive(Clock(), settings, False)

    def test_modes(self) -> None:
        """What is durable is ours alone; the run folder can only be passed through."""
        base = Path(self.mktemp())
        hive = self.hive(base)
        hive.claim()
        self.addCleanup(hive.release)
        modes = {
            str(path.relative_to(base)): path.stat().st_mode & 0o777
            for path in (base / "s", base / "s" / "agents", base / "r")
        }
        self.assertEqual(modes, {"s": 0o700, "s/agents": 0o700, "r": 0o711})

    def test_twice(self) -> None:
        """Only one hive at a time has them; after it, another may."""
        base = Path(self.mktemp())
        first, second = self.hive(base), self.hive(base)
        first.claim()
        with self.assertRaises(PublicError) as raised:
            second.claim()
        self.assertIn("another hive", str(raised.exception))
        first.release()
        second.claim()
        second.release()

    def test_path_too_long(self) -> None:
        """Sockets have short paths: said at once, not at the first agent."""
        base = Path(self.mktemp()) / ("x" * 100)
        with self.assertRaises(PublicError) as raised:
            self.hive(base).claim()
        self.assertIn("--run-dir", str(raised.exception))
        self.assertFalse(base.exists())

    def test_not_a_folder(self) -> None:
        """A file in the way is named."""
        base = Path(self.mktemp())
        base.mkdir()
        (base / "s").write_text("")
        with self.assertRaises(PublicError) as raised:
            self.hive(base).claim()
        self.assertIn(str(base / "s"), str(raised.exception))
