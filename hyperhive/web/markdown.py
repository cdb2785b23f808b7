"""Agents' Markdown as HTML that can do nothing: what may be in it is listed here.

The text is an agent's, and whatever talked to it. It is rendered without any HTML of
its own, and what comes of that goes through a sanitiser, which is what the safety
rests on. An image is shown as the link that it is: to load one tells somebody.
"""

import re
from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest

#: How many texts one call renders, and how much of them together (characters).
MAX_TEXTS = 100
MAX_CHARS = 512 * 1024
#: A longer text is shown as it is (characters).
MAX_TEXT = 16 * 1024
#: The same of one with more of what opens a link: finding the ends is quadratic.
MAX_BRACKETS = 500

#: The tags that there may be, and their attributes.
TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "h4", "h5", "h6", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    "a": {"href", "title", "target"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
#: Where a link may lead.
SCHEMES = {"http", "https", "mailto"}
REL = "noopener noreferrer nofollow"

_CLASS = re.compile(r"language-[\w+#.-]{1,40}|left|right|center")

#: What the page's own headings leave over.
_HEADINGS = {"h1": "h4", "h2": "h5"}


class _Renderer(RendererHTML):
    """HTML whose headings come below the page's, and that loads nothing."""

    def heading_open(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        return f"<{_HEADINGS.get(tokens[place].tag, 'h6')}>"

    def heading_close(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        return f"</{_HEADINGS.get(tokens[place].tag, 'h6')}>\n"

    def image(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        token = tokens[place]
        words = self.renderInlineAsText(token.children or [], *rest)
        link = Token("link_open", "a", 1, attrs={"href": token.attrGet("src") or ""})
        shown = Token("text", "", 0, content=words or "image")
        return str(self.render([link, shown, Token("link_close", "a", -1)], *rest))

    def link_open(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        tokens[place].attrSet("target", "_blank")
        return self.renderToken(tokens, place, *rest)

    def th_open(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        return self._cell(tokens[place])

    def td_open(self, tokens: Sequence[Token], place: int, *rest: Any) -> str:
        return self._cell(tokens[place])

    def _cell(self, token: Token) -> str:
        """Alignment as a class: the page's policy lets no style in."""
        side = str(token.attrGet("style") or "").partition(":")[2]
        return f'<{token.tag} class="{side}">' if side else f"<{token.tag}>"


class _Markdown(MarkdownIt):
    """Without links that stay here: nobody is to be led about this site by an agent."""

    def validateLink(self, url: str) -> bool:
        return url.lower().startswith(("http://", "https://", "mailto:"))


_MARKDOWN = _Markdown(
    "commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer
).enable(["table", "strikethrough"])


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "class" and not _CLASS.fullmatch(value):
        return None
    return value


def to_html(text: str) -> str | None:
    """Safe HTML, or ``None`` for a text that is too long. Blocks: for a thread."""
    if len(text) > MAX_TEXT or text.count("[") > MAX_BRACKETS:
        return None
    return nh3.clean(
        _MARKDOWN.render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel=REL,
        attribute_filter=_attribute,
        strip_comments=True,
    )


class Markdown:
    """Renders texts in a thread, one at a time: an agent can write some that take long.

    Threads share the interpreter with the reactor, which more of them would hold up
    the longer.

    :param reactor: ``IReactorThreads``.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turn = DeferredLock()

    @deferred
    async def render(self, texts: Sequence[str]) -> list[str | None]:
        """Each text's HTML, see :func:`to_html`.

        :raises BadRequest: if they are too many, or too much.
        """
        if len(texts) > MAX_TEXTS:
            raise BadRequest(f"At most {MAX_TEXTS} texts are rendered at once.")
        if sum(map(len, texts)) > MAX_CHARS:
            raise BadRequest(f"At most {MAX_CHARS} characters are rendered at once.")
        return [await self._turn.run(self._rendered, text) for text in texts]

    def _rendered(self, text: str) -> "Deferred[str | None]":
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, to_html, text)
