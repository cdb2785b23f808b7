"""What surfaces know of approvals and questions: two interfaces, their values, their errors."""

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.deploy.repos import Diff, Proposal
from hyperhive.errors import Conflict, NotFound, PublicError
from hyperhive.messages.interfaces import Also, nothing_else
from hyperhive.store.approvals import ApprovalRow
from hyperhive.store.jobs import JobRow
from hyperhive.store.questions import QuestionRow
from hyperhive.times import rfc3339

#: How many approvals may wait, and how many questions, of all agents and of one.
MAX_APPROVALS = 100
MAX_QUESTIONS = 200
MAX_QUESTIONS_OF_ONE = 20
#: How long texts may be (bytes of UTF-8).
MAX_DESCRIPTION = 4 * 1024
MAX_NOTE = 4 * 1024
MAX_QUESTION = 8 * 1024
MAX_ANSWER = 64 * 1024
#: How many options a question has at most, and how long one may be (characters).
MAX_OPTIONS = 20
MAX_OPTION = 500
#: How long a question may wait for its answer (seconds).
MAX_TTL = 30 * 86400
#: How many decided approvals are shown.
SHOWN_DECIDED = 50


class AlreadyDecided(Conflict):
    """Somebody was first; the text says who, when, and what was decided."""


class NoSuchApproval(NotFound):
    """No approval has that id."""


class NoSuchQuestion(NotFound):
    """No question has that id."""


class TooMany(Conflict):
    """So many wait that no more are taken."""


class AlreadyAsked(Conflict):
    """The same waits for a decision already; the text says under which id."""


class NothingToShow(NotFound):
    """The approval changes no configuration, so that there is no diff of it."""


class NotDone(PublicError):
    """What was approved could not be done; the text says why."""


@frozen
class Approval:
    """A change that needs, or needed, the operator's decision. Times are POSIX seconds.

    See :class:`~hyperhive.store.approvals.ApprovalRow` for what each means.
    """

    id: int
    agent: str
    kind: str
    asker: str
    requested_at: float
    status: str
    description: str | None = None
    commit_ref: str | None = None
    sha: str | None = None
    base: str | None = None
    expires_at: float | None = None
    resolved_at: float | None = None
    resolved_by: str | None = None
    note: str | None = None

    @classmethod
    def of(cls, row: ApprovalRow) -> "Approval":
        """What a row says."""
        return cls(
            row.id,
            row.agent,
            row.kind,
            row.asker,
            row.requested_at,
            row.status,
            row.description,
            row.commit_ref,
            row.sha,
            row.base,
            row.expires_at,
            row.resolved_at,
            row.resolved_by,
            row.note,
        )

    def as_wire(self) -> dict[str, Any]:
        """The ``approvals`` row of the wire page; what is absent is left out."""
        row = {
            "id": self.id,
            "agent": self.agent,
            "kind": self.kind,
            "asker": self.asker,
            "commit_ref": self.commit_ref,
            "fetched_sha": self.sha,
            "base_sha": self.base,
            "description": self.description,
            "requested_at": rfc3339(self.requested_at),
            "expires_at": _time(self.expires_at),
            "status": self.status,
            "resolved_at": _time(self.resolved_at),
            "resolved_by": self.resolved_by,
            "note": self.note,
        }
        return {key: value for key, value in row.items() if value is not None}


@frozen
class Question:
    """What an agent asks the operator. Times are POSIX seconds.

    See :class:`~hyperhive.store.questions.QuestionRow` for what each means.
    """

    id: int
    asker: str
    question: str
    options: tuple[str, ...]
    multi: bool
    asked_at: float
    status: str
    expires_at: float | None = None
    resolved_at: float | None = None
    resolved_by: str | None = None
    answer: str | None = None

    @classmethod
    def of(cls, row: QuestionRow) -> "Question":
        """What a row says."""
        return cls(
            row.id,
            row.asker,
            row.question,
            row.options,
            row.multi,
            row.asked_at,
            row.status,
            row.expires_at,
            row.resolved_at,
            row.resolved_by,
            row.answer,
        )

    def as_wire(self) -> dict[str, Any]:
        """The ``questions`` row of the wire page; what is absent is left out."""
        row = {
            "id": self.id,
            "asker": self.asker,
            "question": self.question,
            "options": list(self.options) or None,
            "multi": self.multi if self.options else None,
            "asked_at": rfc3339(self.asked_at),
            "expires_at": _time(self.expires_at),
            "status": self.status,
            "resolved_at": _time(self.resolved_at),
            "resolved_by": self.resolved_by,
            "answer": self.answer,
        }
        return {key: value for key, value in row.items() if value is not None}


def diff_as_wire(diff: Diff) -> dict[str, Any]:
    """A diff as surfaces show it."""
    return {
        "base": diff.base,
        "sha": diff.sha,
        "text": diff.text,
        "truncated": diff.truncated,
        "files": [
            {"path": file.path, "binary": True}
            if file.binary
            else {
                "path": file.path,
                "binary": False,
                "added": file.added,
                "deleted": file.deleted,
            }
            for file in diff.files
        ],
    }


