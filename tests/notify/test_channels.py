"""What ntfy and a webhook are sent, byte by byte where others rely on it."""

import hashlib
import hmac
import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from hyperhive.notify.interfaces import Item, Notification, NotTold, Refused
from hyperhive.notify.ntfy import Ntfy
from hyperhive.notify.posting import Address, Poster
from hyperhive.notify.webhook import Webhook, signature
from hyperhive.testing.agents import NOW
from hyperhive.testing.ntfy import FakeNtfy

LINK = "https://hive.example/decide/1.abc"
APPROVAL = Notification(
    "approval-7",
    "approval",
    NOW,
    "Approve? manager asks for a new agent, carol (approval 1)",
    1,
    (Item("1", "Approve?", "manager writes:\nWe need one.", LINK),),
    "https://hive.example/",
)


class ChannelCase(SynchronousTestCase):
    """A server in memory."""

    def poster(self, server: Resource, url: str) -> Poster:
        """A poster to it."""
        self.client = StubTreq(server)
        return Poster(Clock(), Address.of(url), self.client, lambda: NOW)

    def send(self, channel: Ntfy | Webhook, notification: Notification) -> None:
        """Send; raises what it fails with."""
        sending = channel.send(notification)
        self.client.flush()
        self.successResultOf(sending)

    def problem(self, channel: Ntfy | Webhook, kind: type[NotTold]) -> str:
        """What sending fails with."""
        sending = channel.send(APPROVAL)
        self.client.flush()
        return self.failureResultOf(sending, kind).getErrorMessage()


class NtfyTests(ChannelCase):
    """ntfy, which is particular about what it takes."""

    def setUp(self) -> None:
        """A protected topic."""
        self.server = FakeNtfy("tk_secret")
        poster = self.poster(self.server, "https://ntfy.example")
        self.ntfy = Ntfy(poster, "hive", "tk_secret")

    def test_approval(self) -> None:
        """Title, text, how loud it is, and a button that opens the page."""
        self.send(self.ntfy, APPROVAL)
        self.assertEqual(
            self.server.published,
            [
                {
                    "topic": "hive",
                    "title": APPROVAL.title,
                    "message": "manager writes:\nWe need one.",
                    "priority": 4,
                    "tags": ["ballot_box_with_ballot"],
                    "click": LINK,
                    "actions": [{"action": "view", "label": "Look", "url": LINK}],
                }
            ],
        )

    def test_nothing_is_decided_by_ntfy(self) -> None:
        """Buttons only open pages."""
        items = tuple(Item(str(id), f"Approve {id}?", url=LINK) for id in range(3))
        self.send(self.ntfy, Notification("a", "approval", NOW, "3 wait", 9, items))
        [published] = self.server.published
        self.assertEqual({one["action"] for one in published["actions"]}, {"view"})
        self.assertEqual(
            [one["label"] for one in published["actions"]],
            ["Look at 0", "Look at 1", "Look at 2"],
        )
        self.assertEqual(
            published["message"],
            "• Approve 0?\n• Approve 1?\n• Approve 2?\n… and 6 more",
        )
        self.assertNotIn("click", published)

    def test_long_texts(self) -> None:
        """A text of any length and script fits into what ntfy takes."""
        for text in ("x" * 10_000, "🐝" * 10_000, '"\\\n' * 5000, "\u0001" * 5000):
            item = Item("1", "Approve?", text, LINK)
            self.send(
                self.ntfy, Notification("a", "question", NOW, "t", 1, (item,), LINK)
            )
        self.assertEqual(len(self.server.published), 4)
        for one in self.server.published:
            self.assertTrue(one["message"].endswith(" …"))

    def test_every_kind(self) -> None:
        """Each kind is taken."""
        for kind in ("approval", "question", "login", "dead", "crash", "test"):
            item = Item("1", "t", "text")
            self.send(self.ntfy, Notification("a", kind, NOW, "t", 1, (item,)))
        self.assertEqual(len(self.server.published), 6)

    def test_wrong_token(self) -> None:
        """A wrong token is said so, without the token."""
        for token, code in (("tk_wrong", 401), (None, 403)):
            ntfy = Ntfy(self.poster(self.server, "https://ntfy.example"), "hive", token)
            said = self.problem(ntfy, NotTold)
            self.assertIn(f"it answers {code}: it refuses the credentials", said)
            self.assertNotIn("tk_", said)

    def test_not_the_root(self) -> None:
        """JSON is published to the root: an address with the topic in it is said so."""
        poster = self.poster(self.server, "https://ntfy.example/hive")
        said = self.problem(Ntfy(poster, "hive", "tk_secret"), NotTold)
        self.assertIn("404", said)


class _Hook(Resource):
    isLeaf = True
    code = 204

    def render_POST(self, request: Request) -> bytes:  # Twisted's name for it
        content: Any = request.content
        self.body = content.read()
        self.headers = {
            name.decode().lower(): values[-1].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        request.setResponseCode(self.code)
        return b""


class WebhookTests(ChannelCase):
    """A webhook, whose bytes are documented."""

    secret = "correct horse battery"

    def setUp(self) -> None:
        """A hook."""
        self.hook = _Hook()
        poster = self.poster(self.hook, "https://hooks.example/hive")
        self.now = NOW
        self.webhook = Webhook(poster, self.secret, lambda: self.now)

    def test_shape(self) -> None:
        """The body."""
        self.send(self.webhook, APPROVAL)
        self.assertEqual(
            json.loads(self.hook.body),
            {
                "version": 1,
                "id": "approval-7",
                "kind": "approval",
                "at": "2026-01-31T12:00:00.000Z",
                "title": APPROVAL.title,
                "count": 1,
                "items": [
                    {
                        "subject": "1",
                        "title": "Approve?",
                        "text": "manager writes:\nWe need one.",
                        "url": LINK,
                    }
                ],
                "url": "https://hive.example/",
            },
        )
        self.assertEqual(self.hook.headers["x-hyperhive-delivery"], "approval-7")

    def test_signature(self) -> None:
        """Whoever has the key can tell that it is ours, and of when."""
        self.send(self.webhook, APPROVAL)
        timestamp = self.hook.headers["x-hyperhive-timestamp"]
        self.assertEqual(timestamp, str(int(NOW)))
        signed = timestamp.encode() + b"." + self.hook.body
        expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        given = self.hook.headers["x-hyperhive-signature"]
        self.assertEqual(given, f"sha256={expected}")

    def test_another_time_another_signature(self) -> None:
        """A recorded request can't be given another time."""
        first = signature(self.secret, "1", b"{}")
        self.assertNotEqual(first, signature(self.secret, "2", b"{}"))
        self.assertNotEqual(first, signature("another", "1", b"{}"))
        self.assertNotEqual(first, signature(self.secret, "1", b"[]"))

    def test_refused(self) -> None:
        """A hook's answers are taken as any target's."""
        self.hook.code = 422
        self.problem(self.webhook, Refused)
        self.hook.code = 500
        self.problem(self.webhook, NotTold)
