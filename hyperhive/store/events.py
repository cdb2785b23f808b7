"""The ``events`` table: what the agents' streams said, as it was published."""

import sqlite3
from collections.abc import Iterable, Iterator

import attrs
from attrs import frozen

#: How many rows one call of :meth:`EventTable.prune` deletes at most.
PRUNE_BITE = 1000

#: The largest number that SQLite has. Who asks for a page may name any.
_MAX_SEQ = 2**63 - 1


@frozen
class EventRow:
    """One event.

    :param seq: its number on the bus.
    :param agent: whom it is about, ``None`` if about nobody.
    :param at: POSIX time.
    :param json: the whole event as one line.
    """

    seq: int
    agent: str | None
    kind: str
    at: float
    json: str = attrs.field(repr=False)


class EventTable:
    """The SQL of the ``events`` table."""

    @staticmethod
    def append(connection: sqlite3.Connection, rows: Iterable[EventRow]) -> None:
        """Add events."""
        connection.executemany(
            "INSERT INTO events (seq, agent, kind, at, json) VALUES (?, ?, ?, ?, ?)",
            ((row.seq, row.agent, row.kind, row.at, row.json) for row in rows),
        )

    @staticmethod
    def newest(connection: sqlite3.Connection) -> int:
        """The newest event's number, 0 if there is none."""
        (newest,) = connection.execute(
            "SELECT COALESCE(MAX(seq), 0) FROM events"
        ).fetchone()
        return int(newest)

    @staticmethod
    def page(
        connection: sqlite3.Connection, agent: str, before: int | None, limit: int
    ) -> list[EventRow]:
        """The newest events of an agent with numbers under ``before``, oldest first."""
        rows = connection.execute(
            "SELECT seq, agent, kind, at, json FROM events "
            "WHERE agent = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (
                agent,
                _MAX_SEQ if before is None else max(0, min(before, _MAX_SEQ)),
                limit,
            ),
        )
        return [EventRow(*values) for values in rows][::-1]

    @staticmethod
    def page_after(
        connection: sqlite3.Connection, agent: str, after: int, limit: int
    ) -> list[EventRow]:
        """The oldest events of an agent with numbers over ``after``, oldest first."""
        rows = connection.execute(
            "SELECT seq, agent, kind, at, json FROM events "
            "WHERE agent = ? AND seq > ? ORDER BY seq LIMIT ?",
            (agent, min(after, _MAX_SEQ), limit),
        )
        return [EventRow(*values) for values in rows]

    @staticmethod
    def prune(connection: sqlite3.Connection, oldest: float, per_agent: int) -> int:
        """Forget some of what is older than a time or past an agent's newest ``per_agent``.

        At most :data:`PRUNE_BITE` rows go at once; answers how many: call it again
        until that is none.
        """
        gone = connection.execute(
            "DELETE FROM events WHERE seq IN "
            "(SELECT seq FROM events WHERE at < ? ORDER BY at LIMIT ?)",
            (oldest, PRUNE_BITE),
        ).rowcount
        for agent in _agents(connection):
            if gone >= PRUNE_BITE:
                break
            gone += _prune_agent(connection, agent, per_agent, PRUNE_BITE - gone)
        return gone


def _agents(connection: sqlite3.Connection) -> Iterator[str]:
    """Everybody who has events, one look into the index for each."""
    after = ""
    while True:
        (agent,) = connection.execute(
            "SELECT MIN(agent) FROM events WHERE agent > ?", (after,)
        ).fetchone()
        if agent is None:
            return
        yield agent
        after = agent


def _prune_agent(
    connection: sqlite3.Connection, agent: str, kept: int, limit: int
) -> int:
    newest_gone = connection.execute(
        "SELECT seq FROM events WHERE agent = ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
        (agent, kept),
    ).fetchone()
    if newest_gone is None:
        return 0
    return connection.execute(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events "
        "WHERE agent = ? AND seq <= ? ORDER BY seq LIMIT ?)",
        (agent, newest_gone[0], limit),
    ).rowcount
