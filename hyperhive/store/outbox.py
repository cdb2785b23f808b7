"""The ``outbox`` table: what has yet to be told outside the house, a row for each target."""

import sqlite3
from collections.abc import Collection

from attrs import frozen

#: How many rows there may be at most; past that the oldest go.
MAX_ROWS = 2000

#: What of the other tables is to be told, by its kind: when, of which row, if what holds.
_FACTS = {
    "approval": (
        "INSERT ON approvals",
        "NEW.status = 'pending' AND NEW.asker <> 'operator'",
    ),
    "question": ("INSERT ON questions", "NEW.status = 'pending'"),
    "dead": (
        "UPDATE OF state ON messages",
        "NEW.state = 'dead' AND OLD.state <> 'dead'",
    ),
}


@frozen
class OutboxRow:
    """One thing that one target has yet to be told.

    :param subject: an id, or an agent's name.
    """

    id: int
    target: str
    kind: str
    subject: str


class OutboxTable:
    """The SQL of the ``outbox`` table."""

    @staticmethod
    def watch(
        connection: sqlite3.Connection, targets: Collection[str], kinds: Collection[str]
    ) -> None:
        """Fill the table from now on, in the transactions of the facts themselves.

        That is done by triggers, so that no way to write a fact can forget it. They
        are temporary: they last as long as the connection, and where nobody is to be
        told there are none.
        """
        for name in ("bound", *_FACTS):
            connection.execute(f"DROP TRIGGER IF EXISTS temp.outbox_{name}")
        if not targets:
            return
        bound = f"DELETE FROM outbox WHERE id <= NEW.id - {MAX_ROWS};"  # noqa: S608  # a number of ours
        _trigger(connection, "bound", "AFTER INSERT ON outbox", bound)
        for kind, (when, which) in _FACTS.items():
            if kind in kinds:
                inserts = "".join(
                    "INSERT INTO outbox (target, kind, subject) "  # noqa: S608  # names of ours
                    f"VALUES ('{target}', '{kind}', NEW.id); "
                    for target in targets
                )
                _trigger(connection, kind, f"AFTER {when} WHEN {which}", inserts)

    @staticmethod
    def keep(
        connection: sqlite3.Connection, targets: Collection[str], kinds: Collection[str]
    ) -> None:
        """Forget what is for other targets, or of other kinds."""
        for target, kind in connection.execute(
            "SELECT DISTINCT target, kind FROM outbox"
        ).fetchall():
            if target not in targets or kind not in kinds:
                connection.execute(
                    "DELETE FROM outbox WHERE target = ? AND kind = ?", (target, kind)
                )

    @staticmethod
    def add(
        connection: sqlite3.Connection,
        targets: Collection[str],
        kind: str,
        subject: str,
    ) -> None:
        """Note for each target that it is to be told."""
        connection.executemany(
            "INSERT INTO outbox (target, kind, subject) VALUES (?, ?, ?)",
            [(target, kind, subject) for target in targets],
        )

    @staticmethod
    def kinds(connection: sqlite3.Connection, target: str) -> dict[str, int]:
        """How many rows of each kind wait for a target."""
        rows = connection.execute(
            "SELECT kind, count(*) FROM outbox WHERE target = ? GROUP BY kind",
            (target,),
        )
        return dict(rows.fetchall())

    @staticmethod
    def waiting(
        connection: sqlite3.Connection, target: str, kind: str
    ) -> list[OutboxRow]:
        """What waits for a target of one kind, oldest first."""
        rows = connection.execute(
            "SELECT id, target, kind, subject FROM outbox "
            "WHERE target = ? AND kind = ? ORDER BY id",
            (target, kind),
        )
        return [OutboxRow(*values) for values in rows]

    @staticmethod
    def told(connection: sqlite3.Connection, target: str, kind: str, last: int) -> None:
        """Forget what a target was told of one kind, up to a row."""
        connection.execute(
            "DELETE FROM outbox WHERE target = ? AND kind = ? AND id <= ?",
            (target, kind, last),
        )


def _trigger(connection: sqlite3.Connection, name: str, when: str, does: str) -> None:
    connection.execute(f"CREATE TEMP TRIGGER outbox_{name} {when} BEGIN {does} END")
