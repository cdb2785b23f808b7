"""The swarm as surfaces see it: every agent, and what one can do to it."""

import time
from collections.abc import Callable
from sqlite3 import Connection

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.agent import Agent
from hyperhive.agents.history import History
from hyperhive.agents.interfaces import (
    AgentStatus,
    Deployment,
    HistoryPage,
    IAgents,
    IAgentSurface,
    InvalidModel,
    Tombstone,
)
from hyperhive.agents.jobs import JobQueue
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.lifecycle import GIVE_UP, Lifecycle
from hyperhive.agents.login_interfaces import WAITING, LoginRefused
from hyperhive.agents.members import Members
from hyperhive.agents.notices import about, crashed
from hyperhive.agents.publisher import StatePublisher
from hyperhive.agents.recovery import Recovery
from hyperhive.agents.registry import Registry
from hyperhive.agents.scheduler import TurnSlots
from hyperhive.agents.today import Today
from hyperhive.agents.tombstones import Tombstones
from hyperhive.agents.turn import TurnLimits
from hyperhive.agents.work import Workshop
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    IContainerDriver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest, PublicError
from hyperhive.messages.interfaces import IBroker
from hyperhive.names import MANAGER, SYSTEM, container_name
from hyperhive.settings import Settings, check_model
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database

