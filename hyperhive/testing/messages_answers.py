"""The bytes that the stand-in for the Messages API answers with: JSON, events, errors."""

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.http import Request

from hyperhive.deferreds import deferred
from hyperhive.testing.messages_script import Directive

#: Status, type and words of errors by directive, as Anthropic documents them.
_ERRORS = {
    "429": (
        *(429, "rate_limit_error"),
        "This request would exceed your account's rate limit. Please try again later.",
    ),
    "usage-limit": (
        *(429, "rate_limit_error"),
        "This request would exceed your account's rate limit. Please try again later.",
    ),
    "500": (500, "api_error", "Internal server error"),
    "529": (529, "overloaded_error", "Overloaded"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "400": (400, "invalid_request_error", "The script has it refused"),
    "too-long": (
        *(400, "invalid_request_error"),
        "prompt is too long: 210000 tokens > 200000 maximum",
    ),
}
#: Errors after which claude is told not to try again by itself.
_FINAL = ("usage-limit", "401")


@frozen
class Message:
    """What is the same for every block of an answer."""

    id: str
    model: str
    input_tokens: int

    def as_json(self, content: list[Any], stop: str | None, out: int) -> dict[str, Any]:
        """The message, whole or as a stream begins with it."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": out,
                "service_tier": "standard",
            },
        }


@frozen
class _Piece:
    """A part of a stream, and how long it is held back (seconds)."""

    after: float
    data: bytes


def refuse(request: Request, status: int, kind: str, text: str) -> bytes:
    """An error in Anthropic's shape."""
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json")
    error = {"type": "error", "error": {"type": kind, "message": text}}
    return json.dumps(error).encode()


def fail(request: Request, fault: Directive) -> bytes:
    """The error that a fault stands for."""
    if "retry-after" in fault.options:
        request.setHeader("retry-after", fault.options["retry-after"])
    if "no-retry" in fault.options or fault.word in _FINAL:
        request.setHeader("x-should-retry", "false")
    return refuse(request, *_ERRORS[fault.word])


def limit_headers(request: Request, resets: float) -> None:
    """What says that a usage limit is reached, and until when (POSIX time)."""
    prefix = "anthropic-ratelimit-unified"
    for name, value in (
        (f"{prefix}-status", "rejected"),
        (f"{prefix}-reset", f"{resets:.0f}"),
        (f"{prefix}-representative-claim", "five_hour"),
        (f"{prefix}-5h-status", "rejected"),
        (f"{prefix}-5h-reset", f"{resets:.0f}"),
        (f"{prefix}-overage-status", "rejected"),
        (f"{prefix}-overage-disabled-reason", "org_level_disabled"),
    ):
        request.setHeader(name, value)


def whole(request: Request, message: Message, due: tuple[Directive, ...]) -> bytes:
    """The answer as one JSON object."""
    request.setHeader("content-type", "application/json")
    content = [_block(message, number, one) for number, one in enumerate(_blocks(due))]
    return json.dumps(message.as_json(content, _stop(due), 10)).encode()


@deferred
async def stream(
    clock: IReactorTime, request: Request, message: Message, due: tuple[Directive, ...]
) -> None:
    """The answer as server-sent events; ends early if the client leaves."""
    left = request.notifyFinish()
    request.setHeader("content-type", "text/event-stream")
    for piece in _pieces(message, due):
        if piece.after and not await _waited(clock, piece.after, left):
            return
        request.write(piece.data)


@deferred
async def cut(request: Request, message: Message) -> None:
    """The beginning of an answer, and a broken connection."""
    left = request.notifyFinish()
    request.setHeader("content-type", "text/event-stream")
    whole = list(_pieces(message, (Directive("say", "This answer is cut"),)))
    request.write(b"".join(piece.data for piece in whole[:3]))
    channel = request.channel
    assert channel is not None
    channel.forceAbortClient()
    await _gone(left)


@deferred
async def hold(request: Request) -> None:
    """No answer, until the client leaves."""
    await _gone(request.notifyFinish())


async def _waited(clock: IReactorTime, seconds: float, left: "Deferred[None]") -> bool:
    """Wait; whether the client is still there."""
    pause = deferLater(clock, seconds, lambda: None)

    def cancel(_: object) -> None:
        pause.cancel()

    left.addBoth(cancel)
    try:
        await pause
    except CancelledError:
        return False
    return True


async def _gone(left: "Deferred[None]") -> None:
    ended: Deferred[None] = Deferred()
    left.addBoth(lambda _: ended.callback(None))
    await ended


def _pieces(message: Message, due: tuple[Directive, ...]) -> Iterator[_Piece]:
    yield _event("message_start", message=message.as_json([], None, 1))
    for index, one in enumerate(_blocks(due)):
        block = _block(message, index, one)
        empty: dict[str, Any] = (
            {"text": ""} if block["type"] == "text" else {"input": {}}
        )
        yield _event(
            "content_block_start", index=index, content_block={**block, **empty}
        )
        for after, delta in _deltas(one, block):
            yield _event("content_block_delta", after, index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta",
        delta={"stop_reason": _stop(due), "stop_sequence": None},
        usage={"output_tokens": 10},
    )
    yield _event("message_stop")


def _event(kind: str, after: float = 0.0, **fields: Any) -> _Piece:
    data = json.dumps({"type": kind, **fields})
    return _Piece(after, f"event: {kind}\ndata: {data}\n\n".encode())


def _deltas(
    one: Directive, block: dict[str, Any]
) -> Iterator[tuple[float, dict[str, Any]]]:
    if one.word == "tool":
        partial = json.dumps(block["input"])
        yield 0.0, {"type": "input_json_delta", "partial_json": partial}
    elif one.word == "slow":
        for word in block["text"].split(" "):
            yield one.numbers[0], {"type": "text_delta", "text": f"{word} "}
    else:
        yield 0.0, {"type": "text_delta", "text": block["text"]}


def _blocks(due: tuple[Directive, ...]) -> tuple[Directive, ...]:
    """What an answer has in it; an answer without anything ends a turn in silence."""
    blocks = tuple(one for one in due if one.word in ("say", "tool", "slow"))
    return blocks or (Directive("say", "Done."),)


def _block(message: Message, index: int, one: Directive) -> dict[str, Any]:
    if one.word == "tool":
        # One that no other call in the session has: results are matched by it.
        call = f"toolu_{message.id}_{index}"
        return {"type": "tool_use", "id": call, "name": one.tool, "input": one.input}
    if one.word == "slow":
        words = (f"slow-{number + 1}" for number in range(int(one.numbers[1])))
        return {"type": "text", "text": " ".join(words)}
    return {"type": "text", "text": one.text}


def _stop(due: tuple[Directive, ...]) -> str:
    return "tool_use" if due and due[-1].word == "tool" else "end_turn"
