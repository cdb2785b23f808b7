"""The tables of approvals and questions: each statement, and that it reads by an index."""

import sqlite3

import attrs

from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.questions import QuestionRow, QuestionTable
from tests.store.test_tables import TableCase

SHA = "0123456789" * 4


class ApprovalTableTests(TableCase):
    """Approvals."""

    def insert(self, agent: str = "bob", kind: str = "spawn") -> ApprovalRow:
        """Add one with nothing to say of it."""
        return ApprovalTable.insert(self.connection, agent, kind, "manager", 10.0)

    def test_rows_come_back(self) -> None:
        """Every column survives, defaults too."""
        full = ApprovalTable.insert(
            self.connection,
            "bob",
            "apply_commit",
            "manager",
            10.0,
            "more memory",
            "01234567",
            SHA,
            SHA[::-1],
            99.5,
        )
        self.assertEqual(
            full,
            ApprovalRow(
                1,
                "bob",
                "apply_commit",
                "manager",
                "more memory",
                "01234567",
                SHA,
                SHA[::-1],
                10.0,
                99.5,
            ),
        )
        for row in (full, self.insert()):
            self.assertEqual(ApprovalTable.get(self.connection, row.id), row)
        self.assertIsNone(ApprovalTable.get(self.connection, 3))

    def test_resolve(self) -> None:
        """One that is pending is decided, once; what was decided stays."""
        row = self.insert()
        resolved = ApprovalTable.resolve(
            self.connection, row.id, "denied", 20.0, "operator", "no"
        )
        self.assertEqual(
            resolved,
            attrs.evolve(
                row,
                status="denied",
                resolved_at=20.0,
                resolved_by="operator",
                note="no",
            ),
        )
        again = ApprovalTable.resolve(self.connection, row.id, "approved", 21.0, "eve")
        self.assertIsNone(again)
        self.assertEqual(ApprovalTable.get(self.connection, row.id), resolved)
        self.assertIsNone(
            ApprovalTable.resolve(self.connection, 9, "approved", 21.0, "eve")
        )

    def test_lists(self) -> None:
        """What is pending, oldest first; what was decided last; all of an agent."""
        ids = [self.insert(agent).id for agent in ("bob", "al", "bob", "al", "bob")]
        for id, at in ((1, 22.0), (4, 20.0), (5, 21.0)):
            ApprovalTable.resolve(self.connection, id, "approved", at, "operator")
        self.assertEqual(ids, [1, 2, 3, 4, 5])
        for rows, expected in (
            (ApprovalTable.pending(self.connection), [2, 3]),
            (ApprovalTable.pending_of(self.connection, "bob"), [3]),
            (ApprovalTable.decided(self.connection, 2), [1, 5]),
            (ApprovalTable.of_agent(self.connection, "bob"), [1, 3, 5]),
        ):
            self.assertEqual([row.id for row in rows], expected)

    def test_the_next_that_expires(self) -> None:
        """The earliest of those that wait, and none where nothing expires."""
        self.insert()
        self.assertIsNone(ApprovalTable.next_expiry(self.connection))
        for expires_at in (50.0, 30.0, 40.0):
            ApprovalTable.insert(
                self.connection, "al", "spawn", "manager", 1.0, expires_at=expires_at
            )
        self.assertEqual(ApprovalTable.next_expiry(self.connection), 30.0)
        ApprovalTable.resolve(self.connection, 3, "denied", 30.0, "hive")
        self.assertEqual(ApprovalTable.next_expiry(self.connection), 40.0)

    def test_failure_and_another_try(self) -> None:
        """Only what was approved fails, and only what failed is tried again."""
        row = self.insert()
        for change in (
            lambda: ApprovalTable.fail(self.connection, row.id, "no space"),
            lambda: ApprovalTable.retry(self.connection, row.id),
        ):
            change()
            self.assertEqual(ApprovalTable.get(self.connection, row.id), row)
        ApprovalTable.resolve(self.connection, row.id, "approved", 20.0, "operator")
        ApprovalTable.fail(self.connection, row.id, "no space")
        failed = ApprovalTable.get(self.connection, row.id)
        assert failed is not None
        self.assertEqual(
            (failed.status, failed.note, failed.resolved_at, failed.resolved_by),
            ("failed", "no space", 20.0, "operator"),
        )
        ApprovalTable.retry(self.connection, row.id)
        tried = ApprovalTable.get(self.connection, row.id)
        self.assertEqual(tried, attrs.evolve(failed, status="approved", note=None))

    def test_decided_from_the_start(self) -> None:
        """What the operator does by himself is decided as it is written."""
        row = ApprovalTable.insert_decided(
            self.connection, "bob", SHA, "back to 3", "operator", 30.0
        )
        self.assertEqual(ApprovalTable.get(self.connection, row.id), row)
        self.assertEqual(
            (row.kind, row.status, row.asker, row.resolved_by, row.resolved_at),
            ("apply_commit", "approved", "operator", "operator", 30.0),
        )
        self.assertEqual(ApprovalTable.pending(self.connection), [])

    def test_statuses_are_known(self) -> None:
        """The table takes no other status, and no other kind."""
        row = self.insert()
        with self.assertRaises(sqlite3.IntegrityError):
            ApprovalTable.resolve(self.connection, row.id, "perhaps", 1.0, "operator")
        self.assertRaises(sqlite3.IntegrityError, self.insert, "bob", "coup")

    def test_no_statement_scans(self) -> None:
        """With years of approvals each question still looks at few."""
        for work in (
            lambda c: ApprovalTable.get(c, 1),
            lambda c: ApprovalTable.pending(c),
            lambda c: ApprovalTable.pending_of(c, "bob"),
            lambda c: ApprovalTable.next_expiry(c),
            lambda c: ApprovalTable.decided(c, 5),
            lambda c: ApprovalTable.of_agent(c, "bob"),
            lambda c: ApprovalTable.resolve(c, 1, "denied", 1.0, "operator"),
            lambda c: ApprovalTable.fail(c, 1, "x"),
            lambda c: ApprovalTable.retry(c, 1),
        ):
            self.assert_indexed(work)
        for index, work in (
            ("approvals_pending", lambda c: ApprovalTable.pending(c)),
            ("approvals_pending", lambda c: ApprovalTable.pending_of(c, "bob")),
            ("approvals_pending", lambda c: ApprovalTable.next_expiry(c)),
            ("approvals_by_agent", lambda c: ApprovalTable.of_agent(c, "bob")),
            ("approvals_decided", lambda c: ApprovalTable.decided(c, 5)),
        ):
            plans = self.plans(work)
            self.assertTrue(any(index in plan for plan in plans), (index, plans))


