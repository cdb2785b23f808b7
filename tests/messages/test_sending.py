"""Sending: who may be written to, what is stored, what is refused, what is told."""

import json

from hyperhive.errors import PublicError
from hyperhive.messages.interfaces import (
    MAX_BODY,
    BodyTooLarge,
    InvalidMessage,
    MessageState,
    NoSuchMessage,
    UnknownRecipient,
)
from hyperhive.messages.ledger import MAX_LISTED
from hyperhive.store import message_search
from tests.messages.support import NOW, BrokerCase, HandCase


class SendTests(BrokerCase):
    """One message to one mailbox."""

    def test_stored_and_answered_with_its_id(self) -> None:
        """The answer carries the id of the row, which is queued for its recipient."""
        (id,) = self.successResultOf(self.broker.send("alice", "bob", "hé"))
        row = self.row(id)
        self.assertEqual(
            (row.sender, row.recipient, row.body, row.sent_at, row.state),
            ("alice", "bob", "hé", NOW, "queued"),
        )

    def test_ids_grow(self) -> None:
        """Ids grow over all mailboxes."""
        ids = [self.send(to) for to in ("bob", "alice", "operator", "bob")]
        self.assertEqual(ids, sorted(set(ids)))

    def test_the_managers_two_names(self) -> None:
        """hm1nd and manager are one mailbox; rows and senders say manager."""
        first = self.send("hm1nd")
        second = self.send("manager")
        third = self.send("bob", sender="hm1nd")
        self.assertEqual(self.row(first).recipient, "manager")
        self.assertEqual(self.row(second).recipient, "manager")
        self.assertEqual(self.row(third).sender, "manager")
        for name in ("hm1nd", "manager"):
            self.assertEqual(self.broker.unread(name), 2)
            self.assertEqual(
                [message.id for message in self.inbox(name)], [first, second]
            )

    def test_unknown_recipients(self) -> None:
        """An unknown name is an error that lists the names that exist, not a row."""
        for name in ("eve", "system", "host", "", "Bob", "bob "):
            error = self.failureResultOf(
                self.broker.send("alice", name, "x"), UnknownRecipient
            ).value
            self.assertIsInstance(error, PublicError)
            for known in (repr(name), "manager", "alice", "bob", "operator"):
                self.assertIn(known, str(error))
        self.assertEqual(self.successResultOf(self.broker.history()), [])
        self.assertEqual(self.events, [])

    def test_long_lists_are_cut(self) -> None:
        """With many agents the error says how many more there are; a long name is cut."""
        for number in range(MAX_LISTED):
            self.add_agent(f"x{number:03}")
        failure = self.failureResultOf(
            self.broker.send("alice", "y" * 5000, "x"), UnknownRecipient
        )
        self.assertIn("and 4 more", str(failure.value))
        self.assertLess(len(str(failure.value)), 1000)

    def test_body_limit(self) -> None:
        """256 KiB of UTF-8 pass whole; one byte more is refused with both numbers."""
        body = "é" * (MAX_BODY // 2)
        self.assertEqual(self.row(self.send(body=body)).body, body)
        failure = self.failureResultOf(
            self.broker.send("alice", "bob", body + "x"), BodyTooLarge
        )
        self.assertIn("262145", str(failure.value))
        self.assertIn("262144", str(failure.value))
        self.assertEqual(self.broker.unread("bob"), 1)

    def test_empty_bodies(self) -> None:
        """A message says something."""
        for body in ("", " \n\t"):
            self.failureResultOf(self.broker.send("alice", "bob", body), InvalidMessage)

    def test_bodies_that_are_no_text(self) -> None:
        """Half of a surrogate pair, which JSON can spell, is refused."""
        failure = self.failureResultOf(
            self.broker.send("alice", "bob", "a\ud800"), InvalidMessage
        )
        self.assertIn("surrogate", str(failure.value))

    def test_any_text_is_kept(self) -> None:
        """Control characters and line ends come back as they were sent."""
        body = "a\0b\r\n\x1b[31m\u2028😀 /compact"
        self.assertEqual(self.row(self.send(body=body)).body, body)

    def test_replies(self) -> None:
        """A reply names the message that it answers; one to nothing is refused."""
        first = self.send()
        (reply,) = self.successResultOf(
            self.broker.send("bob", "operator", "re", in_reply_to=first)
        )
        self.assertEqual(self.row(reply).in_reply_to, first)
        self.assertEqual(self.inbox("operator")[0].as_wire()["in_reply_to"], first)
        for unknown in (0, -1, reply + 1, 2**63, 10**30):
            failure = self.failureResultOf(
                self.broker.send("bob", "operator", "re", in_reply_to=unknown),
                InvalidMessage,
                NoSuchMessage,
            )
            self.assertIn(str(unknown), str(failure.value))
        self.assertEqual(self.broker.unread("operator"), 1)

    def test_to_oneself(self) -> None:
        """An agent may leave itself a message."""
        self.send("bob", sender="bob")
        self.assertEqual(self.broker.unread("bob"), 1)

    def test_event(self) -> None:
        """message_sent carries the row, and is about the recipient's agent."""
        id = self.send("hm1nd", "text", sender="bob")
        (event,) = self.events
        (message,) = self.inbox("manager")
        self.assertEqual(
            event,
            {
                "seq": 1,
                "kind": "message_sent",
                "agent": "hm1nd",
                "at": "2026-01-31T12:00:00.000Z",
                **message.as_wire(),
            },
        )
        self.assertEqual(
            (event["id"], event["body"], event["to"]), (id, "text", "manager")
        )

    def test_event_to_the_operator(self) -> None:
        """The operator is no agent."""
        self.send("operator", sender="bob")
        self.assertNotIn("agent", self.events[0])

    def test_wakes(self) -> None:
        """An agent is woken by the send itself; the operator is no agent to wake."""
        self.send("bob")
        self.send("manager")
        self.send("operator")
        self.assertEqual(self.poked, ["bob", "hm1nd"])

    def test_one_watcher_that_fails(self) -> None:
        """The others hear of it, and the sender is answered."""

        def fail(name: str) -> None:
            raise RuntimeError("no")

        after: list[str] = []
        self.broker.watch(fail)
        self.broker.watch(after.append)
        self.send("bob")
        self.assertEqual((self.poked, after), (["bob"], ["bob"]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class EveryoneTests(BrokerCase):
    """``*``: every agent but the sender."""

    def recipients(self, sender: str) -> list[str]:
        """Who gets a message to everyone."""
        ids = self.successResultOf(self.broker.send(sender, "*", "all"))
        self.assertEqual(list(ids), sorted(set(ids)))
        return [self.row(id).recipient for id in ids]

    def test_one_row_each(self) -> None:
        """One row a recipient; the answer carries how many; not the sender, not the operator."""
        self.assertEqual(self.recipients("bob"), ["manager", "alice"])
        self.assertEqual(self.recipients("hm1nd"), ["alice", "bob"])
        self.assertEqual(self.recipients("manager"), ["alice", "bob"])
        self.assertEqual(self.recipients("operator"), ["manager", "alice", "bob"])
        self.assertEqual(self.broker.unread("operator"), 0)
        self.assertEqual(self.broker.unread("alice"), 4)

    def test_wakes_each_once(self) -> None:
        """Each of them is woken, and each has its event."""
        self.recipients("operator")
        self.assertEqual(self.poked, ["hm1nd", "alice", "bob"])
        self.assertEqual(
            [event["to"] for event in self.events], ["manager", "alice", "bob"]
        )

    def test_nobody_else(self) -> None:
        """Without another agent it is an error that says so."""
        self.do(
            lambda connection: connection.execute(
                "DELETE FROM agents WHERE name <> 'bob'"
            )
        )
        failure = self.failureResultOf(
            self.broker.send("bob", "*", "all"), UnknownRecipient
        )
        self.assertIn("no other agent", str(failure.value))

    def test_checks_apply(self) -> None:
        """A bad reply or body refuses all of it."""
        self.failureResultOf(
            self.broker.send("bob", "*", "x", in_reply_to=9), NoSuchMessage
        )
        self.failureResultOf(self.broker.send("bob", "*", ""), InvalidMessage)
        self.assertEqual(self.broker.unread("alice"), 0)


class CommitTests(HandCase):
    """What is answered and told, and when."""

    def test_nothing_before_the_commit(self) -> None:
        """No answer, no event, no count, no waking before the row is on disk."""
        sending = self.broker.send("alice", "bob", "x")
        self.hand.commit()
        self.assertNoResult(sending)
        self.assertEqual(
            (self.events, self.poked, self.broker.unread("bob")), ([], [], 0)
        )
        self.hand.answer()
        self.assertEqual(len(self.successResultOf(sending)), 1)
        self.assertEqual(
            (len(self.events), self.poked, self.broker.unread("bob")), (1, ["bob"], 1)
        )

    def test_a_commit_that_fails(self) -> None:
        """The sender hears of it, and nothing was told to anybody else."""
        sending = self.broker.send("alice", "bob", "x")
        self.database.write(
            lambda connection: connection.execute("ROLLBACK") and 1 / 0
        ).addErrback(lambda failure: None)
        self.hand.finish()
        self.failureResultOf(sending, ZeroDivisionError)
        self.assertEqual(
            (self.events, self.poked, self.broker.unread("bob")), ([], [], 0)
        )

    def test_a_sender_that_leaves(self) -> None:
        """A send whose answer is not awaited any more is sent, counted and told all the same."""
        sending = self.broker.send("alice", "bob", "x")
        sending.addErrback(lambda failure: None)
        sending.cancel()
        self.hand.finish()
        self.assertEqual(
            (len(self.events), self.poked, self.broker.unread("bob")), (1, ["bob"], 1)
        )

    def test_everyone_or_nobody(self) -> None:
        """A message to everyone is one transaction."""
        self.do(
            lambda connection: connection.execute(
                "CREATE TRIGGER no BEFORE INSERT ON messages WHEN NEW.recipient = 'bob' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
        sending = self.broker.send("operator", "*", "x")
        self.hand.finish()
        self.failureResultOf(sending)
        self.assertEqual(self.finished(self.broker.history()), [])

    def test_a_recipient_that_goes(self) -> None:
        """Who is destroyed before the row is written is unknown: the check is in the transaction."""
        self.database.write(
            lambda connection: connection.execute(
                "DELETE FROM agents WHERE name = 'bob'"
            )
        )
        sending = self.broker.send("alice", "bob", "x")
        self.hand.finish()
        self.failureResultOf(sending, UnknownRecipient)


class ReadingTests(BrokerCase):
    """Inbox and history."""

    def test_inbox(self) -> None:
        """The newest of a mailbox, oldest first, whatever became of them."""
        ids = [self.send("bob", str(n)) for n in range(4)]
        self.send("alice")
        self.end(self.begin())
        messages = self.successResultOf(self.broker.inbox("bob", 3))
        self.assertEqual([message.id for message in messages], ids[1:])
        states = [message.state.value for message in self.inbox("bob")]
        self.assertEqual(states, ["done", "queued", "queued", "queued"])

    def test_inbox_of_nobody(self) -> None:
        """A mailbox that does not exist is an error that lists those that do."""
        failure = self.failureResultOf(self.broker.inbox("eve"), UnknownRecipient)
        self.assertIn("alice", str(failure.value))

    def test_history(self) -> None:
        """To or from an agent, or of all; before an id; oldest first."""
        first = self.send("bob", sender="alice")
        second = self.send("manager", sender="bob")
        third = self.send("alice", sender="hm1nd")

        def ids(*arguments: object) -> list[int]:
            found = self.successResultOf(self.broker.history(*arguments))
            return [message.id for message in found]

        self.assertEqual(ids(), [first, second, third])
        self.assertEqual(ids("bob"), [first, second])
        self.assertEqual(ids("hm1nd"), [second, third])
        self.assertEqual(ids("bob", second), [first])
        self.assertEqual(ids(None, None, 1), [third])
        self.assertEqual(ids("eve"), [])

    def test_search(self) -> None:
        """By text, state and mailbox; before an id; oldest first."""
        first = self.send("bob", "A Needle", sender="alice")
        second = self.send("bob", "hay", sender="alice")
        third = self.send("alice", "needles", sender="hm1nd")

        def ids(*arguments: object) -> list[int]:
            page = self.successResultOf(self.broker.search(*arguments))
            return [message.id for message in page.messages]

        self.assertEqual(ids("NEEDLE"), [first, third])
        self.assertEqual(ids("needle", None, "bob"), [first])
        self.assertEqual(ids("needle", None, "manager"), [third])
        self.assertEqual(ids("needle", None, None, third), [first])
        self.assertEqual(ids("", MessageState.QUEUED), [first, second, third])
        self.assertEqual(ids("", MessageState.DEAD), [])

    def test_search_is_bounded(self) -> None:
        """One call looks at so many messages, and says where the next goes on."""
        self.patch(message_search, "MAX_ROWS", 2)
        needle = self.send("bob", "needle", sender="alice")
        for _ in range(3):
            self.send("bob", "hay", sender="alice")
        pages, before = [], None
        for _ in range(3):
            page = self.successResultOf(
                self.broker.search("needle", None, None, before)
            )
            before = page.before
            pages.append([message.id for message in page.messages])
        self.assertEqual(pages, [[], [needle], []])
        self.assertIsNone(before)

    def test_search_in_long_bodies(self) -> None:
        """So many characters are looked at, too."""
        self.patch(message_search, "MAX_CHARS", 10)
        self.send("bob", "old needle", sender="alice")
        last = self.send("bob", "x" * 11, sender="alice")
        page = self.successResultOf(self.broker.search("needle"))
        self.assertEqual((page.messages, page.before), ((), last))

    def test_bounded(self) -> None:
        """However many are asked for, a page has at most 500; it has at least one."""
        self.do(
            lambda connection: connection.executemany(
                "INSERT INTO messages (sender, recipient, body, sent_at) "
                "VALUES ('alice', 'bob', 'x', 0)",
                [()] * 501,
            )
        )
        for ask in (self.broker.inbox, self.broker.history):
            self.assertEqual(len(self.successResultOf(ask("bob", limit=10**6))), 500)
            self.assertEqual(len(self.successResultOf(ask("bob", limit=-1))), 1)

    def test_wire_row(self) -> None:
        """Optional members are left out; the operator's rows say whether they were read."""
        self.send("bob", "x", sender="alice")
        self.assertEqual(
            self.inbox("bob")[0].as_wire(),
            {
                "id": 1,
                "from": "alice",
                "to": "bob",
                "body": "x",
                "sent_at": "2026-01-31T12:00:00.000Z",
                "state": "queued",
            },
        )
        self.send("operator", "x", sender="alice")
        self.assertIs(self.inbox("operator")[0].as_wire()["read"], False)
        json.dumps(self.inbox("operator")[0].as_wire())
