"""Something that happens once, for which many may wait."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from hyperhive.containers.interfaces import TimedOut


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
