"""What bwrap reports, and what its end means, in a reactor without processes."""

import os
import signal
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers import marked
from hyperhive.containers.bubblewrap import (
    OPTIONS,
    STATUS,
    BubblewrapDriver,
    SandboxedProcess,
)
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    Exited,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.containers.marked import VARIABLE
from hyperhive.testing.processes import MemoryProcessReactor, SpawnedProcess
from tests.containers.observing import Recorder

SECRET = "sk-secret"


class ReportTests(SynchronousTestCase):
    """From bwrap's report to the end that is told."""

    def setUp(self) -> None:
        self.reactor = MemoryProcessReactor()
        self.recorder = Recorder()
        state = Path(self.mktemp())
        state.mkdir()
        self.driver = BubblewrapDriver(self.reactor, state, lambda: 0.0)
        self.successResultOf(self.driver.create(ContainerSpec("h-bob")))
        self.successResultOf(self.driver.start("h-bob"))

    def run_one(self) -> tuple[SandboxedProcess, SpawnedProcess]:
        command = Command(("claude", "-p"), {"KEY": SECRET}, "/", b"text")
        process = self.driver.run("h-bob", command, self.recorder)
        assert isinstance(process, SandboxedProcess)
        return process, self.reactor.spawned[-1]

    def end(
        self, *reports: bytes, status: int = 0, by: int | None = None
    ) -> ProcessEnd:
        _, child = self.run_one()
        for report in reports:
            child.feed(report, STATUS)
        child.exit(status, by)
        return self.recorder.end

    def test_command_line(self) -> None:
        """The command is an argument of bwrap; its options and the environment are not."""
        _, child = self.run_one()
        self.assertRegex(child.args[1], "/bwrap$")
        self.assertEqual(child.args[-3:], ["--", "claude", "-p"])
        self.assertNotIn(SECRET, " ".join(child.args))
        self.assertEqual(sorted(child.env or ()), [VARIABLE, "LC_ALL"])
        self.assertEqual(child.child_fds[STATUS], "r")
        self.assertIsInstance(child.child_fds[OPTIONS], int)
        self.assertEqual(child.written, {0: b"text"})

    def test_exit_code(self) -> None:
        """The status that bwrap reports is the command's, in however many pieces."""
        self.assertEqual(
            self.end(b'{ "child-pid": 5', b'000999 }\n{ "exit-', b'code": 3 }\n'),
            Exited(3),
        )

    def test_not_set_up(self) -> None:
        """Without a report of the command, bwrap's own text is the reason."""
        _, child = self.run_one()
        child.feed(b'{ "child-pid": 5000999 }\n', STATUS)
        child.feed(b"bwrap: execvp claude: No such file or directory\n", 2)
        child.exit(1)
        self.assertEqual(
            self.recorder.end,
            SetupFailed("bwrap: execvp claude: No such file or directory"),
        )

    def test_nothing_said(self) -> None:
        """A bwrap that fails in silence is told by its status."""
        self.assertEqual(self.end(status=1), SetupFailed("bwrap ended with status 1."))

    def test_killed(self) -> None:
        """A bwrap that is killed, but not by us, loses the command."""
        end = self.end(b'{ "child-pid": 5000999 }\n', by=signal.SIGKILL)
        self.assertEqual(end, Lost("bwrap was ended by signal 9."))

    def test_destroyed(self) -> None:
        """A sandbox that we kill is told as killed; without its init's pid it is sought."""
        sought: list[str] = []

        def end_marked(reactor: object, mark: str) -> Deferred[None]:
            sought.append(mark)
            return succeed(None)

        self.patch(marked, "end_marked", end_marked)
        process, child = self.run_one()
        destroyed = process.destroy()
        self.assertEqual(child.signals, [signal.SIGKILL])
        self.assertEqual((self.recorder.ends, sought), ([], []))
        child.exit(by=signal.SIGKILL)
        self.successResultOf(destroyed)
        self.assertEqual(self.recorder.end, Signalled(signal.SIGKILL))
        assert child.env is not None
        self.assertEqual(sought, [child.env[VARIABLE]])

    def test_nonsense(self) -> None:
        """A line that is no report is left out."""
        self.assertEqual(self.end(b'nonsense\n{ "exit-code": 4 }\n'), Exited(4))

    def test_endless_line(self) -> None:
        """A report without an end is held only in part."""
        process, child = self.run_one()
        for _ in range(100):
            child.feed(b"x" * 1000, STATUS)
        self.assertLess(len(process._report), 20_000)

    def test_pause_leaves_the_report(self) -> None:
        """A paused process still learns what bwrap reports."""
        process, child = self.run_one()
        process.pause()
        child.feed(b"held")
        child.feed(b'{ "exit-code": 4 }\n', STATUS)
        child.exit(0, streams_end=False)
        self.assertEqual(self.recorder.log, [])
        process.resume()
        child.flush()
        for number in (1, 2, 3):
            child.end_stream(number)
        self.assertEqual(self.recorder.end, Exited(4))

    def test_signals_wait(self) -> None:
        """Until the command runs, nothing is signalled: not bwrap, which would end all."""
        process, child = self.run_one()
        process.interrupt()
        process.terminate()
        process.kill()
        self.assertEqual(child.signals, [])

    def test_bwrap_has_gone(self) -> None:
        """A bwrap that was removed is told, with how to get it."""
        self.patch(os, "environ", {"PATH": "/nowhere"})
        self.driver.run("h-bob", Command(("true",), {}, "/"), self.recorder)
        self.reactor.advance(0)
        end = self.recorder.end
        assert isinstance(end, SetupFailed)
        self.assertIn("apt install bubblewrap", end.reason)
