"""Reading claude's stdout: lines, what they add up to, and what is shown of them."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.stream import (
    MAX_COMMAS,
    MAX_NOTE,
    StreamLine,
    StreamReader,
    TurnReading,
    for_display,
    window,
)
from hyperhive.messages.interfaces import Usage


def line(event: Any) -> StreamLine:
    """A line with an event, as the reader gives it."""
    return StreamLine(json.dumps(event).encode(), event)


def read(*events: dict[str, Any]) -> TurnReading:
    """What these events add up to."""
    reading = TurnReading()
    for event in events:
        reading.observe(event)
    return reading


def init(**members: Any) -> dict[str, Any]:
    """An ``init`` event."""
    return {"type": "system", "subtype": "init", **members}


def assistant(
    id: str, *content: dict[str, Any], usage: Any = None, **members: Any
) -> dict[str, Any]:
    """A line of a model's message."""
    message = {"id": id, "model": "m", "content": list(content), "usage": usage or {}}
    return {"type": "assistant", "message": message, **members}


def call(id: str, name: str) -> dict[str, Any]:
    """A tool call."""
    return {"type": "tool_use", "id": id, "name": name}


def answer(id: str) -> dict[str, Any]:
    """The result of a tool call."""
    content = [{"type": "tool_result", "tool_use_id": id}]
    return {"type": "user", "message": {"content": content}}


class ReaderTests(SynchronousTestCase):
    """Bytes become lines become events."""

    def test_lines_and_the_unfinished_last_one(self) -> None:
        """Lines are given as they complete, blank ones left out; the last may lack its newline."""
        reader = StreamReader()
        self.assertEqual(list(reader.feed(b'{"a"')), [])
        given = list(reader.feed(b':1}\r\n\n  \n{"b":2}'))
        self.assertEqual(given, [StreamLine(b'{"a":1}', {"a": 1})])
        self.assertEqual(list(reader.finish()), [StreamLine(b'{"b":2}', {"b": 2})])
        self.assertEqual(list(reader.finish()), [])

    def test_what_is_no_event(self) -> None:
        """Text, JSON that is no object, what no browser parses, and what is no UTF-8 are lines without an event."""
        for raw in (
            b"hello",
            b"[1]",
            b"7",
            b'{"a":NaN}',
            b'{"a":-Infinity}',
            b'{"a":1e999}',
            b'{"a":[-1E+400]}',
            b'{"a":"\xff"}',
            b'{"a":"\xed\xa0\x80"}',
            b'{"a":' * 100_000,
            b'{"a":' + b"[" * 100_000,
            b'{"a":' + b"9" * 5000 + b"}",
        ):
            (only,) = StreamReader().feed(raw + b"\n")
            self.assertEqual(only, StreamLine(raw, None), raw[:20])

    def test_a_line_of_very_many_values_is_skipped_and_said_to_be(self) -> None:
        """It is not parsed, which would take long; a long text is."""
        many = b'{"a":[' + b"0," * (MAX_COMMAS + 1) + b"0]}\n"
        (only,) = StreamReader().feed(many)
        self.assertTrue(only.event is None)
        self.assertIn("skipped", only.text)
        for event in ({"a": [0] * MAX_COMMAS}, {"a": "x" * 2 * MAX_COMMAS}):
            (only,) = StreamReader().feed(json.dumps(event).encode() + b"\n")
            self.assertTrue(only.event == event)

    def test_an_over_long_line_is_skipped_and_said_to_be(self) -> None:
        """The line goes, complete or not yet; what is before and behind it is given."""
        long = b'"' + b"x" * 30 + b'"'
        for pieces in (
            [b"1\n" + long + b"\n2\n"],
            [b"1\n", long[:25], long[25:], b"xx\n2", b"\n"],
            [b"1\n" + long, b"\n2\n"],
            [bytes([byte]) for byte in b"1\n" + long + b"\n2\n"],
        ):
            reader = StreamReader(limit=20)
            lines = [one for piece in pieces for one in reader.feed(piece)]
            self.assertEqual([lines[0].raw, lines[2].raw], [b"1", b"2"])
            self.assertIn("skipped", lines[1].text)
            self.assertIn("20 bytes", lines[1].text)
            self.assertEqual(len(lines), 3)

    def test_several_over_long_lines_in_one_piece(self) -> None:
        """Each is reported, and none of the others is lost."""
        reader = StreamReader(limit=3)
        lines = list(reader.feed(b"aaaa\nb\ncccc\ndddd\ne\nffff"))
        self.assertEqual(
            [one.raw for one in lines if b"skipped" not in one.raw], [b"b", b"e"]
        )
        self.assertEqual(len(lines), 6)
        self.assertEqual(list(reader.finish()), [])

    def test_the_text_of_a_line_is_bounded(self) -> None:
        """A line that is no event is a note of bounded length."""
        note = StreamLine("ü".encode() * 100_000, None).text
        self.assertTrue(note.startswith("üüü"))
        self.assertEqual(len(note), MAX_NOTE + 2)
        self.assertEqual(StreamLine(b"hi", None).text, "hi")


