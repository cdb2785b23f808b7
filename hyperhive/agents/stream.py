"""Read what claude prints, stream-json, and add up what a turn's events say. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, NoReturn

import attrs
from attrs import frozen

from hyperhive.agents.events import (
    MAX_TEXT,
    ApiFailure,
    RateLimit,
    Result,
    add,
    as_count,
    as_dict,
    as_list,
    as_text,
    retry_sentence,
    spent,
    tokens,
)
from hyperhive.lines import LineSplitter, LineTooLong
from hyperhive.messages.interfaces import Usage

#: The longest line in bytes; a longer one is skipped and said to be.
MAX_LINE = 32 * 1024 * 1024
#: How many commas a line may have that is parsed. Claude's have some thousand; but an
#: agent can write to its output, and a line of a few million values stops the reactor
#: for a second, however few bytes it has.
MAX_COMMAS = 200_000
#: How much of a line that is no event is shown (characters).
MAX_NOTE = 2000
#: How long an event may be where it is stored and published (bytes).
MAX_SHOWN = 128 * 1024
#: Our MCP server's name in claude's configuration, and so in its tools' names.
MCP_SERVER = "hyperhive"
#: How many tool calls of one message are followed.
_MAX_OPEN = 100
#: Claude's own word for the model of what it says itself, such as an API error.
_SYNTHETIC = "<synthetic>"


@frozen
class StreamLine:
    """One line of claude's standard output.

    :param raw: the line as it came, without its newline; one that was over
        :data:`MAX_LINE` or :data:`MAX_COMMAS` is replaced by a sentence that says so.
    :param event: the JSON object in it; ``None`` if it holds none.
    """

    raw: bytes
    event: Mapping[str, Any] | None

    @property
    def text(self) -> str:
        """The line for people, for one that is no event; at most :data:`MAX_NOTE` characters."""
        text = self.raw[: 4 * MAX_NOTE + 4].decode("utf-8", "replace")
        return text if len(text) <= MAX_NOTE else text[:MAX_NOTE] + " …"


class StreamReader:
    """Cuts claude's standard output into lines and parses each."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._splitter = LineSplitter(limit)

    def feed(self, data: bytes) -> Iterator[StreamLine]:
        """Take what arrived and give each line that it completes, blank ones left out.

        Take all of what this gives before feeding more.
        """
        lines = self._splitter.feed(data)
        while True:
            try:
                for line in lines:
                    yield from _parsed(line)
                return
            except LineTooLong as error:
                yield StreamLine(f"[skipped: {error}]".encode(), None)
                lines = self._splitter.skip()

    def finish(self) -> Iterator[StreamLine]:
        """The stream is at its end: give the last line if it had no newline."""
        yield from _parsed(self._splitter.finish())


def _parsed(line: bytes) -> Iterator[StreamLine]:
    line = line.strip()
    if len(line) > MAX_COMMAS and line.count(b",") > MAX_COMMAS:
        why = (
            f"[skipped: a line of {len(line)} bytes has more than {MAX_COMMAS} values]"
        )
        yield StreamLine(why.encode(), None)
    elif line:
        yield StreamLine(line, _event(line))


def _event(line: bytes) -> Mapping[str, Any] | None:
    try:
        value = _decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if isfinite(value) else _refuse(text)


# Python takes NaN and Infinity, and reads 1e999 as one: no browser takes what
# it then writes, and events are passed on.
_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def for_display(line: StreamLine, limit: int = MAX_SHOWN) -> bytes:
    """What is stored and published of an event: the event, or a shortened one.

    A shortened event is an object of the same type in which long texts and lists
    are cut; its member ``hyperhive_shortened`` holds how long the whole was in
    bytes, so that nobody takes it for the whole.

    :param line: one with an event.
    :param limit: the longest that is passed on whole (bytes), at least 4096.
    """
    event = line.event
    assert event is not None
    if len(line.raw) <= limit:
        return line.raw
    mark = {"hyperhive_shortened": {"bytes": len(line.raw)}}
    for longest, most in ((8192, 200), (1024, 50), (200, 20)):
        short = _encode(_shortened(event, longest, most, 0) | mark)
        if len(short) <= limit:
            return short
    kept = {key: as_text(event.get(key)) for key in ("type", "subtype")}
    return _encode(kept | mark)