class QuestionTableTests(TableCase):
    """Questions."""

    def insert(self, asker: str = "bob") -> QuestionRow:
        """Add one without options."""
        return QuestionTable.insert(
            self.connection, asker, "Why?", (), False, 10.0, None
        )

    def test_rows_come_back(self) -> None:
        """Every column survives; options are texts, booleans are booleans."""
        full = QuestionTable.insert(
            self.connection, "bob", "Which?", ("réd", '"'), True, 10.0, 99.5
        )
        for row in (full, self.insert()):
            stored = QuestionTable.get(self.connection, row.id)
            assert stored is not None
            self.assertEqual(stored, row)
            self.assertIs(stored.multi, row.multi)
        self.assertEqual(full.options, ("réd", '"'))
        self.assertIsNone(QuestionTable.get(self.connection, 3))

    def test_resolve(self) -> None:
        """One that is pending ends, once."""
        row, other = self.insert(), self.insert()
        resolved = QuestionTable.resolve(
            self.connection, row.id, "answered", 20.0, "operator", "because"
        )
        self.assertEqual(
            resolved,
            attrs.evolve(
                row,
                status="answered",
                resolved_at=20.0,
                resolved_by="operator",
                answer="because",
            ),
        )
        self.assertIsNone(
            QuestionTable.resolve(self.connection, row.id, "expired", 21.0, "hive")
        )
        self.assertEqual(QuestionTable.get(self.connection, row.id), resolved)
        self.assertEqual(QuestionTable.pending(self.connection), [other])

    def test_who_waits(self) -> None:
        """Whose questions wait, how many, and until when."""
        self.assertEqual(QuestionTable.waiting(self.connection), {})
        self.assertIsNone(QuestionTable.next_expiry(self.connection))
        bob, _, bob2 = (self.insert(asker) for asker in ("bob", "al", "bob"))
        ended = self.insert("bob")
        QuestionTable.resolve(self.connection, ended.id, "expired", 20.0, "hive")
        self.assertEqual(QuestionTable.waiting(self.connection), {"bob": 2, "al": 1})
        rows = QuestionTable.pending_of(self.connection, "bob")
        self.assertEqual(rows, [bob, bob2])
        for expires_at in (50.0, 30.0):
            QuestionTable.insert(self.connection, "al", "?", (), False, 1.0, expires_at)
        self.assertEqual(QuestionTable.next_expiry(self.connection), 30.0)

    def test_prune(self) -> None:
        """What ended long ago goes, a few at a time; what waits stays."""
        for number in range(4):
            row = self.insert()
            if number:
                QuestionTable.resolve(
                    self.connection, row.id, "expired", 20.0 + number, "hive"
                )
        self.assertEqual(QuestionTable.prune(self.connection, 23.0, 1), 1)
        self.assertEqual(QuestionTable.prune(self.connection, 23.0, 9), 1)
        self.assertEqual(QuestionTable.prune(self.connection, 23.0, 9), 0)
        left = [id for id in range(1, 5) if QuestionTable.get(self.connection, id)]
        self.assertEqual(left, [1, 4])

    def test_no_statement_scans(self) -> None:
        """With years of questions each statement still looks at few."""
        for work in (
            lambda c: QuestionTable.get(c, 1),
            lambda c: QuestionTable.pending(c),
            lambda c: QuestionTable.pending_of(c, "bob"),
            lambda c: QuestionTable.waiting(c),
            lambda c: QuestionTable.next_expiry(c),
            lambda c: QuestionTable.resolve(c, 1, "expired", 1.0, "hive"),
            lambda c: QuestionTable.prune(c, 1.0, 5),
        ):
            self.assert_indexed(work)
        for index, work in (
            ("questions_pending", lambda c: QuestionTable.pending(c)),
            ("questions_pending", lambda c: QuestionTable.pending_of(c, "bob")),
            ("questions_pending", lambda c: QuestionTable.waiting(c)),
            ("questions_pending", lambda c: QuestionTable.next_expiry(c)),
            ("questions_ended", lambda c: QuestionTable.prune(c, 1.0, 5)),
        ):
            plans = self.plans(work)
            self.assertTrue(any(index in plan for plan in plans), (index, plans))
