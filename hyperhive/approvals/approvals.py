"""Proposed changes: their submission, their one decision, and what carries it out."""

import time
from collections.abc import Callable
from sqlite3 import Connection

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.interfaces import AgentExists, NoSuchAgent
from hyperhive.approvals import notices, texts
from hyperhive.approvals.expiry import Expiry
from hyperhive.approvals.interfaces import (
    MAX_APPROVALS,
    MAX_DESCRIPTION,
    MAX_NOTE,
    SHOWN_DECIDED,
    AlreadyAsked,
    AlreadyDecided,
    Approval,
    IApprovals,
    IDeployer,
    NoSuchApproval,
    NotDone,
    NothingToShow,
    TooMany,
)
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.deploy.repos import Diff
from hyperhive.messages.commits import outlasting
from hyperhive.messages.interfaces import Also, IBroker, nothing_else
from hyperhive.names import (
    HIVE,
    check_agent_name,
    check_new_agent_name,
    mailbox,
    mailbox_owner,
)
from hyperhive.store.agents import AgentTable
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow
from hyperhive.times import rfc3339

#: What is noted of one that nobody decided in time.
EXPIRED = "It expired: nobody decided it in time."


@frozen
class _Decision:
    """What a decision has written.

    :param job: carries it out; ``None``: the approval had expired, and is denied.
    """

    row: ApprovalRow
    job: JobRow | None


