"""The swarm in memory: real broker and store, containers and claude in memory."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from hyperhive.agents.claude_login import LoginPlan
from hyperhive.agents.config import configuration
from hyperhive.agents.history import History
from hyperhive.agents.jobs import JobQueue
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.service import Agents
from hyperhive.bus import Event, EventBus
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    IContainerProcess,
    IProcessObserver,
)
from hyperhive.deferreds import deferred
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import Message
from hyperhive.names import container_name
from hyperhive.settings import Settings
from hyperhive.store.agents import AgentRow
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER, EVENTS
from hyperhive.testing.containers import MemoryDriver, MemoryProcess

#: The hyperhive that runs.
REVISION = "1"
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "hi"}
INIT = {
    "type": "system",
    "subtype": "init",
    "session_id": "s-1",
    "model": "m-1",
    "mcp_servers": [{"name": "hyperhive", "status": "connected"}],
}
FULL = {
    "type": "assistant",
    "message": {
        "id": "m",
        "content": [],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 900_000},
    },
}


@implementer(ILauncher)
class StubLauncher:
    """Runs ``claude PROMPT`` in the agent's container."""

    #: Whose login is another one than that which was refused.
    already_newer: frozenset[str] | set[str] = frozenset()

    def __init__(self, driver: MemoryDriver) -> None:
        self.driver = driver
        self.logged_out: set[str] = set()
        self.fresh: list[bool] = []

    def prepare(self, name: str) -> None:
        """See :class:`ILauncher`."""

    def spec(self, row: AgentRow) -> ContainerSpec:
        """See :class:`ILauncher`."""
        limits = configuration(row).limits.container
        return ContainerSpec(container_name(row.name), limits=limits)

    @deferred
    async def launch(
        self, row: AgentRow, model: str, prompt: str, observer: IProcessObserver
    ) -> IContainerProcess:
        """See :class:`ILauncher`."""
        self.fresh.append(row.fresh_session)
        command = Command(("claude", model), {}, "/", prompt.encode())
        return self.driver.run(container_name(row.name), command, observer)

    def logged_in(self, name: str) -> bool:
        """See :class:`ILauncher`."""
        return name not in self.logged_out

    def login_is_newer(self, name: str, moment: float) -> bool:
        """See :class:`ILauncher`."""
        return name in self.already_newer

    def login_remedy(self, name: str) -> str:
        """See :class:`ILauncher`."""
        return f"Log {name} in."

    def login_plan(self, row: AgentRow) -> LoginPlan:
        """See :class:`ILauncher`."""
        return LoginPlan(
            container_name(row.name),
            Command(("claude", "auth", "login"), {}, "/", keep_stdin=True),
            Command(("claude", "auth", "status"), {}, "/"),
            lambda: row.name not in self.logged_out,
        )


class SwarmTestCase(SynchronousTestCase):
    """A recovered hive with its manager."""

    def setUp(self) -> None:
        """Start it."""
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.settings = Settings(
            state_dir=Path(self.mktemp()), run_dir=Path(self.mktemp()), max_turns=2
        )
        self.database = Database.in_memory(BROKER)
        self.events_database = Database.in_memory(EVENTS)
        self.driver = MemoryDriver(self.clock)
        self.launch()

    def launch(self, *surfaces: Any) -> None:
        """Start a daemon on the stores and containers that there are."""
        self.bus = EventBus(self.clock, 1)
        self.seen: list[dict[str, Any]] = []
        subscription = self.bus.subscribe(self.see, lambda: None)
        assert subscription is not None
        subscription.resume()
        self.broker = Broker(
            self.clock, self.database, self.bus, 60.0, self.clock.seconds
        )
        self.history = History(
            self.clock, self.events_database, self.bus, self.clock.seconds
        )
        self.history.start()
        self.launcher = StubLauncher(self.driver)
        self.jobs = JobQueue(self.database, self.broker, self.bus, self.clock.seconds)
        self.agents = Agents(
            self.clock,
            self.settings,
            self.database,
            self.broker,
            self.bus,
            self.driver,
            self.launcher,
            self.history,
            self.jobs,
            REVISION,
            self.clock.seconds,
        )
        for surface in surfaces:
            self.agents.add_surface(surface)
        self.successResultOf(self.agents.open_surfaces())
        self.successResultOf(self.agents.recover())
        # It is told of much: its turns would be in the way of the others'.
        self.do(self.agents.set_paused("hm1nd", True))

    def die(self) -> None:
        """End the daemon as kill -9 does; stores and containers stay."""
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self.driver = self.driver.die()

    def see(self, event: Event) -> None:
        """Record an event."""
        self.seen.append(json.loads(event.json))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind so far."""
        return [event for event in self.seen if event["kind"] == kind]

    def do(self, asked: "Deferred[None]") -> None:
        """What is asked for is done at once here."""
        self.successResultOf(asked)

    def send(self, body: str, to: str = "bob") -> int:
        """A message from the operator, and the reactor's next turn."""
        [message] = self.successResultOf(self.broker.send("operator", to, body))
        self.clock.advance(0)
        return message

    def claude(self) -> MemoryProcess:
        """The newest claude, which must be running."""
        process = self.driver.processes[-1]
        self.assertTrue(process.running)
        return process

    def say(self, *events: dict[str, Any], exit: bool = True) -> None:
        """Let claude print events and, as it does after its result, exit."""
        process = self.claude()
        for event in events:
            process.says(json.dumps(event).encode() + b"\n")
        if exit:
            process.exits(0)
        self.clock.advance(0)

    def fail_turn(self, error: str, **others: Any) -> None:
        """Let claude report an API failure."""
        self.say(
            INIT,
            {
                "type": "assistant",
                "error": error,
                "message": {"model": "<synthetic>", "content": []},
                **others,
            },
            {**RESULT, "is_error": True},
        )

    def told(self) -> list[dict[str, Any]]:
        """What the manager was told, in order."""
        rows = self.successResultOf(self.broker.inbox("manager"))
        return [json.loads(row.body) for row in rows]

    def message(self, id: int, box: str = "bob") -> Message:
        """A message as it is now."""
        rows = self.successResultOf(self.broker.inbox(box, 100))
        return next(row for row in rows if row.id == id)

    def state(self, name: str = "bob") -> str:
        """An agent's label."""
        return self.agents.status(name).state
