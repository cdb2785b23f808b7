"""Turns: what they lease, what becomes of it by each outcome, who is told of dead messages."""

import json
from typing import Any

from hyperhive.messages.interfaces import (
    MAX_ATTEMPTS,
    MessageState,
    NoSuchTurn,
    Notice,
    Outcome,
    TurnEnd,
    TurnRuns,
    UnknownRecipient,
    Usage,
)
from tests.messages.support import NOW, BrokerCase, HandCase

_FINISHING = (Outcome.OK, Outcome.CANCELLED)
_COUNTING = (Outcome.FAILED, Outcome.KILLED, Outcome.VANISHED)
_FREE = tuple(set(Outcome) - {*_FINISHING, *_COUNTING})


class BeginTests(BrokerCase):
    """What a turn begins with."""

    def test_the_oldest_message(self) -> None:
        """A turn takes the oldest queued message, leased to it, and knows what waits behind."""
        first, second, third = self.send(), self.send(), self.send()
        turn = self.begin()
        self.assertEqual((turn.agent, turn.started_at, turn.unread), ("bob", NOW, 2))
        self.assertEqual(turn.message.id, first)
        self.assertEqual(turn.message.state, MessageState.LEASED)
        self.assertEqual(self.row(first).turn, turn.id)
        self.assertEqual(
            self.states(first, second, third), ["leased", "queued", "queued"]
        )
        self.assertEqual(self.broker.unread("bob"), 2)

    def test_first_in_first_out(self) -> None:
        """Order is first in, first out for each recipient, whoever sent."""
        senders = ("alice", "operator", "manager", "alice", "bob")
        ids = [self.send(body=str(n), sender=who) for n, who in enumerate(senders)]
        self.send("alice")
        taken = []
        for _ in ids:
            turn = self.begin()
            taken.append(turn.message.id)
            self.end(turn)
        self.assertEqual(taken, ids)

    def test_nothing_queued(self) -> None:
        """Without a message there is no turn, and no row of one."""
        self.assertIsNone(self.successResultOf(self.broker.begin_turn("bob")))
        self.assertEqual(self.successResultOf(self.broker.turns("bob")), [])

    def test_waited(self) -> None:
        """How long its message waited is kept with the turn, but only of a fresh message."""
        self.send()
        self.clock.advance(2.5)
        self.end(self.begin(), Outcome.FAILED)
        self.clock.advance(60)
        self.end(self.begin())
        self.end(self.successResultOf(self.broker.begin_turn("bob", "compact")))
        rows = self.do(
            lambda connection: connection.execute(
                "SELECT waited_ms FROM turns ORDER BY id"
            ).fetchall()
        )
        self.assertEqual(rows, [(2500,), (None,), (None,)])

    def test_compaction(self) -> None:
        """A compaction is a turn without a message; what waits goes on waiting."""
        self.send()
        turn = self.successResultOf(self.broker.begin_turn("bob", "compact"))
        self.assertEqual((turn.message, turn.unread), (None, 1))
        (record,) = self.successResultOf(self.broker.turns("bob"))
        self.assertEqual((record.kind, record.ended_at), ("compact", None))

    def test_one_at_a_time(self) -> None:
        """One turn at a time for an agent; another agent's is no hindrance."""
        self.send()
        self.send()
        self.send("alice")
        turn = self.begin()
        self.failureResultOf(self.broker.begin_turn("bob"), TurnRuns)
        self.failureResultOf(self.broker.begin_turn("bob", "compact"), TurnRuns)
        self.assertEqual(self.broker.unread("bob"), 1)
        self.begin("alice")
        self.end(turn)
        self.begin()

    def test_paused(self) -> None:
        """Pause lets the running turn end and starts no other."""
        self.send()
        self.send()
        turn = self.begin()
        self.pause("bob")
        self.end(turn)
        for kind in ("message", "compact"):
            self.assertIsNone(self.successResultOf(self.broker.begin_turn("bob", kind)))
        self.pause("bob", False)
        self.begin()

    def test_nobody(self) -> None:
        """Who does not exist has no turns."""
        for kind in ("message", "compact"):
            self.failureResultOf(self.broker.begin_turn("eve", kind), UnknownRecipient)

    def test_the_managers_two_names(self) -> None:
        """A turn of manager is one of hm1nd."""
        self.send("manager")
        turn = self.begin("manager")
        self.assertEqual(turn.agent, "hm1nd")
        self.assertEqual(len(self.successResultOf(self.broker.turns("hm1nd"))), 1)
        self.assertEqual(len(self.successResultOf(self.broker.turns("manager"))), 1)


