"""An agent's page in a real browser: its history, its words, its prompt, what lies beside."""

import json
from typing import Any

from hyperhive.agents.interfaces import Deployment
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Deployed
from hyperhive.times import rfc3339
from tests.web.support import turn_ended
from tests.web.test_browser import NOW, BrowserCase

#: The most rows that the terminal holds, and how many a page brings.
MOST, PAGE = 1200, 200

#: Pages of history stay on their way until the test lets them go.
_SLUGGISH = """
globalThis.sluggish = fetch;
globalThis.fetch = async (url, ...more) => {
  const answer = await sluggish(url, ...more);
  if (String(url).includes("history")) await new Promise((go) => (globalThis.go = go));
  return answer;
};
"""


def said(text: str) -> dict[str, Any]:
    """What claude says."""
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"role": "assistant", "content": content}}


class PageCase(BrowserCase):
    """alice's page."""

    def store(self, *events: dict[str, Any]) -> None:
        """Let alice have a past."""
        stored = self.hive.agents.events["alice"]
        for event in events:
            own = {"seq": len(stored) + 1, "agent": "alice", "at": rfc3339(NOW)}
            stored.append(json.dumps({**own, **event}).encode())

    async def count(self, selector: str = "#log .line") -> int:
        """How many there are."""
        found = await self.browser.run(
            f"document.querySelectorAll('{selector}').length"
        )
        return int(found)

    async def scroll(self, top: str) -> None:
        """Scroll the terminal."""
        await self.browser.run(
            f"((log) => {{ log.scrollTop = {top}; }})(document.getElementById('log'))"
        )
        # Scroll events come with a frame, and rows are laid out as they are seen.
        await self.browser.run(
            "new Promise((done) => { let left = 4; const next = () => "
            "left-- ? requestAnimationFrame(next) : done(); next(); })"
        )

    async def shows(self, text: str) -> bool:
        """Whether a row of the terminal says just that."""
        rows = "[...document.querySelectorAll('#log .line .what')]"
        return bool(
            await self.browser.run(
                f"{rows}.some((one) => one.textContent === {json.dumps(text)})"
            )
        )


class TurnListTests(PageCase):
    """What turns came to."""

    @deferred
    async def test_turns_that_end(self) -> None:
        """Each turn that ends while the page is looked at has a row of its own."""
        await self.open("agent/alice/")
        for turn in (1, 2, 3):
            fields = turn_ended("failed" if turn == 2 else "ok", turn=turn)
            self.hive.bus.publish("turn_end", fields, "alice")
        fields = turn_ended(turn=3, turn_kind="compact")
        self.hive.bus.publish("turn_end", fields, "alice")
        rows = "[...document.querySelectorAll('#turns .outcome')]"
        texts = f"{rows}.map((one) => one.textContent).join()"
        await self.browser.until(f"{texts} === 'compact · ok,failed,ok'")


