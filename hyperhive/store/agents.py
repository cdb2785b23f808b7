"""The ``agents`` table: what is stored of each agent. Facts only; labels are derived."""

import sqlite3

import attrs
from attrs import frozen


@frozen
class AgentRow:
    """One agent. Times are POSIX seconds.

    :param role: ``manager`` or ``agent``.
    :param wanted: whether the operator wants its container to run.
    :param model: what was chosen for it; ``None`` follows the hive's setting.
    :param session_id: claude's session, from its last turn.
    :param fresh_session: the next turn starts a new session.
    :param context: tokens of the last inference, ``None`` if unknown.
    :param parked_until: no turn before this time.
    :param parked_for: the outcome that parked it (``rate_limited`` or ``overloaded``).
    :param setbacks: how many turns in a row ended with ``parked_for``.
    :param login_needed_since: claude has no valid login since then.
    :param deployed_sha: the commit of its configuration that it runs with.
    :param deployed_tag: the tag under which that was deployed.
    :param config: that configuration as JSON text; ``None``: all as the hive has it.
    :param system: the built system that its container runs, where it has one.
    :param built_with: the hyperhive that built it.
    """

    name: str
    role: str
    created_at: float
    wanted: bool = True
    paused: bool = False
    model: str | None = None
    status_text: str | None = None
    status_set_at: float | None = None
    session_id: str | None = None
    fresh_session: bool = False
    context: int | None = None
    parked_until: float | None = None
    parked_for: str | None = None
    setbacks: int = 0
    login_needed_since: float | None = None
    deployed_sha: str | None = None
    deployed_tag: str | None = None
    config: str | None = None
    system: str | None = None
    built_with: str | None = None


_COLUMNS = tuple(field.name for field in attrs.fields(AgentRow))
_BOOLEAN = frozenset({"wanted", "paused", "fresh_session"})


class AgentTable:
    """The SQL of the ``agents`` table."""

    @staticmethod
    def insert(connection: sqlite3.Connection, row: AgentRow) -> None:
        """Add a row.

        :raises sqlite3.IntegrityError: if the name is taken.
        """
        marks = ", ".join("?" for _ in _COLUMNS)
        connection.execute(
            f"INSERT INTO agents ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608  # the columns are ours
            attrs.astuple(row),
        )

    @staticmethod
    def all(connection: sqlite3.Connection) -> list[AgentRow]:
        """Every agent, the manager first, then by name."""
        rows = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM agents "  # noqa: S608  # the columns are ours
            "ORDER BY role <> 'manager', name"
        )
        return [_row(values) for values in rows]

    @staticmethod
    def get(connection: sqlite3.Connection, name: str) -> AgentRow | None:
        """One agent."""
        values = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM agents WHERE name = ?",  # noqa: S608  # the columns are ours
            (name,),
        ).fetchone()
        return None if values is None else _row(values)

    @staticmethod
    def update(connection: sqlite3.Connection, row: AgentRow) -> None:
        """Write all of a row's columns."""
        sets = ", ".join(f"{column} = ?" for column in _COLUMNS[1:])
        connection.execute(
            f"UPDATE agents SET {sets} WHERE name = ?",  # noqa: S608  # the columns are ours
            (*attrs.astuple(row)[1:], row.name),
        )

    @staticmethod
    def delete(connection: sqlite3.Connection, name: str) -> None:
        """Forget an agent. Its messages and turns stay."""
        connection.execute("DELETE FROM agents WHERE name = ?", (name,))


def _row(values: tuple[object, ...]) -> AgentRow:
    members = {
        column: bool(value) if column in _BOOLEAN else value
        for column, value in zip(_COLUMNS, values, strict=True)
    }
    return AgentRow(**members)  # type: ignore[arg-type]  # SQLite's columns have these types
