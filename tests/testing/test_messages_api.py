"""What the stand-in for the Messages API answers, byte for byte where claude reads it."""

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.testing.messages_api import MAX_REQUESTS, MessagesApi
from tests.e2e.stand_in import StandIn

MESSAGES = "http://127.0.0.1/v1/messages"
SUMMARY = "Your task is to create a detailed summary of the conversation"


class ApiTestCase(SynchronousTestCase):
    """A stand-in in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.api = MessagesApi(self.clock, self.clock.seconds)
        self.treq = StubTreq(self.api.app.resource())

    def ask(self, text: str, **headers: str) -> Any:
        """An inference that is not streamed: the response."""
        return self.successResultOf(
            self.treq.post(MESSAGES, json=self.body(text), headers=headers)
        )

    def body(self, text: str, stream: bool = False) -> dict[str, Any]:
        """What claude sends."""
        messages = [{"role": "user", "content": text}]
        return {"model": "haiku", "messages": messages, "stream": stream}

    def json(self, response: Any) -> Any:
        """The content of a response."""
        return self.successResultOf(response.json())

    def text(self, response: Any) -> str:
        """What an inference says."""
        self.assertEqual(response.code, 200)
        return str(self.json(response)["content"][-1]["text"])

    def stream(self, text: str) -> "tuple[Deferred[Any], list[bytes]]":
        """A streamed inference: its end, and what came of it so far."""
        parts: list[bytes] = []
        response = self.successResultOf(
            self.treq.post(MESSAGES, json=self.body(text, stream=True), unbuffered=True)
        )
        return response.collect(parts.append), parts


class AnswerTests(ApiTestCase):
    """Answers that are none of a failure."""

    def test_default(self) -> None:
        """A prompt without a script gets a short text."""
        answer = self.json(self.ask("hello"))
        self.assertEqual(
            answer["content"], [{"type": "text", "text": "Hello from the stand-in."}]
        )
        self.assertEqual(answer["stop_reason"], "end_turn")

    def test_tool(self) -> None:
        """A call stops the answer; what follows it comes after its result."""
        prompt = '[[say a]] [[tool send {"to": "bob"}]] [[say b]]'
        answer = self.json(self.ask(prompt))
        text, call = answer["content"]
        self.assertEqual(answer["stop_reason"], "tool_use")
        self.assertEqual(text["text"], "a")
        self.assertEqual((call["name"], call["input"]), ("send", {"to": "bob"}))
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer["content"]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call["id"]}],
            },
        ]
        response = self.successResultOf(
            self.treq.post(MESSAGES, json={"model": "haiku", "messages": messages})
        )
        self.assertEqual(self.text(response), "b")

    def test_usage(self) -> None:
        """The input tokens are what the script says."""
        answer = self.json(self.ask("[[usage input=170000]]"))
        self.assertEqual(answer["usage"]["input_tokens"], 170000)

    def test_stream(self) -> None:
        """A stream is Anthropic's sequence of events, a call's input in JSON."""
        end, parts = self.stream('[[say a]] [[tool send {"to": "bob"}]]')
        self.successResultOf(end)
        events = [
            json.loads(line.removeprefix("data: "))
            for line in b"".join(parts).decode().split("\n")
            if line.startswith("data: ")
        ]
        block = ["content_block_start", "content_block_delta", "content_block_stop"]
        self.assertEqual(
            [one["type"] for one in events],
            ["message_start", *block, *block, "message_delta", "message_stop"],
        )
        self.assertEqual(events[4]["content_block"]["input"], {})
        self.assertEqual(json.loads(events[5]["delta"]["partial_json"]), {"to": "bob"})
        self.assertEqual(events[7]["delta"]["stop_reason"], "tool_use")

    def test_slow(self) -> None:
        """A slow stream comes in pieces, each after its pause."""
        end, parts = self.stream("[[slow 2 3]]")
        for number in (1, 2, 3):
            self.assertNotIn(f"slow-{number}".encode(), b"".join(parts))
            self.clock.advance(2)
            self.treq.flush()
            self.assertIn(f"slow-{number}".encode(), b"".join(parts))
        self.successResultOf(end)

    def test_others(self) -> None:
        """Claude's other requests: is anybody there, is the model, how many tokens."""
        for path in ("", "api/hello"):
            response = self.successResultOf(self.treq.head(f"http://127.0.0.1/{path}"))
            self.assertEqual(response.code, 200)
        probe = {**self.body("[[500]]"), "max_tokens": 1}
        response = self.successResultOf(self.treq.post(MESSAGES, json=probe))
        self.assertEqual(response.code, 200)
        response = self.successResultOf(
            self.treq.post(f"{MESSAGES}/count_tokens", json=self.body("x"))
        )
        self.assertGreater(self.json(response)["input_tokens"], 0)

    def test_bad_script(self) -> None:
        """A mistake in a script is an answer that names it."""
        response = self.ask("[[sing]]")
        self.assertEqual(response.code, 400)
        self.assertIn("sing", self.json(response)["error"]["message"])

    def test_bad_request(self) -> None:
        """A request that is none is refused, and the next is answered."""
        response = self.successResultOf(self.treq.post(MESSAGES, data=b"{oops"))
        self.assertEqual(response.code, 400)
        self.assertEqual(self.ask("hello").code, 200)


