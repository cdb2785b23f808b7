"""The ``messages`` table: every message, and each step of its life as one statement.

A step names the state that it starts from, so that it does nothing to a message
that has gone on meanwhile, and answers which messages it moved.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
from attrs import frozen


@frozen
class MessageRow:
    """One message to one recipient. Times are POSIX seconds.

    :param sender: a mailbox, or ``system``.
    :param recipient: a mailbox.
    :param state: ``queued``, ``leased``, ``done`` or ``dead``.
    :param turn: the turn that it is leased to, or that had it last.
    :param connection: the connection that it is leased to.
    :param attempts: turns that failed with it.
    :param redelivered: it was handed out before.
    :param read_at: when it was marked read, of the operator's inbox.
    """

    id: int
    sender: str
    recipient: str
    body: str = attrs.field(repr=False)
    sent_at: float
    state: str
    turn: int | None = None
    connection: str | None = None
    attempts: int = 0
    redelivered: bool = False
    in_reply_to: int | None = None
    done_at: float | None = None
    read_at: float | None = None


@frozen
class MovedMessage:
    """A message whose state has changed: its row without what is large."""

    id: int
    sender: str
    recipient: str
    state: str
    turn: int | None = None


#: The largest id that SQLite has. Who asks for a message may name any number.
_MAX_ID = 2**63 - 1

_NAMES = tuple(field.name for field in attrs.fields(MessageRow))
_COLUMNS = ", ".join(_NAMES)
_MOVED = ", ".join(field.name for field in attrs.fields(MovedMessage))


class MessageTable:
    """The SQL of the ``messages`` table. Lists are in the order of ids."""

    @staticmethod
    def insert(
        connection: sqlite3.Connection,
        sender: str,
        recipient: str,
        body: str,
        sent_at: float,
        in_reply_to: int | None = None,
    ) -> MessageRow:
        """Queue a message."""
        cursor = connection.execute(
            "INSERT INTO messages (sender, recipient, body, sent_at, in_reply_to) "
            "VALUES (?, ?, ?, ?, ?)",
            (sender, recipient, body, sent_at, in_reply_to),
        )
        assert cursor.lastrowid is not None  # an INSERT has set it
        return MessageRow(
            cursor.lastrowid,
            sender,
            recipient,
            body,
            sent_at,
            "queued",
            in_reply_to=in_reply_to,
        )

    @staticmethod
    def get(connection: sqlite3.Connection, id: int) -> MessageRow | None:
        """One message."""
        if not 0 < id <= _MAX_ID:
            return None
        rows = _rows(connection, "WHERE id = ?", id)
        return rows[0] if rows else None

    @staticmethod
    def any_queued(connection: sqlite3.Connection, recipient: str) -> bool:
        """Whether a message is queued for a mailbox."""
        found = connection.execute(
            "SELECT 1 FROM messages WHERE recipient = ? AND state = 'queued' LIMIT 1",
            (recipient,),
        )
        return found.fetchone() is not None

    @staticmethod
    def lease(
        connection: sqlite3.Connection,
        recipient: str,
        maximum: int,
        turn: int | None,
        holder: str | None,
    ) -> list[MessageRow]:
        """Lease the oldest queued messages to a turn or to a connection."""
        rows = connection.execute(
            "UPDATE messages SET state = 'leased', turn = ?, connection = ? "  # noqa: S608  # the columns are ours
            "WHERE id IN (SELECT id FROM messages "
            "WHERE recipient = ? AND state = 'queued' ORDER BY id LIMIT ?) "
            f"RETURNING {_COLUMNS}",
            (turn, holder, recipient, maximum),
        )
        return sorted(map(_row, rows), key=lambda row: row.id)

    @staticmethod
    def finish_turn(
        connection: sqlite3.Connection, turn: int, now: float
    ) -> list[MovedMessage]:
        """What is leased to a turn is done."""
        return _move(
            connection,
            "state = 'done', done_at = ?",
            "state = 'leased' AND turn = ?",
            now,
            turn,
        )

    @staticmethod
    def kill_exhausted(
        connection: sqlite3.Connection, turn: int, limit: int
    ) -> list[MovedMessage]:
        """What is leased to a failed turn and has only one of ``limit`` attempts left is dead."""
        return _move(
            connection,
            "state = 'dead', attempts = attempts + 1, redelivered = 1",
            "state = 'leased' AND turn = ? AND attempts + 1 >= ?",
            turn,
            limit,
        )

    @staticmethod
    def give_back_turn(
        connection: sqlite3.Connection, turn: int, attempts: int
    ) -> list[MovedMessage]:
        """Queue again, marked, what is leased to a turn, with ``attempts`` more counted."""
        return _move(
            connection,
            "state = 'queued', redelivered = 1, attempts = attempts + ?",
            "state = 'leased' AND turn = ?",
            attempts,
            turn,
        )

    @staticmethod
    def finish_held(
        connection: sqlite3.Connection, ids: Iterable[int], holder: str, now: float
    ) -> list[MovedMessage]:
        """Those of ``ids`` that are leased to the connection ``holder`` are done."""
        moved = []
        for id in ids:
            moved += _move(
                connection,
                "state = 'done', connection = NULL, done_at = ?",
                "id = ? AND state = 'leased' AND connection = ?",
                now,
                id,
                holder,
            )
        return moved

    @staticmethod
    def give_back(
        connection: sqlite3.Connection,
        ids: Iterable[int],
        turn: int | None,
        holder: str | None,
        redelivered: bool,
    ) -> list[MovedMessage]:
        """Queue again those of ``ids`` that are leased so, marked if they were handed out."""
        moved = []
        for id in ids:
            moved += _move(
                connection,
                "state = 'queued', connection = NULL, "
                "redelivered = MAX(redelivered, ?)",
                "id = ? AND state = 'leased' AND turn IS ? AND connection IS ?",
                redelivered,
                id,
                turn,
                holder,
            )
        return moved

    @staticmethod
    def give_back_all(connection: sqlite3.Connection, but: str) -> list[MovedMessage]:
        """Queue again, marked, all that is leased, except to connections named ``but…``."""
        return _move(
            connection,
            "state = 'queued', connection = NULL, redelivered = 1",
            "state = 'leased' "
            "AND (connection IS NULL OR substr(connection, 1, ?) <> ?)",
            len(but),
            but,
        )

    @staticmethod
    def kill_queued(
        connection: sqlite3.Connection, recipient: str
    ) -> list[MovedMessage]:
        """What is queued for a mailbox is dead."""
        return _move(
            connection,
            "state = 'dead'",
            "recipient = ? AND state = 'queued'",
            recipient,
        )

    @staticmethod
    def kill_leased(
        connection: sqlite3.Connection, recipient: str
    ) -> list[MovedMessage]:
        """What is leased of a mailbox is dead."""
        return _move(
            connection,
            "state = 'dead', connection = NULL, redelivered = 1",
            "id IN (SELECT id FROM messages INDEXED BY messages_leased "
            "WHERE state = 'leased' AND recipient = ?)",
            recipient,
        )

    @staticmethod
    def revive(connection: sqlite3.Connection, id: int) -> list[MovedMessage]:
        """Queue a dead message again, as if no turn had failed with it."""
        return _move(
            connection,
            "state = 'queued', attempts = 0",
            "id = ? AND state = 'dead'",
            id,
        )

    @staticmethod
    def mark_read(
        connection: sqlite3.Connection,
        ids: Iterable[int],
        recipient: str,
        now: float,
    ) -> list[MovedMessage]:
        """Those of ``ids`` that are queued in this mailbox are read, and done."""
        moved = []
        for id in ids:
            if not 0 < id <= _MAX_ID:
                continue
            moved += _move(
                connection,
                "state = 'done', done_at = ?, read_at = ?",
                "id = ? AND recipient = ? AND state = 'queued'",
                now,
                now,
                id,
                recipient,
            )
        return moved

    @staticmethod
    def queued(connection: sqlite3.Connection) -> dict[str, int]:
        """How many messages are queued in each mailbox that has any."""
        return dict(
            connection.execute(
                "SELECT recipient, COUNT(*) FROM messages "
                "WHERE state = 'queued' GROUP BY recipient"
            ).fetchall()
        )

    @staticmethod
    def inbox(
        connection: sqlite3.Connection, recipient: str, limit: int
    ) -> list[MessageRow]:
        """The newest messages of a mailbox."""
        rows = _rows(
            connection,
            "WHERE recipient = ? ORDER BY id DESC LIMIT ?",
            recipient,
            limit,
        )
        return rows[::-1]

    @staticmethod
    def page(
        connection: sqlite3.Connection,
        mailbox: str | None,
        before: int | None,
        limit: int,
    ) -> list[MessageRow]:
        """The newest messages to or from a mailbox, or of all, with ids under ``before``."""
        return [*MessageTable.newest(connection, mailbox, before, limit)][::-1]

    @staticmethod
    def newest(
        connection: sqlite3.Connection,
        mailbox: str | None,
        before: int | None,
        limit: int,
    ) -> Iterator[MessageRow]:
        """Those of :meth:`page` one by one, the newest first."""
        under = _under(before)
        if mailbox is None:
            return _each(
                connection, "WHERE id < ? ORDER BY id DESC LIMIT ?", under, limit
            )
        # Each half is read from the end of its own index.
        newest = (
            "SELECT id FROM messages WHERE {} = ? AND id < ? ORDER BY id DESC LIMIT ?"
        )
        return _each(
            connection,
            f"WHERE id IN (SELECT * FROM ({newest.format('recipient')}) "  # noqa: S608  # the text is ours
            f"UNION SELECT * FROM ({newest.format('sender')})) "
            "ORDER BY id DESC LIMIT ?",
            *(mailbox, under, limit) * 2,
            limit,
        )

    @staticmethod
    def newest_dead(
        connection: sqlite3.Connection, before: int | None, limit: int
    ) -> Iterator[MessageRow]:
        """Dead messages of all with ids under ``before``, the newest first."""
        return _each(
            connection,
            "WHERE state = 'dead' AND id < ? ORDER BY id DESC LIMIT ?",
            _under(before),
            limit,
        )

    @staticmethod
    def prune(connection: sqlite3.Connection, done_before: float, limit: int) -> int:
        """Forget at most ``limit`` messages that were done before a time; answers how many."""
        return connection.execute(
            "DELETE FROM messages WHERE id IN (SELECT id FROM messages "
            "WHERE state = 'done' AND done_at < ? ORDER BY done_at LIMIT ?)",
            (done_before, limit),
        ).rowcount


def _rows(
    connection: sqlite3.Connection, where: str, *values: object
) -> list[MessageRow]:
    return list(_each(connection, where, *values))


def _each(
    connection: sqlite3.Connection, where: str, *values: object
) -> Iterator[MessageRow]:
    found = connection.execute(f"SELECT {_COLUMNS} FROM messages {where}", values)  # noqa: S608  # the text is ours
    return map(_row, found)


def _under(before: int | None) -> int:
    return _MAX_ID if before is None else max(0, min(before, _MAX_ID))


def _row(values: Sequence[Any]) -> MessageRow:
    members = dict(zip(_NAMES, values, strict=True))
    members["redelivered"] = bool(members["redelivered"])
    # What RETURNING gives of a whole number in a REAL column is an integer.
    members["sent_at"] = float(members["sent_at"])
    return MessageRow(**members)


def _move(
    connection: sqlite3.Connection, change: str, where: str, *values: object
) -> list[MovedMessage]:
    rows = connection.execute(
        f"UPDATE messages SET {change} WHERE {where} RETURNING {_MOVED}",  # noqa: S608  # the text is ours
        values,
    )
    return sorted((MovedMessage(*row) for row in rows), key=lambda row: row.id)
