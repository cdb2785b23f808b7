"""What is asked of git inside the manager's container, and what is taken of its answers."""

import errno
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    Lost,
    NoSuchContainer,
    NotRunning,
    Signalled,
)
from hyperhive.deploy.fetch import (
    ANSWER_LIMIT,
    MAX_ANSWER,
    PACK_LIMIT,
    ContainerGit,
    FetchFailed,
    UnknownCommit,
)
from hyperhive.errors import BadRequest, TooLarge
from hyperhive.names import MANAGER
from hyperhive.settings import Layout
from hyperhive.testing.containers import MemoryDriver, MemoryProcess

SHA = "0123456789abcdef0123456789abcdef01234567"
MAIN = "f" * 40
LAYOUT = Layout(Path("/state"), Path("/run"))
SPEC = ContainerSpec(
    MANAGER,
    (
        Bind(LAYOUT.proposed, "/agents", writable=True),
        Bind(LAYOUT.applied, "/applied"),
    ),
)


class FetchTests(SynchronousTestCase):
    """With a container in memory, whose git is the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.driver = MemoryDriver(self.clock)
        self.git = ContainerGit(
            self.clock, self.driver, lambda: SPEC, LAYOUT, max_pack=1000
        )
        self.got: list[bytes] = []

    def start(self) -> None:
        self.successResultOf(self.driver.create(ContainerSpec(MANAGER)))
        self.successResultOf(self.driver.start(MANAGER))

    def process(self) -> MemoryProcess:
        """The process that was started last, running."""
        self.clock.advance(0)
        return self.driver.processes[-1]

    def resolve(self, ref: str = SHA) -> "Deferred[str]":
        self.start()
        return self.git.resolve("bob", ref)

    def pack(self, write: Any = None) -> "Deferred[None]":
        self.start()
        return self.git.pack("bob", SHA, MAIN, write or self.got.append)

    def refused(self, waiting: "Deferred[Any]", kind: type[Exception]) -> str:
        return str(self.failureResultOf(waiting, kind).value)

    def test_places(self) -> None:
        """Both repos are called as the manager calls them."""
        self.assertEqual(self.git.proposed("bob"), "/agents/bob")
        self.assertEqual(self.git.applied("bob"), "/applied/bob.git")

    def test_command(self) -> None:
        """It is git, in the repo, with nothing of anybody's environment."""
        self.resolve("0123456")
        command = self.process().command
        self.assertEqual(command.argv[:3], ("git", "-C", "/agents/bob"))
        self.assertEqual(
            command.argv[-4:],
            ("rev-parse", "--verify", "--end-of-options", "0123456^{commit}"),
        )
        self.assertIn("core.hooksPath=/dev/null", command.argv)
        self.assertNotIn("HOME", command.environment)
        self.assertEqual(command.environment["GIT_CONFIG_NOSYSTEM"], "1")
        self.assertEqual(command.environment["GIT_CEILING_DIRECTORIES"], "/agents")
        self.assertEqual((command.directory, command.stdin), ("/", b""))

    def test_resolve(self) -> None:
        """The answer is the full name."""
        waiting = self.resolve("0123456789AB")
        process = self.process()
        process.says(SHA[:10].encode())
        process.says(f"{SHA[10:]}\n".encode())
        self.assertNoResult(waiting)
        process.exits()
        self.assertEqual(self.successResultOf(waiting), SHA)

    def test_not_a_ref(self) -> None:
        """What does not name a commit gets into no command."""
        for ref in ("--help", "main", "012345", "0" * 41, "g" * 7, "0123456\n", ""):
            self.refused(self.resolve(ref), BadRequest)
        self.assertEqual(self.driver.processes, [])

    def test_unknown(self) -> None:
        """git's words say why there is none, in one line that does nothing."""
        waiting = self.resolve()
        process = self.process()
        process.complains(b"fatal: \x1b[2Jnone\n")
        process.exits(128)
        said = self.refused(waiting, UnknownCommit)
        self.assertEqual(
            said, f"There is no commit {SHA} in /agents/bob: fatal: \\x1b[2Jnone"
        )

    def test_other_answers(self) -> None:
        """Anything but a name that begins as was asked is no answer."""
        for said in (
            b"",
            b"HEAD\n",
            MAIN.encode() + b"\n",
            SHA.encode(),
            SHA.encode() * 2 + b"\n",
            f"{SHA}\n{SHA}\n".encode(),
            SHA.upper().encode() + b"\n",
            "٠".encode() * 40 + b"\n",
        ):
            waiting = self.resolve()
            self.process().says(said)
            self.process().exits()
            self.refused(waiting, UnknownCommit)

    def test_long_answer(self) -> None:
        """One that goes on is ended."""
        waiting = self.resolve()
        process = self.process()
        process.says(b"x" * (MAX_ANSWER + 1))
        self.clock.advance(0)
        self.assertTrue(process.destroyed)
        self.assertIn(str(MAX_ANSWER), self.refused(waiting, UnknownCommit))

    def test_slow_answer(self) -> None:
        """One that does not come is waited for so long."""
        waiting = self.resolve()
        process = self.process()
        self.clock.advance(ANSWER_LIMIT - 1)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertTrue(process.destroyed)
        self.assertIn("30 s", self.refused(waiting, UnknownCommit))

    def test_no_git(self) -> None:
        """A container without git is told apart from a repo without the commit."""
        waiting = self.resolve()
        self.process().exits(127)
        self.assertIn("no git in the container", self.refused(waiting, UnknownCommit))
        self.driver.missing.add("git")
        waiting = self.resolve()
        self.clock.advance(0)
        self.assertIn("no program 'git'", self.refused(waiting, UnknownCommit))

    def test_container_dies(self) -> None:
        """A container that dies meanwhile is an end too."""
        waiting = self.resolve()
        self.process().ends(Lost("The container is gone."))
        self.assertIn("container is gone", self.refused(waiting, UnknownCommit))
        waiting = self.resolve()
        self.process().ends(Signalled(9))
        self.assertIn("signal 9", self.refused(waiting, UnknownCommit))

    def test_no_container(self) -> None:
        """Without one nothing is read; the driver says which."""
        self.refused(self.git.resolve("bob", SHA), NoSuchContainer)
        self.start()
        self.successResultOf(self.driver.stop(MANAGER))
        self.refused(self.git.resolve("bob", SHA), NotRunning)

    def test_follows(self) -> None:
        """It is a yes or a no; a repo that does not know main says no."""
        for status, answer in ((0, True), (1, False), (128, False)):
            self.start()
            waiting = self.git.follows("bob", MAIN, SHA)
            process = self.process()
            self.assertEqual(
                process.command.argv[-4:], ("merge-base", "--is-ancestor", MAIN, SHA)
            )
            process.exits(status)
            self.assertIs(self.successResultOf(waiting), answer)

    def test_pack(self) -> None:
        """Every part is handed on as it comes, in order."""
        waiting = self.pack()
        process = self.process()
        self.assertEqual(process.command.stdin, f"{SHA}\n^{MAIN}\n".encode())
        process.says(b"a" * 400)
        process.says(b"b" * 600)
        self.assertEqual(self.got, [b"a" * 400, b"b" * 600])
        self.assertNoResult(waiting)
        process.exits()
        self.successResultOf(waiting)

    def test_pack_fails(self) -> None:
        """A git that fails has brought nothing."""
        waiting = self.pack()
        self.process().complains(b"error: unable to read abc\n")
        self.process().exits(128)
        said = self.refused(waiting, FetchFailed)
        self.assertIn("error: unable to read abc", said)
        self.assertIn("/agents/bob", said)

    def test_large_pack(self) -> None:
        """Over the limit it is ended; what it says after that is not taken."""
        waiting = self.pack()
        process = self.process()
        process.says(b"a" * 1000)
        process.says(b"b")
        process.says(b"c")
        self.clock.advance(0)
        self.assertTrue(process.destroyed)
        self.assertEqual(self.got, [b"a" * 1000])
        self.assertIn("1000 bytes", self.refused(waiting, TooLarge))

    def test_slow_pack(self) -> None:
        """However much it says, it has so long."""
        waiting = self.pack()
        process = self.process()
        for _ in range(10):
            self.clock.advance(PACK_LIMIT / 10)
            process.says(b"x")
        self.clock.advance(0)
        self.assertTrue(process.destroyed)
        self.assertIn("120 s", self.refused(waiting, FetchFailed))

    def test_disk_is_full(self) -> None:
        """What can't be written down ends it, and is told as what it is."""

        def write(data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        waiting = self.pack(write)
        process = self.process()
        process.says(b"x")
        self.clock.advance(0)
        self.assertTrue(process.destroyed)
        self.assertIn("No space left", self.refused(waiting, FetchFailed))

    def test_cancel(self) -> None:
        """To cancel ends the process."""
        waiting = self.pack()
        process = self.process()
        waiting.cancel()
        self.clock.advance(0)
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(process.destroyed)
        process.says(b"x")
        self.assertEqual(self.got, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
