"""What the members of claude's stream-json events mean. Pure, and forgiving.

An event is written by another program, in a version that may be newer than what
is known here, and an agent can write to that program's standard output. Nothing
in it is believed to have a certain type or size.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from hyperhive.messages.interfaces import Usage

#: The longest text that is taken out of an event (characters).
MAX_TEXT = 500
#: The most that is believed of a number: what is over is nonsense.
_SANE = 1e15


@frozen
class RateLimit:
    """What claude last said of a usage limit.

    :param status: ``allowed``, ``allowed_warning`` or ``rejected``.
    :param resets_at: POSIX time.
    :param kind: which limit, such as ``five_hour``.
    """

    status: str | None
    resets_at: float | None
    kind: str | None

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> "RateLimit":
        """From the member ``rate_limit_info``."""
        return cls(
            as_text(info.get("status")),
            as_number(info.get("resetsAt")),
            as_text(info.get("rateLimitType")),
        )


@frozen
class ApiFailure:
    """What claude says of an API call that it has given up.

    :param error: its class, such as ``rate_limit``.
    :param detail: a closer word for it, such as ``usage_limit_reached``.
    :param status: the HTTP status.
    """

    error: str | None = None
    detail: str | None = None
    status: int | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> "ApiFailure":
        """From an ``assistant`` event."""
        return cls(
            as_text(event.get("error")),
            as_text(event.get("api_error")),
            as_count(event.get("api_error_status")) or None,
        )


@frozen
class Result:
    """A ``result``, joined with the failed API call that claude reported before it.

    :param is_error: the only member that says whether it went well: the subtype
        is ``success`` for a failed API call too.
    :param text: the answer, or the errors.
    :param error: see :class:`ApiFailure`, as ``detail`` and ``status``.
    """

    subtype: str | None
    is_error: bool
    text: str
    terminal_reason: str | None
    stop_reason: str | None
    error: str | None
    detail: str | None
    status: int | None

    @classmethod
    def read(cls, event: Mapping[str, Any], failure: ApiFailure) -> "Result":
        """From a ``result`` event and what was reported before it."""
        errors = map(as_text, as_list(event.get("errors"))[:10])
        return cls(
            subtype=as_text(event.get("subtype")),
            is_error=event.get("is_error") is not False,
            text=as_text(event.get("result")) or "; ".join(filter(None, errors)),
            terminal_reason=as_text(event.get("terminal_reason")),
            stop_reason=as_text(event.get("stop_reason")),
            error=failure.error,
            detail=as_text(event.get("api_error")) or failure.detail,
            status=as_count(event.get("api_error_status")) or failure.status,
        )


def retry_sentence(event: Mapping[str, Any]) -> str:
    """What an ``api_retry`` says: which failure, which attempt, when."""
    status = as_count(event.get("error_status"))
    what = f"the API answered {status}" if status else "the API gives no answer"
    error = as_text(event.get("error"))
    if error and error != "unknown":
        what += f" ({error})"
    attempt, most = as_number(event.get("attempt")), as_number(event.get("max_retries"))
    if attempt is not None and most is not None:
        what += f"; retry {attempt:g} of {most:g}"
    delay = as_number(event.get("retry_delay_ms"))
    return what if delay is None else f"{what} in {delay / 1000:.0f} s"


def spent(result: Mapping[str, Any]) -> Usage:
    """What a ``result`` says was used since the one before; no context.

    ``model_usage_since_last_result`` also counts compactions and what was cut by
    an interrupt; ``usage``, all that older versions have, does not. The total cost
    is no help: it runs through all turns of a session.
    """
    models = result.get("model_usage_since_last_result")
    if not isinstance(models, dict):
        return tokens(as_dict(result.get("usage")))
    total = Usage(cost_usd=0.0)
    for used in map(as_dict, models.values()):
        total = add(
            total,
            Usage(
                as_count(used.get("inputTokens")),
                as_count(used.get("outputTokens")),
                as_count(used.get("cacheReadInputTokens")),
                as_count(used.get("cacheCreationInputTokens")),
                cost_usd=as_number(used.get("costUSD")),
            ),
        )
    return total


def tokens(usage: Mapping[str, Any]) -> Usage:
    """Tokens as the API counts them; no context, no cost."""
    return Usage(
        as_count(usage.get("input_tokens")),
        as_count(usage.get("output_tokens")),
        as_count(usage.get("cache_read_input_tokens")),
        as_count(usage.get("cache_creation_input_tokens")),
    )


def add(one: Usage, other: Usage) -> Usage:
    """The sum of two usages, without a context, which is no sum."""
    costs = [cost for cost in (one.cost_usd, other.cost_usd) if cost is not None]
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cache_read_tokens + other.cache_read_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
        cost_usd=sum(costs) if costs else None,
    )


def as_dict(value: object) -> Mapping[str, Any]:
    """An object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """A list; empty if it is none."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str | None:
    """A text that is not empty, cut to :data:`MAX_TEXT`, and such that it can be encoded."""
    if not isinstance(value, str) or not value:
        return None
    return value[:MAX_TEXT].encode("utf-8", "replace").decode()


def as_number(value: object) -> float | None:
    """A number that can be meant: JSON also holds 1e999, and integers of any size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_SANE < value < _SANE else None


def as_count(value: object) -> int:
    """How many; 0 for what is no number."""
    return max(0, int(as_number(value) or 0))
