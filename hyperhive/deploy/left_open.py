"""What a daemon that died has left open, and what has become of it."""

from twisted.logger import Logger

from hyperhive.agents.jobs import REPEATABLE, JobQueue, interrupted
from hyperhive.agents.notices import woken
from hyperhive.agents.service import Agents
from hyperhive.deferreds import deferred
from hyperhive.deploy.repos import Repos
from hyperhive.deploy.steps import Steps, told, waking
from hyperhive.deploy.tags import deployed_id, deployed_tag
from hyperhive.errors import PublicError
from hyperhive.names import HIVE
from hyperhive.store.jobs import JobRow

#: What is said of what was being started when the daemon died, and does not start.
NOT_STARTED = (
    "The hive ended while it was started with this. It does not start with it, and "
    "goes on with what it had before."
)
#: What is said of an agent that was being made then, and does not start.
NOT_BEGUN = (
    "The hive ended while it was started for the first time, and it does not start. It "
    "can be run again."
)
#: What is said where the daemon died between a destruction and what may come after it.
KEPT = "It is destroyed. What it had is kept; if that was to go too, purge it."


class LeftOpen:
    """Ends, once at start, the jobs of earlier daemons, and brings the repos in line."""

    _log = Logger()

    def __init__(
        self, steps: Steps, repos: Repos, agents: Agents, jobs: JobQueue
    ) -> None:
        self._steps = steps
        self._repos = repos
        self._agents = agents
        self._jobs = jobs

    @deferred
    async def run(self) -> None:
        """End what an earlier daemon left open: as done if it happened, else as interrupted."""
        for row in self._jobs.left_open():
            try:
                await self._recover(row)
            except Exception:
                self._log.failure("job {id} could not be recovered", id=row.id)
        for name in self._agents.names():
            try:
                await self._steps.catch_up(name)
            except PublicError as error:
                self._log.error("{name}: {error}", name=name, error=error)

    async def _recover(self, row: JobRow) -> None:
        name, note = row.agent, None
        outcome = "done" if await self._happened(row) else "interrupted"
        if outcome == "interrupted":
            note = interrupted(row.kind)
        elif row.kind in REPEATABLE and self._agents.status(name).failed:
            if row.kind == "rebuild":
                await self._put_back(row)
                return
            outcome, note = "failed", NOT_BEGUN
        elif row.kind == "rebuild":
            await self._steps.finish(name)
        elif row.kind == "destroy" and await self._is_kept(name):
            note = KEPT
        endings = told(row)
        if not self._agents.woken_by_recovery(name):
            endings += waking(row)
        await self._jobs.end_left_open(row, outcome, note, endings)

    async def _put_back(self, row: JobRow) -> None:
        """The daemon died while it started: it does not, and goes on with what it had.

        That is what its repo still has: ``main`` follows only what has started. The job
        is ended last, so that a death in here is found by the next daemon, too.
        """
        name, note = row.agent, NOT_STARTED
        try:
            await self._deploy_main(name)
        except PublicError as error:
            note = f"It does not start with it, nor with what it had before: {error}"
            self._log.error(
                "{name} could not be put back: {error}", name=name, error=error
            )
        if row.approval is not None and row.sha is not None:
            await self._repos.tag(name, "failed", row.approval, row.sha, note)
        await self._jobs.end_left_open(row, "failed", note, told(row))

    async def _deploy_main(self, name: str) -> None:
        sha = await self._repos.main(name)
        known = [
            one.id for one in await self._repos.deployments(name) if one.sha == sha
        ]
        tag = deployed_tag(known[0]) if known else None
        async with self._jobs.job("rebuild", name, HIVE, sha) as job:
            job.at_end(woken(name, "rebuilt", HIVE))
            async with self._agents.lifecycle.held(name, job) as agent:
                deployment = await job.alone(
                    lambda: self._steps.build(
                        job, name, self._agents.role(name), sha, tag
                    ),
                    "builds",
                    cancellable=True,
                )
                await self._agents.lifecycle.deploy(agent, deployment, job)

    async def _happened(self, row: JobRow) -> bool:
        """Whether what a job was to bring about is so."""
        name = row.agent
        exists = name in self._agents.names()
        match row.kind:
            case "create":
                return exists
            case "rebuild" if exists and row.approval is not None:
                tag = self._agents.deployment(name).tag
                return tag is not None and deployed_id(tag) == row.approval
            case "start":
                return exists and self._agents.status(name).running
            case "stop":
                return exists and not self._agents.status(name).running
            case "destroy":
                return not exists
            case "purge":
                return not exists and not await self._is_kept(name)
        return False

    async def _is_kept(self, name: str) -> bool:
        return name in [one.name for one in await self._agents.tombstones()]
