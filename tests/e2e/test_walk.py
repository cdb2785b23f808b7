"""An operator's day in a real browser, with a real hive: every step as a person takes it."""

import json
import re
import socket
from urllib.parse import urlsplit

from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, TestCase

from hyperhive.deferreds import deferred
from tests.daemon import Daemon
from tests.e2e.test_claude import bubblewrap_refusal
from tests.web.chromium import Chromium, executable

_LINK = re.compile(r"http://\S+/login\?ticket=\S+")


def free_port() -> int:
    """A port that nobody has now; the hive is to have the same after its restart."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class WalkTests(TestCase):
    """The scripted agent in sandboxes: what the hive does is real."""

    timeout = 180
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def setUp(self) -> None:
        """A hive with the manager, and a browser before its login page."""
        if refusal := bubblewrap_refusal():
            raise SkipTest(refusal)
        self.hive = Daemon(
            *("--demo", "--containers", "bubblewrap"),
            *("--dashboard", f"tcp:{free_port()}:interface=127.0.0.1"),
            *("--manager-port", "0", "--agent-ports", "20000-60000"),
        )
        self.addCleanup(self.hive.remove)
        self.hive.start()
        self.browser = await Chromium(reactor).__aenter__()
        self.addCleanup(self.browser.__aexit__, None, None, None)
        await self.browser.look(1440, 900)

    async def sees(self, selector: str, text: str = "") -> None:
        """Wait until something of this selector that is shown has this text."""
        await self.browser.until(f"{self._found(selector, text)}")

    async def click(self, selector: str, text: str = "") -> None:
        """Click what :meth:`sees` finds."""
        await self.sees(selector, text)
        await self.browser.run(f"{self._found(selector, text)}.click()")

    def _found(self, selector: str, text: str) -> str:
        return (
            f"[...document.querySelectorAll({json.dumps(selector)})].find((node) => "
            f"node.checkVisibility() && node.textContent.includes({json.dumps(text)}))"
        )

    async def live(self) -> None:
        """Wait until the page's stream is open."""
        await self.browser.until(
            "document.getElementById('connection')?.dataset.state === 'live'"
        )

    async def enter(self) -> None:
        """Come in by the link that the hive has printed."""
        link = _LINK.search(self.hive.text())
        assert link is not None
        await self.browser.go(link.group())
        await self.live()

    @property
    def home(self) -> str:
        """The dashboard."""
        return str(self.hive.facts()["dashboard"])

    async def spawn(self, name: str) -> None:
        """Make an agent by the form."""
        await self.browser.type("#spawn-name", name, "Enter")
        await self.sees(f"#agent-list [data-key={name}] .badge", "idle")

    async def write(self, to: str, body: str) -> None:
        """Send a message by the form."""
        await self.browser.run("document.getElementById('compose').reset()")
        await self.browser.type("#compose-to", to)
        await self.browser.type("#compose-body", body, "Ctrl+Enter")
        await self.browser.until("!document.getElementById('compose-body').value")

    async def decided(self) -> None:
        """Wait until nothing waits for a decision."""
        await self.browser.until(
            "!document.querySelector('#approvals .decide:not([hidden])')"
        )

    @deferred
    async def test_a_day(self) -> None:
        """Log in, spawn, ask, decide, watch it being built; lose the hive and get it back."""
        await self.enter()
        await self.spawn("bob")
        await self._question()
        await self._decisions()
        await self._outage()
        self.assertEqual(self._complaints(), [])

    async def _question(self) -> None:
        """bob asks; the operator answers; bob is told."""
        await self.write("bob", "!ask Which one counts? | the older | the cheaper")
        await self.sees("#questions", "Which one counts?")
        await self.click("#questions label", "the cheaper")
        await self.click("#questions button", "4NSWER")
        await self.sees("#no-questions")
        told = [one for one in self.hive.inbox("bob") if one["from"] == "system"]
        self.assertEqual(json.loads(told[-1]["body"])["answer"], "the cheaper")

    async def _decisions(self) -> None:
        """The manager proposes; the operator reads, denies, and approves the next."""
        await self.write("manager", '!propose bob model = "opus"')
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", 'model = "opus"')
        await self.browser.type("#approvals .decide input", "too dear", "Enter")
        await self.decided()
        [approval] = self.hive.do(cmd="pending")["approvals"]
        self.assertEqual((approval["status"], approval["note"]), ("denied", "too dear"))

        await self.write("manager", '!propose bob model = "sonnet"')
        await self.click("#approvals .decide .primary", "4PPR0VE")
        await self.click("#confirm-yes")
        await self.sees("#jobs [data-key]", "rebuild")
        await self.sees("#jobs .state", "done")
        await self.sees("#agent-list [data-key=bob] .model", "sonnet")

    async def _outage(self) -> None:
        """The page says that the hive is gone, keeps what was typed, and heals."""
        await self.browser.type("#compose-body", "half a thought")
        self.hive.kill()
        await self.browser.until(
            "document.getElementById('connection').dataset.state !== 'live'"
        )
        self.hive.start()
        await self.live()
        await self.spawn("carl")
        self.assertEqual(
            await self.browser.run("document.getElementById('compose-body').value"),
            "half a thought",
        )

    @deferred
    async def test_an_agent(self) -> None:
        """Its page on a port of its own: prompt, watch, cancel, go on."""
        self.hive.quiet()
        self.hive.do(cmd="spawn", name="bob")
        await self.enter()
        own = self.hive.status("bob")["url"]
        self.assertNotEqual(urlsplit(own).port, urlsplit(self.home).port)
        await self.browser.go(own)
        await self.live()
        await self.browser.type("#prompt", "!think First the log.", "Shift+Enter")
        await self.browser.type("#prompt", "!say It **works**.\n!hang", "Enter")
        await self.sees("#log", "First the log.")
        await self.sees("#log", "works")
        await self.sees("#badge", "working")
        await self.click("#cancel", "cancel")
        await self.sees("#log", "cancelled")
        await self.browser.type("#prompt", "!tool Bash echo $((6 * 7))", "Enter")
        await self.sees("#log", "echo $((6 * 7))")
        await self.sees("#turns", "ok")
        self.assertEqual(self._complaints(), [])

    @deferred
    async def test_a_phone_and_a_keyboard(self) -> None:
        """390 pixels, and nothing but keys: spawn, write, deny."""
        await self.browser.look(390, 844)
        await self.enter()
        wide = await self.browser.run(
            "document.documentElement.scrollWidth > window.innerWidth"
        )
        self.assertFalse(wide, "the page scrolls sideways")
        await self._tab_to("spawn-name")
        await self._keys("bob")
        await self.browser.press("Enter")
        await self.sees("#agent-list [data-key=bob] .badge", "idle")
        await self._tab_to("compose-to")
        await self._keys("manager")
        await self._tab_to("compose-body")
        await self._keys('!propose bob model = "opus"')
        await self.browser.press("Ctrl+Enter")
        await self.sees("#approvals .decide")
        await self._tab_to(
            None, "document.activeElement.closest('.decide')?.elements[1]"
        )
        await self._keys("not now")
        await self.browser.press("Enter")
        await self.decided()
        [approval] = self.hive.do(cmd="pending")["approvals"]
        self.assertEqual(approval["note"], "not now")

    async def _tab_to(self, id: str | None, wanted: str = "") -> None:
        """Press Tab until the focus is there; it is always seen where it is."""
        wanted = wanted or f"document.getElementById({json.dumps(id)})"
        for _ in range(150):
            await self.browser.press("Tab")
            if await self.browser.run(f"document.activeElement === ({wanted})"):
                seen = "document.activeElement.matches(':focus-visible')"
                self.assertTrue(await self.browser.run(seen))
                return
        self.fail(f"Tab does not lead to {wanted}")

    async def _keys(self, text: str) -> None:
        """Type where the focus is."""
        await self.browser.run(
            f"document.execCommand('insertText', false, {json.dumps(text)})"
        )

    def _complaints(self) -> list[str]:
        """What the console said, but for the hive's absence."""
        return [one for one in self.browser.complaints if "ERR_" not in one]
