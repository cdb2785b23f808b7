"""What the operator is told of, in a real browser."""

from typing import Any

from hyperhive.deferreds import deferred
from hyperhive.testing.agents import NOW
from tests.web.test_browser import BrowserCase

# Notifications that the test can look at and click. The headless browser shows none.
_FAKE = """
globalThis.shown = [];
globalThis.Notification = class {
  static permission = "granted";
  static asked = 0;
  static async requestPermission() { this.asked++; return (this.permission = "granted"); }
  constructor(title, more) { Object.assign(this, more, { title }); shown.push(this); }
  close() { this.closed = true; }
};
document.hasFocus = () => false;
"""


class AlertTests(BrowserCase):
    """A toast without a permission, a notification with one; each kind can be off."""

    async def alerted(self, title: str) -> None:
        """Wait for a notification."""
        await self.browser.until(f"shown.some((one) => one.title.includes({title!r}))")

    async def granted(self, path: str = "") -> None:
        """Open a page that may notify, and that nobody looks at."""
        await self.browser.before_scripts(_FAKE)
        await self.open(path)

    async def ask(self, question: str) -> Any:
        """alice asks."""
        return await self.hive.decisions.questions.ask("alice", question, ())

    @deferred
    async def test_toasts(self) -> None:
        """Without a permission what comes is told on the page, in a live region."""
        await self.ask("Which one?")
        await self.sees("#toasts[aria-live] .toast", "alice asks")
        await self.click("#toasts button", "show")
        text = await self.browser.run("document.activeElement.textContent")
        self.assertIn("Which one?", text)

    @deferred
    async def test_outside_the_house(self) -> None:
        """A test is told from where alerts are set; without a target it says what to set."""
        self.forgiven = "409"
        await self.click("#alerts")
        await self.sees("dialog.alerts button", "tell a test")
        await self.click("dialog.alerts button", "tell a test")
        await self.sees("#toasts .toast", "[notify.ntfy]")

    @deferred
    async def test_missed(self) -> None:
        """What came while no stream was there is told when the state is loaded anew."""
        self.hive.agents.add("bob")
        await self.hive.broker.send("alice", "operator", "before")
        await self.granted()
        await self.away()
        await self.ask("Which one?")
        await self.hive.decisions.approvals.request_spawn("nina", "manager", "eyes")
        await self.hive.broker.send("bob", "operator", "done")
        self.hive.agents.change("alice", state="crashed", state_since=NOW + 1)
        await self.back()
        for title in ("alice asks", "Approval 1", "bob writes", "alice has crashed"):
            await self.browser.until(
                f"shown.some((one) => (one.title + one.body).includes({title!r}))"
            )
        await self.away()
        await self.back()
        await self.ask("Is that all?")
        await self.browser.until("shown.at(-1).title === 'alice asks'")
        self.assertEqual(await self.browser.run("shown.length"), 2)

    @deferred
    async def test_every_kind(self) -> None:
        """Approvals, questions, logins, dead messages, crashes and messages are told."""
        await self.granted()
        await self.hive.decisions.approvals.request_spawn("nina", "manager", "eyes")
        await self.alerted("Approval 1: new agent nina")
        await self.ask("Which one?")
        await self.alerted("alice asks")
        changed = {"state_since": NOW + 1}
        self.hive.agents.change("alice", state="needs login", **changed)
        await self.alerted("alice needs a login")
        self.hive.agents.change("alice", state="crashed", **changed)
        await self.alerted("alice has crashed")
        dead = {"id": 5, "from": "alice", "to": "bob", "state": "dead"}
        self.hive.bus.publish("message_dead", dead)
        await self.alerted("Message 5 was given up")
        await self.hive.broker.send("alice", "operator", "done")
        await self.alerted("alice writes")
        # The same once more is no news.
        self.hive.agents.change("alice", state="crashed", unread=2, **changed)
        await self.hive.broker.send("alice", "operator", "really done")
        await self.browser.until("shown.length === 7")
        titles = await self.browser.run("shown.map(({ title }) => title)")
        self.assertEqual(titles.count("alice has crashed"), 1)

    @deferred
    async def test_old_states_are_no_news(self) -> None:
        """An agent that has needed a login since before the page is not told."""
        await self.granted()
        old = {"state": "needs login", "state_since": NOW - 60}
        self.hive.agents.change("alice", **old)
        await self.hive.broker.send("alice", "operator", "news")
        await self.alerted("alice writes")
        self.assertEqual(await self.browser.run("shown.length"), 1)

    @deferred
    async def test_click(self) -> None:
        """A click on a notification leads to what it is about."""
        await self.granted()
        await self.ask("Which one?")
        await self.alerted("alice asks")
        await self.sees("#questions", "Which one?")
        await self.browser.run("shown[0].onclick()")
        text = await self.browser.run("document.activeElement.textContent")
        self.assertIn("Which one?", text)

    @deferred
    async def test_one_tab(self) -> None:
        """Of several tabs one notifies: the one that was looked at last."""
        await self.granted()
        tab = await self.browser.tab()
        await tab.before_scripts(_FAKE)
        await tab.go(self.hive.web.url)
        await tab.until(
            "document.getElementById('connection').dataset.state === 'live'"
        )
        await self.browser.run("dispatchEvent(new Event('focus'))")
        await self.browser.run("new Promise((done) => setTimeout(done, 0))")
        await self.ask("Which one?")
        both = [self.browser, tab]
        await tab.until("document.querySelector('#questions li')")
        await self.alerted("alice asks")
        counts = [await one.run("shown.length") for one in both]
        self.assertEqual(counts, [1, 0])

    @deferred
    async def test_settings(self) -> None:
        """The permission is asked for by a click only; a kind is off; all are muted."""
        await self.browser.before_scripts(
            _FAKE + 'globalThis.Notification.permission = "default";'
        )
        await self.open("")
        self.assertEqual(await self.browser.run("Notification.asked"), 0)
        await self.click("#alerts")
        await self.browser.until("document.querySelector('.alerts[open]')")
        await self.click(".alerts button", "allow")
        await self.browser.until("Notification.asked === 1")
        await self.click(".alerts .check", "messages to the operator")
        await self.browser.press("Escape")
        await self.hive.broker.send("alice", "operator", "quiet")
        await self.ask("Which one?")
        await self.alerted("alice asks")
        self.assertEqual(await self.browser.run("shown.length"), 1)
        await self.click("#alerts")
        await self.click(".alerts button", "for 1 h")
        await self.sees(".alerts [role=status]", "muted until")
        await self.ask("And now?")
        await self.sees("#questions", "And now?")
        await self.click(".alerts button", "unmute")
        await self.ask("And after?")
        await self.browser.until("shown.length === 2")
        bodies = await self.browser.run("shown.map(({ body }) => body)")
        self.assertEqual(bodies, ["Which one?", "And after?"])

    @deferred
    async def test_many_at_once(self) -> None:
        """What comes in a crowd is told as one."""
        await self.granted()
        for number in range(9):
            await self.hive.broker.send("alice", "operator", f"message {number}")
        await self.browser.until("shown.length > 0")
        titles = await self.browser.run("shown.map(({ title }) => title)")
        self.assertEqual(titles, ["9 things of the hive"])
