"""The broker against a model, through whatever order of steps is thought of.

The model is a list of messages for each agent, in order. What holds after each
step: nothing is lost, nothing is handed out twice without a mark, the order is
kept, and the count of what waits is right.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.bus import EventBus
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import (
    MAX_ATTEMPTS,
    Message,
    NotYourTurn,
    Outcome,
    Turn,
    TurnEnd,
)
from hyperhive.names import MANAGER, mailbox
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.messages import MessageTable
from hyperhive.store.migrations import BROKER

AGENTS = (MANAGER, "bob")
CONNECTIONS = ("c", "d")

agents = st.sampled_from(AGENTS)
connections = st.sampled_from(CONNECTIONS)


@attrs.define
class Sent:
    """What the model knows of a message."""

    id: int
    to: str
    state: str = "queued"
    holder: object = None
    marked: bool = False
    attempts: int = 0
    handed_out: int = 0


@attrs.define
class Waiting:
    """A receive that has not been answered."""

    connection: str
    maximum: int
    answer: "Deferred[list[Message]]"
    got: list[Any] = attrs.field(factory=list)


class Model(RuleBasedStateMachine):
    """Steps and what they must lead to."""

    @initialize()
    def begin(self) -> None:
        """Two agents and an empty queue."""
        self.clock = Clock()
        self.database = Database.in_memory(BROKER)
        for name in AGENTS:
            role = "manager" if name == MANAGER else "agent"
            self.write(
                lambda c, n=name, r=role: AgentTable.insert(c, AgentRow(n, r, 0.0))
            )
        self.sent: dict[int, Sent] = {}
        self.paused: set[str] = set()
        self.turns: dict[str, Turn] = {}
        self.waiting: dict[str, list[Waiting]] = {name: [] for name in AGENTS}
        self.start()

    def start(self) -> None:
        """Make a broker, as a daemon does."""
        bus = EventBus(self.clock, 1)
        self.broker = Broker(self.clock, self.database, bus, 60.0, self.clock.seconds)
        self.poked: list[str] = []
        self.broker.watch(self.poked.append)

    def teardown(self) -> None:
        """Let go of the database."""
        self.database.close()

    # What the steps are made of.

    def write(self, work: Any) -> None:
        """Write beside the broker."""
        result(self.database.write(work))

    def queue(self, agent: str) -> list[Sent]:
        """What waits for an agent, in order."""
        return [
            one
            for one in self.sent.values()
            if (one.to, one.state) == (agent, "queued")
        ]

    def held(self, holder: object) -> list[Sent]:
        """What somebody has."""
        return [
            one
            for one in self.sent.values()
            if (one.state, one.holder) == ("leased", holder)
        ]

    def hand_out(self, agent: str, holder: object, messages: list[Message]) -> None:
        """These were handed out: they are the oldest, and marked if not for the first time."""
        expected = self.queue(agent)[: len(messages)]
        assert [one.id for one in messages] == [one.id for one in expected]
        for message, one in zip(messages, expected, strict=True):
            assert message.redelivered == one.marked
            assert message.redelivered == (one.handed_out > 0)
            assert message.attempts == one.attempts
            one.state, one.holder = "leased", holder
            one.handed_out += 1

    def give_back(self, messages: list[Sent]) -> None:
        """These are queued again, marked."""
        for one in messages:
            one.state, one.holder, one.marked = "queued", None, True

    def serve(self, agent: str) -> None:
        """Who waits has been served, first come, first served, while something was queued."""
        line = self.waiting[agent]
        may = agent in self.turns or agent in self.paused
        while line and self.queue(agent):
            first = line.pop(0)
            if not may:
                assert first.got == [[]]
                continue
            (messages,) = first.got
            assert len(messages) == min(first.maximum, len(self.queue(agent)))
            self.hand_out(agent, self.holder(agent, first.connection), messages)
        for one in line:
            assert one.got == []

    def serve_all(self) -> None:
        """Everybody has been served; who left something is woken."""
        for agent in AGENTS:
            self.serve(agent)

    def holder(self, agent: str, connection: str) -> object:
        """To what a receive is leased."""
        return self.turns[agent].id if agent in self.turns else connection

    def end_waits(self, agent: str) -> None:
        """All waits of an agent were answered with nothing."""
        for one in self.waiting[agent]:
            assert one.got == [[]]
        self.waiting[agent] = []

    def add(self, ids: tuple[int, ...], recipients: list[str]) -> None:
        """These were queued."""
        for id, to in zip(ids, recipients, strict=True):
            assert id > max(self.sent, default=0)
            self.sent[id] = Sent(id, to)

    # The steps.

    @rule(sender=agents | st.just("operator"), to=agents, count=st.integers(1, 3))
    def send(self, sender: str, to: str, count: int) -> None:
        """One message after the other."""
        for _ in range(count):
            self.poked.clear()
            waited = bool(self.waiting[to])
            self.add(result(self.broker.send(sender, to, "x")), [to])
            self.serve(to)
            left = bool(self.queue(to))
            assert self.poked == ([to] if left or not waited else [])

    @rule(sender=agents | st.just("operator"))
    def send_everyone(self, sender: str) -> None:
        """A message to everyone."""
        ids = result(self.broker.send(sender, "*", "x"))
        self.add(ids, [name for name in AGENTS if name != sender])
        self.serve_all()

    @rule(agent=agents)
    def begin_turn(self, agent: str) -> None:
        """A turn begins with the oldest, if it may."""
        if agent in self.turns:
            failed(self.broker.begin_turn(agent))
            return
        turn = result(self.broker.begin_turn(agent))
        if agent in self.paused or not self.queue(agent):
            assert turn is None
            return
        behind = len(self.queue(agent)) - 1
        assert turn.unread == behind
        self.turns[agent] = turn
        self.hand_out(agent, turn.id, [turn.message])

    @precondition(lambda self: self.turns)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def end_turn(self, data: st.DataObject, outcome: Outcome) -> None:
        """A turn ends; so do its waits."""
        agent = data.draw(st.sampled_from(sorted(self.turns)))
        turn = self.turns[agent]
        mine = self.held(turn.id)
        # Waits are served by what comes back while the turn's end is told.
        result(self.broker.end_turn(turn.id, TurnEnd(outcome)))
        del self.turns[agent]
        newest = max(self.sent)
        for one in mine:
            one.attempts += outcome.counts
            one.holder = None
            if outcome.finishes:
                one.state = "done"
            elif outcome.counts and one.attempts >= MAX_ATTEMPTS:
                one.state, one.marked = "dead", True
            else:
                self.give_back([one])
        self.end_waits(agent)
        self.take_notices(newest)
        self.serve_all()

    def take_notices(self, newest: int) -> None:
        """What the hive itself sent since: to who exists, nothing else."""
        rows = self.database.read(lambda c: MessageTable.page(c, None, None, 100))
        for row in rows:
            if row.id > newest and row.recipient != "operator":
                assert row.sender == "system"
                (to,) = (name for name in AGENTS if mailbox(name) == row.recipient)
                self.sent[row.id] = Sent(row.id, to)

    @rule(agent=agents, connection=connections, maximum=st.integers(1, 3))
    def receive(self, agent: str, connection: str, maximum: int) -> None:
        """A receive without a wait."""
        receiving = self.broker.receive(agent, connection, maximum)
        if agent not in self.turns and agent not in self.paused:
            failed(receiving, NotYourTurn)
            return
        messages = result(receiving)
        assert len(messages) == min(maximum, len(self.queue(agent)))
        self.hand_out(agent, self.holder(agent, connection), messages)

    @rule(agent=agents, connection=connections, maximum=st.integers(1, 3))
    def wait(self, agent: str, connection: str, maximum: int) -> None:
        """A receive that waits."""
        receiving = self.broker.receive(agent, connection, maximum, 30)
        if agent not in self.turns and agent not in self.paused:
            failed(receiving, NotYourTurn)
            return
        one = Waiting(connection, maximum, receiving)
        receiving.addCallback(one.got.append)
        self.waiting[agent].append(one)
        self.serve(agent)

    @precondition(lambda self: any(self.waiting.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody who waits leaves."""
        line = data.draw(
            st.sampled_from([line for line in self.waiting.values() if line])
        )
        one = data.draw(st.sampled_from(line))
        one.answer.addErrback(lambda failure: None)
        one.answer.cancel()
        line.remove(one)

    @rule()
    def time_passes(self) -> None:
        """All waits come to their end."""
        self.clock.advance(31)
        for agent in AGENTS:
            self.end_waits(agent)

    @rule(connection=connections)
    def acknowledge(self, connection: str) -> None:
        """A connection makes its next call."""
        result(self.broker.acknowledge(connection))
        for one in self.held(connection):
            one.state, one.holder = "done", None

    @rule(connection=connections)
    def release(self, connection: str) -> None:
        """A connection ends, and its waits with it."""
        result(self.broker.release(connection))
        for agent, line in self.waiting.items():
            for one in line:
                assert one.connection != connection or one.got == [[]]
            self.waiting[agent] = [one for one in line if one.connection != connection]
        self.give_back(self.held(connection))
        self.serve_all()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        """Messages could not be handed out. What a turn began with is not among them."""
        ids = data.draw(st.sets(st.sampled_from(sorted(self.sent)), max_size=4))
        began = {turn.message.id for turn in self.turns.values()}
        result(self.broker.give_back(tuple(ids)))
        leased = [one for one in self.sent.values() if one.state == "leased"]
        self.give_back([one for one in leased if one.id in ids - began])
        self.serve_all()

    @rule(agent=agents, paused=st.booleans())
    def pause(self, agent: str, paused: bool) -> None:
        """An agent is paused, or goes on; its waits end."""
        self.write(
            lambda c: c.execute(
                "UPDATE agents SET paused = ? WHERE name = ?", (paused, agent)
            )
        )
        self.broker.end_waits(agent)
        self.end_waits(agent)
        (self.paused.add if paused else self.paused.discard)(agent)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        """The operator queues a message again; only a dead one can be."""
        dead = [id for id, one in self.sent.items() if one.state == "dead"]
        one = self.sent[data.draw(st.sampled_from(dead or sorted(self.sent)))]
        requeueing = self.broker.requeue(one.id)
        if one.state != "dead":
            failed(requeueing)
            return
        result(requeueing)
        one.state, one.attempts = "queued", 0
        self.serve_all()

    @rule()
    def restart(self) -> None:
        """The daemon dies and another starts."""
        for _, one in self.everybody_waiting():
            one.answer.addErrback(lambda failure: None)
        self.waiting = {name: [] for name in AGENTS}
        self.start()
        leased = [one for one in self.sent.values() if one.state == "leased"]
        assert result(self.broker.recover()) == len(leased)
        self.give_back(leased)
        self.turns.clear()
        assert set(self.poked) == {one.to for one in leased}

    def everybody_waiting(self) -> Iterator[tuple[str, Waiting]]:
        """All receives that are not answered, with whose they are."""
        for agent, line in self.waiting.items():
            for one in line:
                yield agent, one

    # What always holds.

    @invariant()
    def as_on_disk(self) -> None:
        """The file says of every message what the model says; none is lost."""
        if not hasattr(self, "sent"):
            return
        rows = {row.id: row for row in self.database.read(_all)}
        mine = {id: row for id, row in rows.items() if row.recipient != "operator"}
        assert set(mine) == set(self.sent)
        for id, one in self.sent.items():
            row = rows[id]
            assert (row.state, row.redelivered, row.attempts) == (
                one.state,
                one.marked,
                one.attempts,
            ), (row, one)

    @invariant()
    def counted(self) -> None:
        """The count of what waits is right for everybody."""
        if not hasattr(self, "sent"):
            return
        for agent in AGENTS:
            assert self.broker.unread(agent) == len(self.queue(agent))
        queued = self.database.read(MessageTable.queued)
        assert self.broker.unread("operator") == queued.get("operator", 0)


def _all(connection: sqlite3.Connection) -> list[Any]:
    return MessageTable.page(connection, None, None, 1_000_000)


def result(answer: "Deferred[Any]") -> Any:
    """What a Deferred has come to; what failed is raised."""
    found: list[Any] = []
    errors: list[Any] = []
    answer.addCallbacks(found.append, errors.append)
    if errors:
        errors[0].raiseException()
    (value,) = found
    return value


def failed(answer: "Deferred[Any]", *kinds: type[Exception]) -> None:
    """A Deferred has failed, as expected."""
    errors: list[Any] = []
    answer.addErrback(errors.append)
    assert errors, "it did not fail"
    assert not kinds or errors[0].check(*kinds), errors[0]


class ModelTests(SynchronousTestCase):
    """The model's test."""

    def test_nothing_lost_nothing_twice_in_order(self) -> None:
        """kill, pause, fail, leave in any order: each message is where the contract says."""
        run_state_machine_as_test(
            Model,
            settings=settings(
                max_examples=100,
                stateful_step_count=40,
            ),
        )
