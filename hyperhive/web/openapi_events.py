"""The events of the streams as named schemas, one for each kind."""

from hyperhive.web.openapi_rows import TURN_END
from hyperhive.web.schema import (
    ANYTHING,
    BOOLEAN,
    COUNT,
    ID,
    SEQ,
    TEXT,
    TIME,
    YES,
    Schema,
    array,
    ref,
    row,
)

_MOVED = row({"turn": ID}, id=ID, to=TEXT, state=TEXT, **{"from": TEXT})
_APPROVAL = row(approval=ref("Approval"))
_QUESTION = row(question=ref("Question"))

#: What an event has beside ``seq``, ``kind``, ``at`` and ``agent``, by its kind.
KINDS: dict[str, Schema] = {
    "message_sent": ref("Message"),
    "message_leased": _MOVED,
    "message_done": _MOVED,
    "message_requeued": _MOVED,
    "message_dead": _MOVED,
    "turn_start": row(
        {"id": ID, "from": TEXT, "body": TEXT, "redelivered": BOOLEAN},
        turn=ID,
        turn_kind=TEXT,
        unread=COUNT,
    ),
    "turn_end": row(
        TURN_END, turn=ID, turn_kind=TEXT, started_at=TIME, tokens=ref("Tokens")
    ),
    "stream": row(
        event={**ANYTHING, "description": "One line of claude's output, shortened."}
    ),
    "note": row(text=TEXT),
    "agent_state": {
        "anyOf": [ref("AgentStatus"), row(name=ref("AgentName"), gone=YES)]
    },
    "approval_added": _APPROVAL,
    "approval_resolved": _APPROVAL,
    "question_added": _QUESTION,
    "question_resolved": _QUESTION,
    "deploy": row(job=ref("Job")),
    "deploy_log": row(job=ID, line=TEXT),
    "tombstone": row(name=ref("AgentName"), kept=BOOLEAN),
    "claude_login": ref("ClaudeLogin"),
    "notice": row(notices=array(TEXT)),
}


def event_name(kind: str) -> str:
    """The name of a kind's schema."""
    return "Event" + "".join(word.capitalize() for word in kind.split("_"))


#: The schemas by their names; ``Event`` is any of them.
EVENTS: dict[str, Schema] = {
    event_name(kind): {
        "allOf": [
            row({"agent": ref("AgentName")}, seq=SEQ, kind={"const": kind}, at=TIME),
            members,
        ]
    }
    for kind, members in KINDS.items()
}
EVENTS["Event"] = {"anyOf": [ref(name) for name in EVENTS]}
