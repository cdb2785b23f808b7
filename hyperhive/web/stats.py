"""Statistics over HTTP: the figures of a window, and the page that draws them."""

from typing import Any

from twisted.web.server import Request

from hyperhive.web.context import WebContext
from hyperhive.web.forms import query_text
from hyperhive.web.snapshot import facts

#: The window where none is asked for.
DEFAULT = "24h"


async def stats_state(context: WebContext, request: Request) -> dict[str, Any]:
    """What the query asks for, with the number of the event that it includes.

    :raises PublicError: for a window or an agent that there is not.
    """
    seq = context.bus.seq
    report = await context.statistics.report(
        query_text(request, "window") or DEFAULT, query_text(request, "agent") or None
    )
    return {"seq": seq, **facts(context), "stats": report.as_wire()}
