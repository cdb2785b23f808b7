"""The operator's inbox, requeueing, destroyed agents, a daemon that died, retention."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from hyperhive.messages.broker import KEPT_SECONDS, PRUNE_BITE
from hyperhive.messages.interfaces import (
    MAX_ATTEMPTS,
    IBroker,
    NoSuchMessage,
    NotDead,
    Notice,
    Outcome,
    UnknownRecipient,
)
from tests.messages.support import NOW, BrokerCase, HandCase


class InterfaceTests(BrokerCase):
    """The broker as others know it."""

    def test_is_a_broker(self) -> None:
        """It has every method of the interface, with its arguments."""
        self.assertTrue(verifyObject(IBroker, self.broker))


class OperatorTests(BrokerCase):
    """The operator's inbox."""

    def test_unread_until_marked(self) -> None:
        """Rows wait until they are marked read; then they are done, and told."""
        first, second = (self.send("operator", sender="bob") for _ in range(2))
        self.assertEqual(self.broker.unread("operator"), 2)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(self.broker.mark_read((first,))), 1)
        self.assertEqual(self.broker.unread("operator"), 1)
        self.assertEqual(self.states(first, second), ["done", "queued"])
        self.assertEqual(
            (self.row(first).read_at, self.row(first).done_at), (NOW + 5,) * 2
        )
        self.assertEqual(
            [message.read for message in self.inbox("operator")], [True, False]
        )
        self.assertEqual(self.kinds(first), ["message_sent", "message_done"])
        self.assertEqual(self.poked, [])

    def test_counts_what_was_not_read(self) -> None:
        """Rows that are read, that are others' or that are none do not count."""
        mine, others = self.send("operator", sender="bob"), self.send("bob")
        for count in (1, 0):
            read = self.broker.mark_read((mine, others, 99))
            self.assertEqual(self.successResultOf(read), count)
        self.assertEqual(self.successResultOf(self.broker.mark_read(())), 0)
        self.assertEqual(self.states(others), ["queued"])
        self.assertEqual(self.broker.unread("bob"), 1)


class RequeueTests(BrokerCase):
    """Dead messages, queued again."""

    def kill(self, id: int) -> None:
        """Fail turns with the message until it is dead."""
        for _ in range(MAX_ATTEMPTS):
            turn = self.begin()
            self.assertEqual(turn.message.id, id)
            self.end(turn, Outcome.FAILED)

    def test_as_if_no_turn_had_failed(self) -> None:
        """The operator can requeue it: it has five attempts again, is marked, and wakes."""
        id = self.send()
        self.kill(id)
        self.poked.clear()
        self.successResultOf(self.broker.requeue(id))
        row = self.row(id)
        self.assertEqual(
            (row.state, row.attempts, row.redelivered), ("queued", 0, True)
        )
        self.assertEqual((self.poked, self.broker.unread("bob")), (["bob"], 1))
        self.assertEqual(self.kinds(id)[-1], "message_requeued")
        self.kill(id)
        self.assertEqual(self.states(id), ["dead"])

    def test_only_dead_ones(self) -> None:
        """A message in another state is refused, and the text says in which it is."""
        id = self.send()
        for state in ("queued", "leased", "done"):
            failure = self.failureResultOf(self.broker.requeue(id), NotDead)
            self.assertIn(state, str(failure.value))
            if state == "queued":
                turn = self.begin()
            elif state == "leased":
                self.end(turn)
        self.assertEqual(self.states(id), ["done"])

    def test_unknown(self) -> None:
        """An id that is none is an error."""
        for id in (1, 0, 2**63, -(10**30)):
            failure = self.failureResultOf(self.broker.requeue(id), NoSuchMessage)
            self.assertIn(str(id), str(failure.value))

    def test_of_who_is_gone(self) -> None:
        """A message to an agent that was destroyed stays dead, until there is one of that name."""
        id = self.send()
        self.successResultOf(self.broker.bury("bob", remove("bob")))
        self.failureResultOf(self.broker.requeue(id), UnknownRecipient)
        self.assertEqual(self.states(id), ["dead"])
        self.add_agent("bob")
        self.successResultOf(self.broker.requeue(id))
        self.assertEqual(self.begin().message.id, id)


def remove(name: str) -> Any:
    """The deletion of an agent's row, of which nobody is told more."""

    def delete(connection: Any) -> tuple[Notice, ...]:
        connection.execute("DELETE FROM agents WHERE name = ?", (name,))
        return ()

    return delete


