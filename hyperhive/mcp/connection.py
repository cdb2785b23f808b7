"""One connection to an MCP socket: bounded both ways, and sure of what it delivered."""

import select
from asyncio import Future
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, cast

import anyio
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.internet.unix import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.lines import LineSplitter, LineTooLong
from hyperhive.mcp.bridge import started
from hyperhive.mcp.framing import (
    Malformed,
    RequestId,
    decode,
    encode,
    not_a_message,
    not_json,
)
from hyperhive.mcp.streams import Incoming, Outbox, Outgoing

#: The longest line in bytes.
MAX_LINE = 4 * 1024 * 1024
#: Reading pauses at so much unanswered, and goes on when so much is left. A message
#: counts as one, and one more for each :data:`WEIGHTY` bytes.
PAUSE_AT = 64
RESUME_AT = 32
WEIGHTY = 64 * 1024
#: How often, in seconds, it is seen whether a peer that isn't read has left.
LOOK_EVERY = 1.0
#: How long what follows an over-long line is read and dropped before the connection
#: is cut, so that a peer that first writes all it has then reads why.
LINGER = 2.0


class Request:
    """A request that is being answered, as its tool sees it (``ctx.request``).

    :param connection: the connection's name.
    """

    def __init__(self, connection: str, weight: int) -> None:
        self.connection = connection
        self.weight = weight
        self._answered: bool | None = None
        self._callbacks: list[Callable[[bool], None]] = []

    def when_settled(self, callback: Callable[[bool], None]) -> None:
        """Call back once, with whether the peer's kernel got the result.

        It did not if the request was cancelled or failed, or the connection ended.
        """
        if self._answered is None:
            self._callbacks.append(callback)
        else:
            callback(self._answered)

    def settle(self, answered: bool) -> None:
        """Say how it went. Only the connection calls this, once."""
        self._answered = answered
        for callback in self._callbacks:
            callback(answered)


