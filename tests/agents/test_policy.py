"""What follows from how a turn ended."""

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.outcome import Verdict
from hyperhive.agents.policy import (
    FAILURE_PAUSES,
    LIMIT_PAUSES,
    OVERLOAD_PAUSES,
    RESET_MARGIN,
    aftermath,
    parked_note,
)
from hyperhive.messages.interfaces import Outcome
from hyperhive.store.agents import AgentRow

NOW = 1_000_000.0


class AftermathTests(SynchronousTestCase):
    """Each outcome, once and again."""

    def pauses(self, outcome: Outcome, times: int) -> list[float]:
        """How long the agent is parked after each of some turns with one outcome."""
        row = AgentRow("bob", "agent", 0.0)
        found = []
        for _ in range(times):
            changes = aftermath(Verdict(outcome), row, NOW).changes
            found.append(changes["parked_until"] - NOW)
            row = AgentRow("bob", "agent", 0.0, **changes)
        return found

    def test_limit_with_a_reset_time(self) -> None:
        """Claude's own reset time counts, and a little for clocks that differ."""
        verdict = Verdict(Outcome.RATE_LIMITED, resets_at=NOW + 3600)
        changes = aftermath(verdict, AgentRow("bob", "agent", 0.0), NOW).changes
        self.assertEqual(changes["parked_until"], NOW + 3600 + RESET_MARGIN)

    def test_limit_with_an_unbelievable_reset_time(self) -> None:
        """A reset time in the past or far away parks for the first pause."""
        for wrong in (NOW - 60, NOW + 10 * 86400):
            verdict = Verdict(Outcome.RATE_LIMITED, resets_at=wrong)
            changes = aftermath(verdict, AgentRow("bob", "agent", 0.0), NOW).changes
            self.assertEqual(changes["parked_until"], NOW + LIMIT_PAUSES[0])

    def test_limit_without_a_reset_time(self) -> None:
        """The pauses grow to half an hour and stay there."""
        self.assertEqual(
            self.pauses(Outcome.RATE_LIMITED, 6), [60, 120, 300, 900, 1800, 1800]
        )

    def test_overload(self) -> None:
        """Five tries with doubling pauses, then long ones without an end."""
        pauses = self.pauses(Outcome.OVERLOADED, 10)
        self.assertEqual(pauses[:5], [5, 10, 20, 40, 80])
        self.assertEqual(pauses[-1], OVERLOAD_PAUSES[-1])

    def test_failures(self) -> None:
        """A failed turn is tried again after a pause that grows."""
        for outcome in (Outcome.FAILED, Outcome.KILLED, Outcome.VANISHED):
            self.assertEqual(self.pauses(outcome, 4), list(FAILURE_PAUSES))

    def test_another_setback_starts_anew(self) -> None:
        """A failure after three overloads is the first failure."""
        row = AgentRow("bob", "agent", 0.0, parked_for="overloaded", setbacks=3)
        changes = aftermath(Verdict(Outcome.FAILED), row, NOW).changes
        self.assertEqual(changes["parked_until"], NOW + FAILURE_PAUSES[0])

    def test_a_good_turn_forgets(self) -> None:
        """After a good turn nothing is held against the agent."""
        row = AgentRow(
            "bob", "agent", 0.0, parked_until=5.0, parked_for="failed", setbacks=3
        )
        changes = aftermath(Verdict(Outcome.OK), row, NOW).changes
        self.assertEqual(
            changes,
            {
                "parked_until": None,
                "parked_for": None,
                "setbacks": 0,
                "login_needed_since": None,
            },
        )

    def test_login_is_asked_for_once(self) -> None:
        """The operator is told at the first refusal, not at the second."""
        first = aftermath(
            Verdict(Outcome.AUTH_FAILED), AgentRow("bob", "agent", 0.0), NOW
        )
        self.assertTrue(first.needs_login)
        self.assertEqual(first.changes["login_needed_since"], NOW)
        row = AgentRow("bob", "agent", 0.0, login_needed_since=NOW - 5)
        second = aftermath(Verdict(Outcome.AUTH_FAILED), row, NOW)
        self.assertFalse(second.needs_login)
        self.assertEqual(second.changes["login_needed_since"], NOW - 5)

    def test_draining_changes_nothing(self) -> None:
        """A turn that a stop interrupted says nothing about the agent."""
        row = AgentRow("bob", "agent", 0.0, parked_for="failed", setbacks=2)
        self.assertEqual(aftermath(Verdict(Outcome.DRAINED), row, NOW).changes, {})

    def test_every_parking_has_words(self) -> None:
        """The operator reads why and until when, whatever parked the agent."""
        for outcome in Outcome:
            changes = aftermath(
                Verdict(outcome), AgentRow("bob", "agent", 0.0), NOW
            ).changes
            row = AgentRow("bob", "agent", 0.0, **changes)
            if row.parked_until is None:
                self.assertIsNone(parked_note(row))
            else:
                self.assertIn("1970-01-12T", parked_note(row) or "")
