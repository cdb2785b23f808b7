"""Conversations, the message flow and the compose box, in a real browser."""

import json

from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import Outcome, TurnEnd
from tests.web.test_browser import BrowserCase


class InboxTests(BrowserCase):
    """What agents write to the operator."""

    async def thread(self, who: str) -> str:
        """What the conversation with an agent shows."""
        return str(
            await self.browser.run(
                f"document.querySelector('.thread[data-key={who}]').innerText"
            )
        )

    @deferred
    async def test_conversations(self) -> None:
        """Letters and answers of one agent are together, in the order of time."""
        self.hive.agents.add("bob")
        [first] = await self.hive.broker.send("alice", "operator", "shall I?")
        await self.hive.broker.send("operator", "alice", "yes, do", first)
        await self.hive.broker.send("bob", "operator", "done with it")
        await self.hive.broker.send("alice", "operator", "it is done")
        await self.sees(".thread[data-key=alice]", "it is done")
        await self.sees(".thread[data-key=bob]", "done with it")
        text = await self.thread("alice")
        places = [text.index(one) for one in ("shall I?", "yes, do", "it is done")]
        self.assertEqual(places, sorted(places))
        order = (
            "[...document.querySelectorAll('.thread')].map((one) => one.dataset.key)"
        )
        self.assertEqual(await self.browser.run(order), ["alice", "bob"])

    @deferred
    async def test_read_at_reload(self) -> None:
        """What the operator wrote before is in the conversation after a reload, too."""
        await self.hive.broker.send("alice", "operator", "shall I?")
        await self.hive.broker.send("operator", "alice", "yes, do")
        for number in range(60):
            await self.hive.broker.send("alice", "manager", f"noise {number}")
        await self.open("")
        await self.sees(".thread[data-key=alice]", "yes, do")

    @deferred
    async def test_read_all(self) -> None:
        """All that are unread are counted, and read at once, however many are here."""
        for number in range(130):
            await self.hive.broker.send("alice", "operator", f"letter {number}")
        await self.open("")
        await self.sees("#inbox-unread", "130 new")
        self.assertEqual(await self.browser.run("document.title"), "(130) hyperhive")
        await self.click("#read-all")
        await self.browser.until("document.title === 'hyperhive'")
        self.assertEqual(self.hive.broker.unread("operator"), 0)

    @deferred
    async def test_reply_is_sent_once(self) -> None:
        """A reply that is sent is not offered again, though nothing more should work."""
        self.forgiven = "500"
        await self.hive.broker.send("alice", "operator", "shall I?")
        await self.sees("#inbox", "shall I?")
        await self.browser.run(
            "globalThis.whole = fetch; globalThis.fetch = async (url, ...more) =>"
            " String(url).endsWith('/read') ? new Response('', {status: 500}) : whole(url, ...more)"
        )
        await self.click("#inbox button", "reply")
        await self.browser.run(
            "document.querySelector('form.reply textarea').value = 'yes, do';"
            "document.querySelector('form.reply').requestSubmit()"
        )
        await self.browser.until("!document.querySelector('form.reply')")
        [reply] = await self.hive.broker.history("alice", None, 1)
        self.assertEqual((reply.body, reply.sender), ("yes, do", "operator"))

    @deferred
    async def test_mark_read(self) -> None:
        """A letter is read when the operator says so, and the count follows."""
        for text in ("one", "two"):
            await self.hive.broker.send("alice", "operator", text)
        await self.sees("#inbox-unread", "2 new")
        await self.click("#inbox button.read")
        await self.sees("#inbox-unread", "1 new")
        await self.browser.until(
            "document.querySelectorAll('#inbox .message[data-unread]').length === 1"
        )

    @deferred
    async def test_reply_outlives_everything(self) -> None:
        """A half-written reply keeps focus and text while conversations move, and a reload."""
        await self.half_a_reply()
        await self.open("")
        await self.click(".thread[data-key=alice] button.earlier")
        await self.click("#inbox [data-key='1'] button", "reply")
        await self.browser.type("#inbox textarea", " thought", "Ctrl+Enter")
        await self.sees(".toast", "Replied to alice.")
        [reply] = await self.hive.broker.inbox("alice")
        self.assertEqual((reply.body, reply.in_reply_to), ("half a thought", 1))

    @deferred
    async def test_reply_where_nodes_cannot_move(self) -> None:
        """A browser that can only put nodes elsewhere keeps the focus, too."""
        await self.browser.run("delete Element.prototype.moveBefore")
        await self.half_a_reply()

    async def half_a_reply(self) -> None:
        """Begin to answer alice, while bob writes and alice goes on."""
        self.hive.agents.add("bob")
        await self.hive.broker.send("alice", "operator", "shall I?")
        await self.sees("#inbox", "shall I?")
        await self.click("#inbox button", "reply")
        await self.browser.type("#inbox textarea", "half a")
        await self.hive.broker.send("bob", "operator", "something else")
        await self.sees(".thread[data-key=bob]", "something else")
        for number in range(5):
            await self.hive.broker.send("alice", "operator", f"and {number}")
        await self.sees(".thread[data-key=alice]", "and 4")
        self.assertTrue(
            await self.browser.run("document.activeElement.matches('#inbox textarea')")
        )

    @deferred
    async def test_older(self) -> None:
        """Letters of long ago are a click away, in both lists."""
        await self.hive.broker.send("alice", "operator", "the first of all")
        for number in range(70):
            await self.hive.broker.send("alice", "operator", f"letter {number}")
        await self.open("")
        await self.browser.until("!document.querySelector('#older-letters').hidden")
        await self.click("#older-letters")
        await self.browser.until("document.querySelector('#older-letters').hidden")
        await self.sees("#inbox .message", "the first of all")
        await self.click("#older-messages")
        await self.sees("#flow", "the first of all")
        await self.browser.until("document.querySelector('#older-messages').hidden")

    @deferred
    async def test_long_letter(self) -> None:
        """A long letter is cut, and shown whole when that is asked for."""
        body = "x" * 5000 + " the end"
        await self.hive.broker.send("alice", "operator", body)
        await self.open("")
        await self.sees("#inbox .unfold", "show all (5.0k characters)")
        await self.click("#inbox .unfold")
        await self.sees("#inbox .message .body", "the end")


