"""What answers each admin verb: take checked values, call one method, give the answer's members."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from hyperhive.admin import verbs
from hyperhive.admin.context import AdminContext
from hyperhive.admin.fields import Values
from hyperhive.admin.verbs import Verb
from hyperhive.approvals.interfaces import diff_as_wire
from hyperhive.errors import BadRequest, PublicError
from hyperhive.messages.interfaces import Message
from hyperhive.names import EVERYONE, OPERATOR

#: How long the messages of one answer may be together (bytes): encoding more would
#: hold up everybody else.
MAX_INBOX_BYTES = 1024 * 1024

Answer = dict[str, Any]
Handler = Callable[[AdminContext, Values], Awaitable[Answer]]

#: What answers each verb but the two that subscribe.
HANDLERS: dict[str, Handler] = {}


def _answers(verb: Verb) -> Callable[[Handler], Handler]:
    """Put a handler into the table."""

    def register(handler: Handler) -> Handler:
        HANDLERS[verb.name] = handler
        return handler

    return register


@_answers(verbs.LIST)
async def _list(context: AdminContext, given: Values) -> Answer:
    return {"agents": list(context.agents.names())}


@_answers(verbs.AGENT_STATUS)
async def _agent_status(context: AdminContext, given: Values) -> Answer:
    agents, name = context.agents, given["name"]
    statuses = agents.statuses() if name is None else (agents.status(name),)
    return {"agent_statuses": [status.as_wire() for status in statuses]}


@_answers(verbs.URLS)
async def _urls(context: AdminContext, given: Values) -> Answer:
    return {"urls": dict(context.urls())}


@_answers(verbs.INFO)
async def _info(context: AdminContext, given: Values) -> Answer:
    return {"info": dict(context.info())}


@_answers(verbs.LOGIN_URL)
async def _login_url(context: AdminContext, given: Values) -> Answer:
    return {"url": context.login_url()}


@_answers(verbs.CLAUDE_LOGIN)
async def _claude_login(context: AdminContext, given: Values) -> Answer:
    # The number is taken first: what happens then is told by events after it.
    seq = context.bus.seq
    return {"seq": seq, "login": context.logins.view(given["name"]).as_wire()}


@_answers(verbs.CLAUDE_LOGIN_START)
async def _claude_login_start(context: AdminContext, given: Values) -> Answer:
    view = context.logins.start(given["name"])
    return {"seq": context.bus.seq, "login": view.as_wire()}


@_answers(verbs.CLAUDE_LOGIN_CODE)
async def _claude_login_code(context: AdminContext, given: Values) -> Answer:
    return {"login": context.logins.give_code(given["name"], given["code"]).as_wire()}


@_answers(verbs.CLAUDE_LOGIN_CANCEL)
async def _claude_login_cancel(context: AdminContext, given: Values) -> Answer:
    return {"login": (await context.logins.cancel(given["name"])).as_wire()}


@_answers(verbs.NOTIFY_TEST)
async def _notify_test(context: AdminContext, given: Values) -> Answer:
    return {"targets": [dict(one) for one in await context.notify_test()]}


@_answers(verbs.SPAWN)
async def _spawn(context: AdminContext, given: Values) -> Answer:
    await context.agents.spawn(given["name"])
    return {}


@_answers(verbs.START)
async def _start(context: AdminContext, given: Values) -> Answer:
    names = _known(context, given["scope"])
    await _each(names, lambda name: context.agents.start(name, OPERATOR))
    return {}


@_answers(verbs.STOP)
async def _stop(context: AdminContext, given: Values) -> Answer:
    names, graceful = _known(context, given["scope"]), given["graceful"] is not False
    await _each(names, lambda name: context.agents.stop(name, OPERATOR, graceful))
    return {}


@_answers(verbs.KILL)
async def _kill(context: AdminContext, given: Values) -> Answer:
    await context.agents.stop(given["name"], OPERATOR, graceful=False)
    return {}


@_answers(verbs.RESTART)
async def _restart(context: AdminContext, given: Values) -> Answer:
    await context.agents.restart(given["name"], OPERATOR)
    return {}


@_answers(verbs.DESTROY)
async def _destroy(context: AdminContext, given: Values) -> Answer:
    await context.agents.destroy(given["name"], given["purge"] is True)
    return {}


@_answers(verbs.SET_PAUSED)
async def _set_paused(context: AdminContext, given: Values) -> Answer:
    await context.agents.set_paused(given["name"], given["paused"])
    return {}


@_answers(verbs.SET_MODEL)
async def _set_model(context: AdminContext, given: Values) -> Answer:
    await context.agents.set_model(given["name"], given["model"])
    return {}


@_answers(verbs.CANCEL_TURN)
async def _cancel_turn(context: AdminContext, given: Values) -> Answer:
    await context.agents.cancel_turn(given["name"])
    return {}


@_answers(verbs.COMPACT)
async def _compact(context: AdminContext, given: Values) -> Answer:
    await context.agents.compact(given["name"])
    return {}


@_answers(verbs.NEW_SESSION)
async def _new_session(context: AdminContext, given: Values) -> Answer:
    await context.agents.new_session(given["name"])
    return {}


@_answers(verbs.SEND)
async def _send(context: AdminContext, given: Values) -> Answer:
    ids = await context.broker.send(
        OPERATOR, given["to"], given["body"], given["in_reply_to"]
    )
    if given["to"] == EVERYONE:
        return {"id": ids[0], "ids": list(ids), "count": len(ids)}
    return {"id": ids[0]}


@_answers(verbs.INBOX)
async def _inbox(context: AdminContext, given: Values) -> Answer:
    messages = await context.broker.inbox(
        given["name"] or OPERATOR, given["limit"] or verbs.DEFAULT_INBOX
    )
    rows = _that_fit(messages)
    left_out = len(messages) - len(rows)
    return {"messages": rows} | ({"left_out": left_out} if left_out else {})


@_answers(verbs.REQUEUE)
async def _requeue(context: AdminContext, given: Values) -> Answer:
    await context.broker.requeue(given["id"])
    return {}


@_answers(verbs.REQUEST_SPAWN)
async def _request_spawn(context: AdminContext, given: Values) -> Answer:
    id = await context.approvals.request_spawn(
        given["name"], OPERATOR, given["description"]
    )
    return {"id": id}


@_answers(verbs.PENDING)
async def _pending(context: AdminContext, given: Values) -> Answer:
    approvals = await context.approvals.pending()
    return {"approvals": [one.as_wire() for one in approvals]}


@_answers(verbs.APPROVAL)
async def _approval(context: AdminContext, given: Values) -> Answer:
    approval = await context.approvals.get(given["id"])
    answer: Answer = {"approval": approval.as_wire()}
    if given["against"] is not None:
        diff = await context.approvals.diff(given["id"], given["against"])
        answer["diff"] = diff_as_wire(diff)
    return answer


@_answers(verbs.APPROVE)
async def _approve(context: AdminContext, given: Values) -> Answer:
    await context.approvals.approve(given["id"], OPERATOR)
    return {}


@_answers(verbs.DENY)
async def _deny(context: AdminContext, given: Values) -> Answer:
    await context.approvals.deny(given["id"], OPERATOR, given["note"])
    return {}


@_answers(verbs.QUESTIONS)
async def _questions(context: AdminContext, given: Values) -> Answer:
    questions = await context.questions.pending()
    return {"questions": [one.as_wire() for one in questions]}


@_answers(verbs.ANSWER)
async def _answer(context: AdminContext, given: Values) -> Answer:
    text, choices = given["answer"], given["choices"]
    if (text is None) == (choices is None):
        raise BadRequest("answer needs one of 'answer' and 'choices'.")
    await context.questions.answer(
        given["id"], choices if text is None else text, OPERATOR
    )
    return {}


@_answers(verbs.CANCEL_QUESTION)
async def _cancel_question(context: AdminContext, given: Values) -> Answer:
    await context.questions.cancel(given["id"], OPERATOR)
    return {}


@_answers(verbs.REBUILD)
async def _rebuild(context: AdminContext, given: Values) -> Answer:
    await context.deploys.rebuild(given["name"], OPERATOR)
    return {}


@_answers(verbs.UPDATE_ALL)
async def _update_all(context: AdminContext, given: Values) -> Answer:
    return {"count": await context.deploys.update_all(OPERATOR)}


@_answers(verbs.DEPLOYMENTS)
async def _deployments(context: AdminContext, given: Values) -> Answer:
    found = await context.deploys.deployments(given["name"])
    return {"deployments": [one.as_wire() for one in found]}


@_answers(verbs.ROLLBACK)
async def _rollback(context: AdminContext, given: Values) -> Answer:
    await context.deploys.rollback(given["name"], given["id"], OPERATOR)
    return {}


@_answers(verbs.DEPLOYS)
async def _deploys(context: AdminContext, given: Values) -> Answer:
    return {"jobs": await context.deploys.jobs(given["limit"] or verbs.DEFAULT_JOBS)}


@_answers(verbs.JOB_LOG)
async def _job_log(context: AdminContext, given: Values) -> Answer:
    return {"lines": list(context.deploys.lines(given["id"]))}


@_answers(verbs.CANCEL_JOB)
async def _cancel_job(context: AdminContext, given: Values) -> Answer:
    context.deploys.cancel(given["id"])
    return {}


@_answers(verbs.RUN_AGAIN)
async def _run_again(context: AdminContext, given: Values) -> Answer:
    await context.deploys.run_again(given["id"])
    return {}


@_answers(verbs.TOMBSTONES)
async def _tombstones(context: AdminContext, given: Values) -> Answer:
    kept = await context.agents.tombstones()
    return {"tombstones": [one.as_wire() for one in kept]}


@_answers(verbs.STATS)
async def _stats(context: AdminContext, given: Values) -> Answer:
    report = await context.statistics.report(
        given["window"] or verbs.DEFAULT_WINDOW, given["name"]
    )
    return {"stats": report.as_wire()}


@_answers(verbs.PURGE)
async def _purge(context: AdminContext, given: Values) -> Answer:
    await context.agents.purge(given["name"])
    return {}


def _that_fit(messages: list[Message]) -> list[Answer]:
    """The newest rows that together stay under the limit, at least one if there is one."""
    rows: list[Answer] = []
    room = MAX_INBOX_BYTES
    for message in reversed(messages):
        row = message.as_wire()
        room -= len(json.dumps(row, ensure_ascii=False).encode())
        if room < 0 and rows:
            break
        rows.insert(0, row)
    return rows


def _known(context: AdminContext, names: tuple[str, ...]) -> tuple[str, ...]:
    """All of the names, if all exist: half of a scope is never done."""
    for name in names:
        context.agents.role(name)
    return names


async def _each(names: tuple[str, ...], do: Callable[[str], Deferred[None]]) -> None:
    """Do it for all at once, and wait for all.

    :raises PublicError: saying for whom it did not work, and why.
    """
    outcomes: list[tuple[bool, Any]] = await DeferredList(
        [do(name) for name in names], consumeErrors=True
    )
    problems: list[str] = []
    for name, (done, outcome) in zip(names, outcomes, strict=True):
        if done:
            continue
        if not outcome.check(PublicError):
            outcome.raiseException()
        problem = outcome.getErrorMessage()
        problems.append(problem if len(names) == 1 else f"{name}: {problem}")
    if problems:
        raise PublicError(" ".join(problems))
