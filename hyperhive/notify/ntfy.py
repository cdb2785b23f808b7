"""Tell a topic of ntfy: https://docs.ntfy.sh/publish/#publish-as-json."""

from typing import Any

from zope.interface import implementer

from hyperhive.bus import encode
from hyperhive.deferreds import deferred
from hyperhive.notify.interfaces import TEST, IChannel, Notification
from hyperhive.notify.posting import Poster

#: The longest JSON that every ntfy takes as a message (bytes); past its own limit of
#: 4096 it would make a file of it.
MAX_JSON = 3900
#: How many buttons it shows.
MAX_ACTIONS = 3

#: How loud each kind is (3 is ordinary), and the emoji before its title.
_LOOKS = {
    "approval": (4, "ballot_box_with_ballot"),
    "question": (4, "question"),
    "login": (4, "key"),
    "dead": (3, "skull"),
    "crash": (4, "boom"),
    TEST: (3, "bee"),
}


@implementer(IChannel)
class Ntfy:
    """See :class:`~hyperhive.notify.interfaces.IChannel`.

    Its buttons only open pages: nothing is decided by ntfy itself.

    :param poster: posts to the server's root, as JSON is published.
    """

    def __init__(self, poster: Poster, topic: str, token: str | None) -> None:
        self._poster = poster
        self._topic = topic
        self._headers = {} if token is None else {"authorization": f"Bearer {token}"}

    @deferred
    async def send(self, notification: Notification) -> None:
        """See :class:`IChannel`."""
        await self._poster.post(self._encoded(notification), self._headers)

    def _encoded(self, notification: Notification) -> bytes:
        """The JSON, with as much of the text as fits."""
        text = _text(notification)
        most = len(text)
        while len(body := encode(self._published(notification, text))) > MAX_JSON:
            most = most * 3 // 4
            text = text[:most].rstrip() + " …"
        return body

    def _published(self, notification: Notification, text: str) -> dict[str, Any]:
        priority, tag = _LOOKS[notification.kind]
        said: dict[str, Any] = {
            "topic": self._topic,
            "title": notification.title,
            "message": text,
            "priority": priority,
            "tags": [tag],
        }
        alone = notification.items[0] if notification.count == 1 else None
        click = (alone and alone.url) or notification.url
        if click is not None:
            said["click"] = click
        actions = [
            {"action": "view", "label": _label(notification, item.subject), "url": url}
            for item in notification.items
            if (url := item.url) is not None
        ]
        if actions:
            said["actions"] = actions[:MAX_ACTIONS]
        return said


def _text(notification: Notification) -> str:
    if notification.count == 1:
        return notification.items[0].text or notification.title
    lines = [f"• {item.title}" for item in notification.items]
    rest = notification.count - len(lines)
    return "\n".join([*lines, f"… and {rest} more"] if rest > 0 else lines)


def _label(notification: Notification, subject: str) -> str:
    return "Look" if notification.count == 1 else f"Look at {subject}"
