"""Proposed changes: asking, deciding once, carrying out."""

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred

from hyperhive.agents.interfaces import AgentExists, NoSuchAgent
from hyperhive.approvals.interfaces import (
    MAX_APPROVALS,
    MAX_DESCRIPTION,
    MAX_NOTE,
    AlreadyAsked,
    AlreadyDecided,
    NoSuchApproval,
    NotDone,
    NothingToShow,
    TooMany,
    diff_as_wire,
)
from hyperhive.errors import BadRequest, NotFound, TooLarge
from hyperhive.names import HIVE, MANAGER, OPERATOR, InvalidName
from hyperhive.store.database import Database
from hyperhive.store.jobs import JobTable
from hyperhive.store.migrations import BROKER
from hyperhive.store.transactions import read_each
from hyperhive.store.worker import Inline
from hyperhive.testing.approvals import BASE
from tests.approvals.support import SHA, DecisionCase
from tests.messages.support import HandRunner


class SubmissionTests(DecisionCase):
    """Asking."""

    def test_a_new_agent(self) -> None:
        """The row, the operator's message, the event."""
        id = self.spawn_asked()
        row = self.approval(id)
        self.assertEqual(
            (row.agent, row.kind, row.asker, row.description, row.status),
            ("carol", "spawn", "manager", "to test", "pending"),
        )
        self.assertEqual(
            (row.requested_at, row.expires_at), (self.clock.seconds(), None)
        )
        [said] = self.said()
        for words in ("manager", "carol", "to test", f"hive-c0re approve {id}"):
            self.assertIn(words, said)
        self.assertNotIn("hive-c0re diff", said)
        self.assertEqual(self.happened(), [("approval_added", id, "pending")])
        self.assertEqual(self.deployer.calls, [])

    def test_a_commit(self) -> None:
        """It is pinned before anything is written, and tagged after that."""
        id = self.commit_asked(ref="0123456")
        row = self.approval(id)
        sha = "0123456".ljust(40, "0")
        self.assertEqual(
            (row.agent, row.kind, row.commit_ref, row.sha, row.base),
            ("bob", "apply_commit", "0123456", sha, BASE),
        )
        self.assertEqual(
            self.deployer.calls,
            [("propose", "bob", "0123456"), ("tag_proposal", "bob", id, sha)],
        )
        [said] = self.said()
        for words in ("bob", sha[:12], f"hive-c0re diff {id}"):
            self.assertIn(words, said)

    def test_for_the_manager_itself(self) -> None:
        """The manager is proposed for by either of its names."""
        for name, ref in ((MANAGER, "1" * 40), ("manager", "2" * 40)):
            self.assertEqual(self.approval(self.commit_asked(name, ref)).agent, MANAGER)

    def test_what_the_operator_asks_for(self) -> None:
        """He is not told of his own wish."""
        self.spawn_asked(asker=OPERATOR)
        self.assertEqual(self.said(), [])

    def test_names(self) -> None:
        """A name that can't be, or that somebody has, is refused at once."""
        spawn, commit = (
            self.approvals.request_spawn,
            self.approvals.request_apply_commit,
        )
        for asking, error in (
            (spawn("../up", MANAGER), InvalidName),
            (spawn("manager", MANAGER), InvalidName),
            (spawn("bob", MANAGER), AgentExists),
            (commit("carol", SHA, MANAGER), NoSuchAgent),
            (commit("../up", SHA, MANAGER), InvalidName),
        ):
            self.failureResultOf(asking, error)
        self.assertEqual((self.happened(), self.deployer.calls), ([], []))

    def test_the_same_twice(self) -> None:
        """What waits already is refused with its id; what was decided may come again."""
        spawn, commit = self.spawn_asked(), self.commit_asked()
        again = self.failureResultOf(
            self.approvals.request_spawn("carol", MANAGER), AlreadyAsked
        )
        self.assertIn(f"approval {spawn}", again.getErrorMessage())
        again = self.failureResultOf(
            self.approvals.request_apply_commit("bob", SHA, MANAGER), AlreadyAsked
        )
        self.assertIn(f"approval {commit}", again.getErrorMessage())
        self.commit_asked("alice")
        for id in (spawn, commit):
            self.successResultOf(self.approvals.deny(id, OPERATOR))
        self.spawn_asked()
        self.commit_asked()

    def test_a_commit_that_is_refused(self) -> None:
        """Its sentence goes to who asked, and nothing is written."""
        self.deployer.failures["propose"] = NotFound("There is no such commit.")
        asking = self.approvals.request_apply_commit("bob", "abcdef0", MANAGER)
        self.failureResultOf(asking, NotFound)
        self.assertEqual(self.successResultOf(self.approvals.pending()), [])
        self.assertEqual(self.said(), [])

    def test_a_tag_that_fails(self) -> None:
        """The proposal is there all the same; the next daemon sets the tag."""
        self.deployer.failures["tag_proposal"] = OSError("disk")
        id = self.commit_asked()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.approval(id).status, "pending")
        self.make()
        self.successResultOf(self.approvals.recover())
        self.assertEqual(self.deployer.calls, [("tag_proposal", "bob", id, SHA)])

    def test_an_agent_that_goes_meanwhile(self) -> None:
        """One that is destroyed while its commit is fetched gets no approval."""
        fetched: Deferred[None] = Deferred()
        propose = self.deployer.propose

        def slowly(agent: str, ref: str) -> Deferred[Any]:
            return fetched.addCallback(lambda _: propose(agent, ref))

        self.patch(self.deployer, "propose", slowly)
        asking = self.approvals.request_apply_commit("bob", SHA, MANAGER)
        self.database.write(
            lambda connection: connection.execute(
                "DELETE FROM agents WHERE name = 'bob'"
            )
        )
        fetched.callback(None)
        self.failureResultOf(asking, NoSuchAgent)
        self.assertEqual(self.happened(), [])

    def test_descriptions(self) -> None:
        """Too long, or no text: refused. An empty one is none."""
        for text, error in (
            ("x" * (MAX_DESCRIPTION + 1), TooLarge),
            ("é" * MAX_DESCRIPTION, TooLarge),
            ("\ud800", BadRequest),
            ("a\0b", BadRequest),
        ):
            asking = self.approvals.request_spawn("carol", MANAGER, text)
            self.failureResultOf(asking, error)
        asking = self.approvals.request_spawn("carol", MANAGER, " \n")
        self.assertIsNone(self.approval(self.successResultOf(asking)).description)
        longest = "x" * MAX_DESCRIPTION
        asking = self.approvals.request_spawn("dave", MANAGER, longest)
        id = self.successResultOf(asking)
        self.assertEqual(self.approval(id).description, longest)

    def test_too_many(self) -> None:
        """Past the limit no more are taken, until one is decided."""
        ids = [self.spawn_asked(f"a{number}") for number in range(MAX_APPROVALS)]
        for asking in (
            self.approvals.request_spawn("carol", MANAGER),
            self.approvals.request_apply_commit("bob", SHA, MANAGER),
        ):
            self.failureResultOf(asking, TooMany)
        self.assertEqual(self.deployer.calls, [])
        self.successResultOf(self.approvals.deny(ids[0], OPERATOR))
        self.spawn_asked()

    def test_an_asker_who_leaves(self) -> None:
        """What was asked for is done to its end, and shown."""
        fetched: Deferred[None] = Deferred()
        propose = self.deployer.propose

        def slowly(agent: str, ref: str) -> Deferred[Any]:
            return fetched.addCallback(lambda _: propose(agent, ref))

        self.patch(self.deployer, "propose", slowly)
        asking = self.approvals.request_apply_commit("bob", SHA, MANAGER)
        asking.addErrback(lambda _: None)
        asking.cancel()
        fetched.callback(None)
        self.assertEqual(self.happened(), [("approval_added", 1, "pending")])


