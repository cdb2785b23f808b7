"""The deploy queue: every change to a container, one at a time, shown and logged.

A job is written down before anything is done for it, and its end is written together
with what follows from it (who is told, what else changes). What a daemon left open
when it died is found by the next one: nothing is half done in silence.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from sqlite3 import Connection
from typing import Any, TypeVar

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    TimeoutError,
)
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import DEFECT, Conflict, NotFound, PublicError
from hyperhive.messages.interfaces import IBroker, Notice
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow, JobTable
from hyperhive.times import rfc3339

T = TypeVar("T")

#: How many lines of a job's log are kept, and how long each may be (characters).
MAX_LINES = 500
MAX_LINE = 1000
#: How long the note of a job's end may be (characters).
MAX_NOTE = 4000
#: Of how many jobs that have ended the log is kept.
KEPT_LOGS = 20
#: How long a job is remembered (seconds).
KEPT_SECONDS = 90 * 86400.0
#: What can be run again as it was asked for: all that is needed for it is kept.
REPEATABLE = ("create", "rebuild")
#: How long the daemon's end waits for what must not be left half done (seconds).
END_LIMIT = 30.0
#: The most jobs that one question is answered with.
MAX_PAGE = 200


class NoSuchJob(NotFound):
    """No job of that id is under way."""


class NotNow(Conflict):
    """The job is at a point at which it can't be cancelled."""


class JobCancelled(Conflict):
    """The job was cancelled before it changed anything."""


class ShuttingDown(Conflict):
    """The daemon ends: no job is begun any more."""


def interrupted(kind: str) -> str:
    """What is said of a job that the daemon's end cut off."""
    then = (
        "it can be run again."
        if kind in REPEATABLE
        else "ask for it anew, if it is still wanted."
    )
    return f"The daemon ended before it was done; {then}"


#: Something to do in the transaction of a job's end; answers whom to tell of it.
Ending = Callable[[Connection, JobRow], Iterable[Notice]]


def wire(
    row: JobRow, step: str | None = None, cancellable: bool = False
) -> dict[str, Any]:
    """A job as surfaces show it; what is absent is left out."""
    if row.outcome is not None:
        state = row.outcome
    else:
        state = "waiting" if row.started_at is None else "running"
    shown: dict[str, Any] = {
        "id": row.id,
        "kind": row.kind,
        "agent": row.agent,
        "by": row.by,
        "state": state,
        "queued_at": rfc3339(row.queued_at),
    }
    if row.outcome is None:
        shown["cancellable"] = cancellable
    times = {"started_at": row.started_at, "ended_at": row.ended_at}
    shown |= {key: rfc3339(value) for key, value in times.items() if value is not None}
    plain = {
        "approval": row.approval,
        "sha": row.sha,
        "step": step,
        "note": row.note,
    }
    return shown | {key: value for key, value in plain.items() if value is not None}


class Job:
    """A job under way; made by :class:`JobQueue`.

    :ivar row: what is on disk of it.
    :ivar step: what it does or waits for, in words.
    """

    def __init__(self, queue: "JobQueue", row: JobRow) -> None:
        self._queue = queue
        self.row = row
        self.step = "waits"
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self._endings: list[Ending] = []
        self._waiting: Deferred[Any] | None = None

    @property
    def cancellable(self) -> bool:
        """Whether :meth:`JobQueue.cancel` would end it now."""
        return self._waiting is not None

    def as_wire(self) -> dict[str, Any]:
        """See :func:`wire`."""
        return wire(self.row, self.step, self.cancellable)

    def log(self, text: str) -> None:
        """Add lines to its log, which is shown live."""
        for line in text.splitlines():
            self.lines.append(line[:MAX_LINE])
            self._queue.logged(self, line[:MAX_LINE])

    def at_end(self, *endings: Ending) -> None:
        """Do these too in the transaction of its end."""
        self._endings += endings

    @deferred
    async def wait(self, waiting: Deferred[T], step: str) -> T:
        """Wait for something, and let the job be cancelled meanwhile.

        :param step: what it waits for, in words.
        """
        self._waiting = waiting
        self._at(step)
        if self._queue.closing:
            waiting.cancel()
        try:
            return await waiting
        finally:
            self._waiting = None

    @deferred
    async def alone(
        self, work: Callable[[], Awaitable[T]], step: str, cancellable: bool = False
    ) -> T:
        """Do this part of the job while no other job does such a part.

        :param step: what is done, in words.
        :param cancellable: whether it may be cancelled in the middle.
        """
        await self.wait(self._queue.lock.acquire(), "waits for other jobs")
        try:
            if self._queue.closing:
                raise CancelledError
            self.row = await self._queue.started(self)
            doing = Deferred.fromCoroutine(_awaited(work))
            if cancellable:
                return await self.wait(doing, step)
            self._at(step)
            return await doing
        finally:
            self._queue.lock.release()

    def cancel(self) -> None:
        """Cancel what it waits for.

        :raises NotNow:
        """
        if self._waiting is None:
            raise NotNow(f"Job {self.row.id} can't be cancelled now: {self.step}.")
        self._waiting.cancel()

    def end_in(self, connection: Connection, row: JobRow) -> list[Notice]:
        """Do what is to be done in the transaction of its end; whom to tell."""
        return [notice for one in self._endings for notice in one(connection, row)]

    def _at(self, step: str) -> None:
        self.step = step
        self._queue.changed(self)


