"""What follows from how a turn ended: pauses, parking, who is told. Pure."""

from typing import Any

from attrs import field, frozen

from hyperhive.agents.outcome import Verdict
from hyperhive.messages.interfaces import Outcome
from hyperhive.store.agents import AgentRow
from hyperhive.times import rfc3339

#: Pauses in seconds where a limit came without a reset time.
LIMIT_PAUSES = (60, 120, 300, 900, 1800)
#: Pauses in seconds while Anthropic is overloaded: five tries, then the long ones.
OVERLOAD_PAUSES = (5, 10, 20, 40, 80, 300, 900, 1800)
#: Pauses in seconds after a turn that failed, so that five attempts are not
#: used up by one bad moment.
FAILURE_PAUSES = (1, 5, 15, 30)
#: Pause in seconds before a login is tried that came while another was refused.
LOGIN_PAUSE = 5.0
#: A reset time further away than this is not believed (seconds).
LONGEST_PARK = 8 * 86400
#: Claude's clock and ours may differ: wake this much after the reset (seconds).
RESET_MARGIN = 5.0
#: Part of the context window past which a turn is preceded by a compaction.
COMPACT_OVER = 0.75

_PAUSES = {
    Outcome.RATE_LIMITED: LIMIT_PAUSES,
    Outcome.OVERLOADED: OVERLOAD_PAUSES,
    Outcome.FAILED: FAILURE_PAUSES,
    Outcome.KILLED: FAILURE_PAUSES,
    Outcome.VANISHED: FAILURE_PAUSES,
}


@frozen
class Aftermath:
    """What a turn's end changes.

    :param changes: columns of the agent's row.
    :param needs_login: the operator is to be told that it has no valid login.
    """

    changes: dict[str, Any] = field(factory=dict)
    needs_login: bool = False


def aftermath(
    verdict: Verdict, row: AgentRow, now: float, login_came: bool = False
) -> Aftermath:
    """Decide what follows from ``verdict`` for the agent ``row``.

    :param login_came: its login changed during the turn. It may have been claude
        that wrote it, so that only one more turn is given to that.
    """
    outcome = verdict.outcome
    if outcome is Outcome.AUTH_FAILED:
        if login_came and row.parked_for != outcome.value:
            until = now + LOGIN_PAUSE
            return Aftermath(
                {"parked_until": until, "parked_for": outcome.value, "setbacks": 1}
            )
        return Aftermath(
            {**_free(), "login_needed_since": row.login_needed_since or now},
            needs_login=row.login_needed_since is None,
        )
    if outcome in (Outcome.OK, Outcome.CANCELLED, Outcome.PROMPT_TOO_LONG):
        return Aftermath({**_free(), "login_needed_since": None})
    if outcome is Outcome.DRAINED:
        return Aftermath()
    again = row.parked_for == outcome.value
    setbacks = row.setbacks + 1 if again else 1
    pauses = _PAUSES[outcome]
    until = now + pauses[min(setbacks, len(pauses)) - 1]
    if verdict.resets_at is not None and now < verdict.resets_at < now + LONGEST_PARK:
        until = verdict.resets_at + RESET_MARGIN
    return Aftermath(
        {"parked_until": until, "parked_for": outcome.value, "setbacks": setbacks}
    )


def _free() -> dict[str, Any]:
    return {"parked_until": None, "parked_for": None, "setbacks": 0}


def login_notice(name: str, remedy: str) -> str:
    """What the operator reads once when an agent has lost its login."""
    return (
        f"{name} has no valid login for claude: nothing is given to it until it has "
        f"one. {remedy}"
    )


def parked_note(row: AgentRow) -> str | None:
    """Why an agent is parked, in words."""
    if row.parked_for is None or row.parked_until is None:
        return None
    until = rfc3339(row.parked_until)
    why = {
        Outcome.RATE_LIMITED.value: "Anthropic's usage limit is reached",
        Outcome.OVERLOADED.value: "Anthropic's API is overloaded or out of reach",
        Outcome.AUTH_FAILED.value: "the login was refused, and has changed since",
        Outcome.FAILED.value: "the last turn failed",
        Outcome.KILLED.value: "the last turn was ended by a watchdog",
        Outcome.VANISHED.value: "claude went away in the middle of a turn",
    }[row.parked_for]
    return f"{why}; it goes on by itself at {until}."
