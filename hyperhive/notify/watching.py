"""Hear from the bus what is to be told: what the outbox notes by itself, and how agents are."""

import json
from collections.abc import Callable
from typing import Any

from hyperhive.agents.interfaces import IAgents
from hyperhive.bus import Event, EventBus, Subscription

#: Kinds of events after which the outbox may hold something.
_NOTED = frozenset({"approval_added", "question_added", "message_dead"})
_CRASHED = frozenset({"crashed", "failed"})
#: After a crash or a missing login of an agent was told, none of that kind is for so long.
QUIET_SECONDS = 900.0


class Watching:
    """Follows the bus.

    An agent that needs a login, or whose turn has crashed, when this starts is no news.
    One that could not be started just now is.

    :param noted: called when the outbox may hold something.
    :param note: called with a kind and an agent's name, to put them into it.
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        bus: EventBus,
        agents: IAgents,
        noted: Callable[[], None],
        note: Callable[[str, str], None],
        now: Callable[[], float],
    ) -> None:
        self._bus = bus
        self._agents = agents
        self._noted = noted
        self._note = note
        self._now = now
        self._subscription: Subscription | None = None
        self._without_login: set[str] = set()
        self._crashed: set[str] = set()
        self._told: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Follow it from now on."""
        for status in self._agents.statuses():
            if status.needs_login:
                self._without_login.add(status.name)
            if status.state in _CRASHED:
                self._crashed.add(status.name)
            if status.failed:
                self._tell("crash", status.name)
        self._subscription = self._bus.follow(self._heard, _NOTED | {"agent_state"})

    def stop(self) -> None:
        """Follow it no more."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def _heard(self, event: Event) -> None:
        if event.kind in _NOTED:
            self._noted()
        else:
            self._agent_changed(json.loads(event.json))

    def _agent_changed(self, row: dict[str, Any]) -> None:
        name = row["name"]
        if row.get("gone"):
            self._without_login.discard(name)
            self._crashed.discard(name)
            for kind in ("login", "crash"):
                self._told.pop((kind, name), None)
            return
        if _entered(self._without_login, name, row["needs_login"]):
            self._tell("login", name)
        if _entered(self._crashed, name, row["state"] in _CRASHED):
            self._tell("crash", name)

    def _tell(self, kind: str, name: str) -> None:
        """Note it, unless the same was noted of this agent a moment ago."""
        now = self._now()
        if now - self._told.get((kind, name), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._told[kind, name] = now
            self._note(kind, name)


def _entered(members: set[str], name: str, belongs: bool) -> bool:
    """Keep a set true; whether the name has just come into it."""
    if not belongs:
        members.discard(name)
        return False
    new = name not in members
    members.add(name)
    return new
