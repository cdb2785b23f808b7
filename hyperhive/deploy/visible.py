r"""Show what agents wrote so that nothing of it hides: no terminal codes, nothing unseen.

Who approves must see what is built. A character that is not drawn, or that changes how
others are drawn, is spelled as Python spells it: ``\x1b``, ``\u202e``. So is a byte that
is not UTF-8.
"""

import re

#: Control characters but newline and tab; marks that are not drawn or turn the direction
#: of writing; fillers that look like a space or like nothing; variation selectors and
#: tags, which can carry a hidden text; what separates lines without being a newline.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891"
    "\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
#: What a short text of a process is cut to (characters, lines).
MAX_WORDS, MAX_LINES = 1000, 8


def visible(text: str) -> str:
    """``text`` with all that is not seen spelled out; newlines and tabs stay."""
    return _UNSEEN.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decoded(data: bytes) -> str:
    """Text of bytes that should be UTF-8, see :func:`visible`."""
    return visible(data.decode("utf-8", "backslashreplace"))


def quoted(text: str, limit: int = 100) -> str:
    """A name as part of a sentence, on one line and cut."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "'" + visible(cut).replace("\n", "\\n").replace("\t", "\\t") + "'"


def last_words(data: bytes) -> str:
    """The useful end of what a program such as git says of its failure, at most 1 KB.

    Its hints are left out: they name commands for somebody else's place.
    """
    lines = [
        decoded(line).replace("\t", " ").strip()
        for line in re.split(rb"[\r\n]+", data[-4 * MAX_WORDS :])
    ]
    useful = [line for line in lines if line and not line.startswith("hint:")]
    return "\n".join(useful[-MAX_LINES:])[-MAX_WORDS:]
