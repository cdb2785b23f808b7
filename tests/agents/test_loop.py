"""The loop of one agent, without anything real around it."""

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.interfaces import NothingRunning
from hyperhive.agents.loop import STORE_PAUSE, AgentLoop, LoopHooks
from hyperhive.agents.outcome import EndedBy
from hyperhive.agents.scheduler import TurnSlots


@define(eq=False)
class StubWork:
    """A turn that runs until the test ends it."""

    log: list[str]
    kind: str = "message"
    started_at: float = 0.0
    running: Deferred[None] = field(factory=Deferred)
    settling: list[Deferred[None]] = field(factory=list)

    def run(self) -> Deferred[None]:
        """Run until ``running`` fires."""
        self.log.append("run")
        return self.running

    def settle(self) -> Deferred[None]:
        """Settle at once, or as the test has lined up."""
        self.log.append("settle")
        return self.settling.pop(0) if self.settling else succeed(None)

    def end(self, why: EndedBy) -> None:
        """Record it."""
        self.log.append(f"end {why.who.name.lower()}")

    def destroy(self, why: EndedBy) -> None:
        """Record it, and end as a destroyed process does."""
        self.log.append(f"destroy {why.who.name.lower()}")
        self.running.callback(None)


class LoopTests(SynchronousTestCase):
    """What begins a turn, what ends it, and what comes after."""

    def setUp(self) -> None:
        """A loop whose facts the test sets."""
        self.clock = Clock()
        self.slots = TurnSlots(1)
        self.log: list[str] = []
        self.is_ready = False
        self.alarm: float | None = None
        self.works: list[Deferred[StubWork | None]] = []
        self.loop = self.make()

    def make(self) -> AgentLoop:
        """A loop on the test's facts."""
        return AgentLoop(
            self.clock,
            self.slots,
            LoopHooks(
                ready=lambda: self.is_ready,
                not_before=lambda: self.alarm,
                begin=lambda: self.works.pop(0) if self.works else succeed(None),
                changed=lambda: None,
                now=self.clock.seconds,
            ),
        )

    def begin(self) -> StubWork:
        """Bring the loop into a running turn."""
        work = StubWork(self.log)
        self.works.append(succeed(work))
        self.is_ready = True
        self.loop.poke()
        self.is_ready = False
        return work

    def test_rests_while_nothing_is_due(self) -> None:
        """A poke without a reason begins nothing."""
        self.loop.poke()
        self.assertEqual(self.loop.state, "resting")

    def test_a_turn(self) -> None:
        """Ready, a turn runs; at its end it is settled and the loop rests."""
        work = self.begin()
        self.assertEqual(self.loop.state, "working")
        work.running.callback(None)
        self.assertEqual((self.loop.state, self.log), ("resting", ["run", "settle"]))

    def test_one_turn_after_the_other(self) -> None:
        """While facts say so, the next turn follows by itself, never beside the first."""
        first = self.begin()
        second = StubWork(self.log)
        self.works.append(succeed(second))
        self.is_ready = True
        self.loop.poke()
        self.assertIs(self.loop.work, first)
        first.running.callback(None)
        self.assertIs(self.loop.work, second)

    def test_nothing_to_do_after_all(self) -> None:
        """A turn that finds no message gives its slot back."""
        self.works.append(succeed(None))
        self.is_ready = True
        pokes = iter([True, False])
        self.loop = AgentLoop(
            self.clock,
            self.slots,
            LoopHooks(
                ready=lambda: next(pokes, False),
                not_before=lambda: None,
                begin=lambda: succeed(None),
                changed=lambda: None,
                now=self.clock.seconds,
            ),
        )
        self.loop.poke()
        self.assertEqual(self.loop.state, "resting")
        served: list[bool] = []
        self.slots.ask(lambda: served.append(True))
        self.assertEqual(served, [True])

    def test_waits_for_a_slot_and_leaves_the_line(self) -> None:
        """Without a slot it waits; no longer ready, it leaves the line."""
        self.begin()
        other = self.make()
        self.is_ready = True
        other.poke()
        self.assertEqual(other.state, "waiting")
        self.is_ready = False
        other.poke()
        self.assertEqual(other.state, "resting")

    def test_alarm(self) -> None:
        """When a parking ends, it looks again by itself."""
        self.alarm = 60.0
        self.loop.poke()
        work = StubWork(self.log)
        self.works.append(succeed(work))
        self.is_ready = True
        self.alarm = None
        self.clock.advance(60)
        self.assertIs(self.loop.work, work)

    def test_cancel(self) -> None:
        """Cancel interrupts the turn and fires when it is settled."""
        work = self.begin()
        cancelled = self.loop.cancel()
        self.assertEqual(self.log, ["run", "end operator"])
        self.assertNoResult(cancelled)
        work.running.callback(None)
        self.successResultOf(cancelled)

    def test_cancel_while_the_turn_begins(self) -> None:
        """A cancel that comes before claude runs is not lost."""
        beginning: Deferred[StubWork | None] = Deferred()
        self.works.append(beginning)
        self.is_ready = True
        self.loop.poke()
        self.is_ready = False
        self.loop.cancel()
        beginning.callback(StubWork(self.log))
        self.assertEqual(self.log, ["run", "end operator"])

    def test_cancel_without_a_turn(self) -> None:
        """There must be something to cancel."""
        self.assertRaises(NothingRunning, self.loop.cancel)

    def test_drain_lets_the_turn_end(self) -> None:
        """A drain waits for the turn, begins none, and leaves nothing ticking."""
        work = self.begin()
        drained = self.loop.drain(600)
        self.is_ready = True
        self.clock.advance(599)
        self.assertNoResult(drained)
        work.running.callback(None)
        self.successResultOf(drained)
        self.assertEqual(self.loop.state, "resting")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_interrupts_in_the_end(self) -> None:
        """A turn that takes longer than the drain is interrupted as drained."""
        self.begin()
        self.loop.drain(600)
        self.clock.advance(600)
        self.assertEqual(self.log, ["run", "end drain"])

    def test_kill_does_not_wait(self) -> None:
        """A kill ends the turn at once."""
        self.begin()
        self.successResultOf(self.loop.kill())
        self.assertEqual(self.log, ["run", "destroy drain", "settle"])

    def test_release(self) -> None:
        """A loop that was held begins turns again when it is released."""
        self.successResultOf(self.loop.drain(1))
        work = StubWork(self.log)
        self.works.append(succeed(work))
        self.is_ready = True
        self.loop.poke()
        self.assertIsNone(self.loop.work)
        self.loop.release()
        self.assertIs(self.loop.work, work)

    def test_store_refuses_a_beginning(self) -> None:
        """If a turn can't be begun, it is tried again after a pause, not at once."""
        work = StubWork(self.log)
        self.works += [fail(OSError("disk full")), succeed(work)]
        self.is_ready = True
        self.loop.poke()
        self.assertEqual(self.loop.state, "resting")
        self.flushLoggedErrors(OSError)
        self.clock.advance(STORE_PAUSE)
        self.assertIs(self.loop.work, work)

    def test_store_refuses_an_end(self) -> None:
        """A turn's end is written down however often that must be tried."""
        work = self.begin()
        work.settling = [fail(OSError("disk full")), succeed(None)]
        work.running.callback(None)
        self.assertEqual(self.loop.state, "settling")
        self.flushLoggedErrors(OSError)
        self.clock.advance(STORE_PAUSE)
        self.assertEqual(self.loop.state, "resting")
