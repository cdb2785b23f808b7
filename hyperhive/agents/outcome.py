"""Decide how a turn ended, from what claude said and how its process ended. Pure.

Only structured members are looked at. Agents write about rate limits and logins
all day, so that no text of a stream decides anything; texts become notes.
"""

from enum import Enum, auto

from attrs import frozen

from hyperhive.agents.events import Result
from hyperhive.agents.stream import TurnReading
from hyperhive.containers.interfaces import (
    Exited,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.messages.interfaces import Outcome

#: The longest note on a turn (characters).
MAX_NOTE = 500

#: Terminal reasons of a session that no longer fits into the model's window.
_FULL = frozenset({"prompt_too_long", "blocking_limit"})
#: Terminal reasons of a turn that was interrupted.
_INTERRUPTED = frozenset({"aborted_streaming", "aborted_tools"})
#: Subtypes of results that are claude's own limits, and what they mean.
_OWN_LIMITS = {
    "error_max_turns": "claude reached its limit of API calls for one turn",
    "error_max_budget_usd": "claude reached its budget for one turn",
}


class Ender(Enum):
    """Who ended a process."""

    ITSELF = auto()
    OPERATOR = auto()
    DRAIN = auto()
    WATCHDOG = auto()
    DISCONNECTED = auto()


@frozen
class EndedBy:
    """Who ended a process first, and for a watchdog why."""

    who: Ender
    reason: str | None = None

    @classmethod
    def itself(cls) -> "EndedBy":
        """Nobody did."""
        return cls(Ender.ITSELF)

    @classmethod
    def operator(cls) -> "EndedBy":
        """The operator cancelled the turn."""
        return cls(Ender.OPERATOR)

    @classmethod
    def drain(cls) -> "EndedBy":
        """The agent, or the daemon, is being stopped."""
        return cls(Ender.DRAIN)

    @classmethod
    def watchdog(cls, reason: str) -> "EndedBy":
        """It was silent, or ran, for too long."""
        return cls(Ender.WATCHDOG, reason)

    @classmethod
    def disconnected(cls) -> "EndedBy":
        """It had no connection to the hive's tools."""
        return cls(Ender.DISCONNECTED)


@frozen
class Verdict:
    """What a turn came to.

    :param note: why, in a sentence or claude's own words.
    :param resets_at: when a usage limit ends (POSIX time), if claude said so.
    """

    outcome: Outcome
    note: str | None = None
    resets_at: float | None = None

    def with_outcome(self, outcome: Outcome, note: str) -> "Verdict":
        """The same end, seen differently."""
        return Verdict(outcome, note)


def classify(
    reading: TurnReading, end: ProcessEnd, ended_by: EndedBy, stderr_tail: str
) -> Verdict:
    """Say how a turn ended.

    An operator's cancel stands whatever came after it: claude exits with 0 then.
    Otherwise a good result stands, even if the process crashed, was lost or was
    interrupted after it: claude has done what it was asked, and to give the message
    back would have it done twice. Next comes who ended it, then a result that
    is not good, and at last, without any, how the process ended.

    :param end: the end of a process whose output has been read to its end.
    :param stderr_tail: the last of its standard error.
    """
    result = reading.result
    if ended_by.who is Ender.OPERATOR:
        return Verdict(Outcome.CANCELLED)
    if result is not None and not result.is_error:
        return _good(reading)
    if ended_by.who is Ender.DRAIN:
        return Verdict(Outcome.DRAINED)
    if ended_by.who is Ender.WATCHDOG:
        return Verdict(Outcome.KILLED, ended_by.reason)
    if ended_by.who is Ender.DISCONNECTED:
        return _disconnected(reading)
    if result is not None:
        return _bad(reading, result)
    return _without_result(end, stderr_tail)


def _good(reading: TurnReading) -> Verdict:
    if reading.connected is False:
        return _disconnected(reading)
    if reading.writes_lost:
        return Verdict(
            Outcome.OK,
            "claude could not write all of its session to disk: is the disk full?",
        )
    return Verdict(Outcome.OK)


def _disconnected(reading: TurnReading) -> Verdict:
    """Without the hive's tools claude can answer nobody, whatever it says."""
    servers = ", ".join(
        f"{name}: {is_}" for name, is_ in (reading.servers or {}).items()
    )
    note = (
        f"claude had no connection to the hive's tools ({servers or 'no MCP server'})"
    )
    return Verdict(Outcome.FAILED, _note(note))


def _bad(reading: TurnReading, result: Result) -> Verdict:
    """Read a result that is an error, the closest word first."""
    note = _note(result.text)
    if result.terminal_reason in _FULL:
        return Verdict(Outcome.PROMPT_TOO_LONG, note)
    match result.error:
        case "authentication_failed":
            return Verdict(Outcome.AUTH_FAILED, note)
        case "rate_limit":
            return _limited(reading, note)
        case "billing_error":
            # As a limit without an end, not as a failure: every message of every
            # agent would be dead within minutes. So they wait, and the work goes
            # on within half an hour of the account having credit again.
            return Verdict(
                Outcome.RATE_LIMITED,
                f"the account can't be billed ({note or 'no reason given'})",
            )
        case "model_not_found":
            return Verdict(
                Outcome.FAILED,
                f"there is no model {reading.model!r} for this account: choose another",
            )
        case "server_error":
            return Verdict(Outcome.OVERLOADED, note)
        case "invalid_request" | "max_output_tokens":
            return Verdict(Outcome.FAILED, note)
    if (by_status := _by_status(reading, result, note)) is not None:
        return by_status
    if result.terminal_reason in _INTERRUPTED:
        return Verdict(Outcome.VANISHED, "claude was interrupted from outside the hive")
    own = _OWN_LIMITS.get(result.subtype or "")
    return Verdict(Outcome.FAILED, own or note or "claude ended with an error")


def _limited(reading: TurnReading, note: str | None) -> Verdict:
    limit = reading.rate_limit
    rejected = limit is not None and limit.status == "rejected"
    resets_at = limit.resets_at if limit is not None and rejected else None
    return Verdict(Outcome.RATE_LIMITED, note, resets_at)


def _by_status(
    reading: TurnReading, result: Result, note: str | None
) -> Verdict | None:
    """Read the HTTP status, for an error whose class is new or ``unknown``."""
    status = result.status
    if status in (401, 403):
        return Verdict(Outcome.AUTH_FAILED, note)
    if status == 429:
        return _limited(reading, note)
    if status is not None and status >= 500:
        return Verdict(Outcome.OVERLOADED, note)
    return None


def _without_result(end: ProcessEnd, stderr_tail: str) -> Verdict:
    said = _note(stderr_tail)
    match end:
        case Lost(reason):
            return Verdict(Outcome.VANISHED, _note(reason))
        case SetupFailed(reason):
            return Verdict(Outcome.FAILED, _note(reason))
        case Signalled(signal):
            return _signalled(signal)
        case Exited(status) if 128 < status < 128 + 65:
            # Claude catches signals and exits with what a shell would report.
            return _signalled(status - 128)
        case Exited(0):
            return Verdict(Outcome.FAILED, said or "claude ended without a result")
        case Exited(status):
            return Verdict(
                Outcome.FAILED, said or f"claude ended with status {status}, silently"
            )


def _signalled(signal: int) -> Verdict:
    """Ended by a signal that nobody here sent: an administrator, or the kernel for want of memory."""
    return Verdict(
        Outcome.VANISHED, f"claude was ended by signal {signal} from outside the hive"
    )


def _note(text: str) -> str | None:
    """The end of a text in one line; what matters of a standard error is its last words."""
    line = " ".join(text.split())
    if len(line) > MAX_NOTE:
        line = f"… {line[-MAX_NOTE:]}"
    return line or None
