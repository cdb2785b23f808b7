"""The admin socket itself: real sockets, real clients."""

import grp
import json
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ProcessProtocol, Protocol, connectionDone
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from hyperhive.admin.protocol import MAX_LINE
from hyperhive.admin.service import GROUP, AdminService
from hyperhive.bus import MAX_BACKLOG
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from tests.admin.support import Hive

LIST = b'{"cmd":"list"}\n'
LISTED = {"version": 1, "ok": True, "agents": ["hm1nd", "alice", "bob"]}


@implementer(IHalfCloseableProtocol)
class Client(Protocol):
    """A client that a test can wait for.

    :ivar lost: fires when the connection has ended.
    :ivar ended: fires when the hive will send no more.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._wanted: list[tuple[int, Deferred[list[Any]]]] = []

    def send(self, data: bytes) -> None:
        """Send."""
        self.transport.write(data)

    def answers(self, count: int) -> Deferred[list[Any]]:
        """The first so many lines, when they are there."""
        got: Deferred[list[Any]] = Deferred()
        self._wanted.append((count, got))
        self._look()
        return got

    def dataReceived(self, data: bytes) -> None:
        """Take them."""
        self.received += data
        self._look()

    def _look(self) -> None:
        lines = self.received.split(b"\n")[:-1]
        for count, got in list(self._wanted):
            if len(lines) >= count:
                self._wanted.remove((count, got))
                got.callback([json.loads(line) for line in lines[:count]])

    def readConnectionLost(self) -> None:
        """The hive sends no more."""
        self.ended.callback(None)

    def writeConnectionLost(self) -> None:
        """We send no more."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self.lost.callback(None)


class Socat(ProcessProtocol):
    """``socat`` with an input, and what it printed.

    :ivar done: fires with its output when it has ended well.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._data = data
        self._output = b""
        self.done: Deferred[bytes] = Deferred()
        arguments = ["socat", "-", f"UNIX-CONNECT:{path}"]
        reactor.spawnProcess(self, shutil.which("socat"), arguments, env={})

    def connectionMade(self) -> None:
        """Give it its input."""
        self.transport.write(self._data)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        """Take its output."""
        self._output += data

    def processEnded(self, reason: Failure) -> None:
        """Tell."""
        if reason.check(ProcessDone):
            self.done.callback(self._output)
        else:
            self.done.errback(reason)


class ServiceCase(TestCase):
    """A real admin socket over a hive in memory."""

    timeout = 30

    @deferred
    async def setUp(self) -> None:
        """Listen."""
        # Not trial's own folder: a socket's path has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="hive-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "host.sock"
        self.hive = Hive(reactor)
        self.service = AdminService(reactor, self.path, self.hive.context)
        self.addCleanup(self._stop)
        await self.service.start()

    @deferred
    async def _stop(self) -> None:
        leaving = list(self.service._factory.open)
        await self.service.stop()
        while any(one in self.service._factory.open for one in leaving):
            await self.turn()

    def turn(self) -> Deferred[None]:
        """Let the reactor go round once."""
        done: Deferred[None] = Deferred()
        reactor.callLater(0, done.callback, None)
        return done

    async def connect(self) -> Client:
        """A client."""
        endpoint = UNIXClientEndpoint(reactor, str(self.path))
        client: Client = await connectProtocol(endpoint, Client())
        self.addCleanup(self._leave, client)
        return client

    @deferred
    async def _leave(self, client: Client) -> None:
        if not client.lost.called:
            client.transport.abortConnection()
            await client.lost


class ConversationTests(ServiceCase):
    """What real clients do."""

    @deferred
    async def test_socat(self) -> None:
        """``echo … | socat`` gets its answers, though it has ended what it sends."""
        output = await Socat(self.path, LIST + b'{"cmd":"nope"}\n' + LIST.strip()).done
        answers = [json.loads(line) for line in output.splitlines()]
        self.assertEqual([answer["ok"] for answer in answers], [True, False, True])
        self.assertEqual(answers[2], LISTED)

    @deferred
    async def test_socat_large_answers(self) -> None:
        """Answers that fill the socket's buffers come whole to who has ended what it sends."""
        body = "x" * (200 * 1024)
        await self.hive.broker.send("operator", "bob", body)
        output = await Socat(self.path, b'{"cmd":"inbox","name":"bob"}\n' * 20).done
        answers = [json.loads(line) for line in output.splitlines()]
        self.assertEqual(
            [[row["body"] for row in answer["messages"]] for answer in answers],
            [[body]] * 20,
        )

    @deferred
    async def test_socat_long_line(self) -> None:
        """A line of 5 MiB is answered with an error that its sender can read."""
        output = await Socat(self.path, b"x" * (5 * MAX_LINE) + b"\n" + LIST).done
        [answer] = [json.loads(line) for line in output.splitlines()]
        self.assertFalse(answer["ok"])
        self.assertIn(str(MAX_LINE), answer["error"])

    @deferred
    async def test_long_line(self) -> None:
        """Its sender reads the error and the end of the stream, though it goes on sending."""
        client = await self.connect()
        client.send(b"x" * (5 * MAX_LINE))
        [answer] = await client.answers(1)
        self.assertFalse(answer["ok"])
        await client.ended
        client.send(b"x" * MAX_LINE + b"\n" + LIST)
        client.transport.loseConnection()
        await client.lost
        self.assertEqual(client.received.count(b"\n"), 1)
        other = await self.connect()
        other.send(LIST)
        self.assertEqual(await other.answers(1), [LISTED])

    @deferred
    async def test_subscriber_that_does_not_read(self) -> None:
        """It is told that it missed events, and closed; the hive holds no more than its limits."""
        client = await self.connect()
        client.send(b'{"cmd":"subscribe"}\n')
        await client.answers(1)
        client.transport.pauseProducing()
        text = "x" * 65536
        [connection] = self.service._factory.open
        published = 0
        while connection._subscription in self.hive.bus._subscriptions:
            self.hive.bus.publish("note", {"text": text})
            published += 1
            self.assertLess(published * len(text), 8 * MAX_BACKLOG)
            await self.turn()
        client.transport.resumeProducing()
        await client.ended
        *events, last = client.received.splitlines()
        self.assertIn("too slowly", json.loads(last)["error"])
        self.assertLess(len(events), published)
        numbers = [json.loads(line).get("seq") for line in events[1:]]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))

    @deferred
    async def test_client_leaves(self) -> None:
        """A long verb is done though its client has left."""
        self.hive.agents.hold("spawn")
        client = await self.connect()
        client.send(b'{"cmd":"spawn","name":"carol"}\n')
        while not self.hive.agents.held("spawn"):
            await self.turn()
        client.transport.abortConnection()
        await client.lost
        await self.turn()
        self.hive.agents.finish("spawn")
        self.assertIn("carol", self.hive.agents.names())
        while self.service._factory.open:
            await self.turn()

    @deferred
    async def test_subscriber_leaves(self) -> None:
        """One that had ended what it sends and then leaves is forgotten at the next event."""
        client = await self.connect()
        client.send(b'{"cmd":"subscribe"}\n')
        await client.answers(1)
        client.transport.loseWriteConnection()
        [connection] = self.service._factory.open
        while not connection._at_end:
            await self.turn()
        client.transport.abortConnection()
        await client.lost
        while self.service._factory.open:
            self.hive.bus.publish("note")
            await self.turn()
        self.assertEqual(len(self.hive.bus._subscriptions), 0)

    @deferred
    async def test_uid(self) -> None:
        """Who changes something is known by the kernel's word, and logged."""
        logged: list[Any] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        client = await self.connect()
        client.send(b'{"cmd":"kill","name":"bob"}\n')
        await client.answers(1)
        [entry] = [one for one in logged if one.get("verb") == "kill"]
        self.assertEqual(entry["uid"], os.geteuid())


