"""The outbox is filled in the transactions of the facts, and never grows without end."""

from typing import Any

from hyperhive.errors import BadRequest
from hyperhive.names import OPERATOR
from hyperhive.store import outbox
from hyperhive.store.approvals import ApprovalTable
from hyperhive.store.outbox import OutboxTable
from tests.notify.support import NotifyCase


class FillingTests(NotifyCase):
    """What is noted, without any room's doing."""

    def test_approval(self) -> None:
        """A proposal is noted for each target."""
        id = self.commit_asked()
        self.assertEqual(self.noted("ntfy"), [("approval", str(id))])
        self.assertEqual(self.noted("webhook"), [("approval", str(id))])

    def test_the_operators_own(self) -> None:
        """What the operator proposes, or rolls back, is no news to him."""
        self.spawn_asked(asker=OPERATOR)
        self.database.write(
            lambda connection: ApprovalTable.insert_decided(
                connection, "bob", "a" * 40, "rollback", OPERATOR, 1.0
            )
        )
        self.assertEqual(self.noted(), [])

    def test_question(self) -> None:
        """A question is noted."""
        id = self.asked()
        self.assertEqual(self.noted(), [("question", str(id))])

    def test_dead_message(self) -> None:
        """A message is noted once it is dead, and not before."""
        id = self.dead_message()
        self.assertEqual(self.noted(), [("dead", str(id))])

    def test_messages_of_who_is_destroyed(self) -> None:
        """Whatever makes a message dead, it is noted."""
        self.successResultOf(self.broker.send(OPERATOR, "bob", "hello"))
        self.successResultOf(self.broker.bury("bob", lambda connection: []))
        self.assertEqual([kind for kind, _ in self.noted()], ["dead"])

    def test_undone(self) -> None:
        """What was undone with its transaction is not noted."""

        def ask_and_fail(connection: Any) -> None:
            ApprovalTable.insert(connection, "bob", "spawn", "manager", 1.0)
            raise BadRequest("no")

        self.failureResultOf(self.database.write(ask_and_fail), BadRequest)
        self.assertEqual(self.noted(), [])


class SomeKindsTests(NotifyCase):
    """Kinds that are off."""

    targets = ("ntfy",)
    kinds = ("dead",)

    def test_off(self) -> None:
        """What is off is not noted."""
        self.commit_asked()
        self.asked()
        self.assertEqual(self.noted(), [])
        self.dead_message()
        self.assertEqual(len(self.noted()), 1)

    def test_switched(self) -> None:
        """Another watch replaces the one before, and nobody to tell ends it."""
        self.kinds = ("question",)
        self.watch()
        self.commit_asked()
        self.asked()
        self.assertEqual([kind for kind, _ in self.noted()], ["question"])
        self.targets = ()
        self.watch()
        self.asked()
        self.assertEqual(len(self.noted()), 1)

    def test_keep(self) -> None:
        """What is for a target or of a kind that is off now is forgotten."""
        for kind in ("dead", "crash"):
            self.database.write(
                lambda connection, kind=kind: OutboxTable.add(
                    connection, ("ntfy", "webhook"), kind, "1"
                )
            )
        self.database.write(
            lambda connection: OutboxTable.keep(connection, ("ntfy",), ("dead",))
        )
        self.assertEqual(self.noted("ntfy"), [("dead", "1")])
        self.assertEqual(self.noted("webhook"), [])

    def test_bound(self) -> None:
        """Of too many the oldest go."""
        self.patch(outbox, "MAX_ROWS", 3)
        self.watch()
        for number in range(5):
            self.database.write(
                lambda connection, number=number: OutboxTable.add(
                    connection, ("ntfy",), "dead", str(number)
                )
            )
        subjects = [subject for _, subject in self.noted()]
        self.assertEqual(subjects, ["2", "3", "4"])
