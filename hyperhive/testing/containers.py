"""Containers in memory, for tests of what runs things in them: no process, no file, no wait."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from hyperhive.containers import specs
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Exited,
    IContainerDriver,
    IContainerProcess,
    IProcessObserver,
    Lost,
    NoSuchContainer,
    NotRunning,
    Probe,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.deferreds import deferred


@implementer(IContainerProcess)
class MemoryProcess:
    """A process that does what a test says.

    :ivar container: the name of its container.
    :ivar command: what it was run with.
    :ivar signals: what was sent to it while it ran, in order.
    :ivar handlers: by a signal's number, what it does then; without one it dies of
        it. KILL can't be handled.
    :ivar written: what was written to its standard input while that was open.
    :ivar reader: what it does with each piece of that.
    :ivar running: whether it runs; not so before the reactor's next turn.
    :ivar paused: whether its output is held.
    :ivar descendants: how many processes it has started that outlive it until it
        is destroyed, or its container stopped.
    :ivar destroyed: whether :meth:`destroy` was called.
    """

    def __init__(
        self,
        clock: IReactorTime,
        container: str,
        command: Command,
        observer: IProcessObserver,
    ) -> None:
        self.container = container
        self.command = command
        self.signals: list[int] = []
        self.handlers: dict[int, Callable[[], None]] = {}
        self.written = b""
        self.reader: Callable[[bytes], None] | None = None
        self.running = False
        self.paused = False
        self.descendants = 0
        self.destroyed = False
        self._clock = clock
        self._observer: IProcessObserver | None = observer
        self._held: list[Callable[[IProcessObserver], None]] = []
        self._ending = False
        self._early: list[int] = []

    # For the test.

    def says(self, data: bytes) -> None:
        """Let it write to its standard output."""
        self._tell(lambda observer: observer.stdout_received(data))

    def complains(self, data: bytes) -> None:
        """Let it write to its standard error."""
        self._tell(lambda observer: observer.stderr_received(data))

    def exits(self, status: int = 0) -> None:
        """Let it end by itself."""
        self.ends(Exited(status))

    def ends(self, end: ProcessEnd) -> None:
        """Let it end in any way. After its end nothing more happens."""
        if self._ending:
            return
        self.running = False
        self._tell(lambda observer: observer.process_ended(end))
        self._ending = True

    # IContainerProcess

    def interrupt(self) -> None:
        """See :class:`IContainerProcess`."""
        self._signal(signal.SIGINT)

    def terminate(self) -> None:
        """See :class:`IContainerProcess`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """See :class:`IContainerProcess`."""
        self._signal(signal.SIGKILL)

    @deferred
    async def destroy(self) -> None:
        """See :class:`IContainerProcess`."""
        self.destroyed = True
        self.descendants = 0
        self.running = False
        self._clock.callLater(0, self.ends, Signalled(signal.SIGKILL))

    def write(self, data: bytes) -> None:
        """See :class:`IContainerProcess`."""
        if not self.command.keep_stdin or self._ending:
            return
        self.written += data
        if self.running and self.reader is not None:
            self._clock.callLater(0, self.reader, data)

    def pause(self) -> None:
        """See :class:`IContainerProcess`."""
        self.paused = True

    def resume(self) -> None:
        """See :class:`IContainerProcess`."""
        self.paused = False
        while self._held and not self.paused and self._observer is not None:
            self._held.pop(0)(self._observer)

    # For the driver.

    def begin(self, program: Callable[["MemoryProcess"], None]) -> None:
        """Let it run from now on."""
        if self._ending or self.destroyed:
            return
        self.running = True
        program(self)
        early, self._early = self._early, []
        for number in early:
            self._signal(number)

    def orphan(self) -> None:
        """The daemon that follows it is gone: nobody hears of it any more."""
        self._observer = None

    @property
    def alive(self) -> int:
        """How many processes there are of it: itself, and what it started."""
        return self.running + self.descendants

    def _signal(self, number: int) -> None:
        if self._ending or self.destroyed:
            return
        if not self.running:
            self._early.append(number)
            return
        self.signals.append(number)
        handler = self.handlers.get(number)
        if handler is not None and number != signal.SIGKILL:
            self._clock.callLater(0, handler)
        else:
            self.running = False
            self._clock.callLater(0, self.ends, Signalled(number))

    def _tell(self, event: Callable[[IProcessObserver], None]) -> None:
        if self._observer is None or self._ending:
            return
        if self.paused or self._held:
            self._held.append(event)
        else:
            event(self._observer)


#: What a process does when it starts; later it is steered by the test.
Program = Callable[[MemoryProcess], None]


def _waits(process: MemoryProcess) -> None:
    """The program that does nothing by itself."""


