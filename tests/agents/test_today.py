"""What today's turns have come to: at their end, past midnight, after a restart."""

from sqlite3 import Connection
from zoneinfo import ZoneInfo

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.today import DayTally, Today
from hyperhive.messages.interfaces import Outcome, TurnRecord, Usage
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.store.turns import TurnEnding, TurnTable
from tests.agents.test_windows import at

BERLIN = ZoneInfo("Europe/Berlin")
NOON = at(BERLIN, 2026, 1, 31, 12)
MIDNIGHT = at(BERLIN, 2026, 2, 1)


class TodayTests(SynchronousTestCase):
    """A day in Berlin."""

    def setUp(self) -> None:
        """It is noon."""
        self.clock = Clock()
        self.database = Database.in_memory(BROKER)
        self.changed: list[str] = []
        self.today = self.started()

    def started(self) -> Today:
        """A hive that starts now."""
        return Today(
            self.clock,
            self.database,
            lambda: NOON + self.clock.seconds(),
            self.changed.append,
            BERLIN,
        )

    def end(self, agent: str, cost: float | None, today: Today | None = None) -> None:
        """A turn ends now, and is stored."""
        now = NOON + self.clock.seconds()
        usage = Usage(cost_usd=cost)
        record = TurnRecord(
            1, agent, "message", now - 5, now, Outcome.OK, None, None, usage
        )

        def store(connection: Connection) -> None:
            row = TurnTable.begin(connection, agent, "message", now - 5)
            ending = TurnEnding(ended_at=now, outcome="ok", cost_usd=cost)
            TurnTable.end(connection, row.id, ending)

        self.successResultOf(self.database.write(store))
        (today or self.today).add(record)

    def load(self) -> None:
        """The hive has looked at what is stored."""
        self.successResultOf(self.today.load())

    def test_unknown(self) -> None:
        """Before what is stored was counted, nothing is said."""
        self.assertIsNone(self.today.of("bob"))
        self.assertIsNone(self.today.all())

    def test_nothing(self) -> None:
        """No turn costs nothing, and that is known."""
        self.load()
        self.assertEqual(self.today.of("bob"), DayTally(0, 0.0))
        self.assertEqual(self.today.all(), DayTally(0, 0.0))

    def test_turns(self) -> None:
        """Each turn adds to its agent's and to the swarm's."""
        self.load()
        self.end("bob", 0.25)
        self.end("bob", 0.5)
        self.end("amy", 1.0)
        self.assertEqual(self.today.of("bob"), DayTally(2, 0.75))
        self.assertEqual(self.today.all(), DayTally(3, 1.75))

    def test_unknown_cost(self) -> None:
        """Turns that say no cost make it unknown, until one does."""
        self.load()
        self.end("bob", None)
        self.assertEqual(self.today.of("bob"), DayTally(1, None))
        self.assertEqual(self.today.all(), DayTally(1, None))
        self.end("amy", 0.5)
        self.assertEqual(self.today.all(), DayTally(2, 0.5))
        self.end("bob", 0.25)
        self.end("bob", None)
        self.assertEqual(self.today.of("bob"), DayTally(3, 0.25))

    def test_restart(self) -> None:
        """A new daemon goes on with the sums of the day, and only of that."""
        self.clock.advance(-86_400)
        self.end("bob", 8.0)
        self.clock.advance(86_400)
        self.end("bob", 0.25)
        self.end("amy", None)
        self.today = self.started()
        self.load()
        self.assertEqual(self.today.of("bob"), DayTally(1, 0.25))
        self.assertEqual(self.today.of("amy"), DayTally(1, None))
        self.end("bob", 0.5)
        self.assertEqual(self.today.all(), DayTally(3, 0.75))

    def test_midnight(self) -> None:
        """At midnight everybody's figures go back to nothing, and who shows them is told."""
        self.load()
        self.end("bob", 0.25)
        self.clock.pump([3600.0] * 11 + [3599.0])
        self.assertEqual(self.today.of("bob"), DayTally(1, 0.25))
        self.assertEqual(self.changed, [])
        self.clock.advance(1.0)
        self.assertEqual(self.changed, ["bob"])
        self.assertEqual(self.today.of("bob"), DayTally(0, 0.0))

    def test_first_after_midnight(self) -> None:
        """Who asks before the timer has fired, or ends a turn, is in the new day already."""
        self.load()
        self.end("bob", 0.25)
        self.today.stop()
        self.clock.advance(MIDNIGHT - NOON)
        self.end("bob", 1.0)
        self.assertEqual(self.today.of("bob"), DayTally(1, 1.0))
        self.assertEqual(self.today.all(), DayTally(1, 1.0))

    def test_stop(self) -> None:
        """Nothing is left to wait for."""
        self.load()
        self.today.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