#: The longest text that an agent may say of itself.
MAX_STATUS = 200
#: The longest page of history (events).
MAX_PAGE = 1000
#: The most lines of a journal that one question is answered with.
MAX_JOURNAL = 500


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
        self._broker = broker
        self._driver = driver
        self._history = history
        self._now = now
        self._publisher = StatePublisher(
            clock, bus, lambda name: self._members.status(name)
        )
        self._registry = Registry(database, self._publisher.changed)
        #: What today's turns have come to.
        self.today = Today(clock, database, now, self._publisher.changed)
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
            self.today,
        )
        #: Where an agent's page is; set by whoever serves the pages.
        self.url: Callable[[str], str | None] = lambda name: None
        self._members = Members(self._registry, self._make)
        self._tombstones = Tombstones(
            settings.layout, lambda name: name in self._registry, now
        )
        #: What changes who runs and with what.
        self.lifecycle = Lifecycle(
            clock,
            self._members,
            broker,
            bus,
            driver,
            launcher,
            jobs,
            self._tombstones,
            self._publisher.changed,
            settings.drain_timeout,
            now,
        )
        self._recovery = Recovery(
            self._members,
            self.lifecycle,
            broker,
            driver,
            launcher,
            jobs,
            self._logged_in,
            self.today.load,
        )
        for agent in self._members:
            agent.recovering()
        broker.watch(self._poke)
        driver.watch(self._container_changed)

    def add_surface(self, surface: IAgentSurface) -> None:
        """Have ``surface`` serve every agent; to be called before :meth:`open_surfaces`."""
        self.lifecycle.surfaces.append(surface)

    @deferred
    async def open_surfaces(self) -> None:
        """Open what serves the agents that exist; fires when all of it listens.

        Who can't be served keeps none of the others: its next start tries again.
        """

        async def serve(name: str) -> None:
            try:
                await self.lifecycle.serve(name)
            except PublicError as error:
                self._log.error("{error}", error=error)

        await gatherResults([ensureDeferred(serve(name)) for name in self.names()])

    @deferred
    async def recover(self) -> None:
        """Take over after an earlier daemon, then let turns begin."""
        await self._recovery.run()
        self.lifecycle.begin()
        for agent in self._members:
            agent.recovered()

    def woken_by_recovery(self, name: str) -> bool:
        """Whether :meth:`recover` had to start an agent, and has told it so."""
        return name in self._recovery.woken

    @deferred
    async def drain(self) -> None:
        """The daemon ends: let turns end, at most ``shutdown_timeout``, then interrupt them.

        Messages of turns that were interrupted are given back. A turn that can't be
        ended does not keep the daemon: the next one ends and takes back what is left.
        """
        self.lifecycle.close()
        seconds = self._settings.shutdown_timeout

        async def drain(agent: Agent) -> None:
            try:
                ended = agent.loop.drain(seconds)
                await ended.addTimeout(seconds + GIVE_UP, self._clock)
            except Exception:
                # What ends after this must still end, whatever became of this one.
                self._log.failure(
                    "the turn of {agent} did not end; it is left to the kernel",
                    agent=agent.name,
                )

        await gatherResults([ensureDeferred(drain(agent)) for agent in self._members])
        self.today.stop()
        self._publisher.stop()

    def names(self) -> tuple[str, ...]:
        """See :class:`IAgents`."""
        return self._members.names()

    def role(self, name: str) -> str:
        """See :class:`IAgents`."""
        return self._registry.row(name).role

    def deployment(self, name: str) -> Deployment:
        """See :class:`IAgents`."""
        return Deployment.of(self._registry.row(name))

    def statuses(self) -> tuple[AgentStatus, ...]:
        """See :class:`IAgents`."""
        return tuple(agent.status() for agent in self._members)

    def status(self, name: str) -> AgentStatus:
        """See :class:`IAgents`."""
        return self._members.get(name).status()

    def check_recipient(self, name: str, to: str) -> None:
        """See :class:`IAgents`."""
        self._members.get(name).check_recipient(to)

    def spawn(self, name: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.spawn(name)

    def start(self, name: str, by: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.start(name, by)

    def stop(self, name: str, by: str, graceful: bool = True) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.stop(name, by, graceful)

    def restart(self, name: str, by: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.restart(name, by)

    def destroy(self, name: str, purge: bool = False) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.destroy(name, purge)

    def tombstones(self) -> Deferred[list[Tombstone]]:
        """See :class:`IAgents`."""
        return self._tombstones.all()

    def sweep(self) -> Deferred[None]:
        """Remove what a daemon that died had begun to purge."""
        return self._tombstones.sweep()

    def purge(self, name: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self.lifecycle.purge(name)

    @deferred
    async def set_paused(self, name: str, paused: bool) -> None:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        await self._registry.change(agent.name, paused=paused)
        if not paused:
            # Who attends it gets nothing any more: its messages go to its turns.
            self._broker.end_waits(agent.name)
        agent.loop.poke()

    @deferred
    async def set_model(self, name: str, model: str) -> None:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        if model:
            try:
                check_model(model)
            except ValueError as error:
                raise InvalidModel(f"{model[:80]!r} is not a model: {error}.") from None
        await self._registry.change(agent.name, model=model or None)

    @deferred
    async def set_status(self, name: str, text: str) -> None:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        if len(text) > MAX_STATUS:
            raise BadRequest(
                f"A status has at most {MAX_STATUS} characters; this has {len(text)}."
            )
        await self._registry.change(
            agent.name, status_text=text or None, status_set_at=self._now()
        )

    def cancel_turn(self, name: str) -> Deferred[None]:
        """See :class:`IAgents`."""
        return self._members.get(name).loop.cancel()

    @deferred
    async def compact(self, name: str) -> None:
        """See :class:`IAgents`."""
        self._members.get(name).want_compaction()

    @deferred
    async def new_session(self, name: str) -> None:
        """See :class:`IAgents`."""
        await self._members.get(name).new_session()

    @deferred
    async def history(
        self,
        name: str,
        before: int | None = None,
        limit: int = 200,
        after: int | None = None,
    ) -> HistoryPage:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        return await self._history.page(
            agent.name, before, max(1, min(limit, MAX_PAGE)), after
        )

    def row(self, name: str) -> AgentRow:
        """An agent's row as it is on disk."""
        return self._members.get(name).row

    def hold_for_login(self, name: str) -> Deferred[None]:
        """Begin no turn of it, until :meth:`show_login` is told ``None``; fires when none runs.

        :raises LoginRefused: if nothing can be run for it now.
        """
        agent = self._members.get(name)
        if agent.moves:
            raise LoginRefused(f"{name} is being started or stopped: wait for that.")
        if not agent.runs:
            raise LoginRefused(f"{name} does not run: start it, then log it in.")
        agent.show_login(WAITING)
        return agent.loop.when_idle()

    def show_login(self, name: str, state: str | None) -> None:
        """Let an agent's status say how its login is; ``None``: there is none under way."""
        if name in self._members:
            self._members.get(name).show_login(state)

    @deferred
    async def journal(self, name: str, lines: int) -> tuple[str, ...] | None:
        """See :class:`IAgents`."""
        agent = self._members.get(name)
        return await self._driver.journal(
            container_name(agent.name), max(1, min(lines, MAX_JOURNAL))
        )

    def login_changed(self, name: str) -> None:
        """A login file came, changed or went: what was refused may work now."""
        if name in self._members:
            self._members.get(name).login_changed()
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

    def _make(self, name: str) -> Agent:
        return Agent(
            self._clock,
            self._shop,
            self._slots,
            name,
            self._settings.model,
            lambda: self.url(name),
        )

    def _poke(self, name: str) -> None:
        if name in self._members:
            self._members.get(name).loop.poke()
            self._publisher.changed(name)

    def _container_changed(self, status: ContainerStatus) -> None:
        agent = self._members.of_container(status.name)
        if agent is None:
            return
        agent.container = status
        self._publisher.changed(agent.name)
        agent.loop.poke()
        if status.state is not ContainerState.RUNNING:
            self._crashed(agent.name, status)

    def _crashed(self, name: str, status: ContainerStatus) -> None:
        """It ended, and nobody had asked for that: whoever can act on it is told."""
        notice = crashed(name, status.reason)
        told = self._broker.send(SYSTEM, notice.to, notice.body)
        told.addErrback(
            lambda failure: self._log.failure("nobody was told of a crash", failure)
        )