@implementer(IContainerDriver)
class MemoryDriver:
    """An :class:`~hyperhive.containers.interfaces.IContainerDriver` that a test steers.

    What the real ones tell later it tells at the clock's next turn
    (``clock.advance(0)``); the Deferreds have fired when they are answered.

    :param clock: calls back, and gives the time of :attr:`ContainerStatus.since`.
    :ivar processes: every process that was ever run, in order.
    :ivar programs: by a command's first word, what such a process does when it
        starts.
    :ivar program: what all others do: nothing, until the test says so.
    :ivar missing: the first words of commands that are not installed.
    :ivar failures: by a method's name, what each call of it fails with from now on.
    """

    name = "memory"

    def __init__(self, clock: IReactorTime) -> None:
        self.processes: list[MemoryProcess] = []
        self.programs: dict[str, Program] = {}
        #: What containers' journals say; ``None``: they keep none.
        self.journals: dict[str, tuple[str, ...]] | None = None
        self.program: Program = _waits
        self.missing: set[str] = set()
        self.failures: dict[str, Exception] = {}
        self._clock = clock
        self._specs: dict[str, ContainerSpec] = {}
        self._statuses: dict[str, ContainerStatus] = {}
        self._callbacks: list[Callable[[ContainerStatus], None]] = []
        self._inherited: list[MemoryProcess] = []

    # For the test.

    @property
    def alive(self) -> int:
        """How many processes there are in all containers."""
        return sum(process.alive for process in (*self.processes, *self._inherited))

    def spec(self, name: str) -> ContainerSpec:
        """What a container is now."""
        return self._specs[name]

    def crash(self, name: str, reason: str) -> None:
        """Let a running container die, with all that runs in it, and tell who watches."""
        for process in self._processes_of(name):
            process.descendants = 0
            process.ends(Lost(reason))
        self._set(name, ContainerState.FAILED, reason)
        for callback in self._callbacks:
            callback(self._statuses[name])

    def die(self) -> "MemoryDriver":
        """Let the daemon die; answers the next daemon's driver, of the same containers."""
        heir = MemoryDriver(self._clock)
        heir._specs = self._specs
        heir._statuses = self._statuses
        heir._inherited = [*self._inherited, *self.processes]
        heir.programs, heir.program = self.programs, self.program
        heir.missing = self.missing
        for process in self.processes:
            process.orphan()
        return heir

    # IContainerDriver

    @deferred
    async def probe(self) -> Probe:
        """See :class:`IContainerDriver`."""
        self._may_fail("probe")
        return Probe(self.name, "0", True, limits=True)

    def path_inside(self, spec: ContainerSpec, path: Path) -> str:
        """See :class:`IContainerDriver`."""
        return specs.path_inside(spec, path)

    @deferred
    async def create(self, spec: ContainerSpec) -> None:
        """See :class:`IContainerDriver`."""
        self._may_fail("create")
        self._specs[spec.name] = specs.check_spec(spec)
        if spec.name not in self._statuses:
            self._set(spec.name, ContainerState.STOPPED)

    @deferred
    async def start(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        self._may_fail("start")
        self._existing(name)
        self._set(name, ContainerState.RUNNING)

    @deferred
    async def stop(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        self._may_fail("stop")
        if name in self._statuses:
            self._set(name, ContainerState.STOPPED)
            self._end_all(name)

    @deferred
    async def destroy(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        self._may_fail("destroy")
        self._end_all(name)
        self._specs.pop(name, None)
        self._statuses.pop(name, None)

    @deferred
    async def statuses(self) -> Mapping[str, ContainerStatus]:
        """See :class:`IContainerDriver`."""
        self._may_fail("statuses")
        return dict(self._statuses)

    @deferred
    async def adopt(self) -> Mapping[str, ContainerStatus]:
        """See :class:`IContainerDriver`."""
        self._may_fail("adopt")
        for process in self._inherited:
            process.destroy()
        return dict(self._statuses)

    @deferred
    async def journal(self, name: str, lines: int) -> tuple[str, ...] | None:
        """See :class:`IContainerDriver`."""
        self._may_fail("journal")
        self._existing(name)
        return None if self.journals is None else self.journals[name][-lines:]

    def run(
        self, name: str, command: Command, observer: IProcessObserver
    ) -> MemoryProcess:
        """See :class:`IContainerDriver`."""
        self._may_fail("run")
        status = self._existing(name)
        if status.state is not ContainerState.RUNNING:
            raise NotRunning(f"The container {name} is not running.")
        process = MemoryProcess(self._clock, name, command, observer)
        self.processes.append(process)
        reason = specs.unfit(command)
        if reason is None and command.argv[0] in self.missing:
            reason = f"There is no program {command.argv[0]!r} to execute."
        if reason is not None:
            self._clock.callLater(0, process.ends, SetupFailed(reason))
        else:
            program = self.programs.get(command.argv[0], self.program)
            self._clock.callLater(0, process.begin, program)
        return process

    def watch(self, callback: Callable[[ContainerStatus], None]) -> None:
        """See :class:`IContainerDriver`."""
        self._callbacks.append(callback)

    def _may_fail(self, method: str) -> None:
        if method in self.failures:
            raise self.failures[method]

    def _existing(self, name: str) -> ContainerStatus:
        if name not in self._statuses:
            raise NoSuchContainer(f"There is no container {name[:40]!r}.")
        return self._statuses[name]

    def _set(self, name: str, state: ContainerState, reason: str | None = None) -> None:
        before = self._statuses.get(name)
        if before is None or (before.state, before.reason) != (state, reason):
            since = self._clock.seconds()
            self._statuses[name] = ContainerStatus(name, state, since, reason)

    def _processes_of(self, name: str) -> list[MemoryProcess]:
        everything = (*self._inherited, *self.processes)
        return [process for process in everything if process.container == name]

    def _end_all(self, name: str) -> None:
        for process in self._processes_of(name):
            process.destroy()
