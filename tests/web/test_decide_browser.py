"""A one-time link on a phone: a real browser of that size, without a login."""

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from hyperhive.deferreds import deferred
from hyperhive.names import BY_LINK
from hyperhive.testing.agents import NOW
from tests.web.chromium import Chromium, executable
from tests.web.support import Hive

_LONG = "+bash = [" + '"git *", ' * 40 + '"rm -rf /"]'
_WIDTH, _HEIGHT = 390, 844


class PhoneTests(TestCase):
    """What an operator does in the train."""

    timeout = 120
    if executable() is None:
        skip = "there is no chromium on PATH"

    @deferred
    async def setUp(self) -> None:
        """A hive with links, and a browser that it does not know."""
        self.hive = Hive(
            reactor,
            Path(self.mktemp()),
            lambda: NOW,
            dashboard="tcp:0:interface=127.0.0.1",
            public_url="http://localhost/",
        )
        self.hive.agents.add("alice")
        await self.hive.web.start()
        self.browser = await Chromium(reactor).__aenter__()
        await self.browser.look(_WIDTH, _HEIGHT)

    @deferred
    async def tearDown(self) -> None:
        """Nothing complained, and nothing stays."""
        await self.browser.__aexit__(None, None, None)
        await self.hive.web.stop()
        self.assertEqual(self.browser.complaints, [])

    async def open(self, kind: str, id: int) -> None:
        """Open a link."""
        links = self.hive.links
        assert links is not None
        path = (await links.make(kind, id)).removeprefix("http://localhost/")
        await self.browser.go(f"{self.hive.web.url}{path}")

    async def check_fits(self) -> None:
        """All of it lies within the window's width, and buttons are large enough."""
        self.assertEqual(
            await self.browser.run(
                "[...document.querySelectorAll('main *')].filter((node) => "
                f"node.getBoundingClientRect().right > {_WIDTH} || "
                "node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0 && "
                "getComputedStyle(node).display !== 'inline')"
                ".map((node) => node.outerHTML.slice(0, 80))"
            ),
            [],
        )
        small = (
            "[...document.querySelectorAll('main button, .option')]"
            ".filter((node) => node.offsetHeight < 44).length"
        )
        self.assertEqual(await self.browser.run(small), 0)

    @deferred
    async def test_approve(self) -> None:
        """A diff is read to the end of its longest line, and approved."""
        decisions = self.hive.decisions
        decisions.deployer.text += _LONG + "\n"
        id = await decisions.approvals.request_apply_commit(
            "alice", "a" * 40, "manager", "more"
        )
        await self.open("approval", id)
        await self.check_fits()
        await self.browser.run("document.querySelector('[value=approve]').click()")
        await self.browser.until("document.querySelector('.outcome')")
        row = await decisions.approvals.get(id)
        self.assertEqual((row.status, row.resolved_by), ("approved", BY_LINK))
        await self.check_fits()

    @deferred
    async def test_deny_with_a_note(self) -> None:
        """A note is typed and goes with the denial."""
        approvals = self.hive.decisions.approvals
        id = await approvals.request_spawn("carol", "manager")
        await self.open("approval", id)
        await self.check_fits()
        await self.browser.type("#note", "not now")
        await self.browser.run("document.querySelector('[value=deny]').click()")
        await self.browser.until("document.querySelector('.outcome')")
        self.assertEqual((await approvals.get(id)).note, "not now")

    @deferred
    async def test_answer(self) -> None:
        """A question is answered, also where a word is longer than the screen."""
        questions = self.hive.decisions.questions
        id = await questions.ask("alice", "Why" + "y" * 300, ("x" * 200, "no"))
        await self.open("question", id)
        await self.check_fits()
        await self.browser.run(
            "document.querySelectorAll('input[type=radio]')[1].click()"
        )
        await self.browser.run("document.querySelector('[value=answer]').click()")
        await self.browser.until("document.querySelector('.outcome')")
        self.assertEqual(await questions.pending(), [])
        await self.check_fits()
