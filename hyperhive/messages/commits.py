"""The broker's writes, and what follows from each after its COMMIT."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from hyperhive.bus import EventBus
from hyperhive.messages import convert
from hyperhive.messages.ledger import Change, Lease, Ledger
from hyperhive.names import OPERATOR, mailbox_owner
from hyperhive.store.database import Database
from hyperhive.store.messages import MessageRow, MessageTable

T = TypeVar("T")


class Commits:
    """Runs transactions and follows them: counts, events, who is to be served.

    What is held here in memory changes as the Deferreds of writes fire, in the
    order of their COMMITs, whether or not who asked still waits for the answer.

    :param now: the wall clock in POSIX seconds.
    :param queued: told a mailbox in which something was queued.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        now: Callable[[], float],
        queued: Callable[[str], None],
    ) -> None:
        self._database = database
        self._bus = bus
        self._now = now
        self._queued = queued
        #: How many messages are queued in each mailbox.
        self.unread = Counter(database.read(MessageTable.queued))
        #: What receivers were given and have not done with, by message id.
        self.held: dict[int, Lease] = {}

    def write(self, act: Callable[[Ledger], T]) -> Deferred[T]:
        """Run ``act`` in a transaction; fires after its COMMIT and what follows from it.

        Cancelling the Deferred takes back the answer, not the write.
        """
        now = self._now()

        def work(connection: Any) -> tuple[T, Ledger]:
            ledger = Ledger(connection, now)
            return act(ledger), ledger

        return outlasting(self._database.write(work).addCallback(self._committed))

    def _committed(self, written: tuple[T, Ledger]) -> T:
        result, ledger = written
        for notice in ledger.lost:
            self._log.warn(
                "There is no {to} to be told: {body}", to=notice.to, body=notice.body
            )
        for change in ledger.changes:
            self._count(change)
        for change in ledger.changes:
            self._publish(change)
        # Each mailbox once, in the order of the messages.
        for box in dict.fromkeys(
            change.message.recipient for change in ledger.changes if change.unread > 0
        ):
            self._queued(box)
        return result

    def _count(self, change: Change) -> None:
        message = change.message
        self.unread[message.recipient] += change.unread
        if not self.unread[message.recipient]:
            del self.unread[message.recipient]
        if message.state != "leased":
            self.held.pop(message.id, None)

    def _publish(self, change: Change) -> None:
        row = change.message
        agent = None if row.recipient == OPERATOR else mailbox_owner(row.recipient)
        fields: dict[str, Any]
        if change.kind == "message_sent" and isinstance(row, MessageRow):
            fields = convert.message(row).as_wire()
        else:
            fields = {
                "id": row.id,
                "from": row.sender,
                "to": row.recipient,
                "state": row.state,
            }
            if row.turn is not None:
                fields["turn"] = row.turn
        self._bus.publish(change.kind, fields, agent)


def outlasting(running: Deferred[T]) -> Deferred[T]:
    """Answer a Deferred that can be cancelled without what runs."""
    answer: Deferred[T] = Deferred()
    running.addCallbacks(answer.callback, answer.errback)
    return answer
