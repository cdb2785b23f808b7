"""The agents on the dashboard, in a real browser: found, grouped, acted upon."""

from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Deployed
from hyperhive.messages.interfaces import Outcome, TurnEnd
from hyperhive.testing.agents import NOW
from tests.web.test_browser import BrowserCase

#: The rows and headings of the list, in their order.
_KEYS = (
    "[...document.querySelector('#agent-list').children].map((one) => one.dataset.key)"
)


class SwarmCase(BrowserCase):
    """A browser with more agents."""

    async def keys(self, expected: str) -> None:
        """Wait until the list is so: agents' names, and groups with a colon."""
        wanted = expected.replace(":", "group:").replace(" ", ",")
        await self.browser.until(f"{_KEYS}.join() === '{wanted}'")


class GroupTests(SwarmCase):
    """Whoever needs the operator comes first."""

    @deferred
    async def test_groups(self) -> None:
        """Agents are where their state puts them, and move when it changes."""
        self.hive.agents.add("bob", state="needs login", needs_login=True)
        self.hive.agents.add("carol", running=False, state="stopped")
        await self.keys(":needs bob :idle hm1nd alice :resting carol")
        await self.sees("li[data-key=bob] .actions .login", "log in")
        self.hive.agents.work("alice", "Bash")
        await self.keys(":needs bob :working alice :idle hm1nd :resting carol")

    @deferred
    async def test_what_it_needs(self) -> None:
        """An approval, a question, a message that was given up: each is a mark that leads there."""
        questions = self.hive.decisions.questions
        id = await questions.ask("alice", "Which?", ())
        await self.keys(":needs alice :idle hm1nd")
        await self.sees("li[data-key=alice] a.mark[href='#question-1']", "answer")
        await questions.answer(id, "this", "operator")
        await self.keys(":idle hm1nd alice")
        await self.hive.broker.send("operator", "alice", "do")
        for _ in range(5):
            turn = await self.hive.broker.begin_turn("alice")
            assert turn is not None
            await self.hive.broker.end_turn(turn.id, TurnEnd(Outcome.FAILED))
        await self.sees("li[data-key=alice] a.mark", "1 given up")
        await self.click("li[data-key=alice] a.mark", "1 given up")
        await self.sees("#flow .state", "given up")
        # A day later it is nothing to attend to.
        await self.browser.run("(real => (Date.now = () => real() + 9e7))(Date.now)")
        self.hive.agents.change("alice", unread=3)
        await self.keys(":idle hm1nd alice")
        await self.browser.until(
            "document.getElementById('flow-agent').value === 'alice'"
        )

    @deferred
    async def test_held_under_the_pointer(self) -> None:
        """Rows do not move away from under the pointer; they do when it leaves."""
        self.hive.agents.add("bob")
        await self.keys(":idle hm1nd alice bob")
        await self.browser.point("li[data-key=alice] .model")
        self.hive.agents.work("bob")
        await self.sees("li[data-key=bob] .badge", "working")
        await self.keys(":idle hm1nd alice bob")
        await self.browser.point(".brand")
        await self.keys(":working bob :idle hm1nd alice")

    @deferred
    async def test_only_what_changed_is_drawn(self) -> None:
        """A change of one agent leaves the others' rows as they are."""
        self.hive.agents.change("alice", status_text="thinks", needs_update=True)
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.browser.run(
            "void (window.touched = new Set(), new MutationObserver((all) => all.forEach("
            "({target}) => touched.add((target.closest ? target : target.parentElement)"
            ".closest('li')?.dataset.key))).observe(document.querySelector('#agent-list'),"
            " {subtree: true, childList: true, attributes: true, characterData: true}))"
        )
        self.hive.agents.change("bob", context=150_000)
        await self.sees("li[data-key=bob] .meter", "150k")
        touched = await self.browser.run("[...touched]")
        self.assertEqual(touched, ["bob"])


