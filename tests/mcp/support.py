"""What the tests of this room share: a broker, sockets in a short folder, a raw client."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, DeferredQueue
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from hyperhive.bus import EventBus
from hyperhive.lines import LineSplitter
from hyperhive.mcp.sockets import McpSockets
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import MessageState
from hyperhive.names import MANAGER
from hyperhive.settings import Layout
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.testing.agents import NOW, FakeAgents
from hyperhive.testing.approvals import Decisions
from hyperhive.testing.deploys import FakeDeploys

RECV_WAIT = 50.0


def make_broker(database: Database) -> Broker:
    """A real broker that knows hm1nd, alice and bob; bob is paused, so may be attended."""

    def insert(connection: Any) -> None:
        for name in (MANAGER, "alice", "bob"):
            role = "manager" if name == MANAGER else "agent"
            row = AgentRow(name, role, NOW, paused=name == "bob")
            AgentTable.insert(connection, row)

    database.write(insert)
    return Broker(reactor, database, EventBus(reactor, 1), RECV_WAIT)


@implementer(IHalfCloseableProtocol)
class RawClient(Protocol):
    """Writes bytes to a socket and gives the lines that come back, as JSON."""

    def __init__(self) -> None:
        self.lines: DeferredQueue[Any] = DeferredQueue()
        self.ended: Deferred[None] = Deferred()
        self.finished: Deferred[None] = Deferred()
        self._splitter = LineSplitter(16 * 1024 * 1024)
        self._id = 0

    def dataReceived(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self.lines.put(json.loads(line))

    def readConnectionLost(self) -> None:
        self.finished.callback(None)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The server still writes."""

    def connectionLost(self, reason: object = None) -> None:
        if not self.finished.called:
            self.finished.callback(None)
        self.ended.callback(None)

    def write(self, *messages: bytes | dict[str, Any]) -> None:
        """Send lines: bytes as they are, objects as JSON."""
        for one in messages:
            self.transport.write(
                one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n"
            )

    def ask(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a request and give its id."""
        self._id += 1
        self.write(request(self._id, method, params))
        return self._id

    def call(self, tool: str, /, **arguments: Any) -> int:
        """Call a tool and give the request's id."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    async def greet(self) -> dict[str, Any]:
        """Do MCP's handshake; give the server's part of it."""
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        self.ask("initialize", params)
        answer = await self.lines.get()
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]

    async def result(self, tool: str, /, **arguments: Any) -> tuple[str, bool]:
        """Call a tool; give its text and whether it is an error."""
        id = self.call(tool, **arguments)
        answer = await self.lines.get()
        assert answer["id"] == id, answer
        return text_of(answer)


def request(
    id: Any, method: str, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A request as an object."""
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else {**message, "params": params}


def text_of(answer: dict[str, Any]) -> tuple[str, bool]:
    """A tool result's text and whether it is an error."""
    result = answer["result"]
    return result["content"][0]["text"], result.get("isError", False)


class McpCase(TestCase):
    """Three agents' sockets, served, with a real broker and a fake swarm behind them."""

    timeout = 30

    async def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hh-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.layout = Layout(self.folder / "state", self.folder / "run")
        self.agents = FakeAgents("alice", "bob")
        self.database = Database.in_memory(BROKER)
        self.addCleanup(self.database.close)
        self.broker = make_broker(self.database)
        self.decisions = Decisions(
            reactor, self.database, self.broker, EventBus(reactor, 1), time.time
        )
        self.deploys = FakeDeploys()
        self.notices: list[tuple[str, str]] = []
        self.clients: list[RawClient] = []
        self.sockets = self.make_sockets()
        self.addCleanup(self.stop)
        for status in self.agents.statuses():
            await self.sockets.agent_added(status.name, status.role)

    def make_sockets(self) -> McpSockets:
        """A service over the test's folder; the test stops it."""
        sockets = McpSockets(
            reactor,
            self.layout,
            self.agents,
            self.broker,
            self.deploys,
            self.decisions.approvals,
            self.decisions.questions,
            "1.2.3",
            RECV_WAIT,
            lambda name, problem: self.notices.append((name, problem)),
        )
        sockets.startService()
        return sockets

    async def stop(self) -> None:
        """End the service and see every client's connection end with it."""
        await self.sockets.stopService()
        for client in self.clients:
            client.transport.resumeProducing()
        await DeferredList([client.ended for client in self.clients])

    async def connect(self, agent: str) -> RawClient:
        """A raw connection to an agent's socket."""
        endpoint = UNIXClientEndpoint(reactor, str(self.layout.mcp_socket(agent)))
        client = await connectProtocol(endpoint, RawClient())
        self.clients.append(client)
        return client

    async def greeted(self, agent: str) -> RawClient:
        """A connection after MCP's handshake."""
        client = await self.connect(agent)
        await client.greet()
        return client

    async def state(self, id: int) -> tuple[MessageState, bool]:
        """A message's state, and whether it is marked as redelivered."""
        messages = await self.broker.history(limit=1000)
        (message,) = [one for one in messages if one.id == id]
        return message.state, message.redelivered

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the reactor turn until something is so; the test's timeout bounds it."""
        while not true():
            await deferLater(reactor, 0.001)

    async def settle(self) -> None:
        """Let a while pass in the server's terms: many round trips on another socket."""
        client = await self.greeted("alice")
        for _ in range(30):
            await client.result("whoami")
