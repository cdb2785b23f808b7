"""The palette, the keys and the theme, in a real browser."""

from typing import Any

from hyperhive.deferreds import deferred
from tests.web.test_browser import BrowserCase

_ACTIVE = """
(() => {
  const box = document.querySelector(".palette input");
  return document.getElementById(box.getAttribute("aria-activedescendant"))
    ?.querySelector(".title").textContent ?? null;
})()
"""


class PaletteTests(BrowserCase):
    """Every action by a few letters of its name."""

    async def find(self, text: str) -> None:
        """Open it and type."""
        await self.browser.press("Ctrl+k")
        await self.browser.until("document.querySelector('.palette[open] .title')")
        await self.browser.type(".palette input", text)

    async def active(self) -> Any:
        """The title of the option that Enter takes."""
        return await self.browser.run(_ACTIVE)

    def called(self) -> list[tuple[str, str]]:
        """What was asked of the agents."""
        return [
            (call.method, call.arguments["name"]) for call in self.hive.agents.calls
        ]

    @deferred
    async def test_by_keys_alone(self) -> None:
        """A few letters, an arrow, Enter; what is dangerous asks; the focus comes back."""
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.browser.run("document.getElementById('compose-body').focus()")
        await self.find("st bo")
        self.assertEqual(await self.active(), "stop bob")
        await self.browser.press("ArrowDown")
        self.assertIn("bob", await self.active())
        await self.browser.press("ArrowUp")
        await self.browser.press("Enter")
        await self.browser.until("document.getElementById('confirm').open")
        self.assertEqual(self.called(), [])
        await self.click("#confirm-yes")
        await self.sees(".toast", "bob is stopped.")
        self.assertEqual(self.called()[-1], ("stop", "bob"))
        focus = await self.browser.run("document.activeElement.id")
        self.assertEqual(focus, "compose-body")

    @deferred
    async def test_escape(self) -> None:
        """Escape closes it and does nothing; a click beside it does the same."""
        await self.find("stop alice")
        await self.browser.press("Escape")
        await self.browser.until("!document.querySelector('.palette[open]')")
        await self.click("#find")
        await self.browser.until("document.querySelector('.palette[open]')")
        await self.browser.run("document.querySelector('.palette').click()")
        await self.browser.until("!document.querySelector('.palette[open]')")
        self.assertEqual(self.called(), [])

    @deferred
    async def test_message(self) -> None:
        """An action that needs a text asks for it; without one nothing is sent."""
        await self.find("message alice")
        await self.browser.press("Enter")
        await self.sees(".palette .chip", "message alice")
        await self.browser.press("Enter")
        await self.browser.type(".palette input", "hello from here", "Enter")
        await self.sees(".toast", "Sent to alice.")
        [message] = await self.hive.broker.inbox("alice")
        self.assertEqual(message.body, "hello from here")

    @deferred
    async def test_decisions(self) -> None:
        """What waits is offered first: approve after a question, deny with a note, answer."""
        approvals = self.hive.decisions.approvals
        id = await approvals.request_spawn("nina", "manager", "needs eyes")
        other = await approvals.request_spawn("otto", "manager", None)
        await self.hive.decisions.questions.ask("alice", "Which one?", ("red", "blue"))
        await self.sees("#approvals", "otto")
        await self.sees("#questions", "Which one?")
        await self.find(f"deny {id}")
        await self.browser.press("Enter")
        await self.browser.type(".palette input", "not now", "Enter")
        await self.sees(".toast", f"{id} is denied.")
        self.assertEqual((await approvals.get(id)).note, "not now")
        await self.find("answer alice")
        await self.browser.press("Enter")
        await self.sees(".palette [role=option]", "blue")
        await self.browser.type(".palette input", "blu")
        await self.browser.press("ArrowDown")
        self.assertEqual(await self.active(), "blue")
        await self.browser.press("Enter")
        await self.sees(".toast", "Answered.")
        self.assertEqual(list(await self.hive.decisions.questions.pending()), [])
        await self.find(f"approve {other}")
        await self.browser.press("Enter")
        await self.browser.until("document.getElementById('confirm').open")
        await self.click("#confirm-yes")
        await self.sees(".toast", f"{other} is approved and done.")

    @deferred
    async def test_on_an_agents_page(self) -> None:
        """There it knows all agents too, and this page's own first."""
        self.hive.agents.add("bob")
        await self.open("agent/alice/")
        await self.find("model bob")
        self.assertEqual(await self.active(), "set the model of bob")
        await self.browser.press("Enter")
        await self.browser.type(".palette input", "opus")
        await self.browser.press("Enter")
        await self.sees(".toast", "The next turns of bob run on opus.")
        self.assertEqual(self.hive.agents.status("bob").model, "opus")
        await self.find("go bob")
        await self.browser.press("Enter")
        await self.browser.until("location.pathname === '/agent/bob/'")

    @deferred
    async def test_pattern(self) -> None:
        """It is a combobox with a list of options, of which one is selected."""
        await self.find("alice")
        roles = await self.browser.run(
            "[...document.querySelectorAll('.palette [role]')].map((node) => node.role)"
        )
        self.assertEqual(roles[:2], ["combobox", "listbox"])
        self.assertLessEqual(set(roles[2:]), {"group", "option", "status"})
        chosen = "document.querySelectorAll('.palette [aria-selected=true]').length"
        self.assertEqual(await self.browser.run(chosen), 1)
        await self.browser.press("Tab")
        inside = "document.querySelector('.palette').contains(document.activeElement)"
        self.assertTrue(
            await self.browser.run(
                f"document.activeElement === document.body || {inside}"
            )
        )


