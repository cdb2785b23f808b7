"""The verbs of the admin protocol: their names, what they take, and what they are for.

The daemon checks requests by this table, and the command line takes its help from it;
so nothing of the daemon is imported here.
"""

from attrs import frozen

from hyperhive.admin import fields
from hyperhive.admin.fields import Field

#: The longest inbox that is answered (rows).
MAX_INBOX = 500
#: How many rows are answered where nothing else is asked for.
DEFAULT_INBOX = 50

#: The same of the deploy queue (jobs).
MAX_JOBS = 200
DEFAULT_JOBS = 20

#: What the commit of an approval can be compared with.
AGAINST = ("running", "approved", "queued")

#: What statistics can be asked for.
WINDOWS = ("24h", "7d", "30d")
DEFAULT_WINDOW = "24h"

#: The kinds of events there are.
KINDS = (
    "message_sent",
    "message_leased",
    "message_done",
    "message_requeued",
    "message_dead",
    "turn_start",
    "turn_end",
    "stream",
    "note",
    "agent_state",
    "approval_added",
    "approval_resolved",
    "question_added",
    "question_resolved",
    "deploy",
    "deploy_log",
    "tombstone",
    "claude_login",
    "notice",
)
#: What they are about: a kind's first word.
TOPICS = tuple(dict.fromkeys(kind.partition("_")[0] for kind in KINDS))


@frozen
class Verb:
    """One command of the protocol.

    :param changes: whether it changes something; such a command is logged with
        the uid of who gave it.
    :param takes_long: whether its answer can be minutes away.
    """

    name: str
    help: str
    fields: tuple[Field, ...] = ()
    changes: bool = False
    takes_long: bool = False

    def takes(self, name: str) -> Field:
        """The field of that name, which it must have."""
        return next(field for field in self.fields if field.name == name)


_NAME = Field("name", fields.text, "the agent's name")
_SCOPE = Field("scope", fields.scope, "which agents")

