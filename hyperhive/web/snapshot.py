"""What a page shows at once: the state, with the number of the event that it includes."""

from typing import Any

from hyperhive.messages.interfaces import Message
from hyperhive.names import OPERATOR
from hyperhive.times import rfc3339
from hyperhive.web.context import WebContext

#: How many messages the dashboard shows of the flow and of the operator's inbox.
FLOW = 50
#: How many jobs of the deploy queue it shows.
JOBS = 30
#: How many messages and turns an agent's page shows.
AGENT_INBOX = 20
AGENT_TURNS = 20
#: A snapshot holds this much of a body (characters); the page asks for the rest.
MAX_SHOWN = 1200


async def dashboard_state(context: WebContext) -> dict[str, Any]:
    """Everything that the dashboard shows.

    The number is taken before the reads: what happens in between is then in both
    the snapshot and the stream, and the page takes it once.
    """
    seq, unread = context.bus.seq, context.broker.unread(OPERATOR)
    messages = await context.broker.history(None, None, FLOW)
    inbox = await context.broker.inbox(OPERATOR, FLOW)
    return {
        "seq": seq,
        **facts(context),
        **today(context),
        "agents": [status.as_wire() for status in context.agents.statuses()],
        "messages": [shown(message) for message in messages],
        "inbox": [shown(message) for message in inbox],
        "operator_unread": unread,
        "approvals": await approvals(context),
        "questions": await questions(context),
        "jobs": await context.deploys.jobs(JOBS),
        "tombstones": await tombstones(context),
    }


async def approvals(context: WebContext) -> list[dict[str, Any]]:
    """What waits for the operator's decision, then what was decided last."""
    return [one.as_wire() for one in await context.approvals.pending()]


async def questions(context: WebContext) -> list[dict[str, Any]]:
    """What agents ask the operator."""
    return [one.as_wire() for one in await context.questions.pending()]


async def tombstones(context: WebContext) -> list[dict[str, Any]]:
    """What is kept of destroyed agents."""
    return [one.as_wire() for one in await context.agents.tombstones()]


async def agent_state(context: WebContext, name: str) -> dict[str, Any]:
    """Everything that an agent's page shows, but for its stream's past.

    :raises NoSuchAgent:
    """
    seq = context.bus.seq
    context.agents.status(name)
    inbox = await context.broker.inbox(name, AGENT_INBOX)
    turns = await context.broker.turns(name, AGENT_TURNS)
    return {
        "seq": seq,
        **facts(context),
        "agent": context.agents.status(name).as_wire(),
        "inbox": [shown(message) for message in inbox],
        "turns": [turn.as_wire() for turn in turns],
    }


def facts(context: WebContext) -> dict[str, Any]:
    """What holds for the whole hive."""
    probe = context.facts.probe
    return {
        "now": rfc3339(context.now()),
        "version": context.facts.version,
        "demo": context.facts.demo,
        "driver": probe.driver,
        "isolated": probe.isolated,
        "weaknesses": list(probe.weaknesses),
        "notices": list(context.notices.all()),
    }


def today(context: WebContext) -> dict[str, Any]:
    """What all turns since the host's midnight came to, as far as it is known."""
    tally = context.statistics.today()
    if tally is None:
        return {}
    row: dict[str, Any] = {"turns_today": tally.turns}
    return row if tally.cost_usd is None else {**row, "cost_today": tally.cost_usd}


def shown(message: Message) -> dict[str, Any]:
    """A message's row; of a long body only the beginning, and how long it is."""
    row = message.as_wire()
    if len(message.body) > MAX_SHOWN:
        row["body"] = message.body[:MAX_SHOWN]
        row["body_chars"] = len(message.body)
    return row