class KeyTests(BrowserCase):
    """Keys that work everywhere, but never while one types."""

    @deferred
    async def test_lists(self) -> None:
        """``j`` and ``k`` walk through the rows, and Enter opens the focused one."""
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        focused = "document.activeElement.dataset.key"
        for key, name in (("j", "hm1nd"), ("j", "alice"), ("j", "bob"), ("k", "alice")):
            await self.browser.press(key)
            self.assertEqual(await self.browser.run(focused), name)
        await self.browser.press("Enter")
        await self.browser.until("location.pathname === '/agent/alice/'")

    @deferred
    async def test_jumps(self) -> None:
        """``g`` and a letter go to a section, from an agent's page as well."""
        await self.hive.broker.send("alice", "operator", "look at this")
        await self.sees("#inbox", "look at this")
        await self.browser.press("g")
        await self.browser.press("i")
        text = await self.browser.run("document.activeElement.textContent")
        self.assertIn("look at this", text)
        await self.open("agent/alice/")
        await self.browser.press("g")
        await self.browser.press("p")
        await self.browser.until("location.pathname === '/'")
        self.assertEqual(await self.browser.run("location.hash"), "#approvals")

    @deferred
    async def test_not_while_typing(self) -> None:
        """In a field these keys are letters, and with a dialog open they do nothing."""
        await self.browser.run("document.getElementById('compose-body').focus()")
        for key in ("j", "g", "i", "?", "/"):
            await self.browser.press(key)
        typed = "document.getElementById('compose-body').value"
        self.assertEqual(await self.browser.run(typed), "jgi?/")
        self.assertIsNone(
            await self.browser.run("document.querySelector('dialog[open]')")
        )

    @deferred
    async def test_help(self) -> None:
        """``?`` lists the keys; Escape closes the list."""
        await self.browser.press("?")
        await self.browser.until("document.querySelector('.help[open]')")
        await self.sees(".help", "the operator's inbox")
        await self.browser.press("j")
        await self.browser.press("Escape")
        await self.browser.until("!document.querySelector('.help[open]')")


class ThemeTests(BrowserCase):
    """Dark, light, or what the system has."""

    @deferred
    async def test_switch(self) -> None:
        """The choice holds over pages, before anything is drawn, and in other tabs."""
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        await self.browser.look(1440, 900, "dark")
        dark = await self.browser.run(ground)
        tab = await self.browser.tab()
        await tab.go(self.hive.web.url)
        for _ in range(2):
            await self.click("#theme")
        light = await self.browser.run(ground)
        self.assertNotEqual(light, dark)
        await tab.until("document.documentElement.dataset.theme === 'light'")
        await self.browser.before_scripts(
            "new MutationObserver((_, seen) => { if (!document.body) return;"
            " globalThis.first = document.documentElement.dataset.theme; seen.disconnect(); })"
            ".observe(document, {childList: true, subtree: true})"
        )
        await self.open("agent/alice/")
        self.assertEqual(await self.browser.run("first"), "light")
        self.assertEqual(await self.browser.run(ground), light)
        await self.click("#theme")
        self.assertEqual(await self.browser.run(ground), dark)
        self.assertIsNone(await self.browser.run("localStorage.getItem('theme')"))
