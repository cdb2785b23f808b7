"""Carry out what was decided: from an approved commit to an agent that runs with it.

The steps of a deployment, and what a daemon finds that comes after one that died there:

1. the decision and the job are one transaction; a job that never began, or built, is
   shown as interrupted, and can be run again;
2. ``approved/<id>``, ``building/<id>``, the build: nothing that runs is touched;
3. the turn ends, the container stops, the agent's row is written: from here on it has
   happened, and what the row says is started, now or by the next daemon;
4. ``deployed/<id>``, ``main`` goes forward: it never is ahead of its tag; the job's end
   and all who are told of it are one transaction.

The row is the truth of what runs. Where a repo says something else (its disk was full),
it is brought in line before anything is compared with it or built on it.
"""

import time
from collections.abc import Callable, Iterable
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.agent import Agent
from hyperhive.agents.interfaces import Deployment
from hyperhive.agents.jobs import (
    REPEATABLE,
    Ending,
    Job,
    JobQueue,
    ShuttingDown,
    interrupted,
    wire,
)
from hyperhive.agents.notices import about, woken
from hyperhive.agents.service import Agents
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import (
    AGAINST,
    Deployed,
    IBuilder,
    IDeploys,
    NoSuchDeployment,
    NotAgain,
)
from hyperhive.deploy.repos import Diff, Proposal, Repos
from hyperhive.deploy.tags import deployed_id, deployed_tag
from hyperhive.deploy.trees import check_shown
from hyperhive.errors import BadRequest, NotFound, PublicError
from hyperhive.messages.interfaces import IBroker, Notice
from hyperhive.names import HIVE, MANAGER, OPERATOR, SYSTEM
from hyperhive.store.agents import AgentTable
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow, JobTable

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
#: What a commit is recorded as that the hive itself makes for a new agent.
FIRST = 0  # its id, which no approval has
FIRST_COMMIT = "The configuration that every agent begins with"


class NothingToCompare(NotFound):
    """There is no such commit to compare with."""


