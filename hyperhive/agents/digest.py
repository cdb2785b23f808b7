"""Tell in lines of text what an agent did last: for the manager, which sees no page. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

#: How long a line is at most (characters).
MAX_LINE = 400

_Event = Mapping[str, Any]


def digest(events: Iterable[bytes], most: int) -> list[str]:
    """The last lines of stored events; an event of a kind that is not known has none.

    :param events: encoded JSON objects, oldest first.
    :param most: how many lines at most.
    """
    lines: list[str] = []
    for encoded in events:
        event = json.loads(encoded)
        at = str(event.get("at", ""))[11:19]
        lines += [f"{at} {_bounded(line)}" for line in _lines(event)]
    return lines[-most:] if most > 0 else []


def _lines(event: _Event) -> list[str]:
    match event.get("kind"):
        case "turn_start":
            begun = (
                f"message {event['id']} from {event['from']}"
                if "id" in event
                else "compaction"
            )
            return [f"--- turn {event.get('turn')}: {begun}"]
        case "turn_end":
            note = f": {event['note']}" if event.get("note") else ""
            return [f"--- turn {event.get('turn')} ended {event.get('outcome')}{note}"]
        case "note":
            return [f"note: {event.get('text')}"]
        case "deploy_log":
            return [f"build: {event.get('line')}"]
        case "stream":
            return _streamed(event.get("event"))
        case _:
            return []


def _streamed(said: object) -> list[str]:
    if not isinstance(said, dict):
        return []
    if said.get("type") == "result" and said.get("is_error"):
        return [f"error: {said.get('result')}"]
    message = said.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return []
    blocks = [block for block in content if isinstance(block, dict)]
    return [line for block in blocks for line in _block(block)]


def _block(block: _Event) -> list[str]:
    match block.get("type"):
        case "text":
            return [f"says: {block.get('text')}"]
        case "tool_use":
            given = json.dumps(block.get("input"), ensure_ascii=False)
            return [f"calls {block.get('name')} {given}"]
        case "tool_result":
            what = "failed" if block.get("is_error") else "gave"
            return [f"  {what}: {_text(block.get('content'))}"]
        case _:
            return []


def _text(content: object) -> str:
    if isinstance(content, list):
        return " ".join(
            str(one.get("text", "")) for one in content if isinstance(one, dict)
        )
    return str(content)


def _bounded(line: str) -> str:
    """On one line, and not longer than a line may be."""
    flat = " ".join(line.split())
    return flat if len(flat) <= MAX_LINE else f"{flat[: MAX_LINE - 1]}…"