class EndTests(BrokerCase):
    """What becomes of a turn's messages."""

    def test_done(self) -> None:
        """A turn that ends well, or was cancelled by the operator, makes all of its messages done."""
        for outcome in _FINISHING:
            begun, received, later = self.send(), self.send(), self.send()
            turn = self.begin()
            self.assertEqual([message.id for message in self.receive()], [received])
            self.clock.advance(5)
            self.end(turn, outcome)
            self.assertEqual(
                self.states(begun, received, later), ["done", "done", "queued"]
            )
            self.assertEqual(self.row(begun).done_at, self.clock.seconds())
            self.assertFalse(self.row(begun).redelivered)
            self.end(self.begin())

    def test_given_back(self) -> None:
        """A turn that fails gives its messages back, marked; the attempt counts only for some."""
        for outcome in (*_COUNTING, *_FREE):
            begun, received = self.send(), self.send()
            turn = self.begin()
            self.receive()
            self.end(turn, outcome)
            for id in (begun, received):
                row = self.row(id)
                self.assertEqual((row.state, row.redelivered), ("queued", True))
                self.assertEqual(row.attempts, int(outcome in _COUNTING), outcome)
            self.assertEqual(self.broker.unread("bob"), 2)
            again = self.begin()
            self.assertEqual(
                (again.message.id, again.message.redelivered), (begun, True)
            )
            self.receive()
            self.end(again)

    def test_which_outcomes_count(self) -> None:
        """Only failed, killed and vanished count; parked, logged out, overloaded, drained do not."""
        self.assertEqual([o for o in Outcome if o.counts], list(_COUNTING))
        self.assertEqual(len(_FREE), 5)

    def test_given_back_before_what_came_since(self) -> None:
        """A message that was given back keeps its place."""
        first = self.send()
        turn = self.begin()
        self.send()
        self.end(turn, Outcome.RATE_LIMITED)
        self.assertEqual(self.begin().message.id, first)

    def test_only_its_own(self) -> None:
        """Another agent's turn keeps its messages."""
        self.send("alice")
        mine = self.send()
        self.begin("alice")
        self.end(self.begin())
        self.assertEqual(self.states(1, mine), ["leased", "done"])

    def test_not_running(self) -> None:
        """The end of a turn that does not run, or has ended, is an error and changes nothing."""
        self.send()
        turn = self.begin()
        for id in (turn.id + 1, 0, -5):
            self.failureResultOf(
                self.broker.end_turn(id, TurnEnd(Outcome.OK)), NoSuchTurn
            )
        self.end(turn, Outcome.FAILED)
        self.failureResultOf(
            self.broker.end_turn(turn.id, TurnEnd(Outcome.OK)), NoSuchTurn
        )
        self.assertEqual(self.states(1), ["queued"])

    def test_record(self) -> None:
        """What a turn came to is kept, newest first."""
        self.send()
        turn = self.begin()
        self.clock.advance(2.5)
        usage = Usage(1, 2, 3, 4, 5, 0.25)
        end = TurnEnd(Outcome.OK, "fine", usage, "session", "haiku")
        self.successResultOf(self.broker.end_turn(turn.id, end))
        self.successResultOf(self.broker.begin_turn("bob", "compact"))
        running, ended = self.successResultOf(self.broker.turns("bob"))
        self.assertEqual((running.kind, running.outcome), ("compact", None))
        self.assertEqual(
            (ended.id, ended.outcome, ended.note, ended.model, ended.usage),
            (turn.id, Outcome.OK, "fine", "haiku", usage),
        )
        self.assertEqual(
            (ended.as_wire()["duration_ms"], ended.as_wire()["outcome"]), (2500, "ok")
        )
        newest = self.successResultOf(self.broker.turns("bob", 1))
        self.assertEqual(newest, [running])

    def test_also_in_the_same_transaction(self) -> None:
        """What else is written with it is written with it, or none of it is."""
        self.send()
        turn = self.begin()

        def fail(connection: Any) -> None:
            connection.execute("UPDATE agents SET context = 7 WHERE name = 'bob'")
            raise RuntimeError("no")

        end = TurnEnd(Outcome.OK)
        notice = Notice("alice", "x")
        ending = self.broker.end_turn(turn.id, end, fail, (notice,))
        self.failureResultOf(ending, RuntimeError)
        self.assertEqual(self.states(1), ["leased"])
        self.assertEqual(self.broker.unread("alice"), 0)

        def work(connection: Any) -> None:
            connection.execute("UPDATE agents SET context = 7 WHERE name = 'bob'")

        self.successResultOf(self.broker.end_turn(turn.id, end, work, (notice,)))
        context = self.database.read(
            lambda c: c.execute(
                "SELECT context FROM agents WHERE name = 'bob'"
            ).fetchone()
        )
        self.assertEqual((self.states(1), context), (["done"], (7,)))
        (message,) = self.inbox("alice")
        self.assertEqual((message.sender, message.body), ("system", "x"))

    def test_notices_to_nobody(self) -> None:
        """A notice to who is gone is logged; the turn ends all the same."""
        self.send()
        turn = self.begin()
        notices = (Notice("eve", "x"), Notice("hm1nd", "y"))
        end = TurnEnd(Outcome.OK)
        self.successResultOf(self.broker.end_turn(turn.id, end, notices=notices))
        self.assertEqual(self.states(1), ["done"])
        self.assertEqual([message.body for message in self.inbox("manager")], ["y"])


