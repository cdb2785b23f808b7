"""Installing claude, with a stand-in for npm."""

import os
import platform
import shutil
from pathlib import Path
from shlex import quote

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.testing.claude_cli import NoClaudeHere, installed, package

#: What stands for npm: makes what npm would have made, or fails.
NPM = """#!/bin/sh
echo "$*" >> {calls}
{first}
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/{package}"
echo new > "$2/node_modules/{package}/claude"
"""


class InstalledTests(SynchronousTestCase):
    """Where claude is after it was asked for."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.calls = self.folder / "calls"
        self.cache = self.folder / "cache"
        self.patch(platform, "machine", lambda: "x86_64")
        self.npm()

    def npm(self, first: str = "") -> None:
        """Put an npm on the PATH that does something first."""
        npm = self.folder / "npm"
        npm.write_text(
            NPM.format(calls=quote(str(self.calls)), first=first, package=package())
        )
        npm.chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        self.patch(os, "environ", {**os.environ, "PATH": path})

    def test_installed_once(self) -> None:
        """The exact version is installed once, and only its binary is kept."""
        binary = installed("1.2.3", self.cache)
        self.assertEqual(installed("1.2.3", self.cache), binary)
        self.assertEqual(binary, self.cache / "1.2.3" / "claude")
        self.assertTrue(os.access(binary, os.X_OK))
        [call] = self.calls.read_text().splitlines()
        self.assertTrue(call.endswith(f" {package()}@1.2.3"), call)
        self.assertEqual([one.name for one in self.cache.iterdir()], ["1.2.3"])

    def test_race(self) -> None:
        """Who comes second keeps what the first has put in place."""
        place = quote(str(self.cache / "1.2.3"))
        self.npm(f"mkdir -p {place}; echo first > {place}/claude")
        self.assertEqual(installed("1.2.3", self.cache).read_text(), "first\n")

    def test_failure(self) -> None:
        """What npm complains of is said, and nothing is left."""
        self.npm("echo no such version >&2; exit 1")
        error = self.assertRaises(NoClaudeHere, installed, "1.2.3", self.cache)
        self.assertIn("no such version", str(error))
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_no_npm(self) -> None:
        """Without npm it says what to install."""
        self.patch(shutil, "which", lambda name: None)
        error = self.assertRaises(NoClaudeHere, installed, "1.2.3", self.cache)
        self.assertIn("apt install npm", str(error))


class PackageTests(SynchronousTestCase):
    """Which package a machine takes."""

    def test_processors(self) -> None:
        """Both processors have one; another is an error that names it."""
        for machine, name in (("x86_64", "x64"), ("aarch64", "arm64")):
            self.patch(platform, "machine", lambda machine=machine: machine)
            self.assertEqual(package(), f"@anthropic-ai/claude-code-linux-{name}")
        self.patch(platform, "machine", lambda: "riscv64")
        self.assertIn("riscv64", str(self.assertRaises(NoClaudeHere, package)))
