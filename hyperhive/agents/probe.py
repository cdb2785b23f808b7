"""Ask the claude inside a container which flags it has."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.claude import Capabilities, NotClaude, help_command
from hyperhive.containers.interfaces import (
    Exited,
    IContainerDriver,
    IContainerProcess,
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


@implementer(IProcessObserver)
class _Help:
    """Collects what a process prints; too much of it is an end too."""

    def __init__(self) -> None:
        self.stdout = b""
        self.stderr = b""
        #: Fires with how it ended, or with ``None`` when it printed too much.
        self.ended: Deferred[ProcessEnd | None] = Deferred()

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        if len(self.stdout) + len(data) <= MAX_HELP:
            self.stdout += data
        else:
            self._end(None)

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self.stderr = (self.stderr + data)[-MAX_ERROR:]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        self._end(end)

    def _end(self, end: ProcessEnd | None) -> None:
        if not self.ended.called:
            self.ended.callback(end)
