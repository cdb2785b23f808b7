"""An admin socket's server over a hive in memory: what the admin tests share."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin.context import AdminContext
from hyperhive.admin.protocol import AdminConnection, AdminFactory
from hyperhive.agents.interfaces import AgentStatus
from hyperhive.agents.statistics import Statistics
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.messages.broker import Broker
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.testing.agents import NOW, FakeAgents
from hyperhive.testing.approvals import Decisions
from hyperhive.testing.claude_logins import fake_logins
from hyperhive.testing.containers import MemoryDriver
from hyperhive.testing.deploys import FakeDeploys

#: The number of the first event.
FIRST_SEQ = 1000
URLS = {"home": "http://127.0.0.1:7000/"}
LOGIN_URL = "http://127.0.0.1:7000/login?ticket=once"
INFO = {
    "hyperhive": "0.1.0",
    "uptime_s": 3725.5,
    "demo": True,
    "weaknesses": ["a", "b"],
}


class Swarm(FakeAgents):
    """Fake agents that have mailboxes."""

    def __init__(self, database: Database, *names: str) -> None:
        self._database = database
        super().__init__(*names)

    def add(self, name: str, **changes: Any) -> AgentStatus:
        """See FakeAgents."""
        status = super().add(name, **changes)
        row = AgentRow(name, status.role, NOW)
        self._database.write(lambda connection: AgentTable.insert(connection, row))
        return status

    def destroy(self, name: str, purge: bool = False) -> Deferred[None]:
        """See FakeAgents."""

        def gone(_: None) -> None:
            self._database.write(lambda connection: AgentTable.delete(connection, name))

        return super().destroy(name, purge).addCallback(gone)


class Hive:
    """The rooms below the admin socket, in memory, with the agents bob and alice."""

    def __init__(self, clock: Any) -> None:
        self.bus = EventBus(clock, FIRST_SEQ)
        self.database = database = Database.in_memory(BROKER)
        #: The wall clock.
        self.now = lambda: NOW + clock.seconds()
        self.broker = Broker(
            clock, database, self.bus, 60.0, lambda: NOW + clock.seconds()
        )
        self.agents = Swarm(database, "bob", "alice")
        self.pages = dict(URLS)
        self.info: dict[str, Any] = dict(INFO)
        self.deploys = FakeDeploys()
        self.decisions = Decisions(
            clock, database, self.broker, self.bus, lambda: NOW + clock.seconds()
        )
        self.driver = MemoryDriver(clock)
        self.logins = fake_logins(
            clock,
            self.driver,
            self.agents,
            self.bus,
            lambda: NOW + clock.seconds(),
            Path("logins"),
        )
        self.context = AdminContext(
            self.agents,
            self.broker,
            self.bus,
            self.deploys,
            self.decisions.approvals,
            self.decisions.questions,
            self.logins,
            lambda: LOGIN_URL,
            lambda: self.pages,
            lambda: self.info,
            notify_test=self._notify_test,
            statistics=Statistics(
                clock,
                database,
                self.bus,
                self.agents,
                lambda: None,
                90,
                self.now,
            ),
        )
        #: Why a test of notifications fails, if it does.
        self.untold: PublicError | None = None

    @deferred
    async def _notify_test(self) -> list[dict[str, str]]:
        if self.untold is not None:
            raise self.untold
        return [{"target": "ntfy", "host": "ntfy.example"}]


class FakeSocket(StringTransport):
    """One that can be closed half, and that a client may not read.

    :ivar half_closed: that nothing more will be written was told to the client.
    :ivar cut: it was closed at once.
    """

    half_closed = False
    cut = False

    def loseWriteConnection(self) -> None:
        """Nothing more will be written."""
        self.half_closed = True

    def abortConnection(self) -> None:
        """Close at once."""
        self.cut = True


class Client:
    """One end of a connection whose other is an :class:`AdminConnection`."""

    def __init__(self, factory: AdminFactory) -> None:
        self.transport = FakeSocket()
        self.connection: AdminConnection = factory.buildProtocol(None)
        self.connection.makeConnection(self.transport)

    def send(self, *requests: Any) -> None:
        """Send requests: bytes as they are, everything else as a line of JSON."""
        for one in requests:
            data = one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n"
            self.connection.dataReceived(data)

    def lines(self) -> list[bytes]:
        """What has come since it was last asked."""
        data = self.transport.value()
        self.transport.clear()
        assert data == b"" or data.endswith(b"\n"), data
        return data.splitlines()

    def answers(self) -> list[Any]:
        """The same, read as JSON."""
        return [json.loads(line) for line in self.lines()]

    def ask(self, request: Any) -> Any:
        """Send a request that is answered at once."""
        self.send(request)
        [answer] = self.answers()
        return answer

    def stops_reading(self) -> None:
        """What is written to it piles up."""
        self.transport.producer.pauseProducing()

    def reads_again(self) -> None:
        """All that had piled up is gone."""
        self.transport.producer.resumeProducing()

    def ends(self) -> None:
        """It sends no more."""
        self.connection.readConnectionLost()

    @property
    def is_read(self) -> bool:
        """Whether the hive takes what it sends."""
        return self.transport.producerState == "producing"

    @property
    def is_closed(self) -> bool:
        """Whether the hive closes when all is written."""
        return bool(self.transport.disconnecting)


class AdminCase(SynchronousTestCase):
    """A test of the protocol, without a socket."""

    def setUp(self) -> None:
        """A hive in memory, and a client that is connected."""
        self.clock = Clock()
        self.hive = Hive(self.clock)
        self.agents = self.hive.agents
        self.factory = AdminFactory(self.clock, self.hive.context)
        self.client = self.connect()

    def connect(self) -> Client:
        """One more client."""
        return Client(self.factory)

    def assert_refused(self, answer: Any, *words: str) -> None:
        """It is an error whose sentence has these words, and nothing else."""
        self.assertEqual(
            {**answer, "error": ""}, {"version": 1, "ok": False, "error": ""}
        )
        for word in words:
            self.assertIn(word, answer["error"])
