"""The reactor that spawns nothing: honest by a few tests that the real one passes too."""

import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import (
    IProcessTransport,
    IReactorProcess,
    IReactorTime,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from hyperhive.testing.processes import MemoryProcessReactor


class Log(ProcessProtocol):
    """Remembers what it is told."""

    transport: Any

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """It was started."""
        self.events.append("made")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It wrote."""
        self.events.append((childFD, data))

    def childConnectionLost(self, childFD: int) -> None:
        """A stream ended."""
        self.events.append(("lost", childFD))

    def processExited(self, reason: Any) -> None:
        """It is gone."""
        value = reason.value
        self.events.append(("exited", value.exitCode, value.signal))

    def processEnded(self, reason: Any) -> None:
        """It is gone, and all streams are at their end."""
        value = reason.value
        self.events.append(("ended", value.exitCode, value.signal))
        self.ended.callback(None)


class Suite:
    """What a process's protocol is told, by both reactors."""

    async def run_script(self, script: str, log: Log, act: Any) -> None:
        """Start a shell with a script, and let ``act`` happen to it."""
        raise NotImplementedError

    async def test_exit(self) -> None:
        """Output, then exit and ends of streams, then the end."""
        log = Log()
        await self.run_script(
            "printf hi; exit 3", log, lambda p: (p.feed(b"hi"), p.exit(3))
        )
        self.check(log, (3, None))
        self.assertIn((1, b"hi"), log.events)

    async def test_signal(self) -> None:
        """A death by a signal."""
        log = Log()
        await self.run_script("kill -TERM $$", log, lambda p: p.exit(by=signal.SIGTERM))
        self.check(log, (None, signal.SIGTERM))

    async def test_success(self) -> None:
        """An exit with status 0."""
        log = Log()
        await self.run_script("exit 0", log, lambda p: p.exit())
        self.check(log, (0, None))

    async def test_gone(self) -> None:
        """A process that is gone can't be signalled."""
        log = Log()
        await self.run_script("exit 0", log, lambda p: p.exit())
        with self.assertRaises(ProcessExitedAlready):
            log.transport.signalProcess("KILL")

    def check(self, log: Log, how: tuple[int | None, int | None]) -> None:
        """Whether the events are complete and in order."""
        self.assertEqual(log.events[0], "made")
        self.assertEqual(log.events[-1], ("ended", *how))
        self.assertEqual(log.events.count(("exited", *how)), 1)
        lost = [event[1] for event in log.events if event[0] == "lost"]
        self.assertEqual(sorted(lost), [0, 1, 2])


class RealReactorTests(Suite, TestCase):
    """The suite over the real one."""

    async def run_script(self, script: str, log: Log, act: Any) -> None:
        reactor.spawnProcess(log, "/bin/sh", ["sh", "-c", script], {})
        await log.ended


class MemoryReactorTests(Suite, TestCase):
    """The suite over the fake."""

    async def run_script(self, script: str, log: Log, act: Any) -> None:
        memory = MemoryProcessReactor()
        memory.spawnProcess(log, "/bin/sh", ["sh", "-c", script], {})
        act(memory.spawned[0])


class MemoryProcessTests(SynchronousTestCase):
    """What a test sees and does."""

    def setUp(self) -> None:
        self.reactor = MemoryProcessReactor()
        self.log = Log()
        self.reactor.spawnProcess(
            self.log, b"/bin/cat", [b"cat", "-"], {"A": "b"}, childFDs={0: "w", 3: "r"}
        )
        (self.process,) = self.reactor.spawned

    def test_interfaces(self) -> None:
        """It is what it says it is."""
        verifyObject(IReactorProcess, self.reactor)
        verifyObject(IReactorTime, self.reactor)
        verifyObject(IProcessTransport, self.process)

    def test_recorded(self) -> None:
        """What it was spawned with is remembered."""
        process = self.process
        self.assertEqual((process.executable, process.args), ("/bin/cat", ["cat", "-"]))
        self.assertEqual((process.env, process.path), ({"A": "b"}, None))
        self.assertEqual(process.child_fds, {0: "w", 3: "r"})

    def test_stdin(self) -> None:
        """What is written to it is remembered, in order."""
        self.log.transport.write(b"a")
        self.log.transport.writeSequence([b"b", b"c"])
        self.log.transport.closeStdin()
        self.assertEqual(self.process.written, {0: b"abc"})
        self.assertEqual(self.process.closed, {0})

    def test_closed_streams(self) -> None:
        """Nothing comes from a stream that was closed."""
        self.log.transport.closeChildFD(3)
        self.process.feed(b"x", 3)
        self.assertEqual(self.log.events, ["made", ("lost", 3)])

    def test_paused_streams(self) -> None:
        """What is written while nobody reads is delivered later."""
        self.process.pipes[3].stopReading()
        self.process.feed(b"x", 3)
        self.process.flush()
        self.assertEqual(self.log.events, ["made"])
        self.process.pipes[3].startReading()
        self.process.flush()
        self.assertEqual(self.log.events, ["made", (3, b"x")])

    def test_held_streams(self) -> None:
        """A process can exit before its streams end."""
        self.process.exit(streams_end=False)
        self.assertEqual(self.log.events[-1], ("exited", 0, None))
        self.process.end_stream(0)
        self.process.end_stream(3)
        self.assertEqual(self.log.events[-1], ("ended", 0, None))

    def test_exit_twice(self) -> None:
        """A test that ends a process twice is told so."""
        self.process.exit()
        with self.assertRaises(AssertionError):
            self.process.exit()

    def test_missing(self) -> None:
        """An executable can be missing."""
        self.reactor.missing.add("/bin/cat")
        with self.assertRaises(FileNotFoundError):
            self.reactor.spawnProcess(Log(), "/bin/cat")