class FlowTests(BrowserCase):
    """Every message."""

    async def shown(self, *bodies: str) -> None:
        """Wait until the flow shows these, the newest first."""
        wanted = json.dumps(list(bodies))
        await self.browser.until(
            "JSON.stringify([...document.querySelectorAll('#flow > li > .body')]"
            f".map((one) => one.textContent)) === {json.dumps(wanted)}.replaceAll('\", \"', '\",\"')"
        )

    async def choose_in(self, id: str, value: str) -> None:
        """Choose in a select."""
        await self.browser.run(
            f"(() => {{ const box = document.getElementById('{id}'); box.value = '{value}';"
            " box.dispatchEvent(new Event('input')); })()"
        )

    @deferred
    async def test_search(self) -> None:
        """A text is searched for beyond what the page has; what comes meanwhile is found too."""
        await self.hive.broker.send("operator", "alice", "The Needle")
        for number in range(60):
            await self.hive.broker.send("operator", "alice", f"hay {number}")
        await self.open("")
        await self.browser.type("#flow-search", "needle")
        await self.shown("The Needle")
        await self.hive.broker.send("operator", "alice", "more hay")
        await self.hive.broker.send("alice", "operator", "found a needle")
        await self.shown("found a needle", "The Needle")
        await self.browser.press("Escape")
        await self.sees("#flow", "more hay")

    @deferred
    async def test_filters(self) -> None:
        """By mailbox and by state, over a reload; a dead message is queued again."""
        self.hive.agents.add("bob")
        await self.hive.broker.send("operator", "bob", "for bob")
        await self.hive.broker.send("operator", "alice", "for alice")
        for _ in range(5):
            turn = await self.hive.broker.begin_turn("alice")
            assert turn is not None
            await self.hive.broker.end_turn(turn.id, TurnEnd(Outcome.FAILED))
        await self.sees("#flow-agent", "bob")
        await self.choose_in("flow-agent", "bob")
        await self.shown("for bob")
        await self.open("")
        await self.shown("for bob")
        await self.choose_in("flow-agent", "")
        await self.choose_in("flow-state", "dead")
        await self.shown("for alice")
        await self.click("#flow .requeue")
        await self.sees(".toast", "queued again")
        await self.shown()
        await self.choose_in("flow-agent", "alice")
        await self.choose_in("flow-state", "queued")
        await self.shown("for alice")
        # What comes to fit, and what no longer does, while it is looked at.
        await self.hive.broker.send("operator", "alice", "more")
        await self.shown("more", "for alice")
        await self.hive.broker.begin_turn("alice")
        await self.shown("more")

    @deferred
    async def test_chain(self) -> None:
        """What a message answers opens under it, to the beginning, and stays open."""
        [first] = await self.hive.broker.send("operator", "alice", "where is it?")
        [second] = await self.hive.broker.send("alice", "operator", "here", first)
        await self.hive.broker.send("operator", "alice", "thanks", second)
        await self.sees("#flow", "thanks")
        await self.click("#flow .chain-button", f"#{second}")
        await self.sees("#flow .chain", "where is it?")
        await self.hive.broker.begin_turn("alice")
        await self.sees("#flow .state", "in a turn")
        await self.sees("#flow .chain", "here")


class ComposeTests(BrowserCase):
    """Writing."""

    @deferred
    async def test_names_complete(self) -> None:
        """An @ completes names; the first is whom it is for, later ones are text."""
        self.hive.agents.add("bob")
        await self.sees("#agent-list", "bob")
        await self.browser.type("#compose-body", "@b", "Enter")
        await self.browser.until(
            "document.getElementById('compose-to').value === 'bob'"
        )
        await self.browser.type("#compose-body", "ask @al", "Tab")
        await self.browser.type("#compose-body", "please", "Ctrl+Enter")
        await self.sees(".toast", "Sent to bob")
        [message] = await self.hive.broker.inbox("bob")
        self.assertEqual(message.body, "ask @alice please")

    @deferred
    async def test_to_all(self) -> None:
        """The field completes by keyboard, to everybody too."""
        await self.browser.type("#compose-to", "@")
        await self.sees(".completion", "everybody")
        await self.browser.press("ArrowDown")
        await self.browser.press("Enter")
        await self.browser.type("#compose-body", "hello all", "Ctrl+Enter")
        await self.sees(".toast", "Sent to 2 agents.")

    @deferred
    async def test_draft(self) -> None:
        """What was typed is there after a reload, and gone after it was sent."""
        await self.browser.type("#compose-to", "alice")
        await self.browser.type("#compose-body", "not yet")
        await self.open("")
        values = "['compose-to', 'compose-body'].map((id) => document.getElementById(id).value)"
        self.assertEqual(await self.browser.run(values), ["alice", "not yet"])
        await self.browser.type("#compose-body", ".", "Ctrl+Enter")
        await self.sees(".toast", "Sent to alice")
        await self.open("")
        self.assertEqual(await self.browser.run(values), ["alice", ""])