def _encode(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), allow_nan=False).encode()


def _shortened(value: Any, longest: int, most: int, depth: int) -> Any:
    """Cut texts over ``longest`` characters, and containers over ``most`` members or 12 levels."""
    if isinstance(value, str):
        if len(value) <= longest:
            return value
        return f"{value[:longest]} … ({len(value)} characters)"
    if not isinstance(value, dict | list):
        return value
    if depth == 12:
        return "…"
    if isinstance(value, list):
        cut = [_shortened(one, longest, most, depth + 1) for one in value[:most]]
        return cut if len(value) <= most else [*cut, f"… ({len(value)} members)"]
    return {
        key[:100]: _shortened(one, longest, most, depth + 1)
        for key, one in list(value.items())[:most]
    }


class TurnReading:
    """Accumulates what the events of one claude process say.

    Events and members that are not known here are ignored: claude adds some
    with almost every release.

    :ivar session_id: of the newest ``init``: ``/clear`` changes it.
    :ivar model: the model that answers, by its full name.
    :ivar version: claude's version.
    :ivar tools: the names of all tools, of the first ``init``.
    :ivar servers: MCP servers and their status, of the first ``init``;
        ``None`` before it, or if it doesn't say.
    :ivar result: the last result of our prompt; those of background tasks that
        finished are not ours.
    :ivar rate_limit: the newest word on a usage limit.
    :ivar retrying: a sentence on the API call that is being tried again.
    :ivar aborted: an answer was cut by an interrupt.
    :ivar compacted: the session was compacted.
    :ivar compacted_to: tokens that were left of it, if claude said so.
    :ivar writes_lost: claude could not write all of its session to disk.
    :ivar denials: how many tool calls were denied.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.model: str | None = None
        self.version: str | None = None
        self.tools: tuple[str, ...] = ()
        self.servers: Mapping[str, str] | None = None
        self.result: Result | None = None
        self.rate_limit: RateLimit | None = None
        self.retrying: str | None = None
        self.aborted = False
        self.compacted = False
        self.compacted_to: int | None = None
        self.writes_lost = False
        self.denials = 0
        self._initialised = False
        self._failure = ApiFailure()
        self._open_tools: dict[str, str] = {}
        self._message_id: object = None
        self._counted = Usage()
        self._uncounted = Usage()
        self._context: int | None = None

    @property
    def result_said(self) -> bool:
        """Whether a result of our prompt was said."""
        return self.result is not None

    @property
    def connected(self) -> bool | None:
        """Whether claude has the hive's tools; ``None`` while that is not known."""
        if self.servers is None:
            return None
        status = self.servers.get(MCP_SERVER)
        return None if status == "pending" else status == "connected"

    @property
    def tool(self) -> str | None:
        """The tool that runs: the oldest call without a result."""
        return next(iter(self._open_tools.values()), None)

    @property
    def usage(self) -> Usage:
        """What this process used, and the size of the context after it.

        The sums are claude's own, of each result. What came after the last
        result, or without one, is added from the messages, whose output tokens
        are too low: they are counted at a message's beginning.
        """
        used = add(self._counted, self._uncounted)
        return attrs.evolve(used, context=self._context)

    def observe(self, event: Mapping[str, Any]) -> None:
        """Take the next event."""
        match event.get("type"), event.get("subtype"):
            case "system", "init":
                self._init(event)
            case "system", "api_retry":
                self.retrying = retry_sentence(event)
            case "system", "compact_boundary":
                self._compacted(event)
            case "system", "permission_denied":
                self.denials += 1
            case "system", "session_writes_lost":
                self.writes_lost = True
            case "rate_limit_event", _:
                self._limited(event.get("rate_limit_info"))
            case "assistant", _:
                self._assistant(event)
            case "user", _:
                self._user(event)
            case "result", _:
                self._result(event)
            case "stream_event", _:
                self.retrying = None

    def _init(self, event: Mapping[str, Any]) -> None:
        self.session_id = as_text(event.get("session_id")) or self.session_id
        self.model = as_text(event.get("model")) or self.model
        if self._initialised:
            return
        self._initialised = True
        self.version = as_text(event.get("claude_code_version"))
        self.tools = tuple(filter(None, map(as_text, as_list(event.get("tools")))))
        servers = event.get("mcp_servers")
        if isinstance(servers, list):
            self.servers = {
                as_text(one.get("name")) or "": as_text(one.get("status")) or ""
                for one in servers
                if isinstance(one, dict)
            }

    def _compacted(self, event: Mapping[str, Any]) -> None:
        left = as_dict(event.get("compact_metadata")).get("post_tokens")
        self.compacted = True
        self.compacted_to = self._context = as_count(left) or None

    def _limited(self, info: object) -> None:
        if isinstance(info, dict):
            self.rate_limit = RateLimit.read(info)

    def _assistant(self, event: Mapping[str, Any]) -> None:
        self.retrying = None
        if event.get("aborted") is True:
            self.aborted = True
        if event.get("error") is not None:
            self._failure = ApiFailure.read(event)
            self._limited(as_dict(event.get("api_error_params")).get("rate_limit_info"))
        message = as_dict(event.get("message"))
        if message.get("model") != _SYNTHETIC:
            self._inference(message, event.get("parent_tool_use_id") is None)

    def _inference(self, message: Mapping[str, Any], ours: bool) -> None:
        """Take a line of a model's message: there is one for each content block.

        :param ours: it is not a subagent's, whose context is another one.
        """
        used = tokens(as_dict(message.get("usage")))
        new = message.get("id") != self._message_id
        self._message_id = message.get("id")
        if new:
            self._uncounted = add(self._uncounted, used)
        if not ours:
            return
        self.model = as_text(message.get("model")) or self.model
        size = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
        self._context = size or self._context
        if new:
            self._open_tools.clear()  # every call is answered before a next message
        for block in as_list(message.get("content")):
            if isinstance(block, dict) and block.get("type") == "tool_use":
                name = as_text(block.get("name"))
                if name and len(self._open_tools) < _MAX_OPEN:
                    self._open_tools[str(block.get("id"))[:MAX_TEXT]] = name

    def _user(self, event: Mapping[str, Any]) -> None:
        self.retrying = None
        for block in as_list(as_dict(event.get("message")).get("content")):
            if isinstance(block, dict) and block.get("type") == "tool_result":
                self._open_tools.pop(str(block.get("tool_use_id"))[:MAX_TEXT], None)

    def _result(self, event: Mapping[str, Any]) -> None:
        self.retrying = None
        self._open_tools.clear()
        self._counted = add(self._counted, spent(event))
        self._uncounted = Usage()
        denied = len(as_list(event.get("permission_denials")))
        self.denials = max(self.denials, denied)
        failure, self._failure = self._failure, ApiFailure()
        if as_dict(event.get("origin")).get("kind") != "task-notification":
            self.result = Result.read(event, failure)


def window(model: str) -> int:
    """The context window of a model, by alias or full name, in tokens.

    Unknown ones get the smaller: a compaction too early does less harm than one
    too late.
    """
    match = re.match(r"claude-(?:opus|sonnet|haiku)-(\d{1,2})(?!\d)", model)
    if model in ("opus", "sonnet", "haiku") or (match and int(match[1]) >= 5):
        return 1_000_000
    return 200_000