class DecisionTests(DecisionCase):
    """Deciding, once."""

    def test_approve(self) -> None:
        """Row, message and job are written, the job is done, and then it fires."""
        self.deployer.holding = True
        id = self.commit_asked()
        self.happened()
        deciding = self.approvals.approve(id, OPERATOR)
        self.assertNoResult(deciding)
        row = self.approval(id)
        self.assertEqual(
            (row.status, row.resolved_by, row.resolved_at, row.note),
            ("approved", OPERATOR, self.clock.seconds(), None),
        )
        self.assertEqual(
            self.told(MANAGER),
            [
                {
                    "event": "approval_resolved",
                    "id": id,
                    "agent": "bob",
                    "kind": "apply_commit",
                    "status": "approved",
                    "sha": SHA,
                    "tag": f"approved/{id}",
                }
            ],
        )
        self.assertEqual(self.happened(), [("approval_resolved", id, "approved")])
        [job] = self.database.read(JobTable.open)
        self.assertEqual((job.approval, job.sha, job.kind), (id, SHA, "rebuild"))
        self.assertEqual(
            self.deployer.calls[-2:], [("begin", id), ("carry_out", job.id)]
        )
        self.deployer.finish()
        self.assertIsNone(self.successResultOf(deciding))
        self.assertEqual(self.happened(), [])

    def test_approve_a_new_agent(self) -> None:
        """There is no commit to tell of."""
        id = self.spawn_asked()
        self.successResultOf(self.approvals.approve(id, OPERATOR))
        [told] = self.told(MANAGER)
        self.assertEqual(
            told,
            {
                "event": "approval_resolved",
                "id": id,
                "agent": "carol",
                "kind": "spawn",
                "status": "approved",
            },
        )

    def test_one_that_fails(self) -> None:
        """Who approved hears why, and the page shows it."""
        self.deployer.failing["bob"] = "agent.toml, line 3: no"
        id = self.commit_asked()
        self.happened()
        failure = self.failureResultOf(self.approvals.approve(id, OPERATOR), NotDone)
        self.assertIn("agent.toml, line 3: no", failure.getErrorMessage())
        self.assertEqual(
            self.happened(),
            [
                ("approval_resolved", id, "approved"),
                ("approval_resolved", id, "failed"),
            ],
        )
        refused = self.failureResultOf(
            self.approvals.approve(id, OPERATOR), AlreadyDecided
        )
        self.assertIn("has failed", refused.getErrorMessage())

    def test_deny(self) -> None:
        """Who asked hears why; the tag says it too."""
        id = self.commit_asked()
        self.happened()
        self.successResultOf(self.approvals.deny(id, OPERATOR, " too much \n"))
        [told] = self.told(MANAGER)
        self.assertEqual(
            (told["status"], told["note"], told["tag"]),
            ("denied", "too much", f"denied/{id}"),
        )
        self.assertEqual(self.happened(), [("approval_resolved", id, "denied")])
        self.assertEqual(
            self.deployer.calls[-1], ("tag_denied", "bob", id, SHA, "too much")
        )
        self.assertEqual(self.database.read(JobTable.open), [])

    def test_notes(self) -> None:
        """One that is too long is refused, and nothing is decided."""
        id = self.spawn_asked()
        denying = self.approvals.deny(id, OPERATOR, "x" * (MAX_NOTE + 1))
        self.failureResultOf(denying, TooLarge)
        self.assertEqual(self.approval(id).status, "pending")
        self.successResultOf(self.approvals.deny(id, OPERATOR, ""))
        self.assertIsNone(self.approval(id).note)

    def test_no_such_approval(self) -> None:
        """An id that there is not."""
        for deciding in (
            self.approvals.approve(7, OPERATOR),
            self.approvals.deny(7, OPERATOR),
            self.approvals.get(7),
            self.approvals.diff(7),
        ):
            failure = self.failureResultOf(deciding, NoSuchApproval)
            self.assertIn("7", failure.getErrorMessage())

    def test_a_second_decision(self) -> None:
        """It is refused with who decided, what, when and why; nothing changes."""
        id = self.spawn_asked()
        self.successResultOf(self.approvals.deny(id, OPERATOR, "too much"))
        row, told = self.approval(id), self.told(MANAGER)
        self.clock.advance(60)
        for deciding in (
            self.approvals.approve(id, OPERATOR),
            self.approvals.deny(id, OPERATOR, "again"),
        ):
            failure = self.failureResultOf(deciding, AlreadyDecided)
            self.assertEqual(
                failure.getErrorMessage(),
                f"Approval {id} was denied by operator at 2026-01-31T12:00:00.000Z: "
                "too much",
            )
        self.assertEqual((self.approval(id), self.told(MANAGER)), (row, told))
        self.assertNotIn("begin", [call[0] for call in self.deployer.calls])

    def test_a_decider_who_leaves(self) -> None:
        """The job goes on."""
        self.deployer.holding = True
        id = self.spawn_asked()
        deciding = self.approvals.approve(id, OPERATOR)
        deciding.addErrback(lambda _: None)
        deciding.cancel()
        self.deployer.failing["carol"] = "no space"
        self.deployer.finish()
        self.assertEqual(self.happened()[-1], ("approval_resolved", id, "failed"))

    def test_a_name_that_was_taken_meanwhile(self) -> None:
        """It can't be approved any more, and waits to be denied."""
        id = self.spawn_asked()
        self.add_agent("carol")
        self.failureResultOf(self.approvals.approve(id, OPERATOR), AgentExists)
        self.assertEqual(self.approval(id).status, "pending")
        self.assertEqual(self.told(MANAGER), [])
        self.successResultOf(self.approvals.deny(id, OPERATOR))

    def test_a_job_that_can_not_be_written(self) -> None:
        """Then nothing is decided, and nobody is told."""
        self.deployer.failures["begin"] = ZeroDivisionError()
        id = self.spawn_asked()
        self.happened()
        self.failureResultOf(self.approvals.approve(id, OPERATOR), ZeroDivisionError)
        self.assertEqual(self.approval(id).status, "pending")
        self.assertEqual((self.told(MANAGER), self.happened()), ([], []))

    def test_the_operators_own_wish(self) -> None:
        """He is not told what he decided himself."""
        id = self.spawn_asked(asker=OPERATOR)
        self.successResultOf(self.approvals.approve(id, OPERATOR))
        self.assertEqual(self.said(), [])


