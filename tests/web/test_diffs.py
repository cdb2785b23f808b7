"""The diffs that the operator decides by, in a real browser."""

from typing import Any

import treq

from hyperhive.deferreds import deferred
from tests.web.test_browser import BrowserCase

_DIFF = """\
diff --git a/agent.toml b/agent.toml
index 1111111..2222222 100644
--- a/agent.toml
+++ b/agent.toml
@@ -1,4 +1,5 @@
 # what it runs with
-model = "haiku"
+model = "sonnet"
+turns = 40
 [tools]
 bash = ["git"]
diff --git a/notes.md b/notes.md
new file mode 100644
--- /dev/null
+++ b/notes.md
@@ -0,0 +1,2 @@
+# <img src=x onerror=alert(1)>
+--- not a header
"""


class DiffTests(BrowserCase):
    """An approval with a diff."""

    @deferred
    async def setUp(self) -> None:
        """Something waits."""
        await super().setUp()
        decisions = self.hive.decisions
        decisions.deployer.text = _DIFF
        await decisions.approvals.request_apply_commit("alice", "0123456789", "manager")
        await self.sees("#approvals", "alice")

    async def texts(self, selector: str) -> Any:
        """The text of each element."""
        return await self.browser.run(
            f"[...document.querySelectorAll('{selector}')].map((one) => one.textContent)"
        )

    @deferred
    async def test_read(self) -> None:
        """Files, lines, colours and changed words; whatever is in it is text."""
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "turns = 40")
        self.assertEqual(await self.texts(".patch .deleted"), ['-model = "haiku"\n'])
        self.assertEqual(
            await self.texts(".patch .added"),
            [
                '+model = "sonnet"\n',
                "+turns = 40\n",
                "+# <img src=x onerror=alert(1)>\n",
                "+--- not a header\n",
            ],
        )
        self.assertEqual(await self.texts(".patch .word"), ["haiku", "sonnet"])
        self.assertIn("40", await self.texts(".patch .tok-number"))
        self.assertEqual(
            await self.texts(".diffview .file > summary code"),
            ["agent.toml", "notes.md"],
        )
        self.assertEqual(await self.texts(".patch img"), [])

    @deferred
    async def test_bases(self) -> None:
        """It is compared with what the operator chooses."""
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "turns = 40")
        for base in ("approved", "queued"):
            await self.browser.run(
                "(() => { const box = document.querySelector('#approvals select');"
                f" box.value = '{base}'; box.dispatchEvent(new Event('change')); }})()"
            )
            await self.browser.until(
                "!document.querySelector('#approvals select[aria-busy]')"
            )
        asked = [
            call for call in self.hive.decisions.deployer.calls if call[0] == "diff"
        ]
        self.assertEqual(
            [call[-2] for call in asked], ["running", "approved", "queued"]
        )

    @deferred
    async def test_side_by_side(self) -> None:
        """Over the whole window old and new are beside each other; the switch is remembered."""
        await self.browser.look(1440, 900)
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "turns = 40")
        await self.click("#approvals button", "whole window")
        await self.browser.until("document.querySelector('dialog.large .patch.two')")
        rows = await self.texts("dialog.large .both:has(.deleted)")
        self.assertEqual(rows, ['-model = "haiku"\n+model = "sonnet"\n'])
        await self.click("dialog.large .layout")
        await self.browser.until("!document.querySelector('.patch.two')")
        await self.browser.press("Escape")
        await self.browser.until("!document.querySelector('dialog.large')")
        await self.sees("#approvals .patch", "turns = 40")

    @deferred
    async def test_fold_stays(self) -> None:
        """A file that was folded, and the card, stay as they are while others come."""
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "turns = 40")
        await self.click("#approvals .file > summary", "agent.toml")
        other = self.hive.decisions.approvals.request_spawn("carol", "manager", None)
        await other
        await self.sees("#approvals", "carol")
        opened = (
            "[...document.querySelectorAll('.diffview .file')].map((one) => one.open)"
        )
        self.assertEqual(await self.browser.run(opened), [False, True])

    @deferred
    async def test_resync(self) -> None:
        """When the state is loaded anew, what is open stays open, and where it was."""
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "turns = 40")
        await self.choose("alice", "deployments")
        await self.sees("li[data-key=alice] .past", "deployments")
        await self.browser.run("void (document.querySelector('.patch').kept = true)")
        await treq.post(
            f"{self.hive.web.url}logout",
            headers={"authorization": f"Bearer {self.hive.token}"},
            allow_redirects=False,
            persistent=False,
        )
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        self.assertTrue(
            await self.browser.run("document.querySelector('#approvals .patch').kept")
        )
        self.assertFalse(
            await self.browser.run(
                "document.querySelector('[data-key=alice] .past').hidden"
            )
        )

    @deferred
    async def test_keyboard(self) -> None:
        """On the card o opens the diff, d leads to the note, a approves after a yes."""
        await self.browser.run("document.querySelector('#approval-1').focus()")
        await self.browser.press("o")
        await self.sees("#approvals .patch", "turns = 40")
        await self.browser.run("document.querySelector('#approval-1').focus()")
        await self.browser.press("d")
        await self.browser.until("document.activeElement.matches('.decide input')")
        await self.browser.type(".decide input", "a d o")
        await self.browser.run("document.querySelector('#approval-1').focus()")
        await self.browser.press("a")
        await self.browser.until("document.getElementById('confirm').open")
        await self.browser.run("document.getElementById('confirm-yes').focus()")
        await self.browser.press("Enter")
        await self.sees("#approvals .outcome", "approved by operator")
