"""The broker: sends, hands out and takes back messages as the delivery contract says."""

import os
import time
from collections.abc import Callable, Iterable
from sqlite3 import Connection
from typing import TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
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
    MessagePage,
    MessageState,
    NoSuchTurn,
    Notice,
    Turn,
    TurnEnd,
    TurnRecord,
    nothing_else,
)
from hyperhive.messages.ledger import Lease, Ledger, check_mailbox
from hyperhive.messages.waiting import Line
from hyperhive.names import OPERATOR, mailbox, mailbox_owner
from hyperhive.store.database import Database
from hyperhive.store.message_search import Wanted, search
from hyperhive.store.messages import MessageRow, MessageTable
from hyperhive.store.turns import TurnTable

T = TypeVar("T")

#: How long messages are kept after they were done (seconds).
KEPT_SECONDS = 30 * 86400.0
#: How many messages one write forgets at most.
PRUNE_BITE = 500
#: The most rows that one question is answered with.
MAX_PAGE = 500

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
        lease = self._attending(connection)
        ids = self._held(lease)
        if not ids:
            return succeed(None)
        return self._commits.write(lambda ledger: ledger.acknowledge(ids, lease))

    @deferred
    async def release(self, connection: str) -> None:
        """See :class:`IBroker`."""
        serving = []
        for line in self._lines.values():
            if line.is_serving(connection):
                serving.append(line)
            line.disconnected(connection)
        lease = self._attending(connection)
        ids = self._held(lease)
        if ids:
            await self._commits.write(
                lambda ledger: ledger.give_back(ids, lease, handed_out=True)
            )
        # What was just being leased to it is put back under the line's lock.
        for line in serving:
            async with line.lock:
                pass

    def give_back(self, ids: tuple[int, ...]) -> Deferred[None]:
        """See :class:`IBroker`."""
        # A message that has gone on meanwhile is held no more, or by another lease.
        leases = {id: self._commits.held[id] for id in ids if id in self._commits.held}
        if not leases:
            return succeed(None)

        def act(ledger: Ledger) -> None:
            for id, lease in leases.items():
                ledger.give_back([id], lease, handed_out=True)

        return self._commits.write(act)

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

    @deferred
    async def search(
        self,
        text: str = "",
        state: MessageState | None = None,
        agent: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> MessagePage:
        """See :class:`IBroker`."""
        wanted = Wanted(
            text,
            None if state is None else state.value,
            None if agent is None else mailbox(agent),
        )
        bite = await self._database.read_in_thread(
            lambda connection: search(connection, wanted, before, _bounded(limit))
        )
        return MessagePage(tuple(map(convert.message, bite.rows)), bite.before)

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
            return Turn(turn.id, agent, turn.started_at, message, self.unread(box))

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

    @deferred
    async def turns(
        self, agent: str, limit: int = 20, before: int | None = None
    ) -> list[TurnRecord]:
        """See :class:`IBroker`."""
        name = mailbox_owner(agent)
        rows = await self._database.read_in_thread(
            lambda connection: TurnTable.newest(
                connection, name, _bounded(limit), before
            )
        )
        return [convert.turn_record(row) for row in rows]

    def tell(
        self,
        act: Callable[[Connection], T],
        notices: Callable[[T], Iterable[Notice]],
    ) -> Deferred[T]:
        """See :class:`IBroker`."""
        return self._commits.write(lambda ledger: ledger.tell(act, notices))

    def bury(
        self, agent: str, also: Callable[[Connection], Iterable[Notice]]
    ) -> Deferred[int]:
        """See :class:`IBroker`."""
        return outlasting(self._bury(mailbox(agent), also))

    @deferred
    async def _bury(
        self, box: str, also: Callable[[Connection], Iterable[Notice]]
    ) -> int:
        line, agent = self._line(box), mailbox_owner(box)
        async with line.lock:
            count = await self._commits.write(lambda ledger: ledger.bury(agent, also))
            line.end_waits()
            return count

    def recover(self) -> Deferred[int]:
        """See :class:`IBroker`."""
        return self._commits.write(lambda ledger: ledger.recover(_DIED, self._life))

    def end_waits(self, agent: str) -> None:
        """See :class:`IBroker`."""
        self._line(mailbox(agent)).end_waits()

    @deferred
    async def prune(self) -> int:
        """Forget messages that were done 30 days ago; fires with how many.

        Each write forgets a few of them, so that others come in between.
        """
        before, count = self._now() - KEPT_SECONDS, 0
        while gone := await self._database.write(
            lambda connection: MessageTable.prune(connection, before, PRUNE_BITE)
        ):
            count += gone
        return count

    def close(self) -> None:
        """Answer all who wait with nothing; from now on nobody waits."""
        self._closed = True
        for line in self._lines.values():
            line.end_waits()

    def _line(self, box: str) -> Line:
        if box not in self._lines:
            leases = _Leases(self._commits, box, self._attending, self._left_over)
            self._lines[box] = Line(self._clock, leases)
        return self._lines[box]

    def _attending(self, connection: str) -> Lease:
        return Lease(None, self._life + connection)

    def _held(self, lease: Lease) -> list[int]:
        return [id for id, held in self._commits.held.items() if held == lease]

    def _queued(self, box: str) -> None:
        if box != OPERATOR:
            self._line(box).queued()

    def _left_over(self, box: str) -> None:
        for watcher in self._watchers:
            try:
                watcher(mailbox_owner(box))
            except Exception:
                self._log.failure("who watches for messages failed")


@frozen
class _Leases:
    """What a line does with its mailbox (:class:`hyperhive.messages.waiting.Leases`)."""

    commits: Commits
    box: str
    attending: Callable[[str], Lease]
    on_left_over: Callable[[str], None]

    def unread(self) -> int:
        return self.commits.unread[self.box]

    @deferred
    async def lease(
        self, connection: str, turn: int | None, maximum: int
    ) -> list[Message]:
        agent, to = mailbox_owner(self.box), self._to(connection, turn)
        rows = await self.commits.write(lambda ledger: ledger.lease(agent, maximum, to))
        return [convert.message(row) for row in rows]

    def put_back(
        self, connection: str, turn: int | None, messages: list[Message]
    ) -> Deferred[None]:
        ids, lease = [message.id for message in messages], self._to(connection, turn)
        return self.commits.write(
            lambda ledger: ledger.give_back(ids, lease, handed_out=False)
        )

    def handed_out(
        self, connection: str, turn: int | None, messages: list[Message]
    ) -> None:
        lease = self._to(connection, turn)
        self.commits.held.update((message.id, lease) for message in messages)

    def left_over(self) -> None:
        self.on_left_over(self.box)

    def _to(self, connection: str, turn: int | None) -> Lease:
        return self.attending(connection) if turn is None else Lease(turn)


def _check_body(body: str) -> None:
    if not body.strip():
        raise InvalidMessage("The message is empty: write something into its body.")
    try:
        size = len(body.encode())
    except UnicodeEncodeError:
        raise InvalidMessage(
            "The body is no Unicode text: it has half of a surrogate pair in it."
        ) from None
    if size > MAX_BODY:
        raise BodyTooLarge(
            f"The body has {size} bytes; a message has at most {MAX_BODY}."
        )


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))
