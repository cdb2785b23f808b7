"""What ends with an agent that is destroyed."""

from collections.abc import Iterable
from sqlite3 import Connection

from hyperhive.messages.interfaces import Notice
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.agents import AgentTable
from tests.approvals.support import DecisionCase


class PartingTests(DecisionCase):
    """Bob is destroyed."""

    def destroy(self, fails: bool = False) -> None:
        """End bob as the swarm does: the row and all of this in one transaction."""

        def end(connection: Connection) -> Iterable[Notice]:
            AgentTable.delete(connection, "bob")
            notices = self.decisions.partings.cancel(connection, "bob")
            if fails:
                raise ZeroDivisionError
            return notices

        burying = self.broker.bury("bob", end)
        if fails:
            self.failureResultOf(burying, ZeroDivisionError)
            return
        self.successResultOf(burying)
        self.successResultOf(self.decisions.partings.agent_removed("bob"))

    def test_what_waits_is_cancelled(self) -> None:
        """His approvals and questions, and nobody else's; who asked is told."""
        mine, other = self.commit_asked(), self.commit_asked("alice")
        question, kept = self.asked("bob"), self.asked("alice")
        self.happened()
        self.destroy()
        row = self.approval(mine)
        self.assertEqual(
            (row.status, row.resolved_by, row.note),
            ("cancelled", OPERATOR, "bob was destroyed."),
        )
        self.assertEqual(self.question(question).status, "cancelled")
        self.assertEqual(self.approval(other).status, "pending")
        self.assertEqual(self.question(kept).status, "pending")
        [told] = self.told(MANAGER)
        self.assertEqual(
            {**told, "sha": ""},
            {
                "event": "approval_resolved",
                "id": mine,
                "agent": "bob",
                "kind": "apply_commit",
                "status": "cancelled",
                "note": "bob was destroyed.",
                "sha": "",
            },
        )
        self.assertEqual(
            self.happened(),
            [
                ("approval_resolved", mine, "cancelled"),
                ("question_resolved", question, "cancelled"),
            ],
        )

    def test_one_that_does_not_go(self) -> None:
        """If the transaction is undone, all still waits, and nothing is shown."""
        mine, question = self.commit_asked(), self.asked("bob")
        self.happened()
        self.destroy(fails=True)
        self.assertEqual(self.approval(mine).status, "pending")
        self.assertEqual(self.question(question).status, "pending")
        self.successResultOf(self.approvals.deny(mine, OPERATOR))
        self.happened()
        self.destroy()
        self.assertEqual(
            self.happened(), [("question_resolved", question, "cancelled")]
        )

    def test_nothing_waits(self) -> None:
        """Nobody is told anything."""
        self.destroy()
        self.successResultOf(self.decisions.partings.agent_removed("alice"))
        self.successResultOf(self.decisions.partings.agent_added("carol", "agent"))
        self.assertEqual((self.told(MANAGER), self.happened()), ([], []))
