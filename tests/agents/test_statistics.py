"""Windows of statistics over a store in memory, against figures made by hand."""

from typing import Any
from zoneinfo import ZoneInfo

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from hyperhive.agents.figures import Figures, IStatistics, Report, Spread
from hyperhive.agents.interfaces import NoSuchAgent
from hyperhive.agents.statistics import MAX_KEPT, REST, Statistics
from hyperhive.agents.tallies import spread
from hyperhive.agents.today import DayTally
from hyperhive.agents.windows import UnknownWindow
from hyperhive.bus import EventBus
from hyperhive.messages.interfaces import Usage
from hyperhive.names import InvalidName
from hyperhive.store.database import Database, DatabaseClosed
from hyperhive.store.migrations import BROKER
from hyperhive.store.turns import TurnEnding, TurnTable
from hyperhive.testing.agents import NOW, FakeAgents

HOUR = 3600.0


class SlowDatabase:
    """One whose long reads take a while, and are answered when the test says so."""

    def __init__(self, clock: Clock, database: Database) -> None:
        self.reads = 0
        self.seconds = 0.0
        self._clock = clock
        self._database = database
        self.read = database.read
        self.write = database.write

    def read_in_thread(self, work: Any) -> Deferred[Any]:
        """See Database."""
        self.reads += 1
        if self.seconds == 0.0:
            return self._database.read_in_thread(work)
        answer: Deferred[Any] = Deferred()
        done = self._database.read_in_thread(work)
        self._clock.callLater(self.seconds, done.chainDeferred, answer)
        return answer