class HistoryTests(PageCase):
    """A window over whatever there is."""

    @deferred
    async def test_missed_before_what_comes(self) -> None:
        """What was missed is there although something happens before it is loaded."""
        notes = [{"kind": "note", "text": f"note {n}"} for n in range(1, 701)]
        self.store(*notes[:50])
        await self.open("agent/alice/")
        await self.sees("#log", "note 50")
        await self.away()
        self.store(*notes[50:])
        await self.browser.run(_SLUGGISH)
        await self.back()
        await self.browser.until("globalThis.go !== undefined")
        self.hive.bus.publish("note", {"text": "just now"}, "alice")
        await self.sees("#log", "just now")
        await self.browser.run("globalThis.fetch = sluggish; go()")
        await self.sees("#log", "note 700")
        for _ in range(100):
            if await self.shows("note 51"):
                break
            await self.scroll("0")
        seqs = "[...document.querySelectorAll('#log .line')].map((one) => Number(one.dataset.seq))"
        numbers = [seq for seq in await self.browser.run(seqs) if seq <= 700]
        self.assertEqual(numbers, list(range(numbers[0], 701)))
        self.assertLessEqual(numbers[0], 51)

    @deferred
    async def test_before_the_first_page(self) -> None:
        """What happens while the first page is on its way is not lost when that comes."""
        self.store(*({"kind": "note", "text": f"note {n}"} for n in range(1, 51)))
        await self.browser.before_scripts(_SLUGGISH)
        await self.open("agent/alice/")
        await self.browser.until("globalThis.go !== undefined")
        self.hive.bus.publish("note", {"text": "just now"}, "alice")
        await self.sees("#log", "just now")
        await self.browser.run("globalThis.fetch = sluggish; go()")
        await self.sees("#log", "note 50")
        texts = (
            "[...document.querySelectorAll('#log .line')].map((one) => one.textContent)"
        )
        self.assertEqual(await self.count(), 51)
        self.assertIn("just now", (await self.browser.run(texts))[-1])

    @deferred
    async def test_reading_goes_on(self) -> None:
        """Who reads further up is left there when the state is loaded anew."""
        self.store(*({"kind": "note", "text": f"note {n}"} for n in range(1, 3001)))
        await self.open("agent/alice/")
        await self.sees("#log", "note 3000")
        for _ in range(100):
            if await self.shows("note 1404"):
                break
            await self.scroll("0")
        middle = (
            "((log) => document.elementFromPoint(log.left + log.width / 2, log.top + log.height / 2)"
            ".closest('.line').textContent)(document.getElementById('log').getBoundingClientRect())"
        )
        read = await self.browser.run(middle)
        for missed in (0, 600):
            await self.away()
            self.store(*({"kind": "note", "text": "missed"} for _ in range(missed)))
            await self.back()
            await self.browser.until("!document.getElementById('newer').hidden")
            self.assertEqual(await self.browser.run(middle), read)

    @deferred
    async def test_up_and_down(self) -> None:
        """All of a long history can be read, up and down, by a bounded number of rows."""
        number = 3000
        self.store(
            *({"kind": "note", "text": f"note {n}"} for n in range(1, number + 1))
        )
        await self.open("agent/alice/")
        await self.sees("#log", f"note {number}")
        most = 0
        for text, top in (("note 1", "0"), (f"note {number}", "log.scrollHeight")):
            for _ in range(200):
                if await self.shows(text):
                    break
                before = await self.browser.run(
                    "document.querySelector('#log .line').textContent"
                )
                await self.scroll(top)
                await self.browser.until(
                    "document.querySelector('#log .line').textContent"
                    f" !== {json.dumps(before)} || document.querySelector('#log .line:last-child')"
                    f".textContent.endsWith({json.dumps(text)})"
                )
                most = max(most, await self.count())
            self.assertTrue(await self.shows(text), text)
        self.assertLessEqual(most, MOST + PAGE)
        self.assertGreater(most, PAGE)

    @deferred
    async def test_reading_is_not_disturbed(self) -> None:
        """What comes while one reads above does not move it; one is told, and led there."""
        self.store(*({"kind": "note", "text": f"note {n}"} for n in range(1, 151)))
        await self.open("agent/alice/")
        await self.sees("#log", "note 150")
        await self.scroll("400")
        place = (
            "[...document.querySelectorAll('#log .line')].find((one) => "
            "one.textContent.endsWith('note 40')).getBoundingClientRect().top"
        )
        before = await self.browser.run(place)
        self.hive.bus.publish("note", {"text": "something new"}, "alice")
        await self.sees("#newer", "1 new")
        self.assertEqual(await self.browser.run(place), before)
        await self.click("#newer")
        await self.browser.until("document.getElementById('newer').hidden")
        self.assertTrue(await self.shows("something new"))


class WordsTests(PageCase):
    """What claude says."""

    @deferred
    async def test_markdown(self) -> None:
        """It is shown as it is meant, and nothing in it does anything."""
        hostile = (
            "<img src=x onerror='window.pwned = 1'> [x](javascript:window.pwned=1)"
        )
        self.store(
            {
                "kind": "stream",
                "event": said(f"**Done**, see [it](https://e.example/).\n\n{hostile}"),
            },
            {"kind": "stream", "event": said("| a | b |\n|---|--:|\n| 1 | 2 |")},
        )
        await self.open("agent/alice/")
        await self.sees("#log .answer strong", "Done")
        await self.sees("#log .answer td.right", "2")
        link = "document.querySelector('#log .answer a')"
        self.assertEqual(
            await self.browser.run(f"[{link}.href, {link}.target, {link}.rel]"),
            ["https://e.example/", "_blank", "noopener noreferrer nofollow"],
        )
        self.assertEqual(await self.count("#log .answer a"), 1)
        self.assertEqual(await self.count("#log img"), 0)
        self.assertIsNone(await self.browser.run("window.pwned ?? null"))

    @deferred
    async def test_calls(self) -> None:
        """A call of a tool is a line in words; of a foreign one, its arguments by name."""
        calls = (
            (
                "mcp__hyperhive__ask_operator",
                {"question": "Which?", "options": ["a", "b"]},
            ),
            (
                "mcp__hyperhive__request_apply_commit",
                {"agent": "bob", "commit_ref": "4f1c9e2a"},
            ),
            ("mcp__issues__search", {"text": "<b>late</b>", "most": 5}),
        )
        for number, (name, given) in enumerate(calls):
            block = {
                "type": "tool_use",
                "id": f"t{number}",
                "name": name,
                "input": given,
            }
            message = {"role": "assistant", "content": [block]}
            event = {"type": "assistant", "message": message}
            self.store({"kind": "stream", "event": event})
        await self.open("agent/alice/")
        for words in ("ask the operatorWhich?", "propose forbob4f1c9e2a"):
            await self.sees("#log .headline", words)
        await self.sees("#log .headline", "searchtext: <b>late</b>, most: 5of issues")
        await self.click("#log summary", "ask the operator")
        await self.sees("#log details[open] p", "◦ b")

    @deferred
    async def test_plain(self) -> None:
        """A sentence is not sent back to be rendered."""
        self.store({"kind": "stream", "event": said("Good morning.")})
        await self.open("agent/alice/")
        await self.sees("#log .answer", "Good morning.")
        self.assertEqual(await self.count("#log .markdown"), 0)


