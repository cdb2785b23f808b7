"""The ``jobs`` table: every change to a container that was asked for, and what came of it."""

import sqlite3

import attrs
from attrs import frozen


@frozen
class JobRow:
    """One job of the deploy queue. Times are POSIX seconds.

    :param kind: ``create``, ``rebuild``, ``start``, ``stop``, ``restart``, ``destroy``
        or ``purge``.
    :param by: who asked for it: ``operator``, ``manager`` or ``hive``.
    :param approval: the approval that it carries out.
    :param sha: the commit that it deploys.
    :param started_at: ``None`` while it waits.
    :param ended_at: ``None`` while it waits or runs.
    :param outcome: ``done``, ``failed``, ``cancelled``, or ``interrupted`` by the
        daemon's end.
    :param note: why it failed, or what is to be known of it.
    """

    id: int
    kind: str
    agent: str
    by: str
    approval: int | None
    sha: str | None
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    note: str | None = None


_COLUMNS = ", ".join(field.name for field in attrs.fields(JobRow))


class JobTable:
    """The SQL of the ``jobs`` table."""

    @staticmethod
    def insert(
        connection: sqlite3.Connection,
        kind: str,
        agent: str,
        by: str,
        queued_at: float,
        approval: int | None = None,
        sha: str | None = None,
    ) -> JobRow:
        """Add a job that waits."""
        cursor = connection.execute(
            "INSERT INTO jobs (kind, agent, by, approval, sha, queued_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (kind, agent, by, approval, sha, queued_at),
        )
        assert cursor.lastrowid is not None  # it is an INSERT
        return JobRow(cursor.lastrowid, kind, agent, by, approval, sha, queued_at)

    @staticmethod
    def get(connection: sqlite3.Connection, id: int) -> JobRow | None:
        """One job."""
        values = connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE id = ?",  # noqa: S608  # the columns are ours
            (id,),
        ).fetchone()
        return None if values is None else JobRow(*values)

    @staticmethod
    def later(connection: sqlite3.Connection, row: JobRow) -> int | None:
        """A later job of the same approval that is under way or was done."""
        found = connection.execute(
            "SELECT id FROM jobs WHERE approval = ? AND id > ? "
            "AND (outcome IS NULL OR outcome = 'done') LIMIT 1",
            (row.approval, row.id),
        ).fetchone()
        return None if found is None else int(found[0])

    @staticmethod
    def failed_creation(
        connection: sqlite3.Connection, agent: str, created_at: float
    ) -> bool:
        """Whether an agent was made at that time by a job that then failed."""
        found = connection.execute(
            "SELECT 1 FROM jobs INDEXED BY jobs_by_agent "
            "WHERE agent = ? AND kind = 'create' AND outcome = 'failed' "
            "AND ? BETWEEN started_at AND ended_at",
            (agent, created_at),
        ).fetchone()
        return found is not None

    @staticmethod
    def open(connection: sqlite3.Connection) -> list[JobRow]:
        """What waits or runs, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE ended_at IS NULL ORDER BY id"  # noqa: S608  # the columns are ours
        )
        return [JobRow(*values) for values in rows]

    @staticmethod
    def newest(connection: sqlite3.Connection, limit: int) -> list[JobRow]:
        """The newest jobs, newest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM jobs ORDER BY id DESC LIMIT ?",  # noqa: S608  # the columns are ours
            (limit,),
        )
        return [JobRow(*values) for values in rows]

    @staticmethod
    def start(connection: sqlite3.Connection, id: int, started_at: float) -> None:
        """It runs now. One that has ended by then stays ended."""
        connection.execute(
            "UPDATE jobs SET started_at = ? WHERE id = ? AND ended_at IS NULL",
            (started_at, id),
        )

    @staticmethod
    def end(
        connection: sqlite3.Connection,
        id: int,
        ended_at: float,
        outcome: str,
        note: str | None,
    ) -> bool:
        """It has ended; whether it had not before."""
        cursor = connection.execute(
            "UPDATE jobs SET ended_at = ?, outcome = ?, note = ? "
            "WHERE id = ? AND ended_at IS NULL",
            (ended_at, outcome, note, id),
        )
        return cursor.rowcount == 1

    @staticmethod
    def prune(connection: sqlite3.Connection, before: float) -> int:
        """Forget jobs that ended before then; answers how many."""
        return connection.execute(
            "DELETE FROM jobs WHERE ended_at < ?", (before,)
        ).rowcount
