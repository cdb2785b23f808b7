"""Server-sent events: each stream is one bounded subscription to the bus."""

import re
from collections.abc import Callable, Set
from http import HTTPStatus

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from hyperhive.bus import Event, EventBus, Subscription
from hyperhive.errors import BadRequest
from hyperhive.web.answers import answer_error
from hyperhive.web.forms import query_number
from hyperhive.web.headers import header
from hyperhive.web.schema import MAX_ID

#: How often an idle stream says that it lives (seconds): proxies cut silent ones.
PING_EVERY = 15.0
#: How soon a browser that lost its stream comes back (milliseconds).
RETRY = 2000
#: How many streams there may be at once.
MAX_STREAMS = 256
_SEQ = re.compile("[0-9]{1,19}")

_RESYNC = b"event: resync\ndata: {}\n\n"


class Streams:
    """Every open stream: keeps them alive by one timer, and closes them."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._open: set[_Subscriber] = set()
        self._ping = LoopingCall(self._ping_all)
        self._ping.clock = clock

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def add(self, subscriber: "_Subscriber") -> None:
        """Keep a stream alive until :meth:`discard`."""
        self._open.add(subscriber)
        if not self._ping.running:
            self._ping.start(PING_EVERY, now=False).addErrback(
                lambda failure: self._log.failure("streams are not kept alive", failure)
            )

    def discard(self, subscriber: "_Subscriber") -> None:
        """The stream has ended."""
        self._open.discard(subscriber)
        if not self._open and self._ping.running:
            self._ping.stop()

    def close(self) -> None:
        """End every stream. Browsers that may come back do so by themselves."""
        for subscriber in list(self._open):
            subscriber.end()

    def _ping_all(self) -> None:
        for subscriber in list(self._open):
            subscriber.ping()


class EventStream(Resource):
    """The leaf that turns a request into a stream.

    It begins after ``Last-Event-ID`` or, on a page's first connection, after
    ``?since=``, the page's snapshot. Where that is too far back, or the reader
    falls too far behind, it says ``resync`` and ends: the page loads its state.

    :param topics: only these topics or kinds.
    :param agent: only events about this agent.
    """

    isLeaf = True

    def __init__(
        self,
        streams: Streams,
        bus: EventBus,
        topics: Set[str] | None = None,
        agent: str | None = None,
    ) -> None:
        super().__init__()
        self._streams = streams
        self._bus = bus
        self._topics = None if topics is None else frozenset(topics)
        self._agent = agent

    def render_GET(self, request: Request) -> int | bytes:
        """Open the stream."""
        since = _since(request)
        if len(self._streams) >= MAX_STREAMS:
            return answer_error(
                request,
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{MAX_STREAMS} event streams are open already: close some pages.",
            )
        request.setHeader("content-type", "text/event-stream; charset=utf-8")
        request.setHeader("x-accel-buffering", "no")
        if request.method == b"HEAD":
            return b""
        request.write(b"retry: %d\n\n" % RETRY)
        subscriber = _Subscriber(request, self._streams.discard)
        subscription = self._bus.subscribe(
            subscriber.deliver, subscriber.overflowed, self._topics, self._agent, since
        )
        if subscription is None:
            request.write(_RESYNC)
            return b""
        self._streams.add(subscriber)
        subscriber.begin(subscription)
        return NOT_DONE_YET


@implementer(IPushProducer)
class _Subscriber:
    """One reader: passes the transport's pauses on to its subscription.

    :param ended: told once when it is over, for whatever reason.
    """

    def __init__(
        self, request: Request, ended: "Callable[[_Subscriber], None]"
    ) -> None:
        self._request = request
        self._ended = ended
        self._subscription: Subscription | None = None
        self._flowing = False

    def begin(self, subscription: Subscription) -> None:
        """Let events flow."""
        self._subscription = subscription
        self._flowing = True
        self._request.notifyFinish().addBoth(lambda _: self._over())
        self._request.registerProducer(self, True)
        # The transport may have paused us while it took us on.
        if self._flowing:
            subscription.resume()

    def deliver(self, event: Event) -> None:
        """Write one event."""
        self._request.write(
            b"id: %d\nevent: %s\ndata: %s\n\n"
            % (event.seq, event.kind.encode(), event.json)
        )

    def overflowed(self) -> None:
        """It reads too slowly: have it start again from the state."""
        self._request.write(_RESYNC)
        self.end()

    def ping(self) -> None:
        """Say that it lives, unless it has enough to read."""
        if self._flowing:
            self._request.write(b": ping\n\n")

    def end(self) -> None:
        """End the stream from our side."""
        if self._subscription is not None:
            self._over()
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._flowing = False
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._flowing = True
        if self._subscription is not None:
            self._subscription.resume()

    def stopProducing(self) -> None:
        """See IPushProducer."""
        self._over()

    def _over(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.cancel()
            self._ended(self)


def _since(request: Request) -> int | None:
    """Where the reader left off: what the browser says of itself is newer than the URL."""
    last = header(request, b"last-event-id")
    if last is None or last == "":
        return query_number(request, "since", 0, MAX_ID)
    if not _SEQ.fullmatch(last) or int(last) > MAX_ID:
        raise BadRequest("Last-Event-ID must be the number of an event.")
    return int(last)
