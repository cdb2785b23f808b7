"""The ``jobs`` table: what is found in it without going through it."""

from hyperhive.store.jobs import JobRow, JobTable
from tests.store.test_tables import TableCase


class JobTableTests(TableCase):
    """Jobs of bob's, and of somebody else."""

    def job(
        self, kind: str, outcome: str | None, at: float, approval: int | None = None
    ) -> JobRow:
        """One that ran for ten seconds, or still does."""
        row = JobTable.insert(self.connection, kind, "bob", "operator", at, approval)
        JobTable.start(self.connection, row.id, at)
        if outcome is not None:
            JobTable.end(self.connection, row.id, at + 10, outcome, None)
        return row

    def test_ends_once(self) -> None:
        """What has ended neither ends nor starts again."""
        row = self.job("stop", "done", 1.0)
        self.assertFalse(JobTable.end(self.connection, row.id, 50.0, "failed", "no"))
        JobTable.start(self.connection, row.id, 60.0)
        stored = JobTable.get(self.connection, row.id)
        assert stored is not None
        self.assertEqual(
            (stored.started_at, stored.ended_at, stored.outcome), (1.0, 11.0, "done")
        )

    def test_later(self) -> None:
        """A later job of the same approval counts if it may still do it, or has."""
        first = self.job("rebuild", "failed", 1.0, approval=7)
        self.job("rebuild", "done", 2.0, approval=8)
        self.job("rebuild", "failed", 3.0, approval=7)
        self.assertIsNone(JobTable.later(self.connection, first))
        running = self.job("rebuild", None, 4.0, approval=7)
        self.assertEqual(JobTable.later(self.connection, first), running.id)
        self.assertIsNone(
            JobTable.later(self.connection, self.job("stop", "done", 5.0))
        )

    def test_failed_creation(self) -> None:
        """Only a creation that failed, and that was under way then."""
        self.job("create", "done", 100.0)
        self.job("create", "failed", 200.0)
        self.job("rebuild", "failed", 300.0)
        self.job("create", None, 400.0)
        for created_at, expected in (
            *((105.0, False), (199.0, False), (200.0, True), (210.0, True)),
            *((211.0, False), (305.0, False), (405.0, False)),
        ):
            found = JobTable.failed_creation(self.connection, "bob", created_at)
            self.assertEqual(found, expected, created_at)
        self.assertFalse(JobTable.failed_creation(self.connection, "al", 205.0))

    def test_prune(self) -> None:
        """Only what has ended long ago goes."""
        kept = [self.job("stop", None, 1.0), self.job("stop", "done", 100.0)]
        self.job("stop", "done", 2.0)
        self.assertEqual(JobTable.prune(self.connection, 50.0), 1)
        rows = JobTable.newest(self.connection, 10)
        self.assertEqual([row.id for row in rows], [kept[1].id, kept[0].id])
        self.assertEqual(
            [row.id for row in JobTable.open(self.connection)], [kept[0].id]
        )

    def test_no_statement_scans(self) -> None:
        """With years of jobs each question still looks at few."""
        row = self.job("rebuild", "done", 1.0, approval=7)
        for index, work in (
            ("jobs_by_approval", lambda c: JobTable.later(c, row)),
            ("jobs_by_agent", lambda c: JobTable.failed_creation(c, "bob", 1.0)),
            ("jobs_open", lambda c: JobTable.open(c)),
            ("jobs_by_end", lambda c: JobTable.prune(c, 1.0)),
            ("PRIMARY KEY", lambda c: JobTable.get(c, 1)),
            ("PRIMARY KEY", lambda c: JobTable.end(c, 1, 1.0, "done", None)),
        ):
            self.assert_indexed(work)
            plans = self.plans(work)
            self.assertTrue(any(index in plan for plan in plans), (index, plans))
