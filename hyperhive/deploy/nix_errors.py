"""Read what nix says when it fails: which kind of failure, where, in few words. Pure.

Nix exits with 1 for nearly everything, so that only its words tell. They differ a
little between its versions; what is not recognised is shown as it is.
"""

import re
from textwrap import dedent

from hyperhive.deploy.flake import AGENT_FOLDER
from hyperhive.deploy.interfaces import (
    BuildError,
    BuildFailed,
    EvalError,
    FetchError,
    NoSpace,
)

#: The longest text of an error (bytes of UTF-8). The beginning of a longer one says
#: what is wrong, its end has the last lines of a log.
MAX_TEXT = 4096
_HEAD = 1024
#: How many lines of a failed builder's log are shown.
LOG_LINES = 25

#: Where a block begins. A builder's own words have a mark before them.
_ERROR = re.compile(r"^ *error:", re.MULTILINE)
#: A terminal's escape sequences, and the rest of what is not for reading.
_UNREADABLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
#: The agent's files, wherever nix has copied the flake. What comes before them begins
#: where a word does: from anywhere in a long word, the search would be quadratic.
_COPIED = re.compile(
    rf"(?:«[^«»\n]*»|(?<![^\s'\"`(])/[^\s'\"`(«»]*?-source)/{AGENT_FOLDER}/"
)
_PLACE = re.compile(_COPIED.pattern + r"(?P<file>[^\s:'\"`»]+)(?::(?P<line>\d+):\d+)?")
_ADVICE = re.compile(
    r"^\(use '--show-trace'.*$|^ *\(stack trace truncated.*$|^ *For full logs, run.*$",
    re.MULTILINE,
)

_BUILDER = re.compile(r"(?:builder for|Cannot build) '(?P<drv>[^'\n]{1,500})'")
_OWN_LOG = re.compile(r"^ *> ", re.MULTILINE)
_LOGGED = re.compile(r"^(?P<name>[^\s>]+)> (?P<said>.*)$", re.MULTILINE)
_BUILD = re.compile(
    _BUILDER.pattern
    + r"|hash mismatch in fixed-output|failed to build|build of '[^']+' failed"
)
_FETCH = re.compile(
    r"unable to download|[Cc]ould(?: not|n't) resolve host|unable to access '"
)
_SPACE = re.compile(r"No space left on device|database or disk is full")
_EVALUATION = re.compile(
    r"^ *at .+:\d+:\d+|The option `|is not of type|is forbidden in|conflicting definition values"
    r"|Failed assertions|attribute '[^'\n]+' missing|syntax error|undefined variable"
    r"|infinite recursion|does not provide attribute|getting status of"
    r"|path '[^'\n]+' does not exist|evaluation aborted|assertion '[^\n]{0,500}' failed"
    r"|cannot coerce|was expected|called with(?:out)? ",
    re.MULTILINE,
)


def readable(text: str) -> str:
    """Without what a terminal would act on."""
    return _UNREADABLE.sub("", text)


def explain(said: str) -> BuildFailed:
    """What the standard error of a failed nix means.

    :param said: all of it, or its end.
    """
    said = readable(said)
    block = _telling_block(said)
    whole = _tidied(block) + _log(block, said)
    text = _bounded(whole) or "nix said nothing."
    if _BUILD.search(block):
        # A build's log may name any of the other failures.
        return NoSpace(text) if _SPACE.search(whole) else BuildError(text)
    if _SPACE.search(block):
        return NoSpace(text)
    if _FETCH.search(block):
        return FetchError(text)
    if _EVALUATION.search(block):
        return EvalError(text, *_place(block, said))
    return BuildFailed(text)


def _telling_block(said: str) -> str:
    """The last error, or the last that is a builder's: after that one come others that
    only say who needed what it did not build."""
    starts = [match.start() for match in _ERROR.finditer(said)]
    if not starts:
        return said
    blocks = [
        said[start:end]
        for start, end in zip(starts, [*starts[1:], len(said)], strict=True)
    ]
    of_builders = [block for block in blocks if _BUILDER.search(block)]
    return (of_builders or blocks)[-1]


def _tidied(block: str) -> str:
    """Without advice that nobody can follow, with the agent's files as it calls them."""
    first, _, rest = _COPIED.sub("", _ADVICE.sub("", block)).strip().partition("\n")
    return f"{first}\n{dedent(rest)}".strip()


def _log(block: str, said: str) -> str:
    """The last lines of a builder's log, unless the error has them itself: nix leaves
    them out where it has passed the log on. Each begins with its builder's name, of
    which nix may leave the version out."""
    builder = _BUILDER.search(block)
    if builder is None or _OWN_LOG.search(block):
        return ""
    # /nix/store/<hash>-<name>.drv
    name = builder["drv"].rpartition("/")[2].partition("-")[2]
    lines = [
        line["said"] for line in _LOGGED.finditer(said) if name.startswith(line["name"])
    ]
    return "".join(f"\n> {line}" for line in lines[-LOG_LINES:])


def _place(block: str, said: str) -> tuple[str | None, int | None]:
    """The innermost file of the agent's that is named, in the error or before it."""
    for text in (block, said):
        places = list(_PLACE.finditer(text))
        exact = [place for place in places if place["line"]]
        if places:
            found = (exact or places)[-1]
            return found["file"], int(found["line"]) if found["line"] else None
    return None, None


def _bounded(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= MAX_TEXT:
        return text
    gap = "\n…\n"
    tail = MAX_TEXT - _HEAD - len(gap.encode())
    return (
        data[:_HEAD].decode("utf-8", "ignore")
        + gap
        + data[-tail:].decode("utf-8", "ignore")
    )
