"""The steps of a deployment: from a commit to an agent that runs with it, and a repo that says so.

1. The decision and the job are one transaction; a job that never began, or built, is
   shown as interrupted, and can be run again.
2. ``approved/<id>``, ``building/<id>``, the build: nothing that runs is touched.
3. The turn ends, the container stops, the agent's row is written: from here on it has
   happened, and what the row says is started, now or by the next daemon.
4. ``deployed/<id>``, ``main`` goes forward: it never is ahead of its tag; the job's end
   and all who are told of it are one transaction.

The row is the truth of what runs. Where a repo says something else (its disk was full),
it is brought in line before anything is compared with it or built on it.
"""

from collections.abc import Iterable
from sqlite3 import Connection

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from hyperhive.agents.agent import Agent
from hyperhive.agents.interfaces import Deployment
from hyperhive.agents.jobs import Ending, Job, JobQueue
from hyperhive.agents.notices import about, woken
from hyperhive.agents.service import Agents
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import IBuilder
from hyperhive.deploy.repos import Repos
from hyperhive.deploy.tags import deployed_id, deployed_tag
from hyperhive.deploy.trees import check_shown
from hyperhive.errors import PublicError
from hyperhive.messages.interfaces import Notice
from hyperhive.names import MANAGER
from hyperhive.store.approvals import ApprovalTable
from hyperhive.store.jobs import JobRow

#: What a commit is recorded as that the hive itself makes for a new agent.
FIRST = 0  # its id, which no approval has
FIRST_COMMIT = "The configuration that every agent begins with"


class Steps:
    """What is done for an agent, one job at a time.

    :param revision: the hyperhive that builds; agents built by another are rebuilt.
    """

    _log = Logger()

    def __init__(
        self,
        repos: Repos,
        builder: IBuilder,
        agents: Agents,
        jobs: JobQueue,
        revision: str,
    ) -> None:
        self._repos = repos
        self._builder = builder
        self._agents = agents
        self._jobs = jobs
        self._revision = revision

    @deferred
    async def made(self, name: str) -> str:
        """Make an agent's repos, where they are not there; fires with the commit of main."""
        return await self._repos.create(
            name, self._builder.template(name), FIRST_COMMIT
        )

    @deferred
    async def provision(self, name: str, role: str, job: Job) -> Deployment:
        """What a new agent begins with: its repos, and what is built of them.

        State that was kept of an earlier agent of that name is its own again, and so
        is its configuration.
        """
        sha = await self.made(name)
        newest = [*await self._repos.deployments(name)][:1]
        if not newest:
            await self._repos.tag(name, "deployed", FIRST, sha)
        id = newest[0].id if newest else FIRST
        return await self.build(job, name, role, sha, deployed_tag(id))

    @deferred
    async def deploy(self, job: Job) -> None:
        """Let an agent run with the commit of its job, which ends as this does."""
        row = job.row
        assert row.sha is not None  # a rebuild has a commit
        name, sha, id = row.agent, row.sha, row.approval
        try:
            if id is not None:
                await self._repos.tag(name, "approved", id, sha)
            # Until it runs no other job of the agent comes between: what is built has
            # been held against what runs, and that is to be still true then.
            async with self._agents.lifecycle.held(name, job) as agent:
                await self._deploy_held(job, agent, sha)
        except PublicError as error:
            if id is not None:
                await self._repos.tag(name, "failed", id, sha, str(error))
            raise
        except CancelledError:
            if id is not None and not self._jobs.closing:
                await self._repos.tag(name, "failed", id, sha, "It was cancelled.")
            raise

    async def _deploy_held(self, job: Job, agent: Agent, sha: str) -> None:
        name, id = agent.name, job.row.approval
        # The job before may have had no way to: this one is held against it.
        await self._bring_in_line(name)
        running = self._agents.deployment(name)
        if id is None and running.sha not in (None, sha):
            job.log("Another commit was deployed meanwhile, built as it would be now.")
            return
        # What is built again keeps its place in the history.
        tag = running.tag if id is None else deployed_tag(id)
        if id is not None:
            await self._repos.tag(name, "building", id, sha)
        deployment = await job.alone(
            lambda: self.build(job, name, self._agents.role(name), sha, tag),
            "builds",
            cancellable=True,
        )
        await self._agents.lifecycle.deploy(agent, deployment, job)
        job.at_end(*waking(job.row))
        try:
            await self.finish(name)
        except PublicError as error:
            # It runs: to call it failed would have the operator do it again.
            job.log(f"It runs, but its repo can't be brought in line yet: {error}")
            self._log.error("{name}: {error}", name=name, error=error)

    @deferred
    async def finish(self, name: str) -> None:
        """Show in the repo what has happened. Safe to do again."""
        await self._bring_in_line(name)
        await self._builder.release(name)

    @deferred
    async def catch_up(self, name: str) -> None:
        """Bring it in line, unless a job is about to: the start may still fail."""
        if not self._agents.lifecycle.busy(name):
            await self._bring_in_line(name)

    async def _bring_in_line(self, name: str) -> None:
        """Let the repo say what the row says. Mostly it does."""
        deployment = self._agents.deployment(name)
        sha, tag = deployment.sha, deployment.tag
        if sha is None or await self._repos.main(name) == sha:
            return
        if tag is not None:
            await self._repos.tag(name, "deployed", deployed_id(tag), sha)
        await self._repos.advance(name, sha)

    @deferred
    async def build(
        self, job: Job, name: str, role: str, sha: str, tag: str | None
    ) -> Deployment:
        """Build a commit that comes after what is deployed.

        :param tag: what it is to be called when it runs.
        :raises PublicError: a sentence for who proposed it.
        """
        await self._repos.check_follows_main(name, sha)
        tree = await self._repos.tree(name, sha)
        check_shown(tree)
        built = await self._builder.build(name, role, tree, job.log)
        return Deployment(
            sha,
            tag,
            built.config,
            None if built.system is None else str(built.system),
            self._revision,
        )


def told(row: JobRow) -> list[Ending]:
    """What follows from the end of a deployment: its approval's, and the manager's notice."""
    event = {"create": "spawned", "rebuild": "rebuilt"}.get(row.kind)
    return [] if event is None else [_ending(event)]


def waking(row: JobRow) -> list[Ending]:
    """What an agent is told by a job that has started it again."""
    event = {"start": "started", "rebuild": "rebuilt"}.get(row.kind)
    # Of a rebuild of its own the manager is told as of all others'.
    if event is None or (row.agent == MANAGER and told(row)):
        return []
    return [woken(row.agent, event, row.by)]


def _ending(event: str) -> Ending:
    def ending(connection: Connection, row: JobRow) -> Iterable[Notice]:
        if row.approval is not None and row.outcome in ("failed", "cancelled"):
            ApprovalTable.fail(connection, row.approval, row.note)
        tag = {"done": "deployed", "failed": "failed"}.get(row.outcome or "")
        more: dict[str, object] = {"ok": row.outcome == "done"}
        if row.sha is not None:
            more["sha"] = row.sha
        if row.approval is not None and tag is not None and row.sha is not None:
            more["tag"] = f"{tag}/{row.approval}"
        return [about(event, row.agent, row.note, **more)]

    return ending