@implementer(IDeploys)
class Deployer:
    """See the module.

    :param revision: the hyperhive that builds; agents built by another are rebuilt.
    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(
        self,
        repos: Repos,
        builder: IBuilder,
        agents: Agents,
        jobs: JobQueue,
        broker: IBroker,
        database: Database,
        revision: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repos = repos
        self._builder = builder
        self._agents = agents
        self._jobs = jobs
        self._broker = broker
        self._database = database
        self._revision = revision
        self._now = now
        #: Told of an approval that was changed by what was asked for here.
        self.approval_changed: Callable[[int], None] = lambda approval: None

    # What an approval is made of.

    @deferred
    async def propose(self, agent: str, commit_ref: str) -> Proposal:
        """Fetch a commit out of the proposed repo, check it and pin it.

        :raises PublicError: a sentence for who proposed it.
        """
        name = self._agents.status(agent).name
        await self._catch_up(name)
        proposal = await self._repos.submit(name, commit_ref)
        check_shown(await self._repos.tree(name, proposal.sha))
        return proposal

    def tag_proposal(self, agent: str, approval: int, sha: str) -> Deferred[None]:
        """Show what waits for a decision. Safe to do again."""
        return self._repos.tag(agent, "proposal", approval, sha)

    def tag_denied(
        self, agent: str, approval: int, sha: str, note: str | None
    ) -> Deferred[None]:
        """Show that it was denied, and why. Safe to do again."""
        return self._repos.tag(agent, "denied", approval, sha, note)

    @deferred
    async def diff(self, agent: str, sha: str, against: str, approval: int) -> Diff:
        """What a proposal changes.

        :param against: ``running``, ``approved`` (the newest that was approved) or
            ``queued`` (the one that waits before it).
        :raises NothingToCompare:
        """
        base = await self._base(agent, against, approval)
        return await self._repos.diff(agent, base, sha)

    async def _base(self, agent: str, against: str, approval: int) -> str:
        if against not in AGAINST:
            raise BadRequest(
                f"{against[:40]!r} is nothing to compare with: use {', '.join(AGAINST)}."
            )
        if against == "running":
            await self._catch_up(agent)
            return await self._repos.main(agent)
        rows = await self._database.read_in_thread(
            lambda connection: ApprovalTable.of_agent(connection, agent)
        )
        wanted = ("pending",) if against == "queued" else ("approved", "failed")
        for row in sorted(rows, key=lambda row: row.id, reverse=True):
            if row.id < approval and row.sha and row.status in wanted:
                return row.sha
        raise NothingToCompare(
            "No proposal waits before this one."
            if against == "queued"
            else "Nothing was approved before this one."
        )

    # What carries a decision out.

    def begin(self, connection: Connection, approval: ApprovalRow) -> JobRow:
        """Queue what an approval asks for, in the transaction that decides it."""
        return JobTable.insert(
            connection,
            "create" if approval.kind == "spawn" else "rebuild",
            approval.agent,
            OPERATOR,
            self._now(),
            approval.id,
            approval.sha,
        )

    @deferred
    async def carry_out(self, row: JobRow) -> JobRow:
        """Do a job whose row is committed; fires with the row as it ended."""
        job: Job | None = None
        await self._agents.lifecycle.when_begun()
        try:
            async with self._jobs.carrying_out(row) as job:
                for ending in self._endings(row):
                    job.at_end(ending)
                if row.kind == "create":
                    await self._create(job)
                else:
                    await self._deploy(job)
        except PublicError:
            self._log.info("job {id} did not succeed", id=row.id)
        assert job is not None  # it is made before anything can fail
        return job.row

    @deferred
    async def provision(self, name: str, role: str, job: Job) -> Deployment:
        """What a new agent begins with: its repos, and what is built of them.

        State that was kept of an earlier agent of that name is its own again, and so
        is its configuration.
        """
        sha = await self._repos.create(name, self._builder.template(name), FIRST_COMMIT)
        newest = [*await self._repos.deployments(name)][:1]
        if not newest:
            await self._repos.tag(name, "deployed", FIRST, sha)
        id = newest[0].id if newest else FIRST
        return await self._build(job, name, role, sha, deployed_tag(id))

    # What the operator asks for.

    @deferred
    async def rebuild(self, name: str, by: str) -> None:
        """Build again what an agent runs, and run that."""
        await self._agents.lifecycle.when_begun()
        await self._redeploy(self._agents.status(name).name, by)

    @deferred
    async def update_all(self, by: str) -> int:
        """Rebuild every agent that another hyperhive has built, the manager first.

        Fires with how many; one that fails keeps none of the others. A shutdown ends it:
        the next daemon begins it anew.
        """
        await self._agents.lifecycle.when_begun()
        behind = [
            status.name
            for status in self._agents.statuses()
            # Or it was made before there were deployments.
            if status.needs_update or status.deployed_sha is None
        ]
        for name in behind:
            if self._jobs.closing:
                break
            try:
                await self._redeploy(name, by)
            except ShuttingDown:
                break
            except PublicError as error:
                notice = about("needs_update", name, str(error))
                await self._broker.send(SYSTEM, notice.to, notice.body)
        return len(behind)

    @deferred
    async def rollback(self, name: str, id: int, by: str) -> None:
        """Go back to what was deployed under ``id``. It is a deployment of its own.

        :raises NoSuchDeployment: listing what there is.
        """
        await self._agents.lifecycle.when_begun()
        name = self._agents.status(name).name
        deployments = await self.deployments(name)
        wanted = [one for one in deployments if one.id == id]
        if not wanted:
            known = ", ".join(str(one.id) for one in deployments[:20]) or "none"
            raise NoSuchDeployment(
                f"{name} has no deployment {id}; there are: {known}."
            )
        sha = await self._repos.rolled_back(name, wanted[0].sha)
        row = await self._database.write(
            lambda connection: self._decided(connection, name, sha, id, by)
        )
        await self._repos.tag(name, "proposal", row.approval or 0, sha)
        await self._carry_out_and_show(row)

    def _decided(
        self, connection: Connection, name: str, sha: str, id: int, by: str
    ) -> JobRow:
        """The operator's own decision: it asks nobody, and is recorded as others are."""
        approval = ApprovalTable.insert_decided(
            connection, name, sha, f"rollback to deployment {id}", by, self._now()
        )
        return self.begin(connection, approval)

    @deferred
    async def run_again(self, id: int) -> None:
        """Run a job again that failed or was interrupted.

        :raises NotAgain: if it is under way, was done, or is no deployment.
        """

        def again(connection: Connection) -> JobRow:
            row = JobTable.get(connection, id)
            if row is None:
                raise NotAgain(f"There is no job {id}.")
            if row.outcome not in ("failed", "interrupted", "cancelled"):
                raise NotAgain(f"Job {id} is {wire(row)['state']}.")
            if row.kind not in REPEATABLE:
                raise NotAgain(f"Ask for the {row.kind} of {row.agent} anew.")
            later = JobTable.later(connection, row)
            if later is not None:
                raise NotAgain(f"Job {later} is job {id} again.")
            if row.approval is not None:
                ApprovalTable.retry(connection, row.approval)
            return JobTable.insert(
                connection,
                row.kind,
                row.agent,
                OPERATOR,
                self._now(),
                row.approval,
                row.sha,
            )

        await self._carry_out_and_show(await self._database.write(again))

    async def _carry_out_and_show(self, row: JobRow) -> None:
        """As an approval is carried out, without somebody who has approved it now."""
        ended = await self.carry_out(row)
        if row.approval is not None:
            self.approval_changed(row.approval)
        _raise_unless_done(ended)

    @deferred
    async def deployments(self, name: str) -> list[Deployed]:
        """What was deployed for an agent, newest first."""
        current = self._agents.deployment(name).sha
        return [
            Deployed(one.id, one.sha, one.at, one.sha == current)
            for one in await self._repos.deployments(self._agents.status(name).name)
        ]

    def jobs(self, limit: int = 50) -> Deferred[list[dict[str, Any]]]:
        """See :class:`IDeploys`."""
        return self._jobs.page(limit)

    def lines(self, job: int) -> tuple[str, ...]:
        """See :class:`IDeploys`."""
        return self._jobs.lines(job)

    def cancel(self, job: int) -> None:
        """See :class:`IDeploys`."""
        self._jobs.cancel(job)

    # After a daemon that died.

    @deferred
    async def recover(self) -> None:
        """End what an earlier daemon left open: as done if it happened, else as interrupted."""
        for row in self._jobs.left_open():
            try:
                await self._recover(row)
            except Exception:
                self._log.failure("job {id} could not be recovered", id=row.id)
        for name in self._agents.names():
            try:
                await self._catch_up(name)
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
            await self._finish(name)
        elif row.kind == "destroy" and await self._is_kept(name):
            note = KEPT
        endings = self._endings(row, self._agents.woken_by_recovery(name))
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
        await self._jobs.end_left_open(row, "failed", note, [self._ending("rebuilt")])

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
                    lambda: self._build(job, name, self._agents.role(name), sha, tag),
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

    # The steps.

    async def _create(self, job: Job) -> None:
        """Make a new agent, or start the one that an earlier try has made."""
        name, lifecycle = job.row.agent, self._agents.lifecycle
        if name in self._agents.names() and not self._agents.status(name).running:
            tried = await self._database.read_in_thread(
                lambda connection: _failed_creation(connection, name)
            )
            if tried:
                await lifecycle.start_created(name, job)
                return
        await lifecycle.create(name, "agent", job)

    async def _redeploy(self, name: str, by: str) -> None:
        sha = self._agents.deployment(name).sha or await self._repos.create(
            name, self._builder.template(name), FIRST_COMMIT
        )
        async with self._jobs.job("rebuild", name, by, sha) as job:
            for ending in self._endings(job.row):
                job.at_end(ending)
            await self._deploy(job)

    async def _deploy(self, job: Job) -> None:
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
            lambda: self._build(job, name, self._agents.role(name), sha, tag),
            "builds",
            cancellable=True,
        )
        await self._agents.lifecycle.deploy(agent, deployment, job)
        try:
            await self._finish(name)
        except PublicError as error:
            # It runs: to call it failed would have the operator do it again.
            job.log(f"It runs, but its repo can't be brought in line yet: {error}")
            self._log.error("{name}: {error}", name=name, error=error)

    async def _finish(self, name: str) -> None:
        """Show in the repo what has happened. Safe to do again."""
        await self._bring_in_line(name)
        await self._builder.release(name)

    async def _catch_up(self, name: str) -> None:
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
    async def _build(
        self, job: Job, name: str, role: str, sha: str, tag: str | None
    ) -> Deployment:
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

    def _endings(self, row: JobRow, awake: bool = False) -> list[Ending]:
        """Who is told of a job's end: the manager, and once whom it has woken.

        :param awake: the agent was told already that it runs.
        """
        name = row.agent
        event = {"create": "spawned", "rebuild": "rebuilt"}.get(row.kind)
        endings = [] if event is None else [self._ending(event)]
        wakes = {"start": "started", "rebuild": "rebuilt"}.get(row.kind)
        # Of a rebuild of its own the manager is told as of all others'.
        if wakes is not None and not awake and (name != MANAGER or event is None):
            endings.append(woken(name, wakes, row.by))
        return endings

    def _ending(self, event: str) -> Ending:
        """What is written with a job's end: its approval's, and the manager's notice."""

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


def _failed_creation(connection: Connection, name: str) -> bool:
    row = AgentTable.get(connection, name)
    return row is not None and JobTable.failed_creation(
        connection, name, row.created_at
    )


def _raise_unless_done(row: JobRow) -> None:
    if row.outcome != "done":
        raise PublicError(row.note or f"Job {row.id} is {row.outcome}.")
