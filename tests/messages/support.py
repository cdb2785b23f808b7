"""A broker on a database in memory, and one whose commits a test makes by hand."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.bus import EventBus
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import Message, Outcome, Turn, TurnEnd
from hyperhive.names import MANAGER
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.messages import MessageRow, MessageTable
from hyperhive.store.migrations import BROKER
from hyperhive.store.transactions import Work, commit_together, read_each
from hyperhive.store.worker import Inline

NOW = 1769860800.0
RECV_WAIT = 60.0


class HandRunner:
    """A writer that runs nothing by itself (:class:`hyperhive.store.worker.Runner`).

    :meth:`commit` is the writer thread's part, :meth:`answer` the reactor's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Work, Deferred[Any]]] = []
        self._committed: list[tuple[Deferred[Any], Any]] = []

    def submit(self, work: Work) -> Deferred[Any]:
        """Keep it until :meth:`commit`."""
        done: Deferred[Any] = Deferred()
        self._waiting.append((work, done))
        return done

    def close(self) -> Deferred[None]:
        """Nothing to end."""
        return succeed(None)

    def commit(self) -> None:
        """Commit what waits, in one transaction, and answer nobody yet."""
        waiting, self._waiting = self._waiting, []
        outcomes = commit_together(self._connection, [work for work, _ in waiting])
        self._committed += zip([done for _, done in waiting], outcomes, strict=True)

    def answer(self) -> None:
        """Answer what was committed."""
        committed, self._committed = self._committed, []
        for done, outcome in committed:
            if isinstance(outcome, Failure):
                done.errback(outcome)
            else:
                done.callback(outcome)

    def finish(self) -> None:
        """Commit and answer until nothing is left to do."""
        while self._waiting or self._committed:
            self.commit()
            self.answer()


class BrokerCase(SynchronousTestCase):
    """A broker with hm1nd, alice and bob. Everything it publishes and pokes is noted."""

    def setUp(self) -> None:
        """Make them."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.make_database()
        for name in (MANAGER, "alice", "bob"):
            self.add_agent(name)
        self.start()

    def make_database(self) -> None:
        """Commit at once."""
        self.database = Database.in_memory(BROKER)
        self.addCleanup(self.database.close)

    def start(self) -> None:
        """Make a broker, as a daemon's start does; the database stays."""
        self.bus = EventBus(self.clock, 1)
        self.broker = Broker(
            self.clock, self.database, self.bus, RECV_WAIT, self.clock.seconds
        )
        self.poked: list[str] = []
        self.broker.watch(self.poked.append)
        self.events: list[dict[str, Any]] = []
        subscription = self.bus.subscribe(
            lambda event: self.events.append(json.loads(event.json)), self.fail
        )
        assert subscription is not None
        subscription.resume()

    def do(self, work: Any) -> Any:
        """Write something beside the broker."""
        return self.successResultOf(self.database.write(work))

    def add_agent(self, name: str) -> None:
        """Let an agent exist."""
        role = "manager" if name == MANAGER else "agent"
        row = AgentRow(name, role, NOW)
        self.do(lambda connection: AgentTable.insert(connection, row))

    def pause(self, name: str, paused: bool = True) -> None:
        """Set an agent's pause, as the room of agents does it."""
        self.do(
            lambda connection: connection.execute(
                "UPDATE agents SET paused = ? WHERE name = ?", (paused, name)
            )
        )

    def send(
        self, to: str = "bob", body: str = "hello", sender: str = "operator"
    ) -> int:
        """Send one message; its id."""
        (id,) = self.successResultOf(self.broker.send(sender, to, body))
        return int(id)

    def begin(self, agent: str = "bob") -> Turn:
        """Begin a turn."""
        turn = self.successResultOf(self.broker.begin_turn(agent))
        self.assertIsInstance(turn, Turn)
        return turn

    def end(
        self, turn: Turn, outcome: Outcome = Outcome.OK, note: str | None = None
    ) -> None:
        """End a turn."""
        self.successResultOf(self.broker.end_turn(turn.id, TurnEnd(outcome, note)))

    def receive(self, agent: str = "bob", **how: Any) -> list[Message]:
        """Receive without waiting."""
        return self.successResultOf(self.broker.receive(agent, "c", **how))

    def row(self, id: int) -> MessageRow:
        """A message as it is on disk."""
        row = self.database.read(lambda connection: MessageTable.get(connection, id))
        assert row is not None
        return row

    def states(self, *ids: int) -> list[str]:
        """The states of messages."""
        return [self.row(id).state for id in ids]

    def inbox(self, name: str) -> list[Message]:
        """What is or was in a mailbox."""
        return self.successResultOf(self.broker.inbox(name))

    def kinds(self, id: int) -> list[str]:
        """The kinds of the events about a message, in order."""
        return [event["kind"] for event in self.events if event["id"] == id]


class HandCase(BrokerCase):
    """The same, with commits made by hand once the test begins."""

    def make_database(self) -> None:
        """Commit by hand, after all is set up."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(connection.close)
        for script in BROKER:
            connection.executescript(script)
        self.hand = HandRunner(connection)
        self.database = Database(connection, self.hand, Inline(connection, read_each))

    def do(self, work: Any) -> Any:
        """Write something beside the broker, at once."""
        done = self.database.write(work)
        self.hand.finish()
        return self.successResultOf(done)

    def finished(self, waiting: Deferred[Any]) -> Any:
        """Let all commits happen; what it came to."""
        self.hand.finish()
        return self.successResultOf(waiting)

    def send(
        self, to: str = "bob", body: str = "hello", sender: str = "operator"
    ) -> int:
        """Send one message and commit it."""
        (id,) = self.finished(self.broker.send(sender, to, body))
        return int(id)

    def begin(self, agent: str = "bob") -> Turn:
        """Begin a turn and commit it."""
        turn = self.finished(self.broker.begin_turn(agent))
        self.assertIsInstance(turn, Turn)
        return turn

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Their ids."""
        return [message.id for message in messages]
