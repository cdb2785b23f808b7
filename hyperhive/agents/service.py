"""The swarm: every agent, and what an operator or the manager can do to one."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from sqlite3 import Connection

import attrs
from twisted.internet.defer import (
    Deferred,
    TimeoutError,
    gatherResults,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.agent import Agent
from hyperhive.agents.history import History
from hyperhive.agents.interfaces import (
    AgentExists,
    AgentStatus,
    Deployment,
    HistoryPage,
    IAgents,
    IAgentSurface,
    InvalidModel,
    NotTheManager,
    Tombstone,
)
from hyperhive.agents.jobs import Job, JobQueue
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.notices import about, killed, told, woken
from hyperhive.agents.publisher import StatePublisher
from hyperhive.agents.registry import Registry, gone
from hyperhive.agents.scheduler import TurnSlots
from hyperhive.agents.tombstones import Tombstones
from hyperhive.agents.turn import TurnLimits
from hyperhive.agents.work import Workshop
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    DriverError,
    IContainerDriver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest, PublicError
from hyperhive.messages.interfaces import IBroker, Notice
from hyperhive.names import (
    HIVE,
    MANAGER,
    MANAGER_MAILBOX,
    OPERATOR,
    SYSTEM,
    check_new_agent_name,
    container_name,
)
from hyperhive.settings import Settings, check_model
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database

#: The longest text that an agent may say of itself.
MAX_STATUS = 200
#: How long to wait for a turn that was interrupted: INT, TERM and KILL have their time,
#: and what is left of a sandbox (seconds).
GIVE_UP = 30.0
#: The longest page of history (events).
MAX_PAGE = 1000

#: Makes what a new agent begins with, as a part of its creation: its name, its role.
Provision = Callable[[str, str, Job], Deferred[Deployment]]


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
        jobs: JobQueue,
        revision: str,
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
        self._jobs = jobs
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
            revision,
        )
        self._surfaces: list[IAgentSurface] = []
        self._tombstones = Tombstones(
            settings.layout, lambda name: name in self._registry, now
        )
        self._recovered = False
        self._closing = False
        self._waiting: list[Deferred[None]] = []
        #: Where an agent's page is; set by whoever serves the pages.
        self.url: Callable[[str], str | None] = lambda name: None
        #: What a new agent begins with; set by whoever builds it.
        self.provision: Provision = _nothing_to_provide
        #: What else ends with an agent, in the transaction of its end.
        self.at_destroy: list[Callable[[Connection, str], Iterable[Notice]]] = []
        #: What else is removed with what an agent has left.
        self.at_purge: list[Callable[[str], Deferred[None]]] = []
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
            await self._create_manager()
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
        self._closing = True
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

    def deployment(self, name: str) -> Deployment:
        """What an agent runs with."""
        return Deployment.of(self._registry.row(name))

    def statuses(self) -> tuple[AgentStatus, ...]:
        """See :class:`IAgents`."""
        return tuple(self._agents[name].status() for name in self.names())

    def status(self, name: str) -> AgentStatus:
        """See :class:`IAgents`."""
        return self._agent(name).status()

    def check_recipient(self, name: str, to: str) -> None:
        """See :class:`IAgents`."""
        self._agent(name).check_recipient(to)

    @deferred
    async def spawn(self, name: str) -> None:
        """See :class:`IAgents`."""
        check_new_agent_name(name)
        await self._when_recovered()
        self._check_free(name)
        async with self._jobs.job("create", name, OPERATOR) as job:
            job.at_end(told("spawned", name))
            await self.create(name, "agent", job)

    @deferred
    async def create(self, name: str, role: str, job: Job) -> None:
        """Make an agent and start it, as a part of ``job``.

        :raises AgentExists:
        """
        self._check_free(name)
        deployment = await job.alone(
            lambda: self.provision(name, role, job), "builds", cancellable=True
        )
        await job.alone(lambda: self._create(name, role, deployment), "starts")

    @deferred
    async def start(self, name: str, by: str) -> None:
        """See :class:`IAgents`."""
        async with self._operation("start", name, by) as (job, agent):
            ran = _runs(agent.container)
            with agent.moving("starting"):
                await job.alone(lambda: self._want_and_start(agent), "starts")
            if not ran:
                job.at_end(woken(agent.name, "started", by))

    @deferred
    async def stop(self, name: str, by: str, graceful: bool = True) -> None:
        """See :class:`IAgents`."""
        if not graceful:
            # It must not wait for an operation that lets the turn end.
            self._agent(name).loop.kill()
        async with self._operation("stop", name, by) as (job, agent):
            if not graceful and by != MANAGER_MAILBOX:
                job.at_end(killed(agent.name))
            with agent.moving("stopping"):
                await job.wait(
                    self._end_turn(agent, graceful), "waits for its turn to end"
                )
                await job.alone(lambda: self._stop_for_good(agent), "stops")

    @deferred
    async def restart(self, name: str, by: str) -> None:
        """See :class:`IAgents`."""
        async with self._operation("restart", name, by) as (job, agent):
            with agent.moving("stopping"):
                await job.wait(
                    self._end_turn(agent, graceful=True), "waits for its turn to end"
                )
                await job.alone(lambda: self._stop(agent), "stops")
            with agent.moving("starting"):
                await job.alone(lambda: self._want_and_start(agent), "starts")
            job.at_end(woken(agent.name, "restarted", by))

    @deferred
    async def deploy(self, name: str, deployment: Deployment, job: Job) -> None:
        """Let an agent run with another configuration, as a part of ``job``.

        If it can't be started with it, it goes on with what it had.
        """
        agent = self._agent(name)
        async with self._held(agent, job) as agent:
            with agent.moving("rebuilding"):
                await job.wait(
                    self._end_turn(agent, graceful=True), "waits for its turn to end"
                )
                await job.alone(lambda: self._switch(agent, deployment), "switches")

    @deferred
    async def destroy(self, name: str, purge: bool = False) -> None:
        """See :class:`IAgents`."""
        agent = self._agent(name)
        if agent.name == MANAGER:
            raise NotTheManager("The manager can't be destroyed.")
        agent.loop.kill()
        async with self._operation("destroy", name, OPERATOR) as (job, agent):
            with agent.moving("stopping"):
                await job.wait(
                    self._end_turn(agent, graceful=False), "waits for its turn to end"
                )
                await job.alone(lambda: self._destroy(agent, purge), "removes")

    def tombstones(self) -> Deferred[list[Tombstone]]:
        """See :class:`IAgents`."""
        return self._tombstones.all()

    def sweep(self) -> Deferred[None]:
        """Remove what a daemon that died had begun to purge."""
        return self._tombstones.sweep()

    @deferred
    async def purge(self, name: str) -> None:
        """See :class:`IAgents`."""
        check_new_agent_name(name)
        await self._when_recovered()
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r}: destroy it first.")
        await self._tombstones.check(name)
        async with self._jobs.job("purge", name, OPERATOR) as job:
            await job.alone(lambda: self._purge(name), "removes")

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
        await self._agent(name).new_session()

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
            self._agents[name].login_changed()
            self._login_changed(name).addErrback(
                lambda failure: self._log.failure(
                    "a new login was not taken up", failure
                )
            )

    @deferred
    async def _login_changed(self, name: str) -> None:
        row = self._registry.row(name)
        if row.login_needed_since is not None:
            await self._logged_in(name)
        self._poke(name)

    async def _logged_in(self, name: str) -> None:
        """What was refused may work now; the manager had been told that it did not."""

        def take_up(connection: Connection) -> AgentRow | None:
            row = AgentTable.get(connection, name)
            if row is None or row.login_needed_since is None:
                return None  # gone, or taken up by a change just before this one
            changes = {"login_needed_since": None}
            return self._registry.changed_in(connection, name, changes)

        new = await self._broker.tell(
            take_up,
            lambda row: (
                () if row is None or name == MANAGER else (about("logged_in", name),)
            ),
        )
        if new is not None:
            self._registry.put(new)

    def _check_free(self, name: str) -> None:
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r} already.")

    async def _create_manager(self) -> None:
        """Make the manager at the first start; without it, the rest of the hive works."""
        try:
            async with self._jobs.job("create", MANAGER, HIVE) as job:
                await self.create(MANAGER, "manager", job)
        except PublicError as error:
            self._log.error("there is no manager: {error}", error=error)

    async def _create(self, name: str, role: str, deployment: Deployment) -> None:
        """Write the row first: whatever dies after it is taken up by :meth:`recover`."""
        self._check_free(name)
        self._launcher.prepare(name)
        row = AgentRow(name, role, self._now())
        await self._registry.add(attrs.evolve(row, **deployment.columns()))
        agent = self._agents[name] = self._make(name)
        await self._load(agent)
        with agent.moving("starting"):
            await self._added(name)
            await self._start(agent)

    async def _switch(self, agent: Agent, deployment: Deployment) -> None:
        """What is on disk decides what runs: it is written between stop and start."""
        before = Deployment.of(agent.row)
        await self._stop(agent)
        await self._registry.change(agent.name, **deployment.columns())
        if not agent.row.wanted:
            return
        try:
            await self._start(agent)
        except Exception:
            await self._registry.change(agent.name, **before.columns())
            await self._start(agent)
            raise

    async def _want_and_start(self, agent: Agent) -> None:
        """Whoever starts an agent has a reason to believe that it can work now."""
        await self._registry.change(
            agent.name, wanted=True, login_needed_since=None, **_NOT_PARKED
        )
        await self._start(agent)

    async def _stop_for_good(self, agent: Agent) -> None:
        await self._registry.change(agent.name, wanted=False)
        await self._stop(agent)

    async def _start(self, agent: Agent) -> None:
        container = container_name(agent.name)
        self._launcher.prepare(agent.name)
        try:
            await self._driver.create(self._launcher.spec(agent.row))
            await self._driver.start(container)
        except Exception as error:
            agent.container = ContainerStatus(
                container, ContainerState.FAILED, self._now(), str(error)
            )
            raise
        await self._look(agent)

    async def _stop(self, agent: Agent) -> None:
        try:
            await self._driver.stop(container_name(agent.name))
        finally:
            # One that could not be stopped does not run as it should either.
            await self._look(agent)

    async def _destroy(self, agent: Agent, purge: bool) -> None:
        """Forget it before its container goes: what dies in between is cleared away by :meth:`recover`."""
        name = agent.name
        delete = gone(name)

        def end(connection: Connection) -> list[Notice]:
            notices = [*delete(connection), about("destroyed", name)]
            for also in self.at_destroy:
                notices += also(connection, name)
            return notices

        await self._broker.bury(name, end)
        agent.loop.close()
        del self._agents[name]
        self._registry.forget(name)
        await self._removed(name)
        await self._driver.destroy(container_name(name))
        if purge:
            await self._purge(name)
        else:
            self._tombstones.bury(name)
            self._bus.publish("tombstone", {"name": name, "kept": True})

    async def _purge(self, name: str) -> None:
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r}: destroy it first.")
        await self._tombstones.remove(name)
        for also in self.at_purge:
            await also(name)
        self._bus.publish("tombstone", {"name": name, "kept": False})

    @deferred
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
                await self._logged_in(name)
            if agent.row.wanted and not _runs(agent.container):
                async with self._jobs.job("start", name, HIVE) as job:
                    job.at_end(woken(name, "started", "the hive"))
                    with agent.moving("starting"):
                        await job.alone(lambda: self._start(agent), "starts")
            elif agent.row.wanted:
                # This daemon may run another claude, elsewhere, than the one before.
                await self._driver.create(self._launcher.spec(agent.row))
            elif _runs(agent.container):
                async with self._jobs.job("stop", name, HIVE) as job:
                    await job.alone(lambda: self._stop(agent), "stops")
        except Exception:
            self._log.failure("{name} could not be recovered", name=name)

    async def _clear_away(self, containers: Mapping[str, ContainerStatus]) -> None:
        """A container that belongs to nobody is what a destroy left when it died."""
        wanted = {container_name(name) for name in self.names()}
        for name in containers:
            if name not in wanted:
                try:
                    await self._driver.destroy(name)
                except DriverError as error:
                    self._log.error(
                        "{name} is left over, and stays: {error}",
                        name=name,
                        error=error,
                    )

    async def _load(self, agent: Agent) -> None:
        records = await self._broker.turns(agent.name, 1)
        agent.last_turn = records[0] if records else None

    async def _look(self, agent: Agent) -> None:
        statuses = await self._driver.statuses()
        agent.container = statuses.get(container_name(agent.name))
        self._publisher.changed(agent.name)

    @deferred
    async def _added(self, name: str) -> None:
        self._launcher.prepare(name)
        role = self.role(name)
        for surface in self._surfaces:
            await surface.agent_added(name, role)

    async def _removed(self, name: str) -> None:
        for surface in self._surfaces:
            try:
                await surface.agent_removed(name)
            except Exception:
                # Its container is still to go.
                self._log.failure("what served {name} was not closed", name=name)

    @asynccontextmanager
    async def _operation(
        self, kind: str, name: str, by: str
    ) -> AsyncIterator[tuple[Job, Agent]]:
        """A job for one agent."""
        agent = self._agent(name)
        await self._when_recovered()
        async with (
            self._jobs.job(kind, agent.name, by) as job,
            self._held(agent, job) as agent,
        ):
            yield job, agent

    @asynccontextmanager
    async def _held(self, agent: Agent, job: Job) -> AsyncIterator[Agent]:
        """Give the agent to one job at a time, in the order of asking.

        However that ends, turns may begin again if it runs.
        """
        await job.wait(agent.operations.acquire(), "waits for another job of its agent")
        try:
            # A job before this one may have destroyed it.
            yield self._agent(agent.name)
        finally:
            agent.operations.release()
            there = self._agents.get(agent.name) is agent
            if there and _runs(agent.container) and not self._closing:
                agent.loop.release()

    @deferred
    async def when_recovered(self) -> None:
        """Fires when :meth:`recover` has."""
        await self._when_recovered()

    async def _when_recovered(self) -> None:
        if not self._recovered:
            recovered: Deferred[None] = Deferred()
            self._waiting.append(recovered)
            await recovered

    def _make(self, name: str) -> Agent:
        agent = Agent(
            self._clock,
            self._shop,
            self._slots,
            name,
            self._settings.model,
            lambda: self.url(name),
        )
        agent.loop.held = self._closing
        return agent

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
                if status.state is not ContainerState.RUNNING:
                    self._crashed(agent.name, status)

    def _crashed(self, name: str, status: ContainerStatus) -> None:
        """It ended, and nobody had asked for that: whoever can act on it is told."""
        notice = about("container_crash", name, status.reason)
        if name == MANAGER:
            reason = status.reason or "nobody knows why"
            notice = Notice(OPERATOR, f"The manager's container ended: {reason}.")
        told = self._broker.send(SYSTEM, notice.to, notice.body)
        told.addErrback(
            lambda failure: self._log.failure("nobody was told of a crash", failure)
        )


#: What takes back a parking.
_NOT_PARKED = {"parked_until": None, "parked_for": None, "setbacks": 0}


@deferred
async def _nothing_to_provide(name: str, role: str, job: Job) -> Deployment:
    return Deployment()


def _runs(container: ContainerStatus | None) -> bool:
    return container is not None and container.state is ContainerState.RUNNING
