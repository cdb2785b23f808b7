"""The two admin verbs whose answer does not end: events, and the rows of changed agents."""

from collections.abc import Callable

from hyperhive.admin import verbs
from hyperhive.admin.answers import success
from hyperhive.admin.context import AdminContext
from hyperhive.admin.fields import Values
from hyperhive.bus import Event, EventBus, Subscription
from hyperhive.errors import BadRequest

Write = Callable[[bytes], None]


def subscribe(
    context: AdminContext,
    verb: str,
    given: Values,
    write: Write,
    overflowed: Callable[[], None],
) -> tuple[Subscription, bytes]:
    """Begin a subscription; answer it, still paused, and the line that acknowledges it.

    :param verb: ``subscribe`` or ``subscribe_agent_status``.
    :param write: takes each line of it.
    :param overflowed: called once if ``write`` is held up for too long.
    :raises PublicError: if it can't begin there, or for an unknown agent.
    """
    if verb == verbs.SUBSCRIBE_AGENT_STATUS.name:
        return _rows(context, write, overflowed)
    kinds, agent, since = given["kinds"], given["agent"], given["since"]
    if agent is not None:
        context.agents.role(agent)
    subscription = context.bus.subscribe(
        lambda event: write(event.json + b"\n"),
        overflowed,
        topics=frozenset(kinds) if kinds else None,
        agent=agent,
        since=since,
    )
    if subscription is None:
        raise BadRequest(_why_not(context.bus, since))
    return subscription, success({"seq": context.bus.seq})


def _rows(
    context: AdminContext, write: Write, overflowed: Callable[[], None]
) -> tuple[Subscription, bytes]:
    agents = context.agents

    def changed(event: Event) -> None:
        # An agent that is gone has no row; who follows asks for all of them at times.
        if event.agent is not None and event.agent in agents.names():
            row = agents.status(event.agent).as_wire()
            write(success({"agent_statuses": [row]}))

    subscription = context.bus.subscribe(
        changed, overflowed, topics=frozenset(("agent_state",))
    )
    assert subscription is not None  # only a replay can be refused
    return subscription, success({})


def _why_not(bus: EventBus, since: int) -> str:
    if since > bus.seq:
        return f"subscribe: there is no event {since} yet; the newest is {bus.seq}."
    if since < bus.oldest - 1:
        return (
            f"subscribe: the events after {since} are no longer all kept; the oldest "
            f"that is kept is {bus.oldest}. Load the state anew and leave out 'since'."
        )
    return (
        f"subscribe: too much has happened since {since}; the newest event is "
        f"{bus.seq}. Load the state anew and leave out 'since'."
    )
