"""What the rest of the hive knows of containers: one interface, its values, its errors."""

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from hyperhive.errors import PublicError


class DriverError(PublicError):
    """A container operation failed; the text is the driver's, bounded and shown verbatim."""


class InvalidSpec(DriverError):
    """A specification that no driver would take: refused before any process ran."""


class NoSuchContainer(DriverError):
    """The container is not there."""


class NotRunning(DriverError):
    """The container is there and not running."""


class StartFailed(DriverError):
    """The container did not start; the text ends with what it said last."""


class DriverMissing(DriverError):
    """What the driver needs is not installed; the text says what to install."""


class Denied(DriverError):
    """The host refuses what the driver needs; the text says the remedy."""


class TimedOut(DriverError):
    """An operation took longer than its limit and was ended."""


@frozen
class Bind:
    """A host directory or file that a container sees.

    Both paths are absolute. ``writable`` is off for what the agent only reads.
    """

    source: Path
    destination: str
    writable: bool = False


@frozen
class Limits:
    """What all that runs in a container may use together; ``None`` is no limit.

    :param memory: bytes.
    :param cpu: processors, such as 1.5.
    :param tasks: processes and threads.
    """

    memory: int | None = None
    cpu: float | None = None
    tasks: int | None = None


@frozen
class ContainerSpec:
    """What a container is to be.

    :param name: the container's name (:func:`hyperhive.names.container_name`).
    :param binds: what it sees of the host beyond the read-only system.
    :param system: the built system that it runs, for drivers whose containers have
        one of their own.
    :param limits: kept by drivers that can; a driver that can't says so in its
        :class:`Probe`.
    """

    name: str
    binds: tuple[Bind, ...] = ()
    system: Path | None = None
    limits: Limits = Limits()


@frozen
class Command:
    """One process to run inside a container, all paths as seen inside.

    :param argv: literal; never passed through a shell.
    :param environment: all of it; nothing is inherited from the daemon.
    :param directory: where it starts.
    :param stdin: written to it, then its stdin is closed.
    :param keep_stdin: its stdin stays open instead, for
        :meth:`IContainerProcess.write`.
    """

    argv: tuple[str, ...]
    # Holds keys, and messages: not for a log.
    environment: Mapping[str, str] = field(repr=False)
    directory: str
    stdin: bytes = field(default=b"", repr=False)
    keep_stdin: bool = False


class ContainerState(Enum):
    """What a driver sees. Only facts: labels for people are derived elsewhere."""

    STOPPED = "stopped"
    RUNNING = "running"
    FAILED = "failed"


@frozen
class ContainerStatus:
    """One container as the driver sees it.

    :param since: POSIX time at which it came into this state, as far as known.
    :param reason: why it failed.
    """

    name: str
    state: ContainerState
    since: float | None = None
    reason: str | None = None


@frozen
class Probe:
    """What a driver can do on this host.

    :param isolated: whether an agent is kept from the host and from its peers.
    :param weaknesses: a sentence for each thing that is weaker than it could be.
    :param limits: whether :class:`Limits` are kept.
    """

    driver: str
    version: str
    isolated: bool
    weaknesses: tuple[str, ...] = ()
    limits: bool = False


@frozen
class Exited:
    """The process ended by itself with this status."""

    status: int


@frozen
class Signalled:
    """The process was ended by this signal."""

    signal: int


@frozen
class Lost:
    """The container or the process went away under us: how it ended is unknown."""

    reason: str


@frozen
class SetupFailed:
    """The process never ran; the reason is the driver's text.

    So it is told in every driver when there is no such program, which the reason
    names, or no such directory.
    """

    reason: str


ProcessEnd = Exited | Signalled | Lost | SetupFailed


class IProcessObserver(Interface):
    """Told what a process in a container says and how it ended."""

    def stdout_received(data: bytes) -> None:
        """Some bytes of its standard output."""

    def stderr_received(data: bytes) -> None:
        """Some bytes of its standard error."""

    def process_ended(end: ProcessEnd) -> None:
        """It has exited and both streams are at their end. Called once, last."""


class IContainerProcess(Interface):
    """A process running inside a container."""

    def interrupt() -> None:
        """Send INT to the process itself, not to its group or its children."""

    def terminate() -> None:
        """Send TERM to the process itself."""

    def kill() -> None:
        """Send KILL to the process itself."""

    def destroy() -> Deferred[None]:
        """End it and everything that it started, sessions of their own included.

        Fires when nothing of it is left. The observer is told as usual.
        """

    def write(data: bytes) -> None:
        """Write to its standard input, which its command has kept open.

        What is written after its end goes nowhere.
        """

    def pause() -> None:
        """Stop reading its output until :meth:`resume`."""

    def resume() -> None:
        """Read its output again."""


class IContainerDriver(Interface):
    """Makes containers and runs processes in them.

    Every operation is idempotent, has a time limit of its own, and leaves its
    container in a state that :meth:`statuses` names. Callers run one operation
    at a time for a container.
    """

    name: str = Attribute("the driver's name, as in the setting ``containers``")

    def probe() -> Deferred[Probe]:
        """Really run ``true`` inside, and say what this host gives.

        :raises DriverMissing: with what to install.
        :raises Denied: with the remedy.
        """

    def path_inside(spec: ContainerSpec, path: Path) -> str:
        """How a path of the host is called inside.

        :raises InvalidSpec: when it can't be seen from inside.
        """

    def create(spec: ContainerSpec) -> Deferred[None]:
        """Make the container, or change the one that is there to ``spec``.

        It is not started by this, and a running one stays running; for what runs in
        it a change may hold only from its next start.

        :raises InvalidSpec: for a spec that can't work (a source that is
            missing, a path with characters that a driver can't pass on).
        """

    def start(name: str) -> Deferred[None]:
        """Start it; fires when it can run processes. Running already: success.

        :raises NoSuchContainer: if it was never created.
        """

    def stop(name: str) -> Deferred[None]:
        """End everything that runs in it. Not running, or not there: success."""

    def destroy(name: str) -> Deferred[None]:
        """Stop it and remove it. What was bound into it stays. Not there: success."""

    def statuses() -> Deferred[Mapping[str, ContainerStatus]]:
        """All containers that are ours, by name, in one call."""

    def adopt() -> Deferred[Mapping[str, ContainerStatus]]:
        """Take over after a daemon that died.

        Ends every process that the dead daemon left running inside containers
        and fires, when they are gone, with the containers as they are: those that
        ran go on running.
        """

    def journal(name: str, lines: int) -> Deferred[tuple[str, ...] | None]:
        """The newest lines of the container's own journal, oldest first.

        What is in them is whatever runs inside. Fires with ``None`` if containers of
        this driver keep no journal.

        :param lines: how many at most.
        """

    def run(
        name: str, command: Command, observer: IProcessObserver
    ) -> IContainerProcess:
        """Run a process inside; its failures are told to ``observer``.

        :raises NoSuchContainer: if the container was never created.
        :raises NotRunning: if it is not running.
        """

    def watch(callback: Callable[[ContainerStatus], None]) -> None:
        """Call back when a container's state changes without our asking."""
