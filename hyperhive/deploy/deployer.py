"""What approvals and operators ask of deployments, each of which is a job of the queue."""

import time
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.jobs import (
    REPEATABLE,
    Job,
    JobQueue,
    ShuttingDown,
    wire,
)
from hyperhive.agents.notices import about
from hyperhive.agents.service import Agents
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import (
    AGAINST,
    Deployed,
    IDeploys,
    NoSuchDeployment,
    NotAgain,
)
from hyperhive.deploy.repos import Diff, Proposal, Repos
from hyperhive.deploy.steps import Steps, told
from hyperhive.deploy.trees import check_shown
from hyperhive.errors import BadRequest, NotFound, PublicError
from hyperhive.messages.interfaces import IBroker
from hyperhive.names import OPERATOR, SYSTEM
from hyperhive.store.agents import AgentTable
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow, JobTable


class NothingToCompare(NotFound):
    """There is no such commit to compare with."""


@implementer(IDeploys)
class Deployer:
    """See :class:`~hyperhive.deploy.interfaces.IDeploys`.

    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(
        self,
        steps: Steps,
        repos: Repos,
        agents: Agents,
        jobs: JobQueue,
        broker: IBroker,
        database: Database,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._steps = steps
        self._repos = repos
        self._agents = agents
        self._jobs = jobs
        self._broker = broker
        self._database = database
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
        await self._steps.catch_up(name)
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
            await self._steps.catch_up(agent)
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
                job.at_end(*told(row))
                if row.kind == "create":
                    await self._create(job)
                else:
                    await self._steps.deploy(job)
        except PublicError:
            self._log.info("job {id} did not succeed", id=row.id)
        assert job is not None  # it is made before anything can fail
        return job.row

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

    # What several of these do.

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
        sha = self._agents.deployment(name).sha or await self._steps.made(name)
        async with self._jobs.job("rebuild", name, by, sha) as job:
            job.at_end(*told(job.row))
            await self._steps.deploy(job)


def _failed_creation(connection: Connection, name: str) -> bool:
    row = AgentTable.get(connection, name)
    return row is not None and JobTable.failed_creation(
        connection, name, row.created_at
    )


def _raise_unless_done(row: JobRow) -> None:
    if row.outcome != "done":
        raise PublicError(row.note or f"Job {row.id} is {row.outcome}.")
