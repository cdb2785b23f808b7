"""The ``turns`` table: every turn of every agent, and what it cost."""

import sqlite3

import attrs
from attrs import frozen


@frozen
class TurnRow:
    """One turn. Times are POSIX seconds.

    :param kind: ``message`` or ``compact``.
    :param ended_at: ``None`` while it runs.
    :param session_id: claude's session.
    :param context: tokens of the last inference; the others are sums.
    """

    id: int
    agent: str
    kind: str
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    note: str | None = None
    session_id: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    context: int | None = None
    cost_usd: float | None = None


@frozen(kw_only=True)
class TurnEnding:
    """What is known when a turn has ended; see :class:`TurnRow`."""

    ended_at: float
    outcome: str
    note: str | None = None
    session_id: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    context: int | None = None
    cost_usd: float | None = None


_MAX_ID = 2**63 - 1
_COLUMNS = ", ".join(field.name for field in attrs.fields(TurnRow))
_ENDING = ", ".join(f"{field.name} = ?" for field in attrs.fields(TurnEnding))
#: A length of time in milliseconds, to two significant figures: so that there are only
#: some ninety of them a decade to be counted. A clock that was set back makes none.
_ROUNDED = "CAST(CAST(printf('%.1e', MAX({}, 0) * 1000) AS REAL) AS INTEGER)"
_WAITED = _ROUNDED.format("?")
_TOOK = _ROUNDED.format("? - started_at")


class TurnTable:
    """The SQL of the ``turns`` table."""

    @staticmethod
    def runs(connection: sqlite3.Connection, agent: str) -> bool:
        """Whether a turn of this agent runs."""
        found = connection.execute(
            "SELECT 1 FROM turns WHERE agent = ? AND ended_at IS NULL", (agent,)
        )
        return found.fetchone() is not None

    @staticmethod
    def begin(
        connection: sqlite3.Connection, agent: str, kind: str, started_at: float
    ) -> TurnRow:
        """Add a turn that runs.

        :raises sqlite3.IntegrityError: if one of this agent runs.
        """
        cursor = connection.execute(
            "INSERT INTO turns (agent, kind, started_at) VALUES (?, ?, ?)",
            (agent, kind, started_at),
        )
        assert cursor.lastrowid is not None  # an INSERT has set it
        return TurnRow(cursor.lastrowid, agent, kind, started_at)

    @staticmethod
    def waited(connection: sqlite3.Connection, id: int, seconds: float) -> None:
        """Note how long the message waited that a turn began with."""
        connection.execute(
            f"UPDATE turns SET waited_ms = {_WAITED} WHERE id = ?",  # noqa: S608  # the text is ours
            (seconds, id),
        )

    @staticmethod
    def end(connection: sqlite3.Connection, id: int, ending: TurnEnding) -> bool:
        """End a turn, if it runs; whether it did."""
        return bool(
            connection.execute(
                f"UPDATE turns SET {_ENDING}, took_ms = {_TOOK} "  # noqa: S608  # the columns are ours
                "WHERE id = ? AND ended_at IS NULL",
                (*attrs.astuple(ending), ending.ended_at, id),
            ).rowcount
        )

    @staticmethod
    def end_all(
        connection: sqlite3.Connection, ended_at: float, outcome: str, note: str
    ) -> int:
        """End every turn that runs; answers how many."""
        return connection.execute(
            "UPDATE turns SET ended_at = ?, outcome = ?, note = ?, "  # noqa: S608  # the text is ours
            f"took_ms = {_TOOK} WHERE ended_at IS NULL",
            (ended_at, outcome, note, ended_at),
        ).rowcount

    @staticmethod
    def newest(
        connection: sqlite3.Connection,
        agent: str,
        limit: int,
        before: int | None = None,
    ) -> list[TurnRow]:
        """The newest turns of an agent with ids under ``before``, newest first."""
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM turns "  # noqa: S608  # the columns are ours
            "WHERE agent = ? AND id < ? ORDER BY id DESC LIMIT ?",
            (agent, _MAX_ID if before is None else before, limit),
        )
        return [TurnRow(*values) for values in rows]
