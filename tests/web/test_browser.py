"""The pages in a real browser: what an operator does, and what the page does with it."""

import json
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from hyperhive.deferreds import deferred
from hyperhive.testing.agents import NOW
from tests.web.chromium import Chromium, executable
from tests.web.stage import Stage
from tests.web.support import Hive, turn_ended, turn_started

_HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"


def _text(text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"role": "assistant", "content": content}}


class BrowserCase(TestCase):
    """A real browser that is logged in, before a hive in memory."""

    timeout = 120
    #: The status of an answer that a test is about: the console complains of it, and
    #: when it does is up to the browser.
    forgiven: str | None = None
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def setUp(self) -> None:
        """A hive with alice, and a browser that came in by the link."""
        self.hive = self.make_hive()
        self.hive.agents.add("alice")
        await self.hive.web.start()
        self.browser = await Chromium(reactor).__aenter__()
        await self.browser.go(self.hive.web.login_url())
        await self.live()

    @deferred
    async def tearDown(self) -> None:
        """Nothing complained, and nothing stays."""
        await self.browser.__aexit__(None, None, None)
        await self.hive.web.stop()
        unforgiven = [
            one
            for one in self.browser.complaints
            if self.forgiven is None or self.forgiven not in one
        ]
        self.assertEqual(unforgiven, [])

    def make_hive(self) -> Hive:
        """The hive that the test is about."""
        return Hive(
            reactor,
            Path(self.mktemp()),
            lambda: NOW,
            dashboard="tcp:0:interface=127.0.0.1",
        )

    async def live(self) -> None:
        """Wait until the page's stream is open."""
        await self.browser.until(
            "document.getElementById('connection')?.dataset.state === 'live'"
        )

    async def open(self, path: str) -> None:
        """Open a page and wait for its stream."""
        await self.browser.go(f"{self.hive.web.url}{path}")
        await self.live()

    async def away(self) -> None:
        """The page goes to sleep, as browsers let one that is left."""
        await self.browser.run("dispatchEvent(new PageTransitionEvent('pagehide'))")

    async def back(self) -> None:
        """It wakes, and loads the state anew."""
        await self.browser.run(
            "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
        )
        await self.live()

    async def sees(self, selector: str, text: str) -> None:
        """Wait until an element of this selector says so."""
        await self.browser.until(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            f".some((node) => node.textContent.includes({json.dumps(text)}))"
        )

    async def choose(self, agent: str, label: str) -> None:
        """Open the menu of an agent's row and choose from it."""
        await self.click(f"li[data-key={agent}] .more")
        await self.click(".menu [role=menuitem]", label)

    async def click(self, selector: str, text: str = "") -> None:
        """Click the first element of this selector with this text."""
        await self.browser.run(
            f"[...document.querySelectorAll({json.dumps(selector)})]"
            f".find((node) => node.textContent.includes({json.dumps(text)})).click()"
        )


