"""The one timer that ends what was not decided in time.

When something ends is on disk: a daemon that starts finds what ended without it.
"""

from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from hyperhive.deferreds import deferred

#: The longest sleep (seconds): the wall clock may be set meanwhile.
LONGEST = 3600.0
#: How long to wait after a failure (seconds).
AFTER_FAILURE = 60.0


@frozen
class _Kind:
    next: Callable[[], float | None]
    end: Callable[[], Deferred[None]]


class Expiry:
    """Looks at when the next thing ends, and has it ended then.

    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._kinds: list[_Kind] = []
        self._timer: IDelayedCall | None = None
        self._started = False
        self._ending = False

    def add(
        self, next: Callable[[], float | None], end: Callable[[], Deferred[None]]
    ) -> None:
        """Take care of one kind of things that end.

        :param next: when the next of them ends (POSIX time), if any does.
        :param end: ends all that are due.
        """
        self._kinds.append(_Kind(next, end))

    def start(self) -> None:
        """End what is due, now and from now on."""
        self._started = True
        self.look()

    def stop(self) -> None:
        """End nothing any more."""
        self._started = False
        self._wake_after(None)

    def look(self) -> None:
        """Something was added, which may end before what was known."""
        if not self._started or self._ending:
            return  # it is looked at when we start, or have ended what is due
        moments = [
            moment for kind in self._kinds if (moment := kind.next()) is not None
        ]
        if moments:
            self._wake_after(min(max(0.0, min(moments) - self._now()), LONGEST))
        else:
            self._wake_after(None)

    def _wake_after(self, seconds: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self._clock.callLater(seconds, self._end_due)

    @deferred
    async def _end_due(self) -> None:
        self._ending = True
        failed = False
        for kind in self._kinds:
            try:
                moment = kind.next()
                if moment is not None and moment <= self._now():
                    await kind.end()
            except Exception:
                failed = True
                self._log.failure("what is due could not be ended; it is tried again")
        self._ending = False
        if failed and self._started:
            self._wake_after(AFTER_FAILURE)
        else:
            self.look()