class BuryTests(BrokerCase):
    """An agent that is destroyed."""

    def bury(self) -> int:
        """Destroy bob."""
        return int(self.successResultOf(self.broker.bury("bob", remove("bob"))))

    def test_what_waits_is_dead(self) -> None:
        """Queued and leased messages become dead; what is done or another's stays."""
        done = self.send()
        self.end(self.begin())
        leased, queued, others = self.send(), self.send(), self.send("alice")
        self.begin()
        self.assertEqual(self.bury(), 2)
        self.assertEqual(
            self.states(done, leased, queued, others),
            ["done", "dead", "dead", "queued"],
        )
        self.assertEqual(
            (self.row(leased).redelivered, self.row(queued).redelivered), (True, False)
        )
        self.assertEqual(self.broker.unread("bob"), 0)
        self.failureResultOf(self.broker.send("alice", "bob", "x"), UnknownRecipient)

    def test_senders_are_told(self) -> None:
        """Each sender hears of each of its messages; the operator once of all."""
        first = self.send(sender="alice")
        second = self.send(sender="alice")
        self.send(sender="operator")
        self.send(sender="system")
        self.send(sender="bob")
        self.bury()
        notices = [json.loads(message.body) for message in self.inbox("alice")]
        for notice, id in zip(notices, (first, second), strict=True):
            self.assertIn("destroyed", notice.pop("note"))
            self.assertEqual(notice, {"event": "message_dead", "id": id, "to": "bob"})
        (summary,) = self.inbox("operator")
        self.assertIn("bob", summary.body)
        self.assertIn("5 messages", summary.body)
        self.assertEqual(self.kinds(first)[-1], "message_dead")

    def test_nothing_waits(self) -> None:
        """Then nobody is told anything."""
        self.send()
        self.end(self.begin())
        self.assertEqual(self.bury(), 0)
        self.assertEqual(self.inbox("operator"), [])

    def test_one_transaction(self) -> None:
        """If the agent can't be removed, its messages stay."""

        def fail(connection: Any) -> None:
            raise RuntimeError("no")

        id = self.send()
        self.failureResultOf(self.broker.bury("bob", fail), RuntimeError)
        self.assertEqual(self.states(id), ["queued"])
        self.assertEqual((self.inbox("operator"), self.broker.unread("bob")), ([], 1))

    def test_what_else_is_told(self) -> None:
        """What the removal ends besides is told in the same transaction."""
        self.send()

        def delete(connection: Any) -> tuple[Notice, ...]:
            remove("bob")(connection)
            return (Notice("hm1nd", "its approval is cancelled"),)

        self.successResultOf(self.broker.bury("bob", delete))
        [notice] = self.inbox("manager")
        self.assertEqual(
            (notice.sender, notice.body), ("system", "its approval is cancelled")
        )

    def test_the_turn_may_end_later(self) -> None:
        """A turn that runs meanwhile can still be ended; its messages stay dead."""
        id = self.send()
        turn = self.begin()
        self.bury()
        self.end(turn)
        self.assertEqual(self.states(id), ["dead"])
        self.add_agent("bob")
        self.send()
        self.begin()


class TellTests(BrokerCase):
    """Something that is done and told in one transaction."""

    def test_tell(self) -> None:
        """What came of it is told, and answered."""

        def notices(result: int) -> tuple[Notice, ...]:
            return Notice("bob", f"it came to {result}"), Notice("eve", "nobody")

        done = self.broker.tell(lambda connection: 42, notices)
        self.assertEqual(self.successResultOf(done), 42)
        [message] = self.inbox("bob")
        self.assertEqual((message.sender, message.body), ("system", "it came to 42"))
        self.assertEqual(self.broker.unread("bob"), 1)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_what_is_refused_is_not_told(self) -> None:
        """If it raises, nothing is written and nobody is told."""

        def act(connection: Any) -> None:
            remove("bob")(connection)
            raise RuntimeError("no")

        done = self.broker.tell(act, lambda result: (Notice("bob", "done"),))
        self.failureResultOf(done, RuntimeError)
        self.assertEqual(self.inbox("bob"), [])

    def test_what_can_not_be_told_is_not_done(self) -> None:
        """If what is told can't be made, nothing is done either."""

        def notices(result: None) -> tuple[Notice, ...]:
            raise RuntimeError("no words")

        def act(connection: Any) -> None:
            remove("bob")(connection)

        self.failureResultOf(self.broker.tell(act, notices), RuntimeError)
        self.assertEqual(self.inbox("bob"), [])


