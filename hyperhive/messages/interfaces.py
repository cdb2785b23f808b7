"""What the rest of the hive knows of messages: the broker, its values, its errors."""

from collections.abc import Callable, Iterable
from enum import Enum
from sqlite3 import Connection
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.errors import BadRequest, Conflict, NotFound, TooLarge
from hyperhive.times import rfc3339

#: The longest body in bytes of UTF-8.
MAX_BODY = 256 * 1024
#: How often a message is handed to a turn that fails before it is dead.
MAX_ATTEMPTS = 5


class UnknownRecipient(NotFound):
    """Nobody of that name; the text lists who exists."""


class BodyTooLarge(TooLarge):
    """A body over :data:`MAX_BODY`; the text gives both numbers."""


class InvalidMessage(BadRequest):
    """A message that can't be taken: an empty body, no Unicode."""


class NoSuchMessage(NotFound):
    """No message has that id."""


class NotDead(Conflict):
    """Only a dead message can be requeued."""


class NotYourTurn(Conflict):
    """``recv`` outside a turn of an agent that is not paused."""


class NoSuchTurn(NotFound):
    """No turn of that id runs."""


class TurnRuns(Conflict):
    """The agent is in a turn already: it has one at a time."""


class MessageState(Enum):
    """Where a message is in its life."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"


class Outcome(Enum):
    """How a turn ended."""

    OK = "ok"
    CANCELLED = "cancelled"
    PROMPT_TOO_LONG = "prompt_too_long"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    AUTH_FAILED = "auth_failed"
    DRAINED = "drained"
    FAILED = "failed"
    KILLED = "killed"
    VANISHED = "vanished"

    @property
    def finishes(self) -> bool:
        """Whether the messages of such a turn are done."""
        return self in (Outcome.OK, Outcome.CANCELLED)

    @property
    def counts(self) -> bool:
        """Whether such a turn uses up one of a message's attempts."""
        return self in (Outcome.FAILED, Outcome.KILLED, Outcome.VANISHED)


@frozen
class Message:
    """One message to one recipient.

    :param sender: an agent's mailbox, ``operator`` or ``system``.
    :param sent_at: POSIX time.
    :param redelivered: it was handed out before and given back: whoever had it
        may have dealt with it in part.
    :param attempts: turns that failed with it.
    :param read: only meaningful for the operator's inbox.
    """

    id: int
    sender: str
    recipient: str
    body: str
    sent_at: float
    state: MessageState
    redelivered: bool = False
    attempts: int = 0
    in_reply_to: int | None = None
    read: bool = False

    def as_wire(self) -> dict[str, Any]:
        """The ``messages`` row of the wire page; what is absent is left out."""
        row: dict[str, Any] = {
            "id": self.id,
            "from": self.sender,
            "to": self.recipient,
            "body": self.body,
            "sent_at": rfc3339(self.sent_at),
            "state": self.state.value,
        }
        if self.redelivered:
            row["redelivered"] = True
        if self.in_reply_to is not None:
            row["in_reply_to"] = self.in_reply_to
        if self.recipient == "operator":
            row["read"] = self.read
        return row


@frozen
class MessagePage:
    """Messages that were found, oldest first.

    :param before: what to ask with for older ones; ``None`` where all were looked at.
    """

    messages: tuple[Message, ...]
    before: int | None


