"""The admin verbs: each takes checked values, calls one method, and answers members."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.internet.defer import gatherResults

from hyperhive.admin import fields
from hyperhive.admin.context import AdminContext
from hyperhive.admin.fields import Field
from hyperhive.names import OPERATOR

#: The longest inbox that is answered (rows).
MAX_INBOX = 500
DEFAULT_INBOX = 50

_NAME = Field("name", fields.text)
_SCOPE = Field("scope", fields.scope)

Answer = dict[str, Any]
Handler = Callable[[AdminContext, dict[str, Any]], Awaitable[Answer]]


@frozen
class Verb:
    """One command.

    :param changes: whether it changes something; such a command is logged with
        the uid of who gave it.
    """

    name: str
    fields: tuple[Field, ...]
    handle: Handler
    changes: bool = True


VERBS: dict[str, Verb] = {}


def _verb(*taken: Field, changes: bool = True) -> Callable[[Handler], Handler]:
    """Put a handler into the table, under its own name without the underscore."""

    def register(handler: Handler) -> Handler:
        name = handler.__name__.strip("_")
        VERBS[name] = Verb(name, taken, handler, changes)
        return handler

    return register


@_verb(changes=False)
async def _list(context: AdminContext, given: dict[str, Any]) -> Answer:
    return {"agents": list(context.agents.names())}


@_verb(changes=False)
async def _agent_status(context: AdminContext, given: dict[str, Any]) -> Answer:
    rows = [status.as_wire() for status in context.agents.statuses()]
    return {"agent_statuses": rows}


@_verb(changes=False)
async def _urls(context: AdminContext, given: dict[str, Any]) -> Answer:
    return {"urls": dict(context.urls())}


@_verb(changes=False)
async def _info(context: AdminContext, given: dict[str, Any]) -> Answer:
    return {"info": dict(context.info())}


@_verb()
async def _login_url(context: AdminContext, given: dict[str, Any]) -> Answer:
    return {"url": context.login_url()}


@_verb(_NAME)
async def _spawn(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.spawn(given["name"])
    return {}


@_verb(_SCOPE)
async def _start(context: AdminContext, given: dict[str, Any]) -> Answer:
    names = _known(context, given["scope"])
    await gatherResults(
        [context.agents.start(name, OPERATOR) for name in names], consumeErrors=True
    )
    return {}


@_verb(_SCOPE, Field("graceful", fields.flag, needed=False))
async def _stop(context: AdminContext, given: dict[str, Any]) -> Answer:
    names = _known(context, given["scope"])
    graceful = given["graceful"] is not False
    await gatherResults(
        [context.agents.stop(name, OPERATOR, graceful) for name in names],
        consumeErrors=True,
    )
    return {}


@_verb(_NAME)
async def _kill(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.stop(given["name"], OPERATOR, graceful=False)
    return {}


@_verb(_NAME)
async def _restart(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.restart(given["name"], OPERATOR)
    return {}


@_verb(_NAME, Field("purge", fields.flag, needed=False))
async def _destroy(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.destroy(given["name"], given["purge"] is True)
    return {}


@_verb(_NAME, Field("paused", fields.flag))
async def _set_paused(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.set_paused(given["name"], given["paused"])
    return {}


@_verb(_NAME, Field("model", fields.text))
async def _set_model(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.set_model(given["name"], given["model"])
    return {}


@_verb(_NAME)
async def _cancel_turn(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.cancel_turn(given["name"])
    return {}


@_verb(_NAME)
async def _compact(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.compact(given["name"])
    return {}


@_verb(_NAME)
async def _new_session(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.agents.new_session(given["name"])
    return {}


@_verb(
    Field("to", fields.text),
    Field("body", fields.text),
    Field("in_reply_to", fields.number, needed=False),
)
async def _send(context: AdminContext, given: dict[str, Any]) -> Answer:
    ids = await context.broker.send(
        OPERATOR, given["to"], given["body"], given["in_reply_to"]
    )
    if given["to"] == "*":
        return {"id": ids[0], "ids": list(ids), "count": len(ids)}
    return {"id": ids[0]}


@_verb(
    Field("name", fields.text, needed=False),
    Field("limit", fields.number, needed=False),
    changes=False,
)
async def _inbox(context: AdminContext, given: dict[str, Any]) -> Answer:
    limit = min(given["limit"] or DEFAULT_INBOX, MAX_INBOX)
    messages = await context.broker.inbox(given["name"] or OPERATOR, limit)
    return {"messages": [message.as_wire() for message in messages]}


@_verb(Field("id", fields.number))
async def _requeue(context: AdminContext, given: dict[str, Any]) -> Answer:
    await context.broker.requeue(given["id"])
    return {}


def _known(context: AdminContext, names: tuple[str, ...]) -> tuple[str, ...]:
    """All of the names, if all exist: half of a scope is never done."""
    for name in names:
        context.agents.role(name)
    return names
