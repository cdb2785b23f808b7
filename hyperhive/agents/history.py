"""Keep what agents' streams said: from the bus into the event store, and back in pages."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from hyperhive.agents.interfaces import HistoryPage
from hyperhive.bus import Event, EventBus, Subscription
from hyperhive.deferreds import deferred
from hyperhive.store.database import Database
from hyperhive.store.events import EventRow, EventTable

#: How long events are gathered before they are written together (seconds).
BATCH_SECONDS = 0.2
#: How many events are written at once, and how many may wait at all.
BATCH_EVENTS = 512
#: What is kept of an agent's events.
KEPT_SECONDS = 30 * 86400.0
KEPT_PER_AGENT = 200_000

_TOPICS = frozenset({"turn", "stream", "note"})


class History:
    """Writes events in batches; losing the last moments in a crash is allowed.

    While a batch is being written the subscription is paused, so that a slow disk
    holds up at most the subscription's bounded backlog. Past that the stream is
    taken up again at its newest event, and the gap is logged.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        bus: EventBus,
        now: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._database = database
        self._bus = bus
        self._now = now
        self._held: list[EventRow] = []
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Record from now on."""
        self._subscription = self._bus.subscribe(
            self._take, self._overflowed, topics=_TOPICS
        )
        assert self._subscription is not None  # only a subscription since… can fail
        if self._writing is None:
            self._subscription.resume()

    @deferred
    async def stop(self) -> None:
        """Record no more; fires when what was held is written."""
        if self._subscription is not None:
            self._subscription.resume()
            self._subscription.cancel()
            self._subscription = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._writing is not None:
            await self._writing
        while self._held:
            await self._write()

    def page(
        self, agent: str, before: int | None, limit: int, after: int | None = None
    ) -> "Deferred[HistoryPage]":
        """The newest events of ``agent`` with numbers under ``before``, oldest first.

        :param after: instead, the oldest ones with numbers over it.
        """
        if after is not None:
            return self._database.read_in_thread(
                lambda connection: _page_after(
                    EventTable.page_after(connection, agent, after, limit), limit
                )
            )
        return self._database.read_in_thread(
            lambda connection: _page(
                EventTable.page(connection, agent, before, limit), limit
            )
        )

    @deferred
    async def prune(self) -> None:
        """Forget what is old or too much, in bites that hold up nobody."""
        oldest = self._now() - KEPT_SECONDS
        while await self._database.write(
            lambda connection: EventTable.prune(connection, oldest, KEPT_PER_AGENT)
        ):
            pass

    def _take(self, event: Event) -> None:
        self._held.append(
            EventRow(event.seq, event.agent, event.kind, event.at, event.json.decode())
        )
        if self._writing is not None:
            return
        if len(self._held) >= BATCH_EVENTS:
            self._flush()
        elif self._timer is None:
            self._timer = self._clock.callLater(BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._writing is not None or not self._held:
            return
        if self._subscription is not None:
            self._subscription.pause()
        self._writing = self._write()
        self._writing.addErrback(
            lambda failure: self._log.failure("events could not be stored", failure)
        )
        self._writing.addBoth(self._written)

    @deferred
    async def _write(self) -> None:
        batch, self._held = self._held, []
        await self._database.write(
            lambda connection: EventTable.append(connection, batch)
        )

    def _written(self, _: object) -> None:
        self._writing = None
        if self._subscription is not None:
            self._subscription.resume()

    def _overflowed(self) -> None:
        self._log.warn("the disk is slower than the agents: some events are not stored")
        self.start()


def _page_after(rows: list[EventRow], limit: int) -> HistoryPage:
    more = rows[-1].seq if len(rows) == limit else None
    return HistoryPage(tuple(row.json.encode() for row in rows), None, more)


def _page(rows: list[EventRow], limit: int) -> HistoryPage:
    more = rows[0].seq if len(rows) == limit else None
    return HistoryPage(tuple(row.json.encode() for row in rows), more)
