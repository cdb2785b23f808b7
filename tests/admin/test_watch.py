"""What ``watch`` and ``events`` show of an agent's events."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin.watch import MAX_LINES, Watcher, describe, summary
from hyperhive.admin.words import seconds_clock
from tests.admin.terminal import console

AT = "2026-01-31T12:00:05.000Z"
CLOCK = seconds_clock(AT)


def told(*events: dict[str, Any], terminal: bool = False) -> list[str]:
    """The lines that a watcher makes of events."""
    watcher = Watcher(console(terminal=terminal))
    return [line for event in events for line in watcher.lines({"at": AT, **event})]


def stream(**event: Any) -> dict[str, Any]:
    """One event of claude's."""
    return {"kind": "stream", "event": event}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Something that the model says."""
    return stream(type="assistant", message={"content": list(blocks)})


def tool(name: str, **input: Any) -> dict[str, Any]:
    """A tool's call."""
    return {"type": "tool_use", "name": name, "input": input}


def result(content: Any, **also: Any) -> dict[str, Any]:
    """A tool's result."""
    block = {"type": "tool_result", "content": content, **also}
    return stream(type="user", message={"content": [block]})


class TurnTests(SynchronousTestCase):
    """The lines at which a turn begins and ends."""

    def test_start(self) -> None:
        """A turn begins with who wrote, what, and how much more waits."""
        start = {"kind": "turn_start", "from": "operator", "body": "one\ntwo"}
        self.assertEqual(
            told({**start, "unread": 2, "redelivered": True}),
            [
                f"▶ {CLOCK} from operator, 2 more waiting, redelivered",
                "  one",
                "  two",
            ],
        )
        self.assertEqual(told({**start, "unread": 0})[0], f"▶ {CLOCK} from operator")

    def test_compaction(self) -> None:
        """A compaction has no sender."""
        self.assertEqual(
            told({"kind": "turn_start", "turn_kind": "compact", "unread": 1}),
            [f"▶ {CLOCK} compaction"],
        )

    def test_end(self) -> None:
        """A turn ends with its outcome, its duration, its tokens and its cost."""
        end = {
            "kind": "turn_end",
            "outcome": "rate_limited",
            "duration_ms": 12_345,
            "tokens": {
                "input": 10,
                "output": 20,
                "cache_read": 1000,
                "cache_write": 90,
            },
            "ctx_tokens": 1100,
            "cost_usd": 0.25,
            "note": "the five-hour limit",
        }
        self.assertEqual(
            told(end),
            [
                f"■ {CLOCK} rate limited · 12.3 s · 1.1k in, 20 out · context 1.1k · $0.25",
                "  the five-hour limit",
            ],
        )

    def test_end_without_figures(self) -> None:
        """What is not known of a turn is left out."""
        self.assertEqual(
            told({"kind": "turn_end", "outcome": "ok"}),
            [f"■ {CLOCK} ok · 0 in, 0 out"],
        )

    def test_long_body(self) -> None:
        """A long message is cut, and it is said how much of it is left out."""
        body = "\n".join("line" for _ in range(MAX_LINES + 2))
        lines = told({"kind": "turn_start", "from": "bob", "body": body})
        self.assertEqual(len(lines), 1 + MAX_LINES + 1)
        self.assertEqual(lines[-1], "  … 2 more lines")


class StreamTests(SynchronousTestCase):
    """What claude says and does."""

    def test_text(self) -> None:
        """Text is shown as it is, without blank lines around it."""
        self.assertEqual(
            told(assistant({"type": "text", "text": "\n\nHello\n\nworld\n"})),
            ["  Hello", "  ", "  world"],
        )

    def test_calls(self) -> None:
        """Each tool's call is one line."""
        for block, line in (
            (tool("Bash", command="ls -l\necho more"), "$ ls -l"),
            (tool("Read", file_path="/state/notes"), "read /state/notes"),
            (tool("Write", file_path="/a", content="x\ny\n"), "write /a (+2 lines)"),
            (
                tool("Edit", file_path="/a", old_string="x", new_string="y\nz"),
                "edit /a (-1 +2)",
            ),
            (tool("Glob", pattern="*.py"), "glob *.py"),
            (tool("Grep", pattern="def "), "grep def"),
            (tool("mcp__hyperhive__send", to="bob", body="hi"), "send → bob: hi"),
            (tool("mcp__hyperhive__recv", wait_seconds=5), "recv"),
            (tool("mcp__hyperhive__set_status", text="busy"), "status “busy”"),
            (tool("Task", prompt="do"), 'Task {"prompt": "do"}'),
            (tool("mcp__other__thing"), "mcp__other__thing"),
        ):
            self.assertEqual(describe(block), line)

    def test_result(self) -> None:
        """A result is shortened to a line, with how many follow."""
        self.assertEqual(told(result("one\ntwo\nthree\n")), ["    └ one (+2 lines)"])
        self.assertEqual(
            told(result([{"type": "text", "text": "x" * 500}])),
            ["    └ " + "x" * 119 + "…"],
        )
        self.assertEqual(told(result(None)), ["    └ (nothing)"])

    def test_silent(self) -> None:
        """What says nothing to a person has no line."""
        self.assertEqual(
            told(
                stream(type="result", subtype="success"),
                stream(type="stream_event"),
                {"kind": "message_sent", "body": "hello"},
            ),
            [],
        )

    def test_facts(self) -> None:
        """A session's begin, a retry and a compaction are told."""
        self.assertEqual(
            told(
                stream(
                    type="system",
                    subtype="init",
                    model="haiku",
                    session_id="0123456789abcdef",
                ),
                stream(
                    type="system",
                    subtype="api_retry",
                    error_status=529,
                    attempt=2,
                    max_retries=10,
                ),
                stream(type="system", subtype="compact_boundary"),
                {"kind": "note", "text": "claude says something odd"},
            ),
            [
                "  · haiku 01234567",
                "  ! the API answered 529; retry 2 of 10",
                "  ≡ the context was compacted",
                "  · claude says something odd",
            ],
        )

    def test_no_control(self) -> None:
        """An agent can't move the cursor or set the title of who watches it."""
        evil = "a\x1b]0;title\x07b\x9bJ\rc"
        lines = told(
            {"kind": "turn_start", "from": evil, "body": evil},
            assistant({"type": "text", "text": evil}, tool("Bash", command=evil)),
            assistant(tool(evil, x=evil), {"type": "thinking", "thinking": evil}),
            result(evil),
            {"kind": "note", "text": evil},
            {"kind": "turn_end", "outcome": evil, "note": evil},
            {"kind": "agent_state", "state": "idle"},
            {"kind": "agent_state", "state": evil, "state_note": evil},
        )
        self.assertEqual(len(lines), 11)
        for line in lines:
            self.assertTrue(line.isprintable(), repr(line))


