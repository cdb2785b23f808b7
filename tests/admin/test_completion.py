"""Completion scripts: what shells can complete, and that they can read it."""

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin.completion import script
from hyperhive.admin.subcommands import SUBCOMMANDS, setting_arguments

#: How long a shell may take (seconds).
LIMIT = 60.0

#: A hive-c0re that only lists, and notes how it was called.
STUB = """\
#!/bin/sh
echo "$@" >> "$CALLED"
printf 'hm1nd\\nalice\\nbob\\n'
"""
#: Complete what stands in the arguments, as bash does at Tab.
COMPLETE = """\
. "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_hive_c0re
printf '%s\\n' "${COMPREPLY[@]}"
"""


class BashTests(SynchronousTestCase):
    """The script for bash, in a real bash."""

    def setUp(self) -> None:
        """Put the script and a stub of the program beside one another."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        stub = self.folder / "hive-c0re"
        stub.write_text(STUB)
        stub.chmod(0o755)
        self.called = self.folder / "called"
        self.called.touch()
        self.script = self.folder / "script"
        self.script.write_text(script("bash"))

    def bash(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run bash with the stub before everything else."""
        environ = {
            "PATH": f"{self.folder.absolute()}:{os.environ['PATH']}",
            "CALLED": str(self.called.absolute()),
            "SCRIPT": str(self.script.absolute()),
        }
        return subprocess.run(
            ["bash", "--norc", *arguments],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        )

    def complete(self, *words: str) -> list[str]:
        """What bash offers for the last word."""
        done = self.bash("-c", COMPLETE, "bash", "hive-c0re", *words)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_syntax(self) -> None:
        """Bash can read it."""
        self.assertEqual(self.bash("-n", str(self.script.absolute())).stderr, "")

    def test_verbs(self) -> None:
        """The first word is a subcommand."""
        offered = self.complete("")
        for subcommand in SUBCOMMANDS:
            self.assertIn(subcommand.name, offered)
        self.assertEqual(self.complete("st"), ["status", "start", "stop", "stats"])
        self.assertEqual(self.called.read_text(), "")

    def test_names(self) -> None:
        """Agents are asked from the hive that is meant."""
        self.assertEqual(self.complete("watch", "b"), ["bob"])
        self.assertEqual(
            self.complete("--socket", "/x y", "stop", "bob", ""),
            [
                "hm1nd",
                "alice",
                "bob",
            ],
        )
        self.assertEqual(self.called.read_text(), "list\n--socket /x y list\n")

    def test_mailboxes(self) -> None:
        """Mailboxes are more than agents."""
        self.assertEqual(
            self.complete("send", ""), ["operator", "manager", "hm1nd", "alice", "bob"]
        )

    def test_only_first(self) -> None:
        """Nothing is offered where any text can stand."""
        self.assertEqual(self.complete("send", "bob", ""), [])
        self.assertEqual(self.complete("spawn", ""), [])

    def test_flags(self) -> None:
        """Flags of the subcommand, and choices of a flag."""
        self.assertEqual(self.complete("destroy", "--p"), ["--purge"])
        self.assertEqual(self.complete("serve", "--sta"), ["--state-dir"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])

    def test_files(self) -> None:
        """Where a file is wanted, files are offered."""
        self.assertEqual(self.complete("serve", "--config", "scr"), ["script"])
        self.assertEqual(self.complete("--socket", "ca"), ["called"])


class TextTests(SynchronousTestCase):
    """The scripts for shells that may not be here."""

    def test_all_there(self) -> None:
        """Each knows every subcommand and every flag, and asks the hive for names."""
        for shell in ("bash", "zsh", "fish"):
            text = script(shell)
            self.assertIn("hive-c0re", text)
            self.assertIn("list 2>/dev/null", text)
            for subcommand in SUBCOMMANDS:
                self.assertIn(subcommand.name, text)
                for argument in subcommand.arguments:
                    self._assert_flags(shell, text, argument.names)
            for argument in setting_arguments():
                self._assert_flags(shell, text, argument.names)

    def _assert_flags(self, shell: str, text: str, names: tuple[str, ...]) -> None:
        for name in names:
            if name.startswith("--"):
                self.assertIn(f"-l {name[2:]} " if shell == "fish" else name, text)

    def test_quotes(self) -> None:
        """Every line has its quotes in pairs."""
        for shell in ("zsh", "fish"):
            for line in script(shell).splitlines():
                plain = line.replace("\\'", "").replace("""'"'"'""", "")
                if not line.startswith("#"):
                    self.assertEqual(plain.count("'") % 2, 0, line)

    def test_zsh_brackets(self) -> None:
        """What zsh gives a meaning to stands only where it is meant."""
        for line in script("zsh").splitlines():
            spec = line.strip().strip("\\ ;'")
            if spec.startswith(("--", "*--")):
                self.assertEqual((spec.count("["), spec.count("]")), (1, 1), line)
                self.assertLessEqual(spec.rpartition("]")[2].count(":"), 2, line)

    def test_braces(self) -> None:
        """Each block that is opened is closed."""
        for shell in ("bash", "zsh"):
            words = script(shell).split()
            self.assertEqual(words.count("case"), words.count("esac"), shell)
        lines = script("fish").splitlines()
        functions = [line for line in lines if line.startswith("function ")]
        self.assertEqual(len(functions), lines.count("end"))