class FindTests(SwarmCase):
    """Finding one among many."""

    @deferred
    async def test_filter(self) -> None:
        """A slash leads to the filter; it and the states narrow, and survive a reload."""
        self.hive.agents.add("bob", model="opus")
        self.hive.agents.add("carol", running=False, state="stopped")
        await self.sees("#agent-list", "carol")
        await self.browser.press("/")
        await self.browser.until("document.activeElement.id === 'agent-filter'")
        await self.browser.type("#agent-filter", "opus")
        await self.keys(":idle bob")
        await self.sees("#agents-hidden", "3 of 4 are filtered out.")
        await self.open("")
        await self.keys(":idle bob")
        await self.browser.run("document.querySelector('#agent-filter').focus()")
        await self.browser.press("Escape")
        await self.keys(":idle hm1nd alice bob :resting carol")
        await self.click("#agent-chips .chip", "stopped")
        await self.keys(":resting carol")
        await self.open("")
        await self.keys(":resting carol")
        await self.click("#agent-chips .chip", "stopped")
        await self.keys(":idle hm1nd alice bob :resting carol")

    @deferred
    async def test_sort(self) -> None:
        """By what the operator chooses, then without groups; that survives a reload."""
        self.hive.agents.add("bob", context=190_000)
        await self.sees("#agent-list", "bob")
        await self.browser.run(
            "const box = document.getElementById('agent-sort'); box.value = 'context';"
            " void box.dispatchEvent(new Event('change'))"
        )
        await self.keys("bob hm1nd alice")
        await self.open("")
        await self.keys("bob hm1nd alice")

    @deferred
    async def test_crowd(self) -> None:
        """Of many there is a strip of tiles; who needs nobody is folded; a tile unfolds it."""
        for number in range(30):
            self.hive.agents.add(f"a{number}")
        self.hive.agents.work("a7")
        await self.sees("li[data-key=a7] .badge", "working")
        await self.keys(":working a7 :idle")
        tiles = "document.querySelectorAll('#strip .tile')"
        await self.browser.until(f"{tiles}.length === 32")
        # One tab stop; the arrows walk.
        await self.browser.run(f"{tiles}[0].focus()")
        await self.browser.press("End")
        await self.browser.press("Enter")
        await self.browser.until("document.activeElement.id === 'agent-alice'")
        await self.browser.until(f"{_KEYS}.length === 34")

    @deferred
    async def test_cost_today(self) -> None:
        """What an agent cost today is shown where it is known."""
        row = {**self.hive.agents.status("alice").as_wire(), "cost_today": 2.4}
        self.hive.bus.publish("agent_state", row, "alice")
        await self.sees("li[data-key=alice] .cost", "$2.40")


class PhoneTests(SwarmCase):
    """390 pixels wide."""

    @deferred
    async def test_fits(self) -> None:
        """Nothing is wider than the window; the bar that jumps says what waits, and leads there."""
        await self.browser.look(390, 844)
        for number in range(12):
            self.hive.agents.add(
                f"longna-{number % 10}" if number < 10 else f"a{number}",
                state="needs login",
                needs_login=True,
                state_note="Log claude in: " + "x" * 80,
            )
        decisions = self.hive.decisions
        await decisions.approvals.request_apply_commit("alice", "0123456789", "manager")
        await decisions.questions.ask("alice", "Which?" * 30, ("y" * 60, "z"))
        await self.hive.broker.send("alice", "operator", "w" * 200)
        await self.sees("#jumps a[data-urgent]", "approvals1")
        await self.sees("#jumps a[data-urgent]", "questions1")
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch", "new")
        width = "document.documentElement.scrollWidth"
        self.assertEqual(await self.browser.run(width), 390)
        await self.browser.run(
            "document.querySelector('#jumps a[href=\"#agents\"]').click()"
        )
        seen = "Math.abs(document.querySelector('#agents').getBoundingClientRect().top) < 100"
        await self.browser.until(seen)
        await self.click("li[data-key=alice] .more")
        inside = (
            "(({left, right, top, bottom}) => left >= 0 && right <= 390 && top >= 0"
            " && bottom <= 844)(document.querySelector('.menu').getBoundingClientRect())"
        )
        await self.browser.until(inside)