@implementer(IApprovals)
class Approvals:
    """See :class:`~hyperhive.approvals.interfaces.IApprovals`.

    :param ttl: after how many seconds an approval is denied by itself; ``None``: never.
    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        broker: IBroker,
        bus: EventBus,
        deployer: IDeployer,
        expiry: Expiry,
        ttl: float | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._broker = broker
        self._bus = bus
        self._deployer = deployer
        self._expiry = expiry
        self._ttl = ttl
        self._now = now
        expiry.add(lambda: database.read(ApprovalTable.next_expiry), self._expire)

    @deferred
    async def recover(self) -> None:
        """At start: show in the repos what a daemon that died had no time to."""
        for row in await self._database.read_in_thread(ApprovalTable.pending):
            await self._tag(row)
        # As many as could have waited can have been denied in one go.
        for row in await self._database.read_in_thread(
            lambda connection: ApprovalTable.decided(connection, MAX_APPROVALS)
        ):
            await self._tag(row)

    def changed(self, id: int) -> None:
        """What carries approvals out has changed one: show it as it is now."""
        row = self._database.read(lambda connection: ApprovalTable.get(connection, id))
        if row is not None:
            self._publish("approval_resolved", row)

    # Submission

    def request_spawn(
        self, name: str, asker: str, description: str | None = None
    ) -> Deferred[int]:
        """See :class:`IApprovals`."""
        return outlasting(self._request_spawn(name, asker, description))

    @deferred
    async def _request_spawn(
        self, name: str, asker: str, description: str | None
    ) -> int:
        check_new_agent_name(name)
        described = texts.optional("The description", description, MAX_DESCRIPTION)

        def insert(connection: Connection) -> ApprovalRow:
            _check_free(connection, name)
            for row in _with_room(connection):
                if row.kind == "spawn" and row.agent == name:
                    raise AlreadyAsked(
                        f"A new agent {name!r} was asked for already: approval "
                        f"{row.id} waits for the operator."
                    )
            now = self._now()
            return ApprovalTable.insert(
                connection,
                name,
                "spawn",
                mailbox(asker),
                now,
                described,
                expires_at=self._expires_at(now),
            )

        return (await self._submitted(insert)).id

    def request_apply_commit(
        self, agent: str, commit_ref: str, asker: str, description: str | None = None
    ) -> Deferred[int]:
        """See :class:`IApprovals`."""
        return outlasting(
            self._request_apply_commit(agent, commit_ref, asker, description)
        )

    @deferred
    async def _request_apply_commit(
        self, agent: str, commit_ref: str, asker: str, description: str | None
    ) -> int:
        name = check_agent_name(mailbox_owner(agent))
        described = texts.optional("The description", description, MAX_DESCRIPTION)
        # Before the work, and again with the row.
        self._database.read(lambda connection: _check_lives(connection, name))
        self._database.read(_with_room)
        proposal = await self._deployer.propose(name, commit_ref)

        def insert(connection: Connection) -> ApprovalRow:
            _check_lives(connection, name)
            for row in _with_room(connection):
                if row.agent == name and row.sha == proposal.sha:
                    raise AlreadyAsked(
                        f"This commit waits for the operator already: approval {row.id}."
                    )
            now = self._now()
            return ApprovalTable.insert(
                connection,
                name,
                "apply_commit",
                mailbox(asker),
                now,
                described,
                commit_ref,
                proposal.sha,
                proposal.base,
                self._expires_at(now),
            )

        row = await self._submitted(insert)
        await self._tag(row)
        return row.id

    async def _submitted(
        self, insert: Callable[[Connection], ApprovalRow]
    ) -> ApprovalRow:
        row = await self._broker.tell(insert, notices.asked)
        self._publish("approval_added", row)
        self._expiry.look()
        return row

    def _expires_at(self, now: float) -> float | None:
        return None if self._ttl is None else now + self._ttl

    # The decision

    def approve(self, id: int, by: str, also: Also = nothing_else) -> Deferred[None]:
        """See :class:`IApprovals`."""
        return outlasting(self._approve(id, by, also))

    @deferred
    async def _approve(self, id: int, by: str, also: Also) -> None:
        def act(connection: Connection) -> _Decision:
            row = self._resolved(connection, id, "approved", by, None)
            also(connection)
            if row.status != "approved":
                return _Decision(row, None)
            if row.kind == "spawn":
                _check_free(connection, row.agent)
            return _Decision(row, self._deployer.begin(connection, row))

        decision = await self._broker.tell(act, lambda done: notices.resolved(done.row))
        self._publish("approval_resolved", decision.row)
        if decision.job is None:
            raise AlreadyDecided(_decided(decision.row))
        try:
            job = await self._deployer.carry_out(decision.job)
        finally:
            self._follow(decision.row)
        if job.outcome != "done":
            why = job.note or f"Its job {job.id} is {job.outcome}."
            raise NotDone(
                f"Approval {id} could not be carried out by job {job.id}: {why}"
            )

    def deny(
        self, id: int, by: str, note: str | None = None, also: Also = nothing_else
    ) -> Deferred[None]:
        """See :class:`IApprovals`."""
        return outlasting(self._deny(id, by, note, also))

    @deferred
    async def _deny(self, id: int, by: str, note: str | None, also: Also) -> None:
        why = texts.optional("The note", note, MAX_NOTE)

        def act(connection: Connection) -> ApprovalRow:
            row = self._resolved(connection, id, "denied", by, why)
            also(connection)
            return row

        row = await self._broker.tell(act, notices.resolved)
        self._publish("approval_resolved", row)
        # Whoever decides need not wait for git.
        self._tag(row)
        if row.note == EXPIRED:
            raise AlreadyDecided(_decided(row))

    def _resolved(
        self, connection: Connection, id: int, status: str, by: str, note: str | None
    ) -> ApprovalRow:
        """Decide one that waits; if it has expired, it is denied for that."""
        row = _existing(connection, id)
        if row.status != "pending":
            raise AlreadyDecided(_decided(row))
        now = self._now()
        if row.expires_at is not None and row.expires_at <= now:
            status, by, note = "denied", HIVE, EXPIRED
        resolved = ApprovalTable.resolve(connection, id, status, now, by, note)
        assert resolved is not None  # it is pending, in this transaction
        return resolved

    @deferred
    async def _expire(self) -> None:
        """Deny, as the hive, all that nobody decided in time."""

        def act(connection: Connection) -> list[ApprovalRow]:
            now = self._now()
            return [
                self._resolved(connection, row.id, "denied", HIVE, EXPIRED)
                for row in ApprovalTable.pending(connection)
                if row.expires_at is not None and row.expires_at <= now
            ]

        rows = await self._broker.tell(
            act, lambda rows: [one for row in rows for one in notices.resolved(row)]
        )
        for row in rows:
            self._publish("approval_resolved", row)
        for row in rows:
            await self._tag(row)

    # What is shown

    @deferred
    async def get(self, id: int) -> Approval:
        """See :class:`IApprovals`."""
        return Approval.of(await self._row(id))

    @deferred
    async def pending(self) -> list[Approval]:
        """See :class:`IApprovals`."""
        rows = await self._database.read_in_thread(
            lambda connection: [
                *ApprovalTable.pending(connection),
                *ApprovalTable.decided(connection, SHOWN_DECIDED),
            ]
        )
        return [Approval.of(row) for row in rows]

    @deferred
    async def diff(self, id: int, against: str = "running") -> Diff:
        """See :class:`IApprovals`."""
        row = await self._row(id)
        if row.sha is None:
            raise NothingToShow(
                f"Approval {id} is for a new agent, {row.agent}: it changes no "
                "configuration."
            )
        return await self._deployer.diff(row.agent, row.sha, against, id)

    def _row(self, id: int) -> Deferred[ApprovalRow]:
        return self._database.read_in_thread(
            lambda connection: _existing(connection, id)
        )

    def _follow(self, before: ApprovalRow) -> None:
        """What carried it out may have made it ``failed``."""
        after = self._database.read(
            lambda connection: ApprovalTable.get(connection, before.id)
        )
        if after is not None and after.status != before.status:
            self._publish("approval_resolved", after)

    def _publish(self, kind: str, row: ApprovalRow) -> None:
        self._bus.publish(kind, {"approval": Approval.of(row).as_wire()}, row.agent)

    @deferred
    async def _tag(self, row: ApprovalRow) -> None:
        """Show it in the repo; what fails there has changed nothing of the decision."""
        if row.sha is None:
            return
        try:
            if row.status == "pending":
                await self._deployer.tag_proposal(row.agent, row.id, row.sha)
            elif row.status == "denied":
                await self._deployer.tag_denied(row.agent, row.id, row.sha, row.note)
        except Exception:
            self._log.failure("approval {id} could not be tagged", id=row.id)


def _existing(connection: Connection, id: int) -> ApprovalRow:
    row = ApprovalTable.get(connection, id)
    if row is None:
        raise NoSuchApproval(f"There is no approval {id}.")
    return row


def _with_room(connection: Connection) -> list[ApprovalRow]:
    """Those that wait.

    :raises TooMany: if there is no room for another.
    """
    rows = ApprovalTable.pending(connection)
    if len(rows) >= MAX_APPROVALS:
        raise TooMany(
            f"{len(rows)} approvals wait for the operator: no more are taken before "
            "some are decided."
        )
    return rows


def _check_free(connection: Connection, name: str) -> None:
    if AgentTable.get(connection, name) is not None:
        raise AgentExists(f"There is an agent {name!r} already.")


def _check_lives(connection: Connection, name: str) -> None:
    if AgentTable.get(connection, name) is None:
        names = ", ".join(row.name for row in AgentTable.all(connection))
        raise NoSuchAgent(f"There is no agent {name!r}; there are {names}.")


def _decided(row: ApprovalRow) -> str:
    """What became of it, in a sentence."""
    done = "approved" if row.status == "failed" else row.status
    when = "?" if row.resolved_at is None else rfc3339(row.resolved_at)
    failed = ", and has failed" if row.status == "failed" else ""
    why = f": {row.note}" if row.note else "."
    return f"Approval {row.id} was {done} by {row.resolved_by} at {when}{failed}{why}"
