"""The ``questions`` table: what agents asked the operator, and the answers."""

import json
import sqlite3
from typing import Any

import attrs
from attrs import frozen


@frozen
class QuestionRow:
    """One question. Times are POSIX seconds.

    :param asker: a mailbox.
    :param options: texts to choose from; none: only free text.
    :param multi: several of them may be chosen.
    :param expires_at: when it is not to be answered any more.
    :param status: ``pending``, ``answered``, ``cancelled`` or ``expired``.
    :param resolved_by: ``operator``, ``operator (link)`` or ``hive``.
    """

    id: int
    asker: str
    question: str
    options: tuple[str, ...]
    multi: bool
    asked_at: float
    expires_at: float | None = None
    status: str = "pending"
    resolved_at: float | None = None
    resolved_by: str | None = None
    answer: str | None = None


_COLUMNS = ", ".join(field.name for field in attrs.fields(QuestionRow))


class QuestionTable:
    """The SQL of the ``questions`` table."""

    @staticmethod
    def insert(
        connection: sqlite3.Connection,
        asker: str,
        question: str,
        options: tuple[str, ...],
        multi: bool,
        asked_at: float,
        expires_at: float | None,
    ) -> QuestionRow:
        """Add one that waits for its answer."""
        texts = json.dumps(options, ensure_ascii=False)
        cursor = connection.execute(
            "INSERT INTO questions (asker, question, options, multi, asked_at, "
            "expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            (asker, question, texts, multi, asked_at, expires_at),
        )
        assert cursor.lastrowid is not None  # it is an INSERT
        return QuestionRow(
            cursor.lastrowid, asker, question, options, multi, asked_at, expires_at
        )

    @staticmethod
    def get(connection: sqlite3.Connection, id: int) -> QuestionRow | None:
        """One question."""
        values = connection.execute(
            f"SELECT {_COLUMNS} FROM questions WHERE id = ?",  # noqa: S608  # the columns are ours
            (id,),
        ).fetchone()
        return None if values is None else _row(values)

    @staticmethod
    def pending(connection: sqlite3.Connection) -> list[QuestionRow]:
        """What waits for its answer, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM questions INDEXED BY questions_pending "  # noqa: S608  # the columns are ours
            "WHERE status = 'pending' ORDER BY id"
        )
        return [_row(values) for values in rows]

    @staticmethod
    def pending_of(connection: sqlite3.Connection, asker: str) -> list[QuestionRow]:
        """What of one asker's waits for its answer, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM questions INDEXED BY questions_pending "  # noqa: S608  # the columns are ours
            "WHERE status = 'pending' AND asker = ? ORDER BY id",
            (asker,),
        )
        return [_row(values) for values in rows]

    @staticmethod
    def waiting(connection: sqlite3.Connection) -> dict[str, int]:
        """How many questions of each asker wait for their answers."""
        rows = connection.execute(
            "SELECT asker, count(*) FROM questions INDEXED BY questions_pending "
            "WHERE status = 'pending' GROUP BY asker"
        )
        return dict(rows.fetchall())

    @staticmethod
    def next_expiry(connection: sqlite3.Connection) -> float | None:
        """When the next of those that are pending expires, if any does."""
        (moment,) = connection.execute(
            "SELECT min(expires_at) FROM questions INDEXED BY questions_pending "
            "WHERE status = 'pending'"
        ).fetchone()
        return None if moment is None else float(moment)

    @staticmethod
    def resolve(
        connection: sqlite3.Connection,
        id: int,
        status: str,
        at: float,
        by: str,
        answer: str | None = None,
    ) -> QuestionRow | None:
        """End one that is pending; ``None`` if it is not, and then nothing changes."""
        values = connection.execute(
            "UPDATE questions "  # noqa: S608  # the columns are ours
            "SET status = ?, resolved_at = ?, resolved_by = ?, answer = ? "
            f"WHERE id = ? AND status = 'pending' RETURNING {_COLUMNS}",
            (status, at, by, answer, id),
        ).fetchone()
        return None if values is None else _row(values)

    @staticmethod
    def prune(connection: sqlite3.Connection, before: float, limit: int) -> int:
        """Forget some that ended before then; answers how many."""
        return connection.execute(
            "DELETE FROM questions WHERE id IN (SELECT id FROM questions "
            "WHERE status <> 'pending' AND resolved_at < ? LIMIT ?)",
            (before, limit),
        ).rowcount


def _row(values: tuple[Any, ...]) -> QuestionRow:
    id, asker, question, options, multi, *rest = values
    return QuestionRow(
        id, asker, question, tuple(json.loads(options)), bool(multi), *rest
    )