class FaultTests(ApiTestCase):
    """Answers that a script has fail."""

    def test_times(self) -> None:
        """A fault holds for as many requests as it says, then comes what follows it."""
        prompt = "[[500 times=2]] [[529 times=1]] [[say at last]]"
        codes = [self.ask(prompt).code for _ in range(3)]
        self.assertEqual(codes, [500, 500, 529])
        self.assertEqual(self.text(self.ask(prompt)), "at last")

    def test_for_ever(self) -> None:
        """Without a count a fault holds for ever."""
        self.assertEqual({self.ask("[[400]]").code for _ in range(20)}, {400})

    def test_retry(self) -> None:
        """The headers that say when, and whether, to try again are as the script has them."""
        plain = self.ask("[[429 retry-after=3]]").headers
        self.assertEqual(plain.getRawHeaders("retry-after"), ["3"])
        self.assertIs(plain.getRawHeaders("x-should-retry"), None)
        final = self.ask("[[429 no-retry]]").headers
        self.assertEqual(final.getRawHeaders("x-should-retry"), ["false"])

    def test_usage_limit(self) -> None:
        """A usage limit has one reset, in its headers, and ends then."""
        prompt = "[[usage-limit reset=60]] [[say at last]]"
        for _ in range(2):
            response = self.ask(prompt)
            self.assertEqual(response.code, 429)
            reset = response.headers.getRawHeaders("anthropic-ratelimit-unified-reset")
            self.assertEqual(reset, ["60"])
            self.clock.advance(30)
        self.assertEqual(self.text(self.ask(prompt)), "at last")

    def test_login(self) -> None:
        """A login is refused until a request bears the right one, as a key or a token."""
        prompt = "[[401 unless=good]] [[say in]]"
        for headers in ({}, {"x-api-key": "bad"}, {"authorization": "Bearer bad"}):
            self.assertEqual(self.ask(prompt, **headers).code, 401)
        for headers in ({"x-api-key": "good"}, {"authorization": "Bearer good"}):
            self.assertEqual(self.text(self.ask(prompt, **headers)), "in")

    def test_too_long(self) -> None:
        """A prompt is too long until the same session was compacted."""
        prompt = "[[too-long]] [[say it fits]]"
        mine, other = ({"x-claude-code-session-id": one} for one in "ab")
        self.assertEqual(self.ask(prompt, **mine).code, 400)
        self.assertIn("<summary>", self.text(self.ask(SUMMARY, **other)))
        self.assertEqual(self.ask(prompt, **mine).code, 400)
        self.assertIn("<summary>", self.text(self.ask(SUMMARY, **mine)))
        self.assertEqual(self.text(self.ask(prompt, **mine)), "it fits")

    def test_hang(self) -> None:
        """A request that hangs is not answered; the next is."""
        prompt = "[[hang times=1]] [[say at last]]"
        self.assertNoResult(self.treq.post(MESSAGES, json=self.body(prompt)))
        self.assertEqual(self.text(self.ask(prompt)), "at last")


class RecordTests(ApiTestCase):
    """What was asked."""

    def recorded(self, query: str = "") -> "Deferred[Any]":
        """What the stand-in says of it."""
        return self.treq.get(f"http://127.0.0.1/_requests{query}")

    def test_recorded(self) -> None:
        """A request is remembered with its headers and its body."""
        self.ask("hello", **{"x-api-key": "key"})
        [one] = self.json(self.successResultOf(self.recorded()))["requests"]
        self.assertEqual((one["number"], one["method"]), (1, "POST"))
        self.assertEqual(one["headers"]["x-api-key"], "key")
        self.assertEqual(one["body"], self.body("hello"))

    def test_wait(self) -> None:
        """Who waits for a number of requests is answered when it is reached."""
        waiting = self.recorded("?wait=2")
        self.ask("one")
        self.assertNoResult(waiting)
        self.ask("two")
        self.treq.flush()
        requests = self.json(self.successResultOf(waiting))["requests"]
        self.assertEqual([one["number"] for one in requests], [1, 2])

    def test_bounded(self) -> None:
        """The oldest are forgotten where there are too many."""
        for _ in range(MAX_REQUESTS + 1):
            self.treq.head("http://127.0.0.1/")
        kept = self.api.records.as_json()
        self.assertEqual((len(kept), kept[0]["number"]), (MAX_REQUESTS, 2))


class ProgramTests(SynchronousTestCase):
    """The stand-in as a process."""

    def test_url(self) -> None:
        """Its first line is its URL, where it answers."""
        with StandIn() as api:
            self.assertRegex(api.url, r"^http://127\.0\.0\.1:\d+$")
            self.assertEqual(api.inferences(), [])