class PromptTests(PageCase):
    """What is typed."""

    async def value(self) -> str:
        """What stands in the prompt."""
        return str(await self.browser.run("document.getElementById('prompt').value"))

    @deferred
    async def test_history(self) -> None:
        """Up and down go through what was sent, also after a reload, and keep a draft."""
        await self.open("agent/alice/")
        for text in ("first", "second"):
            await self.browser.type("#prompt", text, "Enter")
            await self.sees("#inbox", text)
        await self.open("agent/alice/")
        await self.browser.type("#prompt", "a draft")
        await self.browser.press("ArrowUp")
        self.assertEqual(await self.value(), "second")
        await self.browser.press("ArrowUp")
        self.assertEqual(await self.value(), "first")
        for _ in range(2):
            await self.browser.press("ArrowDown")
        self.assertEqual(await self.value(), "a draft")

    @deferred
    async def test_draft(self) -> None:
        """What was typed is there after a reload; what was sent is not."""
        await self.open("agent/alice/")
        await self.browser.type("#prompt", "half a thought")
        await self.open("agent/alice/")
        self.assertEqual(await self.value(), "half a thought")
        await self.browser.type("#prompt", "", "Enter")
        await self.sees("#inbox", "half a thought")
        await self.open("agent/alice/")
        self.assertEqual(await self.value(), "")

    @deferred
    async def test_commands(self) -> None:
        """A command completes from its beginning; pausing is one."""
        await self.open("agent/alice/")
        await self.browser.type("#prompt", "/pau")
        await self.sees("[role=option]", "/pause")
        await self.browser.press("Enter")
        self.assertEqual(await self.value(), "/pause")
        await self.browser.press("Enter")
        await self.sees("#log", "it is paused")
        self.assertTrue(self.hive.agents.status("alice").paused)
        await self.browser.type("#prompt", "/resume", "Enter")
        await self.sees("#log", "it goes on")
        self.assertFalse(self.hive.agents.status("alice").paused)


class PanelTests(PageCase):
    """What lies beside the terminal is asked for when it is opened."""

    @deferred
    async def test_config(self) -> None:
        """The configuration that holds, and where it came from."""
        config = json.dumps({"model": "opus", "tools": {"bash": ["git *"]}})
        self.hive.agents.deployments["alice"] = Deployment(
            "4f1c9e2ab7", "deployed/3", config, None, "0.1.0"
        )
        await self.open("agent/alice/")
        await self.click("#config-box summary")
        await self.sees("#config", "deployed/3")
        await self.sees("#config dd", "git *")

    @deferred
    async def test_rollback(self) -> None:
        """An earlier deployment is gone back to, after a question."""
        self.hive.deploys.deployed["alice"] = [
            Deployed(7, "4f1c", NOW, True),
            Deployed(5, "a3b0", NOW - 60, False),
        ]
        await self.open("agent/alice/")
        await self.click("#deploys-box summary")
        await self.sees("#deploys li", "runs now")
        await self.click("#deploys button", "roll back")
        await self.browser.until("document.getElementById('confirm').open")
        await self.click("#confirm-yes")
        await self.sees("#toasts", "back at #5")
        self.assertIn(("rollback", "alice", 5, "operator"), self.hive.deploys.calls)

    @deferred
    async def test_journal(self) -> None:
        """By its anchor; the text is text. Where there is none, that is said."""
        await self.open("agent/alice/#journal")
        await self.sees("#journal", "keeps no journal")
        self.hive.agents.journals["alice"] = ("<b>one</b>", "two")
        await self.click("#journal button", "again")
        await self.sees("#journal pre", "<b>one</b>")