class ListeningTests(ServiceCase):
    """Where it listens, and for whom."""

    def test_mode(self) -> None:
        """Owner and group only: it is full control of the hive."""
        found = self.path.stat()
        self.assertTrue(stat.S_ISSOCK(found.st_mode))
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o660)

    @deferred
    async def test_group(self) -> None:
        """It is given to the group where that exists."""
        given: list[tuple[Path, int, int]] = []
        self.patch(grp, "getgrnam", {GROUP: Group(4711)}.__getitem__)
        self.patch(os, "chown", lambda *arguments: given.append(arguments))
        await self.service.stop()
        await self.service.start()
        self.assertEqual(given, [(self.path, -1, 4711)])

    @deferred
    async def test_group_not_permitted(self) -> None:
        """Who may not give it away listens all the same."""

        def refuse(*arguments: Any) -> None:
            raise PermissionError

        self.patch(grp, "getgrnam", {GROUP: Group(4711)}.__getitem__)
        self.patch(os, "chown", refuse)
        await self.service.stop()
        await self.service.start()
        client = await self.connect()
        client.send(LIST)
        self.assertEqual(await client.answers(1), [LISTED])

    @deferred
    async def test_stop(self) -> None:
        """Stopped, it leaves no socket, and its connections end."""
        client = await self.connect()
        client.send(LIST)
        await client.answers(1)
        await self.service.stop()
        self.assertFalse(self.path.exists())
        await client.ended

    @deferred
    async def test_stale(self) -> None:
        """The socket of a hive that died is replaced."""
        await self.service.stop()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        await self.service.start()
        client = await self.connect()
        client.send(LIST)
        self.assertEqual(await client.answers(1), [LISTED])

    @deferred
    async def test_living(self) -> None:
        """The socket of a living hive is left alone."""
        second = AdminService(reactor, self.path, self.hive.context)
        with self.assertRaises(PublicError) as refused:
            await second.start()
        self.assertIn(str(self.path), str(refused.exception))
        client = await self.connect()
        client.send(LIST)
        self.assertEqual(await client.answers(1), [LISTED])

    @deferred
    async def test_in_the_way(self) -> None:
        """Something that is no socket is not removed."""
        await self.service.stop()
        self.path.write_text("precious")
        with self.assertRaises(PublicError) as refused:
            await self.service.start()
        self.assertIn("in the way", str(refused.exception))
        self.assertEqual(self.path.read_text(), "precious")

    @deferred
    async def test_no_folder(self) -> None:
        """A place that can't be had is said in a sentence."""
        path = self.folder / "nowhere" / "host.sock"
        with self.assertRaises(PublicError) as refused:
            await AdminService(reactor, path, self.hive.context).start()
        self.assertIn("--run-dir", str(refused.exception))


class Group:
    """An entry of the group database."""

    def __init__(self, gid: int) -> None:
        self.gr_gid = gid
