"""git as a child process: what it gets, what is taken of it, and how it ends."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from hyperhive.deploy import git as git_module
from hyperhive.deploy.git import (
    ENVIRONMENT,
    MAX_FILE,
    MAX_MEMORY,
    Git,
    GitError,
    GitMissing,
    GitSaidTooMuch,
    GitTimedOut,
)
from tests.containers.suite import new_folder

#: Runs a git that waits for what never comes, in the repo that is named.
HANGING = """
import os, sys
from pathlib import Path
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from hyperhive.deploy.git import Git
read, write = os.pipe()
Git(reactor).run(Path(sys.argv[1]), "cat-file", "--batch-check", stdin=read)
reactor.run()
"""


def running(mark: str) -> list[int]:
    """The processes with ``mark`` on their command lines, but for Python's."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = command_line(int(pid))
        if mark.encode() in line and b"import" not in line:
            found.append(int(pid))
    return found


def is_git(pid: int) -> bool:
    """Whether a process is git by now, and no longer what starts it."""
    return b"/git\0" in command_line(pid)[:40]


def command_line(pid: int) -> bytes:
    """A process's command line; nothing of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alias(script: str) -> tuple[str, ...]:
    """The arguments with which git runs a shell script, in its own surroundings."""
    return ("-c", f"alias.script=!{script}", "script")


class GitTests(TestCase):
    """With the real git, in an empty repo."""

    timeout = 60

    def setUp(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.git = Git(reactor)
        self.repo = self.base / "repo.git"
        subprocess.run(
            ["git", "init", "-q", "--bare", "--initial-branch=main", str(self.repo)],
            check=True,
        )

    async def refused(self, waiting: "Deferred[Any]", kind: type[Exception]) -> str:
        return str(await self.assertFailure(waiting, kind))

    async def gone(self, mark: str) -> None:
        """Wait until no such process is left; the test's time limit is the bound."""
        while running(mark):
            await deferLater(reactor, 0.01)

    def start_daemon(self) -> "subprocess.Popen[bytes]":
        """A daemon whose git waits for what never comes."""
        daemon = subprocess.Popen(
            [sys.executable, "-c", HANGING, str(self.repo)],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        )
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        return daemon

    async def test_answer(self) -> None:
        """What it prints is the answer, byte for byte; what it reads is what it is given."""
        data = bytes(range(256)) * 1000
        made = await self.git.run(
            self.repo, "hash-object", "-w", "--stdin", "--no-filters", stdin=data
        )
        self.assertEqual((made.status, made.truncated), (0, False))
        sha = made.stdout.decode().strip()
        self.assertEqual(
            (await self.git.run(self.repo, "cat-file", "blob", sha)).stdout, data
        )

    async def test_descriptor(self) -> None:
        """It can read from a file, which stays open."""
        path = self.base / "data"
        path.write_bytes(b"content")
        with path.open("rb") as file:
            made = await self.git.run(
                self.repo, "hash-object", "--stdin", stdin=file.fileno()
            )
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 7)
        self.assertEqual(
            made.stdout.strip(), b"6b584e8ece562ebffc15d38808cd6b98fc3d97ea"
        )

    async def test_environment(self) -> None:
        """It gets nothing of the daemon's environment: no HOME, no variables of git's."""
        self.patch(
            os,
            "environ",
            {
                **os.environ,
                "HOME": str(self.base),
                "GIT_DIR": str(self.base),
                "GIT_CONFIG_COUNT": "1",
                "GIT_EXTERNAL_DIFF": "/bin/false",
            },
        )
        said = await self.git.run(None, *alias("env -0"), environment={"MORE": "x"})
        seen = dict(
            line.split("=", 1) for line in said.stdout.decode().split("\0")[:-1]
        )
        for name, value in ENVIRONMENT.items():
            self.assertEqual(seen.pop(name), value)
        # git itself puts where its programs are before the PATH, and what it was told.
        self.assertTrue(seen.pop("PATH").endswith(os.defpath))
        self.assertEqual(seen.pop("MORE"), "x")
        self.assertLessEqual(
            set(seen),
            {"GIT_PREFIX", "GIT_CONFIG_PARAMETERS", "PWD", "OLDPWD", "_", "SHLVL"}
            | {"GIT_EXEC_PATH", "GIT_PAGER_IN_USE"},
        )

    async def test_settings(self) -> None:
        """What its user, its host or the repo set does not count where it could run something."""
        (self.base / ".gitconfig").write_text("[user]\n\tname = somebody\n")
        self.patch(os, "environ", {**os.environ, "HOME": str(self.base)})
        (self.repo / "config").write_text(
            "[core]\n\tbare = true\n\thooksPath = /x\n\tfsmonitor = /x\n"
            "[gc]\n\tauto = 1\n"
        )
        for key, value in (
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("gc.auto", "0"),
            ("protocol.allow", "never"),
        ):
            said = await self.git.run(self.repo, "config", "--get", key)
            self.assertEqual(said.stdout.decode().strip(), value)
        none = await self.git.run(
            self.repo, "config", "--get", "user.name", statuses=(0, 1)
        )
        self.assertEqual((none.status, none.stdout), (1, b""))

    async def test_no_transport(self) -> None:
        """It fetches from nowhere, not even from the next folder."""
        said = await self.refused(
            self.git.run(self.repo, "fetch", str(self.repo)), GitError
        )
        self.assertIn("not allowed", said)

    async def test_bounds_of_the_system(self) -> None:
        """Its memory and the size of what it writes are bounded, and it leaves no core."""
        said = await self.git.run(None, *alias("cat /proc/self/limits"))
        limits = {
            line[:26].strip(): line[26:].split()[:2]
            for line in said.stdout.decode().splitlines()
        }
        self.assertEqual(limits["Max address space"], [str(MAX_MEMORY)] * 2)
        self.assertEqual(limits["Max file size"], [str(MAX_FILE)] * 2)
        self.assertEqual(limits["Max core file size"], ["0", "0"])

    async def test_failure(self) -> None:
        """A failure is told with git's own last words, and can't do anything to who reads it."""
        said = await self.refused(
            self.git.run(self.repo, "rev-parse", "--verify", "main"), GitError
        )
        self.assertEqual(said, "git rev-parse failed: fatal: Needed a single revision")
        script = (
            "head -c 1000000 /dev/zero | tr '\\0' x >&2; "
            "printf '\\nhint: do this\\nfatal: \\033[2Jno\\r\\n' >&2; exit 3"
        )
        said = await self.refused(self.git.run(None, *alias(script)), GitError)
        self.assertTrue(said.endswith("\nfatal: \\x1b[2Jno"), said[-100:])
        self.assertNotIn("hint", said)
        self.assertLess(len(said), 1100)

    async def test_silent_failure(self) -> None:
        """One that says nothing is told by its status, or by the signal that ended it."""
        said = await self.refused(self.git.run(None, *alias("exit 3")), GitError)
        self.assertIn("status 3", said)
        said = await self.refused(
            self.git.run(None, *alias("kill -9 $PPID; sleep 0")), GitError
        )
        self.assertIn("signal 9", said)

    async def test_expected_status(self) -> None:
        """A status that is an answer is no failure."""
        said = await self.git.run(
            self.repo, "rev-parse", "--verify", "-q", "main", statuses=(0, 1)
        )
        self.assertEqual(said.status, 1)

    async def test_too_much(self) -> None:
        """More than the limit ends it: that is a failure, or cut off, as was asked."""
        mark = f"endless-{secrets.token_hex(8)}"
        endless = alias(f"yes {mark}")
        said = await self.refused(
            self.git.run(None, *endless, limit=100_000), GitSaidTooMuch
        )
        self.assertIn("100000", said)
        output = await self.git.run(None, *endless, limit=100_000, cut=True)
        self.assertTrue(output.truncated)
        self.assertEqual(len(output.stdout), 100_000)
        await self.gone(mark)

    async def test_exactly_the_limit(self) -> None:
        """What is just as long as the limit is whole."""
        script = alias("head -c 70000 /dev/zero")
        output = await self.git.run(None, *script, limit=70_000, cut=True)
        self.assertEqual((len(output.stdout), output.truncated), (70_000, False))

    async def test_time_limit(self) -> None:
        """One that does not end is ended, with all of its group, although it is deaf."""
        self.patch(git_module, "GRACE", 0.05)
        mark = secrets.token_hex(8)
        deaf = alias(f"trap '' INT TERM; sleep 1000 & sleep 1000; : {mark}")
        said = await self.refused(self.git.run(None, *deaf, seconds=0.3), GitTimedOut)
        self.assertIn("0.3 s", said)
        await self.gone(mark)

    async def test_cancel(self) -> None:
        """To cancel ends it first: when the Deferred fires, git is gone."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        waiting = self.git.run(self.repo, "cat-file", "--batch-check", stdin=read)
        while not running(str(self.repo)):
            await deferLater(reactor, 0.01)
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(running(str(self.repo)), [])

    async def test_dies_with_its_daemon(self) -> None:
        """A daemon that is killed leaves no git."""
        daemon = self.start_daemon()
        while not any(is_git(pid) for pid in running(str(self.repo))):
            await deferLater(reactor, 0.01)
        daemon.send_signal(signal.SIGKILL)
        await self.gone(str(self.repo))

    async def test_missing(self) -> None:
        """Without git it is said what to install."""
        self.patch(os, "environ", {"PATH": "/nowhere"})
        said = await self.refused(self.git.run(None, "version"), GitMissing)
        self.assertIn("apt install git", said)
