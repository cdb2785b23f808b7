"""The broker on a file, with the writer's thread: what tests in memory can't show."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.trial.unittest import TestCase

from hyperhive.bus import EventBus
from hyperhive.messages.broker import Broker
from hyperhive.messages.interfaces import Message, Outcome, TurnEnd
from hyperhive.names import MANAGER
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER

SENDERS = 20
EACH = 25


class FileTests(TestCase):
    """Many at once, and a second daemon on the same file."""

    def open(self) -> None:
        """Open the file and make a broker."""
        self.database = Database.open(reactor, self.path, BROKER)
        self.addCleanup(self.database.close)
        bus = EventBus(reactor, 1)
        self.broker = Broker(reactor, self.database, bus, 60.0)

    async def setUp(self) -> None:
        """hm1nd and bob."""
        self.path = Path(self.mktemp())
        self.open()

        def insert(connection: Any) -> None:
            for name in (MANAGER, "bob"):
                role = "manager" if name == MANAGER else "agent"
                AgentTable.insert(connection, AgentRow(name, role, 0.0))

        await self.database.write(insert)

    async def test_many_senders_and_one_turn(self) -> None:
        """Each sender's messages arrive in its order, each once, and in the order of ids."""
        await self.broker.send("operator", "bob", "begin")
        turn = await self.broker.begin_turn("bob")

        async def send(sender: int) -> list[int]:
            ids: list[int] = []
            for number in range(EACH):
                ids += await self.broker.send("hm1nd", "bob", f"{sender} {number}")
            return ids

        sending = gatherResults([ensureDeferred(send(n)) for n in range(SENDERS)])
        got: list[Message] = []
        while len(got) < SENDERS * EACH:
            got += await self.broker.receive("bob", "c", 7, wait_seconds=60)
        sent = await sending
        ids = [message.id for message in got]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(ids, sorted(id for some in sent for id in some))
        for sender in range(SENDERS):
            bodies = [m.body for m in got if m.body.split()[0] == str(sender)]
            self.assertEqual(bodies, [f"{sender} {number}" for number in range(EACH)])
        self.assertEqual(self.broker.unread("bob"), 0)
        await self.broker.end_turn(turn.id, TurnEnd(Outcome.OK))
        states = {
            message.state.value for message in await self.broker.inbox("bob", 500)
        }
        self.assertEqual(states, {"done"})

    async def test_after_a_restart(self) -> None:
        """Another daemon finds what was answered, and gives back what was under way."""
        ids = [(await self.broker.send("hm1nd", "bob", str(n)))[0] for n in range(3)]
        await self.broker.begin_turn("bob")
        await self.database.close()
        self.open()
        self.assertEqual(self.broker.unread("bob"), 2)
        self.assertEqual(await self.broker.recover(), 1)
        messages = await self.broker.inbox("bob")
        self.assertEqual(
            [
                (message.id, message.state.value, message.redelivered)
                for message in messages
            ],
            [
                (ids[0], "queued", True),
                (ids[1], "queued", False),
                (ids[2], "queued", False),
            ],
        )
