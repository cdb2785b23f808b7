"""Who exists: the agents' rows, held in memory as they are on disk."""

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from hyperhive.agents.interfaces import AgentExists, NoSuchAgent
from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import Notice
from hyperhive.names import MANAGER, check_agent_name, mailbox_owner
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database


class Registry:
    """The agents' rows. What is held changes only after its COMMIT.

    :param changed: told the name of an agent whose row changed, came or went.
    """

    def __init__(self, database: Database, changed: Callable[[str], None]) -> None:
        self._database = database
        self._changed = changed
        self._rows: dict[str, AgentRow] = {
            row.name: row for row in database.read(AgentTable.all)
        }

    def names(self) -> tuple[str, ...]:
        """Who exists, the manager first, then by name."""
        return tuple(sorted(self._rows, key=lambda name: (name != MANAGER, name)))

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def row(self, name: str) -> AgentRow:
        """One agent's row; ``manager`` is taken for its agent's name.

        :raises InvalidName: if no agent can be called so.
        :raises NoSuchAgent: listing who exists.
        """
        name = check_agent_name(mailbox_owner(name))
        row = self._rows.get(name)
        if row is None:
            raise NoSuchAgent(
                f"There is no agent {name!r}; there are {', '.join(self.names())}."
            )
        return row

    @deferred
    async def add(self, row: AgentRow) -> None:
        """Write a new agent.

        :raises AgentExists:
        """
        try:
            await self._database.write(
                lambda connection: AgentTable.insert(connection, row)
            )
        except sqlite3.IntegrityError:
            raise AgentExists(f"There is an agent {row.name!r} already.") from None
        self.put(row)

    @deferred
    async def change(self, name: str, **changes: Any) -> AgentRow:
        """Write some columns of an agent's row.

        :raises NoSuchAgent: if it is gone by then.
        """
        row = await self._database.write(
            lambda connection: self.changed_in(connection, name, changes)
        )
        if row is None:
            raise NoSuchAgent(f"There is no agent {name!r} any more.")
        self.put(row)
        return row

    @staticmethod
    def changed_in(
        connection: sqlite3.Connection, name: str, changes: dict[str, Any]
    ) -> AgentRow | None:
        """Write some columns in a transaction of the caller's, who then calls :meth:`put`.

        Columns that others write at the same time stay as they are on disk.
        """
        stored = AgentTable.get(connection, name)
        if stored is None:
            return None
        row = attrs.evolve(stored, **changes)
        AgentTable.update(connection, row)
        return row

    def put(self, row: AgentRow) -> None:
        """Hold what was committed."""
        self._rows[row.name] = row
        self._changed(row.name)

    def forget(self, name: str) -> None:
        """Let go of a row whose deletion was committed."""
        del self._rows[name]
        self._changed(name)


def gone(name: str) -> Callable[[sqlite3.Connection], Iterable[Notice]]:
    """The deletion of an agent's row, to be done in a transaction of the caller's."""

    def delete(connection: sqlite3.Connection) -> Iterable[Notice]:
        AgentTable.delete(connection, name)
        return ()

    return delete
