"""The recording of events, against a disk that is slow or broken."""

from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.history import BATCH_SECONDS, History
from hyperhive.bus import MAX_BACKLOG, EventBus
from hyperhive.store.database import Database
from hyperhive.store.migrations import EVENTS


class HistoryTests(SynchronousTestCase):
    """What is held, and what is not stored."""

    def setUp(self) -> None:
        """A history that records one agent's notes."""
        self.clock = Clock()
        self.bus = EventBus(self.clock, 1)
        self.database = Database.in_memory(EVENTS)
        self.history = History(self.clock, self.database, self.bus, self.clock.seconds)
        self.history.start()

    def stall(self) -> Callable[[], None]:
        """Let the next write wait until what this answers is called."""
        waiting: Deferred[None] = Deferred()
        write = self.database.write

        def later(work: Callable[[Connection], Any]) -> Deferred[Any]:
            self.patch(self.database, "write", write)
            return waiting.addCallback(lambda _: write(work))

        self.patch(self.database, "write", later)
        return lambda: waiting.callback(None)

    def note(self, size: int = 1000) -> None:
        """Somebody says something long."""
        self.bus.publish("note", {"text": "x" * size}, "bob")

    def test_stalled_disk(self) -> None:
        """However much comes while a write waits, no more than a backlog of it is held."""
        go_on = self.stall()
        self.note()
        self.clock.advance(BATCH_SECONDS)
        for _ in range(5 * MAX_BACKLOG // 1000):
            self.note()
        go_on()
        self.clock.advance(BATCH_SECONDS)
        self.successResultOf(self.history.stop())
        [count] = self.database.read(
            lambda connection: connection.execute("SELECT count(*) FROM events")
        ).fetchone()
        self.assertLess(count, 2 * MAX_BACKLOG // 1000)

    def test_goes_on_after_a_stall(self) -> None:
        """What comes after it is stored again."""
        go_on = self.stall()
        self.note()
        self.clock.advance(BATCH_SECONDS)
        for _ in range(2 * MAX_BACKLOG // 1000):
            self.note()
        go_on()
        self.clock.advance(BATCH_SECONDS)
        newest = self.bus.publish("note", {"text": "last"}, "bob")
        self.successResultOf(self.history.stop())
        page = self.successResultOf(self.history.page("bob", None, 1))
        self.assertEqual(page.events, (newest.json,))
