"""Show answers of the hive to a person: tables, mailboxes, facts."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

from hyperhive.admin.console import Console, clean, one_line
from hyperhive.admin.words import clock, count, duration, seconds_since, took

Row = Mapping[str, Any]

_STATE_STYLES = {
    "working": ("green",),
    "compacting": ("green",),
    "waiting": ("yellow",),
    "parked": ("yellow",),
    "starting": ("yellow",),
    "stopping": ("yellow",),
    "stuck": ("red",),
    "crashed": ("red",),
    "failed": ("red", "bold"),
    "needs login": ("red",),
    "paused": ("dim",),
    "stopped": ("dim",),
}


def agents(console: Console, rows: Sequence[Row]) -> None:
    """A table of agents."""
    now = time.time()
    table = [("NAME", "STATE", "UNREAD", "MODEL", "CONTEXT", "LAST TURN", "SAYS")]
    table += [
        (
            clean(row["name"]),
            _state(row, now),
            str(row.get("unread", 0)),
            one_line(row.get("model", ""), 30),
            _context(row),
            _last_turn(row, now),
            one_line(row.get("status_text", ""), 40),
        )
        for row in rows
    ]
    styles = [
        ("bold",),
        *(_STATE_STYLES.get(str(row.get("state")), ()) for row in rows),
    ]
    head, *lines = aligned(table)
    console.out(console.paint("  ".join(head).rstrip(), *styles[0]))
    for style, cells in zip(styles[1:], lines, strict=True):
        cells[1] = console.paint(cells[1], *style)
        console.out("  ".join(cells).rstrip())


def aligned(
    table: Sequence[Sequence[str]], right: int | None = None
) -> list[list[str]]:
    """The cells of a table, those of a column made equally wide.

    :param right: from which column on they end below one another, as figures do.
    """
    widths = [
        max(_width(cell) for cell in column) for column in zip(*table, strict=True)
    ]
    margins = [
        [" " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        for row in table
    ]
    return [
        [
            cell + margin if right is None or number < right else margin + cell
            for number, (cell, margin) in enumerate(zip(row, beside, strict=True))
        ]
        for row, beside in zip(table, margins, strict=True)
    ]


def agent(console: Console, row: Row) -> None:
    """All that is known of one agent."""
    now = time.time()
    state = _state(row, now)
    style = _STATE_STYLES.get(str(row.get("state")), ())
    facts = [
        ("name", f"{clean(row['name'])} ({clean(row.get('role', 'agent'))})"),
        ("state", console.paint(state, *style)),
        ("why", one_line(row.get("state_note", ""), 300)),
        ("tool", one_line(row.get("tool", ""))),
        ("unread", str(row.get("unread", 0))),
        ("model", one_line(row.get("model", ""))),
        ("context", _context(row)),
        ("last turn", _last_turn(row, now)),
        ("", one_line((row.get("last_turn") or {}).get("note", ""), 300)),
        ("says", one_line(row.get("status_text", ""), 300)),
        ("page", one_line(row.get("url", ""))),
    ]
    _facts(console, facts)


def messages(console: Console, rows: Sequence[Row], left_out: int) -> None:
    """A mailbox, oldest first."""
    now = time.time()
    if left_out:
        console.say(f"({left_out} older ones are left out: together they are too long)")
    if not rows:
        console.say("(no messages)")
    for row in rows:
        state = str(row.get("state", ""))
        marks = [state]
        if row.get("redelivered"):
            marks.append("redelivered")
        if "in_reply_to" in row:
            marks.append(f"answers #{row['in_reply_to']}")
        if row.get("read") is False:
            marks.append("unread")
        head = (
            f"#{row.get('id')}  {clean(row.get('from'))} → {clean(row.get('to'))}  "
            f"{clock(row.get('sent_at'), now)}  {clean(', '.join(marks))}"
        )
        console.out(console.paint(head, "red" if state == "dead" else "cyan"))
        for line in clean(row.get("body", "")).splitlines():
            console.out(f"    {line}")


def links(console: Console, urls: Mapping[str, Any]) -> None:
    """Where pages are."""
    _facts(console, [(clean(name), clean(url)) for name, url in urls.items()])


def information(console: Console, info: Mapping[str, Any]) -> None:
    """Versions and counts, whatever they are."""
    facts: list[tuple[str, str]] = []
    for name, value in info.items():
        if name == "uptime_s" and isinstance(value, int | float):
            facts.append(("uptime", duration(value)))
        elif name == "notify":
            facts.append((name, "\n".join(_target(one) for one in value)))
        elif isinstance(value, list):
            facts.append((name, "\n".join(clean(one) for one in value)))
        elif isinstance(value, bool):
            facts.append((name, "yes" if value else "no"))
        else:
            facts.append((name, clean(value)))
    _facts(console, facts)


def _target(row: Mapping[str, Any]) -> str:
    """How it goes with a target of notifications."""
    waiting = f", {row['waiting']} waiting" if row.get("waiting") else ""
    problem = f": {clean(row['problem'])}" if "problem" in row else ""
    return f"{clean(row.get('target'))} ({clean(row.get('host'))}){waiting}{problem}"


def _facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Those that have something to say."""
    said = [(name, value) for name, value in facts if value]
    width = max((_width(name) for name, _ in said), default=0)
    for name, value in said:
        label = name.replace("_", " ")
        margin = " " * (width - _width(label))
        head = f"{console.paint(label, 'dim')}{margin}  "
        first, *more = value.splitlines()
        console.out(f"{head}{first}")
        for line in more:
            console.out(f"{' ' * (width + 2)}{line}")


def _state(row: Row, now: float) -> str:
    state = clean(row.get("state", "?"))
    if state in ("parked", "crashed") and "state_until" in row:
        return f"{state} until {clock(row['state_until'], now)}"
    since = seconds_since(row.get("state_since"), now)
    return state if since is None else f"{state} {duration(since)}"


def _context(row: Row) -> str:
    used, window = row.get("ctx_tokens"), row.get("ctx_window")
    if not isinstance(used, int | float):
        return "-"
    if not isinstance(window, int | float) or window <= 0:
        return count(used)
    return f"{count(used)} ({100 * used / window:.0f}%)"


def _last_turn(row: Row, now: float) -> str:
    turn = row.get("last_turn")
    if not isinstance(turn, dict) or "outcome" not in turn:
        return "-"
    parts = [clean(turn["outcome"]).replace("_", " ")]
    if isinstance(turn.get("duration_ms"), int | float):
        parts.append(took(turn["duration_ms"]))
    ago = seconds_since(turn.get("ended_at"), now)
    return " ".join(parts) + (f", {duration(ago)} ago" if ago is not None else "")


def _width(text: str) -> int:
    """How many columns a terminal takes for it."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
        for char in text
    )
