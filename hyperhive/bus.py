"""Events inside the daemon: numbered, kept for a while, given to bounded subscribers."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from hyperhive.times import rfc3339

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
    json: bytes = field(repr=False)
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

    _log = Logger()

    def __init__(
        self,
        bus: "EventBus",
        deliver: Callable[[Event], None],
        overflowed: Callable[[], None],
        topics: frozenset[str] | None,
        agent: str | None,
    ) -> None:
        self._bus = bus
        self._deliver = deliver
        self._overflowed = overflowed
        self._topics = topics
        self._agent = agent
        # Older events were replayed or are not wanted.
        self._begun_at = bus.seq
        self._backlog: deque[Event] = deque()
        self._held = 0
        self._paused = True
        self._flushing = False
        self._ended = False

    def pause(self) -> None:
        """Hold events from now on."""
        self._paused = True

    def resume(self) -> None:
        """Deliver what was held, in order, and flow again (it may be paused within)."""
        self._paused = False
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._backlog and not self._paused:
                event = self._backlog.popleft()
                self._held -= len(event.json)
                self._hand_over(event)
        finally:
            self._flushing = False

    def cancel(self) -> None:
        """End it. Ending it twice is fine."""
        self._ended = True
        self._backlog.clear()
        self._bus._ended(self)

    def _replay(self, events: Iterator[Event]) -> bool:
        """Called by the bus, once: hold past events; whether they fit."""
        for event in events:
            if self._wants(event):
                self._backlog.append(event)
                self._held += len(event.json)
        return self._held <= MAX_BACKLOG

    def _offer(self, event: Event) -> None:
        """Called by the bus with each event."""
        if self._ended or event.seq <= self._begun_at or not self._wants(event):
            return
        if not self._paused and not self._flushing:
            self._hand_over(event)
            return
        self._backlog.append(event)
        self._held += len(event.json)
        if self._held > MAX_BACKLOG:
            self.cancel()
            try:
                self._overflowed()
            except Exception:
                self._log.failure("an event subscriber failed at its overflow")

    def _wants(self, event: Event) -> bool:
        if self._agent is not None and event.agent != self._agent:
            return False
        topics = self._topics
        return topics is None or event.topic in topics or event.kind in topics

    def _hand_over(self, event: Event) -> None:
        try:
            self._deliver(event)
        except Exception:
            self._log.failure(
                "an event subscriber failed at {kind}, and gets no more",
                kind=event.kind,
            )
            self.cancel()


class EventBus:
    """Numbers events, keeps the last of them, hands them to subscribers.

    :param first: the first event's number; :func:`first_seq` makes one that no
        earlier daemon has used.
    :param ring_bytes: how many bytes of past events are kept for resumption.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, first: int, ring_bytes: int = 8 * 1024 * 1024
    ) -> None:
        self._clock = clock
        self._seq = first - 1
        self._ring: deque[Event] = deque()
        self._ring_limit = ring_bytes
        self._ring_held = 0
        # A dict for its order: subscribers are served in that of their coming.
        self._subscriptions: dict[Subscription, None] = {}
        self._undelivered: deque[Event] = deque()
        self._delivering = False

    @property
    def seq(self) -> int:
        """The number of the newest event (``first - 1`` before there is one)."""
        return self._seq

    @property
    def oldest(self) -> int:
        """The number of the oldest event that is kept (``seq + 1`` if none is)."""
        return self._ring[0].seq if self._ring else self._seq + 1

    def publish(
        self,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        agent: str | None = None,
        raw: Mapping[str, bytes] | None = None,
    ) -> Event:
        """Number an event and hand it out. Call it only after its COMMIT.

        An event that is published while another is being handed out follows it,
        so that every subscriber sees the same order.

        :param fields: its other members; ``seq``, ``kind``, ``agent`` and ``at``
            are the event's own and win over fields of these names.
        :param raw: members whose values are JSON already; they are not parsed.
        """
        self._seq += 1
        at = self._clock.seconds()
        own: dict[str, Any] = {"seq": self._seq, "kind": kind}
        if agent is not None:
            own["agent"] = agent
        own["at"] = rfc3339(at)
        text = _spliced(encode({**own, **(fields or {}), **own}), raw or {})
        event = Event(self._seq, kind, agent, at, text)
        self._keep(event)
        self._undelivered.append(event)
        if not self._delivering:
            self._hand_out()
        return event

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

        :param deliver: one that raises is logged and gets no more events.
        :param topics: only these topics or kinds.
        :param agent: only events about this agent.
        :return: ``None`` if the events after ``since`` are no longer all kept
            or are more than :data:`MAX_BACKLOG`, or ``since`` is yet to come: the
            caller must load the state anew.
        """
        subscription = Subscription(self, deliver, overflowed, topics, agent)
        if since is not None:
            oldest = self.oldest
            if not oldest - 1 <= since <= self._seq:
                return None
            # The ring has no gaps: a number is a place in it.
            missed = islice(self._ring, since + 1 - oldest, None)
            if not subscription._replay(missed):
                return None
        self._subscriptions[subscription] = None
        return subscription

    def follow(
        self, deliver: Callable[[Event], None], topics: frozenset[str]
    ) -> Subscription:
        """Have a part of the daemon hear of these topics or kinds from now on.

        It takes each event at once, so that nothing is ever held for it. Where it
        raises, that is logged, and the next event comes all the same: one odd event
        must not leave the daemon deaf for days.
        """

        def guarded(event: Event) -> None:
            try:
                deliver(event)
            except Exception:
                self._log.failure("{kind} could not be followed", kind=event.kind)

        subscription = Subscription(self, guarded, lambda: None, topics, None)
        self._subscriptions[subscription] = None
        subscription.resume()
        return subscription

    def _ended(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)

    def _keep(self, event: Event) -> None:
        self._ring.append(event)
        self._ring_held += len(event.json)
        while self._ring_held > self._ring_limit:
            self._ring_held -= len(self._ring.popleft().json)

    def _hand_out(self) -> None:
        self._delivering = True
        try:
            while self._undelivered:
                event = self._undelivered.popleft()
                for subscription in tuple(self._subscriptions):
                    subscription._offer(event)
        finally:
            self._delivering = False


def first_seq(newest_stored: int, now: float) -> int:
    """A number past all that an earlier daemon can have used.

    The event store may have lost the last moments before a crash, so the clock's
    milliseconds are taken where they are further.
    """
    return max(newest_stored + 1, int(now * 1000))


def encode(fields: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8 on one line."""
    try:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair is no Unicode text, but JSON can spell it.
        return json.dumps(fields, separators=(",", ":")).encode()


def _spliced(text: bytes, raw: Mapping[str, bytes]) -> bytes:
    """Add members to an object that has some."""
    parts = [text[:-1]]
    for name, value in raw.items():
        # A line end outside of a string is only white space, and within it is
        # escaped; an event must stay on its line.
        one_line = value.replace(b"\r", b" ").replace(b"\n", b" ")
        parts += [b",", json.dumps(name).encode(), b":", one_line]
    return b"".join([*parts, b"}"])
