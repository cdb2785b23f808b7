"""Something that happens once, for which many may wait, each for a time of its own."""

from twisted.internet.defer import Deferred, TimeoutError, succeed
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

    def wait(self, clock: IReactorTime, seconds: float, what: str) -> Deferred[None]:
        """Fire when it has happened.

        :param what: who fails to do what, for the error's text.
        :raises TimedOut: if it takes longer than ``seconds``.
        """
        if self.happened:
            return succeed(None)

        def timed_out(failure: Failure) -> None:
            failure.trap(TimeoutError)
            self._waiting.remove(waiting)
            raise TimedOut(f"{what} within {seconds:g} s.")

        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        waiting.addTimeout(seconds, clock)
        waiting.addErrback(timed_out)
        return waiting
