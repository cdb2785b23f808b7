"""A stand-in for Anthropic's Messages API on loopback, scripted by the prompts it gets.

``python -m hyperhive.testing.messages_api --port 0`` prints its URL as the first line.
:mod:`hyperhive.testing.messages_script` says what a prompt can make it do. What it was
asked is answered as JSON at ``GET /_requests``; with ``?wait=N`` once it is N requests.
"""

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.task import react
from twisted.web.http import Request
from twisted.web.server import Site

from hyperhive.deferreds import deferred
from hyperhive.testing import messages_answers as answers
from hyperhive.testing import messages_script as scripts
from hyperhive.testing.messages_script import BadScript, Directive

#: How many requests are remembered, and how many bytes of them.
MAX_REQUESTS = 1000
MAX_BYTES = 64 * 1024 * 1024
#: Of how many prompts, and of how many sessions, it is known how far they are.
MAX_COURSES = 10_000
#: Headers that are remembered.
_HEADERS = (
    "authorization",
    "x-api-key",
    "user-agent",
    "anthropic-version",
    "anthropic-beta",
    "x-claude-code-session-id",
)


@frozen
class Recorded:
    """One request; ``size`` is its body's, in bytes."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    size: int

    def as_json(self) -> dict[str, Any]:
        """As ``GET /_requests`` gives it."""
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": self.body,
        }


class Records:
    """The newest requests, as many as fit."""

    def __init__(self) -> None:
        self._kept: deque[Recorded] = deque()
        self._bytes = 0
        self._count = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def add(self, request: Request, raw: bytes, body: Any) -> None:
        """Remember one, and forget the oldest where they are too many."""
        self._count += 1
        headers = {
            name: value
            for name in _HEADERS
            if (value := request.getHeader(name)) is not None
        }
        method, path = request.method.decode(), request.uri.decode()
        self._kept.append(Recorded(self._count, method, path, headers, body, len(raw)))
        self._bytes += len(raw)
        while len(self._kept) > MAX_REQUESTS or self._bytes > MAX_BYTES:
            self._bytes -= self._kept.popleft().size
        due = [one for one in self._waiting if one[0] <= self._count]
        self._waiting = [one for one in self._waiting if one[0] > self._count]
        for _, arrived in due:
            arrived.callback(None)

    @deferred
    async def wait(self, count: int) -> None:
        """Fires when there were ``count`` requests."""
        if self._count < count:
            arrived: Deferred[None] = Deferred()
            self._waiting.append((count, arrived))
            await arrived

    def as_json(self) -> list[dict[str, Any]]:
        """All that are remembered, oldest first."""
        return [one.as_json() for one in self._kept]


@define
class _Course:
    """How far the script of one prompt is, in whichever session it comes.

    :ivar spent: by a fault's place, how many requests it had.
    :ivar resets: by its place, when a usage limit ends (POSIX time).
    :ivar compactions: by its place and a session, how often that had been compacted
        when the prompt was too long for the first time.
    """

    spent: dict[int, int] = field(factory=dict)
    resets: dict[int, float] = field(factory=dict)
    compactions: dict[tuple[int, str], int] = field(factory=dict)


class MessagesApi:
    """The stand-in.

    :param now: the wall clock, for the resets of usage limits.
    """

    app = Klein()

    def __init__(self, reactor: Any, now: Callable[[], float] = time.time) -> None:
        self._reactor = reactor
        self._now = now
        self._courses: dict[str, _Course] = {}
        self._compactions: dict[str, int] = {}
        self._answered = 0
        self.records = Records()

    @deferred
    async def listen(self, port: int = 0) -> tuple[IListeningPort, str]:
        """Listen on loopback; the port and the URL."""
        reactor: IReactorTCP = self._reactor
        endpoint = TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        listening = await endpoint.listen(Site(self.app.resource()))
        return listening, f"http://127.0.0.1:{listening.getHost().port}"

    @app.route("/", methods=["HEAD", "GET"])
    @app.route("/api/hello", methods=["HEAD", "GET"])
    def hello(self, request: Request) -> bytes:
        """Whether anybody is there."""
        self.records.add(request, b"", None)
        return b""

    @app.route("/_requests", methods=["GET"])
    @deferred
    async def recorded(self, request: Request) -> bytes:
        """What was asked so far."""
        await self.records.wait(int(request.args.get(b"wait", [b"0"])[0]))
        request.setHeader("content-type", "application/json")
        return json.dumps({"requests": self.records.as_json()}).encode()

    @app.route("/v1/messages/count_tokens", methods=["POST"])
    def count(self, request: Request) -> bytes:
        """How many tokens a request has: four bytes are one."""
        raw, body = _read(request)
        self.records.add(request, raw, body)
        request.setHeader("content-type", "application/json")
        return json.dumps({"input_tokens": len(raw) // 4}).encode()

    @app.route("/v1/messages", methods=["POST"])
    def messages(self, request: Request) -> Any:
        """One inference."""
        raw, body = _read(request)
        self.records.add(request, raw, body)
        self._answered += 1
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return answers.refuse(request, 400, "invalid_request_error", "no messages")
        try:
            return self._infer(request, body)
        except BadScript as error:
            return answers.refuse(request, 400, "invalid_request_error", str(error))

    def _infer(self, request: Request, body: dict[str, Any]) -> Any:
        session = request.getHeader("x-claude-code-session-id") or ""
        prompt = scripts.newest_prompt(body["messages"])
        if scripts.asks_for_summary(prompt):
            _bound(self._compactions)
            self._compactions[session] = self._compactions.get(session, 0) + 1
            return self._answer(request, body, (Directive("say", scripts.SUMMARY),))
        if body.get("max_tokens") == 1:
            return self._answer(request, body, (Directive("say", "."),))
        script = scripts.parse(prompt.text)
        if not script:
            text = Directive("say", scripts.DEFAULT_TEXT)
            return self._answer(request, body, (text,))
        start, end = scripts.segment(script, prompt.results)
        _bound(self._courses)
        course = self._courses.setdefault(prompt.text, _Course())
        for place in range(start, end):
            if script[place].fault and self._holds(
                request, script[place], place, course, session
            ):
                return self._fail(request, body, script[place], course.resets, place)
        due = tuple(one for one in script[start:end] if not one.fault)
        return self._answer(request, body, due, scripts.reported_input(script, end))

    def _holds(
        self,
        request: Request,
        fault: Directive,
        place: int,
        course: _Course,
        session: str,
    ) -> bool:
        """Whether a fault still stands in the answer's place."""
        if fault.word == "usage-limit":
            reset = self._now() + fault.number("reset", 60)
            return self._now() < course.resets.setdefault(place, reset)
        if fault.word == "too-long":
            now = self._compactions.get(session, 0)
            return now == course.compactions.setdefault((place, session), now)
        if "unless" in fault.options:
            return not _bears(request, fault.options["unless"])
        spent = course.spent[place] = course.spent.get(place, 0) + 1
        return spent <= fault.number("times", float("inf"))

    def _fail(
        self,
        request: Request,
        body: dict[str, Any],
        fault: Directive,
        resets: dict[int, float],
        place: int,
    ) -> Any:
        match fault.word:
            case "hang":
                return answers.hold(request)
            case "cut":
                return answers.cut(request, self._message(body, None))
            case "usage-limit":
                answers.limit_headers(request, resets[place])
        return answers.fail(request, fault)

    def _answer(
        self,
        request: Request,
        body: dict[str, Any],
        due: tuple[Directive, ...],
        tokens: int | None = None,
    ) -> Any:
        message = self._message(body, tokens)
        if body.get("stream"):
            return answers.stream(self._reactor, request, message, due)
        return answers.whole(request, message, due)

    def _message(self, body: dict[str, Any], tokens: int | None) -> answers.Message:
        size = len(json.dumps(body.get("messages"))) // 4
        return answers.Message(
            f"msg_{self._answered:08d}",
            str(body.get("model")),
            size if tokens is None else tokens,
        )


def _bound(known: dict[str, Any]) -> None:
    """Make room for one more, if need be at the cost of the oldest."""
    if len(known) >= MAX_COURSES:
        del known[next(iter(known))]


def _read(request: Request) -> tuple[bytes, Any]:
    raw = request.content.read() if request.content is not None else b""
    try:
        return raw, json.loads(raw)
    except ValueError:
        return raw, None


def _bears(request: Request, token: str) -> bool:
    authorization = request.getHeader("authorization") or ""
    return token in (request.getHeader("x-api-key"), authorization.partition(" ")[2])


@deferred
async def serve(reactor: Any, port: int) -> None:
    """Listen, say where, and serve until the process is ended."""
    _, url = await MessagesApi(reactor).listen(port)
    print(url, flush=True)
    await Deferred()


def main(arguments: list[str]) -> None:
    """Run it as a program."""
    parser = argparse.ArgumentParser(description="A stand-in for the Messages API.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    react(serve, (parser.parse_args(arguments).port,))


if __name__ == "__main__":
    main(sys.argv[1:])
