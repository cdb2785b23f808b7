"""Who runs work on a connection: a thread of its own, or, in tests, the caller."""

import sqlite3
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from hyperhive.store.transactions import Outcome, Work

#: Runs some works on a connection, and answers their outcomes in the same order.
Run = Callable[[sqlite3.Connection, Sequence[Work]], list[Outcome]]


class Runner(Protocol):
    """Runs work in the order in which it is given."""

    def submit(self, work: Work) -> "Deferred[Any]":
        """Run it some time; fires with what it came to."""

    def close(self) -> "Deferred[None]":
        """Finish what was given, then close the connection. To be called once."""


@frozen
class _Job:
    work: Work
    done: "Deferred[Any]"

    def fire(self, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self.done.errback(outcome)
        else:
            self.done.callback(outcome)


class Worker:
    """A thread that has a connection for itself (:class:`Runner`).

    What was given while it was busy is run together, and answered by one call
    into the reactor. Cancelling a Deferred takes back only the answer.

    :param batch: how many works are run together at most.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        name: str,
        connection: sqlite3.Connection,
        run: Run,
        batch: int,
    ) -> None:
        self._reactor = reactor
        self._connection = connection
        self._run = run
        self._batch = batch
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed: Deferred[None] = Deferred()
        # A daemon that is told to die does not wait for a disk that hangs.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> "Deferred[Any]":
        """See :class:`Runner`."""
        job = _Job(work, Deferred())
        self._jobs.put(job)
        return job.done

    def close(self) -> "Deferred[None]":
        """See :class:`Runner`."""
        self._jobs.put(None)
        return self._closed

    def _work(self) -> None:
        try:
            while jobs := self._gather():
                outcomes = self._run(self._connection, [job.work for job in jobs])
                self._reactor.callFromThread(_fire, jobs, outcomes)
        finally:
            self._connection.close()
            self._reactor.callFromThread(self._ended)

    def _gather(self) -> list[_Job]:
        """Wait for a job and take what else is there; empty when it is time to end."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._batch:
                break
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
        else:
            if jobs:
                self._jobs.put(None)  # these first, then the end
        return jobs

    def _ended(self) -> None:
        self._thread.join()
        self._closed.callback(None)


def _fire(jobs: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        job.fire(outcome)


class Inline:
    """Runs work at once on the caller's thread (:class:`Runner`)."""

    def __init__(self, connection: sqlite3.Connection, run: Run) -> None:
        self._connection = connection
        self._run = run

    def submit(self, work: Work) -> "Deferred[Any]":
        """See :class:`Runner`."""
        job = _Job(work, Deferred())
        _fire([job], self._run(self._connection, [work]))
        return job.done

    def close(self) -> "Deferred[None]":
        """See :class:`Runner`."""
        self._connection.close()
        return succeed(None)
