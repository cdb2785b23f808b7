"""What agents ask the operator: asking, and the one end of each question."""

import time
from collections.abc import Callable, Sequence
from sqlite3 import Connection

from twisted.internet.defer import Deferred
from zope.interface import implementer

from hyperhive.agents.interfaces import NoSuchAgent
from hyperhive.approvals import notices, texts
from hyperhive.approvals.expiry import Expiry
from hyperhive.approvals.interfaces import (
    MAX_ANSWER,
    MAX_OPTION,
    MAX_QUESTION,
    MAX_QUESTIONS,
    MAX_QUESTIONS_OF_ONE,
    MAX_TTL,
    AlreadyDecided,
    IQuestions,
    NoSuchQuestion,
    Question,
    TooMany,
)
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest
from hyperhive.messages.commits import outlasting
from hyperhive.messages.interfaces import Also, IBroker, nothing_else
from hyperhive.names import HIVE, mailbox, mailbox_owner
from hyperhive.store.agents import AgentTable
from hyperhive.store.database import Database
from hyperhive.store.questions import QuestionRow, QuestionTable
from hyperhive.times import rfc3339

#: How long questions are kept after their end (seconds).
KEPT_SECONDS = 30 * 86400.0
#: How many one write forgets at most.
PRUNE_BITE = 500


@implementer(IQuestions)
class Questions:
    """See :class:`~hyperhive.approvals.interfaces.IQuestions`.

    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        database: Database,
        broker: IBroker,
        bus: EventBus,
        expiry: Expiry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._broker = broker
        self._bus = bus
        self._expiry = expiry
        self._now = now
        expiry.add(lambda: database.read(QuestionTable.next_expiry), self._expire)

    def ask(
        self,
        asker: str,
        question: str,
        options: Sequence[str] = (),
        multi: bool = False,
        ttl_seconds: float | None = None,
    ) -> Deferred[int]:
        """See :class:`IQuestions`."""
        return outlasting(
            self._ask(mailbox(asker), question, options, multi, ttl_seconds)
        )

    @deferred
    async def _ask(
        self,
        asker: str,
        question: str,
        options: Sequence[str],
        multi: bool,
        ttl: float | None,
    ) -> int:
        text = texts.needed("The question", question, MAX_QUESTION)
        choices = texts.options(options)
        if ttl is not None and not 0 < ttl <= MAX_TTL:
            raise BadRequest(
                f"'ttl_seconds' must be above 0 and at most {MAX_TTL} (30 days)."
            )

        def insert(connection: Connection) -> QuestionRow:
            _check_room(connection, asker)
            now = self._now()
            expires_at = None if ttl is None else now + ttl
            return QuestionTable.insert(
                connection, asker, text, choices, multi, now, expires_at
            )

        row = await self._broker.tell(insert, notices.question_asked)
        self._publish("question_added", row)
        self._expiry.look()
        return row.id

    def answer(
        self,
        id: int,
        answer: str | Sequence[str],
        by: str,
        also: Also = nothing_else,
    ) -> Deferred[None]:
        """See :class:`IQuestions`."""
        return outlasting(
            self._end(id, "answered", by, lambda row: _text_of(row, answer), also)
        )

    def cancel(self, id: int, by: str) -> Deferred[None]:
        """See :class:`IQuestions`."""
        return outlasting(self._end(id, "cancelled", by, lambda row: None))

    @deferred
    async def _end(
        self,
        id: int,
        status: str,
        by: str,
        answer: Callable[[QuestionRow], str | None],
        also: Also = nothing_else,
    ) -> None:
        def act(connection: Connection) -> QuestionRow:
            row = QuestionTable.get(connection, id)
            if row is None:
                raise NoSuchQuestion(f"There is no question {id}.")
            if row.status != "pending":
                raise AlreadyDecided(_decided(row))
            now = self._now()
            if row.expires_at is not None and row.expires_at <= now:
                return _resolved(connection, row, "expired", now, HIVE, None)
            ended = _resolved(connection, row, status, now, by, answer(row))
            also(connection)
            return ended

        row = await self._broker.tell(act, notices.question_ended)
        self._publish("question_resolved", row)
        if row.status != status:
            raise AlreadyDecided(_decided(row))

    @deferred
    async def _expire(self) -> None:
        """End all that nobody answered in time."""

        def act(connection: Connection) -> list[QuestionRow]:
            now = self._now()
            return [
                _resolved(connection, row, "expired", now, HIVE, None)
                for row in QuestionTable.pending(connection)
                if row.expires_at is not None and row.expires_at <= now
            ]

        rows = await self._broker.tell(
            act,
            lambda rows: [one for row in rows for one in notices.question_ended(row)],
        )
        for row in rows:
            self._publish("question_resolved", row)

    @deferred
    async def pending(self) -> list[Question]:
        """See :class:`IQuestions`."""
        rows = await self._database.read_in_thread(QuestionTable.pending)
        return [Question.of(row) for row in rows]

    @deferred
    async def prune(self) -> int:
        """Forget questions that ended 30 days ago; fires with how many.

        Each write forgets a few of them, so that others come in between.
        """
        before, count = self._now() - KEPT_SECONDS, 0
        while gone := await self._database.write(
            lambda connection: QuestionTable.prune(connection, before, PRUNE_BITE)
        ):
            count += gone
        return count

    def _publish(self, kind: str, row: QuestionRow) -> None:
        fields = {"question": Question.of(row).as_wire()}
        self._bus.publish(kind, fields, mailbox_owner(row.asker))


def _check_room(connection: Connection, asker: str) -> None:
    if AgentTable.get(connection, mailbox_owner(asker)) is None:
        raise NoSuchAgent(f"There is no agent {asker!r} any more.")
    waiting = QuestionTable.waiting(connection)
    if waiting.get(asker, 0) >= MAX_QUESTIONS_OF_ONE:
        raise TooMany(
            f"{MAX_QUESTIONS_OF_ONE} of your questions wait for the operator: no more "
            "are taken before some are answered."
        )
    if sum(waiting.values()) >= MAX_QUESTIONS:
        raise TooMany(
            f"{MAX_QUESTIONS} questions wait for the operator: no more are taken "
            "before some are answered."
        )


def _resolved(
    connection: Connection,
    row: QuestionRow,
    status: str,
    at: float,
    by: str,
    answer: str | None,
) -> QuestionRow:
    resolved = QuestionTable.resolve(connection, row.id, status, at, by, answer)
    assert resolved is not None  # it is pending, in this transaction
    return resolved


def _text_of(row: QuestionRow, answer: str | Sequence[str]) -> str:
    """An answer as one text; of several chosen options each is a line.

    :raises BadRequest: if it is empty, or what was chosen is none of the options.
    """
    if isinstance(answer, str):
        return texts.needed("The answer", answer, MAX_ANSWER)
    chosen = tuple(dict.fromkeys(answer))
    if not chosen:
        raise BadRequest("The answer is empty: choose an option, or write something.")
    for text in chosen:
        if text not in row.options:
            offered = "; ".join(row.options) or "none"
            raise BadRequest(
                f"{text[:MAX_OPTION]!r} is no option of question {row.id}; there are: "
                f"{offered}."
            )
    if len(chosen) > 1 and not row.multi:
        raise BadRequest(f"Question {row.id} takes one of its options.")
    return "\n".join(chosen)


def _decided(row: QuestionRow) -> str:
    """What became of it, in a sentence."""
    when = "?" if row.resolved_at is None else rfc3339(row.resolved_at)
    if row.status == "expired":
        return f"Question {row.id} expired at {when}."
    return f"Question {row.id} was {row.status} by {row.resolved_by} at {when}."
