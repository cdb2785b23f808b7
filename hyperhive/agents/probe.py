"""Ask the claude inside a container which flags it has."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.claude import Capabilities, NotClaude, help_command
from hyperhive.containers.interfaces import (
    Exited,
    IContainerDriver,
    IProcessObserver,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.deferreds import deferred

#: How long claude may take to print its help (seconds); it takes 0.2.
PROBE_TIMEOUT = 30.0
#: How much it may print (bytes); it prints some 20 KiB.
MAX_HELP = 512 * 1024
#: How much of its standard error is shown (bytes).
MAX_ERROR = 500

_log = Logger()


@implementer(IProcessObserver)
class _Help:
    """Collects what a process prints, up to its end or until it is enough.

    :ivar ended: fires with how the process ended, or with ``None`` if it is
        no longer waited for; then :attr:`given_up` says why.
    """

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = b""
        self.ended: Deferred[ProcessEnd | None] = Deferred()
        self.given_up = ""

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        if len(self.stdout) + len(data) > MAX_HELP:
            self.give_up(f"it prints more than {MAX_HELP} bytes")
        else:
            self.stdout += data

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self.stderr = (self.stderr + data)[-MAX_ERROR:]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        if not self.ended.called:
            self.ended.callback(end)

    def give_up(self, why: str) -> None:
        """Wait no longer."""
        if not self.ended.called:
            self.given_up = why
            self.ended.callback(None)


@deferred
async def probe(
    clock: IReactorTime,
    driver: IContainerDriver,
    container: str,
    executable: tuple[str, ...],
) -> Capabilities:
    """Run ``claude --help`` inside a running container and read it.

    :param executable: how claude is called inside.
    :raises NotClaude: if it can't be run there, or is not what it should be.
    :raises DriverError: if the container is not there or doesn't run.
    """
    help = _Help()
    process = driver.run(container, help_command(executable), help)
    late = clock.callLater(
        PROBE_TIMEOUT, help.give_up, f"it takes more than {PROBE_TIMEOUT:g} s"
    )
    end = await help.ended
    if late.active():
        late.cancel()
    if end is None:
        process.destroy().addErrback(
            lambda failure: _log.failure("a probe could not be ended", failure)
        )
    if end != Exited(0):
        raise NotClaude(
            f"claude --help does not work in {container}: {_why(help, end)}."
        )
    return Capabilities.from_help(help.stdout.decode("utf-8", "replace"))


def _why(help: _Help, end: ProcessEnd | None) -> str:
    said = " ".join(help.stderr.decode("utf-8", "replace").split())
    match end:
        case None:
            return help.given_up
        case Exited(status):
            return f"it ended with status {status} ({said or 'silently'})"
        case Signalled(signal):
            return f"it was ended by signal {signal}"
        case Lost(reason) | SetupFailed(reason):
            return reason.rstrip(".")
