"""The ``approvals`` table: every change that was proposed, and what was decided of it."""

import sqlite3

import attrs
from attrs import frozen


@frozen
class ApprovalRow:
    """One change that needs, or needed, the operator's decision. Times are POSIX seconds.

    :param agent: whom it is about.
    :param kind: ``spawn`` or ``apply_commit``.
    :param asker: a mailbox.
    :param commit_ref: the commit as it was asked for, of ``apply_commit``.
    :param sha: what that was at that time; nothing else is ever deployed for it.
    :param base: what the agent ran with at that time.
    :param expires_at: when it is denied by itself.
    :param status: ``pending``, ``approved``, ``denied``, ``failed`` (approved, and it
        could not be done) or ``cancelled``.
    :param resolved_by: who decided: ``operator``, ``operator (link)`` or ``hive``.
    :param note: why it was denied, cancelled, or has failed.
    """

    id: int
    agent: str
    kind: str
    asker: str
    description: str | None
    commit_ref: str | None
    sha: str | None
    base: str | None
    requested_at: float
    expires_at: float | None = None
    status: str = "pending"
    resolved_at: float | None = None
    resolved_by: str | None = None
    note: str | None = None


_NAMES = tuple(field.name for field in attrs.fields(ApprovalRow))
_COLUMNS = ", ".join(_NAMES)


class ApprovalTable:
    """The SQL of the ``approvals`` table."""

    @staticmethod
    def insert(
        connection: sqlite3.Connection,
        agent: str,
        kind: str,
        asker: str,
        requested_at: float,
        description: str | None = None,
        commit_ref: str | None = None,
        sha: str | None = None,
        base: str | None = None,
        expires_at: float | None = None,
    ) -> ApprovalRow:
        """Add one that waits for a decision."""
        row = ApprovalRow(
            0,
            agent,
            kind,
            asker,
            description,
            commit_ref,
            sha,
            base,
            requested_at,
            expires_at,
        )
        return _inserted(connection, row)

    @staticmethod
    def insert_decided(
        connection: sqlite3.Connection,
        agent: str,
        sha: str,
        description: str,
        by: str,
        at: float,
    ) -> ApprovalRow:
        """Add a change of configuration that was decided by whoever asked for it."""
        row = ApprovalRow(
            0,
            agent,
            "apply_commit",
            by,
            description,
            None,
            sha,
            None,
            at,
            status="approved",
            resolved_at=at,
            resolved_by=by,
        )
        return _inserted(connection, row)

    @staticmethod
    def get(connection: sqlite3.Connection, id: int) -> ApprovalRow | None:
        """One approval."""
        values = connection.execute(
            f"SELECT {_COLUMNS} FROM approvals WHERE id = ?",  # noqa: S608  # the columns are ours
            (id,),
        ).fetchone()
        return None if values is None else ApprovalRow(*values)

    @staticmethod
    def pending(connection: sqlite3.Connection) -> list[ApprovalRow]:
        """What waits for a decision, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM approvals INDEXED BY approvals_pending "  # noqa: S608  # the columns are ours
            "WHERE status = 'pending' ORDER BY id"
        )
        return [ApprovalRow(*values) for values in rows]

    @staticmethod
    def pending_of(connection: sqlite3.Connection, agent: str) -> list[ApprovalRow]:
        """What waits for a decision about one agent, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM approvals INDEXED BY approvals_pending "  # noqa: S608  # the columns are ours
            "WHERE agent = ? AND status = 'pending' ORDER BY id",
            (agent,),
        )
        return [ApprovalRow(*values) for values in rows]

    @staticmethod
    def next_expiry(connection: sqlite3.Connection) -> float | None:
        """When the next of those that are pending expires, if any does."""
        (moment,) = connection.execute(
            "SELECT min(expires_at) FROM approvals INDEXED BY approvals_pending "
            "WHERE status = 'pending'"
        ).fetchone()
        return None if moment is None else float(moment)

    @staticmethod
    def decided(connection: sqlite3.Connection, limit: int) -> list[ApprovalRow]:
        """Those that were decided last, the last one first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM approvals INDEXED BY approvals_decided "  # noqa: S608  # the columns are ours
            "WHERE status <> 'pending' ORDER BY resolved_at DESC, id DESC LIMIT ?",
            (limit,),
        )
        return [ApprovalRow(*values) for values in rows]

    @staticmethod
    def of_agent(connection: sqlite3.Connection, agent: str) -> list[ApprovalRow]:
        """Everything that was ever proposed for an agent, oldest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM approvals WHERE agent = ? ORDER BY id",  # noqa: S608  # the columns are ours
            (agent,),
        )
        return [ApprovalRow(*values) for values in rows]

    @staticmethod
    def resolve(
        connection: sqlite3.Connection,
        id: int,
        status: str,
        at: float,
        by: str,
        note: str | None = None,
    ) -> ApprovalRow | None:
        """Decide one that is pending; ``None`` if it is not, and then nothing changes."""
        values = connection.execute(
            "UPDATE approvals "  # noqa: S608  # the columns are ours
            "SET status = ?, resolved_at = ?, resolved_by = ?, note = ? "
            f"WHERE id = ? AND status = 'pending' RETURNING {_COLUMNS}",
            (status, at, by, note, id),
        ).fetchone()
        return None if values is None else ApprovalRow(*values)

    @staticmethod
    def fail(connection: sqlite3.Connection, id: int, note: str | None) -> None:
        """What was approved could not be done."""
        connection.execute(
            "UPDATE approvals SET status = 'failed', note = ? "
            "WHERE id = ? AND status = 'approved'",
            (note, id),
        )

    @staticmethod
    def retry(connection: sqlite3.Connection, id: int) -> None:
        """What had failed is tried again: it is approved as it was."""
        connection.execute(
            "UPDATE approvals SET status = 'approved', note = NULL "
            "WHERE id = ? AND status = 'failed'",
            (id,),
        )


def _inserted(connection: sqlite3.Connection, row: ApprovalRow) -> ApprovalRow:
    marks = ", ".join("?" for _ in _NAMES[1:])
    cursor = connection.execute(
        f"INSERT INTO approvals ({', '.join(_NAMES[1:])}) VALUES ({marks})",  # noqa: S608  # the columns are ours
        attrs.astuple(row)[1:],
    )
    assert cursor.lastrowid is not None  # it is an INSERT
    return attrs.evolve(row, id=cursor.lastrowid)