class BrowserTests(BrowserCase):
    """Each test has a hive of its own on loopback, and a fresh browser."""

    @deferred
    async def test_link_leaves_the_url(self) -> None:
        """The login link leads to the dashboard, and its ticket is not in the URL."""
        self.assertEqual(await self.browser.run("location.href"), self.hive.web.url)
        await self.sees("#agent-list", "alice")

    @deferred
    async def test_out_and_in_by_token(self) -> None:
        """The operator logs out, types the token, and is where the link led."""
        self.forgiven = "401"
        await self.click("header button", "log out")
        await self.browser.until("location.pathname === '/login'")
        await self.browser.go(f"{self.hive.web.url}agent/alice/")
        await self.browser.until("location.pathname === '/login'")
        await self.browser.type("#token", self.hive.token, "Enter")
        await self.browser.until("location.pathname === '/agent/alice/'")
        await self.live()

    @deferred
    async def test_agents_live(self) -> None:
        """Agents come, change and go on the dashboard as it happens."""
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        self.hive.agents.work("bob", "Bash")
        await self.sees("li[data-key=bob] .badge", "working")
        await self.sees("li[data-key=bob] .tool", "Bash")
        await self.hive.agents.destroy("bob")
        await self.browser.until("!document.querySelector('li[data-key=bob]')")

    @deferred
    async def test_notices(self) -> None:
        """What the hive has to say is on the dashboard at once, and goes again."""
        self.hive.notices.add("Something is odd.")
        await self.sees("#notices", "Something is odd.")
        self.hive.notices.remove("Something is odd.")
        await self.browser.until("!document.querySelector('#notices li')")

    @deferred
    async def test_spawn_and_stop(self) -> None:
        """An agent is spawned by the form and stopped after a question, by keyboard."""
        await self.browser.type("#spawn-name", "carol", "Enter")
        await self.sees("#agent-list", "carol")
        await self.choose("carol", "stop")
        await self.browser.until("document.getElementById('confirm').open")
        await self.browser.run("document.getElementById('confirm-yes').focus()")
        await self.browser.press("Enter")
        await self.sees("li[data-key=carol] .badge", "stopped")
        self.assertEqual(
            [call.method for call in self.hive.agents.calls], ["spawn", "stop"]
        )

    @deferred
    async def test_question_can_be_declined(self) -> None:
        """A question that is declined does nothing."""
        await self.choose("alice", "destroy")
        await self.browser.until("document.getElementById('confirm').open")
        await self.browser.press("Escape")
        await self.browser.until("!document.getElementById('confirm').open")
        self.assertEqual(self.hive.agents.calls, [])

    @deferred
    async def test_compose(self) -> None:
        """A message that is written on the dashboard is sent, and seen in the flow."""
        await self.browser.type("#compose-to", "alice")
        await self.browser.type("#compose-body", "have a look", "Ctrl+Enter")
        await self.sees("#flow", "have a look")
        await self.browser.until("document.getElementById('compose-body').value === ''")
        await self.hive.broker.begin_turn("alice")
        await self.sees("#flow .state", "in a turn")

    @deferred
    async def test_errors_are_said(self) -> None:
        """What the hive refuses is said, and what was typed stays."""
        self.forgiven = "404"
        await self.browser.type("#compose-to", "nobody")
        await self.browser.type("#compose-body", "hello", "Ctrl+Enter")
        await self.sees("#toasts", "nobody")
        value = await self.browser.run("document.getElementById('compose-body').value")
        self.assertEqual(value, "hello")

    @deferred
    async def test_inbox(self) -> None:
        """The operator sees what is new, replies in place, and it is read then."""
        await self.hive.broker.send("alice", "operator", "shall I?")
        await self.sees("#inbox-unread", "1 new")
        self.assertEqual(await self.browser.run("document.title"), "(1) hyperhive")
        await self.click("#inbox button", "reply")
        await self.browser.type("#inbox textarea", "half a")
        # What happens meanwhile takes neither text nor focus.
        await self.hive.broker.send("alice", "operator", "and another")
        self.hive.agents.work("alice")
        await self.sees("#inbox-unread", "2 new")
        await self.browser.type("#inbox textarea", " thought", "Ctrl+Enter")
        await self.sees("#flow", "half a thought")
        await self.sees("#inbox-unread", "1 new")
        [reply] = await self.hive.broker.inbox("alice")
        self.assertEqual(reply.body, "half a thought")
        self.assertIsNotNone(reply.in_reply_to)

    @deferred
    async def test_typed_text_survives_a_resync(self) -> None:
        """When the state is loaded anew, typed text, focus and caret stay."""
        await self.browser.type("#compose-body", "not yet sent")
        # Somebody else's logout ends all streams.
        await treq.post(
            f"{self.hive.web.url}logout",
            headers={"authorization": f"Bearer {self.hive.token}"},
            allow_redirects=False,
            persistent=False,
        )
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        self.assertEqual(
            await self.browser.run(
                "[document.activeElement.id, document.activeElement.value]"
            ),
            ["compose-body", "not yet sent"],
        )

    @deferred
    async def test_hostile_text(self) -> None:
        """Whatever agents write is text: in messages, status, stream and notes."""
        await self.hive.broker.send("alice", "operator", _HOSTILE)
        self.hive.agents.change("alice", status_text=_HOSTILE, state_note=_HOSTILE)
        await self.sees("#inbox", "<script>")
        await self.sees("li[data-key=alice] .says", "<img src=x")
        await self.open("agent/alice/")
        bus = self.hive.bus
        bus.publish(
            "turn_start", turn_started(**{"from": "bob"}, body=_HOSTILE, id=1), "alice"
        )
        call = {
            "type": "tool_use",
            "id": "t1",
            "name": _HOSTILE,
            "input": {"a": _HOSTILE},
        }
        result = {"type": "tool_result", "tool_use_id": "t1", "content": _HOSTILE}
        for event in (
            _text(_HOSTILE),
            {"type": "assistant", "message": {"content": [call]}},
            {"type": "user", "message": {"content": [result]}},
            {"type": _HOSTILE},
        ):
            bus.publish("stream", {"event": event}, "alice")
        bus.publish("note", {"text": _HOSTILE}, "alice")
        bus.publish("turn_end", turn_ended("failed", note=_HOSTILE), "alice")
        await self.sees("#log .end", "<script>")
        self.assertIsNone(await self.browser.run("window.pwned"))
        count = "document.querySelectorAll('main img, main script').length"
        self.assertEqual(await self.browser.run(count), 0)

    @deferred
    async def test_terminal(self) -> None:
        """The agent's page shows the past, then what happens, results with their calls."""
        self.hive.agents.events["alice"] = [
            json.dumps({"seq": 1, "kind": "note", "text": "long ago"}).encode()
        ]
        await self.open("agent/alice/")
        await self.sees("#log", "long ago")
        call = {
            "type": "tool_use",
            "id": "t",
            "name": "Bash",
            "input": {"command": "ls"},
        }
        result = {"type": "tool_result", "tool_use_id": "t", "content": "one\ntwo"}
        for event in (
            _text("I look."),
            {"type": "assistant", "message": {"content": [call]}},
            {"type": "user", "message": {"content": [result]}},
            {
                "type": "system",
                "subtype": "api_retry",
                "attempt": 2,
                "error_status": 529,
            },
        ):
            self.hive.bus.publish("stream", {"event": event}, "alice")
        await self.sees("#log .said", "I look.")
        await self.sees("#log .tool .headline", "ls")
        await self.sees("#log .tool .peek", "one … 1 more line")
        await self.sees("#log .fact", "529")
        rows = await self.browser.run("document.querySelectorAll('#log .line').length")
        self.assertEqual(rows, 4)

    @deferred
    async def test_odd_events(self) -> None:
        """Events that claude may print some day, or that were shortened, break nothing."""
        await self.open("agent/alice/")
        for event in (
            {},
            {"type": "assistant"},
            {"type": "assistant", "message": {"content": ["… (900 members)", None]}},
            {"type": "user", "message": {"content": [{"type": "tool_result"}]}},
            {"type": "system", "subtype": "novel", "x": 1},
            {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected"}},
            _text("after all"),
        ):
            self.hive.bus.publish("stream", {"event": event}, "alice")
        await self.sees("#log .said", "after all")
        await self.sees("#log", "system/novel")
        await self.sees("#log .fact", "usage limit is reached")
        self.browser.complaints.clear()

    @deferred
    async def test_prompt(self) -> None:
        """The prompt sends, makes lines, runs commands, and keeps what was refused."""
        await self.open("agent/alice/")
        await self.browser.type("#prompt", "first", "Shift+Enter")
        await self.browser.type("#prompt", "second", "Enter")
        await self.sees("#inbox", "first\nsecond")
        await self.browser.type("#prompt", "/model opus", "Enter")
        await self.sees("#log .local", "run on opus")
        await self.sees("#chips", "opus")
        await self.browser.type("#prompt", "/help", "Enter")
        await self.sees("#log .local", "/new-session")
        await self.browser.type("#prompt", "/nonsense", "Enter")
        await self.sees("#log .local.bad", "/nonsense is no command")
        value = await self.browser.run("document.getElementById('prompt').value")
        self.assertEqual(value, "/nonsense")

    @deferred
    async def test_cancel(self) -> None:
        """While a turn runs there is a button that cancels it."""
        await self.open("agent/alice/")
        self.hive.agents.work("alice")
        await self.browser.until("!document.getElementById('cancel').hidden")
        await self.click("#cancel")
        await self.browser.until("document.getElementById('cancel').hidden")
        self.assertEqual(self.hive.agents.calls[-1].method, "cancel_turn")

    @deferred
    async def test_scrolling(self) -> None:
        """The terminal stays at its end, unless the reader has scrolled away."""
        await self.open("agent/alice/")
        at_end = "log.scrollHeight - log.scrollTop - log.clientHeight < 2"
        for number in range(100):
            self.hive.bus.publish("note", {"text": f"note {number}"}, "alice")
        await self.sees("#log", "note 99")
        await self.browser.until(at_end)
        await self.browser.run("log.scrollTo(0, 0)")
        # Scroll events come with a frame.
        await self.browser.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
        )
        self.hive.bus.publish("note", {"text": "unseen"}, "alice")
        await self.sees("#newer", "1 new")
        self.assertEqual(await self.browser.run("log.scrollTop"), 0)
        await self.click("#newer")
        await self.browser.until(at_end)

    @deferred
    async def test_bounded(self) -> None:
        """The terminal holds 1,200 rows, the newest."""
        await self.open("agent/alice/")
        for number in range(2100):
            self.hive.bus.publish("note", {"text": f"note {number};"}, "alice")
        await self.sees("#log", "note 2099;")
        rows = "document.querySelectorAll('#log .line')"
        self.assertEqual(await self.browser.run(f"{rows}.length"), 1200)
        self.assertIn("note 900;", await self.browser.run(f"{rows}[0].textContent"))

    @deferred
    async def test_older(self) -> None:
        """Older events come by a button, in order, each once, without a jump."""
        self.hive.agents.events["alice"] = [
            json.dumps({"seq": number, "kind": "note", "text": f"<{number}>"}).encode()
            for number in range(1, 451)
        ]
        await self.open("agent/alice/")
        await self.sees("#log", "<450>")
        for expected in (400, 450):
            await self.browser.until("!document.getElementById('older').hidden")
            await self.click("#older")
            await self.browser.until(
                f"document.querySelectorAll('#log .line').length === {expected}"
            )
        await self.browser.until("document.getElementById('older').hidden")
        texts = await self.browser.run(
            "[...document.querySelectorAll('#log .line p')].map((node) => node.textContent)"
        )
        self.assertEqual(texts, [f"<{number}>" for number in range(1, 451)])

    @deferred
    async def test_missed_more_than_a_page(self) -> None:
        """After a long break the terminal shows the newest page, without a hole in it."""
        stored = self.hive.agents.events["alice"]

        def store(first: int, last: int) -> None:
            stored.extend(
                json.dumps(
                    {"seq": number, "kind": "note", "text": f"<{number}>"}
                ).encode()
                for number in range(first, last + 1)
            )

        store(1, 10)
        await self.open("agent/alice/")
        await self.sees("#log", "<10>")
        store(11, 400)
        await self.browser.run(
            "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
        )
        await self.sees("#log", "<400>")
        first = await self.browser.run(
            "document.querySelector('#log .line p').textContent"
        )
        self.assertEqual(first, "<201>")
        await self.click("#older")
        await self.sees("#log", "<1>")
        rows = await self.browser.run("document.querySelectorAll('#log .line').length")
        self.assertEqual(rows, 400)

    @deferred
    async def test_login_is_over(self) -> None:
        """When the session ends, the page says so, links to the login, and stays."""
        self.forgiven = "401"
        await self.browser.type("#compose-body", "not yet sent")
        await self.browser.run(
            "fetch('/logout', {method: 'POST', redirect: 'manual'}).then(() => null)"
        )
        await self.sees("#outage", "You are logged out.")
        await self.sees("#connection", "logged out")
        link = await self.browser.run("document.querySelector('#outage a').href")
        self.assertEqual(link, f"{self.hive.web.url}login?next=%2F")
        text = await self.browser.run("document.getElementById('compose-body').value")
        self.assertEqual(text, "not yet sent")


