"""The ``links`` table: which one-time links there are, and whether each was used.

What makes a link good is not in it: that is signed with a key that is not in the file.
"""

import sqlite3

import attrs
from attrs import frozen


@frozen
class LinkRow:
    """A link by which one approval or question can be decided. Times are POSIX seconds.

    :param kind: ``approval`` or ``question``.
    :param subject: its id.
    :param used_at: when it decided.
    """

    id: int
    kind: str
    subject: int
    made_at: float
    expires_at: float
    used_at: float | None = None


_COLUMNS = ", ".join(field.name for field in attrs.fields(LinkRow))


class LinkTable:
    """The SQL of the ``links`` table."""

    @staticmethod
    def insert(
        connection: sqlite3.Connection,
        kind: str,
        subject: int,
        made_at: float,
        expires_at: float,
    ) -> LinkRow:
        """Add a link that was not used."""
        cursor = connection.execute(
            "INSERT INTO links (kind, subject, made_at, expires_at) VALUES (?, ?, ?, ?)",
            (kind, subject, made_at, expires_at),
        )
        assert cursor.lastrowid is not None  # it is an INSERT
        return LinkRow(cursor.lastrowid, kind, subject, made_at, expires_at)

    @staticmethod
    def get(connection: sqlite3.Connection, id: int) -> LinkRow | None:
        """One link."""
        values = connection.execute(
            f"SELECT {_COLUMNS} FROM links WHERE id = ?",  # noqa: S608  # the columns are ours
            (id,),
        ).fetchone()
        return None if values is None else LinkRow(*values)

    @staticmethod
    def newest_of(
        connection: sqlite3.Connection, kind: str, subject: int
    ) -> LinkRow | None:
        """The newest link to one thing."""
        values = connection.execute(
            f"SELECT {_COLUMNS} FROM links WHERE kind = ? AND subject = ? "  # noqa: S608  # the columns are ours
            "ORDER BY id DESC LIMIT 1",
            (kind, subject),
        ).fetchone()
        return None if values is None else LinkRow(*values)

    @staticmethod
    def use(connection: sqlite3.Connection, id: int, at: float) -> bool:
        """Use a link up; whether it was there and had not been used."""
        cursor = connection.execute(
            "UPDATE links SET used_at = ? WHERE id = ? AND used_at IS NULL", (at, id)
        )
        return cursor.rowcount == 1

    @staticmethod
    def prune(connection: sqlite3.Connection, before: float, limit: int) -> int:
        """Forget some that expired before then; answers how many."""
        return connection.execute(
            "DELETE FROM links WHERE id IN "
            "(SELECT id FROM links WHERE expires_at < ? LIMIT ?)",
            (before, limit),
        ).rowcount
