"""Events inside the daemon: numbered, kept for a while, given to bounded subscribers."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

#: How many bytes of events a subscriber that doesn't read may hold up.
MAX_BACKLOG = 1024 * 1024


@frozen
class Event:
    """Something that happened.

    :param seq: grows by at least one with each event, also over restarts of the
        daemon; it is the ``id:`` of the event's SSE frame.
    :param kind: one of the wire page's event kinds.
    :param agent: the agent that it is about, if it is about one.
    :param at: POSIX time.

    """

    seq: int
    kind: str
    agent: str | None
    at: float
    json: bytes
    """The whole event as one line of JSON, encoded once for all who get it."""

    @property
    def topic(self) -> str:
        """What subscribers choose by: the kind's first word (``message``, ``turn``…)."""
        return self.kind.partition("_")[0]


class Subscription:
    """One subscriber's place in the stream.

    Events go to ``deliver`` as they are published while the subscription is
    flowing. While it is paused they are held, up to :data:`MAX_BACKLOG` bytes;
    past that it ends and ``overflowed`` is called, once.
    """

    def pause(self) -> None:
        """Hold events from now on."""
        raise NotImplementedError

    def resume(self) -> None:
        """Deliver what was held, in order, and flow again (it may be paused within)."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End it. Ending it twice is fine."""
        raise NotImplementedError


class EventBus:
    """Numbers events, keeps the last of them, hands them to subscribers.

    :param first: the first event's number; :func:`first_seq` makes one that no
        earlier daemon has used.
    :param ring_bytes: how many bytes of past events are kept for resumption.
    """

    def __init__(
        self, clock: IReactorTime, first: int, ring_bytes: int = 8 * 1024 * 1024
    ) -> None:
        raise NotImplementedError

    @property
    def seq(self) -> int:
        """The number of the newest event (``first - 1`` before there is one)."""
        raise NotImplementedError

    def publish(
        self,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        agent: str | None = None,
        raw: Mapping[str, bytes] | None = None,
    ) -> Event:
        """Number an event and hand it out. Call it only after its COMMIT.

        :param raw: members whose values are JSON already; they are not parsed.
        """
        raise NotImplementedError

    def subscribe(
        self,
        deliver: Callable[[Event], None],
        overflowed: Callable[[], None],
        topics: frozenset[str] | None = None,
        agent: str | None = None,
        since: int | None = None,
    ) -> Subscription | None:
        """Get events from now on, or every one after ``since``.

        The replay and the subscription are one step, so that nothing falls
        between them; the subscription starts paused, so that the caller holds
        it before anything is delivered: call :meth:`Subscription.resume`.

        :param topics: only these topics or kinds.
        :param agent: only events about this agent.
        :return: ``None`` if the events after ``since`` are no longer all kept:
            the caller must load the state anew.
        """
        raise NotImplementedError


def first_seq(newest_stored: int, now: float) -> int:
    """A number past all that an earlier daemon can have used.

    The event store may have lost the last moments before a crash, so the clock's
    milliseconds are taken where they are further.
    """
    return max(newest_stored + 1, int(now * 1000))


def encode(fields: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8 on one line."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