class JobQueue:
    """Holds what is under way, and runs it one at a time.

    :param now: the wall clock in POSIX seconds.
    :ivar lock: held by the one job that changes something.
    :ivar closing: the daemon ends.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        broker: IBroker,
        bus: EventBus,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._broker = broker
        self._bus = bus
        self._now = now
        self._jobs: dict[int, Job] = {}
        self._ended: deque[Job] = deque(maxlen=KEPT_LOGS)
        self.closing = False
        self._drained: Deferred[None] | None = None
        self._left_open = tuple(database.read(JobTable.open))
        self.lock = DeferredLock()

    @asynccontextmanager
    async def job(
        self, kind: str, agent: str, by: str, sha: str | None = None
    ) -> AsyncIterator[Job]:
        """A new job, which ends as the block under it does.

        :raises JobCancelled: in place of the cancellation, at the block's end.
        :raises ShuttingDown: before anything is written.
        """
        if self.closing:
            raise ShuttingDown("The hive is being shut down: ask when it runs again.")
        row = await self._database.write(
            lambda connection: JobTable.insert(
                connection, kind, agent, by, self._now(), sha=sha
            )
        )
        async with self.carrying_out(row) as job:
            yield job

    @asynccontextmanager
    async def carrying_out(self, row: JobRow) -> AsyncIterator[Job]:
        """A job whose row is written already; see :meth:`job`."""
        job = self._jobs[row.id] = Job(self, row)
        self.changed(job)
        try:
            yield job
        except CancelledError:
            if self.closing:
                await self._end(job, "interrupted", interrupted(row.kind))
            else:
                await self._end(job, "cancelled", "It was cancelled by the operator.")
            raise JobCancelled(f"Job {row.id} was cancelled.") from None
        except PublicError as error:
            await self._end(job, "failed", str(error))
            raise
        except Exception:
            await self._end(job, "failed", DEFECT)
            raise
        else:
            await self._end(job, "done", None)

    def open(self) -> tuple[Job, ...]:
        """What waits or runs, in the order of asking."""
        return tuple(self._jobs.values())

    @deferred
    async def page(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest jobs, newest first, as surfaces show them."""
        rows = await self._database.read_in_thread(
            lambda connection: JobTable.newest(connection, max(1, min(limit, MAX_PAGE)))
        )
        return [
            self._jobs[row.id].as_wire() if row.id in self._jobs else wire(row)
            for row in rows
        ]

    def lines(self, id: int) -> tuple[str, ...]:
        """The log of a job that is under way, or ended a short time ago.

        :raises NoSuchJob: if there is none of it (any more).
        """
        for job in (*self._jobs.values(), *self._ended):
            if job.row.id == id:
                return tuple(job.lines)
        raise NoSuchJob(f"There is no log of job {id}: it ended some time ago.")

    def cancel(self, id: int) -> None:
        """Cancel a job that waits, or builds.

        :raises NoSuchJob:
        :raises NotNow: if it changes something that must not be left half done.
        """
        job = self._jobs.get(id)
        if job is None:
            raise NoSuchJob(f"No job {id} is under way.")
        job.cancel()

    def close(self) -> None:
        """The daemon ends: interrupt what only waits or builds."""
        self.closing = True
        for job in self.open():
            if job.cancellable:
                job.cancel()

    @deferred
    async def drain(self, clock: IReactorTime) -> None:
        """Close, and let what must not be left half done end, for a bounded time."""
        self.close()
        if not self._jobs:
            return
        drained = self._drained = Deferred()
        try:
            await drained.addTimeout(END_LIMIT, clock)
        except TimeoutError:
            left = ", ".join(f"{job.row.kind} {job.row.agent}" for job in self.open())
            self._log.error("left half done: {left}", left=left)

    def left_open(self) -> tuple[JobRow, ...]:
        """What an earlier daemon did not end, oldest first."""
        return self._left_open

    @deferred
    async def prune(self) -> int:
        """Forget jobs of long ago; fires with how many."""
        before = self._now() - KEPT_SECONDS
        return await self._database.write(
            lambda connection: JobTable.prune(connection, before)
        )

    @deferred
    async def end_left_open(
        self, row: JobRow, outcome: str, note: str | None, endings: Iterable[Ending]
    ) -> None:
        """End a job of an earlier daemon."""
        job = Job(self, row)
        job.at_end(*endings)
        await self._end(job, outcome, note)

    # For its jobs.

    def changed(self, job: Job) -> None:
        """Publish a job as it is now."""
        self._bus.publish("deploy", {"job": job.as_wire()}, job.row.agent)

    def logged(self, job: Job, line: str) -> None:
        """Publish a line of a job's log."""
        self._bus.publish(
            "deploy_log", {"job": job.row.id, "line": line}, job.row.agent
        )

    @deferred
    async def started(self, job: Job) -> JobRow:
        """Write down that a job has begun, once."""
        if job.row.started_at is not None:
            return job.row
        now = self._now()

        def start(connection: Connection) -> JobRow:
            JobTable.start(connection, job.row.id, now)
            row = JobTable.get(connection, job.row.id)
            assert row is not None  # jobs are pruned only after their end
            return row

        return await self._database.write(start)

    @deferred
    async def _end(self, job: Job, outcome: str, note: str | None) -> None:
        now, id = self._now(), job.row.id

        def end(connection: Connection) -> tuple[JobRow, list[Notice]]:
            JobTable.end(connection, id, now, outcome, note and note[:MAX_NOTE])
            row = JobTable.get(connection, id)
            assert row is not None  # as above
            return row, job.end_in(connection, row)

        try:
            job.row, _ = await self._broker.tell(end, lambda ended: ended[1])
        finally:
            # Even if its end could not be written: the next daemon finds it open.
            self._jobs.pop(id, None)
            self._ended.append(job)
            self.changed(job)
            if self._drained is not None and not self._jobs:
                drained, self._drained = self._drained, None
                drained.callback(None)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
