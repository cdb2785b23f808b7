"""What the stand-in for the Messages API is told to do, read from a request. Pure.

A prompt carries its script: directives in double brackets, done from left to right.

    [[say TEXT]]                    a block of text
    [[tool NAME {JSON}]]            a call of a tool; its result is waited for
    [[usage input=N]]               the input tokens that are reported from here on
    [[slow SECONDS COUNT]]          a text in COUNT pieces, SECONDS before each
    [[hang]]                        no answer at all
    [[cut]]                         the connection breaks in the middle of the answer
    [[429 retry-after=N]]           too many requests
    [[usage-limit reset=SECONDS]]   429 with the headers of a usage limit, until its reset
    [[500]]  [[529]]                the API is broken, or overloaded
    [[401]]                         the login is refused
    [[400]]                         the request is refused
    [[too-long]]                    the prompt does not fit, until the session is compacted

A fault holds for as many requests as ``times`` says, by default for ever; then what
follows it is done. Requests are counted by the prompt's text, so that a message that is
delivered again goes on where it was. ``no-retry`` tells claude not to try again by
itself, which for 401 and the usage limit is always so. ``[[401 unless=TOKEN]]`` holds
until a request bears that key or token. A prompt without a directive is answered with a
short text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

#: Directives that stand in an answer's place.
FAULTS = frozenset(
    {"hang", "cut", "429", "usage-limit", "500", "529", "401", "400", "too-long"}
)
_BLOCKS = frozenset({"say", "tool", "slow"})
#: Options by directive; the others have none.
_OPTIONS = {
    "usage": {"input"},
    "hang": {"times"},
    "cut": {"times"},
    "429": {"times", "retry-after", "no-retry"},
    "usage-limit": {"reset"},
    "500": {"times", "no-retry"},
    "529": {"times", "no-retry"},
    "401": {"times", "unless"},
    "400": {"times"},
}
_WORDS = FAULTS | _BLOCKS | {"usage"}

#: What is said where nothing is scripted.
DEFAULT_TEXT = "Hello from the stand-in."
#: What a request for a summary is answered with.
SUMMARY = "<summary>The stand-in's summary of the conversation.</summary>"
#: What claude's request for a summary says, in every version known here.
_COMPACTION = "your task is to create a detailed summary"

#: The frame of the hive's prompt around a message's text.
_FRAME = re.compile(r"^---- (\w+) begin\n(.*?)\n---- \1 end$", re.M | re.S)
_REMINDER = "<system-reminder>"
_WORD = re.compile(r"\[\[\s*([\w-]+)\s*")


class BadScript(ValueError):
    """A directive that is none; the text says which and why."""


@frozen
class Directive:
    """One directive.

    :param text: what a ``say`` says.
    :param tool: and ``input``: which tool a ``tool`` calls, and with what.
    :param numbers: what a ``slow`` has: seconds, count.
    """

    word: str
    text: str = ""
    tool: str = ""
    input: Mapping[str, Any] = field(factory=dict)
    options: Mapping[str, str] = field(factory=dict)
    numbers: tuple[float, ...] = ()

    @property
    def fault(self) -> bool:
        """Whether it stands in an answer's place."""
        return self.word in FAULTS

    def number(self, option: str, otherwise: float) -> float:
        """An option that is a number."""
        return float(self.options.get(option, otherwise))


@frozen
class Prompt:
    """What a conversation has come to.

    :param text: the newest prompt of the user: the message in the hive's frame, if it
        has one; without the reminders that claude adds.
    :param results: how many results of tools came after it.
    """

    text: str
    results: int


def newest_prompt(messages: list[Any]) -> Prompt:
    """Read the newest prompt; what was said in earlier turns counts for nothing.

    A turn that failed leaves its prompt in the history without an answer, and claude
    sends it in one message with the next: the last text is the newest. A call that was
    interrupted has its result in one message with it too.
    """
    results = 0
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        blocks = _blocks(message.get("content", ""))
        texts = [
            text
            for one in blocks
            if (text := one.get("text")) and not text.startswith(_REMINDER)
        ]
        if texts:
            return Prompt(_unframed(texts[-1]), results)
        results += sum(one.get("type") == "tool_result" for one in blocks)
    return Prompt("", results)


def asks_for_summary(prompt: Prompt) -> bool:
    """Whether this is claude's request for the summary that a session goes on with."""
    return _COMPACTION in prompt.text.lower()


def parse(text: str) -> tuple[Directive, ...]:
    """The directives in a text.

    :raises BadScript: if one is unknown or malformed.
    """
    return tuple(_directives(text))


def segment(script: tuple[Directive, ...], results: int) -> tuple[int, int]:
    """Which directives are due after so many results: from, to (exclusive).

    A segment ends with the call of a tool, or with the script.
    """
    starts = [0, *(n + 1 for n, one in enumerate(script) if one.word == "tool")]
    if results >= len(starts):
        return len(script), len(script)
    last = results + 1 == len(starts)
    return starts[results], len(script) if last else starts[results + 1]


def reported_input(script: tuple[Directive, ...], end: int) -> int | None:
    """The input tokens that the script reports by the directive before ``end``."""
    said = [one for one in script[:end] if one.word == "usage"]
    return int(said[-1].number("input", 0)) if said else None


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [one for one in content if isinstance(one, dict)]


def _unframed(text: str) -> str:
    frames = _FRAME.findall(text)
    return str(frames[-1][1]) if frames else text


def _directives(text: str) -> Iterator[Directive]:
    place = 0
    while found := _WORD.search(text, place):
        word, start = found[1], found.end()
        if word not in _WORDS:
            raise BadScript(f"[[{word}]] is no directive")
        if word == "tool":
            directive, start = _tool(text, start)
        end = text.find("]]", start)
        if end < 0:
            raise BadScript(f"[[{word} has no end")
        if word != "tool":
            directive = _directive(word, text[start:end].strip())
        yield directive
        place = end + 2


def _tool(text: str, start: int) -> tuple[Directive, int]:
    """A tool's arguments may have brackets in them: JSON says where they end."""
    name = re.compile(r"\S+\s*").match(text, start)
    if name is None:
        raise BadScript("[[tool has no name")
    try:
        given, end = json.JSONDecoder().raw_decode(text, name.end())
    except json.JSONDecodeError as error:
        raise BadScript(f"[[tool {name[0].strip()}: {error}") from None
    if not isinstance(given, dict) or not text[end:].lstrip().startswith("]]"):
        raise BadScript(f"[[tool {name[0].strip()}: one JSON object, then ]]")
    return Directive("tool", tool=name[0].strip(), input=given), end


def _directive(word: str, rest: str) -> Directive:
    if word == "say":
        return Directive(word, text=rest)
    try:
        if word == "slow":
            seconds, count = rest.split()
            return Directive(word, numbers=(float(seconds), int(count)))
        options = {
            key: value for key, _, value in (one.partition("=") for one in rest.split())
        }
        unknown = set(options) - _OPTIONS.get(word, set())
        if unknown:
            raise ValueError(f"it has no option {', '.join(sorted(unknown))}")
        for key, value in options.items():
            if key not in ("no-retry", "unless"):
                float(value)
    except ValueError as error:
        raise BadScript(f"[[{word} {rest}]]: {error}") from None
    return Directive(word, options=options)
