"""Rows of the store as the broker's values."""

from hyperhive.messages.interfaces import (
    Message,
    MessageState,
    Outcome,
    TurnEnd,
    TurnRecord,
    Usage,
)
from hyperhive.store.messages import MessageRow
from hyperhive.store.turns import TurnEnding, TurnRow


def message(row: MessageRow) -> Message:
    """A message as others see it."""
    return Message(
        id=row.id,
        sender=row.sender,
        recipient=row.recipient,
        body=row.body,
        sent_at=row.sent_at,
        state=MessageState(row.state),
        redelivered=row.redelivered,
        attempts=row.attempts,
        in_reply_to=row.in_reply_to,
        read=row.read_at is not None,
    )


def turn_record(row: TurnRow) -> TurnRecord:
    """A turn as others see it."""
    return TurnRecord(
        id=row.id,
        agent=row.agent,
        kind=row.kind,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        note=row.note,
        model=row.model,
        usage=Usage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cache_read_tokens=row.cache_read_tokens,
            cache_write_tokens=row.cache_write_tokens,
            context=row.context,
            cost_usd=row.cost_usd,
        ),
    )


def ending(end: TurnEnd, now: float) -> TurnEnding:
    """What is stored of a turn's end."""
    usage = end.usage
    return TurnEnding(
        ended_at=now,
        outcome=end.outcome.value,
        note=end.note,
        session_id=end.session_id,
        model=end.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        context=usage.context,
        cost_usd=usage.cost_usd,
    )
