"""Tell an agent's events to a person who watches it in a terminal."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hyperhive.admin.console import Console, clean, one_line
from hyperhive.admin.words import count, plural, seconds_clock, took

#: How many lines of one text are shown.
MAX_LINES = 40
#: How much of a result is shown (characters).
MAX_RESULT = 120
#: The prefix of the hive's own tools, as claude names them.
_OWN = "mcp__hyperhive__"
#: The most that is believed of a number.
_SANE = 1e15

Members = Mapping[str, Any]


def _path(input: Members) -> str:
    return str(input.get("file_path") or input.get("notebook_path") or "")


#: How the call of a tool is said in one line, by the tool's name.
_CALLS: dict[str, Callable[[Members], str]] = {
    "Bash": lambda input: f"$ {one_line(input.get('command', ''))}",
    "Read": lambda input: f"read {one_line(_path(input))}",
    "Write": lambda input: (
        f"write {one_line(_path(input))} "
        f"(+{plural(_lines_of(input.get('content')), 'line')})"
    ),
    "Edit": lambda input: (
        f"edit {one_line(_path(input))} (-{_lines_of(input.get('old_string'))} "
        f"+{_lines_of(input.get('new_string'))})"
    ),
    "Glob": lambda input: f"glob {one_line(input.get('pattern', ''))}",
    "Grep": lambda input: f"grep {one_line(input.get('pattern', ''))}",
    "WebFetch": lambda input: f"fetch {one_line(input.get('url', ''))}",
    "send": lambda input: (
        f"send → {one_line(input.get('to', ''), 20)}: {one_line(input.get('body', ''))}"
    ),
    "recv": lambda input: "recv",
    "set_status": lambda input: f"status “{one_line(input.get('text', ''))}”",
    "whoami": lambda input: "whoami",
    "list_agents": lambda input: "list agents",
    "ask_operator": lambda input: (
        f"ask operator: {one_line(input.get('question', ''))}"
    ),
    "request_spawn": lambda input: (
        f"propose agent {one_line(input.get('name', ''), 20)}"
    ),
    "request_apply_commit": lambda input: (
        f"propose commit {one_line(input.get('commit_ref', ''), 40)} for "
        f"{one_line(input.get('agent', ''), 20)}"
    ),
}


class Watcher:
    """Makes lines of events. An event that it does not understand is left out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state: object = None

    def lines(self, event: Members) -> Iterator[str]:
        """What a person is shown of an event; nothing, one or several lines."""
        match event.get("kind"):
            case "turn_start":
                yield from self._turn_start(event)
            case "turn_end":
                yield from self._turn_end(event)
            case "note":
                yield self._dim(f"  · {one_line(event.get('text', ''), 300)}")
            case "agent_state":
                yield from self._agent_state(event)
            case "stream":
                yield from self._stream(_object(event.get("event")))

    def _turn_start(self, event: Members) -> Iterator[str]:
        paint, at = self._console.paint, seconds_clock(event.get("at"))
        if "from" not in event:
            what = "compaction" if event.get("turn_kind") == "compact" else "turn"
            yield paint(f"▶ {at} {what}", "bold")
            return
        aside = ""
        if event.get("unread"):
            aside += f", {event['unread']} more waiting"
        if event.get("redelivered"):
            aside += ", redelivered"
        sender = one_line(event["from"], 20)
        yield paint(f"▶ {at} from {sender}{clean(aside)}", "bold")
        yield from _indented(event.get("body", ""), "  ")

    def _turn_end(self, event: Members) -> Iterator[str]:
        outcome = one_line(event.get("outcome", "ended"), 40)
        tokens = _object(event.get("tokens"))
        read = sum(
            _number(tokens.get(key)) for key in ("input", "cache_read", "cache_write")
        )
        parts = [outcome.replace("_", " ")]
        if "duration_ms" in event:
            parts.append(took(_number(event["duration_ms"])))
        parts.append(f"{count(read)} in, {count(_number(tokens.get('output')))} out")
        if "ctx_tokens" in event:
            parts.append(f"context {count(_number(event['ctx_tokens']))}")
        if cost := _number(event.get("cost_usd")):
            parts.append(f"${cost:.4f}" if cost < 0.1 else f"${cost:.2f}")
        style = "green" if outcome in ("ok", "cancelled") else "red"
        at = seconds_clock(event.get("at"))
        yield self._console.paint(f"■ {at} {' · '.join(parts)}", style)
        if event.get("note"):
            yield from _indented(event["note"], "  ")

    def _agent_state(self, event: Members) -> Iterator[str]:
        """Only another label is worth a line; turns have lines of their own."""
        if event.get("gone"):
            yield self._console.paint("◆ the agent was destroyed", "yellow")
            return
        state, before = event.get("state"), self._state
        self._state = state
        if (
            before is None
            or state == before
            or state in ("working", "idle", "compacting")
        ):
            return
        note = (
            f": {one_line(event['state_note'], 300)}" if "state_note" in event else ""
        )
        until = (
            f" until {seconds_clock(event['state_until'])}"
            if "state_until" in event
            else ""
        )
        yield self._console.paint(f"◆ {one_line(state, 40)}{until}{note}", "yellow")

    def _stream(self, event: Members) -> Iterator[str]:
        match (event.get("type"), event.get("subtype")):
            case ("assistant", _):
                for block in _blocks(event):
                    yield from self._said(block)
            case ("user", _):
                for block in _blocks(event):
                    yield from self._result(block)
            case ("system", "init"):
                session = one_line(event.get("session_id", ""), 9).rstrip("…")
                yield self._dim(
                    f"  · {one_line(event.get('model', 'claude'))} {session}"
                )
            case ("system", "compact_boundary"):
                yield self._dim("  ≡ the context was compacted")
            case ("system", "api_retry"):
                yield self._console.paint(f"  ! {_retry(event)}", "yellow")

    def _said(self, block: Members) -> Iterator[str]:
        match block.get("type"):
            case "text":
                yield from _indented(block.get("text", ""), "  ")
            case "thinking":
                if line := one_line(block.get("thinking", ""), MAX_RESULT):
                    yield self._dim(f"  ✻ {line}")
            case "tool_use":
                yield self._console.paint(f"  {describe(block)}", "cyan")

    def _result(self, block: Members) -> Iterator[str]:
        if block.get("type") != "tool_result":
            return
        text = _text_of(block.get("content"))
        short = one_line(text, MAX_RESULT) or "(nothing)"
        more = len(text.strip().splitlines()) - 1
        line = f"    └ {short}" + (f" (+{plural(more, 'line')})" if more > 0 else "")
        yield self._console.paint(
            line, "red" if block.get("is_error") is True else "dim"
        )

    def _dim(self, text: str) -> str:
        return self._console.paint(text, "dim")