LIST = Verb("list", "name the agents, the manager first")
AGENT_STATUS = Verb(
    "agent_status",
    "show how agents are",
    (Field("name", fields.text, "only this agent", needed=False),),
)
SUBSCRIBE_AGENT_STATUS = Verb(
    "subscribe_agent_status", "follow the status of every agent that changes"
)
URLS = Verb("urls", "show where the pages are")
INFO = Verb("info", "show versions, uptime, driver and counts")
LOGIN_URL = Verb(
    "login_url",
    "make a link that logs a browser in: once, within 10 minutes",
    changes=True,
)
CLAUDE_LOGIN = Verb(
    "claude_login", "show how the login of an agent's claude is", (_NAME,)
)
CLAUDE_LOGIN_START = Verb(
    "claude_login_start", "log an agent's claude in", (_NAME,), changes=True
)
CLAUDE_LOGIN_CODE = Verb(
    "claude_login_code",
    "give claude the code of its login",
    (_NAME, Field("code", fields.text, "the code that was pasted", logged=False)),
    changes=True,
)
CLAUDE_LOGIN_CANCEL = Verb(
    "claude_login_cancel",
    "end the login of an agent's claude",
    (_NAME,),
    changes=True,
    takes_long=True,
)
NOTIFY_TEST = Verb(
    "notify_test",
    "send a test to every target of notifications, and say what came of it",
    changes=True,
    takes_long=True,
)
SPAWN = Verb(
    "spawn", "make an agent and start it", (_NAME,), changes=True, takes_long=True
)
START = Verb("start", "start agents", (_SCOPE,), changes=True, takes_long=True)
STOP = Verb(
    "stop",
    "stop agents, letting their turns end",
    (
        _SCOPE,
        Field("graceful", fields.flag, "let the running turn end", needed=False),
    ),
    changes=True,
    takes_long=True,
)
KILL = Verb("kill", "stop an agent at once", (_NAME,), changes=True, takes_long=True)
RESTART = Verb(
    "restart",
    "let an agent's turn end, then stop it and start it",
    (_NAME,),
    changes=True,
    takes_long=True,
)
DESTROY = Verb(
    "destroy",
    "remove an agent and its container",
    (
        _NAME,
        Field("purge", fields.flag, "remove its login and notes too", needed=False),
    ),
    changes=True,
    takes_long=True,
)
SET_PAUSED = Verb(
    "set_paused",
    "let an agent begin no more turns, or let it go on",
    (_NAME, Field("paused", fields.flag, "true to pause, false to go on")),
    changes=True,
)
SET_MODEL = Verb(
    "set_model",
    "set the model of an agent's next turns",
    (
        _NAME,
        Field(
            "model",
            fields.text,
            "a model's name or alias; an empty one is the hive's own setting",
        ),
    ),
    changes=True,
)
CANCEL_TURN = Verb(
    "cancel_turn",
    "interrupt an agent's turn; its messages count as done",
    (_NAME,),
    changes=True,
    takes_long=True,
)
COMPACT = Verb(
    "compact", "compact an agent's session before its next turn", (_NAME,), changes=True
)
NEW_SESSION = Verb(
    "new_session",
    "let an agent's next turn begin a new session",
    (_NAME,),
    changes=True,
)
SEND = Verb(
    "send",
    "write to an agent as the operator",
    (
        Field("to", fields.text, "an agent, 'manager', or '*' for every agent"),
        Field("body", fields.text, "the message", logged=False),
        Field(
            "in_reply_to",
            fields.identifier,
            "the id of the message that it answers",
            needed=False,
        ),
    ),
    changes=True,
)
INBOX = Verb(
    "inbox",
    "show the newest messages of a mailbox, oldest first",
    (
        Field("name", fields.text, "an agent or 'operator' (default)", needed=False),
        Field(
            "limit",
            fields.whole(1, MAX_INBOX, f"a whole number from 1 to {MAX_INBOX}"),
            f"how many messages at most (default: {DEFAULT_INBOX})",
            needed=False,
        ),
    ),
)
REQUEUE = Verb(
    "requeue",
    "queue a dead message again",
    (Field("id", fields.identifier, "the message's id"),),
    changes=True,
)
REQUEST_SPAWN = Verb(
    "request_spawn",
    "propose an agent, which is made when it is approved",
    (
        _NAME,
        Field("description", fields.text, "what it is for", needed=False),
    ),
    changes=True,
)
PENDING = Verb(
    "pending", "show what waits for your decision, then what was decided last"
)
_APPROVAL = Field("id", fields.identifier, "the approval's id (see 'pending')")
APPROVAL = Verb(
    "approval",
    "show one approval, and what its commit changes",
    (
        _APPROVAL,
        Field(
            "against",
            fields.text,
            f"what to compare its commit with: {', '.join(AGAINST)}",
            needed=False,
        ),
    ),
)
APPROVE = Verb(
    "approve",
    "approve, and wait until it is done",
    (_APPROVAL,),
    changes=True,
    takes_long=True,
)
DENY = Verb(
    "deny",
    "deny what was asked for",
    (
        _APPROVAL,
        Field("note", fields.text, "why, for whoever asked", needed=False),
    ),
    changes=True,
)
QUESTIONS = Verb("questions", "show what agents ask you")
_QUESTION = Field("id", fields.identifier, "the question's id (see 'questions')")
ANSWER = Verb(
    "answer",
    "answer a question",
    (
        _QUESTION,
        Field("answer", fields.text, "the answer in your own words", needed=False),
        Field("choices", fields.texts, "or the options that you choose", needed=False),
    ),
    changes=True,
)
CANCEL_QUESTION = Verb(
    "cancel_question",
    "leave a question unanswered, and tell whoever asked",
    (_QUESTION,),
    changes=True,
)
REBUILD = Verb(
    "rebuild",
    "build again what an agent runs, and run that",
    (_NAME,),
    changes=True,
    takes_long=True,
)
UPDATE_ALL = Verb(
    "update_all",
    "rebuild every agent that another hyperhive has built",
    changes=True,
    takes_long=True,
)
DEPLOYMENTS = Verb("deployments", "show what was deployed for an agent", (_NAME,))
ROLLBACK = Verb(
    "rollback",
    "let an agent run with an earlier configuration again",
    (
        _NAME,
        Field("id", fields.identifier, "the deployment's id (see 'deployments')"),
    ),
    changes=True,
    takes_long=True,
)
DEPLOYS = Verb(
    "deploys",
    "show the deploy queue, and what it did, newest first",
    (
        Field(
            "limit",
            fields.whole(1, MAX_JOBS, f"a whole number from 1 to {MAX_JOBS}"),
            f"how many jobs at most (default: {DEFAULT_JOBS})",
            needed=False,
        ),
    ),
)
_JOB = Field("id", fields.identifier, "the job's id (see 'deploys')")
JOB_LOG = Verb("job_log", "show the log of a job", (_JOB,))
CANCEL_JOB = Verb(
    "cancel_job", "cancel a job that waits or builds", (_JOB,), changes=True
)
RUN_AGAIN = Verb(
    "run_again",
    "run a job again that failed or was interrupted",
    (_JOB,),
    changes=True,
    takes_long=True,
)
TOMBSTONES = Verb("tombstones", "show what is kept of destroyed agents")
PURGE = Verb(
    "purge",
    "remove what is kept of a destroyed agent",
    (_NAME,),
    changes=True,
    takes_long=True,
)
STATS = Verb(
    "stats",
    "show what turns came to: outcomes, tokens, cost, how long they took",
    (
        Field("name", fields.text, "only this agent's turns", needed=False),
        Field(
            "window",
            fields.one_of(WINDOWS),
            f"how far back: {', '.join(WINDOWS)} (default: {DEFAULT_WINDOW})",
            needed=False,
        ),
    ),
)
SUBSCRIBE = Verb(
    "subscribe",
    "follow what happens, one event a line",
    (
        Field(
            "kinds",
            fields.some_of(dict.fromkeys((*TOPICS, *KINDS))),
            f"only these topics ({', '.join(TOPICS)}) or kinds of event",
            needed=False,
        ),
        Field(
            "since", fields.sequence, "also what came after this number", needed=False
        ),
        Field("agent", fields.text, "only what is about this agent", needed=False),
    ),
)

#: Every verb by its name.
VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        LIST,
        AGENT_STATUS,
        SUBSCRIBE_AGENT_STATUS,
        URLS,
        INFO,
        LOGIN_URL,
        CLAUDE_LOGIN,
        CLAUDE_LOGIN_START,
        CLAUDE_LOGIN_CODE,
        CLAUDE_LOGIN_CANCEL,
        NOTIFY_TEST,
        SPAWN,
        START,
        STOP,
        KILL,
        RESTART,
        DESTROY,
        SET_PAUSED,
        SET_MODEL,
        CANCEL_TURN,
        COMPACT,
        NEW_SESSION,
        SEND,
        INBOX,
        REQUEUE,
        REQUEST_SPAWN,
        PENDING,
        APPROVAL,
        APPROVE,
        DENY,
        QUESTIONS,
        ANSWER,
        CANCEL_QUESTION,
        REBUILD,
        UPDATE_ALL,
        DEPLOYMENTS,
        ROLLBACK,
        DEPLOYS,
        JOB_LOG,
        CANCEL_JOB,
        RUN_AGAIN,
        TOMBSTONES,
        PURGE,
        STATS,
        SUBSCRIBE,
    )
}