class StateTests(SynchronousTestCase):
    """The agent's label."""

    def test_change(self) -> None:
        """Another label is told, with until when and why; that of a turn is not."""
        until = "2026-01-31T14:05:00.000Z"
        states = [
            {"state": "idle"},
            {"state": "working"},
            {"state": "parked", "state_until": until, "state_note": "a limit"},
            {"state": "parked", "state_until": until, "state_note": "a limit"},
            {"state": "idle"},
            {"state": "paused"},
        ]
        self.assertEqual(
            told(*({"kind": "agent_state", **state} for state in states)),
            [f"◆ parked until {seconds_clock(until)}: a limit", "◆ paused"],
        )

    def test_gone(self) -> None:
        """That the agent was destroyed is told."""
        self.assertEqual(
            told({"kind": "agent_state", "name": "bob", "gone": True}),
            ["◆ the agent was destroyed"],
        )

    def test_colours(self) -> None:
        """On a terminal, an end is green where it is good and red where it is not."""
        good, bad = told(
            {"kind": "turn_end", "outcome": "ok"},
            {"kind": "turn_end", "outcome": "failed"},
            terminal=True,
        )
        self.assertTrue(good.startswith("\x1b[32m"), repr(good))
        self.assertTrue(bad.startswith("\x1b[31m"), repr(bad))
        self.assertTrue(good.endswith("\x1b[0m"))


class SummaryTests(SynchronousTestCase):
    """Any event in one line."""

    def test_each_kind(self) -> None:
        """The line says when, what, of whom, and the gist of it."""
        for event, gist in (
            (
                {"kind": "message_sent", "id": 7, "from": "bob", "to": "operator"}
                | {"body": "hello\nyou"},
                "#7 bob → operator: hello",
            ),
            ({"kind": "message_done", "id": 7, "from": "a", "to": "b"}, "#7 a → b"),
            ({"kind": "turn_start", "from": "bob"}, "from bob"),
            ({"kind": "turn_start", "turn_kind": "compact"}, "compact"),
            ({"kind": "turn_end", "outcome": "ok", "duration_ms": 830}, "ok 830 ms"),
            ({"kind": "agent_state", "state": "idle"}, "idle"),
            ({"kind": "agent_state", "gone": True}, "gone"),
            ({"kind": "note", "text": "odd"}, "odd"),
            (assistant({"type": "text", "text": "hi"}), "assistant: hi"),
            (assistant(tool("Bash", command="ls")), "assistant: $ ls"),
            (stream(type="system", subtype="init"), "system/init"),
        ):
            line = summary({"at": AT, "agent": "bob", **event})
            self.assertEqual(line.split(maxsplit=3)[:3], [CLOCK, event["kind"], "bob"])
            self.assertEqual(line.split(maxsplit=3)[3], gist)

    def test_no_control(self) -> None:
        """Nothing in it is obeyed by a terminal."""
        evil = "\x1b[2J\x07\x9b"
        line = summary({"at": evil, "kind": evil, "agent": evil, "text": evil})
        self.assertTrue(line.isprintable(), repr(line))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "name", "input", "command"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_types = st.sampled_from(["assistant", "user", "system", "result", "other"])


class OddTests(SynchronousTestCase):
    """Claude's events change with its releases, and an agent can forge them."""

    @given(_types, _json, _json)
    def test_any_stream(self, type: str, message: Any, subtype: Any) -> None:
        """No event of claude's, however odd, ends the watching."""
        event = stream(type=type, subtype=subtype, message=message)
        told(event)
        summary(event)

    @given(
        st.sampled_from(["turn_start", "turn_end", "note", "agent_state", "stream"]),
        st.dictionaries(
            st.sampled_from(
                [
                    "at",
                    "from",
                    "body",
                    "unread",
                    "outcome",
                    "tokens",
                    "duration_ms",
                    "ctx_tokens",
                    "cost_usd",
                    "note",
                    "state",
                    "state_until",
                    "event",
                ]
            ),
            _json,
            max_size=5,
        ),
    )
    def test_any_event(self, kind: str, members: Any) -> None:
        """Nor does any other event."""
        told({"kind": "agent_state", "state": "idle"}, {**members, "kind": kind})
        summary({**members, "kind": kind})

    def test_odd_numbers(self) -> None:
        """A number that can't be meant is none."""
        end = json.loads('{"kind":"turn_end","duration_ms":1e999,"cost_usd":"x"}')
        self.assertEqual(told(end), [f"■ {CLOCK} ended · 0 ms · 0 in, 0 out"])

    def test_no_members(self) -> None:
        """An event without members is survived."""
        self.assertEqual(told({"kind": "stream"}), [])
