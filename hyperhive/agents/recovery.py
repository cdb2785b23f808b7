"""Take over after an earlier daemon: messages, containers, agents."""

from collections.abc import Awaitable, Callable, Mapping

from twisted.logger import Logger

from hyperhive.agents.agent import Agent
from hyperhive.agents.jobs import JobQueue
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.lifecycle import Lifecycle
from hyperhive.agents.members import Members
from hyperhive.agents.notices import crashed, woken
from hyperhive.containers.interfaces import (
    ContainerStatus,
    DriverError,
    IContainerDriver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import DEFECT, PublicError
from hyperhive.messages.interfaces import IBroker
from hyperhive.names import HIVE, MANAGER, SYSTEM, container_name


class Recovery:
    """Brings what runs in line with what is on disk.

    :param logged_in: takes up a login that came while no daemon watched for it.
    :param count_turns: counts what has ended before.
    :ivar woken: who was told that it runs again.
    """

    _log = Logger()

    def __init__(
        self,
        members: Members,
        lifecycle: Lifecycle,
        broker: IBroker,
        driver: IContainerDriver,
        launcher: ILauncher,
        jobs: JobQueue,
        logged_in: Callable[[str], Awaitable[None]],
        count_turns: Callable[[], Awaitable[None]],
    ) -> None:
        self._members = members
        self._lifecycle = lifecycle
        self._broker = broker
        self._driver = driver
        self._launcher = launcher
        self._jobs = jobs
        self._logged_in = logged_in
        self._count_turns = count_turns
        self.woken: set[str] = set()

    @deferred
    async def run(self) -> None:
        """What the earlier daemon left running is ended before the first new turn.

        One agent's failure keeps none of the others.
        """
        given_back = await self._broker.recover()
        if given_back:
            self._log.info("{n} messages were given back", n=given_back)
        await self._count_turns()
        containers = await self._driver.adopt()
        await self._clear_away(containers)
        if MANAGER not in self._members:
            await self._create_manager()
        for agent in self._members:
            await self._recover(agent, containers)

    async def _clear_away(self, containers: Mapping[str, ContainerStatus]) -> None:
        """A container that belongs to nobody is what a destroy left when it died."""
        wanted = {container_name(name) for name in self._members.names()}
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

    async def _create_manager(self) -> None:
        """Make the manager at the first start; without it, the rest of the hive works."""
        try:
            async with self._jobs.job("create", MANAGER, HIVE) as job:
                await self._lifecycle.create(MANAGER, "manager", job)
        except PublicError as error:
            self._log.error("there is no manager: {error}", error=error)

    async def _recover(
        self, agent: Agent, containers: Mapping[str, ContainerStatus]
    ) -> None:
        agent.container = containers.get(container_name(agent.name), agent.container)
        try:
            await agent.load()
            refused_at = agent.row.login_needed_since
            if refused_at and self._launcher.login_is_newer(agent.name, refused_at):
                await self._logged_in(agent.name)
            await self._as_wanted(agent)
        except Exception as error:
            self._log.failure("{name} could not be recovered", name=agent.name)
            known = isinstance(error, PublicError)
            notice = crashed(agent.name, str(error) if known else DEFECT)
            await self._broker.send(SYSTEM, notice.to, notice.body)

    async def _as_wanted(self, agent: Agent) -> None:
        if agent.row.wanted and not agent.runs:
            async with self._jobs.job("start", agent.name, HIVE) as job:
                job.at_end(woken(agent.name, "started", "the hive"))
                with agent.moving("starting"):
                    await job.alone(
                        lambda: self._lifecycle.start_container(agent), "starts"
                    )
            self.woken.add(agent.name)
        elif agent.row.wanted:
            # This daemon may run another claude, elsewhere, than the one before.
            await self._lifecycle.take_over(agent)
        elif agent.runs:
            async with self._jobs.job("stop", agent.name, HIVE) as job:
                await job.alone(lambda: self._lifecycle.stop_container(agent), "stops")
