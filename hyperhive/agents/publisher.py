"""Tell the bus how agents are, each time that what is shown of one has changed."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from hyperhive.agents.interfaces import AgentStatus
from hyperhive.bus import EventBus

#: How long changes are gathered before they are published (seconds).
BATCH_SECONDS = 0.05


class StatePublisher:
    """Gathers changes and publishes ``agent_state`` for the agents whose row differs.

    :param status: an agent's status, or ``None`` if it is gone.
    """

    def __init__(
        self,
        clock: IReactorTime,
        bus: EventBus,
        status: Callable[[str], AgentStatus | None],
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._status = status
        self._dirty: set[str] = set()
        self._published: dict[str, dict[str, object]] = {}
        self._timer: IDelayedCall | None = None

    def changed(self, name: str) -> None:
        """Something that an agent's status is derived from may have changed."""
        self._dirty.add(name)
        if self._timer is None:
            self._timer = self._clock.callLater(BATCH_SECONDS, self._publish)

    def stop(self) -> None:
        """Publish what waits, and nothing after it by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._publish()

    def _publish(self) -> None:
        self._timer = None
        names, self._dirty = self._dirty, set()
        for name in sorted(names):
            status = self._status(name)
            row: dict[str, object] = (
                {"name": name, "gone": True} if status is None else status.as_wire()
            )
            if self._published.get(name) == row:
                continue
            self._published[name] = row
            if status is None:
                del self._published[name]
            self._bus.publish("agent_state", row, name)
