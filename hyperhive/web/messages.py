"""Pages of messages, for every page that shows some."""

from typing import Any

from hyperhive.messages.interfaces import IBroker, Message, MessagePage, MessageState
from hyperhive.web import fields
from hyperhive.web.schema import ID, array, ref, row

#: The longest page of messages, in rows and in characters of their bodies.
MAX_PAGE = 100
MAX_PAGE_CHARS = 512 * 1024
#: The longest text that is searched for, in characters.
MAX_SEARCHED = 200
#: What the query of such a page may have: :func:`message_page` takes it.
PAGE_QUERY = {
    "before": fields.query_id(),
    "limit": fields.whole(1, MAX_PAGE),
    "q": fields.short(MAX_SEARCHED),
    "state": fields.choice(*(state.value for state in MessageState)),
}
#: What its answer has.
MESSAGE_PAGE = row({"before": ID}, messages=array(ref("Message")))


async def message_page(
    broker: IBroker,
    agent: str | None,
    before: int | None,
    limit: int | None,
    q: str | None,
    state: str | None,
) -> dict[str, Any]:
    """Messages with their whole bodies, oldest first, as the query asks.

    ``before`` and ``limit`` choose the page, ``q`` a text that the bodies have and
    ``state`` where they are in their lives. Where there may be more, ``before`` of
    the answer asks for them.

    :param agent: only messages to or from it.
    """
    limit = limit or MAX_PAGE
    text = (q or "").strip()
    wanted = None if state is None else MessageState(state)
    if text or wanted is not None:
        found = await broker.search(text, wanted, agent, before, limit)
    else:
        rows = tuple(await broker.history(agent, before, limit))
        found = MessagePage(rows, rows[0].id if len(rows) == limit else None)
    page = _newest_that_fit(found.messages)
    members: dict[str, Any] = {"messages": [row.as_wire() for row in page]}
    older = page[0].id if len(page) < len(found.messages) else found.before
    if older is not None:
        members["before"] = older
    return members


def _newest_that_fit(messages: tuple[Message, ...]) -> list[Message]:
    fitting: list[Message] = []
    size = 0
    for message in reversed(messages):
        size += len(message.body)
        if fitting and size > MAX_PAGE_CHARS:
            break
        fitting.append(message)
    return fitting[::-1]
