"""The page of statistics in a real browser: drawn, read by keys, kept fresh."""

from typing import Any

from hyperhive.deferreds import deferred
from hyperhive.testing.agents import NOW
from tests.web.support import turn_ended
from tests.web.test_browser import BrowserCase
from tests.web.test_stats import store

_DRAWN = "document.querySelector('.turns .bar rect')"


class StatsPageTests(BrowserCase):
    """Alice and bob, at noon."""

    @deferred
    async def show(self, query: str = "", *turns: dict[str, Any]) -> None:
        """Store turns, then open the page."""
        for turn in turns:
            store(self.hive, **turn)
        await self.open(f"stats{query}")

    async def read(self, chart: str, key: str) -> str:
        """Press a key in a chart; what a screen reader is told."""
        await self.browser.run(f"document.querySelector('.{chart} .plot').focus()")
        await self.browser.press(key)
        said = f"document.querySelector('.{chart} [role=status]').textContent"
        return str(await self.browser.run(said))

    @deferred
    async def test_draws(self) -> None:
        """Bars, areas and lines are drawn, and the figures stand above them."""
        await self.show(
            "?window=24h",
            {"agent": "alice", "cost_usd": 0.5, "output_tokens": 1234},
            {"agent": "bob", "ended_at": NOW - 3600, "outcome": "failed"},
        )
        await self.browser.until(_DRAWN)
        await self.sees(".tile", "$0.50")
        await self.sees(".tile", "50 %")
        marks = "[...document.querySelectorAll('.charts .plot')].every((plot) => plot.querySelector('.mark, .line, .dot, .wash') || plot.closest('.queue'))"
        self.assertTrue(await self.browser.run(marks))
        ink = await self.browser.run(
            "[...document.querySelectorAll('.turns .bar rect')].map((box) => box.getAttribute('class').split('ink-')[1])"
        )
        self.assertEqual(ink, ["failed", "ok"])

    @deferred
    async def test_keys_read_values(self) -> None:
        """Arrow keys walk through the buckets; the value is in the tip and is read out."""
        await self.show("?window=24h", {"agent": "alice", "cost_usd": 0.5})
        await self.browser.until(_DRAWN)
        self.assertIn("(so far), ok 1,", await self.read("turns", "End"))
        self.assertIn("ok 0,", await self.read("turns", "ArrowLeft"))
        self.assertIn("cost $0.50", await self.read("cost", "End"))
        tip = await self.browser.run("document.querySelector('.cost .tip').innerText")
        self.assertIn("$0.50", tip)
        # The cursor of one chart shows in all; the tip in its own only.
        shown = "[...document.querySelectorAll('.{}')].map((node) => {})"
        self.assertEqual(
            await self.browser.run(
                shown.format("cursor", "node.getAttribute('visibility')")
            ),
            ["visible"] * 5,
        )
        hidden = await self.browser.run(shown.format("tip", "node.hidden"))
        self.assertEqual(hidden.count(False), 1)
        await self.browser.press("Escape")
        self.assertTrue(
            await self.browser.run("document.querySelector('.cost .tip').hidden")
        )

    @deferred
    async def test_table(self) -> None:
        """Every chart is a table as well; values that are not known are named so."""
        await self.show("?window=24h", {"agent": "alice"})
        await self.browser.until(_DRAWN)
        await self.browser.run("document.querySelector('.cost details').open = true")
        await self.sees(".cost td", "unknown")
        await self.sees(".cost td", "$0")

    @deferred
    async def test_address(self) -> None:
        """Window and agent are in the address: clicked, gone back to, and loaded."""
        await self.show("", {"agent": "alice"}, {"agent": "alice"})
        await self.browser.until(_DRAWN)
        await self.click("#rows a", "alice")
        await self.sees("#of", "alice, last 24 hours")
        await self.click("#windows a", "7 days")
        await self.sees("#of", "alice, last 7 days")
        search = await self.browser.run("location.search")
        self.assertEqual(search, "?window=7d&agent=alice")
        await self.open("stats?window=7d&agent=alice")
        await self.sees("#of", "alice, last 7 days")
        await self.browser.run("history.back()")
        await self.sees("#of", "alice, last 24 hours")

    @deferred
    async def test_fresh(self) -> None:
        """A turn that ends is drawn without a reload; what was open stays open."""
        await self.show("?window=24h", {"agent": "alice"})
        await self.sees(".tile", "1")
        await self.browser.run("document.querySelector('.turns details').open = true")
        await self.click("#columns button", "agent")
        await self.browser.run(
            "document.querySelector('.tokens .legend button').focus()"
        )
        store(self.hive, "bob", outcome="killed")
        self.hive.bus.publish("turn_end", turn_ended("killed"), "bob")
        await self.sees(".turns .sum", "2 turns")
        await self.sees(".turns td", "1")
        self.assertEqual(
            await self.browser.run(
                "[document.querySelector('.turns details').open,"
                " document.querySelector('[aria-sort]').textContent,"
                " document.activeElement.textContent]"
            ),
            [True, "agent", "output"],
        )

    @deferred
    async def test_mouse(self) -> None:
        """The mouse shows the values of what is under it; when it leaves, they go."""
        await self.show("?window=24h", {"agent": "alice", "ended_at": NOW - 43_000})
        await self.browser.until(_DRAWN)
        await self.browser.point(".turns .bar rect")
        await self.sees(".turns .tip", "ok1")
        await self.browser.point("#columns")
        await self.browser.until("document.querySelector('.turns .tip').hidden")

    @deferred
    async def test_empty(self) -> None:
        """Where there is nothing to draw, that is said in words."""
        await self.show("?window=30d&agent=alice")
        await self.sees("#nothing", "No turn of alice has ended in the last 30 days")
        self.assertFalse(
            await self.browser.run("document.getElementById('drawn').checkVisibility()")
        )

    @deferred
    async def test_legend(self) -> None:
        """A series can be hidden, and its button says whether it is."""
        await self.show("", {"agent": "alice", "output_tokens": 5})
        await self.browser.until("document.querySelector('.tokens .ink-output.area')")
        await self.click(".tokens .legend button", "output")
        await self.browser.until("!document.querySelector('.tokens .ink-output.area')")
        pressed = "document.querySelector('.tokens .legend button').ariaPressed"
        self.assertEqual(await self.browser.run(pressed), "false")

    @deferred
    async def test_unknown_agent(self) -> None:
        """An agent that never was is a sentence with a way out."""
        self.forgiven = "404"
        store(self.hive, "alice")
        await self.browser.go(f"{self.hive.web.url}stats?agent=zed")
        await self.sees("#trouble", "There is no agent 'zed'")
        await self.click("#trouble a", "Show all agents")
        await self.live()
        await self.browser.until(_DRAWN)

    @deferred
    async def test_phone(self) -> None:
        """At 390 pixels nothing but a table's own scrolling is wider than the window."""
        await self.browser.look(390, 844)
        await self.show(
            "?window=30d",
            *({"agent": "alice", "ended_at": NOW - 40_000 * n} for n in range(60)),
        )
        await self.browser.until(_DRAWN)
        await self.read("turns", "End")
        wide = await self.browser.run(
            "[...document.querySelectorAll('body *')]"
            ".filter((node) => node.checkVisibility()"
            " && !node.closest('.unseen, .skip, .scrolled')"
            " && node.getBoundingClientRect().right > 390.5)"
            ".map((node) => node.outerHTML.slice(0, 200))"
        )
        self.assertEqual(wide, [])
