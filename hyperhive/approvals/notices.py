"""The messages that tell of approvals and questions: JSON to agents, prose to the operator."""

import json

from hyperhive.messages.interfaces import Notice
from hyperhive.names import BY_LINK, OPERATOR
from hyperhive.store.approvals import ApprovalRow
from hyperhive.store.questions import QuestionRow

_ASKED_FOR = {"spawn": "a new agent, {}", "apply_commit": "a new configuration for {}"}


def asked(row: ApprovalRow) -> list[Notice]:
    """Tell the operator of what waits, unless it is his own wish."""
    if row.asker == OPERATOR:
        return []
    why = f"\n\n{row.description}" if row.description else ""
    commit = f", commit {row.sha[:12]}" if row.sha else ""
    diff = f", look with 'hive-c0re diff {row.id}'" if row.sha else ""
    return [
        Notice(
            OPERATOR,
            f"{row.asker} asks for {_ASKED_FOR[row.kind].format(row.agent)}{commit} "
            f"(approval {row.id}).{why}\n\nDecide on the dashboard{diff}, or with "
            f"'hive-c0re approve {row.id}' or 'hive-c0re deny {row.id} --note WHY'.",
        )
    ]


def resolved(row: ApprovalRow) -> list[Notice]:
    """Tell whoever asked what became of it.

    The operator is only told what he has not done himself.
    """
    if row.asker == OPERATOR:
        if row.resolved_by in (OPERATOR, BY_LINK):
            return []
        what = _ASKED_FOR[row.kind].format(row.agent)
        return [
            Notice(
                OPERATOR,
                f"Your request for {what} (approval {row.id}) is {row.status}: "
                f"{row.note}",
            )
        ]
    body: dict[str, object] = {
        "event": "approval_resolved",
        "id": row.id,
        "agent": row.agent,
        "kind": row.kind,
        "status": row.status,
    }
    if row.note:
        body["note"] = row.note
    if row.sha:
        body["sha"] = row.sha
        if row.status in ("approved", "denied"):
            body["tag"] = f"{row.status}/{row.id}"
    return [Notice(row.asker, _json(body))]


def question_asked(row: QuestionRow) -> list[Notice]:
    """Tell the operator of a question."""
    choices = "".join(f"\n- {option}" for option in row.options)
    which = "any of" if row.multi else "one of"
    offered = f"\n\nIt offers {which}:{choices}" if row.options else ""
    return [
        Notice(
            OPERATOR,
            f"{row.asker} asks (question {row.id}):\n\n{row.question}{offered}\n\n"
            f"Answer on the dashboard, or with 'hive-c0re answer {row.id} ANSWER'.",
        )
    ]


def question_ended(row: QuestionRow) -> list[Notice]:
    """Tell whoever asked: the answer, or that none will come."""
    event = (
        "operator_answered" if row.status == "answered" else f"question_{row.status}"
    )
    body: dict[str, object] = {"event": event, "id": row.id, "question": row.question}
    if row.answer is not None:
        body["answer"] = row.answer
    return [Notice(row.asker, _json(body))]


def _json(body: dict[str, object]) -> str:
    return json.dumps(body, ensure_ascii=False)