class LayoutTests(TestCase):
    """Every page at the width of a phone, and for who can't see colours or use a mouse."""

    timeout = 120
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def test_phone(self) -> None:
        """At 390 pixels nothing is wider than the window, with a full stage."""
        stage = Stage(reactor, Path(self.mktemp()), demo=True)
        await stage.open()
        async with Chromium(reactor) as browser:
            await browser.look(390, 844)
            await browser.go(stage.hive.web.login_url())
            for path in ("", "agent/alice/", "agent/carol/", "stats"):
                await browser.go(f"{stage.hive.web.url}{path}")
                await browser.until(
                    "document.getElementById('connection').dataset.state === 'live'"
                )
                wide = await browser.run(
                    "[...document.querySelectorAll('body *')]"
                    ".filter((node) => node.checkVisibility()"
                    " && !node.closest('.chips, .jumps, .unseen, .skip, pre')"
                    " && node.getBoundingClientRect().right > 390.5)"
                    ".map((node) => node.outerHTML.slice(0, 200))"
                )
                self.assertEqual(wide, [], path)
                self.assertEqual(
                    await browser.run("document.documentElement.scrollWidth"), 390
                )
        await stage.hive.web.stop()

    @deferred
    async def test_contrast(self) -> None:
        """In both schemes every text stands out from its ground by 4.5 to 1."""
        stage = Stage(reactor, Path(self.mktemp()), demo=True)
        await stage.open()
        async with Chromium(reactor) as browser:
            await browser.go(stage.hive.web.login_url())
            for scheme in ("dark", "light"):
                await browser.look(1440, 900, scheme)
                for path in ("", "agent/alice/", "stats"):
                    await browser.go(f"{stage.hive.web.url}{path}")
                    await browser.until(
                        "document.getElementById('connection').dataset.state === 'live'"
                    )
                    weak = await browser.run(_WEAK_TEXTS)
                    self.assertEqual(weak, [], f"{scheme} {path}")
        await stage.hive.web.stop()

    @deferred
    async def test_names(self) -> None:
        """Every control has a name, and every list of them a place to begin."""
        stage = Stage(reactor, Path(self.mktemp()))
        await stage.open()
        async with Chromium(reactor) as browser:
            await browser.go(stage.hive.web.login_url())
            for path in ("", "agent/alice/", "stats"):
                await browser.go(f"{stage.hive.web.url}{path}")
                await browser.until(
                    "document.getElementById('connection').dataset.state === 'live'"
                )
                nameless = await browser.run(
                    "[...document.querySelectorAll('button, a, input, textarea')]"
                    ".filter((node) => node.checkVisibility() && !("
                    "node.textContent.trim() || node.ariaLabel || node.labels?.length))"
                    ".map((node) => node.outerHTML)"
                )
                self.assertEqual(nameless, [])
                marks = "document.querySelectorAll('main, header, h1').length"
                self.assertGreaterEqual(await browser.run(marks), 3)
        await stage.hive.web.stop()


# Texts whose colour is too near to that of the ground they stand on (WCAG 2.2, 1.4.3).
_WEAK_TEXTS = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if ((colour[3] ?? 1) > 0) return colour;
    }
    return [0, 0, 0];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${node.outerHTML.slice(0, 120)}`);
  }
  return weak;
})()
"""
