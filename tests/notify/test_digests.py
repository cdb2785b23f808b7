"""What a notification says, and what it does not."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from hyperhive.notify.digests import Digests, plain
from hyperhive.notify.interfaces import Notification
from hyperhive.store.outbox import OutboxTable
from tests.notify.support import HOME, NotifyCase


class DigestTests(NotifyCase):
    """Notifications of rows of the outbox."""

    home: str | None = HOME
    linking = False

    def made(self, kind: str) -> Notification | None:
        """The notification of what waits of a kind."""
        digests = Digests(
            self.database,
            self.agents,
            self.home,
            self.link if self.linking else None,
            self.clock.seconds,
        )
        rows = self.database.read(
            lambda connection: OutboxTable.waiting(connection, "ntfy", kind)
        )
        return self.successResultOf(digests.make(kind, rows))

    def link(self, kind: str, id: int) -> Deferred[str]:
        """A link."""
        return succeed(f"{HOME}decide/{kind}{id}")

    def note(self, kind: str, *subjects: str) -> None:
        """Put something into the outbox."""
        for subject in subjects:
            self.database.write(
                lambda connection, subject=subject: OutboxTable.add(
                    connection, ("ntfy",), kind, subject
                )
            )

    def only(self, kind: str) -> Any:
        """The one thing of a notification."""
        notification = self.made(kind)
        assert notification is not None
        [item] = notification.items
        self.assertEqual(notification.title, item.title)
        self.assertEqual(notification.count, 1)
        return item

    def test_approval(self) -> None:
        """Who asks for what, which commit, and why."""
        self.commit_asked()
        item = self.only("approval")
        self.assertEqual(
            item.title,
            "Approve? manager asks for a new configuration for bob (approval 1)",
        )
        self.assertIn("Commit 012345678901.", item.text)
        self.assertIn("manager writes:\nmore memory", item.text)
        self.assertEqual(item.url, HOME)

    def test_links(self) -> None:
        """With links, approvals and questions have one each; nothing else has."""
        self.linking = True
        self.commit_asked()
        self.asked(options=("yes", "no"))
        self.dead_message()
        self.assertEqual(self.only("approval").url, f"{HOME}decide/approval1")
        question = self.only("question")
        self.assertEqual(question.url, f"{HOME}decide/question1")
        self.assertEqual(question.text, "Why?\n- yes\n- no")
        self.assertEqual(self.only("dead").url, HOME)

    def test_no_address(self) -> None:
        """Without a public URL a notification leads nowhere."""
        self.home = None
        self.commit_asked()
        notification = self.made("approval")
        assert notification is not None
        self.assertEqual((notification.url, notification.items[0].url), (None, None))

    def test_dead_message(self) -> None:
        """Of a dead message its route is told, and not its body."""
        id = self.dead_message()
        item = self.only("dead")
        self.assertEqual(item.title, f"Message {id} from operator to bob is dead")
        self.assertNotIn("secret", repr(item))

    def test_requeued(self) -> None:
        """A dead message that was queued again is not told."""
        id = self.dead_message()
        self.successResultOf(self.broker.requeue(id))
        self.assertIsNone(self.made("dead"))

    def test_login(self) -> None:
        """An agent without a login, unless it has one by now, or is gone."""
        self.agents.change("bob", needs_login=True, state_note="Log it in.")
        self.note("login", "bob", "alice", "nobody")
        item = self.only("login")
        self.assertEqual(
            (item.title, item.text, item.url),
            ("bob needs a login", "Log it in.", f"{HOME}agent/bob/"),
        )

    def test_crash(self) -> None:
        """An agent that has crashed, also if it works again."""
        self.note("crash", "bob", "bob")
        item = self.only("crash")
        self.assertEqual(item.title, "bob has crashed")
        self.assertEqual(item.text, "It is idle now.")

    def test_several(self) -> None:
        """Of several, all are counted and the first are named."""
        for ref in "abcde":
            self.commit_asked(ref=ref * 40)
        notification = self.made("approval")
        assert notification is not None
        self.assertEqual(notification.title, "5 approvals wait for you")
        self.assertEqual([one.subject for one in notification.items], ["1", "2", "3"])

    def ask(self, text: str) -> None:
        """Let bob ask something."""
        self.successResultOf(self.questions.ask("bob", text))

    def test_disguises(self) -> None:
        """What an agent writes can't turn the text around, or end its line."""
        self.ask("safe\u202eevil\x07 \x1b[31m\nnext")
        item = self.only("question")
        self.assertEqual(item.text, "safeevil [31m\nnext")

    def test_long(self) -> None:
        """Long texts are cut."""
        self.assertEqual(plain("x" * 10, 5), "xxxx…")
        self.ask("y" * 5000)
        self.assertEqual(len(self.only("question").text), 600)

    def test_nothing_secret_in_a_log(self) -> None:
        """A notification can be logged: its links are not shown."""
        self.linking = True
        self.commit_asked()
        self.assertNotIn("decide", repr(self.made("approval")))