class RecoveryTests(BrokerCase):
    """A daemon that starts after another died."""

    def restart(self) -> int:
        """Leave everything as kill -9 does, and start anew."""
        self.start()
        return int(self.successResultOf(self.broker.recover()))

    def test_leases_go_back(self) -> None:
        """Everything leased to a turn that is not running goes back, marked, no attempt counted."""
        begun, received, queued = self.send(), self.send(), self.send()
        self.begin()
        self.receive()
        self.assertEqual(self.restart(), 2)
        for id, marked in ((begun, True), (received, True), (queued, False)):
            row = self.row(id)
            self.assertEqual(
                (row.state, row.redelivered, row.attempts), ("queued", marked, 0)
            )
        self.assertEqual(self.poked, ["bob"])
        self.assertEqual(self.kinds(begun), ["message_requeued"])
        turn = self.begin()
        self.assertEqual((turn.message.id, turn.message.redelivered), (begun, True))

    def test_turns_are_ended(self) -> None:
        """A turn that the dead daemon left is ended as drained, and says why."""
        self.send()
        self.begin()
        self.clock.advance(60)
        self.restart()
        (record,) = self.successResultOf(self.broker.turns("bob"))
        self.assertEqual((record.outcome, record.ended_at), (Outcome.DRAINED, NOW + 60))
        self.assertIn("daemon", record.note)

    def test_attended_messages_go_back(self) -> None:
        """What a connection to the dead daemon had goes back, marked."""
        self.pause("bob")
        id = self.send()
        self.receive()
        self.restart()
        row = self.row(id)
        self.assertEqual(
            (row.state, row.redelivered, row.connection), ("queued", True, None)
        )

    def test_counts_are_taken_from_the_file(self) -> None:
        """Before and after recovery, what is queued is counted."""
        self.send()
        self.send()
        self.begin()
        self.send("operator", sender="bob")
        self.start()
        self.assertEqual(
            (self.broker.unread("bob"), self.broker.unread("operator")), (1, 1)
        )
        self.successResultOf(self.broker.recover())
        self.assertEqual(self.broker.unread("bob"), 2)

    def test_connections_before_recovery(self) -> None:
        """Sockets listen first: what a living connection got before recovery stays with it."""
        self.pause("bob")
        old, new = self.send(), self.send()
        self.receive()
        self.start()
        self.assertEqual([message.id for message in self.receive()], [new])
        self.successResultOf(self.broker.recover())
        self.assertEqual(self.states(old, new), ["queued", "leased"])
        self.successResultOf(self.broker.acknowledge("c"))
        self.assertEqual(self.states(old, new), ["queued", "done"])

    def test_a_turn_of_the_dead_daemon(self) -> None:
        """Before recovery, nothing is leased to a turn that nobody runs."""
        self.send()
        self.send()
        self.begin()
        self.start()
        self.failureResultOf(self.broker.receive("bob", "c"))
        self.assertEqual(self.broker.unread("bob"), 1)

    def test_nothing_to_recover(self) -> None:
        """After a clean end nothing is marked and nobody is woken by it."""
        id = self.send()
        self.end(self.begin())
        self.assertEqual(self.restart(), 0)
        self.assertEqual((self.states(id), self.poked, self.events), (["done"], [], []))


class RetentionTests(BrokerCase):
    """What is forgotten, and what never."""

    def prune(self) -> int:
        """Forget what is due."""
        return int(self.successResultOf(self.broker.prune()))

    def test_thirty_days_after_done(self) -> None:
        """Done rows go 30 days after they were done, not after they were sent."""
        self.assertEqual(KEPT_SECONDS, 30 * 24 * 60 * 60)
        early, late, read = (
            self.send(),
            self.send(),
            self.send("operator", sender="bob"),
        )
        self.clock.advance(KEPT_SECONDS)
        self.end(self.begin())
        self.clock.advance(60)
        self.end(self.begin())
        self.successResultOf(self.broker.mark_read((read,)))
        self.assertEqual(self.prune(), 0)
        self.clock.advance(KEPT_SECONDS - 30)
        self.assertEqual(self.prune(), 1)
        left = self.successResultOf(self.broker.history())
        self.assertEqual([message.id for message in left], [late, read])
        self.failureResultOf(self.broker.requeue(early), NoSuchMessage)
        self.clock.advance(60)
        self.assertEqual(self.prune(), 2)

    def test_what_stays(self) -> None:
        """Queued, leased and dead rows never go by themselves."""
        dead, leased, queued = self.send(), self.send("alice"), self.send("operator")
        self.begin("alice")
        for _ in range(MAX_ATTEMPTS):
            self.end(self.begin(), Outcome.KILLED)
        self.clock.advance(100 * KEPT_SECONDS)
        self.assertEqual(self.prune(), 0)
        self.assertEqual(
            self.states(dead, leased, queued), ["dead", "leased", "queued"]
        )

    def test_ids_are_not_used_again(self) -> None:
        """Ids grow even after the newest message was forgotten."""
        id = self.send()
        self.end(self.begin())
        self.clock.advance(2 * KEPT_SECONDS)
        self.prune()
        self.assertGreater(self.send(), id)


class BiteTests(HandCase):
    """Retention among other writes."""

    def test_in_bites(self) -> None:
        """However much is due, one write forgets a bounded number, and others come between."""
        self.do(
            lambda connection: connection.executemany(
                "INSERT INTO messages (sender, recipient, body, sent_at, state, done_at) "
                "VALUES ('alice', 'bob', 'x', 0, 'done', 0)",
                [()] * (PRUNE_BITE + 10),
            )
        )
        pruning = self.broker.prune()
        self.hand.commit()
        sending = self.broker.send("alice", "bob", "between")
        self.hand.answer()
        self.hand.commit()
        self.hand.answer()
        self.successResultOf(sending)
        self.assertNoResult(pruning)
        self.hand.finish()
        self.assertEqual(self.successResultOf(pruning), PRUNE_BITE + 10)


class VocabularyTests(SynchronousTestCase):
    """Words that others rely on."""

    def test_outcomes(self) -> None:
        """The ten outcomes of the contract."""
        self.assertEqual(
            {outcome.value for outcome in Outcome},
            {
                "ok",
                "cancelled",
                "prompt_too_long",
                "rate_limited",
                "overloaded",
                "auth_failed",
                "drained",
                "failed",
                "killed",
                "vanished",
            },
        )
