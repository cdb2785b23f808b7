"""Every page for everybody: axe-core finds nothing serious, and colours stand out.

A new page is one line of :data:`PAGES`.
"""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import hyperhive.web
from hyperhive.deferreds import deferred
from hyperhive.testing.npm import CACHE, NotInstalled, installed_file
from tests.web.chromium import Chromium, executable
from tests.web.stage import Stage

AXE = "4.14.1"


@frozen
class Page:
    """A state of a page that is looked at.

    :param path: relative to the dashboard.
    :param ready: what is true in it once it is drawn.
    :param act: what is run in it then, to bring it into a state; it may promise.
    :param after: what is true then.
    :param inside: whether it takes a login.
    :param link: what it decides on, if it is the page of a one-time link.
    """

    path: str
    ready: str = "document.getElementById('connection').dataset.state === 'live'"
    act: str = ""
    after: str = "true"
    inside: bool = True
    link: str = ""


#: What is looked at, by name.
PAGES = {
    "login": Page("login", "document.getElementById('token')", inside=False),
    "dashboard": Page(""),
    "dashboard, all open": Page(
        "",
        act="document.querySelectorAll('main details').forEach((one) => (one.open = true))",
        after="document.querySelector('.patch')",
    ),
    "dashboard, confirm": Page(
        "",
        act="document.querySelector('#approvals button.primary').click()",
        after="document.getElementById('confirm').open",
    ),
    "dashboard, menu": Page(
        "",
        act="document.querySelector('li[data-key=bob] .more').click()",
        after="document.querySelector('.menu:popover-open')",
    ),
    "claude's login": Page(
        "",
        act="document.querySelector('li[data-key=dora] .login').click()",
        after="document.querySelector('dialog[open]')",
    ),
    "a link's page": Page("", "document.querySelector('main h1')", link="approval"),
    "palette": Page(
        "",
        act="document.getElementById('find').click()",
        after="document.querySelector('.palette[open] .title')",
    ),
    "alerts": Page(
        "",
        act="document.getElementById('alerts').click()",
        after="document.querySelector('.alerts[open]')",
    ),
    "keys": Page(
        "",
        act="dispatchEvent(new KeyboardEvent('keydown', {key: '?'}))",
        after="document.querySelector('.help[open]')",
    ),
    "agent, working": Page("agent/alice/"),
    "agent, parked": Page("agent/carol/"),
    "agent, needs login": Page("agent/dora/"),
    "statistics": Page("stats?window=30d"),
    "statistics, read by keys": Page(
        "stats?agent=alice",
        act="document.querySelectorAll('.chart details').forEach((one) => (one.open = true));"
        " document.querySelector('.plot').focus();"
        " document.querySelector('.plot').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'End'}))",
        after="document.querySelector('.tip:not([hidden])')",
    ),
    "statistics, nothing": Page("stats?window=24h&agent=frank"),
}
#: Width, height and scheme of the looks.
LOOKS = (
    (1440, 900, "dark"),
    (1440, 900, "light"),
    (390, 844, "dark"),
    (390, 844, "light"),
)

_RUN_AXE = """
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ html, any }) =>
      `${id}: ${html.slice(0, 160)} ${any[0]?.message ?? ""}`)))
"""


