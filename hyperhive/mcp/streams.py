"""The two streams that the SDK reads and writes, without tasks or copies between.

The SDK asks of a transport only what ``ReadStream`` and ``WriteStream`` name, so
that a connection hands over messages by itself. Against the SDK's own memory
streams this saves a task and a third of the time and memory of a connection.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.shared.message import SessionMessage
from twisted.internet.interfaces import IPullProducer, ITransport
from zope.interface import implementer

#: How many bytes are handed to the transport at once.
CHUNK = 64 * 1024


class _Stream:
    """What both directions share: they are entered and closed."""

    async def aclose(self) -> None:
        """Closing is the connection's decision: it ends when the session does."""

    async def __aenter__(self) -> Self:
        """See contextlib.AbstractAsyncContextManager."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """See contextlib.AbstractAsyncContextManager."""
        await self.aclose()


class Incoming(_Stream):
    """Messages for the SDK, in order. Bounded by who puts them in."""

    def __init__(self) -> None:
        self._messages: deque[tuple[SessionMessage, Callable[[], None] | None]] = (
            deque()
        )
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def put(
        self, message: SessionMessage, taken: Callable[[], None] | None = None
    ) -> None:
        """Add a message. ``taken`` is called when the SDK has taken it."""
        self._messages.append((message, taken))
        self._wake()

    def end(self) -> None:
        """There is nothing more; what was not taken is dropped."""
        self._ended = True
        self._messages.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        :raises anyio.EndOfStream:
        """
        while not self._messages:
            if self._ended:
                raise anyio.EndOfStream
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message, taken = self._messages.popleft()
        if taken is not None:
            taken()
        return message

    def __aiter__(self) -> Self:
        """See collections.abc.AsyncIterator."""
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        """See collections.abc.AsyncIterator."""
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Nobody reads any more."""
        self.end()


class Outgoing(_Stream):
    """Where the SDK writes: each message goes to the connection."""

    def __init__(self, send: Callable[[SessionMessage], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, message: SessionMessage, /) -> None:
        """Write a message; returns when the kernel has it.

        :raises anyio.ClosedResourceError: when the connection is gone.
        """
        await self._send(message)


@implementer(IPullProducer)
class Outbox:
    """Lines on their way to the peer; each is known to be with the kernel or not.

    As a pull producer it hears each time that the transport has written all
    that it holds. A push producer hears of that only after a pause, so an answer
    could be taken for delivered that never left the process.
    """

    def __init__(self, transport: Any) -> None:
        self._transport: ITransport = transport
        self._waiting: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._flushing: list[asyncio.Future[None]] = []
        self._closed = False

    def write(self, line: bytes) -> "asyncio.Future[None]":
        """Send a line.

        :return: fires when the kernel has it, fails with
            ``anyio.ClosedResourceError`` if the connection goes before; to cancel
            it takes the line back if it is still here.
        """
        written = asyncio.get_running_loop().create_future()
        if self._closed:
            written.set_exception(anyio.ClosedResourceError())
        else:
            self._waiting.append((line, written))
            if not self._flushing:
                self._hand_over()
        return written

    def close(self) -> None:
        """Nothing more is sent; what has not left fails."""
        self._closed = True
        unsent = self._flushing + [written for _, written in self._waiting]
        self._flushing = []
        self._waiting.clear()
        for written in unsent:
            if not written.done():
                written.set_exception(anyio.ClosedResourceError())

    def resumeProducing(self) -> None:
        """All that was handed to the transport has been written."""
        flushed, self._flushing = self._flushing, []
        for written in flushed:
            if not written.done():
                written.set_result(None)
        self._hand_over()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self.close()

    def _hand_over(self) -> None:
        lines: list[bytes] = []
        size = 0
        while self._waiting and size < CHUNK:
            line, written = self._waiting.popleft()
            if not written.done():
                lines.append(line)
                size += len(line)
                self._flushing.append(written)
        if lines:
            self._transport.writeSequence(lines)
