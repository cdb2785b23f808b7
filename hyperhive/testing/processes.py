"""A reactor in memory whose processes a test feeds and ends."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.interfaces import (
    IAddress,
    IProcessProtocol,
    IProcessTransport,
    IReactorProcess,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

#: The first process's pid: higher than Linux gives any (2**22), so that what
#: follows a pid into /proc finds nothing.
FIRST_PID = 5_000_000


class _Pipe:
    """The daemon's end of one of a process's streams."""

    def __init__(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        """Take nothing from it for now."""
        self.reading = False

    def startReading(self) -> None:
        """Take what comes again."""
        self.reading = True


@implementer(IProcessTransport)
class SpawnedProcess:
    """A process that was asked for: what with, what became of it, and its life.

    :ivar executable: and ``args``, ``env``, ``path``, ``uid``, ``gid``, ``uses_pty``,
        ``child_fds``: what it was spawned with.
    :ivar written: by descriptor, what was written to it.
    :ivar closed: the descriptors that the daemon has closed.
    :ivar signals: what it was sent, in order, as ``signalProcess`` was called.
    :ivar pipes: the streams that are open, as :class:`twisted.internet.process.Process`
        has them.
    """

    def __init__(
        self,
        pid: int,
        protocol: IProcessProtocol,
        executable: str,
        args: Sequence[str],
        env: Mapping[str, str] | None,
        path: str | None,
        uid: int | None,
        gid: int | None,
        uses_pty: bool,
        child_fds: Mapping[int, int | str],
    ) -> None:
        self.pid: int | None = pid
        self.protocol = protocol
        self.executable = executable
        self.args = list(args)
        self.env = env
        self.path = path
        self.uid = uid
        self.gid = gid
        self.uses_pty = uses_pty
        self.child_fds = dict(child_fds)
        self.written: dict[int, bytes] = {}
        self.closed: set[int] = set()
        self.signals: list[int | str] = []
        self.pipes = {
            number: _Pipe() for number, way in child_fds.items() if way in ("r", "w")
        }
        self._held: dict[int, list[bytes]] = {}
        self._reason: Failure | None = None
        self._ended = False

    # For the test.

    def feed(self, data: bytes, fd: int = 1) -> None:
        """Let it write; the protocol gets it unless it reads that stream no more, or not now."""
        pipe = self.pipes.get(fd)
        if pipe is not None and pipe.reading:
            self.protocol.childDataReceived(fd, data)
        elif pipe is not None:
            self._held.setdefault(fd, []).append(data)

    def flush(self) -> None:
        """Deliver what was written to streams that were not read, and now are."""
        for fd, parts in list(self._held.items()):
            if fd in self.pipes and self.pipes[fd].reading:
                del self._held[fd]
                for data in parts:
                    self.protocol.childDataReceived(fd, data)

    def end_stream(self, fd: int) -> None:
        """Let one of its streams end."""
        if self.pipes.pop(fd, None) is not None:
            self.protocol.childConnectionLost(fd)
            self._maybe_ended()

    def exit(
        self, status: int = 0, by: int | None = None, streams_end: bool = True
    ) -> None:
        """Let it exit.

        :param by: the signal that ends it.
        :param streams_end: whether its streams end too; something that it started
            may hold them.
        """
        if self._reason is not None:
            raise AssertionError("it has exited already")
        done = not status and by is None
        # The word of waitpid: the signal in the low byte, the status above it.
        word = by if by is not None else status << 8
        code = status if by is None else None
        error = ProcessDone(word) if done else ProcessTerminated(code, by, word)
        self.pid = None
        self._reason = Failure(error)
        self.protocol.processExited(self._reason)
        if streams_end:
            for fd in list(self.pipes):
                self.end_stream(fd)
        self._maybe_ended()

    def _maybe_ended(self) -> None:
        if self._reason is not None and not self.pipes and not self._ended:
            self._ended = True
            self.protocol.processEnded(self._reason)

    # IProcessTransport

    def signalProcess(self, signalID: int | str) -> None:
        """See :class:`IProcessTransport`."""
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(signalID)

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """See :class:`IProcessTransport`."""
        if childFD not in self.pipes:
            raise KeyError(childFD)
        self.written[childFD] = self.written.get(childFD, b"") + data

    def closeChildFD(self, descriptor: int) -> None:
        """See :class:`IProcessTransport`."""
        self.closed.add(descriptor)
        self.end_stream(descriptor)

    def closeStdin(self) -> None:
        """See :class:`IProcessTransport`."""
        self.closeChildFD(0)

    def closeStdout(self) -> None:
        """See :class:`IProcessTransport`."""
        self.closeChildFD(1)

    def closeStderr(self) -> None:
        """See :class:`IProcessTransport`."""
        self.closeChildFD(2)

    def loseConnection(self) -> None:
        """See :class:`IProcessTransport`."""
        for descriptor in (0, 1, 2):
            self.closeChildFD(descriptor)

    def write(self, data: bytes) -> None:
        """See :class:`ITransport`."""
        self.writeToChild(0, data)

    def writeSequence(self, data: Any) -> None:
        """See :class:`ITransport`."""
        self.write(b"".join(data))

    def getPeer(self) -> IAddress:
        """See :class:`ITransport`. A process has no address."""
        raise NotImplementedError

    def getHost(self) -> IAddress:
        """See :class:`ITransport`. A process has no address."""
        raise NotImplementedError


@implementer(IReactorProcess)
class MemoryProcessReactor(MemoryReactorClock):
    """A reactor that spawns nothing and remembers what it was asked for.

    :ivar spawned: every process, in order.
    :ivar missing: executables that do not exist.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[SpawnedProcess] = []
        self.missing: set[str] = set()

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: bytes | str,
        args: Sequence[bytes | str] = (),
        env: Mapping[Any, Any] | None = {},  # as the interface has it
        path: bytes | str | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool | tuple[int, int, str] = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> IProcessTransport:
        """See :class:`IReactorProcess`."""
        name = os.fsdecode(executable)
        if name in self.missing:
            raise FileNotFoundError(2, "No such file or directory", name)
        process = SpawnedProcess(
            FIRST_PID + len(self.spawned),
            processProtocol,
            name,
            [os.fsdecode(argument) for argument in args],
            env,
            None if path is None else os.fsdecode(path),
            uid,
            gid,
            bool(usePTY),
            {0: "w", 1: "r", 2: "r"} if childFDs is None else childFDs,
        )
        self.spawned.append(process)
        processProtocol.makeConnection(process)
        return process
