"""A hive in memory that tells a target which only records, and things to tell."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from hyperhive.messages.interfaces import Outcome, TurnEnd
from hyperhive.names import OPERATOR
from hyperhive.notify.interfaces import IChannel, Notification
from hyperhive.store.outbox import OutboxTable
from hyperhive.testing.agents import NOW, FakeAgents
from tests.approvals.support import DecisionCase

KINDS = ("approval", "question", "login", "dead", "crash")
HOME = "https://hive.example/"


@implementer(IChannel)
class Recorder:
    """A target that takes everything, unless it is told otherwise.

    :ivar told: what it was told, oldest first, also what it did not take.
    :ivar failures: what the next attempts fail with, one each.
    :ivar held: attempts under way, while :attr:`holding`.
    """

    def __init__(self) -> None:
        self.told: list[Notification] = []
        self.failures: list[Exception] = []
        self.holding = False
        self.held: list[Deferred[None]] = []

    def send(self, notification: Notification) -> Deferred[None]:
        """See IChannel."""
        self.told.append(notification)
        sending: Deferred[None] = Deferred()
        if self.holding:
            self.held.append(sending)
        elif self.failures:
            sending.errback(self.failures.pop(0))
        else:
            sending.callback(None)
        return sending


class Notices:
    """What is shown to the operator."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def add(self, sentence: str) -> None:
        """See INotices."""
        self.shown.append(sentence)

    def remove(self, sentence: str) -> None:
        """See INotices."""
        self.shown.remove(sentence)


class NotifyCase(DecisionCase):
    """A hive with hm1nd, alice and bob, whose database is watched for two targets."""

    targets: tuple[str, ...] = ("ntfy", "webhook")
    kinds: tuple[str, ...] = KINDS

    def setUp(self) -> None:
        """Make it."""
        super().setUp()
        self.agents = FakeAgents()
        for name in ("alice", "bob"):
            self.agents.add(name)
        self.watch()

    def watch(self) -> None:
        """Let the outbox note facts."""
        self.successResultOf(
            self.database.write(
                lambda connection: OutboxTable.watch(
                    connection, self.targets, self.kinds
                )
            )
        )

    def noted(self, target: str = "ntfy") -> list[tuple[str, str]]:
        """What a target is to be told: kinds and subjects."""

        def read(connection: Any) -> list[tuple[str, str]]:
            return [
                (row.kind, row.subject)
                for kind in OutboxTable.kinds(connection, target)
                for row in OutboxTable.waiting(connection, target, kind)
            ]

        return self.database.read(read)

    def dead_message(self, to: str = "bob") -> int:
        """A message that five turns have failed with."""
        [id] = self.successResultOf(self.broker.send(OPERATOR, to, "a secret plan"))
        for _ in range(5):
            turn = self.successResultOf(self.broker.begin_turn(to))
            assert turn is not None
            end = TurnEnd(Outcome.FAILED, "it broke")
            self.successResultOf(self.broker.end_turn(turn.id, end))
        return id


__all__ = ["HOME", "KINDS", "NOW", "MemoryReactorClock", "NotifyCase", "Recorder"]
