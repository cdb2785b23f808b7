"""The swarm: every agent, and what an operator or the manager can do to one."""

import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from twisted.internet.defer import (
    Deferred,
    DeferredLock,
    TimeoutError,
    gatherResults,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.agent import Agent
from hyperhive.agents.history import History
from hyperhive.agents.interfaces import (
    AgentExists,
    AgentStatus,
    HistoryPage,
    IAgents,
    IAgentSurface,
    InvalidModel,
    NotTheManager,
)
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.publisher import StatePublisher
from hyperhive.agents.registry import Registry, gone
from hyperhive.agents.scheduler import TurnSlots
from hyperhive.agents.turn import TurnLimits
from hyperhive.agents.work import Workshop
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    IContainerDriver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest
from hyperhive.messages.interfaces import IBroker
from hyperhive.names import (
    MANAGER,
    SYSTEM,
    check_new_agent_name,
    container_name,
)
from hyperhive.settings import Settings, check_model
from hyperhive.store.agents import AgentRow
from hyperhive.store.database import Database

#: The longest text that an agent may say of itself.
MAX_STATUS = 200
#: How long to wait for a turn that was interrupted: INT, TERM and KILL have their time,
#: and what is left of a sandbox (seconds).
GIVE_UP = 30.0
#: The longest page of history (events).
MAX_PAGE = 1000


@implementer(IAgents)
class Agents:
    """Holds every agent and runs their turns.

    Its turns begin when :meth:`recover` has fired.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        database: Database,
        broker: IBroker,
        bus: EventBus,
        driver: IContainerDriver,
        launcher: ILauncher,
        history: History,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._layout = settings.layout
        self._broker = broker
        self._bus = bus
        self._driver = driver
        self._launcher = launcher
        self._history = history
        self._now = now
        self._agents: dict[str, Agent] = {}
        self._publisher = StatePublisher(clock, bus, self._status_if_there)
        self._registry = Registry(database, self._publisher.changed)
        self._slots = TurnSlots(settings.max_turns)
        self._shop = Workshop(
            clock,
            broker,
            bus,
            self._registry,
            launcher,
            TurnLimits(settings.silence_timeout, settings.turn_timeout),
            now,
            self._publisher.changed,
        )
        self._surfaces: list[IAgentSurface] = []
        self._changes = DeferredLock()
        self._recovered = False
        self._waiting: list[Deferred[None]] = []
        #: Where an agent's page is; set by whoever serves the pages.
        self.url: Callable[[str], str | None] = lambda name: None
        for name in self._registry.names():
            self._agents[name] = self._make(name)
            self._agents[name].recovering()
        broker.watch(self._poke)
        driver.watch(self._container_changed)

    def add_surface(self, surface: IAgentSurface) -> None:
        """Have ``surface`` serve every agent; to be called before :meth:`open_surfaces`."""
        self._surfaces.append(surface)

    @deferred
    async def open_surfaces(self) -> None:
        """Open what serves the agents that exist; fires when all of it listens."""
        await gatherResults(
            [self._added(name) for name in self.names()], consumeErrors=True
        )

    @deferred
    async def recover(self) -> None:
        """Take over after an earlier daemon: messages, containers, agents.

        What the earlier one left running is ended before the first new turn.
        One agent's failure keeps none of the others.
        """
        given_back = await self._broker.recover()
        if given_back:
            self._log.info("{n} messages were given back", n=given_back)
        containers = await self._driver.adopt()
        await self._clear_away(containers)
        if MANAGER not in self._registry:
            await self._create(MANAGER, "manager")
        for name in self.names():
            await self._recover_agent(name, containers)
        self._recovered = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)
        for agent in self._agents.values():
            agent.recovered()

    @deferred
    async def drain(self) -> None:
        """The daemon ends: let turns end, at most ``shutdown_timeout``, then interrupt them.

        Messages of turns that were interrupted are given back. A turn that can't be
        ended does not keep the daemon: the next one ends and takes back what is left.
        """
        seconds = self._settings.shutdown_timeout
        drained = gatherResults(
            [agent.loop.drain(seconds) for agent in self._agents.values()],
            consumeErrors=True,
        )
        try:
            await drained.addTimeout(seconds + GIVE_UP, self._clock)
        except TimeoutError:
            self._log.error(
                "some turns could not be ended; they are left to the kernel"
            )
        self._publisher.stop()

    def names(self) -> tuple[str, ...]:
        """See :class:`IAgents`."""
        return self._registry.names()

    def role(self, name: str) -> str:
        """See :class:`IAgents`."""
        return self._registry.row(name).role

    def statuses(self) -> tuple[AgentStatus, ...]:
        """See :class:`IAgents`."""
        return tuple(self._agents[name].status() for name in self.names())

    def status(self, name: str) -> AgentStatus:
        """See :class:`IAgents`."""
        return self._agent(name).status()

    @deferred
    async def spawn(self, name: str) -> None:
        """See :class:`IAgents`."""
        check_new_agent_name(name)
        await self._when_recovered()
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r} already.")
        await self._changes.run(self._create, name, "agent")

    @deferred
    async def start(self, name: str, by: str) -> None:
        """See :class:`IAgents`."""
        async with self._operation(name) as agent:
            await self._want(agent)
            with agent.moving("starting"):
                if await self._changes.run(self._start, agent):
                    await self._wake(agent.name, "started", by)
            agent.loop.release()

    @deferred
    async def stop(self, name: str, by: str, graceful: bool = True) -> None:
        """See :class:`IAgents`."""
        if not graceful:
            # It must not wait for an operation that lets the turn end.
            self._agent(name).loop.kill()
        async with self._operation(name) as agent:
            await self._registry.change(agent.name, wanted=False)
            with agent.moving("stopping"):
                await self._end_turn(agent, graceful)
                await self._changes.run(self._stop, agent)
        self._log.info("{name} was stopped by {by}", name=name, by=by)

    @deferred
    async def restart(self, name: str, by: str) -> None:
        """See :class:`IAgents`."""
        async with self._operation(name) as agent:
            await self._want(agent)
            with agent.moving("stopping"):
                await self._end_turn(agent, graceful=True)
                await self._changes.run(self._stop, agent)
            with agent.moving("starting"):
                await self._changes.run(self._start, agent)
                await self._wake(agent.name, "restarted", by)
            agent.loop.release()

    @deferred
    async def destroy(self, name: str, purge: bool = False) -> None:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        if agent.name == MANAGER:
            raise NotTheManager("The manager can't be destroyed.")
        agent.loop.kill()
        async with self._operation(name) as agent:
            with agent.moving("stopping"):
                await self._end_turn(agent, graceful=False)
                await self._changes.run(self._destroy, agent, purge)

    @deferred
    async def set_paused(self, name: str, paused: bool) -> None:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        await self._registry.change(agent.name, paused=paused)
        if not paused:
            # Who attends it gets nothing any more: its messages go to its turns.
            self._broker.end_waits(agent.name)
        agent.loop.poke()

    @deferred
    async def set_model(self, name: str, model: str) -> None:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        if model:
            try:
                check_model(model)
            except ValueError as error:
                raise InvalidModel(f"{model[:80]!r} is not a model: {error}.") from None
        await self._registry.change(agent.name, model=model or None)

    @deferred
    async def set_status(self, name: str, text: str) -> None:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        if len(text) > MAX_STATUS:
            raise BadRequest(
                f"A status has at most {MAX_STATUS} characters; this has {len(text)}."
            )
        await self._registry.change(
            agent.name, status_text=text or None, status_set_at=self._now()
        )

    def cancel_turn(self, name: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self._agent(name).loop.cancel()

    @deferred
    async def compact(self, name: str) -> None:
        """See :class:`IAgents`."""
        self._agent(name).want_compaction()

    @deferred
    async def new_session(self, name: str) -> None:
        """See :class:`IAgents`."""
        await self._registry.change(
            self._agent(name).name, fresh_session=True, context=None
        )

    @deferred
    async def history(
        self, name: str, before: int | None = None, limit: int = 200
    ) -> HistoryPage:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        return await self._history.page(
            agent.name, before, max(1, min(limit, MAX_PAGE))
        )

    def login_changed(self, name: str) -> None:
        """A login file came, changed or went: what was refused may work now."""
        if name in self._registry:
            self._login_changed(name).addErrback(
                lambda failure: self._log.failure(
                    "a new login was not taken up", failure
                )
            )

    @deferred
    async def _login_changed(self, name: str) -> None:
        await self._registry.change(name, login_needed_since=None)
        self._agents[name].loop.poke()

    async def _create(self, name: str, role: str) -> None:
        """Write the row first: whatever dies after it is taken up by :meth:`recover`."""
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r} already.")
        self._launcher.prepare(name)
        await self._registry.add(AgentRow(name, role, self._now()))
        agent = self._agents[name] = self._make(name)
        await self._load(agent)
        with agent.moving("starting"):
            await self._added(name)
            await self._start(agent)

    async def _start(self, agent: Agent) -> bool:
        """Start a container; whether it did not run before."""
        ran = _runs(agent.container)
        container = container_name(agent.name)
        self._launcher.prepare(agent.name)
        try:
            await self._driver.create(self._launcher.spec(agent.name))
            await self._driver.start(container)
        except Exception as error:
            agent.container = ContainerStatus(
                container, ContainerState.FAILED, self._now(), str(error)
            )
            raise
        await self._look(agent)
        return not ran

    async def _stop(self, agent: Agent) -> None:
        await self._driver.stop(container_name(agent.name))
        await self._look(agent)

    async def _destroy(self, agent: Agent, purge: bool) -> None:
        """Forget it before its container goes: what dies in between is cleared away by :meth:`recover`."""
        name = agent.name
        await self._broker.bury(name, gone(name))
        agent.loop.close()
        del self._agents[name]
        self._registry.forget(name)
        await self._removed(name)
        await self._driver.destroy(container_name(name))
        if purge:
            await deferToThread(_remove_tree, self._layout.agent(name))

    async def _end_turn(self, agent: Agent, graceful: bool) -> None:
        """End its turn, or find that it can't be: stopping the container will say why."""
        seconds = self._settings.drain_timeout if graceful else 0.0
        ended = agent.loop.drain(seconds) if graceful else agent.loop.kill()
        try:
            await ended.addTimeout(seconds + GIVE_UP, self._clock)
        except TimeoutError:
            self._log.error("the turn of {name} could not be ended", name=agent.name)

    async def _recover_agent(
        self, name: str, containers: Mapping[str, ContainerStatus]
    ) -> None:
        agent = self._agents[name]
        agent.container = containers.get(container_name(name), agent.container)
        try:
            await self._load(agent)
            refused_at = agent.row.login_needed_since
            if refused_at and self._launcher.login_is_newer(name, refused_at):
                # It came while no daemon watched for it.
                await self._registry.change(name, login_needed_since=None)
            if agent.row.wanted and not _runs(agent.container):
                with agent.moving("starting"):
                    await self._changes.run(self._start, agent)
                await self._wake(name, "started", "the hive")
            elif not agent.row.wanted and _runs(agent.container):
                await self._changes.run(self._stop, agent)
        except Exception:
            self._log.failure("{name} could not be recovered", name=name)

    async def _clear_away(self, containers: Mapping[str, ContainerStatus]) -> None:
        """A container that belongs to nobody is what a destroy left when it died."""
        wanted = {container_name(name) for name in self.names()}
        for name in containers:
            if name not in wanted:
                await self._driver.destroy(name)

    async def _load(self, agent: Agent) -> None:
        records = await self._broker.turns(agent.name, 1)
        agent.last_turn = records[0] if records else None

    async def _look(self, agent: Agent) -> None:
        statuses = await self._driver.statuses()
        agent.container = statuses.get(container_name(agent.name))
        self._publisher.changed(agent.name)

    async def _wake(self, name: str, event: str, by: str) -> None:
        """The one place that tells an agent that it runs again, and why."""
        await self._broker.send(SYSTEM, name, json.dumps({"event": event, "by": by}))

    @deferred
    async def _added(self, name: str) -> None:
        self._launcher.prepare(name)
        role = self.role(name)
        for surface in self._surfaces:
            await surface.agent_added(name, role)

    async def _removed(self, name: str) -> None:
        for surface in self._surfaces:
            await surface.agent_removed(name)

    @asynccontextmanager
    async def _operation(self, name: str) -> AsyncIterator[Agent]:
        """Give the agent to one operation at a time, in the order of asking."""
        agent = self._agent(name)
        await self._when_recovered()
        await agent.operations.acquire()
        try:
            # An operation before this one may have destroyed it.
            yield self._agent(name)
        finally:
            agent.operations.release()

    async def _want(self, agent: Agent) -> None:
        """Whoever starts an agent has a reason to believe that it can work now."""
        await self._registry.change(
            agent.name, wanted=True, login_needed_since=None, **_NOT_PARKED
        )

    async def _when_recovered(self) -> None:
        if not self._recovered:
            recovered: Deferred[None] = Deferred()
            self._waiting.append(recovered)
            await recovered

    def _make(self, name: str) -> Agent:
        return Agent(
            self._clock,
            self._shop,
            self._slots,
            name,
            self._settings.model,
            lambda: self.url(name),
        )

    def _agent(self, name: str) -> Agent:
        return self._agents[self._registry.row(name).name]

    def _status_if_there(self, name: str) -> AgentStatus | None:
        return self._agents[name].status() if name in self._registry else None

    def _poke(self, name: str) -> None:
        if name in self._agents:
            self._agents[name].loop.poke()
            self._publisher.changed(name)

    def _container_changed(self, status: ContainerStatus) -> None:
        for agent in self._agents.values():
            if container_name(agent.name) == status.name:
                agent.container = status
                self._publisher.changed(agent.name)
                agent.loop.poke()


#: What takes back a parking.
_NOT_PARKED = {"parked_until": None, "parked_for": None, "setbacks": 0}


def _runs(container: ContainerStatus | None) -> bool:
    return container is not None and container.state is ContainerState.RUNNING


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