class StatisticsTests(SynchronousTestCase):
    """It is twelve o'clock, in UTC."""

    def setUp(self) -> None:
        """A manager and bob."""
        self.clock = Clock()
        self.stored = Database.in_memory(BROKER)
        self.database = SlowDatabase(self.clock, self.stored)
        self.bus = EventBus(self.clock, 10)
        self.agents = FakeAgents("bob")
        self.statistics = Statistics(
            self.clock,
            self.database,  # a stand-in
            self.bus,
            self.agents,
            lambda: DayTally(1, 0.5),
            90,
            lambda: NOW + self.clock.seconds(),
            ZoneInfo("UTC"),
        )

    def turn(
        self,
        agent: str,
        ago: float,
        took: float = 1.0,
        outcome: str = "ok",
        waited: float | None = None,
        **figures: Any,
    ) -> None:
        """Store a turn that ended some seconds ago."""

        def store(connection: Any) -> None:
            row = TurnTable.begin(connection, agent, "message", NOW - ago - took)
            if waited is not None:
                TurnTable.waited(connection, row.id, waited)
            ending = TurnEnding(ended_at=NOW - ago, outcome=outcome, **figures)
            TurnTable.end(connection, row.id, ending)

        self.successResultOf(self.stored.write(store))

    def report(self, window: str = "24h", agent: str | None = None) -> Report:
        """Ask, and wait for it."""
        asking = self.statistics.report(window, agent)
        while self.clock.getDelayedCalls():
            self.clock.advance(self.database.seconds)
        report: Report = self.successResultOf(asking)
        return report

    def test_interface(self) -> None:
        """It is what surfaces expect."""
        verifyObject(IStatistics, self.statistics)
        self.assertEqual(self.statistics.today(), DayTally(1, 0.5))

    def test_nothing(self) -> None:
        """Without turns there are buckets and agents, all of them with nothing."""
        report = self.report()
        self.assertEqual(len(report.buckets), 24)
        self.assertEqual([figures for _, figures in report.buckets], [Figures()] * 24)
        self.assertEqual([one.name for one in report.agents], ["bob", "hm1nd"])
        self.assertEqual(report.total.as_wire()["turns"], 0)
        self.assertNotIn("cost_usd", report.total.as_wire())
        self.assertNotIn("latency_ms", report.total.as_wire())

    def test_swarm(self) -> None:
        """Buckets, the total and the agents' rows add up to the same."""
        self.turn("bob", 10, 2.0, waited=0.5, input_tokens=1, cost_usd=0.25)
        self.turn("bob", 20, 4.0, waited=1.5, output_tokens=2, cost_usd=0.5)
        self.turn("bob", HOUR + 10, 10.0, "failed", cache_read_tokens=3)
        self.turn("hm1nd", HOUR + 10, 20.0, "rate_limited", cache_write_tokens=4)
        self.turn("bob", 23 * HOUR + 10, 1.0)  # 12:59:50, before the first hour
        report = self.report()
        self.assertEqual(
            report.total,
            Figures(
                {"failed": 1, "ok": 2, "rate_limited": 1},
                Usage(1, 2, 3, 4, cost_usd=0.75),
                Spread(4000, 20_000),
                Spread(500, 1500),
            ),
        )
        (_, before), (_, last), (_, now) = report.buckets[-3:]
        self.assertEqual(before.outcomes, {"failed": 1, "rate_limited": 1})
        self.assertEqual(last.outcomes, {"ok": 2})
        self.assertEqual(last.usage.cost_usd, 0.75)
        self.assertEqual(last.latency, Spread(2000, 4000))
        self.assertEqual(now, Figures())
        bob, manager = report.agents
        self.assertEqual(bob.figures.latency, Spread(4000, 10_000))
        self.assertEqual(bob.turns, (0,) * 21 + (1, 2, 0))
        self.assertEqual(bob.costs, (None,) * 22 + (0.75, None))
        self.assertEqual(manager.turns, (0,) * 21 + (1, 0, 0))
        wire = report.total.as_wire()
        self.assertEqual((wire["errors"], wire["parks"]), (1, 1))

    def test_one_agent(self) -> None:
        """With an agent, buckets and total are its own; everybody still has a row."""
        self.turn("bob", 10, 2.0, waited=1.0)
        self.turn("hm1nd", 10, 4.0, waited=9.0)
        report = self.report(agent="manager")
        self.assertEqual(report.agent, "hm1nd")
        self.assertEqual(report.total.outcomes, {"ok": 1})
        self.assertEqual(report.total.latency, Spread(4000, 4000))
        self.assertEqual(report.total.queue, Spread(9000, 9000))
        self.assertEqual(report.buckets[-2][1].latency, Spread(4000, 4000))
        self.assertEqual([sum(one.turns) for one in report.agents], [1, 1])

    def test_gone(self) -> None:
        """Who was destroyed counts in the swarm, and can be asked for."""
        self.turn("zed", 10)
        report = self.report(agent="zed")
        self.assertEqual(report.total.turns, 1)
        gone = {one.name: one.gone for one in report.agents}
        self.assertEqual(gone, {"bob": False, "hm1nd": False, "zed": True})

    def test_running(self) -> None:
        """Turns that run are told apart from those that ended."""

        def begin(connection: Any) -> None:
            TurnTable.begin(connection, "bob", "message", NOW - 5)

        self.successResultOf(self.stored.write(begin))
        report = self.report()
        self.assertEqual((report.running, report.total.turns), (1, 0))
        self.assertEqual([one.running for one in report.agents], [True, False])
        self.assertEqual(self.report(agent="hm1nd").running, 0)

    def test_refusals(self) -> None:
        """A window, a name or an agent that there is not."""
        for window, agent, error in (
            ("1y", None, UnknownWindow),
            ("24h", "No", InvalidName),
            ("24h", "zed", NoSuchAgent),
        ):
            self.failureResultOf(self.statistics.report(window, agent), error)

    def test_asked_together(self) -> None:
        """Who asks while an answer is being read waits for that one."""
        self.database.seconds = 0.01
        first, second = (self.statistics.report("24h") for _ in range(2))
        second.cancel()
        third = self.statistics.report("24h")
        self.failureResultOf(second)
        while self.clock.getDelayedCalls():
            self.clock.advance(0.01)
        self.assertIs(self.successResultOf(first), self.successResultOf(third))

    def test_rest(self) -> None:
        """An answer that took long is given again for some time, then made anew."""
        self.database.seconds = 0.01
        report = self.report()
        took = 0.01 * self.database.reads
        self.clock.advance(REST * took - 0.01)
        self.assertIs(self.report(), report)
        self.clock.advance(0.02)
        self.assertIsNot(self.report(), report)

    def test_quick_answers_are_new(self) -> None:
        """A turn that ends after a quick answer is in the next."""
        self.assertEqual(self.report().total.turns, 0)
        self.turn("bob", 1)
        self.assertEqual(self.report().total.turns, 1)

    def test_what_a_kept_answer_includes(self) -> None:
        """An answer that is given again says from before which event it is."""
        self.bus.publish("turn_end")
        self.database.seconds = 0.5
        first = self.report()
        self.assertEqual(first.seq, 10)
        self.bus.publish("turn_end")
        self.assertEqual(self.report().seq, 10)
        self.clock.advance(REST * 3)
        self.assertEqual(self.report().seq, 11)

    def test_kept_answers_are_few(self) -> None:
        """Nobody can fill the memory with answers."""
        for number in range(MAX_KEPT + 5):
            self.turn(f"a{number}", 10)
            self.report(agent=f"a{number}")
        self.assertEqual(len(self.statistics._answers), MAX_KEPT)

    def test_failure(self) -> None:
        """A read that fails is told to who waits, and the next one is tried anew."""
        self.database.seconds = 0.01
        asking = self.statistics.report("24h")
        self.successResultOf(self.stored.close())
        self.database.seconds = 0.0
        self.clock.advance(0.01)
        self.failureResultOf(asking, DatabaseClosed)
        self.failureResultOf(self.statistics.report("24h"), DatabaseClosed)

    def test_prune(self) -> None:
        """Turns are kept for as many days as were set, bite by bite."""
        for number in range(1200):
            self.turn("bob", 90 * 86_400 + 1 + number)
        self.turn("bob", 90 * 86_400 - 1)
        self.turn("bob", 10)
        self.successResultOf(self.statistics.prune())
        left = self.stored.read(
            lambda connection: connection.execute("SELECT COUNT(*) FROM turns")
        )
        self.assertEqual(left.fetchone(), (2,))


class SpreadTests(SynchronousTestCase):
    """Percentiles by nearest rank."""

    def test_ranks(self) -> None:
        """Of twenty, the tenth and the nineteenth; of one, itself; of none, none."""
        self.assertIsNone(spread([]))
        self.assertEqual(spread([(7, 1)]), Spread(7, 7))
        self.assertEqual(spread([(n, 1) for n in range(1, 21)]), Spread(10, 19))
        self.assertEqual(spread([(n, 1) for n in range(1, 22)]), Spread(11, 20))
        self.assertEqual(spread([(5, 95), (100, 5)]), Spread(5, 5))
        self.assertEqual(spread([(5, 94), (100, 6)]), Spread(5, 100))
