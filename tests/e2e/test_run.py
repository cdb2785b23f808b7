"""``make run``'s script: with claude where it can be used, else as a demo that says so."""

import os
import re
import shutil
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon import LIMIT, Daemon

ROOT = Path(__file__).parent.parent.parent
#: What the script and the daemon need of a host that has no sandbox and no claude.
COMMANDS = (
    *("sh", "env", "dirname", "id", "setsid", "setpriv", "socat", "sed", "cat"),
    *("uname", "python3", "true", "mkdir", "realpath", "wc", "mktemp", "rm", "ln"),
)


class Script(Daemon):
    """The script in place of the daemon's own command."""

    def command(self) -> list[str]:
        """As ``make run`` calls it."""
        flags = ("--dashboard", "tcp:0:interface=127.0.0.1", "--agent-ports", "0")
        return ["sh", str(ROOT / "scripts" / "run.sh"), *flags, *self.flags]


class RunTests(SynchronousTestCase):
    """What a new user gets."""

    def run_script(self, path: str, folder: str = "h", **environment: str) -> Script:
        """Start the script with a PATH of the test's, on a folder in the test's own."""
        hive = Script(environment={"PATH": path, **environment})
        home = hive.base / folder
        hive.state, hive.run = home / "state", home / "run"
        hive.environment |= {"HIVE": str(home), "TMPDIR": str(hive.base)}
        self.addCleanup(hive.remove)
        return hive

    def path_with(self, *commands: str) -> str:
        """A PATH that has only these commands."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        for command in commands:
            found = shutil.which(command)
            if found is not None:
                (folder / command).symlink_to(found)
        return str(folder)

    def claude(self, path: str) -> None:
        """Put a claude on a PATH, one that is not logged in by itself."""
        claude = Path(path) / "claude"
        claude.write_text('#!/bin/sh\n[ "$1" = auth ] && exit 1\nexit 0\n')
        claude.chmod(0o755)

    def test_demo(self) -> None:
        """Without claude it is a demo, isolated, and the printed link logs in."""
        hive = self.run_script(self.path_with(*COMMANDS, "bwrap")).start()
        self.assertIn("this is a DEMO", hive.text())
        self.assertEqual(
            (hive.facts()["demo"], hive.facts()["containers"]), (True, "bubblewrap")
        )
        link = re.search(r"http://\S+/login\?ticket=\S+", hive.text())
        assert link is not None
        browser = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar())
        )
        with browser.open(link[0], timeout=LIMIT) as page:
            self.assertIn("DEMO", page.read().decode().upper())

    def test_deep(self) -> None:
        """A project too deep for sockets has them elsewhere: the same ones in each run."""
        path = self.path_with(*COMMANDS, "bwrap")
        hive = self.run_script(path, "d" * 100)
        hive.run.mkdir(parents=True)  # as after the project was moved
        hive.start()
        self.assertTrue(hive.facts()["demo"])
        place = hive.run.readlink()
        self.assertEqual(place.parent, hive.base)
        self.assertEqual(place.stat().st_mode & 0o777, 0o711)
        hive.stop()
        hive.start()
        self.assertEqual(hive.run.readlink(), place)
        # What is there by then may be somebody else's, so that it is not gone back to.
        hive.stop()
        shutil.rmtree(place)
        hive.start()
        self.assertNotEqual(hive.run.readlink(), place)

    def test_no_sandbox(self) -> None:
        """A demo goes on without a sandbox, and says that nothing is isolated."""
        if os.geteuid() == 0:
            # As root on Debian it would install one: apt-get is not on this PATH.
            self.assertNotIn("apt-get", COMMANDS)
        hive = self.run_script(self.path_with(*COMMANDS)).start()
        self.assertIn("NOT isolated", hive.text())
        self.assertIn("NOT ISOLATED", hive.text())
        self.assertEqual(hive.facts()["containers"], "process")
        self.assertFalse(hive.do(cmd="info")["info"]["isolated"])

    def test_claude(self) -> None:
        """With claude and a key it is no demo."""
        path = self.path_with(*COMMANDS, "bwrap")
        self.claude(path)
        hive = self.run_script(path, ANTHROPIC_API_KEY="sk-test").start()
        self.assertFalse(hive.facts()["demo"])
        self.assertNotIn("DEMO", hive.text())

    def test_claude_logged_out(self) -> None:
        """A claude that has no login is not used."""
        path = self.path_with(*COMMANDS, "bwrap")
        self.claude(path)
        self.assertTrue(self.run_script(path).start().facts()["demo"])

    def test_claude_without_sandbox(self) -> None:
        """A real claude is never run without a sandbox in silence: it stops with the remedy."""
        path = self.path_with(*COMMANDS)
        self.claude(path)
        hive = self.run_script(path, ANTHROPIC_API_KEY="sk-test")
        with self.assertRaises(AssertionError) as ended:
            hive.start()
        self.assertIn("bubblewrap", str(ended.exception))