class DeadTests(BrokerCase):
    """Messages whose attempts are used up."""

    def use_up(self, id: int, agent: str = "bob") -> None:
        """Fail turn after turn with the message, the last with a note."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            turn = self.begin(agent)
            self.assertEqual(
                (turn.message.id, turn.message.attempts), (id, attempt - 1)
            )
            self.end(turn, _COUNTING[attempt % 3], f"note {attempt}")

    def test_after_five_attempts(self) -> None:
        """After 5 attempts a message is dead: its sender and the operator are told."""
        id = self.send("bob", sender="alice")
        self.use_up(id)
        self.assertEqual((self.states(id), self.row(id).attempts), (["dead"], 5))
        self.assertIsNone(self.successResultOf(self.broker.begin_turn("bob")))
        (to_sender,) = self.inbox("alice")
        self.assertEqual(to_sender.sender, "system")
        body = json.loads(to_sender.body)
        self.assertIn("note 5", body.pop("note"))
        self.assertEqual(body, {"event": "message_dead", "id": id, "to": "bob"})
        (to_operator,) = self.inbox("operator")
        self.assertEqual(to_operator.sender, "system")
        for part in (str(id), "alice", "bob", "note 5"):
            self.assertIn(part, to_operator.body)
        self.assertEqual(self.broker.unread("bob"), 0)

    def test_attempts_that_do_not_count(self) -> None:
        """However often an agent is parked or drained with it, a message does not die."""
        id = self.send()
        for outcome in _FREE * 3:
            self.end(self.begin(), outcome)
        self.assertEqual((self.states(id), self.row(id).attempts), (["queued"], 0))

    def test_only_those_used_up(self) -> None:
        """A message that joined the last turn goes back to the queue."""
        id = self.send()
        for _ in range(MAX_ATTEMPTS - 1):
            self.end(self.begin(), Outcome.FAILED)
        later = self.send()
        turn = self.begin()
        self.receive()
        self.end(turn, Outcome.FAILED)
        self.assertEqual(self.states(id, later), ["dead", "queued"])
        self.assertEqual((self.row(later).attempts, self.broker.unread("bob")), (1, 1))

    def test_sent_by_the_operator(self) -> None:
        """The operator is told once."""
        self.use_up(self.send(sender="operator"))
        self.assertEqual(len(self.inbox("operator")), 1)

    def test_sent_by_the_hive(self) -> None:
        """A dead notice is told to the operator only: no notice of a notice."""
        self.use_up(self.send("alice", sender="system"), "alice")
        self.assertEqual(len(self.inbox("operator")), 1)
        self.assertEqual(len(self.successResultOf(self.broker.history())), 2)

    def test_a_notice_that_dies(self) -> None:
        """The chain ends with the operator."""
        self.use_up(self.send("bob", sender="alice"))
        (notice,) = self.inbox("alice")
        self.use_up(notice.id, "alice")
        self.assertEqual(len(self.inbox("operator")), 2)
        self.assertEqual(len(self.successResultOf(self.broker.history())), 4)

    def test_sent_by_who_is_gone(self) -> None:
        """A sender that was destroyed is not told; the operator is."""
        id = self.send("bob", sender="alice")
        self.do(lambda c: c.execute("DELETE FROM agents WHERE name = 'alice'"))
        self.use_up(id)
        self.assertEqual(self.states(id), ["dead"])
        self.assertEqual(len(self.inbox("operator")), 1)
        self.assertEqual(len(self.successResultOf(self.broker.history())), 2)

    def test_sent_by_the_manager(self) -> None:
        """The manager is a sender as the others."""
        self.use_up(self.send("bob", sender="hm1nd"))
        self.assertEqual(len(self.inbox("manager")), 1)

    def test_sent_to_oneself(self) -> None:
        """An agent is told of its own message to itself."""
        self.use_up(self.send("bob", sender="bob"))
        self.assertEqual(self.begin().message.sender, "system")

    def test_events(self) -> None:
        """The bus hears of each step, of the death with the turn."""
        id = self.send("bob", sender="alice")
        self.use_up(id)
        steps = ["message_leased", "message_requeued"] * 4 + ["message_leased"]
        self.assertEqual(self.kinds(id), ["message_sent", *steps, "message_dead"])
        (dead,) = [event for event in self.events if event["kind"] == "message_dead"]
        self.assertEqual(
            {key: dead[key] for key in ("id", "from", "to", "state", "turn", "agent")},
            {
                "id": id,
                "from": "alice",
                "to": "bob",
                "state": "dead",
                "turn": 5,
                "agent": "bob",
            },
        )


class CommitTests(HandCase):
    """Turns and what happens at the same moment."""

    def test_events_after_the_commit(self) -> None:
        """What becomes of messages is told when it is on disk, not before."""
        self.send()
        beginning = self.broker.begin_turn("bob")
        self.hand.commit()
        self.assertEqual((len(self.events), self.broker.unread("bob")), (1, 1))
        self.hand.answer()
        turn = self.successResultOf(beginning)
        self.assertEqual((len(self.events), self.broker.unread("bob")), (2, 0))
        ending = self.broker.end_turn(turn.id, TurnEnd(Outcome.OK))
        self.hand.commit()
        self.assertNoResult(ending)
        self.assertEqual(len(self.events), 2)
        self.hand.answer()
        self.successResultOf(ending)
        self.assertEqual(
            [event["kind"] for event in self.events],
            ["message_sent", "message_leased", "message_done"],
        )

    def test_a_begin_that_is_not_awaited(self) -> None:
        """Its turn runs all the same, and one at a time still holds."""
        self.send()
        self.send()
        beginning = self.broker.begin_turn("bob")
        beginning.addErrback(lambda failure: None)
        beginning.cancel()
        again = self.broker.begin_turn("bob")
        self.hand.finish()
        self.failureResultOf(again, TurnRuns)

    def test_an_end_that_is_not_awaited(self) -> None:
        """The turn ends all the same, and the next can begin."""
        first, second = self.send(), self.send()
        ending = self.broker.end_turn(self.begin().id, TurnEnd(Outcome.OK))
        ending.addErrback(lambda failure: None)
        ending.cancel()
        self.assertEqual(self.begin().message.id, second)
        self.assertEqual(self.states(first), ["done"])

    def test_an_end_that_could_not_be_written(self) -> None:
        """The turn still runs, so that its end can be written later."""
        self.send()
        turn = self.begin()
        ending = self.broker.end_turn(turn.id, TurnEnd(Outcome.OK))
        self.database.write(
            lambda connection: connection.execute("ROLLBACK") and 1 / 0
        ).addErrback(lambda failure: None)
        self.hand.finish()
        self.failureResultOf(ending, ZeroDivisionError)
        self.finished(self.broker.end_turn(turn.id, TurnEnd(Outcome.OK)))
        self.assertEqual(self.states(1), ["done"])

    def test_two_ends_at_once(self) -> None:
        """A turn ends once; the second is an error."""
        self.send()
        turn = self.begin()
        first = self.broker.end_turn(turn.id, TurnEnd(Outcome.OK))
        second = self.broker.end_turn(turn.id, TurnEnd(Outcome.FAILED))
        self.hand.finish()
        self.successResultOf(first)
        self.failureResultOf(second, NoSuchTurn)
        self.assertEqual(self.states(1), ["done"])
