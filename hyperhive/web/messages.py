"""Pages of messages, for every page that shows some."""

from typing import Any

from twisted.web.server import Request

from hyperhive.errors import BadRequest
from hyperhive.messages.interfaces import IBroker, Message, MessagePage, MessageState
from hyperhive.web.forms import query_number, query_text

#: The longest page of messages, in rows and in characters of their bodies.
MAX_PAGE = 100
MAX_PAGE_CHARS = 512 * 1024
#: The longest text that is searched for, in characters.
MAX_SEARCHED = 200
_MAX_ID = 2**63 - 1


async def message_page(
    request: Request, broker: IBroker, agent: str | None
) -> dict[str, Any]:
    """Messages with their whole bodies, oldest first, as the query asks.

    ``before`` and ``limit`` choose the page, ``q`` a text that the bodies have and
    ``state`` where they are in their lives. Where there may be more, ``before`` of
    the answer asks for them.

    :param agent: only messages to or from it.
    """
    limit = query_number(request, "limit", 1, MAX_PAGE) or MAX_PAGE
    before = query_number(request, "before", 1, _MAX_ID)
    text, state = _text(request), _state(request)
    if text or state is not None:
        found = await broker.search(text, state, agent, before, limit)
    else:
        rows = tuple(await broker.history(agent, before, limit))
        found = MessagePage(rows, rows[0].id if len(rows) == limit else None)
    page = _newest_that_fit(found.messages)
    members: dict[str, Any] = {"messages": [row.as_wire() for row in page]}
    older = page[0].id if len(page) < len(found.messages) else found.before
    if older is not None:
        members["before"] = older
    return members


def _text(request: Request) -> str:
    text = (query_text(request, "q") or "").strip()
    if len(text) > MAX_SEARCHED:
        raise BadRequest(f"'q' in the query has at most {MAX_SEARCHED} characters.")
    return text


def _state(request: Request) -> MessageState | None:
    text = query_text(request, "state")
    if not text:
        return None
    try:
        return MessageState(text)
    except ValueError:
        states = ", ".join(state.value for state in MessageState)
        raise BadRequest(f"'state' in the query must be one of {states}.") from None


def _newest_that_fit(messages: tuple[Message, ...]) -> list[Message]:
    fitting: list[Message] = []
    size = 0
    for message in reversed(messages):
        size += len(message.body)
        if fitting and size > MAX_PAGE_CHARS:
            break
        fitting.append(message)
    return fitting[::-1]
