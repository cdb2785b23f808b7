"""Who waits for messages of one mailbox: a line in which each is served in its turn.

A message goes to whoever has waited longest. Only one lease is under way at a
time, and nothing else that takes or gives back messages of this mailbox is done
meanwhile (:attr:`Line.lock`), so that a lease whose receiver has left is undone
before anybody could see a later message, or end the turn that the lease belongs to.
"""

from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import Message, NotYourTurn


class Leases(Protocol):
    """What a line needs to lease its mailbox's messages to a turn, or else to a connection."""

    def unread(self) -> int:
        """How many messages are queued."""

    def lease(
        self, connection: str, turn: int | None, maximum: int
    ) -> "Deferred[list[Message]]":
        """Lease the oldest messages."""

    def put_back(
        self, connection: str, turn: int | None, messages: list[Message]
    ) -> "Deferred[None]":
        """Undo a lease: nobody got these."""

    def handed_out(
        self, connection: str, turn: int | None, messages: list[Message]
    ) -> None:
        """These are about to be given to their receiver."""

    def left_over(self) -> None:
        """Something was queued, and nobody who waited has taken it."""


@attrs.define(eq=False)
class Receiver:
    """One ``receive`` that has not been answered.

    :param waits: whether it goes on waiting when nothing is there.
    :param looked: whether it has looked and found nothing.
    :param over: whether it was answered, or left.
    """

    connection: str
    maximum: int
    waits: bool
    answer: "Deferred[list[Message]]" = attrs.field(init=False)
    timer: IDelayedCall | None = None
    looked: bool = False
    over: bool = False

    def finish(self, result: "list[Message] | Failure") -> None:
        """Answer it, if it has not left."""
        if self.leave():
            self.answer.callback(result)

    def leave(self) -> bool:
        """Nothing is to be given to it any more; whether it was still there."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        was_there, self.over = not self.over, True
        return was_there


class Line:
    """The receivers of one mailbox, longest waiting first."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, leases: Leases) -> None:
        #: The turn that runs, to which leases belong. Changed only under the lock.
        self.turn: int | None = None
        #: Held by whatever takes messages of this mailbox or gives them back.
        self.lock = DeferredLock()
        self._clock = clock
        self._leases = leases
        self._receivers: list[Receiver] = []
        self._serving: Receiver | None = None
        self._running = False
        # Something was queued, and nobody has looked in vain since.
        self._news = False

    def receive(
        self, connection: str, maximum: int, seconds: float
    ) -> "Deferred[list[Message]]":
        """Stand in line for messages, at most ``seconds``; without any, only look."""
        receiver = Receiver(connection, maximum, waits=seconds > 0)
        receiver.answer = Deferred(lambda _: self._gone(receiver))
        if receiver.waits:
            receiver.timer = self._clock.callLater(seconds, self._wait_ends, receiver)
        self._receivers.append(receiver)
        self._serve()
        return receiver.answer

    def queued(self) -> None:
        """Something was queued: serve who waits; :meth:`Leases.left_over` if nobody takes it."""
        self._news = True
        self._serve()

    def end_waits(self) -> None:
        """Answer all who wait with nothing."""
        for receiver in tuple(self._receivers):
            self._wait_ends(receiver)

    def disconnected(self, connection: str) -> None:
        """Answer all of a connection with nothing; give them nothing any more."""
        for receiver in tuple(self._receivers):
            if receiver.connection == connection:
                self._receivers.remove(receiver)
                receiver.finish([])

    def is_serving(self, connection: str) -> bool:
        """Whether a lease for this connection is under way."""
        return self._serving is not None and self._serving.connection == connection

    def _gone(self, receiver: Receiver) -> None:
        receiver.leave()
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def _wait_ends(self, receiver: Receiver) -> None:
        """It waits no more; one that has yet to look, or is looking, answers what it finds."""
        receiver.waits = False
        if receiver.looked and receiver is not self._serving:
            self._answer(receiver, [])

    def _answer(self, receiver: Receiver, result: "list[Message] | Failure") -> None:
        self._receivers.remove(receiver)
        receiver.finish(result)

    def _due(self) -> bool:
        """Whether the first in line is to look: for itself, or for one behind it."""
        return any(self._news or not one.looked for one in self._receivers)

    def _serve(self) -> None:
        if not self._running:
            self._running = True
            self._serve_all().addErrback(
                lambda failure: self._log.failure("receivers were not served", failure)
            )

    @deferred
    async def _serve_all(self) -> None:
        try:
            while self._due():
                async with self.lock:
                    if self._due():
                        await self._serve_first()
        finally:
            self._running = False
        news, self._news = self._news, False
        if news and self._leases.unread() > 0:
            self._leases.left_over()

    async def _serve_first(self) -> None:
        here = tuple(self._receivers)
        receiver = self._serving = here[0]
        try:
            messages = await self._leases.lease(
                receiver.connection, self.turn, receiver.maximum
            )
        except Exception:
            self._failed(receiver, Failure())
        else:
            if messages:
                await self._leased(receiver, messages)
            else:
                self._found_nothing(here)
        finally:
            self._serving = None

    async def _leased(self, receiver: Receiver, messages: list[Message]) -> None:
        if receiver.over:
            await self._put_back(receiver, messages)
        else:
            self._leases.handed_out(receiver.connection, self.turn, messages)
            self._answer(receiver, messages)

    def _found_nothing(self, here: tuple[Receiver, ...]) -> None:
        """What the first has not found is not there for those behind it either."""
        self._news = False
        for receiver in here:
            receiver.looked = True
            if not receiver.over and not receiver.waits:
                self._answer(receiver, [])

    async def _put_back(self, receiver: Receiver, messages: list[Message]) -> None:
        try:
            await self._leases.put_back(receiver.connection, self.turn, messages)
        except Exception:
            self._log.failure("messages that nobody got were not put back")
            # Then they go back with what the connection has, when it ends.
            self._leases.handed_out(receiver.connection, self.turn, messages)

    def _failed(self, receiver: Receiver, failure: Failure) -> None:
        if receiver.over:
            return
        # Who waits for something that can't come any more hears of nothing.
        ended = receiver.looked and failure.check(NotYourTurn)
        self._answer(receiver, [] if ended else failure)
