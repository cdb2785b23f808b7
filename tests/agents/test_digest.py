"""What an agent did last, as lines for the manager."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.digest import MAX_LINE, digest

AT = "2026-01-31T12:34:56.000Z"


def encoded(kind: str, **members: Any) -> bytes:
    """A stored event."""
    return json.dumps({"seq": 1, "kind": kind, "at": AT, **members}).encode()


def streamed(*blocks: dict[str, Any], type: str = "assistant") -> bytes:
    """A stored event of claude's stream."""
    return encoded("stream", event={"type": type, "message": {"content": blocks}})


class DigestTests(SynchronousTestCase):
    """Events in, lines out."""

    def test_a_turn(self) -> None:
        """From its message to its end, with what was said and called."""
        events = [
            encoded("turn_start", turn=7, id=3, **{"from": "operator"}),
            streamed({"type": "text", "text": "I look\nfirst."}),
            streamed({"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}),
            streamed({"type": "tool_result", "content": "notes.md"}, type="user"),
            streamed(
                {
                    "type": "tool_result",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no such file"}],
                },
                type="user",
            ),
            encoded("note", text="no connection"),
            encoded("deploy_log", line="evaluating"),
            encoded(
                "stream", event={"type": "result", "is_error": True, "result": "limit"}
            ),
            encoded("turn_end", turn=7, outcome="rate_limited", note="until 14:00"),
        ]
        self.assertEqual(
            digest(events, 100),
            [
                "12:34:56 --- turn 7: message 3 from operator",
                "12:34:56 says: I look first.",
                '12:34:56 calls Bash {"command": "ls"}',
                "12:34:56 gave: notes.md",
                "12:34:56 failed: no such file",
                "12:34:56 note: no connection",
                "12:34:56 build: evaluating",
                "12:34:56 error: limit",
                "12:34:56 --- turn 7 ended rate_limited: until 14:00",
            ],
        )

    def test_bounds(self) -> None:
        """The last lines, none of them long."""
        events = [
            encoded("note", text=f"{number} " + "x" * 1000) for number in range(9)
        ]
        lines = digest(events, 2)
        self.assertEqual([line[9:17] for line in lines], ["note: 7 ", "note: 8 "])
        self.assertTrue(all(len(line) == MAX_LINE + 9 for line in lines))
        self.assertEqual(digest(events, 0), [])

    def test_what_says_nothing(self) -> None:
        """Odd events, and kinds that are not for reading, give no line and no error."""
        odd = [
            encoded("agent_state", name="bob"),
            encoded("stream"),
            encoded("stream", event=[1]),
            encoded("stream", event={"type": "assistant", "message": {"content": "x"}}),
            streamed({"type": "thinking", "thinking": "hm"}),
            encoded("stream", event={"type": "result", "is_error": False}),
        ]
        self.assertEqual(digest(odd, 10), [])

    def test_compaction(self) -> None:
        """A turn without a message is one of those."""
        self.assertEqual(
            digest([encoded("turn_start", turn=8)], 1),
            ["12:34:56 --- turn 8: compaction"],
        )
