"""Approvals and questions in memory, over a deployer that only records."""

from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from hyperhive.approvals.approvals import Approvals
from hyperhive.approvals.expiry import Expiry
from hyperhive.approvals.partings import Partings
from hyperhive.approvals.questions import Questions
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.deploy.repos import ChangedFile, Diff, Proposal
from hyperhive.messages.interfaces import IBroker
from hyperhive.names import OPERATOR
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow, JobTable

#: What every agent runs with.
BASE = "b" * 40


class RecordingDeployer:
    """An :class:`~hyperhive.approvals.interfaces.IDeployer` that builds nothing.

    :ivar calls: what was asked to be done, in order.
    :ivar commits: the commits there are, by a reference to each.
    :ivar failures: by a method's name, what each call of it fails with from now on.
    :ivar failing: why the jobs of an agent fail, by its name.
    :ivar held: the jobs under way, while :attr:`holding`; :meth:`finish` ends the oldest.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.calls: list[tuple[Any, ...]] = []
        self.commits: dict[str, str] = {}
        self.failures: dict[str, Exception] = {}
        self.failing: dict[str, str] = {}
        self.holding = False
        self.held: list[Deferred[None]] = []
        self.text = (
            "diff --git a/agent.toml b/agent.toml\n--- a/agent.toml\n"
            "+++ b/agent.toml\n@@ -1 +1 @@\n-old\n+new\n"
        )

    def finish(self) -> None:
        """Let the oldest job that is held end."""
        self.held.pop(0).callback(None)

    @deferred
    async def propose(self, agent: str, commit_ref: str) -> Proposal:
        """See IDeployer; a reference that is not known is a commit by itself."""
        self._called("propose", agent, commit_ref)
        sha = self.commits.get(commit_ref, commit_ref.ljust(40, "0"))
        return Proposal(sha, BASE, ("agent.toml",))

    @deferred
    async def tag_proposal(self, agent: str, approval: int, sha: str) -> None:
        """See IDeployer."""
        self._called("tag_proposal", agent, approval, sha)

    @deferred
    async def tag_denied(
        self, agent: str, approval: int, sha: str, note: str | None
    ) -> None:
        """See IDeployer."""
        self._called("tag_denied", agent, approval, sha, note)

    def begin(self, connection: Connection, approval: ApprovalRow) -> JobRow:
        """See IDeployer."""
        self._called("begin", approval.id)
        kind = "create" if approval.kind == "spawn" else "rebuild"
        return JobTable.insert(
            connection, kind, approval.agent, OPERATOR, 0.0, approval.id, approval.sha
        )

    @deferred
    async def carry_out(self, row: JobRow) -> JobRow:
        """See IDeployer."""
        self._called("carry_out", row.id)
        if self.holding:
            waiting: Deferred[None] = Deferred()
            self.held.append(waiting)
            await waiting
        note = self.failing.get(row.agent)

        def end(connection: Connection) -> JobRow:
            outcome = "done" if note is None else "failed"
            JobTable.end(connection, row.id, 1.0, outcome, note)
            if note is not None and row.approval is not None:
                ApprovalTable.fail(connection, row.approval, note)
            ended = JobTable.get(connection, row.id)
            assert ended is not None
            return ended

        return await self._database.write(end)

    @deferred
    async def diff(self, agent: str, sha: str, against: str, approval: int) -> Diff:
        """See IDeployer."""
        self._called("diff", agent, sha, against, approval)
        files = (ChangedFile("agent.toml", 1, 1), ChangedFile("logo.png", None, None))
        return Diff(BASE, sha, self.text, False, files)

    def _called(self, method: str, *arguments: Any) -> None:
        self.calls.append((method, *arguments))
        if method in self.failures:
            raise self.failures[method]


class Decisions:
    """The whole room over a database, made as the daemon makes it."""

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        broker: IBroker,
        bus: EventBus,
        now: Callable[[], float],
        ttl: float | None = None,
    ) -> None:
        self.deployer = RecordingDeployer(database)
        self.expiry = Expiry(clock, now)
        self.approvals = Approvals(
            database, broker, bus, self.deployer, self.expiry, ttl, now
        )
        self.questions = Questions(database, broker, bus, self.expiry, now)
        self.partings = Partings(bus, now)
