"""What ends with an agent that is destroyed: what was proposed for it, what it asked."""

from collections.abc import Callable
from sqlite3 import Connection

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.approvals import notices
from hyperhive.approvals.interfaces import Approval, Question
from hyperhive.bus import EventBus
from hyperhive.messages.interfaces import Notice
from hyperhive.names import OPERATOR, mailbox
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.questions import QuestionRow, QuestionTable


@frozen
class _Parting:
    approvals: list[ApprovalRow]
    questions: list[QuestionRow]


@implementer(IAgentSurface)
class Partings:
    """Cancels in the transaction of an agent's end, and shows it after that.

    :param now: the wall clock in POSIX seconds.
    """

    def __init__(self, bus: EventBus, now: Callable[[], float]) -> None:
        self._bus = bus
        self._now = now
        # By agent. What a transaction left that was undone is replaced by the next.
        self._partings: dict[str, _Parting] = {}

    def cancel(self, connection: Connection, agent: str) -> list[Notice]:
        """To be called in the transaction in which the agent goes; whom to tell."""
        now, note = self._now(), f"{agent} was destroyed."
        approvals = [
            ApprovalTable.resolve(connection, row.id, "cancelled", now, OPERATOR, note)
            for row in ApprovalTable.pending_of(connection, agent)
        ]
        questions = [
            QuestionTable.resolve(connection, row.id, "cancelled", now, OPERATOR)
            for row in QuestionTable.pending_of(connection, mailbox(agent))
        ]
        parting = self._partings[agent] = _Parting(
            [row for row in approvals if row is not None],
            [row for row in questions if row is not None],
        )
        # Nobody is left to be told of the questions.
        return [one for row in parting.approvals for one in notices.resolved(row)]

    def agent_added(self, name: str, role: str) -> Deferred[None]:
        """See :class:`IAgentSurface`."""
        return succeed(None)

    def agent_removed(self, name: str) -> Deferred[None]:
        """See :class:`IAgentSurface`: it is committed now."""
        parting = self._partings.pop(name, None)
        if parting is not None:
            for approval in parting.approvals:
                fields = {"approval": Approval.of(approval).as_wire()}
                self._bus.publish("approval_resolved", fields, name)
            for question in parting.questions:
                fields = {"question": Question.of(question).as_wire()}
                self._bus.publish("question_resolved", fields, name)
        return succeed(None)
