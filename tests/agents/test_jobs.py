"""The deploy queue: one at a time, shown, cancellable, and ended in one transaction."""

import json
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.jobs import (
    END_LIMIT,
    MAX_LINE,
    MAX_LINES,
    Job,
    JobCancelled,
    JobQueue,
    NoSuchJob,
    NotNow,
    ShuttingDown,
)
from hyperhive.bus import Event, EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import Notice
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobRow
from hyperhive.store.migrations import BROKER


class JobTests(SynchronousTestCase):
    """What happens to one job and another."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.database = Database.in_memory(BROKER)
        self.bus = EventBus(self.clock, 1)
        self.seen: list[Event] = []
        watching = self.bus.subscribe(self.seen.append, lambda: None)
        assert watching is not None
        watching.resume()
        self.broker = Broker(self.clock, self.database, self.bus, 60.0)
        for name in ("hm1nd", "bob"):
            self.add(name)
        self.queue = self.new_queue()
        self.doing: dict[str, Deferred[None]] = {}

    def add(self, name: str) -> None:
        """Let an agent exist."""
        row = AgentRow(name, "manager" if name == "hm1nd" else "agent", 0.0)
        self.successResultOf(
            self.database.write(lambda connection: AgentTable.insert(connection, row))
        )

    def new_queue(self) -> JobQueue:
        """A queue on the same file, as a later daemon has it."""
        return JobQueue(self.database, self.broker, self.bus, self.clock.seconds)

    @deferred
    async def work(
        self, name: str, cancellable: bool = False, ending: Any = None
    ) -> None:
        """A job that does one thing alone, until the test lets it end."""
        async with self.queue.job("start", name, "operator") as job:
            if ending is not None:
                job.at_end(ending)
            job.log(f"for {name}\nand more")
            self.doing[name] = Deferred()
            await job.alone(lambda: self.doing[name], "starts", cancellable)

    def pages(self) -> list[dict[str, Any]]:
        """All jobs as they are shown, oldest first."""
        return self.successResultOf(self.queue.page())[::-1]

    def job(self, place: int = 0) -> Job:
        """One that is under way."""
        return self.queue.open()[place]

    def test_one_at_a_time(self) -> None:
        """The second waits until the first is done, and says so."""
        first, second = self.work("bob"), self.work("hm1nd")
        self.clock.advance(5)
        states = [(row["state"], row["step"]) for row in self.pages()]
        self.assertEqual(
            states, [("running", "starts"), ("waiting", "waits for other jobs")]
        )
        self.doing["bob"].callback(None)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.doing["hm1nd"].callback(None)
        self.successResultOf(second)
        self.assertEqual([row["state"] for row in self.pages()], ["done", "done"])
        self.assertEqual(self.queue.open(), ())

    def test_what_is_shown(self) -> None:
        """A job's row: for whom, by whom, since when, and what came of it."""
        failed = self.work("bob")
        self.clock.advance(5)
        self.doing["bob"].errback(PublicError("no room on the disk"))
        self.failureResultOf(failed, PublicError)
        [row] = self.pages()
        self.assertEqual(
            row,
            {
                "id": 1,
                "kind": "start",
                "agent": "bob",
                "by": "operator",
                "state": "failed",
                "queued_at": "1970-01-01T00:16:40.000Z",
                "started_at": "1970-01-01T00:16:40.000Z",
                "ended_at": "1970-01-01T00:16:45.000Z",
                "note": "no room on the disk",
            },
        )

    def test_events(self) -> None:
        """Each change and each line of the log is an event about the agent."""
        self.work("bob")
        self.doing["bob"].callback(None)
        told = [json.loads(event.json) for event in self.seen]
        self.assertEqual({event["agent"] for event in told}, {"bob"})
        lines = [event["line"] for event in told if event["kind"] == "deploy_log"]
        self.assertEqual(lines, ["for bob", "and more"])
        states = [event["job"]["state"] for event in told if event["kind"] == "deploy"]
        self.assertEqual(states, ["waiting", "waiting", "running", "done"])

    def test_failure(self) -> None:
        """What fails says why to who asked, and keeps nobody else."""
        first, second = self.work("bob"), self.work("hm1nd")
        self.doing["bob"].errback(PublicError("no room on the disk"))
        self.failureResultOf(first, PublicError)
        self.doing["hm1nd"].callback(None)
        self.successResultOf(second)

    def test_defect(self) -> None:
        """A defect is not shown, but that there was one."""
        failed = self.work("bob")
        self.doing["bob"].errback(RuntimeError("secret"))
        self.failureResultOf(failed, RuntimeError)
        [row] = self.pages()
        self.assertEqual(row["state"], "failed")
        self.assertNotIn("secret", row["note"])

    def test_cancel_while_waiting(self) -> None:
        """One that waits is cancelled, and nothing of it is done."""
        first, second = self.work("bob"), self.work("hm1nd")
        self.queue.cancel(2)
        self.failureResultOf(second, JobCancelled)
        self.doing["bob"].callback(None)
        self.successResultOf(first)
        self.assertEqual([row["state"] for row in self.pages()], ["done", "cancelled"])
        self.assertFalse(self.doing["hm1nd"].called)

    def test_cancel_of_a_build(self) -> None:
        """What may be cancelled in the middle is, by cancelling what it waits for."""
        done = self.work("bob", cancellable=True)
        self.assertTrue(self.pages()[0]["cancellable"])
        self.queue.cancel(1)
        self.failureResultOf(done, JobCancelled)
        third = self.work("hm1nd")
        self.doing["hm1nd"].callback(None)
        self.successResultOf(third)

    def test_too_late_to_cancel(self) -> None:
        """What must not be left half done can't be cancelled, and what is over neither."""
        self.work("bob")
        error = self.assertRaises(NotNow, self.queue.cancel, 1)
        self.assertIn("starts", str(error))
        self.doing["bob"].callback(None)
        self.assertRaises(NoSuchJob, self.queue.cancel, 1)

    def test_endings(self) -> None:
        """What follows from its end is in the same transaction, with its outcome known."""

        def ending(connection: Connection, row: JobRow) -> list[Notice]:
            connection.execute("UPDATE agents SET status_text = ?", (row.outcome,))
            return [Notice("bob", f"it is {row.outcome}")]

        self.work("bob", ending=ending)
        self.doing["bob"].callback(None)
        [message] = self.successResultOf(self.broker.inbox("bob"))
        self.assertEqual((message.sender, message.body), ("system", "it is done"))
        row = self.database.read(lambda c: AgentTable.get(c, "bob"))
        assert row is not None
        self.assertEqual(row.status_text, "done")

    def test_an_ending_that_fails(self) -> None:
        """If that can't be written, the job's end isn't either: it is found left open."""

        def ending(connection: Connection, row: JobRow) -> list[Notice]:
            raise RuntimeError("no")

        done = self.work("bob", ending=ending)
        self.doing["bob"].callback(None)
        self.failureResultOf(done, RuntimeError)
        [row] = self.new_queue().left_open()
        self.assertEqual((row.id, row.ended_at), (1, None))

    def test_left_open(self) -> None:
        """What a daemon that died left open is found by the next, and ended with words."""
        self.work("bob")
        later = self.new_queue()
        [row] = later.left_open()
        self.successResultOf(
            later.end_left_open(
                row, "interrupted", "it died", [lambda c, r: [Notice("bob", "again?")]]
            )
        )
        self.assertEqual(self.new_queue().left_open(), ())
        [shown] = self.successResultOf(later.page())
        self.assertEqual((shown["state"], shown["note"]), ("interrupted", "it died"))
        self.assertEqual(len(self.successResultOf(self.broker.inbox("bob"))), 1)

    def test_close(self) -> None:
        """The daemon's end interrupts what waits, and lets what runs go on."""
        first, second = self.work("bob"), self.work("hm1nd")
        self.queue.close()
        self.failureResultOf(second, JobCancelled)
        self.assertNoResult(first)
        self.doing["bob"].callback(None)
        self.assertEqual(
            [row["state"] for row in self.pages()], ["done", "interrupted"]
        )

    def test_after_close(self) -> None:
        """No job begins any more, and none that runs begins its next part."""
        first: Deferred[None] = Deferred()

        @deferred
        async def work() -> None:
            async with self.queue.job("restart", "bob", "operator") as job:
                await job.alone(lambda: first, "stops")
                await job.alone(self.fail, "starts")

        restarted = work()
        self.queue.close()
        first.callback(None)
        self.failureResultOf(restarted, JobCancelled)
        self.failureResultOf(self.work("bob"), ShuttingDown)
        self.assertEqual([row["state"] for row in self.pages()], ["interrupted"])

    def test_drain(self) -> None:
        """The daemon's end waits for what must not be left half done."""
        first = self.work("bob")
        drained = self.queue.drain(self.clock)
        self.assertNoResult(drained)
        self.doing["bob"].callback(None)
        self.successResultOf(first)
        self.successResultOf(drained)
        self.successResultOf(self.queue.drain(self.clock))

    def test_drain_is_bounded(self) -> None:
        """It does not wait for ever, and what ends later does no harm."""
        first = self.work("bob")
        drained = self.queue.drain(self.clock)
        self.clock.advance(END_LIMIT)
        self.successResultOf(drained)
        self.doing["bob"].callback(None)
        self.successResultOf(first)

    def test_log(self) -> None:
        """The log is bounded, is there after the end, and then goes."""
        self.work("bob")
        self.job().log("x" * (MAX_LINE + 5))
        self.job().log("\n".join(str(number) for number in range(MAX_LINES - 1)))
        lines = self.queue.lines(1)
        self.assertEqual((len(lines), len(lines[0])), (MAX_LINES, MAX_LINE))
        self.doing["bob"].callback(None)
        self.assertEqual(self.queue.lines(1), lines)
        for _ in range(20):
            self.work("bob")
            self.doing["bob"].callback(None)
        self.assertRaises(NoSuchJob, self.queue.lines, 1)

    def test_prune(self) -> None:
        """Jobs of long ago are forgotten; those under way never."""
        self.work("bob")
        self.doing["bob"].callback(None)
        self.work("hm1nd")
        self.clock.advance(91 * 86400)
        self.assertEqual(self.successResultOf(self.queue.prune()), 1)
        self.assertEqual([row["agent"] for row in self.pages()], ["hm1nd"])