class ActTests(SwarmCase):
    """What can be done."""

    @deferred
    async def test_menu_by_keyboard(self) -> None:
        """The menu opens, is walked through, chooses and closes; the focus comes back."""
        focused = "document.activeElement.textContent"
        await self.browser.run(
            "document.querySelector('[data-key=alice] .more').focus()"
        )
        await self.browser.press("ArrowDown")
        await self.browser.until(f"{focused}.includes('pause')")
        await self.browser.press("End")
        await self.browser.until(f"{focused}.includes('destroy and purge')")
        await self.browser.press("r")
        await self.browser.until(f"{focused}.includes('restart')")
        await self.browser.press("Escape")
        await self.browser.until(
            "document.activeElement.matches('[data-key=alice] .more')"
        )
        await self.browser.press("ArrowDown")
        await self.browser.press("Enter")
        await self.sees(".toast", "alice is paused.")
        await self.sees("li[data-key=alice] .badge", "paused")
        await self.sees("li[data-key=alice] .quick", "go on")

    @deferred
    async def test_manager_stays(self) -> None:
        """The manager can't be destroyed, and nothing offers it."""
        await self.click("li[data-key=hm1nd] .more")
        await self.browser.until("document.querySelector('.menu:popover-open')")
        menu = await self.browser.run("document.querySelector('.menu').textContent")
        self.assertNotIn("destroy", menu)
        self.assertIn("restart", menu)

    @deferred
    async def test_purge_needs_the_name(self) -> None:
        """An agent and all that it kept go only when its name was typed."""
        await self.choose("alice", "destroy and purge")
        await self.browser.type(".by-name input", "alic")
        button = "document.querySelector('.by-name button.danger')"
        self.assertTrue(await self.browser.run(f"{button}.disabled"))
        await self.browser.type(".by-name input", "e", "Enter")
        await self.browser.until("!document.querySelector('li[data-key=alice]')")
        [call] = self.hive.agents.calls
        self.assertEqual((call.method, call.arguments["purge"]), ("destroy", True))

    @deferred
    async def test_likely_verbs(self) -> None:
        """The likeliest verb has a button: a turn is cancelled, what is stopped starts."""
        self.hive.agents.work("alice")
        await self.sees("li[data-key=alice] .quick", "cancel turn")
        await self.click("li[data-key=alice] .quick")
        await self.sees(".toast", "alice's turn is cancelled.")
        await self.hive.agents.stop("alice", "operator")
        await self.sees("li[data-key=alice] .quick", "start")
        await self.click("li[data-key=alice] .quick")
        await self.sees(".toast", "alice is started.")

    @deferred
    async def test_rollback(self) -> None:
        """Earlier deployments are listed; one click and a yes go back; an update closes nothing."""
        self.hive.deploys.deployed["alice"] = [
            Deployed(9, "b" * 40, NOW, True),
            Deployed(4, "a" * 40, NOW - 9000, False),
        ]
        await self.choose("alice", "deployments")
        await self.sees("li[data-key=alice] .deployments", "runs now")
        self.hive.agents.work("alice", "Grep")
        await self.sees("li[data-key=alice] .tool", "Grep")
        await self.click("li[data-key=alice] .deployments button", "roll back")
        await self.browser.until("document.getElementById('confirm').open")
        await self.click("#confirm-yes")
        await self.sees(".toast", "alice is back at #4.")
        self.assertEqual(
            self.hive.deploys.calls, [("rollback", "alice", 4, "operator")]
        )
        await self.click("li[data-key=alice] .past button", "close")
        await self.browser.until(
            "document.querySelector('[data-key=alice] .past').hidden"
        )

    @deferred
    async def test_folded_sections(self) -> None:
        """A section that is folded stays so over a reload; a link to what is in it unfolds it."""
        await self.click("#agents .head .fold")
        await self.browser.until("!document.querySelector('#agent-list').offsetHeight")
        await self.open("")
        await self.browser.until("!document.querySelector('#agent-list').offsetHeight")
        await self.browser.run("location.hash = 'agents'")
        await self.browser.until("document.querySelector('#agent-list').offsetHeight")