class RaceTests(DecisionCase):
    """Two surfaces that decide at the same moment."""

    def make_database(self) -> Database:
        """One whose commits the test makes."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(connection.close)
        for script in BROKER:
            connection.executescript(script)
        self.runner = HandRunner(connection)
        return Database(connection, self.runner, Inline(connection, read_each))

    def add_agent(self, name: str) -> None:
        super().add_agent(name)
        self.runner.finish()

    def test_one_wins(self) -> None:
        """Both are written in one batch: the first holds, the second hears of it."""
        for first, second, status in (
            ("approve", "deny", "approved"),
            ("deny", "approve", "denied"),
            ("approve", "approve", "approved"),
        ):
            asking = self.approvals.request_spawn("carol", MANAGER)
            self.runner.finish()
            id = self.successResultOf(asking)
            self.deployer.calls.clear()
            winner, loser = (
                getattr(self.approvals, verb)(id, OPERATOR) for verb in (first, second)
            )
            self.runner.commit()
            self.assertNoResult(winner)
            self.runner.answer()
            self.runner.finish()
            self.successResultOf(winner)
            failure = self.failureResultOf(loser, AlreadyDecided)
            self.assertIn(
                f"Approval {id} was {status} by operator at 2026-01-31T12:00:00.000Z",
                failure.getErrorMessage(),
            )
            carried = [call for call in self.deployer.calls if call[0] == "carry_out"]
            self.assertEqual(len(carried), 1 if status == "approved" else 0)
            self.assertEqual(
                [one for one in self.happened() if one[2] == status],
                [("approval_resolved", id, status)],
            )

    def test_two_requests(self) -> None:
        """Of two that ask for the same at the same moment one is taken."""
        asking = [self.approvals.request_spawn("carol", MANAGER) for _ in range(2)]
        self.runner.finish()
        self.assertEqual(self.successResultOf(asking[0]), 1)
        self.failureResultOf(asking[1], AlreadyAsked)


class ShownTests(DecisionCase):
    """What surfaces show."""

    def test_pending_and_decided(self) -> None:
        """Pending ones oldest first, then the last 50 decided, newest first."""
        ids = [self.spawn_asked(f"a{number}") for number in range(55)]
        for id in ids[1:53]:
            self.successResultOf(self.approvals.deny(id, OPERATOR))
        shown = [one.id for one in self.successResultOf(self.approvals.pending())]
        self.assertEqual(shown, [1, 54, 55, *range(53, 3, -1)])

    def test_wire(self) -> None:
        """What is absent is left out."""
        spawn, commit = self.spawn_asked(), self.commit_asked()
        self.assertEqual(
            self.successResultOf(self.approvals.get(spawn)).as_wire(),
            {
                "id": spawn,
                "agent": "carol",
                "kind": "spawn",
                "asker": "manager",
                "description": "to test",
                "requested_at": "2026-01-31T12:00:00.000Z",
                "status": "pending",
            },
        )
        self.successResultOf(self.approvals.deny(commit, OPERATOR, "no"))
        row = self.successResultOf(self.approvals.get(commit)).as_wire()
        self.assertEqual(
            {key: row[key] for key in row if key not in ("id", "agent", "asker")},
            {
                "kind": "apply_commit",
                "commit_ref": SHA,
                "fetched_sha": SHA,
                "base_sha": BASE,
                "description": "more memory",
                "requested_at": "2026-01-31T12:00:00.000Z",
                "status": "denied",
                "resolved_at": "2026-01-31T12:00:00.000Z",
                "resolved_by": "operator",
                "note": "no",
            },
        )

    def test_diff(self) -> None:
        """The pinned commit is compared, with what is asked for."""
        id = self.commit_asked()
        diff = self.successResultOf(self.approvals.diff(id, "queued"))
        self.assertEqual(self.deployer.calls[-1], ("diff", "bob", SHA, "queued", id))
        self.assertEqual(
            diff_as_wire(diff),
            {
                "base": BASE,
                "sha": SHA,
                "text": self.deployer.text,
                "truncated": False,
                "files": [
                    {"path": "agent.toml", "binary": False, "added": 1, "deleted": 1},
                    {"path": "logo.png", "binary": True},
                ],
            },
        )

    def test_no_diff(self) -> None:
        """A new agent has none."""
        id = self.spawn_asked()
        self.failureResultOf(self.approvals.diff(id), NothingToShow)

    def test_changed(self) -> None:
        """Whoever changes one by its job has it shown."""
        id = self.spawn_asked()
        self.happened()
        self.approvals.changed(id)
        self.approvals.changed(99)
        self.assertEqual(self.happened(), [("approval_resolved", id, "pending")])


class ExpiryTests(DecisionCase):
    """Approvals that nobody decides in time."""

    ttl: float | None = 600.0

    def test_denied_and_told(self) -> None:
        """At its time it is denied by the hive, told, shown and tagged."""
        id = self.commit_asked()
        self.happened()
        self.clock.advance(599)
        self.assertEqual(self.approval(id).status, "pending")
        self.clock.advance(1)
        row = self.approval(id)
        self.assertEqual(
            (row.status, row.resolved_by, row.resolved_at),
            ("denied", HIVE, self.clock.seconds()),
        )
        [told] = self.told(MANAGER)
        self.assertEqual(told["status"], "denied")
        self.assertIn("expired", told["note"])
        self.assertEqual(self.happened(), [("approval_resolved", id, "denied")])
        self.assertEqual(self.deployer.calls[-1][0], "tag_denied")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_at_its_own_time(self) -> None:
        """One timer for all."""
        first = self.spawn_asked("a1")
        self.clock.advance(100)
        second = self.spawn_asked("a2")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(500)
        self.assertEqual(self.approval(first).status, "denied")
        self.assertEqual(self.approval(second).status, "pending")
        self.clock.advance(100)
        self.assertEqual(self.approval(second).status, "denied")

    def test_over_a_restart(self) -> None:
        """When it ends is on disk, also if the next daemon has another setting."""
        id, late = self.spawn_asked("a1"), self.spawn_asked("a2", OPERATOR)
        self.decisions.expiry.stop()
        self.clock.advance(700)
        self.assertEqual(self.approval(id).status, "pending")
        self.ttl = None
        self.make()
        self.clock.advance(0)
        for one in (id, late):
            self.assertEqual(self.approval(one).status, "denied")
        # The operator had asked for the second, and did not decide it.
        [*_, said] = self.said()
        self.assertIn("expired", said)

    def test_a_decision_that_comes_too_late(self) -> None:
        """Even where the timer has not run yet, what has expired is not approved."""
        id, other = self.spawn_asked("a1"), self.spawn_asked("a2")
        self.decisions.expiry.stop()
        self.clock.advance(600)
        for deciding, one in (
            (self.approvals.approve(id, OPERATOR), id),
            (self.approvals.deny(other, OPERATOR, "no"), other),
        ):
            failure = self.failureResultOf(deciding, AlreadyDecided)
            self.assertIn("expired", failure.getErrorMessage())
            self.assertEqual(self.approval(one).resolved_by, HIVE)
        self.assertNotIn("begin", [call[0] for call in self.deployer.calls])
        self.assertEqual(len(self.told(MANAGER)), 2)

    def test_what_is_decided_does_not_expire(self) -> None:
        """Its time passes without anything."""
        id = self.spawn_asked()
        self.successResultOf(self.approvals.approve(id, OPERATOR))
        self.clock.advance(600)
        self.assertEqual(self.approval(id).status, "approved")
        self.assertEqual(len(self.told(MANAGER)), 1)


class RecoveryTests(DecisionCase):
    """What a daemon that died had no time to show in the repos."""

    def test_an_old_one_that_was_denied_last(self) -> None:
        """However many came after it and were decided before."""
        old = self.commit_asked(ref="a" * 40)
        for number in range(MAX_APPROVALS):
            self.clock.advance(1)
            id = self.commit_asked(ref=f"{number:040x}")
            self.successResultOf(self.approvals.approve(id, OPERATOR))
        self.clock.advance(1)
        self.successResultOf(self.approvals.deny(old, OPERATOR))
        self.make()
        self.successResultOf(self.approvals.recover())
        self.assertEqual(
            self.deployer.calls, [("tag_denied", "bob", old, "a" * 40, None)]
        )

    def test_tags(self) -> None:
        """What waits is tagged again, and so are the last denials."""
        pending, denied, approved = (self.commit_asked(ref=char * 40) for char in "abc")
        self.spawn_asked()
        self.successResultOf(self.approvals.deny(denied, OPERATOR, "no"))
        self.successResultOf(self.approvals.approve(approved, OPERATOR))
        self.make()
        self.deployer.failures["tag_proposal"] = OSError("disk")
        self.successResultOf(self.approvals.recover())
        self.assertEqual(
            self.deployer.calls,
            [
                ("tag_proposal", "bob", pending, "a" * 40),
                ("tag_denied", "bob", denied, "b" * 40, "no"),
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
