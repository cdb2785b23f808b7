"""Hear from the bus what is to be told: what the outbox notes by itself, and how agents are."""

import json
from collections.abc import Callable
from typing import Any

from hyperhive.agents.interfaces import IAgents
from hyperhive.bus import Event, EventBus, Subscription

#: Kinds of events after which the outbox may hold something.
_NOTED = frozenset({"approval_added", "question_added", "message_dead"})
_CRASHED = frozenset({"crashed", "failed"})
#: After it was told that an agent crashed, nothing of that agent's crashes is for so long.
QUIET_SECONDS = 900.0


class Watching:
    """Follows the bus.

    An agent that needs a login, or has crashed, when this starts is no news.

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
        self._crash_told: dict[str, float] = {}

    def start(self) -> None:
        """Follow it from now on."""
        for status in self._agents.statuses():
            if status.needs_login:
                self._without_login.add(status.name)
            if status.state in _CRASHED:
                self._crashed.add(status.name)
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
            self._crash_told.pop(name, None)
            return
        if _entered(self._without_login, name, row["needs_login"]):
            self._note("login", name)
        if _entered(self._crashed, name, row["state"] in _CRASHED):
            self._crash(name)

    def _crash(self, name: str) -> None:
        now = self._now()
        if now - self._crash_told.get(name, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._crash_told[name] = now
            self._note("crash", name)


def _entered(members: set[str], name: str, belongs: bool) -> bool:
    """Keep a set true; whether the name has just come into it."""
    if not belongs:
        members.discard(name)
        return False
    new = name not in members
    members.add(name)
    return new
