"""Tell a webhook: JSON of a documented shape, signed together with the time."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from hyperhive.bus import encode
from hyperhive.deferreds import deferred
from hyperhive.notify.interfaces import IChannel, Item, Notification
from hyperhive.notify.posting import Poster
from hyperhive.times import rfc3339


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over the timestamp, a full stop and the body, in hexadecimal."""
    message = timestamp.encode() + b"." + body
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


@implementer(IChannel)
class Webhook:
    """See :class:`~hyperhive.notify.interfaces.IChannel`.

    :param secret: the key that signs.
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(self, poster: Poster, secret: str, now: Callable[[], float]) -> None:
        self._poster = poster
        self._secret = secret
        self._now = now

    @deferred
    async def send(self, notification: Notification) -> None:
        """See :class:`IChannel`. Each attempt has a time and a signature of its own."""
        body = encode(as_wire(notification))
        timestamp = str(int(self._now()))
        await self._poster.post(
            body,
            {
                "x-hyperhive-delivery": notification.id,
                "x-hyperhive-timestamp": timestamp,
                "x-hyperhive-signature": "sha256="
                + signature(self._secret, timestamp, body),
            },
        )


def as_wire(notification: Notification) -> dict[str, Any]:
    """The webhook's body, as the wire page says; what is absent is left out."""
    said: dict[str, Any] = {
        "version": 1,
        "id": notification.id,
        "kind": notification.kind,
        "at": rfc3339(notification.at),
        "title": notification.title,
        "count": notification.count,
        "items": [_item(item) for item in notification.items],
    }
    if notification.url is not None:
        said["url"] = notification.url
    return said


def _item(item: Item) -> dict[str, str]:
    said = {"subject": item.subject, "title": item.title, "text": item.text}
    if item.url is not None:
        said["url"] = item.url
    return said
