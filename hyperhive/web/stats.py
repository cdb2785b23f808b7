"""Statistics over HTTP: the figures of a window, and the page that draws them."""

from typing import Any

from hyperhive.web.context import WebContext
from hyperhive.web.snapshot import facts

#: The window where none is asked for.
DEFAULT = "24h"


async def stats_state(
    context: WebContext, window: str | None, agent: str | None
) -> dict[str, Any]:
    """The figures of a window, with the number of the event that they include.

    :raises PublicError: for a window or an agent that there is not.
    """
    report = await context.statistics.report(window or DEFAULT, agent)
    return {"seq": report.seq, **facts(context), "stats": report.as_wire()}
