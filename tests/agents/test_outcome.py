"""The verdict on a turn, case by case. What the real claude said is in test_recorded."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.outcome import MAX_NOTE, EndedBy, Verdict, classify
from hyperhive.agents.stream import TurnReading
from hyperhive.containers.interfaces import (
    Exited,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.messages.interfaces import Outcome

GOOD = {"type": "result", "subtype": "success", "is_error": False, "result": "done"}
BAD = {"type": "result", "subtype": "success", "is_error": True, "result": "oh no"}
SILENT = EndedBy.watchdog("claude printed nothing for 900 s")


def judge(
    *events: dict[str, Any],
    end: ProcessEnd | None = None,
    by: EndedBy | None = None,
    stderr: str = "",
) -> Verdict:
    """The verdict on a claude that said ``events``."""
    reading = TurnReading()
    for event in events:
        reading.observe(event)
    return classify(reading, end or Exited(0), by or EndedBy.itself(), stderr)


def failed(error: str | None, **members: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An API call that was given up, and the result after it."""
    call = {"type": "assistant", "error": error, "message": {"model": "<synthetic>"}}
    return call, BAD | members


class GoodResultTests(SynchronousTestCase):
    """A turn that did what it was asked stays done."""

    def test_whatever_came_after_it(self) -> None:
        """A crash, a signal or the loss of the container after a good result: to give the message back would do it twice."""
        for end in (Exited(0), Exited(1), Exited(143), Signalled(9), Lost("gone")):
            for by in (EndedBy.itself(), EndedBy.drain(), SILENT):
                self.assertEqual(
                    judge(GOOD, end=end, by=by), Verdict(Outcome.OK), (end, by)
                )

    def test_not_without_the_hives_tools(self) -> None:
        """A claude that could not answer anybody has failed, however content it is."""
        servers = [{"name": "hyperhive", "status": "failed"}]
        init = {"type": "system", "subtype": "init", "mcp_servers": servers}
        for by in (EndedBy.itself(), EndedBy.disconnected()):
            verdict = judge(init, GOOD, by=by)
            self.assertIs(verdict.outcome, Outcome.FAILED)
            self.assertIn("hyperhive: failed", verdict.note or "")

    def test_lost_writes_are_noted(self) -> None:
        """It is done, but the session is not all on disk: the operator hears it."""
        lost = {"type": "system", "subtype": "session_writes_lost"}
        verdict = judge(GOOD, lost)
        self.assertIs(verdict.outcome, Outcome.OK)
        self.assertIn("disk full", verdict.note or "")


class EndedByTests(SynchronousTestCase):
    """Who ended it counts before how."""

    def test_a_cancel_stands(self) -> None:
        """Claude exits with 0 after an interrupt, or has said its result just before: cancelled is cancelled."""
        for events in ((), (GOOD,), (BAD,)):
            for end in (Exited(0), Signalled(2), Lost("gone")):
                verdict = judge(*events, end=end, by=EndedBy.operator())
                self.assertEqual(verdict, Verdict(Outcome.CANCELLED))

    def test_a_drain_gives_back(self) -> None:
        """A turn that a stop interrupted is drained, not failed."""
        for events in ((), (BAD,)):
            verdict = judge(*events, end=Exited(143), by=EndedBy.drain())
            self.assertEqual(verdict, Verdict(Outcome.DRAINED))

    def test_a_watchdog_says_why(self) -> None:
        """The note is the watchdog's reason, whatever signal it took."""
        for end in (Exited(0), Signalled(9)):
            verdict = judge(end=end, by=SILENT)
            self.assertEqual(
                verdict, Verdict(Outcome.KILLED, "claude printed nothing for 900 s")
            )

    def test_disconnected(self) -> None:
        """Ended by us because it had no tools: failed, with what claude said of them."""
        servers = [{"name": "hyperhive", "status": "failed"}]
        init = {"type": "system", "subtype": "init", "mcp_servers": servers}
        verdict = judge(init, end=Signalled(2), by=EndedBy.disconnected())
        self.assertIs(verdict.outcome, Outcome.FAILED)
        self.assertIn("hyperhive: failed", verdict.note or "")