def describe(block: Members) -> str:
    """A tool's call in one line."""
    name, input = str(block.get("name", "tool")), _object(block.get("input"))
    call = _CALLS.get(name.removeprefix(_OWN))
    if call is not None:
        return call(input)
    given = json.dumps(input, ensure_ascii=False) if input else ""
    return f"{one_line(name.removeprefix(_OWN), 60)} {one_line(given, MAX_RESULT)}".rstrip()


def summary(event: Members) -> str:
    """Any event in one line, for who follows all of them."""
    kind, agent = (
        one_line(event.get("kind", "?"), 40),
        one_line(event.get("agent", ""), 20),
    )
    head = f"{seconds_clock(event.get('at'))} {kind:<16} {agent:<9}"
    return f"{head} {one_line(_gist(event), 200)}".rstrip()


def _gist(event: Members) -> str:
    match event.get("kind"):
        case "message_sent":
            return f"#{event.get('id')} {event.get('from')} → {event.get('to')}: {event.get('body')}"
        case str(kind) if kind.startswith("message_"):
            return f"#{event.get('id')} {event.get('from')} → {event.get('to')}"
        case "turn_start":
            return (
                f"from {event['from']}"
                if "from" in event
                else str(event.get("turn_kind"))
            )
        case "turn_end":
            return f"{event.get('outcome')} {took(_number(event.get('duration_ms')))}"
        case "agent_state":
            return "gone" if event.get("gone") else str(event.get("state"))
        case "note":
            return str(event.get("text"))
        case "stream":
            return _stream_gist(_object(event.get("event")))
        case "approval_added" | "approval_resolved":
            row = _object(event.get("approval"))
            return f"#{row.get('id')} {row.get('kind')} {row.get('status')}"
        case "question_added" | "question_resolved":
            row = _object(event.get("question"))
            return f"#{row.get('id')} {row.get('status')}: {row.get('question')}"
    return ""


def _stream_gist(event: Members) -> str:
    kind = "/".join(str(event[key]) for key in ("type", "subtype") if key in event)
    for block in _blocks(event):
        if block.get("type") == "text":
            return f"{kind}: {block.get('text')}"
        if block.get("type") == "tool_use":
            return f"{kind}: {describe(block)}"
    return kind


def _retry(event: Members) -> str:
    status = event.get("error_status")
    what = f"the API answered {status}" if status else "the API gives no answer"
    tries = f"{event.get('attempt', '?')} of {event.get('max_retries', '?')}"
    return one_line(f"{what}; retry {tries}")


def _blocks(event: Members) -> Iterator[Members]:
    content = _object(event.get("message")).get("content")
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from (block for block in content if isinstance(block, dict))


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        str(block.get("text", "")) for block in content if isinstance(block, dict)
    )


def _indented(text: object, margin: str) -> Iterator[str]:
    lines = clean(text).strip().splitlines()
    for line in lines[:MAX_LINES]:
        yield f"{margin}{line}"
    if len(lines) > MAX_LINES:
        yield f"{margin}… {plural(len(lines) - MAX_LINES, 'more line')}"


def _object(value: object) -> Members:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    """A number that can be meant: JSON also holds 1e999, and integers of any size."""
    if not isinstance(value, int | float) or not abs(value) < _SANE:
        return 0
    return value


def _lines_of(text: object) -> int:
    return len(text.splitlines()) if isinstance(text, str) else 0
