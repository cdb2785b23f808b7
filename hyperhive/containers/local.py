"""One process on this host: fed, read, paused, and told of exactly once."""

import contextlib
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.containers.happenings import Happening
from hyperhive.containers.interfaces import (
    DriverMissing,
    Exited,
    IContainerProcess,
    IProcessObserver,
    ProcessEnd,
    SetupFailed,
    Signalled,
)

#: After its exit a process's output is at its end when nothing came for so long
#: (seconds), although something that it started still holds the streams.
QUIET = 0.25
#: … or after so long altogether without a pause (seconds) …
DRAIN = 5.0
#: … or after so much of it (bytes): two pipes hold no more that was its own.
LEFT_BEHIND = 2 * 64 * 1024
#: How much of the standard error's beginning is kept for a reason (bytes).
STDERR_HEAD = 4096
#: How long a killed process may take to be gone (seconds).
GONE_LIMIT = 10.0


def tool(name: str, package: str) -> str:
    """The absolute path of a program that a driver needs.

    :raises DriverMissing: naming the Debian package that has it.
    """
    path = shutil.which(name)
    if path is None:
        raise DriverMissing(
            f"{name} is not installed. On Debian and Ubuntu: apt install {package}"
        )
    return path


@implementer(IContainerProcess)
class LocalProcess(ProcessProtocol):
    """A child of the daemon that an observer follows.

    Drivers derive from it: they say what to spawn, how a signal gets to the
    process that was asked for, and what the exit of the child means.

    :param reactor: ``IReactorProcess`` and ``IReactorTime``.
    """

    transport: Any

    def __init__(self, reactor: Any, observer: IProcessObserver) -> None:
        self._reactor = reactor
        self._observer = observer
        self._stdin = b""
        self._keep_stdin = False
        #: The child is gone, and waited for.
        self.exited = Happening()
        #: The observer was told the end.
        self.told = Happening()
        self.stderr_head = b""
        self._exit: Failure | None = None
        self._streams: set[int] = set()
        self._paused = False
        self._after_exit = 0
        self._quiet: IDelayedCall | None = None
        self._limit: IDelayedCall | None = None

    def spawn(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        stdin: bytes,
        descriptors: Mapping[int, str | int] | None = None,
        keep_stdin: bool = False,
    ) -> None:
        """Start it, in a session of its own, or tell the observer why not.

        A session of its own keeps the terminal's signals for the daemon away from
        it. Twisted spawns without a fork, so that only a program can make one.

        :param argv: its first is an absolute path.
        :param descriptors: more than the three, as ``spawnProcess`` takes them.
        """
        self._stdin, self._keep_stdin = stdin, keep_stdin
        channels = {0: "w", 1: "r", 2: "r", **(descriptors or {})}
        self._streams = {number for number, way in channels.items() if way == "r"}
        try:
            command = [tool("setsid", "util-linux"), *argv]
            self._reactor.spawnProcess(
                self, command[0], command, env=dict(environment), childFDs=channels
            )
        except (OSError, DriverMissing) as error:
            self.fail(f"{argv[0]} can't be started: {error}")

    def fail(self, reason: str) -> None:
        """It never ran: tell the observer so, once the caller has this object."""
        self.exited.happen()
        self._reactor.callLater(0, self._tell, SetupFailed(reason))

    # What drivers change.

    def send(self, number: int) -> None:
        """Get a signal to the process itself."""
        self.signal_child(number)

    def describe(self, status: int | None, number: int | None) -> ProcessEnd:
        """What the child's exit status, or the signal that ended it, means."""
        if number is not None:
            return Signalled(number)
        return Exited(status or 0)

    def destroy(self) -> Deferred[None]:
        """See :class:`IContainerProcess`."""
        self.signal_child(signal.SIGKILL)
        return self.exited.wait_within(
            self._reactor, GONE_LIMIT, "A process could not be ended"
        )

    # IContainerProcess

    def interrupt(self) -> None:
        """See :class:`IContainerProcess`."""
        self.send(signal.SIGINT)

    def terminate(self) -> None:
        """See :class:`IContainerProcess`."""
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """See :class:`IContainerProcess`."""
        self.send(signal.SIGKILL)

    def write(self, data: bytes) -> None:
        """See :class:`IContainerProcess`."""
        if self.transport is not None:
            self.transport.write(data)

    def pause(self) -> None:
        """See :class:`IContainerProcess`."""
        self._paused = True
        self._stop_draining()
        for reader in self._readers():
            reader.stopReading()

    def resume(self) -> None:
        """See :class:`IContainerProcess`."""
        self._paused = False
        for reader in self._readers():
            reader.startReading()
        self._drain()

    def signal_child(self, number: int) -> None:
        """Send a signal to the child of the daemon; it may be gone."""
        if self.transport is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self.transport.signalProcess(number)

    def _readers(self) -> list[Any]:
        """The pipes of its output; not pauseProducing, which stops every pipe."""
        if self.transport is None:
            return []
        pipes = self.transport.pipes
        return [pipes[number] for number in (1, 2) if number in pipes]

    # ProcessProtocol

    def connectionMade(self) -> None:
        """Write what it is given to read."""
        stdin, self._stdin = self._stdin, b""
        if stdin:
            self.transport.write(stdin)
        if not self._keep_stdin:
            self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Pass it on."""
        self._heard()
        self._observer.stdout_received(data)
        self._count(data)

    def errReceived(self, data: bytes) -> None:
        """Pass it on, and keep the beginning."""
        self._heard()
        self.stderr_head += data[: STDERR_HEAD - len(self.stderr_head)]
        self._observer.stderr_received(data)
        self._count(data)

    def childConnectionLost(self, childFD: int) -> None:
        """One of its streams is at its end."""
        super().childConnectionLost(childFD)
        self._streams.discard(childFD)
        self._end_if_complete()

    def processExited(self, reason: Failure) -> None:
        """It is gone; what it wrote may still be on its way."""
        self._exit = reason
        self.exited.happen()
        self._drain()
        self._end_if_complete()

    def _heard(self) -> None:
        if self._quiet is not None:
            self._quiet.reset(QUIET)

    def _count(self, data: bytes) -> None:
        """After its exit: know when the rest can't be its own, however slowly it is read."""
        if self._exit is not None:
            self._after_exit += len(data)
            if self._after_exit > LEFT_BEHIND:
                self._drain()

    def _drain(self) -> None:
        """Give its streams some time to end, which what it started may hold open."""
        if self._exit is None or self._paused or self.told.happened:
            return
        if self._after_exit > LEFT_BEHIND:
            self._close()
            return
        self._stop_draining()
        self._quiet = self._reactor.callLater(QUIET, self._close)
        self._limit = self._reactor.callLater(DRAIN, self._close)

    def _stop_draining(self) -> None:
        for timer in (self._quiet, self._limit):
            if timer is not None and timer.active():
                timer.cancel()
        self._quiet = self._limit = None

    def _close(self) -> None:
        """Read no more; what it started, if anything, gets EPIPE from now on."""
        self._stop_draining()
        for number in sorted(self._streams):
            self.transport.closeChildFD(number)
        self._streams.clear()
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        if self._exit is None or self._streams or self.told.happened:
            return
        value = self._exit.value
        if isinstance(value, ProcessTerminated):
            self._tell(self.describe(value.exitCode, value.signal))
        else:
            assert isinstance(value, ProcessDone)
            self._tell(self.describe(0, None))

    def _tell(self, end: ProcessEnd) -> None:
        self._stop_draining()
        self.told.happen()
        self._observer.process_ended(end)
