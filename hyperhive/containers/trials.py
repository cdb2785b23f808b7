"""Run a short command for its answer."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from hyperhive.containers.happenings import Happening
from hyperhive.containers.interfaces import (
    IContainerProcess,
    IProcessObserver,
    Lost,
    ProcessEnd,
    SetupFailed,
    TimedOut,
)
from hyperhive.deferreds import deferred

#: How long a trial may take (seconds).
LIMIT = 10.0
#: How much of what it says is kept (bytes).
MAX_OUTPUT = 64 * 1024


@implementer(IProcessObserver)
class Trial:
    """A process's output, bounded, and its end."""

    def __init__(self) -> None:
        self.stdout = b""
        self.stderr = b""
        self.end: ProcessEnd = Lost("it has not ended")
        self.ended = Happening()

    def said(self) -> str:
        """What it complained of, or else how it ended."""
        if isinstance(self.end, SetupFailed):
            return self.end.reason
        return self.stderr.decode("utf-8", "replace").strip() or str(self.end)

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self.stdout += data[: MAX_OUTPUT - len(self.stdout)]

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self.stderr += data[: MAX_OUTPUT - len(self.stderr)]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        self.end = end
        self.ended.happen()


@deferred
async def try_out(
    clock: IReactorTime,
    start: Callable[[IProcessObserver], IContainerProcess],
    limit: float = LIMIT,
) -> Trial:
    """Start a process and wait for its end.

    :param limit: how long it may take (seconds).
    :raises TimedOut: if it takes longer; then it is ended.
    """
    trial = Trial()
    process = start(trial)
    try:
        await trial.ended.wait_within(clock, limit, "A trial run did not end")
    except TimedOut:
        await process.destroy()
        raise
    return trial
