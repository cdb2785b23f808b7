"""The manager's tools to look into an agent, and to build it again."""

from typing import Any

from hyperhive.agents.digest import digest
from hyperhive.agents.interfaces import IAgents, NotTheManager
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.mcp.arguments import Argument
from hyperhive.mcp.bridge import awaited, outlasting
from hyperhive.mcp.connection import Request
from hyperhive.mcp.tool import Tool
from hyperhive.names import MANAGER, MANAGER_MAILBOX

#: How many lines of an agent's log are given, unless another number is asked for.
LINES = 60
#: How many at most; each is bounded, so that the whole answer is.
MAX_LINES = 200
#: How many stored events are looked at for them.
EVENTS = 1000


def inspection_tools(agents: IAgents, deploys: IDeploys) -> list[Tool]:
    """``get_logs`` and ``update``."""
    name = Argument("name", "string", "The agent's name, as list_agents shows it.")

    async def get_logs(request: Request, given: dict[str, Any]) -> str:
        wanted = given.get("lines", LINES)
        page = await awaited(agents.history(given["name"], limit=EVENTS))
        return "\n".join(digest(page.events, wanted)) or "(nothing was logged)"

    async def update(request: Request, given: dict[str, Any]) -> str:
        if given["name"] in (MANAGER, MANAGER_MAILBOX):
            raise NotTheManager("The manager can't rebuild itself; the operator can.")
        await outlasting(deploys.rebuild(given["name"], MANAGER_MAILBOX))
        return f"{given['name']} was built again and runs."

    return [
        Tool(
            "get_logs",
            "Show what an agent did and said last, oldest first: its turns, the tools "
            "it called with their results, and notes of the hive. Look here before you "
            "ask it what went wrong.",
            (
                name,
                Argument(
                    "lines",
                    "integer",
                    f"How many lines; {LINES} if not given.",
                    required=False,
                    minimum=1,
                    maximum=MAX_LINES,
                ),
            ),
            get_logs,
        ),
        Tool(
            "update",
            "Build an agent again from the configuration that is deployed, and let it "
            "run with that: its turn may end first, which can take minutes. Changes "
            "nothing of its configuration. Answers when it runs again.",
            (name,),
            update,
        ),
    ]
