"""Agents' Markdown: what is shown of it, and that nothing else can come of it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import treq
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest
from hyperhive.testing.agents import NOW
from hyperhive.web.markdown import (
    ATTRIBUTES,
    MAX_BRACKETS,
    MAX_CHARS,
    MAX_TEXT,
    MAX_TEXTS,
    TAGS,
    Markdown,
    to_html,
)
from tests.web.support import Hive

#: Pieces of which texts are made that might break out of something.
PIECES = st.sampled_from(
    [
        *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<b onclick=x>"),
        *("[a](javascript:alert(1))", "![a](http://e/x.png)", "<http://e/>", "]("),
        *(
            "```",
            '```" onload=x',
            "`",
            "\n",
            "\n\n",
            "> ",
            "- ",
            "1. ",
            "# ",
            "|a|b|\n|-|:-:|\n",
        ),
        *(
            "**",
            "_",
            "~~",
            "\\",
            "&lt;",
            "&#106;avascript:",
            '"',
            "'",
            "\0",
            "[x]: data:,x",
        ),
        *(
            "JaVaScRiPt:x",
            '[e](https://e "t\' onx=")',
            "<a href='data:text/html,x'>",
            "</p>",
        ),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)


class Looker(HTMLParser):
    """Notes every tag and attribute of some HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    handle_startendtag = handle_starttag

    def handle_comment(self, data: str) -> None:
        self.tags.add("!--")

    def handle_decl(self, decl: str) -> None:
        self.tags.add("!")


class SafetyTests(SynchronousTestCase):
    """Whatever the text is."""

    @settings(max_examples=300)
    @given(TEXTS)
    def test_anything(self, text: str) -> None:
        """No tag, no attribute and no address but those that there may be."""
        looker = Looker()
        looker.feed(to_html(text) or "")
        self.assertLessEqual(looker.tags, TAGS)
        for tag, name, value in looker.attributes:
            self.assertIn(name, ATTRIBUTES.get(tag, set()) | {"rel"})
            if name == "href":
                self.assertRegex(value.lower(), "^(https?://|mailto:)")
            if name == "class":
                self.assertRegex(value, r"^(language-[\w+#.-]+|left|right|center)$")

    def test_slow_texts(self) -> None:
        """What takes quadratic time to look through is shown as it is."""
        self.assertIsNone(to_html("[" * (MAX_BRACKETS + 1)))
        self.assertIsNotNone(to_html("[x](http://a.example) " * MAX_BRACKETS))

    def test_html_is_text(self) -> None:
        """What looks like HTML is shown as it was written."""
        self.assertEqual(
            to_html("<b>x</b> & y"), "<p>&lt;b&gt;x&lt;/b&gt; &amp; y</p>\n"
        )

    def test_links(self) -> None:
        """A link leads away, in a window of its own that knows nothing of this one."""
        self.assertEqual(
            to_html("[there](https://e.example/?a=1&b)"),
            '<p><a href="https://e.example/?a=1&amp;b" target="_blank" '
            'rel="noopener noreferrer nofollow">there</a></p>\n',
        )

    def test_links_that_stay(self) -> None:
        """What would lead about this site, or run something, is no link."""
        for target in ("/destroy/bob", "#x", "javascript:x", "data:,x", "//e.example"):
            self.assertNotIn("<a", to_html(f"[there]({target})") or "")

    def test_images(self) -> None:
        """An image is not loaded: it is a link with its words."""
        html = to_html("![a *cat*](https://e.example/cat.png)") or ""
        self.assertIn('href="https://e.example/cat.png"', html)
        self.assertIn(">a cat</a>", html)
        self.assertNotIn("<img", html)


class ShapeTests(SynchronousTestCase):
    """What an answer is made of."""

    def test_headings(self) -> None:
        """They come below those of the page."""
        self.assertEqual(
            to_html("# a\n## b\n### c\n###### d"),
            "<h4>a</h4>\n<h5>b</h5>\n<h6>c</h6>\n<h6>d</h6>\n",
        )

    def test_code(self) -> None:
        """A block has the name of its language, unless that is none."""
        self.assertEqual(
            to_html("```py\nx < 1\n```"),
            '<pre><code class="language-py">x &lt; 1\n</code></pre>\n',
        )
        self.assertIn("<pre><code>", to_html('```" x=\ny\n```') or "")

    def test_table(self) -> None:
        """A column's side is a class: there are no styles."""
        html = to_html("|a|b|\n|-|-:|\n|1|2|") or ""
        self.assertIn('<th>a</th>\n<th class="right">b</th>', html)
        self.assertNotIn("style", html)

    def test_breaks(self) -> None:
        """A new line is one, as in the terminal."""
        self.assertEqual(to_html("a\nb"), "<p>a<br>\nb</p>\n")

    def test_too_long(self) -> None:
        """A text that would take long is shown as it is."""
        self.assertIsNone(to_html("x" * (MAX_TEXT + 1)))


class RouteTests(TestCase):
    """The page asks for it."""

    @deferred
    async def setUp(self) -> None:
        """A hive with alice."""
        folder = Path(self.mktemp())
        self.hive = Hive(
            reactor, folder, lambda: NOW, dashboard="tcp:0:interface=127.0.0.1"
        )
        self.hive.agents.add("alice")
        await self.hive.web.start()
        self.addCleanup(self.hive.web.stop)

    async def post(self, fields: Any) -> tuple[int, Any]:
        """The code and the answer."""
        response = await treq.post(
            f"{self.hive.web.url}agent/alice/api/markdown",
            json=fields,
            headers={"authorization": f"Bearer {self.hive.token}"},
            persistent=False,
        )
        return response.code, json.loads(await treq.text_content(response))

    @deferred
    async def test_texts(self) -> None:
        """Each text has its HTML, in the same order."""
        code, answer = await self.post({"texts": ["*a*", "x" * (MAX_TEXT + 1), "b"]})
        self.assertEqual(code, 200)
        self.assertEqual(answer["html"], ["<p><em>a</em></p>\n", None, "<p>b</p>\n"])

    @deferred
    async def test_refused(self) -> None:
        """What is no list of texts, or none at all, is refused with the field's name."""
        for fields in ({}, {"texts": 3}, {"texts": [3]}):
            code, answer = await self.post(fields)
            self.assertEqual(code, 400)
            self.assertIn("texts", answer["error"])

    def test_bounds(self) -> None:
        """Too many texts, or too much of them, are refused before any work."""
        markdown = Markdown(reactor)
        for texts in (["x"] * (MAX_TEXTS + 1), ["x" * MAX_CHARS, "y"]):
            self.failureResultOf(markdown.render(texts), BadRequest)