@frozen
class Usage:
    """What a turn cost.

    :param context: input + cache read + cache write tokens of the *last*
        inference: the size of the context, unlike the sums beside it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    context: int | None = None
    cost_usd: float | None = None


@frozen
class Turn:
    """A turn that has begun.

    :param message: what it was begun for; ``None`` for a compaction.
    :param unread: how many messages still wait behind it.
    """

    id: int
    agent: str
    started_at: float
    message: Message | None
    unread: int


@frozen
class TurnEnd:
    """What a turn came to."""

    outcome: Outcome
    note: str | None = None
    usage: Usage = field(factory=Usage)
    session_id: str | None = None
    model: str | None = None


@frozen
class TurnRecord:
    """A turn as it is stored. ``ended_at`` is ``None`` while it runs."""

    id: int
    agent: str
    kind: str
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    note: str | None
    model: str | None
    usage: Usage

    def as_wire(self) -> dict[str, Any]:
        """The row that status lines and pages show; what is absent is left out."""
        row: dict[str, Any] = {
            "id": self.id,
            "agent": self.agent,
            "kind": self.kind,
            "started_at": rfc3339(self.started_at),
        }
        if self.ended_at is not None:
            row["ended_at"] = rfc3339(self.ended_at)
            row["duration_ms"] = round((self.ended_at - self.started_at) * 1000)
        if self.outcome is not None:
            row["outcome"] = self.outcome.value
        if self.note:
            row["note"] = self.note
        if self.model:
            row["model"] = self.model
        row["tokens"] = {
            "input": self.usage.input_tokens,
            "output": self.usage.output_tokens,
            "cache_read": self.usage.cache_read_tokens,
            "cache_write": self.usage.cache_write_tokens,
        }
        if self.usage.context is not None:
            row["ctx_tokens"] = self.usage.context
        if self.usage.cost_usd is not None:
            row["cost_usd"] = self.usage.cost_usd
        return row


@frozen
class Notice:
    """A message from ``system`` that is part of another transaction.

    :param to: a mailbox or an agent's name.
    """

    to: str
    body: str


#: Something to do in the same transaction as what the broker writes.
Also = Callable[[Connection], None]
T = TypeVar("T")


def nothing_else(connection: Connection) -> None:
    """The empty :data:`Also`."""


class IBroker(Interface):
    """The durable queue. Each Deferred fires after its rows are on disk.

    Agents are named by their name (``hm1nd``) or their mailbox (``manager``);
    either is taken everywhere.
    """

    def send(
        sender: str, to: str, body: str, in_reply_to: int | None = None
    ) -> Deferred[tuple[int, ...]]:
        """Queue a message; fires with its id, or for ``*`` with one id a recipient.

        :raises UnknownRecipient: listing who exists.
        :raises BodyTooLarge: with both numbers.
        :raises InvalidMessage: for an empty body.
        :raises NoSuchMessage: for a reply to an unknown id.
        """

    def receive(
        agent: str, connection: str, maximum: int = 1, wait_seconds: float | None = None
    ) -> Deferred[list[Message]]:
        """Hand out the oldest queued messages of ``agent``, leased.

        In a turn they are leased to the turn. While the agent is paused and no
        turn runs, they are leased to ``connection``. The Deferred may be
        cancelled: then nothing stays leased by it.

        :param wait_seconds: wait that long for a first message, capped by the
            setting; ``None`` answers at once.
        :raises NotYourTurn: in neither case.
        """

    def acknowledge(connection: str) -> Deferred[None]:
        """What was leased to ``connection`` is done: it made its next call."""

    def release(connection: str) -> Deferred[None]:
        """Give back, marked, what was leased to ``connection``: it ended."""

    def give_back(ids: tuple[int, ...]) -> Deferred[None]:
        """Give back, marked, leased messages whose handing out failed."""

    def unread(agent: str) -> int:
        """How many messages are queued for it."""

    def inbox(name: str, limit: int = 50) -> Deferred[list[Message]]:
        """The newest ``limit`` messages of a mailbox, oldest first.

        :raises UnknownRecipient: if there is no such mailbox.
        """

    def history(
        agent: str | None = None, before: int | None = None, limit: int = 50
    ) -> Deferred[list[Message]]:
        """Messages to or from ``agent`` (or all), with ids under ``before``, oldest first."""

    def search(
        text: str = "",
        state: MessageState | None = None,
        agent: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Deferred[MessagePage]:
        """The newest messages under ``before`` that have this text and state, of ``agent`` or all.

        One call looks at a bounded number of messages: it may find nothing and
        yet say where to go on.
        """

    def mark_read(ids: tuple[int, ...]) -> Deferred[int]:
        """Mark rows of the operator's inbox as read and done; fires with how many were not."""

    def requeue(message: int) -> Deferred[None]:
        """Queue a dead message again, with no attempts counted.

        :raises NoSuchMessage:
        :raises NotDead:
        :raises UnknownRecipient: if its recipient is gone.
        """

    def begin_turn(agent: str, kind: str = "message") -> Deferred[Turn | None]:
        """Begin a turn and lease to it the oldest queued message.

        :param kind: ``message``, or ``compact`` for a turn without a message.
        :return: ``None`` if the kind is ``message`` and nothing is queued, or the
            agent is paused.
        :raises TurnRuns: one turn at a time.
        :raises UnknownRecipient: if there is no such agent.
        """

    def end_turn(
        turn: int,
        end: TurnEnd,
        also: Also = nothing_else,
        notices: tuple[Notice, ...] = (),
    ) -> Deferred[None]:
        """End a turn, and with it what it leased: done, queued again, or dead.

        Notices of dead messages to sender and operator, ``notices``, and what
        ``also`` writes, are in the same transaction. A notice to somebody who does
        not exist is logged and left out.

        :raises NoSuchTurn: if it does not run.
        """

    def turns(
        agent: str, limit: int = 20, before: int | None = None
    ) -> Deferred[list[TurnRecord]]:
        """The newest turns of an agent with ids under ``before``, newest first."""

    def tell(
        act: Callable[[Connection], T], notices: Callable[[T], Iterable[Notice]]
    ) -> Deferred[T]:
        """Do something and tell of it, in one transaction; fires with what it came to.

        :param act: what is done; if it raises, nothing is written and the Deferred
            fails with that.
        :param notices: makes of its result what is told. A notice to somebody who
            does not exist is logged and left out.
        """

    def bury(
        agent: str, also: Callable[[Connection], Iterable[Notice]]
    ) -> Deferred[int]:
        """The agent is destroyed: its waiting messages are dead and their senders told.

        :param also: removes it, in the same transaction, and says what is told of that.
        :return: how many messages.
        """

    def recover() -> Deferred[int]:
        """Called once at start: end turns that a dead daemon left, give back all leases.

        Fires with how many messages were given back.
        """

    def end_waits(agent: str) -> None:
        """Answer its waiting ``receive`` with nothing: it was paused, or goes on."""

    def watch(callback: Callable[[str], None]) -> None:
        """Call back with an agent's name when something was queued for it that no
        waiting ``receive`` took."""
