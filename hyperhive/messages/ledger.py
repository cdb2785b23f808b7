"""The broker's transactions: what one write does to messages and turns, and what it changed.

Everything here runs on the writer's thread, within one transaction. What is to
follow after its COMMIT (counts, events, waiting receivers) is told by the list of
changes that it leaves.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

from attrs import frozen

from hyperhive.messages import convert
from hyperhive.messages.interfaces import (
    MAX_ATTEMPTS,
    Also,
    NoSuchMessage,
    NoSuchTurn,
    NotDead,
    Notice,
    NotYourTurn,
    Outcome,
    TurnEnd,
    TurnRuns,
    UnknownRecipient,
)
from hyperhive.names import EVERYONE, OPERATOR, SYSTEM, mailbox, mailbox_owner
from hyperhive.store.agents import AgentTable
from hyperhive.store.messages import MessageRow, MessageTable, MovedMessage
from hyperhive.store.turns import TurnRow, TurnTable

T = TypeVar("T")

#: How many names an error lists at most.
MAX_LISTED = 50


@frozen
class Change:
    """What a transaction did to one message.

    :param kind: the kind of the event that tells of it.
    :param unread: by how much it changes the number of queued messages.
    """

    kind: str
    message: MessageRow | MovedMessage
    unread: int


@frozen
class Lease:
    """To what messages are leased: a turn, or else a connection of a paused agent."""

    turn: int | None
    holder: str | None = None


class Ledger:
    """One transaction. Mailboxes are given as such; agents by their names.

    :param now: the moment of everything in it (POSIX seconds).
    :ivar changes: what it did, in order.
    :ivar lost: notices whose recipient does not exist.
    """

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self._now = now
        self.changes: list[Change] = []
        self.lost: list[Notice] = []

    def send(
        self, sender: str, to: str, body: str, in_reply_to: int | None
    ) -> tuple[int, ...]:
        """Queue a message for a mailbox, or for every agent's but the sender's."""
        if (
            in_reply_to is not None
            and MessageTable.get(self._connection, in_reply_to) is None
        ):
            raise NoSuchMessage(f"There is no message {in_reply_to} to reply to.")
        if to != EVERYONE:
            check_mailbox(self._connection, to)
            return (self._queue(sender, to, body, in_reply_to),)
        others = [box for box in _mailboxes(self._connection) if box != sender]
        if not others:
            raise UnknownRecipient(
                "There is no other agent: a message to everyone would reach nobody."
            )
        return tuple(self._queue(sender, box, body, in_reply_to) for box in others)

    def lease(self, agent: str, maximum: int, to: Lease) -> list[MessageRow]:
        """Lease the oldest messages; outside of a turn only if the agent is paused."""
        if to.turn is None:
            self._check_attended(agent)
        rows = MessageTable.lease(
            self._connection, mailbox(agent), maximum, to.turn, to.holder
        )
        self.changes += [Change("message_leased", row, -1) for row in rows]
        return rows

    def give_back(self, ids: Iterable[int], lease: Lease, handed_out: bool) -> None:
        """Queue again what is leased so of these, marked if somebody had it."""
        self._requeued(
            MessageTable.give_back(
                self._connection, ids, lease.turn, lease.holder, handed_out
            )
        )

    def acknowledge(self, ids: Iterable[int], lease: Lease) -> None:
        """What is leased of these to the connection is done."""
        assert lease.holder is not None  # turns acknowledge by their end
        moved = MessageTable.finish_held(self._connection, ids, lease.holder, self._now)
        self._done(moved, 0)

    def mark_read(self, ids: Iterable[int]) -> int:
        """Mark messages of the operator's inbox; answers how many were not."""
        moved = MessageTable.mark_read(self._connection, ids, OPERATOR, self._now)
        self._done(moved, -1)
        return len(moved)

    def requeue(self, id: int) -> None:
        """Queue a dead message again."""
        row = MessageTable.get(self._connection, id)
        if row is None:
            raise NoSuchMessage(f"There is no message {id}.")
        if row.state != "dead":
            raise NotDead(
                f"Message {id} is {row.state}; only a dead one can be queued again."
            )
        check_mailbox(self._connection, row.recipient)
        self._requeued(MessageTable.revive(self._connection, id))

    def begin_turn(
        self, agent: str, kind: str
    ) -> tuple[TurnRow, MessageRow | None] | None:
        """Begin a turn with the oldest message; none without one, or for a paused agent."""
        row = AgentTable.get(self._connection, agent)
        if row is None:
            raise UnknownRecipient(_nobody(self._connection, agent))
        if TurnTable.runs(self._connection, agent):
            raise TurnRuns(f"{agent} is in a turn already.")
        if row.paused:
            return None
        for_message = kind == "message"
        box = mailbox(agent)
        if for_message and not MessageTable.any_queued(self._connection, box):
            return None
        turn = TurnTable.begin(self._connection, agent, kind, self._now)
        if not for_message:
            return turn, None
        (message,) = self.lease(agent, 1, Lease(turn.id))
        if not message.redelivered:
            waited = max(0.0, self._now - message.sent_at)
            TurnTable.waited(self._connection, turn.id, waited)
        return turn, message

    def end_turn(
        self, turn: int, end: TurnEnd, also: Also, notices: Iterable[Notice]
    ) -> None:
        """End a turn; its messages are done, queued again or dead by its outcome."""
        if not TurnTable.end(self._connection, turn, convert.ending(end, self._now)):
            raise NoSuchTurn(f"Turn {turn} does not run.")
        if end.outcome.finishes:
            self._done(MessageTable.finish_turn(self._connection, turn, self._now), 0)
        else:
            self._give_back_turn(turn, end)
        also(self._connection)
        for notice in notices:
            self._notify(notice)

    def tell(
        self,
        act: Callable[[sqlite3.Connection], T],
        notices: Callable[[T], Iterable[Notice]],
    ) -> T:
        """Do something and queue what is told of it."""
        result = act(self._connection)
        for notice in notices(result):
            self._notify(notice)
        return result

    def bury(
        self, agent: str, also: Callable[[sqlite3.Connection], Iterable[Notice]]
    ) -> int:
        """What waits for the agent is dead; ``also`` removes it. Answers how many."""
        box = mailbox(agent)
        queued = MessageTable.kill_queued(self._connection, box)
        leased = MessageTable.kill_leased(self._connection, box)
        notices = also(self._connection)
        self.changes += [Change("message_dead", message, -1) for message in queued]
        self.changes += [Change("message_dead", message, 0) for message in leased]
        dead = sorted(queued + leased, key=lambda message: message.id)
        for message in dead:
            self._tell_sender(message, f"{agent} was destroyed")
        if dead:
            count = "1 message" if len(dead) == 1 else f"{len(dead)} messages"
            self._notify(
                Notice(
                    OPERATOR,
                    f"{agent} was destroyed with {count} waiting for it: now dead. "
                    "Their senders were told.",
                )
            )
        for notice in notices:
            self._notify(notice)
        return len(dead)

    def recover(self, note: str, life: str) -> int:
        """End what turns a dead daemon left; give back what it leased. Answers how many.

        :param life: how connections of the daemon that lives are named at their start.
        """
        TurnTable.end_all(self._connection, self._now, Outcome.DRAINED.value, note)
        moved = MessageTable.give_back_all(self._connection, but=life)
        self._requeued(moved)
        return len(moved)

    def _check_attended(self, agent: str) -> None:
        row = AgentTable.get(self._connection, agent)
        if row is None:
            raise UnknownRecipient(_nobody(self._connection, agent))
        if not row.paused:
            raise NotYourTurn(
                f"{agent} is not in a turn, and its messages belong to its turns: "
                "they can be received within one, or by hand while it is paused."
            )

    def _give_back_turn(self, turn: int, end: TurnEnd) -> None:
        counted = 0
        if end.outcome.counts:
            counted = 1
            dead = MessageTable.kill_exhausted(self._connection, turn, MAX_ATTEMPTS)
            self.changes += [Change("message_dead", message, 0) for message in dead]
            for message in dead:
                self._tell_of_dead(message, end)
        self._requeued(MessageTable.give_back_turn(self._connection, turn, counted))

    def _tell_of_dead(self, message: MovedMessage, end: TurnEnd) -> None:
        why = end.note or end.outcome.value
        note = f"{MAX_ATTEMPTS} turns failed with it, the last one so: {why}"
        self._tell_sender(message, note)
        self._notify(
            Notice(
                OPERATOR,
                f"Message {message.id} from {message.sender} to {message.recipient} is "
                f"dead: {note}. It can be queued again.",
            )
        )

    def _tell_sender(self, message: MovedMessage, note: str) -> None:
        """Tell an agent; who has no mailbox of an agent is told otherwise, or not at all."""
        if message.sender in (OPERATOR, SYSTEM):
            return
        body = {
            "event": "message_dead",
            "id": message.id,
            "to": message.recipient,
            "note": note,
        }
        if _exists(self._connection, message.sender):
            self._notify(Notice(message.sender, json.dumps(body, ensure_ascii=False)))

    def _notify(self, notice: Notice) -> None:
        box = mailbox(notice.to)
        if _exists(self._connection, box):
            self._queue(SYSTEM, box, notice.body, None)
        else:
            self.lost.append(notice)

    def _queue(self, sender: str, box: str, body: str, in_reply_to: int | None) -> int:
        row = MessageTable.insert(
            self._connection, sender, box, body, self._now, in_reply_to
        )
        self.changes.append(Change("message_sent", row, 1))
        return row.id

    def _requeued(self, moved: list[MovedMessage]) -> None:
        self.changes += [Change("message_requeued", message, 1) for message in moved]

    def _done(self, moved: list[MovedMessage], unread: int) -> None:
        self.changes += [Change("message_done", message, unread) for message in moved]


def check_mailbox(connection: sqlite3.Connection, box: str) -> None:
    """:raises UnknownRecipient: if nobody has this mailbox."""
    if not _exists(connection, box):
        raise UnknownRecipient(_nobody(connection, box))


def _exists(connection: sqlite3.Connection, box: str) -> bool:
    owner = mailbox_owner(box)
    return box == OPERATOR or AgentTable.get(connection, owner) is not None


def _mailboxes(connection: sqlite3.Connection) -> list[str]:
    return [mailbox(row.name) for row in AgentTable.all(connection)]


def _nobody(connection: sqlite3.Connection, name: str) -> str:
    names = [*_mailboxes(connection), OPERATOR]
    listed = ", ".join(names[:MAX_LISTED])
    if len(names) > MAX_LISTED:
        listed += f" and {len(names) - MAX_LISTED} more"
    return f"There is nobody called {name[:40]!r}; there are {listed}."
