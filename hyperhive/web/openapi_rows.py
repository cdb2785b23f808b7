"""The rows of the wire page as named schemas; the tests hold real answers against them.

They are written out, not derived: an attrs class says neither how its ``as_wire``
calls a member nor when it leaves it out.
"""

from collections.abc import Collection

from hyperhive.messages.interfaces import MessageState, Outcome
from hyperhive.names import (
    EVERYONE,
    MAILBOXES,
    MANAGER,
    MANAGER_MAILBOX,
    PATTERN,
    RESERVED,
)
from hyperhive.settings import MODEL_PATTERN
from hyperhive.web.schema import (
    ANYTHING,
    BOOLEAN,
    COUNT,
    DEPLOYMENT,
    ID,
    NO,
    NUMBER,
    SEQ,
    SHA,
    TEXT,
    TIME,
    Schema,
    array,
    nullable,
    one_of,
    ref,
    row,
)

_NAME = ref("AgentName")
_STATES = one_of(*(state.value for state in MessageState))
_OUTCOMES = one_of(*(outcome.value for outcome in Outcome))
_DECIDED: dict[str, Schema] = {
    "expires_at": TIME,
    "resolved_at": TIME,
    "resolved_by": TEXT,
}
#: What a turn came to, under the members' names of its row.
TURN_END: dict[str, Schema] = {
    "ended_at": TIME,
    "duration_ms": COUNT,
    "outcome": _OUTCOMES,
    "note": TEXT,
    "model": TEXT,
    "ctx_tokens": COUNT,
    "cost_usd": NUMBER,
}
#: What turns came to since the host's midnight, as far as it is known.
_TODAY: dict[str, Schema] = {"turns_today": COUNT, "cost_today": NUMBER}
_SPREAD = row(p50=COUNT, p95=COUNT)
#: What turns came to that ended in some time.
_FIGURES_OPTIONAL: dict[str, Schema] = {
    "cost_usd": NUMBER,
    "latency_ms": _SPREAD,
    "queue_ms": _SPREAD,
}
_FIGURES: dict[str, Schema] = {
    "turns": COUNT,
    "outcomes": {"type": "object", "additionalProperties": COUNT},
    "errors": COUNT,
    "parks": COUNT,
    "tokens": ref("Tokens"),
}
_FACTS: dict[str, Schema] = {
    "seq": SEQ,
    "now": TIME,
    "version": TEXT,
    "demo": BOOLEAN,
    "driver": TEXT,
    "isolated": BOOLEAN,
    "weaknesses": array(TEXT),
    "notices": array(TEXT),
}


def _named(reserved: Collection[str]) -> Schema:
    return {
        "type": "string",
        "pattern": f"^{PATTERN}$",
        "not": {"enum": sorted(reserved)},
    }


