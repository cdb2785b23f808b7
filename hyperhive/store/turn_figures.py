"""Sums over the ``turns`` table: what turns came to, between two moments.

A turn counts when it ends. All of it is read from one index that holds every column
that is needed, in the order of time (``turns_ended``).
"""

import sqlite3

from attrs import frozen

#: How many rows one call of :meth:`TurnFigures.prune` deletes at most.
PRUNE_BITE = 500

_BETWEEN = (
    "FROM turns INDEXED BY turns_ended "
    "WHERE ended_at IS NOT NULL AND ended_at >= ? AND ended_at < ?"
)

_OF = "AND agent = ?"


@frozen
class TurnSums:
    """The turns of one agent that ended in one way.

    :param turns: how many.
    :param cost_usd: of those whose cost is known; ``None`` if it is of none.
    """

    agent: str
    outcome: str
    turns: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float | None


@frozen
class DaySums:
    """All turns of one agent; see :class:`TurnSums`."""

    agent: str
    turns: int
    cost_usd: float | None


#: Lengths of time (milliseconds, to two figures), each with how often it occurred.
Lengths = list[tuple[int, int]]
#: The same by agent, in the order of agents and lengths.
AgentLengths = list[tuple[str, int, int]]


class TurnFigures:
    """The SQL. Times are POSIX seconds: from ``start`` on, before ``end``."""

    @staticmethod
    def sums(
        connection: sqlite3.Connection, start: float, end: float
    ) -> list[TurnSums]:
        """What turns came to, by agent and outcome."""
        rows = connection.execute(
            "SELECT agent, outcome, COUNT(*), SUM(input_tokens), SUM(output_tokens), "
            "SUM(cache_read_tokens), SUM(cache_write_tokens), SUM(cost_usd) "
            f"{_BETWEEN} GROUP BY agent, outcome",
            (start, end),
        )
        return [TurnSums(*values) for values in rows]

    @staticmethod
    def took(
        connection: sqlite3.Connection, start: float, end: float, agent: str | None
    ) -> Lengths:
        """How long turns took, of an agent or of all."""
        return _lengths(connection, "took_ms", start, end, agent)

    @staticmethod
    def waited(
        connection: sqlite3.Connection, start: float, end: float, agent: str | None
    ) -> Lengths:
        """How long the messages waited that turns began with, of an agent or of all."""
        return _lengths(connection, "waited_ms", start, end, agent)

    @staticmethod
    def took_by_agent(
        connection: sqlite3.Connection, start: float, end: float
    ) -> AgentLengths:
        """How long each agent's turns took."""
        return _agent_lengths(connection, "took_ms", start, end)

    @staticmethod
    def waited_by_agent(
        connection: sqlite3.Connection, start: float, end: float
    ) -> AgentLengths:
        """How long each agent's messages waited."""
        return _agent_lengths(connection, "waited_ms", start, end)

    @staticmethod
    def by_agent(connection: sqlite3.Connection, start: float) -> list[DaySums]:
        """What turns came to since ``start``."""
        rows = connection.execute(
            "SELECT agent, COUNT(*), SUM(cost_usd) "
            "FROM turns INDEXED BY turns_ended "
            "WHERE ended_at IS NOT NULL AND ended_at >= ? GROUP BY agent",
            (start,),
        )
        return [DaySums(*values) for values in rows]

    @staticmethod
    def running(connection: sqlite3.Connection) -> list[str]:
        """Who is in a turn."""
        rows = connection.execute(
            "SELECT agent FROM turns INDEXED BY turns_running WHERE ended_at IS NULL"
        )
        return [agent for (agent,) in rows]

    @staticmethod
    def known(connection: sqlite3.Connection, agent: str) -> bool:
        """Whether a turn of this agent is kept."""
        found = connection.execute(
            "SELECT 1 FROM turns WHERE agent = ? LIMIT 1", (agent,)
        )
        return found.fetchone() is not None

    @staticmethod
    def prune(connection: sqlite3.Connection, oldest: float) -> int:
        """Forget some turns that ended before a time, but never an agent's newest.

        At most :data:`PRUNE_BITE` rows go at once; answers how many: call it again
        until that is none.
        """
        return connection.execute(
            "DELETE FROM turns WHERE id IN (SELECT old.id "
            "FROM turns AS old INDEXED BY turns_ended "
            "WHERE old.ended_at IS NOT NULL AND old.ended_at < ? "
            "AND EXISTS (SELECT 1 FROM turns AS newer "
            "WHERE newer.agent = old.agent AND newer.id > old.id) "
            "ORDER BY old.ended_at LIMIT ?)",
            (oldest, PRUNE_BITE),
        ).rowcount


def _lengths(
    connection: sqlite3.Connection,
    column: str,
    start: float,
    end: float,
    agent: str | None,
) -> Lengths:
    whose, values = ("", (start, end)) if agent is None else (_OF, (start, end, agent))
    return connection.execute(
        f"SELECT {column}, COUNT(*) {_BETWEEN} {whose} "
        f"AND {column} IS NOT NULL GROUP BY {column}",
        values,
    ).fetchall()


def _agent_lengths(
    connection: sqlite3.Connection, column: str, start: float, end: float
) -> AgentLengths:
    return connection.execute(
        f"SELECT agent, {column}, COUNT(*) {_BETWEEN} "
        f"AND {column} IS NOT NULL GROUP BY agent, {column} ORDER BY agent, {column}",
        (start, end),
    ).fetchall()