class ReadingTests(SynchronousTestCase):
    """What a turn's events add up to."""

    def test_nothing_is_known_at_first(self) -> None:
        """Before any event, everything is unknown rather than false."""
        reading = TurnReading()
        self.assertIsNone(reading.connected)
        self.assertIsNone(reading.session_id)
        self.assertIsNone(reading.tool)
        self.assertFalse(reading.result_said)
        self.assertEqual(reading.usage, Usage())

    def test_the_connection(self) -> None:
        """Our MCP server is connected or it isn't; while it is pending, or claude doesn't say, that is open."""
        for servers, connected in (
            ([{"name": "hyperhive", "status": "connected"}], True),
            ([{"name": "hyperhive", "status": "failed"}], False),
            ([{"name": "hyperhive", "status": "needs-auth"}], False),
            ([{"name": "hyperhive", "status": "pending"}], None),
            ([{"name": "other", "status": "connected"}], False),
            ([], False),
            ("nonsense", None),
        ):
            reading = read(init(mcp_servers=servers))
            self.assertIs(reading.connected, connected, servers)

    def test_the_first_init_says_who_is_connected(self) -> None:
        """A background task's second ``init`` changes the session, but not what the turn began with."""
        good = [{"name": "hyperhive", "status": "connected"}]
        reading = read(
            init(session_id="a", tools=["Bash", 7], mcp_servers=good),
            init(session_id="b", tools=[], mcp_servers=[]),
        )
        self.assertEqual(reading.session_id, "b")
        self.assertEqual(reading.tools, ("Bash",))
        self.assertIs(reading.connected, True)

    def test_the_tool_that_runs(self) -> None:
        """It is the oldest call without a result; calls of a message before are over."""
        reading = read(
            assistant("1", call("a", "Bash")), assistant("1", call("b", "Read"))
        )
        self.assertEqual(reading.tool, "Bash")
        reading.observe(answer("a"))
        self.assertEqual(reading.tool, "Read")
        reading.observe(assistant("2", call("c", "Grep")))
        self.assertEqual(reading.tool, "Grep")
        reading.observe({"type": "result", "is_error": False})
        self.assertIsNone(reading.tool)

    def test_context_is_the_last_inference(self) -> None:
        """Input and both caches of the last message; one message has several lines; a subagent's is another context."""
        usage = {
            "input_tokens": 10,
            "output_tokens": 1,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 3000.0,
        }
        reading = read(
            assistant("1", usage={"input_tokens": 5}),
            assistant("2", usage=usage),
            assistant("2", usage=usage),
            assistant("3", usage={"input_tokens": 99999}, parent_tool_use_id="x"),
        )
        self.assertEqual(reading.usage.context, 3210)

    def test_a_message_without_usage_leaves_the_context(self) -> None:
        """Where nothing is said, what was known stays."""
        reading = read(assistant("1", usage={"input_tokens": 5}), assistant("2"))
        self.assertEqual(reading.usage.context, 5)

    def test_claudes_own_words_are_no_inference(self) -> None:
        """The line that tells of an API error has no usage, and leaves the context as it was."""
        synthetic = assistant("2", usage={"input_tokens": 0}, error="rate_limit")
        synthetic["message"]["model"] = "<synthetic>"
        reading = read(
            init(model="claude-opus-5-5"),
            assistant("1", usage={"input_tokens": 5}),
            synthetic,
        )
        self.assertEqual(reading.usage.context, 5)
        self.assertEqual(reading.model, "m")

    def test_usage_without_a_result(self) -> None:
        """A turn that was killed used at least what its messages said, each counted once."""
        usage = {"input_tokens": 10, "output_tokens": 1}
        reading = read(
            assistant("1", usage=usage),
            assistant("1", usage=usage),
            assistant("2", usage=usage),
        )
        self.assertEqual(
            reading.usage, Usage(input_tokens=20, output_tokens=2, context=10)
        )

    def test_usage_of_several_results(self) -> None:
        """What each result says is added; messages that it covers are not added again."""

        def result(tokens: int, cost: float, **members: Any) -> dict[str, Any]:
            used = {"inputTokens": tokens, "cacheReadInputTokens": 1, "costUSD": cost}
            return {
                "type": "result",
                "is_error": False,
                "total_cost_usd": 1000,
                "model_usage_since_last_result": {"a": used, "b": used},
                **members,
            }

        reading = read(
            assistant("1", usage={"input_tokens": 7}),
            result(10, 0.25),
            assistant("2", usage={"input_tokens": 8}),
            result(20, 0.5, origin={"kind": "task-notification"}),
        )
        usage = reading.usage
        self.assertEqual(usage.input_tokens, 60)
        self.assertEqual(usage.cache_read_tokens, 4)
        self.assertEqual(usage.cost_usd, 1.5)
        self.assertEqual(usage.context, 8)

    def test_only_our_prompts_result_counts(self) -> None:
        """The last result that no background task caused is the turn's."""
        reading = read(
            {"type": "result", "is_error": False, "result": "one"},
            {"type": "result", "is_error": False, "result": "two"},
            {
                "type": "result",
                "is_error": True,
                "origin": {"kind": "task-notification"},
            },
        )
        assert reading.result is not None
        self.assertEqual(reading.result.text, "two")
        self.assertFalse(reading.result.is_error)

    def test_a_result_takes_the_error_before_it_and_no_later_one_does(self) -> None:
        """The failed API call is told in an assistant line; it belongs to the next result alone."""
        failed = assistant("1", error="server_error", api_error_status=529)
        reading = read(failed, {"type": "result", "is_error": True})
        assert reading.result is not None
        self.assertEqual(
            (reading.result.error, reading.result.status), ("server_error", 529)
        )
        reading.observe({"type": "result", "is_error": False})
        self.assertIsNone(reading.result.error)

    def test_a_result_that_does_not_say_is_an_error(self) -> None:
        """Only ``is_error: false`` is a good result: nothing is taken for done by mistake."""
        reading = read({"type": "result", "subtype": "success"})
        assert reading.result is not None
        self.assertTrue(reading.result.is_error)

    def test_retrying(self) -> None:
        """A sentence on the retry, in floats as 2.1.197 gives them, that any answer removes."""
        retry = {
            "type": "system",
            "subtype": "api_retry",
            "attempt": 2,
            "max_retries": 3.0,
            "retry_delay_ms": 1999.5961,
            "error_status": 401,
            "error": "authentication_failed",
        }
        self.assertEqual(
            read(retry).retrying,
            "the API answered 401 (authentication_failed); retry 2 of 3 in 2 s",
        )
        silent = retry | {"error_status": None, "error": "unknown"}
        self.assertEqual(
            read(silent).retrying, "the API gives no answer; retry 2 of 3 in 2 s"
        )
        bare = {"type": "system", "subtype": "api_retry"}
        self.assertEqual(read(bare).retrying, "the API gives no answer")
        for event in (assistant("1"), answer("a"), {"type": "stream_event"}):
            self.assertIsNone(read(retry, event).retrying)

    def test_denials_are_counted_once(self) -> None:
        """A denial is an event and a member of the result; a hook's is only the latter."""
        event = {"type": "system", "subtype": "permission_denied"}
        result = {"type": "result", "permission_denials": [{}, {}, {}]}
        self.assertEqual(read(event, event).denials, 2)
        self.assertEqual(read(event, event, result).denials, 3)

    def test_texts_can_be_stored(self) -> None:
        """Texts are bounded and hold no half of a surrogate pair, which no database takes."""
        reading = read(init(session_id="\ud83d" + "x" * 10_000, model=["m"]))
        assert reading.session_id is not None
        self.assertLessEqual(len(reading.session_id.encode()), 500)
        self.assertIsNone(reading.model)

    @settings(max_examples=300)
    @given(st.data())
    def test_nothing_in_an_event_is_believed(self, data: st.DataObject) -> None:
        """Whatever the members of known events hold, reading them never fails, and counts stay sane."""
        members = [
            "session_id",
            "model",
            "tools",
            "mcp_servers",
            "message",
            "error",
            "api_error_status",
            "api_error_params",
            "rate_limit_info",
            "compact_metadata",
            "is_error",
            "result",
            "errors",
            "usage",
            "model_usage_since_last_result",
            "permission_denials",
            "origin",
            "attempt",
            "retry_delay_ms",
            "aborted",
            "parent_tool_use_id",
            "post_tokens",
            "content",
            "input_tokens",
            "costUSD",
            "inputTokens",
            "status",
            "resetsAt",
            "type",
            "id",
            "name",
            "kind",
        ]
        leaves = (
            st.none()
            | st.booleans()
            | st.integers()
            | st.sampled_from([10**400, -5, 1e308, float("inf"), "\ud800", "tool_use"])
            | st.text(max_size=5)
        )
        values = st.recursive(
            leaves,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(members), inner, max_size=4)
            ),
            max_leaves=12,
        )
        kinds = [
            ("system", "init"),
            ("system", "api_retry"),
            ("system", "compact_boundary"),
            ("rate_limit_event", None),
            ("assistant", None),
            ("user", None),
            ("result", "success"),
            ("what is new", {}),
        ]
        reading = TurnReading()
        for _ in range(3):
            type_, subtype = data.draw(st.sampled_from(kinds))
            event = data.draw(
                st.dictionaries(st.sampled_from(members), values, max_size=8)
            )
            reading.observe(event | {"type": type_, "subtype": subtype})
        usage = reading.usage
        for count in (usage.input_tokens, usage.output_tokens, usage.context or 0):
            self.assertTrue(0 <= count < 2**63)
        for text in (reading.session_id, reading.model, reading.tool, reading.retrying):
            (text or "").encode()


