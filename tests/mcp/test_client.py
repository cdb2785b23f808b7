"""The SDK's own client over ``socat``, as claude connects."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult
from twisted.internet import reactor
from twisted.internet.task import deferLater

from hyperhive.mcp.bridge import awaited, started
from tests.mcp.support import McpCase


class ClientTests(McpCase):
    """Both eras of the protocol; ``auto`` lands on the newer."""

    def client(self, agent: str, mode: str) -> Client:
        path = self.layout.mcp_socket(agent)
        parameters = StdioServerParameters(
            command="socat", args=["-", f"UNIX-CONNECT:{path}"]
        )
        return Client(parameters, mode=mode)

    async def run_in_asyncio(self, session: Coroutine[Any, Any, None]) -> None:
        # Trial calls a test before it runs the loop that a task needs.
        await deferLater(reactor, 0)
        await started(session)

    def text(self, result: CallToolResult) -> str:
        return result.content[0].text

    async def session(self, mode: str) -> None:
        async with self.client("hm1nd", mode) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            self.assertIn("list_agents", tools)
            sent = await client.call_tool("send", {"to": "bob", "body": "hello"})
            self.assertFalse(sent.is_error)
            wrong = await client.call_tool("send", {"to": "carol", "body": "hello"})
            self.assertTrue(wrong.is_error)
            async with self.client("bob", mode) as other:
                got = await other.call_tool("recv", {})
                self.assertIn("from manager", self.text(got))
                waiting = asyncio.create_task(
                    other.call_tool("recv", {"wait_seconds": 40})
                )
                # The second call's answer shows that the first has been read.
                await other.call_tool("whoami", {})
                self.assertFalse(waiting.done())
                await awaited(self.broker.send("alice", "bob", "at last"))
                self.assertIn("at last", self.text(await waiting))

    async def test_handshake(self) -> None:
        """A client of the handshake era lists, calls and waits."""
        await self.run_in_asyncio(self.session("legacy"))

    async def test_newest(self) -> None:
        """So does one of the newest protocol."""
        await self.run_in_asyncio(self.session("auto"))

    async def test_timeout(self) -> None:
        """A client that gives up on a wait goes on, and no message is lost by it."""

        async def session() -> None:
            async with self.client("bob", "legacy") as client:
                waiting = asyncio.create_task(
                    client.call_tool("recv", {"wait_seconds": 40})
                )
                await client.call_tool("whoami", {})
                waiting.cancel()
                await asyncio.wait([waiting])
                await client.call_tool("whoami", {})
                await awaited(self.broker.send("alice", "bob", "hello"))
                got = await client.call_tool("recv", {})
                self.assertIn("hello", self.text(got))
                self.assertNotIn("redelivered", self.text(got))

        await self.run_in_asyncio(session())
