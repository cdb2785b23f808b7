"""Claude's login in a real browser, with the stand-in for ``claude auth`` as a process."""

import json
import time
from pathlib import Path

from twisted.internet import reactor

from hyperhive.containers.interfaces import ContainerSpec
from hyperhive.containers.process import ProcessDriver
from hyperhive.deferreds import deferred
from hyperhive.names import container_name
from hyperhive.testing.claude_auth import EMAIL, RIGHT_CODE
from tests.web.support import Hive
from tests.web.test_browser import BrowserCase

DIALOG = "dialog.claude-login"
BUTTON = "li[data-key=alice] button.login"
FIELD = "#claude-login-code"
#: What has the focus, as text.
FOCUS = "(document.activeElement.textContent || document.activeElement.id)"


class LoginWalk(BrowserCase):
    """Alice needs a login; her container runs."""

    def make_hive(self) -> Hive:
        """See BrowserCase."""
        folder = Path(self.mktemp()).absolute()
        self.folder = folder / "logins" / "alice"
        containers = folder / "containers"
        containers.mkdir(parents=True)
        self.driver = ProcessDriver(reactor, containers)
        self.driver.create(ContainerSpec(container_name("alice")))
        self.driver.start(container_name("alice"))
        return Hive(
            reactor,
            folder,
            time.time,
            dashboard="tcp:0:interface=127.0.0.1",
            driver=self.driver,
        )

    @deferred
    async def setUp(self) -> None:
        """Show that she needs one."""
        await super().setUp()
        self.hive.agents.change("alice", needs_login=True)
        await self.browser.until(f"!document.querySelector('{BUTTON}').hidden")

    @deferred
    async def tearDown(self) -> None:
        """No login is left running."""
        await self.hive.logins.stop()
        await super().tearDown()

    @deferred
    async def test_no_more_need(self) -> None:
        """A button that goes with the need for it leaves the focus to the agent's row."""
        await self.browser.run(f"document.querySelector('{BUTTON}').focus()")
        self.hive.agents.change("alice", needs_login=False)
        await self.browser.until(f"{FOCUS} === 'alice'")

    async def begin(self) -> None:
        """From the dashboard to the link."""
        await self.browser.run(f"document.querySelector('{BUTTON}').focus()")
        await self.browser.press("Enter")
        await self.sees(f"{DIALOG} h2", "alice")
        await self.browser.until(f"{FOCUS} === 'begin'")
        await self.browser.press("Enter")
        await self.browser.until(f"{FOCUS}.startsWith('sign in at claude.ai')")

    async def state(self, state: str) -> None:
        """Wait until the dialog is at a state."""
        await self.browser.until(
            f"document.querySelector('{DIALOG}').dataset.state === '{state}'"
        )

    @deferred
    async def test_walk(self) -> None:
        """By keyboard alone: link, half a code, closed and opened, the code, logged in."""
        self.forgiven = "400"
        await self.begin()
        link = await self.browser.run(f"document.querySelector('{DIALOG} .out').href")
        self.assertTrue(link.startswith("https://claude.ai/oauth/authorize?z-"))
        self.assertEqual(
            await self.browser.run(
                f"[document.querySelector('{DIALOG} .out').target, "
                f"document.querySelector('{DIALOG} .out').rel, "
                f"document.querySelector('{DIALOG} .address').value]"
            ),
            ["_blank", "noopener noreferrer", link],
        )
        await self.sees(f"{DIALOG} .time", " left")
        await self.sees("li[data-key=alice] .badge", "logging in")
        half, rest = RIGHT_CODE.split("#")
        await self.browser.type(FIELD, half, "Enter")
        await self.sees(f"{DIALOG} [role=alert]", "#")
        await self.browser.press("Escape")
        await self.browser.until(f"!document.querySelector('{DIALOG}').open")
        # What happens meanwhile takes nothing of it.
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.click(BUTTON)
        await self.browser.until(f"document.querySelector('{DIALOG}').open")
        value = await self.browser.run(f"document.querySelector('{FIELD}').value")
        self.assertEqual(value, half)
        await self.browser.type(FIELD, f"#{rest}", "Enter")
        await self.sees(DIALOG, "alice is logged in")
        await self.sees(f"{DIALOG} dd", EMAIL)
        await self.sees(f"{DIALOG} [role=status]", "Logged in.")
        self.assertTrue((self.folder / ".credentials.json").exists())
        for text in (
            "document.documentElement.outerHTML",
            "JSON.stringify(localStorage)",
        ):
            self.assertNotIn(rest, await self.browser.run(text))
        await self.browser.until(f"{FOCUS} === 'close'")
        await self.browser.press("Enter")
        await self.browser.until(f"!document.querySelector('{DIALOG}').open")
        await self.browser.until(f"{FOCUS} === 'alice'")
        await self.browser.until(f"document.querySelector('{BUTTON}').hidden")

    @deferred
    async def test_wrong_code(self) -> None:
        """A code that is refused is said in words; the next try has a link of its own."""
        await self.begin()
        link = await self.browser.run(f"document.querySelector('{DIALOG} .out').href")
        await self.browser.type(FIELD, "wrongCode#wrongState", "Enter")
        await self.state("failed")
        await self.sees(DIALOG, "Couldn't log in")
        await self.browser.until(f"{FOCUS} === 'start again'")
        await self.browser.press("Enter")
        await self.state("link")
        new = await self.browser.run(f"document.querySelector('{DIALOG} .out').href")
        self.assertNotEqual(new, link)

    @deferred
    async def test_cancel(self) -> None:
        """Cancelling says so, and leaves no process; the dialog then begins anew."""
        await self.begin()
        [process] = self.driver._processes[container_name("alice")]
        await self.click(f"{DIALOG} footer button", "cancel")
        await self.state("cancelled")
        await process.exited.wait()
        await self.sees("li[data-key=alice] .badge", "needs login")
        await self.click(f"{DIALOG} .close")
        await self.click(BUTTON)
        await self.state("none")

    @deferred
    async def test_seen_by_all(self) -> None:
        """A login that is begun elsewhere goes on here, on the agent's own page too."""
        await self.open("agent/alice/")
        await self.browser.type("#prompt", "/login", "Enter")
        await self.state("none")
        self.hive.logins.start("alice")
        await self.state("link")
        self.hive.logins.give_code("alice", RIGHT_CODE)
        await self.state("done")

    @deferred
    async def test_survives_a_lost_stream(self) -> None:
        """What happened while the page heard nothing is shown when it hears again."""
        await self.begin()
        await self.browser.run(
            "dispatchEvent(new PageTransitionEvent('pagehide')), null"
        )
        await self.hive.logins.cancel("alice")
        await self.browser.run(
            "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true})), null"
        )
        await self.state("cancelled")

    @deferred
    async def test_refusal(self) -> None:
        """Why an agent can't be logged in now is said where it was asked for."""
        self.forgiven = "409"
        await self.click(BUTTON)
        await self.state("none")
        self.hive.agents.change("alice", running=False)
        await self.click(f"{DIALOG} button", "begin")
        await self.sees(f"{DIALOG} [role=alert]", "start it")
        self.assertNotIn("link", json.dumps(self.hive.logins.view("alice").as_wire()))