class DisplayTests(SynchronousTestCase):
    """What is stored and published of an event."""

    def test_a_short_event_is_itself(self) -> None:
        """Up to the limit it is passed on byte by byte."""
        one = StreamLine(b'{ "type" : "user" }', {"type": "user"})
        self.assertEqual(for_display(one), one.raw)

    def test_a_long_text_is_shortened_and_said_to_be(self) -> None:
        """Type and short members stay; the mark holds the whole's length in bytes."""
        whole = line({"type": "user", "uuid": "u", "message": {"content": "x" * 10**6}})
        shown = json.loads(for_display(whole))
        self.assertEqual((shown["type"], shown["uuid"]), ("user", "u"))
        self.assertTrue(shown["message"]["content"].startswith("xxx"))
        self.assertIn("1000000 characters", shown["message"]["content"])
        self.assertEqual(shown["hyperhive_shortened"], {"bytes": len(whole.raw)})

    def test_the_limit_holds_for_every_shape(self) -> None:
        """Long lists, many members, many long texts and deep nesting: it fits and is JSON of the same type."""
        deep: Any = "x" * 5000
        for _ in range(400):
            deep = [deep, "y" * 300]
        for message in (
            ["x" * 200] * 10_000,
            {f"{'k' * 200}{number}": "v" * 200 for number in range(5000)},
            [[["x" * 150] * 30] * 30] * 30,
            deep,
            {"\ud83d": "\ud83d" * 100_000},
        ):
            event = {"type": "assistant", "subtype": "s", "message": message}
            shown = for_display(line(event), limit=8192)
            self.assertLessEqual(len(shown), 8192)
            parsed = json.loads(shown)
            self.assertEqual((parsed["type"], parsed["subtype"]), ("assistant", "s"))
            self.assertIn("hyperhive_shortened", parsed)

    def test_an_event_cannot_claim_to_be_whole(self) -> None:
        """A member of that name in the event itself is replaced."""
        event = {"type": "user", "hyperhive_shortened": 0, "x": "x" * 200_000}
        shown = json.loads(for_display(line(event)))
        self.assertGreater(shown["hyperhive_shortened"]["bytes"], 200_000)


class WindowTests(SynchronousTestCase):
    """Context windows."""

    def test_windows(self) -> None:
        """A million for the present generation and its aliases; the older and the unknown have 200,000."""
        for model in ("opus", "sonnet", "haiku", "claude-opus-5-5", "claude-haiku-5-5"):
            self.assertEqual(window(model), 1_000_000, model)
        for model in (
            "claude-haiku-4-5",
            "claude-sonnet-4-20250514",
            "claude-opus-20990101",
            "claude-3-5-sonnet",
            "no-such-model",
            "",
        ):
            self.assertEqual(window(model), 200_000, model)
