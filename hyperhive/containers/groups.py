"""A child that leads a process group: every signal goes to all of it."""

import os
import signal
from collections.abc import Sequence

from twisted.internet.defer import CancelledError

from hyperhive.containers.happenings import Happening
from hyperhive.containers.local import LocalProcess
from hyperhive.deferreds import deferred

#: How long a group that was killed may take to be gone (seconds).
GIVE_UP = 10.0


class GroupProcess(LocalProcess):
    """A child whose every signal goes to its whole group; it leads a session."""

    _group: int | None = None

    def connectionMade(self) -> None:
        """Remember the group: some of it may outlive the child."""
        self._group = self.transport.pid
        super().connectionMade()

    def signal_child(self, number: int) -> None:
        """See :class:`LocalProcess`."""
        if self._group is None:
            return
        try:
            os.killpg(self._group, number)
        except ProcessLookupError:
            # It leads no group yet, or all are gone.
            super().signal_child(number)

    @deferred
    async def end(self, polite: Sequence[int], grace: float, ended: Happening) -> None:
        """End all of the group; however often that is cancelled.

        :param polite: signals that it may act on, each for ``grace`` seconds. Then
            comes KILL.
        :param ended: happens when the observer was told. It is made to happen if that
            takes longer than :data:`GIVE_UP` after KILL.
        """
        signals = [*polite, signal.SIGKILL]
        timers = [
            self._reactor.callLater(grace * step, self.signal_child, number)
            for step, number in enumerate(signals)
        ]
        timers.append(
            self._reactor.callLater(grace * len(polite) + GIVE_UP, ended.happen)
        )
        try:
            await ended.seen_through()
        except CancelledError:
            pass  # who ends it is being cancelled already, and goes on from here
        finally:
            # What the child has started may not have heeded what it did.
            self.signal_child(signal.SIGKILL)
            for timer in timers:
                if timer.active():
                    timer.cancel()
