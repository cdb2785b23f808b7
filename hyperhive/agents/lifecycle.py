"""Create, start, stop, redeploy and destroy agents: each one a job of the deploy queue."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
)
from sqlite3 import Connection

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from hyperhive.agents.agent import Agent
from hyperhive.agents.interfaces import (
    AgentExists,
    Deployment,
    IAgentSurface,
    NotTheManager,
)
from hyperhive.agents.jobs import Job, JobQueue
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.members import Members
from hyperhive.agents.notices import about, killed, told, woken
from hyperhive.agents.registry import gone
from hyperhive.agents.tombstones import Tombstones
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    IContainerDriver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.messages.interfaces import IBroker, Notice
from hyperhive.names import (
    MANAGER,
    MANAGER_MAILBOX,
    OPERATOR,
    check_new_agent_name,
    container_name,
)
from hyperhive.store.agents import AgentRow

#: How long to wait for a turn that was interrupted: INT, TERM and KILL have their time,
#: and what is left of a sandbox (seconds).
GIVE_UP = 30.0

#: Makes what a new agent begins with, as a part of its creation: its name, its role.
Provision = Callable[[str, str, Job], Deferred[Deployment]]


class NotPutBack(PublicError):
    """An agent starts neither with what was deployed nor with what it had; why for each."""


class Lifecycle:
    """What changes who runs and with what. Nothing of it begins before :meth:`begin`.

    :param changed: told the name of an agent whose container changed.
    :param drain_timeout: how long a stop lets a turn go on (seconds).
    :param now: the wall clock.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        members: Members,
        broker: IBroker,
        bus: EventBus,
        driver: IContainerDriver,
        launcher: ILauncher,
        jobs: JobQueue,
        tombstones: Tombstones,
        changed: Callable[[str], None],
        drain_timeout: float,
        now: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._members = members
        self._registry = members.registry
        self._broker = broker
        self._bus = bus
        self._driver = driver
        self._launcher = launcher
        self._jobs = jobs
        self._tombstones = tombstones
        self._changed = changed
        self._drain_timeout = drain_timeout
        self._now = now
        self._begun = False
        self._closing = False
        self._waiting: list[Deferred[None]] = []
        #: What serves each agent.
        self.surfaces: list[IAgentSurface] = []
        #: What a new agent begins with; set by whoever builds it.
        self.provision: Provision = _nothing_to_provide
        #: What else ends with an agent, in the transaction of its end.
        self.at_destroy: list[Callable[[Connection, str], Iterable[Notice]]] = []
        #: What else is removed with what an agent has left.
        self.at_purge: list[Callable[[str], Deferred[None]]] = []

    def begin(self) -> None:
        """What was left by an earlier daemon is known: operations may run."""
        self._begun = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    @deferred
    async def when_begun(self) -> None:
        """Fires when :meth:`begin` was called."""
        if not self._begun:
            begun: Deferred[None] = Deferred()
            self._waiting.append(begun)
            await begun

    def close(self) -> None:
        """The daemon ends: no operation lets turns begin again."""
        self._closing = True

    @deferred
    async def spawn(self, name: str) -> None:
        """Create an agent by a job of its own; see :class:`IAgents`."""
        check_new_agent_name(name)
        await self.when_begun()
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
    async def start_created(self, name: str, job: Job) -> None:
        """Start an agent that was made and then did not start, as a part of ``job``."""
        async with self.held(name, job) as agent:
            with agent.moving("starting"):
                await job.alone(lambda: self._want_and_start(agent), "starts")

    @deferred
    async def start(self, name: str, by: str) -> None:
        """See :class:`IAgents`."""
        async with self._operation("start", name, by) as (job, agent):
            ran = agent.runs
            with agent.moving("starting"):
                await job.alone(lambda: self._want_and_start(agent), "starts")
            if not ran:
                job.at_end(woken(agent.name, "started", by))

    @deferred
    async def stop(self, name: str, by: str, graceful: bool = True) -> None:
        """See :class:`IAgents`."""
        if not graceful:
            # It must not wait for an operation that lets the turn end.
            self._members.get(name).loop.kill()
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
                await job.alone(lambda: self.stop_container(agent), "stops")
            with agent.moving("starting"):
                await job.alone(lambda: self._want_and_start(agent), "starts")
            job.at_end(woken(agent.name, "restarted", by))

    def held(self, name: str, job: Job) -> AbstractAsyncContextManager[Agent]:
        """Give an agent to one job, from its build until it runs with it.

        :raises NoSuchAgent:
        """
        return self._held(self._members.get(name), job)

    def busy(self, name: str) -> bool:
        """Whether a job holds it: what its row says may not have come true yet."""
        return bool(self._members.get(name).operations.locked)

    @deferred
    async def deploy(self, agent: Agent, deployment: Deployment, job: Job) -> None:
        """Let an agent that is :meth:`held` run with another configuration.

        If it can't be started with it, it goes on with what it had.
        """
        with agent.moving("rebuilding"):
            await job.wait(
                self._end_turn(agent, graceful=True), "waits for its turn to end"
            )
            await job.alone(lambda: self._switch(agent, deployment), "switches")

    @deferred
    async def destroy(self, name: str, purge: bool = False) -> None:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        if agent.name == MANAGER:
            raise NotTheManager("The manager can't be destroyed.")
        agent.loop.kill()
        async with self._operation("destroy", name, OPERATOR) as (job, agent):
            with agent.moving("stopping"):
                await job.wait(
                    self._end_turn(agent, graceful=False), "waits for its turn to end"
                )
                await job.alone(lambda: self._destroy(agent, purge), "removes")

    @deferred
    async def purge(self, name: str) -> None:
        """See :class:`IAgents`."""
        check_new_agent_name(name)
        await self.when_begun()
        self._check_destroyed(name)
        await self._tombstones.check(name)
        async with self._jobs.job("purge", name, OPERATOR) as job:
            await job.alone(lambda: self._purge(name), "removes")

    @deferred
    async def serve(self, name: str) -> None:
        """Open every surface for an agent. Safe to do again.

        :raises PublicError: if its folders can't be made; it is served when they can.
        """
        self._launcher.prepare(name)
        role = self._registry.row(name).role
        for surface in self.surfaces:
            await surface.agent_added(name, role)

    @deferred
    async def start_container(self, agent: Agent) -> None:
        """Start its container as its row says. One that fails is shown as such."""
        with self._shown_as_failed(agent):
            await self.serve(agent.name)
            await self.renew(agent)
            await self._driver.start(container_name(agent.name))
        await self._look(agent)

    @deferred
    async def take_over(self, agent: Agent) -> None:
        """Serve one whose container runs already, with what its row says."""
        with self._shown_as_failed(agent):
            await self.serve(agent.name)
            await self.renew(agent)

    @contextmanager
    def _shown_as_failed(self, agent: Agent) -> Iterator[None]:
        """What can't be had is no agent that works."""
        try:
            yield
        except Exception as error:
            agent.container = ContainerStatus(
                container_name(agent.name),
                ContainerState.FAILED,
                self._now(),
                str(error),
            )
            raise

    @deferred
    async def renew(self, agent: Agent) -> None:
        """Give its container what its row says: its next turn runs so."""
        await self._driver.create(self._launcher.spec(agent.row))

    @deferred
    async def stop_container(self, agent: Agent) -> None:
        """Stop its container."""
        try:
            await self._driver.stop(container_name(agent.name))
        finally:
            # One that could not be stopped does not run as it should either.
            await self._look(agent)

    def _check_free(self, name: str) -> None:
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r} already.")

    def _check_destroyed(self, name: str) -> None:
        if name in self._registry:
            raise AgentExists(f"There is an agent {name!r}: destroy it first.")

    async def _create(self, name: str, role: str, deployment: Deployment) -> None:
        """Write the row first: whatever dies after it is taken up by the recovery."""
        self._check_free(name)
        self._launcher.prepare(name)
        row = AgentRow(name, role, self._now())
        await self._registry.add(attrs.evolve(row, **deployment.columns()))
        agent = self._members.joined(name)
        agent.loop.held = self._closing
        await agent.load()
        with agent.moving("starting"):
            await self.start_container(agent)

    async def _switch(self, agent: Agent, deployment: Deployment) -> None:
        """What is on disk decides what runs: it is written between stop and start."""
        before = Deployment.of(agent.row)
        await self.stop_container(agent)
        await self._registry.change(agent.name, **deployment.columns())
        # Of a stopped one the container is given it too: what it is to run with has
        # to be known to the host, or is cleared away as nobody's.
        show = self.start_container if agent.row.wanted else self.renew
        try:
            await show(agent)
        except Exception as error:
            await self._registry.change(agent.name, **before.columns())
            try:
                await show(agent)
            except PublicError as again:
                raise NotPutBack(
                    f"{error}\nNor does it start with what it had before: {again}"
                ) from error
            raise

    async def _want_and_start(self, agent: Agent) -> None:
        """Whoever starts an agent has a reason to believe that it can work now."""
        await self._registry.change(
            agent.name, wanted=True, login_needed_since=None, **_NOT_PARKED
        )
        await self.start_container(agent)

    async def _stop_for_good(self, agent: Agent) -> None:
        await self._registry.change(agent.name, wanted=False)
        await self.stop_container(agent)

    async def _destroy(self, agent: Agent, purge: bool) -> None:
        """Forget it before its container goes: the recovery clears away what is left."""
        name = agent.name
        delete = gone(name)

        def end(connection: Connection) -> list[Notice]:
            notices = [*delete(connection), about("destroyed", name)]
            for also in self.at_destroy:
                notices += also(connection, name)
            return notices

        await self._broker.bury(name, end)
        self._members.left(agent)
        await self._unserve(name)
        await self._driver.destroy(container_name(name))
        if purge:
            await self._purge(name)
        else:
            self._tombstones.bury(name)
            self._bus.publish("tombstone", {"name": name, "kept": True})

    async def _purge(self, name: str) -> None:
        self._check_destroyed(name)
        # The tombstone goes last: while it is there, what was cut off is asked for again.
        for also in self.at_purge:
            await also(name)
        await self._tombstones.remove(name)
        self._bus.publish("tombstone", {"name": name, "kept": False})

    async def _unserve(self, name: str) -> None:
        for surface in self.surfaces:
            try:
                await surface.agent_removed(name)
            except Exception:
                # Its container is still to go.
                self._log.failure("what served {name} was not closed", name=name)

    @deferred
    async def _end_turn(self, agent: Agent, graceful: bool) -> None:
        """End its turn, or find that it can't be: stopping the container will say why."""
        seconds = self._drain_timeout if graceful else 0.0
        ended = agent.loop.drain(seconds) if graceful else agent.loop.kill()
        try:
            await ended.addTimeout(seconds + GIVE_UP, self._clock)
        except TimeoutError:
            self._log.error("the turn of {name} could not be ended", name=agent.name)

    async def _look(self, agent: Agent) -> None:
        statuses = await self._driver.statuses()
        agent.container = statuses.get(container_name(agent.name))
        self._changed(agent.name)

    @asynccontextmanager
    async def _operation(
        self, kind: str, name: str, by: str
    ) -> AsyncIterator[tuple[Job, Agent]]:
        """A job for one agent."""
        agent = self._members.get(name)
        await self.when_begun()
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
            yield self._members.get(agent.name)
        finally:
            agent.operations.release()
            there = self._members.holds(agent)
            if there and agent.runs and not self._closing:
                agent.loop.release()


#: What takes back a parking.
_NOT_PARKED = {"parked_until": None, "parked_for": None, "setbacks": 0}


@deferred
async def _nothing_to_provide(name: str, role: str, job: Job) -> Deployment:
    return Deployment()
