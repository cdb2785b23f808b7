"""Approvals and questions on a database in memory, and everything that they say."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.bus import Event, EventBus
from hyperhive.messages.broker import Broker
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.store.questions import QuestionRow, QuestionTable
from hyperhive.testing.agents import NOW
from hyperhive.testing.approvals import Decisions

SHA = "0123456789" * 4
_OURS = frozenset({"approval", "question"})


class DecisionCase(SynchronousTestCase):
    """A hive with hm1nd, alice and bob, whose approvals may expire after ``ttl``."""

    ttl: float | None = None

    def setUp(self) -> None:
        """Make it."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.database = self.make_database()
        for name in (MANAGER, "alice", "bob"):
            self.add_agent(name)
        self.events: list[dict[str, Any]] = []
        self.make()

    def make_database(self) -> Database:
        """The database."""
        return Database.in_memory(BROKER)

    def make(self) -> None:
        """Make the room over the database, as a daemon does that starts."""
        self.bus = EventBus(self.clock, 1)
        subscription = self.bus.subscribe(self._happened, self.fail, topics=_OURS)
        assert subscription is not None
        subscription.resume()
        now = self.clock.seconds
        self.broker = Broker(self.clock, self.database, self.bus, 60.0, now)
        self.decisions = Decisions(
            self.clock, self.database, self.broker, self.bus, now, self.ttl
        )
        self.deployer = self.decisions.deployer
        self.approvals = self.decisions.approvals
        self.questions = self.decisions.questions
        self.decisions.expiry.start()
        self.addCleanup(self.decisions.expiry.stop)

    def _happened(self, event: Event) -> None:
        self.events.append(json.loads(event.json))

    def add_agent(self, name: str) -> None:
        """Let an agent exist."""
        role = "manager" if name == MANAGER else "agent"
        row = AgentRow(name, role, NOW)
        self.database.write(lambda connection: AgentTable.insert(connection, row))

    def spawn_asked(self, name: str = "carol", asker: str = MANAGER) -> int:
        """An approval of a new agent."""
        return self.successResultOf(
            self.approvals.request_spawn(name, asker, "to test")
        )

    def commit_asked(self, agent: str = "bob", ref: str = SHA) -> int:
        """An approval of a commit."""
        asking = self.approvals.request_apply_commit(agent, ref, MANAGER, "more memory")
        return self.successResultOf(asking)

    def asked(self, asker: str = "bob", **more: Any) -> int:
        """A question."""
        return self.successResultOf(self.questions.ask(asker, "Why?", **more))

    def approval(self, id: int) -> ApprovalRow:
        """An approval as it is on disk."""
        row = self.database.read(lambda connection: ApprovalTable.get(connection, id))
        assert row is not None
        return row

    def question(self, id: int) -> QuestionRow:
        """A question as it is on disk."""
        row = self.database.read(lambda connection: QuestionTable.get(connection, id))
        assert row is not None
        return row

    def told(self, name: str) -> list[Any]:
        """What the hive has told an agent, as objects."""
        return [json.loads(body) for body in self.said(name)]

    def said(self, name: str = OPERATOR) -> list[str]:
        """What the hive has told somebody, as texts."""
        messages = self.successResultOf(self.broker.inbox(name, 500))
        return [message.body for message in messages if message.sender == "system"]

    def happened(self) -> list[tuple[str, int, str]]:
        """Kind, id and status of every event so far, which are then forgotten."""
        events, self.events = self.events, []
        rows = [(one["kind"], one[one["kind"].split("_")[0]]) for one in events]
        return [(kind, row["id"], row["status"]) for kind, row in rows]
