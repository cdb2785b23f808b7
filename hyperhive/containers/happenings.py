"""Something that happens once, for which many may wait."""

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from hyperhive.containers.interfaces import TimedOut
from hyperhive.deferreds import deferred


class Happening:
    """It has happened or it has not; it can't be undone."""

    def __init__(self) -> None:
        self.happened = False
        self._waiting: list[Deferred[None]] = []

    def happen(self) -> None:
        """Let it have happened. Again: nothing changes."""
        self.happened = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def wait(self) -> Deferred[None]:
        """Fire when it has happened."""
        # A waiter that gave up was cancelled, and takes one more result in silence.
        waiting: Deferred[None] = Deferred()
        if self.happened:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    @deferred
    async def seen_through(self) -> None:
        """Fire when it has happened; a cancel is heeded after that, not before."""
        cancelled: CancelledError | None = None
        while not self.happened:
            try:
                await self.wait()
            except CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def wait_within(
        self, clock: IReactorTime, seconds: float, otherwise: str
    ) -> Deferred[None]:
        """Fire when it has happened.

        :param otherwise: what is said if it takes longer.
        :raises TimedOut: if it takes longer than ``seconds``.
        """

        def timed_out(failure: Failure) -> None:
            failure.trap(TimeoutError)
            raise TimedOut(f"{otherwise} within {seconds:g} s.")

        return self.wait().addTimeout(seconds, clock).addErrback(timed_out)
