"""The SDK's server for one agent: lists its tools, runs them, answers in sentences."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from pydantic import ValidationError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from hyperhive.errors import PublicError
from hyperhive.mcp.arguments import schema
from hyperhive.mcp.bridge import started
from hyperhive.mcp.connection import Request
from hyperhive.mcp.streams import Incoming, Outgoing
from hyperhive.mcp.tools import Toolbox

#: How the server calls itself; claude makes ``mcp__hyperhive__<tool>`` of it.
NAME = "hyperhive"
#: How often, in seconds, a client that asked for it hears that a call still runs.
PROGRESS_EVERY = 15.0

Context = ServerRequestContext[Any, Any]


class AgentServer:
    """Serves one agent's tools on any number of connections.

    :param clock: for progress notifications.
    :param version: the daemon's.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, toolbox: Toolbox, version: str) -> None:
        self._clock = clock
        self._toolbox = toolbox
        self._tools = [
            Tool(
                name=tool.name,
                description=tool.description,
                input_schema=schema(tool.arguments),
            )
            for tool in toolbox.tools.values()
        ]
        self._server: Server[Any] = Server(
            NAME,
            version=version,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        # What it ships traces to OpenTelemetry, which the hive does not use.
        self._server.middleware[:] = [_explain]
        self._options = self._server.create_initialization_options()

    async def serve(self, incoming: Incoming, outgoing: Outgoing) -> None:
        """Serve one connection until its incoming stream ends."""
        await self._server.run(incoming, outgoing, self._options)

    async def _list_tools(
        self, ctx: Context, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=self._tools)

    async def _call_tool(
        self, ctx: Context, params: CallToolRequestParams
    ) -> CallToolResult:
        request = ctx.request
        assert isinstance(request, Request)
        ticking = self._tick(ctx)
        try:
            arguments = params.arguments or {}
            text = await self._toolbox.call(request, params.name, arguments)
            wrong = False
        except PublicError as error:
            text, wrong = str(error), True
        except Exception:
            self._log.failure("The tool {tool} failed", tool=params.name)
            text, wrong = (
                "Something went wrong inside the hive; its log says what.",
                True,
            )
        finally:
            if ticking.running:
                ticking.stop()
        parts = (text, self._toolbox.waiting())
        return CallToolResult(
            content=[TextContent(text="\n\n".join(part for part in parts if part))],
            is_error=wrong,
        )

    def _tick(self, ctx: Context) -> LoopingCall:
        """Report progress while a call runs: some clients give up on a silent one."""

        begun = self._clock.seconds()

        def report() -> Deferred[None]:
            passed = self._clock.seconds() - begun
            return started(ctx.session.report_progress(passed, None, "still waiting"))

        ticking = LoopingCall(report)
        ticking.clock = self._clock
        if ctx.meta is not None and "progress_token" in ctx.meta:
            ticking.start(PROGRESS_EVERY, now=False)
        return ticking


async def _explain(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Let malformed parameters be answered with what is wrong with them."""
    try:
        return await call_next(ctx)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "params"
        raise MCPError(
            INVALID_PARAMS,
            f"The parameters of {ctx.method} are wrong at {where}: {first['msg']}.",
        ) from None
    except MCPError as error:
        # The SDK's wording for all that comes before the handshake.
        if error.code == INVALID_PARAMS and error.data == "":
            text = f"{ctx.method} came before the handshake: send initialize first."
            raise MCPError(INVALID_PARAMS, text) from None
        raise
