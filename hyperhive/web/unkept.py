"""Keep a notice of agents whose configuration sets limits that their containers don't keep."""

import json

from hyperhive.agents.config import AgentConfig, ConfigError
from hyperhive.agents.interfaces import IAgents, NoSuchAgent
from hyperhive.bus import Event, EventBus, Subscription
from hyperhive.web.notices import Notices

#: How many agents the notice names.
MAX_NAMES = 5


class UnkeptLimits:
    """Follows what agents run with, for containers without limits."""

    def __init__(self, bus: EventBus, agents: IAgents, notices: Notices) -> None:
        self._bus = bus
        self._agents = agents
        self._notices = notices
        self._subscription: Subscription | None = None
        self._names: set[str] = set()
        self._sentence: str | None = None

    def start(self) -> None:
        """Follow it from now on."""
        self._names = {
            status.name
            for status in self._agents.statuses()
            if self._has_limits(status.name)
        }
        self._show()
        self._subscription = self._bus.follow(self._heard, frozenset({"agent_state"}))

    def stop(self) -> None:
        """Follow it no more."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None

    def _heard(self, event: Event) -> None:
        name = json.loads(event.json)["name"]
        if self._has_limits(name):
            self._names.add(name)
        else:
            self._names.discard(name)
        self._show()

    def _has_limits(self, name: str) -> bool:
        try:
            config = self._agents.deployment(name).config
            # A misconfigured agent does not run, and says so itself.
            limits = AgentConfig.from_json(config or "{}").limits
        except (NoSuchAgent, ConfigError):
            return False
        return bool(limits.set_for_containers)

    def _show(self) -> None:
        sentence = _sentence(sorted(self._names)) if self._names else None
        if sentence == self._sentence:
            return
        if self._sentence is not None:
            self._notices.remove(self._sentence)
        if sentence is not None:
            self._notices.add(sentence)
        self._sentence = sentence


def _sentence(names: list[str]) -> str:
    shown, more = names[:MAX_NAMES], len(names) - MAX_NAMES
    others = f" and {more} more" if more > 0 else ""
    return (
        f"Limits are set for {', '.join(shown)}{others} and not enforced: containers "
        "have none here. Run the hive as a service of systemd's with Delegate=yes and "
        "--containers bubblewrap, or on NixOS."
    )