class ApiFailureTests(SynchronousTestCase):
    """Results that are errors."""

    def check(self, expected: Outcome, *events: dict[str, Any]) -> Verdict:
        """The outcome is the same however the process ended after such a result."""
        for end in (Exited(1), Exited(0), Signalled(9), Lost("gone")):
            verdict = judge(*events, end=end)
            self.assertIs(verdict.outcome, expected)
        return verdict

    def test_by_class(self) -> None:
        """The class that claude gives an error decides, whatever its text."""
        for error, expected in {
            "authentication_failed": Outcome.AUTH_FAILED,
            "rate_limit": Outcome.RATE_LIMITED,
            "billing_error": Outcome.RATE_LIMITED,
            "server_error": Outcome.OVERLOADED,
            "model_not_found": Outcome.FAILED,
            "invalid_request": Outcome.FAILED,
            "max_output_tokens": Outcome.FAILED,
            "something new": Outcome.FAILED,
        }.items():
            verdict = self.check(expected, *failed(error))
            self.assertTrue(verdict.note)

    def test_by_status_where_the_class_is_unknown(self) -> None:
        """For a class that is new, the HTTP status decides."""
        for status, expected in {
            400: Outcome.FAILED,
            401: Outcome.AUTH_FAILED,
            403: Outcome.AUTH_FAILED,
            429: Outcome.RATE_LIMITED,
            500: Outcome.OVERLOADED,
            529: Outcome.OVERLOADED,
        }.items():
            self.check(expected, *failed("unknown", api_error_status=status))
            self.check(expected, BAD | {"api_error_status": status})

    def test_texts_decide_nothing(self) -> None:
        """An agent that writes about rate limits and logins is neither limited nor logged out."""
        for text in (
            "API Error: Request rejected (429)",
            "You've hit your 5-hour limit",
            "Not logged in",
            "Prompt is too long",
        ):
            said = {
                "type": "assistant",
                "message": {"content": [{"type": "text", "text": text}]},
            }
            self.check(Outcome.OK, said, GOOD | {"result": text})
            self.check(Outcome.FAILED, said, BAD | {"result": text})
            verdict = judge(said, end=Exited(1), stderr=text)
            self.assertEqual(verdict, Verdict(Outcome.FAILED, text))

    def test_a_full_session(self) -> None:
        """Refused by the API or by claude itself, before any closer word."""
        for reason in ("prompt_too_long", "blocking_limit"):
            self.check(
                Outcome.PROMPT_TOO_LONG,
                *failed("invalid_request", terminal_reason=reason),
            )

    def test_a_usage_limits_end(self) -> None:
        """The reset time is taken only from a rejection; one that is merely allowed says nothing of the failure."""
        for status, expected in (("rejected", 1795415981.0), ("allowed", None)):
            info = {"status": status, "resetsAt": 1795415981}
            event = {"type": "rate_limit_event", "rate_limit_info": info}
            verdict = self.check(Outcome.RATE_LIMITED, event, *failed("rate_limit"))
            self.assertEqual(verdict.resets_at, expected)
        call, result = failed("rate_limit")
        params = {"rate_limit_info": {"status": "rejected", "resetsAt": 7.5}}
        verdict = judge(call | {"api_error_params": params}, result)
        self.assertEqual(verdict.resets_at, 7.5)

    def test_a_recovered_error_is_no_failure(self) -> None:
        """A rejection that claude got over ends well."""
        call, _ = failed("rate_limit")
        self.check(Outcome.OK, call, GOOD)

    def test_an_interrupt_from_outside(self) -> None:
        """Interrupted by nobody here: it is gone, and its message comes again."""
        for reason in ("aborted_streaming", "aborted_tools"):
            verdict = self.check(
                Outcome.VANISHED,
                BAD | {"subtype": "error_during_execution", "terminal_reason": reason},
            )
            self.assertIn("outside the hive", verdict.note or "")

    def test_claudes_own_limits(self) -> None:
        """Limits that an operator may have set are named."""
        verdict = self.check(Outcome.FAILED, BAD | {"subtype": "error_max_turns"})
        self.assertIn("limit of API calls", verdict.note or "")

    def test_a_result_without_words(self) -> None:
        """There is a note even where claude says nothing."""
        verdict = self.check(Outcome.FAILED, {"type": "result", "is_error": True})
        self.assertEqual(verdict.note, "claude ended with an error")


class NoResultTests(SynchronousTestCase):
    """A claude that ended without a result."""

    def test_lost(self) -> None:
        """The container or the process went away."""
        verdict = judge(end=Lost("the container was removed"))
        self.assertEqual(
            verdict, Verdict(Outcome.VANISHED, "the container was removed")
        )

    def test_never_started(self) -> None:
        """It never ran: failed, with the driver's reason."""
        verdict = judge(end=SetupFailed("no such file: claude"))
        self.assertEqual(verdict, Verdict(Outcome.FAILED, "no such file: claude"))

    def test_signals_from_outside(self) -> None:
        """Killed by the kernel or an administrator, or an exit status that says the same."""
        for end in (Signalled(9), Exited(137)):
            verdict = judge(end=end)
            self.assertEqual(
                verdict,
                Verdict(
                    Outcome.VANISHED,
                    "claude was ended by signal 9 from outside the hive",
                ),
            )

    def test_exit_with_words(self) -> None:
        """All that is known of a wrong call is on standard error, so that it is the note."""
        verdict = judge(end=Exited(1), stderr="error: unknown option\n  '--x'\n")
        self.assertEqual(
            verdict, Verdict(Outcome.FAILED, "error: unknown option '--x'")
        )

    def test_exit_without_words(self) -> None:
        """Silence is described; a status above those of signals is only a status."""
        for status, words in {
            0: "without a result",
            1: "status 1,",
            255: "status 255,",
        }.items():
            verdict = judge(end=Exited(status))
            self.assertIs(verdict.outcome, Outcome.FAILED)
            self.assertIn(words, verdict.note or "")

    def test_notes_are_bounded(self) -> None:
        """Of a long standard error the end is kept."""
        verdict = judge(end=Exited(1), stderr="x" * 5000 + " the cause")
        note = verdict.note or ""
        self.assertLessEqual(len(note), MAX_NOTE + 2)
        self.assertTrue(note.endswith("the cause"))

    def test_seen_differently(self) -> None:
        """A verdict can be replaced by another outcome and note."""
        verdict = Verdict(Outcome.RATE_LIMITED, "a", 5.0)
        self.assertEqual(
            verdict.with_outcome(Outcome.FAILED, "b"), Verdict(Outcome.FAILED, "b")
        )
