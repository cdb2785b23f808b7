"""What ``claude auth`` reads and prints: its link, the code for it, and whom it has logged in."""

import json
import re
from itertools import pairwise
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from hyperhive.errors import BadRequest

#: Where a login link may lead, with all that is below these names. What runs beside
#: claude in an agent's container could have it print another, to ask for a password.
LINK_HOSTS = ("claude.ai", "claude.com", "anthropic.com")
#: The longest link and the longest code that are taken (characters).
MAX_LINK = 4096
MAX_CODE = 4096
#: The longest sentence of claude's that is shown, and the longest fact (characters).
MAX_SAID = 300
MAX_FACT = 120
#: A line as wide as a terminal may be wrapped there (columns).
_TERMINAL = 80

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])"
)
_URL_CHARACTER = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]"
_LINK = re.compile(rf"https://{_URL_CHARACTER}+")
_ONLY_URL = re.compile(rf"{_URL_CHARACTER}*")
_CODE = re.compile(r"[A-Za-z0-9._~+/=-]+#[A-Za-z0-9._~+/=-]+")


class BadCode(BadRequest):
    """What was pasted can't be a code. The text does not repeat it."""


class ForeignLink(Exception):
    """Claude printed a link that leads elsewhere than to Anthropic."""


@frozen
class Code:
    """A code as it was pasted. It is nowhere shown, logged or kept."""

    text: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Check what was pasted; white space around and within it is of the pasting.

        :raises BadCode: if it can't be one.
        """
        text = "".join(text.split())
        if not text:
            raise BadCode(
                "Paste the code that the page shows after you have signed in."
            )
        if text.startswith(("http://", "https://")):
            raise BadCode(
                "This is a link, not the code. Open the link, sign in, and paste the "
                "code that the page then shows."
            )
        if len(text) > MAX_CODE or not _CODE.fullmatch(text):
            raise BadCode(
                "This is not the whole code: it has two parts with a # between them. "
                "Copy it again with the page's own button."
            )
        return cls(text)

    def hide_in(self, text: str) -> str:
        """``text`` without the code, its parts, or either as a URL has them."""
        parts = [self.text, *self.text.split("#")]
        for part in (*parts, *(quote(part, safe="") for part in parts)):
            # A shorter one gives nothing away, and would be found in any word.
            if len(part) > 3:
                text = text.replace(part, "…")
        return text


@frozen
class Account:
    """Whom ``claude auth status`` names; what it does not say is ``None``."""

    email: str | None = None
    organisation: str | None = None
    plan: str | None = None

    def as_wire(self) -> dict[str, str]:
        """As surfaces show it; what is absent is left out."""
        found = {
            "email": self.email,
            "organisation": self.organisation,
            "plan": self.plan,
        }
        return {key: value for key, value in found.items() if value is not None}


def find_link(output: str, ended: bool = False) -> str | None:
    """The login link in what claude has printed so far, once it is whole.

    A terminal's escapes are no part of it, and where a terminal has wrapped it, it
    is joined again.

    :param ended: nothing more will come.
    :raises ForeignLink: if it does not lead to Anthropic.
    """
    text = _ESCAPE.sub("", output).replace("\r", "")
    match = _LINK.search(text)
    if match is None:
        return None
    begin = text.rfind("\n", 0, match.start()) + 1
    lines = text[begin:].split("\n")
    link = match[0]
    whole = begin + len(lines[0]) > match.end()
    for line, following in pairwise(lines):
        if whole or len(line) < _TERMINAL or not _ONLY_URL.fullmatch(following):
            whole = True
            break
        link += following
    if not whole and not ended:
        return None
    return _checked(link.rstrip(".,;:!?)"))


def said(output: str, code: Code | None) -> str:
    """Claude's last sentence, for people: one line, bounded, without the code."""
    text = _ESCAPE.sub("", output).replace("\r", "\n")
    lines = [line.rpartition("> ")[2].strip() for line in text.split("\n")]
    last = next((line for line in reversed(lines) if line), "")
    last = _one_line(last)
    if code is not None:
        last = code.hide_in(last)
    return last if len(last) <= MAX_SAID else f"{last[: MAX_SAID - 1]}…"


def account(status: bytes) -> Account | None:
    """Whom ``claude auth status`` has found logged in; ``None``: nobody."""
    try:
        found = json.loads(status)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("loggedIn") is not True:
        return None
    return Account(
        _fact(found.get("email")),
        _fact(found.get("orgName")),
        _fact(found.get("subscriptionType")),
    )


def _checked(link: str) -> str:
    try:
        host = urlsplit(link).hostname or ""
    except ValueError:
        host = ""
    ours = any(host == one or host.endswith(f".{one}") for one in LINK_HOSTS)
    if not ours or len(link) > MAX_LINK or "@" in urlsplit(link).netloc:
        raise ForeignLink(host[:MAX_FACT])
    return link


def _fact(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return _one_line(value)[:MAX_FACT]


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text).strip()
