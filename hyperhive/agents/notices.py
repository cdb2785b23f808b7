"""What the hive tells of agents: the ``system`` messages, by the wire page's names."""

import json
from collections.abc import Iterable
from sqlite3 import Connection

from hyperhive.agents.jobs import Ending
from hyperhive.messages.interfaces import Notice
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.jobs import JobRow


def about(event: str, agent: str, note: str | None = None, **more: object) -> Notice:
    """Tell the manager of an agent. What is ``None`` is left out."""
    body: dict[str, object] = {"event": event, "agent": agent, **more, "note": note}
    shown = {key: value for key, value in body.items() if value is not None}
    return Notice(MANAGER, json.dumps(shown, ensure_ascii=False))


def crashed(agent: str, why: str | None) -> Notice:
    """Tell who can act on it that a container does not run, though it should."""
    if agent != MANAGER:
        return about("container_crash", agent, why)
    return Notice(
        OPERATOR, f"The manager's container does not run: {why or 'nobody knows why'}."
    )


def told(event: str, agent: str) -> Ending:
    """Tell the manager how a job ended."""

    def ending(connection: Connection, row: JobRow) -> Iterable[Notice]:
        return [about(event, agent, row.note, ok=row.outcome == "done")]

    return ending


def killed(agent: str) -> Ending:
    """Tell the manager that somebody else has killed an agent."""

    def ending(connection: Connection, row: JobRow) -> Iterable[Notice]:
        return [about("killed", agent)] if row.outcome == "done" else []

    return ending


def woken(agent: str, event: str, by: str) -> Ending:
    """The one thing that tells an agent that it runs again, and why."""
    body = json.dumps({"event": event, "by": by})

    def ending(connection: Connection, row: JobRow) -> Iterable[Notice]:
        return [Notice(agent, body)] if row.outcome == "done" else []

    return ending