def _time(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)


class IDeployer(Protocol):
    """What approvals need of the room that carries them out."""

    def propose(self, agent: str, commit_ref: str) -> Deferred[Proposal]:
        """Fetch a commit out of the proposed repo, check it and pin it.

        :raises PublicError: a sentence for who proposed it.
        """

    def tag_proposal(self, agent: str, approval: int, sha: str) -> Deferred[None]:
        """Show in the repo what waits for a decision. Safe to do again."""

    def tag_denied(
        self, agent: str, approval: int, sha: str, note: str | None
    ) -> Deferred[None]:
        """Show in the repo that it was denied, and why. Safe to do again."""

    def begin(self, connection: Connection, approval: ApprovalRow) -> JobRow:
        """In the decision's transaction: write down the job that carries it out."""

    def carry_out(self, row: JobRow) -> Deferred[JobRow]:
        """After the COMMIT: do the job; fires with it as it ended, well or not.

        If it fails, the approval is made ``failed`` in the transaction of its end.
        """

    def diff(self, agent: str, sha: str, against: str, approval: int) -> Deferred[Diff]:
        """What a proposal changes of what :data:`~hyperhive.deploy.interfaces.AGAINST` names.

        :raises PublicError: if there is nothing to compare with.
        """


class IApprovals(Interface):
    """Proposed changes, from their submission to their decision."""

    def request_spawn(
        name: str, asker: str, description: str | None = None
    ) -> Deferred[int]:
        """Propose a new agent; fires with the approval's id.

        :param asker: an agent, or ``operator``.
        :raises InvalidName: if no agent can be called so.
        :raises AgentExists: if somebody lives under the name.
        :raises AlreadyAsked: if such a proposal waits already.
        :raises TooMany: over :data:`MAX_APPROVALS`.
        """

    def request_apply_commit(
        agent: str, commit_ref: str, asker: str, description: str | None = None
    ) -> Deferred[int]:
        """Propose a commit of an agent's configuration; fires with the approval's id.

        The commit is fetched, checked and pinned by then: whatever becomes of it in
        the proposed repo changes nothing.

        :raises NoSuchAgent:
        :raises AlreadyAsked: if the same commit waits already.
        :raises TooMany: over :data:`MAX_APPROVALS`.
        :raises PublicError: if the commit can't be had, or is not fit.
        """

    def approve(id: int, by: str, also: Also = nothing_else) -> Deferred[None]:
        """Approve, and carry it out; fires when that is done.

        :param also: done in the decision's transaction; if it raises, nothing is decided.
        :raises NoSuchApproval:
        :raises AlreadyDecided:
        :raises AgentExists: if a new agent's name was taken meanwhile; it goes on
            waiting.
        :raises NotDone: if it could not be carried out.
        """

    def deny(
        id: int, by: str, note: str | None = None, also: Also = nothing_else
    ) -> Deferred[None]:
        """Deny.

        :param also: as in :meth:`approve`.
        :raises NoSuchApproval:
        :raises AlreadyDecided:
        """

    def get(id: int) -> Deferred[Approval]:
        """One approval.

        :raises NoSuchApproval:
        """

    def pending() -> Deferred[list[Approval]]:
        """What waits, oldest first, then what was decided last, newest first."""

    def diff(id: int, against: str = "running") -> Deferred[Diff]:
        """What a proposed commit changes.

        :param against: one of :data:`~hyperhive.deploy.interfaces.AGAINST`.
        :raises NoSuchApproval:
        :raises NothingToShow: for a new agent.
        """


class IQuestions(Interface):
    """What agents ask the operator, and the answers."""

    def ask(
        asker: str,
        question: str,
        options: Sequence[str] = (),
        multi: bool = False,
        ttl_seconds: float | None = None,
    ) -> Deferred[int]:
        """Ask; fires with the question's id. The answer comes as a message.

        :param asker: an agent.
        :param options: texts of one line to choose from; free text is possible anyway.
        :param multi: several of them may be chosen.
        :param ttl_seconds: after so long it is not to be answered any more.
        :raises TooMany: over :data:`MAX_QUESTIONS`, or :data:`MAX_QUESTIONS_OF_ONE`.
        """

    def answer(
        id: int, answer: str | Sequence[str], by: str, also: Also = nothing_else
    ) -> Deferred[None]:
        """Answer, with a text, or with a list of options.

        :param also: done in the answer's transaction; if it raises, nothing is answered.
        :raises NoSuchQuestion:
        :raises AlreadyDecided:
        """

    def cancel(id: int, by: str) -> Deferred[None]:
        """Let it be unanswered.

        :raises NoSuchQuestion:
        :raises AlreadyDecided:
        """

    def pending() -> Deferred[list[Question]]:
        """What waits for an answer, oldest first."""
