"""The broker: sends, hands out and takes back messages as the delivery contract says."""

import os
import time
from collections.abc import Callable
from sqlite3 import Connection

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.messages import convert
from hyperhive.messages.commits import Commits, outlasting
from hyperhive.messages.interfaces import (
    MAX_BODY,
    Also,
    BodyTooLarge,
    IBroker,
    InvalidMessage,
    Message,
    NoSuchTurn,
    Notice,
    Turn,
    TurnEnd,
    TurnRecord,
    nothing_else,
)
from hyperhive.messages.ledger import check_mailbox
from hyperhive.messages.waiting import Line
from hyperhive.names import OPERATOR, mailbox, mailbox_owner
from hyperhive.store.database import Database
from hyperhive.store.messages import MessageRow, MessageTable
from hyperhive.store.turns import TurnTable

#: How long messages are kept after they were done (seconds).
KEPT_SECONDS = 30 * 86400.0
#: How many messages one write forgets at most.
PRUNE_BITE = 500
#: The most rows that one question is answered with.
MAX_PAGE = 500

_MAX_ID = 2**63 - 1
_DIED = "The daemon ended during this turn."


@implementer(IBroker)
class Broker:
    """See :class:`~hyperhive.messages.interfaces.IBroker`.

    :param recv_wait: the longest wait of a ``receive`` in seconds.
    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        bus: EventBus,
        recv_wait: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._database = database
        self._recv_wait = recv_wait
        self._now = now
        self._commits = Commits(database, bus, now, self._queued)
        self._lines: dict[str, Line] = {}
        # Whose mailbox a running turn takes from.
        self._turns: dict[int, str] = {}
        self._watchers: list[Callable[[str], None]] = []
        self._closed = False
        # A connection may be called as another was in an earlier daemon.
        self._life = f"{os.urandom(8).hex()}:"

    def watch(self, callback: Callable[[str], None]) -> None:
        """See :class:`IBroker`."""
        self._watchers.append(callback)

    @deferred
    async def send(
        self, sender: str, to: str, body: str, in_reply_to: int | None = None
    ) -> tuple[int, ...]:
        """See :class:`IBroker`."""
        _check_body(body)
        if in_reply_to is not None and not 0 < in_reply_to <= _MAX_ID:
            raise InvalidMessage(f"There is no message {in_reply_to} to reply to.")
        return await self._commits.write(
            lambda ledger: ledger.send(mailbox(sender), mailbox(to), body, in_reply_to)
        )

    def receive(
        self,
        agent: str,
        connection: str,
        maximum: int = 1,
        wait_seconds: float | None = None,
    ) -> Deferred[list[Message]]:
        """See :class:`IBroker`."""
        seconds = 0.0
        if wait_seconds is not None and not self._closed:
            seconds = min(wait_seconds, self._recv_wait)
        return self._line(mailbox(agent)).receive(connection, max(1, maximum), seconds)

    def acknowledge(self, connection: str) -> Deferred[None]:
        """See :class:`IBroker`."""
        ids = self._held_by(connection)
        if not ids:
            return succeed(None)
        holder = self._holder(connection)
        return self._commits.write(lambda ledger: ledger.acknowledge(ids, holder))

    @deferred
    async def release(self, connection: str) -> None:
        """See :class:`IBroker`."""
        serving = []
        for line in self._lines.values():
            if line.is_serving(connection):
                serving.append(line)
            line.disconnected(connection)
        ids = self._held_by(connection)
        if ids:
            await self._commits.write(lambda ledger: ledger.give_back(ids))
        # What was being leased to it is put back under the line's lock.
        await DeferredList([line.lock.run(_nothing) for line in serving])

    def give_back(self, ids: tuple[int, ...]) -> Deferred[None]:
        """See :class:`IBroker`."""
        return self._commits.write(lambda ledger: ledger.give_back(ids))

    def unread(self, agent: str) -> int:
        """See :class:`IBroker`."""
        return self._commits.unread[mailbox(agent)]

    @deferred
    async def inbox(self, name: str, limit: int = 50) -> list[Message]:
        """See :class:`IBroker`."""
        box = mailbox(name)

        def read(connection: Connection) -> list[MessageRow]:
            check_mailbox(connection, box)
            return MessageTable.inbox(connection, box, _bounded(limit))

        rows = await self._database.read_in_thread(read)
        return [convert.message(row) for row in rows]

    @deferred
    async def history(
        self, agent: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        """See :class:`IBroker`."""
        box = None if agent is None else mailbox(agent)
        rows = await self._database.read_in_thread(
            lambda connection: MessageTable.page(
                connection, box, before, _bounded(limit)
            )
        )
        return [convert.message(row) for row in rows]

    def mark_read(self, ids: tuple[int, ...]) -> Deferred[int]:
        """See :class:`IBroker`."""
        return self._commits.write(lambda ledger: ledger.mark_read(ids))

    def requeue(self, message: int) -> Deferred[None]:
        """See :class:`IBroker`."""
        return self._commits.write(lambda ledger: ledger.requeue(message))

    def begin_turn(self, agent: str, kind: str = "message") -> Deferred[Turn | None]:
        """See :class:`IBroker`."""
        return outlasting(self._begin_turn(mailbox(agent), kind))

    @deferred
    async def _begin_turn(self, box: str, kind: str) -> Turn | None:
        line, agent = self._line(box), mailbox_owner(box)
        async with line.lock:
            begun = await self._commits.write(
                lambda ledger: ledger.begin_turn(agent, kind)
            )
            if begun is None:
                return None
            turn, row = begun
            line.turn = turn.id
            self._turns[turn.id] = box
            message = None if row is None else convert.message(row)
            begun = Turn(turn.id, agent, turn.started_at, message, self.unread(box))
        return begun

    def end_turn(
        self,
        turn: int,
        end: TurnEnd,
        also: Also = nothing_else,
        notices: tuple[Notice, ...] = (),
    ) -> Deferred[None]:
        """See :class:`IBroker`."""
        return outlasting(self._end_turn(turn, end, also, notices))

    @deferred
    async def _end_turn(
        self, turn: int, end: TurnEnd, also: Also, notices: tuple[Notice, ...]
    ) -> None:
        if turn not in self._turns:
            raise NoSuchTurn(f"Turn {turn} does not run.")
        line = self._line(self._turns[turn])
        async with line.lock:
            await self._commits.write(
                lambda ledger: ledger.end_turn(turn, end, also, notices)
            )
            line.turn = None
            del self._turns[turn]
        line.end_waits()