ROWS: dict[str, Schema] = {
    "NewName": {**_named(RESERVED), "description": "A name that an agent may get."},
    "AgentName": {
        **_named(RESERVED - {MANAGER, MANAGER_MAILBOX}),
        "description": "The manager is `hm1nd`; where a name is given, also `manager`.",
    },
    "Mailbox": {
        **_named(RESERVED - {MANAGER, *MAILBOXES}),
        "description": "An agent's, or one of manager, operator and system.",
    },
    "Recipient": {
        "anyOf": [ref("Mailbox"), {"const": EVERYONE}],
        "description": "`*` is every agent.",
    },
    "Model": {
        "type": "string",
        "pattern": f"^(?:{MODEL_PATTERN})?$",
        "description": "A model's name or alias; an empty one is the hive's.",
    },
    "Error": row(ok=NO, error={**TEXT, "description": "A sentence to act on."}),
    "AgentStatus": row(
        {
            "state_until": TIME,
            "state_note": TEXT,
            "parked_until": TIME,
            "ctx_tokens": COUNT,
            "ctx_window": COUNT,
            "tool": TEXT,
            "status_text": TEXT,
            "status_set_at": TIME,
            "url": TEXT,
            "last_turn": ref("Turn"),
            "deployed_sha": SHA,
            "claude_login": TEXT,
            **_TODAY,
        },
        name=_NAME,
        role=one_of("manager", "agent"),
        running=BOOLEAN,
        failed=BOOLEAN,
        needs_update=BOOLEAN,
        needs_login=BOOLEAN,
        paused=BOOLEAN,
        working=BOOLEAN,
        unread=COUNT,
        model=TEXT,
        state={**TEXT, "description": "The label that pages show."},
        state_since=TIME,
    ),
    "Message": row(
        {
            "redelivered": BOOLEAN,
            "in_reply_to": ID,
            "read": BOOLEAN,
            "body_chars": {
                **COUNT,
                "description": "How long the body is, where a state has only its beginning.",
            },
        },
        id=ID,
        to=TEXT,
        body=TEXT,
        sent_at=TIME,
        state=_STATES,
        **{"from": TEXT},
    ),
    "Tokens": row(input=COUNT, output=COUNT, cache_read=COUNT, cache_write=COUNT),
    "Turn": row(
        TURN_END,
        id=ID,
        agent=_NAME,
        kind=one_of("message", "compact"),
        started_at=TIME,
        tokens=ref("Tokens"),
    ),
    "Approval": row(
        {
            **_DECIDED,
            "commit_ref": TEXT,
            "fetched_sha": SHA,
            "base_sha": SHA,
            "description": TEXT,
            "note": TEXT,
        },
        id=ID,
        agent=_NAME,
        kind=one_of("spawn", "apply_commit"),
        asker=TEXT,
        requested_at=TIME,
        status=one_of("pending", "approved", "denied", "failed", "cancelled"),
    ),
    "Diff": row(
        base=SHA,
        sha=SHA,
        text=TEXT,
        truncated=BOOLEAN,
        files=array(row({"added": COUNT, "deleted": COUNT}, path=TEXT, binary=BOOLEAN)),
    ),
    "Question": row(
        {**_DECIDED, "options": array(TEXT), "multi": BOOLEAN, "answer": TEXT},
        id=ID,
        asker=TEXT,
        question=TEXT,
        asked_at=TIME,
        status=one_of("pending", "answered", "cancelled", "expired"),
    ),
    "Job": row(
        {
            "cancellable": BOOLEAN,
            "started_at": TIME,
            "ended_at": TIME,
            "approval": ID,
            "sha": SHA,
            "step": TEXT,
            "note": TEXT,
        },
        id=ID,
        kind=TEXT,
        agent=_NAME,
        by=one_of("operator", "manager", "hive"),
        state=one_of(
            "waiting", "running", "done", "failed", "cancelled", "interrupted"
        ),
        queued_at=TIME,
    ),
    "Deployment": row(id=DEPLOYMENT, sha=SHA, at=TIME, current=BOOLEAN),
    "Tombstone": row(name=_NAME, bytes=COUNT, since=TIME, login=BOOLEAN),
    "ClaudeLogin": row(
        {
            "since": TIME,
            "until": TIME,
            "link": TEXT,
            "note": TEXT,
            "account": row({"email": TEXT, "organisation": TEXT, "plan": TEXT}),
        },
        name=_NAME,
        state=one_of(
            "none",
            "waiting",
            "starting",
            "link",
            "checking",
            "ending",
            "done",
            "failed",
            "cancelled",
            "timed_out",
        ),
    ),
    "DashboardState": row(
        _TODAY,
        **_FACTS,
        agents=array(ref("AgentStatus")),
        messages=array(ref("Message")),
        inbox=array(ref("Message")),
        operator_unread=COUNT,
        approvals=array(ref("Approval")),
        questions=array(ref("Question")),
        jobs=array(ref("Job")),
        tombstones=array(ref("Tombstone")),
    ),
    "AgentState": row(
        **_FACTS,
        agent=ref("AgentStatus"),
        inbox=array(ref("Message")),
        turns=array(ref("Turn")),
    ),
    "StatsState": row(**_FACTS, stats=ref("Stats")),
    "Stats": row(
        {"agent": TEXT},
        window=TEXT,
        bucket=one_of("hour", "6h", "day"),
        running=COUNT,
        buckets=array(row(_FIGURES_OPTIONAL, start=TIME, end=TIME, **_FIGURES)),
        total=row(_FIGURES_OPTIONAL, **_FIGURES),
        agents=array(
            row(
                _FIGURES_OPTIONAL,
                name=TEXT,
                gone=BOOLEAN,
                running=BOOLEAN,
                turns_by_bucket=array(COUNT),
                cost_by_bucket=array(nullable(NUMBER)),
                **_FIGURES,
            )
        ),
    ),
    "Config": {**ANYTHING, "description": "As docs/configuration.md has it."},
}
