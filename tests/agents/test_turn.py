"""One claude process, watched to its end on a clock of the test's."""

import json

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from hyperhive.agents.outcome import EndedBy, Verdict
from hyperhive.agents.turn import (
    BREATH,
    LINES_AT_ONCE,
    LINGER,
    QUIET,
    STEP,
    TurnLimits,
    TurnProcess,
)
from hyperhive.containers.interfaces import (
    Exited,
    IContainerProcess,
    IProcessObserver,
    ProcessEnd,
    Signalled,
)
from hyperhive.messages.interfaces import Outcome

RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "hi"}


@implementer(IContainerProcess)
class RecordedProcess:
    """Does nothing but write down what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def interrupt(self) -> None:
        """See the interface."""
        self.asked.append("INT")

    def terminate(self) -> None:
        """See the interface."""
        self.asked.append("TERM")

    def kill(self) -> None:
        """See the interface."""
        self.asked.append("KILL")

    def destroy(self) -> Deferred[None]:
        """See the interface."""
        self.asked.append("destroy")
        return succeed(None)

    def write(self, data: bytes) -> None:
        """See the interface."""
        self.asked.append("write")

    def pause(self) -> None:
        """See the interface."""
        self.asked.append("pause")

    def resume(self) -> None:
        """See the interface."""
        self.asked.append("resume")


class TurnProcessTests(SynchronousTestCase):
    """What is done to a process, when, and what it comes to."""

    def setUp(self) -> None:
        """A started process that says nothing yet."""
        self.clock = Clock()
        self.notes: list[str] = []
        self.lines: list[bytes] = []
        self.quiet: list[bool] = []
        self.turn = TurnProcess(
            self.clock,
            TurnLimits(silence=900.0, overtime=7200.0),
            lambda line: self.lines.append(line.raw),
            self.notes.append,
            lambda: self.quiet.append(self.turn.quiet),
        )
        self.process = RecordedProcess()
        self.turn.started(self.process)

    def say(self, event: dict[str, object]) -> None:
        """Have claude print an event."""
        self.turn.stdout_received(json.dumps(event).encode() + b"\n")

    def ended(self, end: ProcessEnd) -> Verdict:
        """End the process; nothing may tick on after that."""
        self.turn.process_ended(end)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.successResultOf(self.turn.done)

    def test_interfaces(self) -> None:
        """It observes a container's process; the test's process is one."""
        verifyObject(IProcessObserver, self.turn)
        verifyObject(IContainerProcess, self.process)

    def test_good_turn(self) -> None:
        """A result and an exit: nothing is done to the process."""
        self.say(RESULT)
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.OK)
        self.assertEqual(self.process.asked, [])

    def test_last_line_without_newline(self) -> None:
        """What stands unfinished at the end is still read."""
        self.turn.stdout_received(json.dumps(RESULT).encode())
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.OK)

    def test_lingering(self) -> None:
        """A claude that said its result is given time, then ended; its result stands."""
        self.say(RESULT)
        self.clock.advance(LINGER)
        self.assertEqual(self.process.asked, ["INT"])
        self.clock.advance(STEP)
        self.clock.advance(STEP)
        self.clock.advance(STEP)
        self.assertEqual(self.process.asked, ["INT", "TERM", "KILL", "destroy"])
        self.assertEqual(self.ended(Signalled(9)).outcome, Outcome.OK)

    def test_cancel(self) -> None:
        """INT goes first, TERM after 3 s, KILL after 3 more, then everything."""
        self.turn.end(EndedBy.operator())
        self.assertEqual(self.process.asked, ["INT"])
        self.clock.advance(2.9)
        self.assertEqual(self.process.asked, ["INT"])
        self.clock.advance(0.1)
        self.assertEqual(self.process.asked, ["INT", "TERM"])
        self.clock.advance(3)
        self.assertEqual(self.process.asked, ["INT", "TERM", "KILL"])
        self.clock.advance(3)
        self.assertEqual(self.process.asked, ["INT", "TERM", "KILL", "destroy"])

    def test_cancel_and_exit_status_zero(self) -> None:
        """Status 0 after a cancel is still cancelled."""
        self.turn.end(EndedBy.operator())
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.CANCELLED)

    def test_cancel_twice(self) -> None:
        """A second cancel doesn't begin anew; the first reason stands."""
        self.turn.end(EndedBy.operator())
        self.turn.end(EndedBy.drain())
        self.assertEqual(self.process.asked, ["INT"])
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.CANCELLED)

    def test_silence(self) -> None:
        """A claude that prints nothing for too long is ended: killed."""
        self.clock.advance(899)
        self.assertEqual(self.process.asked, [])
        self.clock.advance(1)
        self.assertEqual(self.process.asked, ["INT"])
        verdict = self.ended(Exited(0))
        self.assertEqual(verdict.outcome, Outcome.KILLED)
        self.assertIn("900 s", verdict.note or "")

    def test_last_words_of_a_silent_claude(self) -> None:
        """What it says while it is being ended for its silence is read."""
        self.clock.advance(900)
        self.say({"type": "system", "subtype": "init", "session_id": "s"})
        self.say(RESULT)
        self.assertEqual(self.turn.reading.session_id, "s")
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.OK)

    def test_anything_printed_counts(self) -> None:
        """Progress and retries put the end off."""
        for kind in ("tool_progress", "system"):
            self.clock.advance(800)
            self.say({"type": kind, "subtype": "api_retry"})
        self.clock.advance(800)
        self.assertEqual(self.process.asked, [])

    def test_overtime(self) -> None:
        """A turn that talks for ever is ended all the same."""
        for _ in range(9):
            self.clock.advance(800)
            self.say({"type": "tool_progress"})
        self.assertEqual(self.process.asked, ["INT"])
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.KILLED)

    def test_quiet(self) -> None:
        """It is told when it falls quiet and when it speaks again."""
        self.clock.advance(QUIET)
        self.say({"type": "tool_progress"})
        self.clock.advance(QUIET)
        self.assertEqual(self.quiet, [True, False, True])

    def test_destroy(self) -> None:
        """A kill doesn't go through the steps."""
        self.turn.destroy(EndedBy.drain())
        self.assertEqual(self.process.asked, ["destroy"])
        self.assertEqual(self.ended(Signalled(9)).outcome, Outcome.DRAINED)

    def test_stderr(self) -> None:
        """What claude said on its standard error is the note of its failure."""
        self.turn.stderr_received(b"x" * 10_000)
        self.turn.stderr_received(b"\nerror: no such flag\n")
        verdict = self.ended(Exited(1))
        self.assertEqual(verdict.outcome, Outcome.FAILED)
        self.assertTrue((verdict.note or "").endswith("error: no such flag"))

    def test_never_started(self) -> None:
        """A process that could not be started is a failed turn with the reason."""
        turn = TurnProcess(
            self.clock,
            TurnLimits(900.0, 7200.0),
            lambda line: None,
            self.notes.append,
            lambda: None,
        )
        turn.never_started("bubblewrap is gone")
        verdict = self.successResultOf(turn.done)
        self.assertEqual(verdict, Verdict(Outcome.FAILED, "bubblewrap is gone"))
        turn.end(EndedBy.operator())
        self.successResultOf(turn.clean_up())

    def unstarted(self) -> TurnProcess:
        """A process that is being prepared."""
        return TurnProcess(
            self.clock,
            TurnLimits(900.0, 7200.0),
            lambda line: None,
            self.notes.append,
            lambda: None,
        )

    def test_asked_to_end_before_the_start(self) -> None:
        """It is ended as soon as it has started, for the first reason."""
        turn, process = self.unstarted(), RecordedProcess()
        turn.end(EndedBy.operator())
        turn.end(EndedBy.drain())
        turn.started(process)
        self.assertEqual(process.asked, ["INT"])
        turn.process_ended(Exited(0))
        self.assertEqual(self.successResultOf(turn.done).outcome, Outcome.CANCELLED)

    def test_killed_before_the_start(self) -> None:
        """The same without steps."""
        turn, process = self.unstarted(), RecordedProcess()
        turn.destroy(EndedBy.drain())
        turn.started(process)
        self.assertEqual(process.asked, ["destroy"])

    def test_cancelled_and_never_started(self) -> None:
        """What was cancelled does not come back because it could not be started either."""
        turn = self.unstarted()
        turn.end(EndedBy.operator())
        turn.never_started("the container is gone")
        self.assertEqual(self.successResultOf(turn.done).outcome, Outcome.CANCELLED)

    def test_flood(self) -> None:
        """Of very many lines some are taken at a time, the process unread in between."""
        self.turn.stdout_received(b"y\n" * (2 * LINES_AT_ONCE + 1))
        self.assertEqual(len(self.lines), LINES_AT_ONCE)
        self.assertEqual(self.process.asked, ["pause"])
        self.clock.advance(BREATH)
        self.assertEqual(len(self.lines), 2 * LINES_AT_ONCE)
        self.assertEqual(self.process.asked, ["pause"])
        self.clock.advance(BREATH)
        self.assertEqual(len(self.lines), 2 * LINES_AT_ONCE + 1)
        self.assertEqual(self.process.asked, ["pause", "resume"])
        self.say(RESULT)
        self.assertEqual(self.ended(Exited(0)).outcome, Outcome.OK)

    def test_flood_in_order(self) -> None:
        """What arrives, or is left, in the middle of a flood is taken in its place."""
        self.turn.stdout_received(b"1\n" * (LINES_AT_ONCE + 1))
        self.turn.stdout_received(b"2\n3")
        self.ended(Exited(0))
        self.assertEqual(self.lines[LINES_AT_ONCE:], [b"1", b"2", b"3"])

    def test_end_of_a_flood(self) -> None:
        """A process that is being ended is read without pauses, if not all at once."""
        self.turn.end(EndedBy.operator())
        self.turn.stdout_received(b"y\n" * (LINES_AT_ONCE + 1))
        self.assertEqual(len(self.lines), LINES_AT_ONCE)
        self.clock.advance(0)
        self.assertEqual(len(self.lines), LINES_AT_ONCE + 1)
