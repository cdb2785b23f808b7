"""What a tool is: how an agent sees it, and what runs it."""

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from hyperhive.mcp.arguments import Argument
from hyperhive.mcp.connection import Request

#: Gets the request and the checked arguments, and answers a text.
Run = Callable[[Request, dict[str, Any]], Awaitable[str]]


@frozen
class Tool:
    """A tool as an agent sees it."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    run: Run
