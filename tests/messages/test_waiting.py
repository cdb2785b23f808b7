"""Receiving: at once or after a wait, in a turn or attended, and leaving at any moment."""

import math

from twisted.internet.defer import CancelledError, Deferred

from hyperhive.messages.interfaces import (
    Message,
    MessageState,
    NotYourTurn,
    Outcome,
    TurnEnd,
    UnknownRecipient,
)
from hyperhive.store.messages import MessageTable
from tests.messages.support import RECV_WAIT, BrokerCase, HandCase


class InTurnTests(BrokerCase):
    """``recv`` within a turn of bob's. Message 1 began it."""

    def setUp(self) -> None:
        """Begin a turn."""
        super().setUp()
        self.send()
        self.turn = self.begin()

    def wait(self, seconds: float = 10, **how: int) -> "Deferred[list[Message]]":
        """Wait for a message."""
        return self.broker.receive("bob", "c", wait_seconds=seconds, **how)

    def test_leased_to_the_turn(self) -> None:
        """What the agent takes with recv inside a turn is leased to the same turn."""
        id = self.send(body="more")
        (message,) = self.receive()
        self.assertEqual(
            (message.id, message.body, message.state), (id, "more", MessageState.LEASED)
        )
        row = self.row(id)
        self.assertEqual((row.turn, row.connection), (self.turn.id, None))

    def test_oldest_first_up_to_the_maximum(self) -> None:
        """As many as were asked for, in order; one if nothing was said."""
        ids = [self.send() for _ in range(5)]
        self.assertEqual([m.id for m in self.receive()], ids[:1])
        self.assertEqual([m.id for m in self.receive(maximum=3)], ids[1:4])
        self.assertEqual([m.id for m in self.receive(maximum=3)], ids[4:])
        self.assertEqual(self.receive(maximum=3), [])

    def test_never_waits_unasked(self) -> None:
        """Without wait_seconds, or with none, it answers at once, also with nothing."""
        self.assertEqual(self.receive(), [])
        for seconds in (0, -5, math.nan):
            self.assertEqual(self.successResultOf(self.wait(seconds)), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_once_if_something_is_there(self) -> None:
        """A wait with something queued is none."""
        id = self.send()
        (message,) = self.successResultOf(self.wait())
        self.assertEqual(message.id, id)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ends_at_the_first_message(self) -> None:
        """A wait is answered by the send, and leaves no timer."""
        waiting = self.wait(maximum=5)
        self.assertNoResult(waiting)
        id = self.send()
        (message,) = self.successResultOf(waiting)
        self.assertEqual((message.id, self.row(id).turn), (id, self.turn.id))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(
            self.poked, ["bob"], "only by the first message, before the turn"
        )

    def test_ends_at_its_time(self) -> None:
        """A wait that nobody answers is answered with nothing at its time, not before."""
        waiting = self.wait(10)
        self.clock.advance(9.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(waiting), [])
        id = self.send()
        self.assertEqual(self.states(id), ["queued"])

    def test_capped(self) -> None:
        """No wait is longer than the setting."""
        waiting = self.wait(1e9)
        self.clock.advance(RECV_WAIT - 1)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waiting), [])

    def test_never_polls(self) -> None:
        """While it waits there is one timer, its end, and nothing is read or written."""
        waiting = self.wait(30)
        (timer,) = self.clock.getDelayedCalls()
        self.assertEqual(timer.getTime() - self.clock.seconds(), 30)
        self.database.write = self.database.read = self.fail
        for _ in range(29):
            self.clock.advance(1)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(waiting), [])

    def test_first_waiting_first_served(self) -> None:
        """Each message goes to whoever has waited longest."""
        waits = [self.wait() for _ in range(3)]
        for waiting in waits:
            id = self.send()
            (message,) = self.successResultOf(waiting)
            self.assertEqual(message.id, id)

    def test_one_message_for_two_who_wait(self) -> None:
        """The second goes on waiting."""
        first, second = self.wait(), self.wait()
        self.send()
        self.assertEqual(len(self.successResultOf(first)), 1)
        self.assertNoResult(second)

    def test_served_by_what_was_given_back(self) -> None:
        """A wait is also ended by a message that is queued again."""
        id = self.send()
        self.receive()
        waiting = self.wait()
        self.successResultOf(self.broker.give_back((id,)))
        (message,) = self.successResultOf(waiting)
        self.assertEqual((message.id, message.redelivered), (id, True))

    def test_end_of_the_turn(self) -> None:
        """The end of the turn ends its waits with nothing; what comes then wakes the agent."""
        waits = [self.wait(), self.wait()]
        self.end(self.turn)
        self.assertEqual([self.successResultOf(wait) for wait in waits], [[], []])
        self.poked.clear()
        self.send()
        self.assertEqual(self.poked, ["bob"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shutdown(self) -> None:
        """Shutdown ends waits with nothing, and from then on nobody waits."""
        waiting = self.wait()
        self.broker.close()
        self.assertEqual(self.successResultOf(waiting), [])
        self.assertEqual(self.successResultOf(self.wait()), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_disconnect(self) -> None:
        """The end of its connection ends a wait; another connection's goes on."""
        mine = self.wait()
        other = self.broker.receive("bob", "d", wait_seconds=10)
        self.successResultOf(self.broker.release("c"))
        self.assertEqual(self.successResultOf(mine), [])
        self.send()
        self.assertEqual(len(self.successResultOf(other)), 1)

    def test_cancelled_while_waiting(self) -> None:
        """Who leaves gets nothing; the next message stays queued and wakes the agent."""
        waiting = self.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.poked.clear()
        id = self.send()
        self.assertEqual((self.states(id), self.poked), (["queued"], ["bob"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_is_not_a_turn(self) -> None:
        """A turn's messages are neither done nor given back by what a connection does."""
        id = self.send()
        self.receive()
        self.successResultOf(self.broker.acknowledge("c"))
        self.successResultOf(self.broker.release("c"))
        self.assertEqual(self.states(id), ["leased"])

    def test_given_back(self) -> None:
        """What could not be handed out is queued again, marked, in its place."""
        first, second = self.send(), self.send()
        self.receive(maximum=2)
        self.successResultOf(self.broker.give_back((second, first)))
        self.assertEqual(self.broker.unread("bob"), 2)
        again = self.receive(maximum=2)
        self.assertEqual(
            [(m.id, m.redelivered) for m in again], [(first, True), (second, True)]
        )

    def test_given_back_too_late(self) -> None:
        """Messages that have gone on since, done or handed out anew, are left alone."""
        done, anew = self.send(), self.send()
        self.receive()
        self.end(self.turn)
        turn = self.begin()
        self.assertEqual(turn.message.id, anew)
        self.successResultOf(self.broker.give_back((done, anew, 99)))
        self.assertEqual(self.states(done, anew), ["done", "leased"])
        self.end(turn, Outcome.DRAINED)
        self.assertEqual(self.begin().message.id, anew)
        self.successResultOf(self.broker.give_back((anew,)))
        self.assertEqual(self.states(anew), ["leased"])

    def test_the_agent_that_is_destroyed(self) -> None:
        """Its waits end with nothing."""
        waiting = self.wait()
        self.successResultOf(self.broker.bury("bob", lambda connection: ()))
        self.assertEqual(self.successResultOf(waiting), [])

    def test_messages_of_others(self) -> None:
        """A wait is not ended by another's message."""
        waiting = self.wait()
        self.send("alice")
        self.assertNoResult(waiting)


class OutsideTests(BrokerCase):
    """``recv`` outside a turn, of an agent that is not paused."""

    def test_refused(self) -> None:
        """While the agent is not paused its messages belong to its turns; the error says so."""
        id = self.send()
        for seconds in (None, 10):
            failure = self.failureResultOf(
                self.broker.receive("bob", "c", wait_seconds=seconds), NotYourTurn
            )
            self.assertIn("not in a turn", str(failure.value))
            self.assertIn("paused", str(failure.value))
        self.assertEqual(self.states(id), ["queued"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_the_turn(self) -> None:
        """It is so again when a turn has ended."""
        self.send()
        self.end(self.begin())
        self.failureResultOf(self.broker.receive("bob", "c"), NotYourTurn)

    def test_nobody(self) -> None:
        """Who does not exist receives nothing; nor is the operator an agent."""
        for name in ("eve", "operator"):
            self.failureResultOf(self.broker.receive(name, "c"), UnknownRecipient)


class AttendedTests(BrokerCase):
    """A paused agent, attended through connections c and d."""

    def setUp(self) -> None:
        """Pause bob."""
        super().setUp()
        self.pause("bob")

    def attended(self, connection: str = "c", maximum: int = 1) -> list[int]:
        """Receive through a connection."""
        found = self.broker.receive("bob", connection, maximum)
        return [message.id for message in self.successResultOf(found)]

    def test_done_at_its_next_call(self) -> None:
        """What a connection receives is leased to it, and done at its next call."""
        id = self.send()
        self.assertEqual(self.attended(), [id])
        self.assertEqual((self.states(id), self.row(id).turn), (["leased"], None))
        self.successResultOf(self.broker.acknowledge("c"))
        self.assertEqual(self.states(id), ["done"])
        self.assertEqual(self.row(id).done_at, self.clock.seconds())
        self.assertEqual(
            self.kinds(id), ["message_sent", "message_leased", "message_done"]
        )

    def test_given_back_when_it_ends(self) -> None:
        """It is given back, marked, when the connection ends before."""
        id = self.send()
        self.attended()
        self.successResultOf(self.broker.release("c"))
        row = self.row(id)
        self.assertEqual(
            (row.state, row.redelivered, row.attempts), ("queued", True, 0)
        )
        self.assertEqual(self.broker.unread("bob"), 1)
        self.assertEqual(self.poked, ["bob", "bob"])
        self.successResultOf(self.broker.acknowledge("c"))
        self.assertEqual(self.states(id), ["queued"])

    def test_only_on_the_same_connection(self) -> None:
        """Another connection's call or end changes nothing."""
        id = self.send()
        self.attended("c")
        self.successResultOf(self.broker.acknowledge("d"))
        self.successResultOf(self.broker.release("d"))
        self.assertEqual(self.states(id), ["leased"])

    def test_acknowledged_once(self) -> None:
        """What was done at one call is not given back at the end."""
        first, second = self.send(), self.send()
        self.attended()
        self.successResultOf(self.broker.acknowledge("c"))
        self.attended()
        self.successResultOf(self.broker.release("c"))
        self.assertEqual(self.states(first, second), ["done", "queued"])

    def test_nothing_to_acknowledge(self) -> None:
        """A call of a connection that has nothing, or nothing any more, writes nothing."""
        ids = (self.send(), self.send())
        self.attended()
        self.successResultOf(self.broker.acknowledge("c"))
        self.pause("bob", False)
        turn = self.begin()
        self.end(turn)
        self.database.write = self.fail
        self.successResultOf(self.broker.acknowledge("c"))
        self.successResultOf(self.broker.release("c"))
        self.successResultOf(self.broker.give_back(ids))

    def test_waits(self) -> None:
        """An attendant can wait as an agent can, without a word to the paused agent's turns."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        id = self.send()
        self.assertEqual([m.id for m in self.successResultOf(waiting)], [id])
        self.assertEqual(self.poked, [])

    def test_going_on(self) -> None:
        """When the pause ends, so do the waits; the next message is for a turn."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.pause("bob", False)
        self.broker.end_waits("bob")
        self.assertEqual(self.successResultOf(waiting), [])
        self.send()
        self.assertEqual(self.poked, ["bob"])

    def test_going_on_unannounced(self) -> None:
        """A message that comes after the pause is not given to who still waits."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.pause("bob", False)
        id = self.send()
        self.assertEqual(self.successResultOf(waiting), [])
        self.assertEqual((self.states(id), self.poked), (["queued"], ["bob"]))

    def test_held_while_the_agent_goes_on(self) -> None:
        """What a connection has stays with it when the agent's turns go on."""
        first, second = self.send(), self.send()
        self.attended()
        self.pause("bob", False)
        turn = self.begin()
        self.assertEqual(turn.message.id, second)
        self.end(turn)
        self.assertEqual(self.states(first, second), ["leased", "done"])
        self.successResultOf(self.broker.acknowledge("c"))
        self.assertEqual(self.states(first), ["done"])

    def test_paused_within_a_turn(self) -> None:
        """While the running turn ends, what is received is the turn's."""
        self.pause("bob", False)
        self.send()
        id = self.send()
        turn = self.begin()
        self.pause("bob")
        self.assertEqual(self.attended(), [id])
        self.assertEqual(self.row(id).turn, turn.id)


class LeavingTests(HandCase):
    """Leaving while something is being written. bob is in a turn with message 1."""

    def setUp(self) -> None:
        """Begin a turn."""
        super().setUp()
        self.send()
        self.turn = self.begin()

    def leave(self, waiting: "Deferred[list[Message]]") -> None:
        """Cancel a receive."""
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def assert_untouched(self, id: int) -> None:
        """Nothing is leased, and the message bears no mark: nobody had it."""
        row = self.row(id)
        self.assertEqual(
            (row.state, row.redelivered, row.attempts), ("queued", False, 0)
        )
        self.assertEqual(row.connection, None)

    def test_before_the_lease_is_written(self) -> None:
        """Cancelled while the write waits: nothing stays leased."""
        id = self.send()
        self.leave(self.broker.receive("bob", "c"))
        self.hand.finish()
        self.assert_untouched(id)
        self.assertEqual(self.broker.unread("bob"), 1)

    def test_after_the_lease_is_written(self) -> None:
        """Cancelled between the COMMIT and its answer: nothing stays leased."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.hand.commit()
        self.leave(waiting)
        self.assertEqual(self.states(id), ["leased"])
        self.hand.finish()
        self.assert_untouched(id)
        self.assertEqual(self.broker.unread("bob"), 1)

    def test_with_nothing_there(self) -> None:
        """Cancelled while it looks in vain; one behind it that leaves as it is answered, too."""
        leaving = self.broker.receive("bob", "c")
        self.hand.commit()
        self.leave(leaving)
        self.hand.finish()
        first = self.broker.receive("bob", "c")
        second = self.broker.receive("bob", "c")
        first.addCallback(lambda messages: second.cancel())
        self.hand.finish()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.finished(self.broker.receive("bob", "c")), [])

    def test_woken_and_gone(self) -> None:
        """Cancelled while a message that ended the wait is being leased."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.hand.finish()
        id = self.send_unserved()
        self.leave(waiting)
        self.hand.finish()
        self.assert_untouched(id)

    def send_unserved(self) -> int:
        """Send and commit, and begin the lease for who waits, but do not commit that."""
        sending = self.broker.send("alice", "bob", "x")
        self.hand.commit()
        self.hand.answer()
        (id,) = self.successResultOf(sending)
        return int(id)

    def test_the_next_gets_it(self) -> None:
        """What was leased for who left goes to who waits behind, in order."""
        first = self.broker.receive("bob", "c", wait_seconds=10)
        second = self.broker.receive("bob", "d", wait_seconds=10)
        self.hand.finish()
        id = self.send_unserved()
        later = self.broker.send("alice", "bob", "y")
        self.hand.commit()
        self.leave(first)
        self.hand.finish()
        (message,) = self.successResultOf(second)
        self.assertEqual((message.id, message.redelivered), (id, False))
        self.assertEqual(self.states(*self.successResultOf(later)), ["queued"])

    def test_nobody_overtakes(self) -> None:
        """Who asks while a lease is undone sees no later message before the earlier."""
        first, second = self.send(), self.send()
        leaving = self.broker.receive("bob", "c")
        self.hand.commit()
        asking = self.broker.receive("bob", "d", 2)
        self.leave(leaving)
        self.assertEqual(self.ids(self.finished(asking)), [first, second])

    def test_nobody_overtakes_who_waits(self) -> None:
        """Who asks without waiting stands behind those who wait."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.hand.finish()
        sending = self.broker.send("alice", "bob", "x")
        self.hand.commit()
        asking = self.broker.receive("bob", "d")
        self.hand.finish()
        self.assertEqual(
            self.ids(self.successResultOf(waiting)), list(self.successResultOf(sending))
        )
        self.assertEqual(self.successResultOf(asking), [])

    def test_left_as_the_turn_ends(self) -> None:
        """A message that was leased for who left is not done with the turn that ends well."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.hand.commit()
        self.leave(waiting)
        self.finished(self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK)))
        self.assertEqual(self.states(1), ["done"])
        self.assert_untouched(id)

    def test_received_as_the_turn_ends(self) -> None:
        """A message that was handed out before the turn's end was written is the turn's."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        ending = self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK))
        self.hand.finish()
        self.assertEqual(self.ids(self.successResultOf(waiting)), [id])
        self.successResultOf(ending)
        self.assertEqual(self.states(id), ["done"])

    def test_asked_as_the_turn_ends(self) -> None:
        """Who asks behind the turn's end is told that there is no turn."""
        id = self.send()
        ending = self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK))
        late = self.broker.receive("bob", "c")
        self.hand.finish()
        self.successResultOf(ending)
        self.failureResultOf(late, NotYourTurn)
        self.assert_untouched(id)

    def test_the_end_of_the_turn_is_not_held_up(self) -> None:
        """However many ask, the turn's end waits for one lease only."""
        asking = [self.broker.receive("bob", str(n)) for n in range(5)]
        ending = self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK))
        for _ in range(2):
            self.hand.commit()
            self.hand.answer()
        self.successResultOf(ending)
        self.hand.finish()
        for late in asking[1:]:
            self.failureResultOf(late, NotYourTurn)

    def test_its_time_ends_as_a_message_comes(self) -> None:
        """A wait whose time ends while a message is being leased gets the message."""
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.hand.finish()
        id = self.send_unserved()
        self.clock.advance(10)
        self.assertNoResult(waiting)
        self.assertEqual(self.ids(self.finished(waiting)), [id])

    def test_its_time_ends_before_it_has_looked(self) -> None:
        """A wait whose time ends before it could look still looks once."""
        id = self.send()
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.clock.advance(10)
        self.assertEqual(self.ids(self.finished(waiting)), [id])
        waiting = self.broker.receive("bob", "c", wait_seconds=10)
        self.clock.advance(10)
        self.assertEqual(self.finished(waiting), [])

    def test_disconnected_while_a_lease_is_written(self) -> None:
        """A connection that ends has nothing, and what it never got bears no mark."""
        self.pause("bob")
        self.finished(self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK)))
        got, lost = self.send(), self.send()
        self.finished(self.broker.receive("bob", "c"))
        waiting = self.broker.receive("bob", "c")
        self.hand.commit()
        releasing = self.broker.release("c")
        self.assertEqual(self.successResultOf(waiting), [])
        self.finished(releasing)
        self.assertEqual(self.states(got, lost), ["queued", "queued"])
        self.assertEqual(
            (self.row(got).redelivered, self.row(lost).redelivered), (True, False)
        )
        self.assertEqual(self.broker.unread("bob"), 2)

    def test_released_when_nothing_is_leased(self) -> None:
        """The end of a connection is answered when what was being leased to it is back."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        releasing = self.broker.release("c")
        self.hand.commit()
        self.hand.answer()
        self.assertEqual(self.successResultOf(waiting), [])
        self.assertNoResult(releasing)
        self.finished(releasing)
        self.assert_untouched(id)

    def test_acknowledged_while_a_lease_is_written(self) -> None:
        """A call acknowledges only what its connection had got before it."""
        self.pause("bob")
        self.finished(self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK)))
        got, coming = self.send(), self.send()
        self.finished(self.broker.receive("bob", "c"))
        waiting = self.broker.receive("bob", "c")
        acknowledging = self.broker.acknowledge("c")
        self.hand.finish()
        self.successResultOf(acknowledging)
        self.assertEqual(self.ids(self.successResultOf(waiting)), [coming])
        self.assertEqual(self.states(got, coming), ["done", "leased"])

    def test_a_lease_that_could_not_be_written(self) -> None:
        """Who asked hears of it, and the next is served."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.break_commit()
        self.hand.finish()
        self.failureResultOf(waiting, ZeroDivisionError)
        self.assertEqual(self.ids(self.finished(self.broker.receive("bob", "c"))), [id])

    def break_commit(self) -> None:
        """Let the next COMMIT fail."""
        self.database.write(
            lambda connection: connection.execute("ROLLBACK") and 1 / 0
        ).addErrback(lambda failure: None)

    def test_left_as_a_lease_could_not_be_written(self) -> None:
        """Nothing was leased, nobody is there to hear of it, and the next is served."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.leave(waiting)
        self.break_commit()
        self.hand.finish()
        self.assert_untouched(id)
        self.assertEqual(self.ids(self.finished(self.broker.receive("bob", "c"))), [id])

    def test_a_lease_that_could_not_be_undone(self) -> None:
        """That is logged; the message stays with the turn, and comes back with its end."""
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.hand.commit()
        self.leave(waiting)
        self.hand.answer()
        self.break_commit()
        self.hand.finish()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.states(id), ["leased"])
        self.finished(self.broker.end_turn(self.turn.id, TurnEnd(Outcome.DRAINED)))
        self.assertEqual(self.states(id), ["queued"])

    def test_an_attended_lease_that_could_not_be_undone(self) -> None:
        """It comes back with the end of the connection."""
        self.pause("bob")
        self.finished(self.broker.end_turn(self.turn.id, TurnEnd(Outcome.OK)))
        id = self.send()
        waiting = self.broker.receive("bob", "c")
        self.hand.commit()
        self.leave(waiting)
        self.hand.answer()
        self.break_commit()
        self.hand.finish()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.states(id), ["leased"])
        self.finished(self.broker.release("c"))
        self.assertEqual(self.states(id), ["queued"])

    def test_counts_follow_the_file(self) -> None:
        """After all of it, the count is what the file says."""
        for seconds in (None, 10):
            self.send()
            waiting = self.broker.receive("bob", "c", wait_seconds=seconds)
            self.hand.commit()
            self.leave(waiting)
            self.hand.finish()
        queued = self.database.read(MessageTable.queued)
        self.assertEqual(self.broker.unread("bob"), queued["bob"])
