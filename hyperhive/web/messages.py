"""Pages of messages, for every page that shows some."""

from typing import Any

from twisted.web.server import Request

from hyperhive.messages.interfaces import IBroker, Message
from hyperhive.web.forms import query_number

#: The longest page of messages, in rows and in characters of their bodies.
MAX_PAGE = 100
MAX_PAGE_CHARS = 512 * 1024
_MAX_ID = 2**63 - 1


async def message_page(
    request: Request, broker: IBroker, agent: str | None
) -> dict[str, Any]:
    """Messages with their whole bodies, oldest first, as ``before`` and ``limit`` ask.

    Where there are more, ``before`` of the answer asks for them.

    :param agent: only messages to or from it.
    """
    limit = query_number(request, "limit", 1, MAX_PAGE) or MAX_PAGE
    before = query_number(request, "before", 1, _MAX_ID)
    found = await broker.history(agent, before, limit)
    page = _newest_that_fit(found)
    members: dict[str, Any] = {"messages": [row.as_wire() for row in page]}
    if page and (len(found) == limit or len(page) < len(found)):
        members["before"] = page[0].id
    return members


def _newest_that_fit(messages: list[Message]) -> list[Message]:
    fitting: list[Message] = []
    size = 0
    for message in reversed(messages):
        size += len(message.body)
        if fitting and size > MAX_PAGE_CHARS:
            break
        fitting.append(message)
    return fitting[::-1]