@implementer(IHalfCloseableProtocol)
class McpConnection(Protocol):
    """Carries lines between a UNIX socket and one run of the SDK's server.

    Everything that is unanswered is counted in one number, and that number alone
    pauses reading: requests until their answer is with the kernel, other messages
    until the SDK took them, error lines until they are written. So a peer that
    doesn't read its answers is soon no longer read either.

    :param name: of the connection, unlike all others of the daemon's life.
    :param serve: runs the SDK's server over the two streams until they end.
    :ivar ended: fires when the connection is lost and nothing of it runs any more.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        name: str,
        serve: Callable[[Incoming, Outgoing], Coroutine[Any, Any, None]],
    ) -> None:
        self.name = name
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        self._serve = serve
        self._incoming = Incoming()
        self._splitter = LineSplitter(MAX_LINE)
        self._lines: Iterator[bytes] = iter(())
        self._load = 0
        self._requests: dict[RequestId, Request] = {}
        self._paused = False
        self._refused = False
        self._closing = False
        self._over = False
        self._at_end = False
        self._lost: Deferred[None] = Deferred()
        self._linger: IDelayedCall | None = None
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor

    @property
    def _socket(self) -> Server:
        return cast(Server, self.transport)

    # The connection's life.

    def connectionMade(self) -> None:
        """Start the SDK's server on this connection."""
        self._outbox = Outbox(self._socket)
        self._socket.registerProducer(self._outbox, False)
        self._running = started(self._serve(self._incoming, Outgoing(self._send)))
        served = self._running.addErrback(self._broken).addCallback(self._served)
        DeferredList([served, self._lost]).addCallback(
            lambda _: self.ended.callback(None)
        )

    def close(self) -> None:
        """End it: what runs is cancelled and told so, then the connection closes."""
        if not self._closing:
            # A second cancel would not wait for the end of what the first began.
            self._closing = True
            self._running.cancel()

    def abort(self) -> None:
        """Cut it."""
        self.close()
        self._socket.abortConnection()

    def _broken(self, failure: Failure) -> None:
        expected = failure.check(CancelledError) is not None
        if self._closing and isinstance(failure.value, ExceptionGroup):
            # Cancelled while it relays a message, the SDK fails to hand it on.
            expected = failure.value.split(anyio.BrokenResourceError)[1] is None
        if not expected:
            self._log.failure("MCP connection {name} broke", failure, name=self.name)

    def _served(self, _: None) -> None:
        """The SDK's server has ended, and with it every tool of this connection."""
        self._over = True
        for request in self._requests.values():
            request.settle(False)
        self._requests.clear()
        self._outbox.close()
        if self._lost.called:
            return
        self._socket.unregisterProducer()
        if self._refused and not self._at_end:
            self._socket.loseWriteConnection()
            self._linger = self._reactor.callLater(LINGER, self._socket.abortConnection)
        else:
            self._socket.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let the server end."""
        self._lost.callback(None)
        if self._watch.running:
            self._watch.stop()
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        self._outbox.close()
        self._incoming.end()

    def readConnectionLost(self) -> None:
        """The peer writes no more, or has left: answer what it asked, if it is there."""
        self._at_end = True
        if self._over:
            self._socket.loseConnection()
            return
        rest = self._splitter.finish()
        if rest:
            self._take(rest)
        self._watch_peer()
        self._look()
        self._end_if_done()

    def writeConnectionLost(self) -> None:
        """We wrote our last line and wait for the peer's end."""

    def _watch_peer(self) -> None:
        if not self._watch.running:
            self._watch.start(LOOK_EVERY, now=False)

    def _look(self) -> None:
        """See whether the peer has left: the reactor only notices while it reads."""
        poll = select.poll()
        poll.register(self._socket.fileno(), 0)
        if any(seen & (select.POLLHUP | select.POLLERR) for _, seen in poll.poll(0)):
            self._socket.abortConnection()

    # Lines from the peer.

    def dataReceived(self, data: bytes) -> None:
        """Take lines, as many as may be unanswered; the rest stay until then."""
        if not self._refused:
            self._lines = self._splitter.feed(data)
            self._take_lines()

    def _take_lines(self) -> None:
        while self._load < PAUSE_AT:
            try:
                line = next(self._lines, None)
            except LineTooLong as error:
                self._refused = True
                self._reply(not_json(f"The connection closes: {error}."))
                line = None
            if line is None:
                self._resume()
                return
            self._take(line)
        self._pause()

    def _take(self, line: bytes) -> None:
        if not line or line.isspace():
            return
        try:
            message = decode(line)
            if isinstance(message, JSONRPCRequest) and message.id in self._requests:
                raise not_a_message(
                    f"The id {message.id!r} belongs to a request that is not answered yet."
                )
        except Malformed as error:
            self._reply(error)
            return
        weight = 1 + len(line) // WEIGHTY
        self._load += weight
        if not isinstance(message, JSONRPCRequest):
            self._incoming.put(SessionMessage(message), partial(self._unload, weight))
            return
        request = Request(self.name, weight)
        self._requests[message.id] = request
        metadata = ServerMessageMetadata(
            request_context=request,
            on_request_unanswered=partial(self._unanswered, message.id),
        )
        self._incoming.put(SessionMessage(message, metadata))

    def _pause(self) -> None:
        if not self._paused and not self._at_end:
            self._paused = True
            self._socket.pauseProducing()
            self._watch_peer()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._watch.stop()
            self._socket.resumeProducing()

    def _unload(self, weight: int) -> None:
        """Count down what was counted up; go on reading if there is room."""
        self._load -= weight
        if self._over or self._lost.called:
            return
        if self._paused and self._load <= RESUME_AT:
            self._take_lines()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if (self._at_end or self._refused) and not self._load:
            self._incoming.end()

    # Lines to the peer.

    def _reply(self, error: Malformed) -> None:
        """Answer what never reaches the SDK."""
        self._load += 1

        def written(future: "Future[None]") -> None:
            # The connection may have gone first; asking keeps asyncio quiet about it.
            future.exception()
            self._unload(1)

        self._outbox.write(error.reply).add_done_callback(written)

    async def _send(self, item: SessionMessage) -> None:
        """Write what the SDK says, and settle the request that it answers."""
        message = item.message
        line = encode(message)
        request = None
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            request = self._requests.pop(message.id, None)  # type: ignore[arg-type]  # no request has the id None
        written = False
        try:
            await self._outbox.write(line)
            written = True
        finally:
            if request is not None:
                request.settle(written and isinstance(message, JSONRPCResponse))
                self._unload(request.weight)

    async def _unanswered(self, id: RequestId) -> None:
        """The peer cancelled a request: it is never answered."""
        request = self._requests.pop(id, None)
        if request is not None:
            request.settle(False)
            self._unload(request.weight)