class AxeTests(TestCase):
    """axe-core in a real browser, over the stage's swarm."""

    timeout = 300
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def setUp(self) -> None:
        """The stage, and axe-core."""
        try:
            script = await deferToThread(
                installed_file, "axe-core", AXE, "axe.min.js", CACHE / "axe-core"
            )
        except NotInstalled as error:
            raise SkipTest(str(error)) from None
        self.axe = script.read_text()
        self.stage = Stage(reactor, Path(self.mktemp()))
        await self.stage.open()
        self.addCleanup(self.stage.hive.web.stop)

    @deferred
    async def test_pages(self) -> None:
        """No page has a serious violation or scrolls sideways, in any look."""
        found = {}
        async with Chromium(reactor) as browser:
            for inside in (False, True):
                if inside:
                    await browser.go(self.stage.hive.web.login_url())
                pages = {k: page for k, page in PAGES.items() if page.inside is inside}
                for (width, height, scheme), (name, page) in product(
                    LOOKS, pages.items()
                ):
                    await browser.look(width, height, scheme)
                    wrong = await self.wrong(browser, page, width)
                    if wrong:
                        found[f"{name} {width} {scheme}"] = wrong
        self.assertEqual(found, {}, json.dumps(found, indent=1))

    async def wrong(self, browser: Chromium, page: Page, width: int) -> list[str]:
        """What is wrong with a page."""
        url = f"{self.stage.hive.web.url}{page.path}"
        await browser.go(await self.stage.link(page.link, 1) if page.link else url)
        await browser.until(page.ready)
        if page.act:
            await browser.run(f"(() => {{ {page.act} }})()")
            await browser.until(page.after)
        # Run as the debugger: what a page may load itself is not loosened for it.
        await browser.run(f"(() => {{ {self.axe} }})()")
        wrong: list[str] = await browser.run(_RUN_AXE)
        wide = await browser.run("document.documentElement.scrollWidth")
        return wrong + ([f"{wide} pixels wide"] if wide > width else [])


#: Which colours stand on which grounds, and the least ratio (WCAG 2.2: 1.4.3, 1.4.11).
GROUNDS = ("bg", "panel", "raised", "sunk", "hover")
TEXTS = ("text", "dim", "accent", "link", "good", "wait", "bad", "calm", "off")
HUES = tuple(f"hue-{number}" for number in range(6))
PAIRS = (
    *((text, ground, 4.5) for text in TEXTS + HUES for ground in GROUNDS),
    *((text, "select", 4.5) for text in ("text", "dim", "accent")),
    *((text, "danger-bg", 4.5) for text in ("text", "bad")),
    *((text, "warn-bg", 4.5) for text in ("text", "wait", "accent")),
    *((text, "good-bg", 4.5) for text in ("text", "good")),
    *((text, "calm-bg", 4.5) for text in ("text", "calm")),
    ("on-fill", "fill", 4.5),
    *((line, ground, 3.0) for line in ("edge", "focus") for ground in GROUNDS[:3]),
)
_TOKEN = re.compile(
    r"--([\w-]+): (?:light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)|(#[0-9a-f]{6}));"
)


def tokens() -> dict[str, tuple[str, str]]:
    """Each colour of base.css, light and dark."""
    style = Path(hyperhive.web.__file__).parent / "static" / "base.css"
    return {
        name: (light or both, dark or both)
        for name, light, dark, both in _TOKEN.findall(style.read_text())
    }


def ratio(one: str, other: str) -> float:
    """How far two colours are apart (WCAG's contrast ratio, 1 to 21)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class TokenTests(SynchronousTestCase):
    """The tokens of the design system."""

    def weak(self) -> Iterator[Any]:
        """The pairs that are too near to one another."""
        found = tokens()
        for name, ground, least in PAIRS:
            for scheme, place in (("light", 0), ("dark", 1)):
                value = ratio(found[name][place], found[ground][place])
                if value < least:
                    yield f"{name} on {ground}, {scheme}: {value:.2f} < {least}"

    def test_ratio(self) -> None:
        """Black on white is 21, and a colour on itself 1."""
        self.assertAlmostEqual(ratio("#000000", "#ffffff"), 21)
        self.assertAlmostEqual(ratio("#336699", "#336699"), 1)

    def test_contrast(self) -> None:
        """In both schemes each text and each line stands out from its grounds."""
        self.assertEqual(list(self.weak()), [])

    def test_used(self) -> None:
        """Every custom property that a style sheet uses is one that there is."""
        folder = Path(hyperhive.web.__file__).parent / "static"
        base = (folder / "base.css").read_text()
        known = set(re.findall(r"(--[\w-]+):", base))
        for sheet in folder.glob("*.css"):
            text = sheet.read_text()
            own = known | set(re.findall(r"(--[\w-]+):", text))
            used = set(re.findall(r"var\((--[\w-]+)", text))
            self.assertLessEqual(used, own, sheet.name)
