"""Tell one target what waits for it: one notification at a time, floods as one, with patience."""

import random
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from hyperhive.deferreds import deferred
from hyperhive.notify.digests import Digests
from hyperhive.notify.interfaces import (
    IChannel,
    INotices,
    Notification,
    NotTold,
    Refused,
    TargetStatus,
)
from hyperhive.store.database import Database
from hyperhive.store.outbox import OutboxTable

#: How long things of a kind are gathered before the first of them is told (seconds).
GATHER_SECONDS = 1.0
#: After it was told of a kind, a target is left alone with that kind for so long.
REST_SECONDS = 20.0
#: The first pause after a failure; each further one doubles it (seconds).
FIRST_PAUSE = 5.0
MAX_PAUSE = 600.0
#: How much of a pause is left to chance, so that not all come back at once.
JITTER = 0.25
#: How long the daemon's end waits for what is being sent (seconds).
END_SECONDS = 3.0


class Sender:
    """Empties the outbox of one target, a kind at a time.

    What was told is forgotten after the target has taken it: a crash in between
    tells it again, and none is lost.

    :param host: the target's host, to be shown.
    :param chance: answers a random number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        target: str,
        host: str,
        channel: IChannel,
        digests: Digests,
        notices: INotices,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._database = database
        self._target = target
        self._host = host
        self._channel = channel
        self._digests = digests
        self._notices = notices
        self._chance = chance
        # One at a time, also between what waits and a test.
        self._lock = DeferredLock()
        self._timer: IDelayedCall | None = None
        self._running: Deferred[None] | None = None
        self._started = False
        self._rest_until = 0.0
        self._kind_rests: dict[str, float] = {}
        self._failures = 0
        self._problem: str | None = None

    def start(self) -> None:
        """Tell what waits, and what comes."""
        self._started = True
        self.look()

    @deferred
    async def stop(self) -> None:
        """Begin nothing more; what is being sent gets a moment, then is sent anew later."""
        self._started = False
        self._wake_at(None)
        if self._running is not None:
            running = self._running
            end = self._clock.callLater(END_SECONDS, running.cancel)
            await running
            if end.active():
                end.cancel()

    def look(self) -> None:
        """Something may wait: come back to it when the time has come."""
        if not self._started or self._running is not None:
            return
        kinds = self._database.read(
            lambda connection: OutboxTable.kinds(connection, self._target)
        )
        now = self._clock.seconds()
        moments = [
            max(self._kind_rests.get(kind, 0.0), self._rest_until, now + GATHER_SECONDS)
            for kind in kinds
        ]
        if not moments:
            self._wake_at(None)
        elif self._timer is None or self._timer.getTime() > min(moments):
            self._wake_at(min(moments))

    @deferred
    async def test(self) -> str | None:
        """Tell the target a test now; fires with why it could not, if so."""
        try:
            await self._send(self._digests.test())
        except NotTold as error:
            return str(error)
        return None

    def status(self) -> TargetStatus:
        """How it goes."""
        kinds = self._database.read(
            lambda connection: OutboxTable.kinds(connection, self._target)
        )
        return TargetStatus(
            self._target, self._host, sum(kinds.values()), self._problem
        )

    def _wake_at(self, moment: float | None) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if moment is not None:
            seconds = max(0.0, moment - self._clock.seconds())
            self._timer = self._clock.callLater(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._running = self._tell_due()
        self._running.addErrback(self._failed)
        self._running.addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None
        self.look()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("{target} could not be told", failure, target=self._target)
        self._rest(0.0)

    @deferred
    async def _tell_due(self) -> None:
        """Tell of each kind whose time has come; the first failure ends it."""
        kinds = self._database.read(
            lambda connection: OutboxTable.kinds(connection, self._target)
        )
        now = self._clock.seconds()
        for kind in (one for one in kinds if self._kind_rests.get(one, 0.0) <= now):
            if not self._started or not await self._tell(kind):
                return

    async def _tell(self, kind: str) -> bool:
        """Tell all that waits of a kind; whether the target took it."""
        rows = await self._database.read_in_thread(
            lambda connection: OutboxTable.waiting(connection, self._target, kind)
        )
        if not rows:
            return True
        notification = await self._digests.make(kind, rows)
        if notification is not None:
            try:
                await self._send(notification)
            except Refused:
                pass  # another attempt would be in vain; it is shown and logged
            except NotTold as error:
                self._rest(error.retry_after)
                return False
            self._kind_rests[kind] = self._clock.seconds() + REST_SECONDS
        last = rows[-1].id
        await self._database.write(
            lambda connection: OutboxTable.told(connection, self._target, kind, last)
        )
        return True

    async def _send(self, notification: Notification) -> None:
        await self._lock.acquire()
        try:
            await self._channel.send(notification)
        except NotTold as error:
            self._show(str(error))
            raise
        else:
            self._failures = 0
            self._show(None)
        finally:
            self._lock.release()

    def _rest(self, at_least: float) -> None:
        """Leave the target alone, longer after each failure."""
        pause = min(FIRST_PAUSE * 2.0**self._failures, MAX_PAUSE)
        pause *= 1.0 + JITTER * (2.0 * self._chance() - 1.0)
        self._failures = min(self._failures + 1, 20)
        self._rest_until = self._clock.seconds() + max(pause, at_least)

    def _show(self, problem: str | None) -> None:
        """Show the operator why the target can't be told, for as long as it is so."""
        if problem == self._problem:
            return
        if self._problem is not None:
            self._notices.remove(self._sentence(self._problem))
        self._problem = problem
        if problem is None:
            self._log.info("{target} can be told again", target=self._target)
        else:
            self._log.warn("{sentence}", sentence=self._sentence(problem))
            self._notices.add(self._sentence(problem))

    def _sentence(self, problem: str) -> str:
        return (
            f"Notifications do not arrive at {self._target} ({self._host}): {problem}."
        )
