"""Approvals and questions under any order of events, beside a model of them."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.approvals.interfaces import AlreadyDecided, NotDone
from hyperhive.errors import Conflict
from hyperhive.messages.interfaces import Notice
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.agents import AgentTable
from hyperhive.store.jobs import JobRow, JobTable
from tests.approvals.support import DecisionCase

TTL = 100.0
NAMES = ("a1", "a2", "a3")


class _Hive(DecisionCase):
    """The room, outside of a test of its own."""

    ttl: float | None = TTL

    def runTest(self) -> None:
        """It is made for :class:`DecisionMachine`."""


class DecisionMachine(RuleBasedStateMachine):
    """Everything that can happen, and what each approval and question must then be."""

    def __init__(self) -> None:
        super().__init__()
        self.hive = _Hive()
        self.hive.setUp()
        self.alive = {MANAGER, "alice", "bob"}
        #: By id: whom it is about, its kind, its status, when it expires.
        self.approvals: dict[int, dict[str, Any]] = {}
        self.questions: dict[int, dict[str, Any]] = {}
        self.commits = 0

    def teardown(self) -> None:
        self.hive.doCleanups()

    @property
    def now(self) -> float:
        return self.hive.clock.seconds()

    def waiting(self, rows: dict[int, dict[str, Any]]) -> list[int]:
        return [id for id, row in rows.items() if row["status"] == "pending"]

    @rule(name=st.sampled_from((*NAMES, "bob")))
    def ask_for_an_agent(self, name: str) -> None:
        asking = self.hive.approvals.request_spawn(name, MANAGER)
        taken = name in self.alive or any(
            self.approvals[id]["agent"] == name
            and self.approvals[id]["kind"] == "spawn"
            for id in self.waiting(self.approvals)
        )
        if taken:
            self.hive.failureResultOf(asking, Conflict)
        else:
            self.asked(self.hive.successResultOf(asking), name, "spawn")

    @rule(data=st.data())
    def ask_for_a_commit(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.alive)))
        self.commits += 1
        ref = f"{self.commits:040x}"
        asking = self.hive.approvals.request_apply_commit(name, ref, MANAGER)
        self.asked(self.hive.successResultOf(asking), name, "apply_commit")

    def asked(self, id: int, agent: str, kind: str) -> None:
        self.approvals[id] = {
            "agent": agent,
            "kind": kind,
            "status": "pending",
            "until": self.now + TTL,
        }

    @precondition(lambda self: self.approvals)
    @rule(data=st.data(), approve=st.booleans(), fails=st.booleans())
    def decide(self, data: st.DataObject, approve: bool, fails: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.approvals)))
        row, deployer = self.approvals[id], self.hive.deployer
        deployer.failing = {row["agent"]: "no"} if fails else {}
        if approve:
            deciding = self.hive.approvals.approve(id, OPERATOR)
        else:
            deciding = self.hive.approvals.deny(id, OPERATOR, "no")
        if row["status"] != "pending":
            self.hive.failureResultOf(deciding, AlreadyDecided)
        elif not approve:
            self.hive.successResultOf(deciding)
            row["status"] = "denied"
        elif row["kind"] == "spawn" and row["agent"] in self.alive:
            self.hive.failureResultOf(deciding, Conflict)
        elif fails:
            self.hive.failureResultOf(deciding, NotDone)
            row["status"] = "failed"
        else:
            self.hive.successResultOf(deciding)
            row["status"] = "approved"
            if row["kind"] == "spawn":
                self.hive.add_agent(row["agent"])
                self.alive.add(row["agent"])

    @precondition(lambda self: self.alive - {MANAGER})
    @rule(data=st.data(), ttl=st.sampled_from((None, 30.0)))
    def ask(self, data: st.DataObject, ttl: float | None) -> None:
        name = data.draw(st.sampled_from(sorted(self.alive - {MANAGER})))
        if (
            sum(
                self.questions[id]["asker"] == name
                for id in self.waiting(self.questions)
            )
            >= 20
        ):
            return
        asking = self.hive.questions.ask(name, "Why?", ttl_seconds=ttl)
        until = None if ttl is None else self.now + ttl
        self.questions[self.hive.successResultOf(asking)] = {
            "asker": name,
            "status": "pending",
            "until": until,
        }

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), answer=st.booleans())
    def end(self, data: st.DataObject, answer: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.questions)))
        if answer:
            ending = self.hive.questions.answer(id, "because", OPERATOR)
        else:
            ending = self.hive.questions.cancel(id, OPERATOR)
        row = self.questions[id]
        if row["status"] != "pending":
            self.hive.failureResultOf(ending, AlreadyDecided)
        else:
            self.hive.successResultOf(ending)
            row["status"] = "answered" if answer else "cancelled"

    @precondition(lambda self: self.alive - {MANAGER})
    @rule(data=st.data())
    def destroy(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.alive - {MANAGER})))
        partings = self.hive.decisions.partings

        def end(connection: Any) -> list[Notice]:
            AgentTable.delete(connection, name)
            return partings.cancel(connection, name)

        self.hive.successResultOf(self.hive.broker.bury(name, end))
        self.hive.successResultOf(partings.agent_removed(name))
        self.alive.discard(name)
        for rows, owner in ((self.approvals, "agent"), (self.questions, "asker")):
            for id in self.waiting(rows):
                if rows[id][owner] == name:
                    rows[id]["status"] = "cancelled"

    @rule(seconds=st.sampled_from((1.0, 29.0, 71.0)))
    def time_passes(self, seconds: float) -> None:
        self.hive.clock.advance(seconds)
        self.expired()

    @rule(seconds=st.sampled_from((0.0, 50.0)))
    def restart(self, seconds: float) -> None:
        self.hive.decisions.expiry.stop()
        self.hive.clock.advance(seconds)
        self.hive.make()
        self.hive.clock.advance(0)
        self.expired()

    def expired(self) -> None:
        for rows, status in ((self.approvals, "denied"), (self.questions, "expired")):
            for id in self.waiting(rows):
                until = rows[id]["until"]
                if until is not None and until <= self.now:
                    rows[id]["status"] = status

    @invariant()
    def each_is_what_it_must_be(self) -> None:
        for id, row in self.approvals.items():
            assert self.hive.approval(id).status == row["status"]
        for id, row in self.questions.items():
            assert self.hive.question(id).status == row["status"]

    @invariant()
    def each_end_is_told_once(self) -> None:
        """To whoever asked; of the questions, while the asker lives."""
        told = [
            one["id"]
            for one in self.hive.told(MANAGER)
            if one["event"] == "approval_resolved"
        ]
        ended = set(self.approvals) - set(self.waiting(self.approvals))
        assert sorted(told) == sorted(ended)

    @invariant()
    def each_approval_has_one_job_and_no_other_has_any(self) -> None:
        jobs: list[JobRow] = self.hive.database.read(
            lambda connection: JobTable.newest(connection, 1000)
        )
        approved = [
            id
            for id, row in self.approvals.items()
            if row["status"] in ("approved", "failed")
        ]
        assert sorted(job.approval or 0 for job in jobs) == sorted(approved)


class MachineTests(SynchronousTestCase):
    """Runs it."""

    def test_any_order(self) -> None:
        """Each is decided once, told once, and carried out only if it was approved."""
        run_state_machine_as_test(
            DecisionMachine,
            settings=settings(max_examples=40, stateful_step_count=30),
        )
