"""A connection by raw bytes: what is malformed, what is too much, and how it ends."""

from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from hyperhive.mcp import connection, server, sockets
from hyperhive.messages.interfaces import MessageState
from tests.mcp.support import McpCase, RawClient, request, text_of


class MalformedTests(McpCase):
    """Each wrong line gets a clear error, and the next good request its answer."""

    async def goes_on(self, client: RawClient) -> None:
        _, wrong = await client.result("whoami")
        self.assertFalse(wrong)

    async def test_not_json(self) -> None:
        """A line that doesn't parse is answered with -32700 and id null."""
        client = await self.greeted("alice")
        client.write(b"what is this?\n")
        answer = await client.lines.get()
        self.assertEqual((answer["id"], answer["error"]["code"]), (None, -32700))
        await self.goes_on(client)

    async def test_first_line(self) -> None:
        """That holds before the handshake too."""
        client = await self.connect("alice")
        client.write(b"what is this?\n", b"[1]\n")
        codes = [(await client.lines.get())["error"]["code"] for _ in range(2)]
        self.assertEqual(codes, [-32700, -32600])
        await client.greet()
        await self.goes_on(client)

    async def test_no_message(self) -> None:
        """JSON that is no request is answered with -32600."""
        client = await self.greeted("alice")
        client.write(b'{"id":9}\n')
        answer = await client.lines.get()
        self.assertEqual((answer["id"], answer["error"]["code"]), (9, -32600))
        await self.goes_on(client)

    async def test_blank_lines(self) -> None:
        """Blank lines are passed over."""
        client = await self.greeted("alice")
        client.write(b"\n", b"  \r\n")
        await self.goes_on(client)

    async def test_unknown_method(self) -> None:
        """An unknown method is answered with -32601."""
        client = await self.greeted("alice")
        id = client.ask("tools/destroy")
        answer = await client.lines.get()
        self.assertEqual((answer["id"], answer["error"]["code"]), (id, -32601))
        await self.goes_on(client)

    async def test_before_the_handshake(self) -> None:
        """A call before the handshake is an error that names the remedy."""
        client = await self.connect("alice")
        client.call("whoami")
        error = (await client.lines.get())["error"]
        self.assertEqual(error["code"], -32602)
        self.assertIn("initialize", error["message"])
        await client.greet()
        await self.goes_on(client)

    async def test_id_in_use(self) -> None:
        """A second request with the id of one that still runs is refused."""
        client = await self.greeted("bob")
        waiting = client.call("recv", wait_seconds=40)
        client.write(request(waiting, "tools/list"))
        answer = await client.lines.get()
        self.assertEqual((answer["id"], answer["error"]["code"]), (None, -32600))
        self.assertIn(str(waiting), answer["error"]["message"])
        await self.broker.send("alice", "bob", "hi")
        self.assertEqual((await client.lines.get())["id"], waiting)

    async def test_discover(self) -> None:
        """The probe of a newer protocol is answered at once, with the server's name."""
        client = await self.connect("alice")
        prefix = "io.modelcontextprotocol/"
        meta = {
            prefix + "protocolVersion": "2026-07-28",
            prefix + "clientInfo": {"name": "test", "version": "1"},
            prefix + "clientCapabilities": {},
        }
        client.write(request("probe-1", "server/discover", {"_meta": meta}))
        answer = await client.lines.get()
        self.assertEqual(answer["id"], "probe-1")
        self.assertEqual(
            answer["result"]["_meta"][prefix + "serverInfo"],
            {"name": "hyperhive", "version": "1.2.3"},
        )


@implementer(IPullProducer)
class Endless:
    """Writes as long as there is somebody to write to."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def resumeProducing(self) -> None:
        self.transport.write(b"x" * 65536)

    def stopProducing(self) -> None:
        """The peer is gone."""


class TooLongTests(McpCase):
    """A line over 4 MiB."""

    async def test_refused(self) -> None:
        """A peer that writes 5 MiB gets an error, then the end; the next is served."""
        client = await self.greeted("alice")
        client.write(b"x" * (5 * 1024 * 1024) + b"\n")
        error = (await client.lines.get())["error"]
        self.assertEqual(error["code"], -32700)
        self.assertIn(str(4 * 1024 * 1024), error["message"])
        await client.finished
        other = await self.greeted("alice")
        _, wrong = await other.result("whoami")
        self.assertFalse(wrong)

    async def test_answers_before_it(self) -> None:
        """What was asked before the line is still answered."""
        client = await self.greeted("alice")
        asked = client.call("whoami")
        client.write(b"x" * (5 * 1024 * 1024))
        answers = [await client.lines.get() for _ in range(2)]
        self.assertEqual({answer["id"] for answer in answers}, {asked, None})
        await client.finished

    async def test_cut(self) -> None:
        """A peer that never stops writing is cut."""
        self.patch(connection, "LINGER", 0.01)
        client = await self.greeted("alice")
        client.readConnectionLost = lambda: None
        client.transport.registerProducer(Endless(client.transport), False)
        await client.ended

    async def test_largest(self) -> None:
        """A line of exactly 4 MiB is taken."""
        client = await self.greeted("alice")
        line = b'{"jsonrpc":"2.0","id":"big","method":"ping","params":{"x":"'
        end = b'"}}'
        client.write(line.ljust(4 * 1024 * 1024 - len(end), b"x") + end + b"\n")
        self.assertEqual((await client.lines.get())["id"], "big")


class BoundTests(McpCase):
    """A peer that asks and asks costs no more than a few requests."""

    async def test_in_flight(self) -> None:
        """Of 1000 pipelined calls 64 run; as answers go out, further ones are read."""
        calls: list[str] = []
        receive = self.broker.receive

        def counting(*arguments: Any) -> Any:
            calls.append(arguments[1])
            return receive(*arguments)

        self.patch(self.broker, "receive", counting)
        client = await self.greeted("bob")
        for _ in range(1000):
            client.call("recv", wait_seconds=40)
        # The handshake's last notification may still count as one.
        await self.until(lambda: len(calls) >= 63)
        await self.settle()
        self.assertLessEqual(len(calls), 64)
        for n in range(32):
            await self.broker.send("alice", "bob", f"message {n}")
        await self.until(lambda: len(calls) >= 95)
        await self.settle()
        self.assertLessEqual(len(calls), 96)
        for _ in range(32):
            _, wrong = text_of(await client.lines.get())
            self.assertFalse(wrong)

    async def test_answers_not_read(self) -> None:
        """Who doesn't read answers is soon not read; all is answered once it reads."""
        for n in range(500):
            self.agents.add(f"a{n}")
        asked = 0
        names = self.agents.names

        def counting() -> tuple[str, ...]:
            nonlocal asked
            asked += 1
            return names()

        self.patch(self.agents, "names", counting)
        client = await self.greeted("alice")
        client.transport.pauseProducing()
        for _ in range(1000):
            client.call("whoami")
        await self.until(lambda: asked >= 63)
        await self.settle()
        # 30 are of settle(); the rest fill the kernel's buffer and the 64.
        self.assertLess(asked, 400)
        client.transport.resumeProducing()
        ids = [(await client.lines.get())["id"] for _ in range(1000)]
        self.assertEqual(len(set(ids)), 1000)

    async def test_garbage_not_read(self) -> None:
        """The same holds for lines that are only refused."""
        refused = 0
        decode = connection.decode

        def counting(line: bytes) -> Any:
            nonlocal refused
            refused += line == b"?"
            return decode(line)

        self.patch(connection, "decode", counting)
        client = await self.greeted("alice")
        client.transport.pauseProducing()
        client.write(b"?\n" * 100_000)
        await self.until(lambda: refused > 64)
        await self.settle()
        self.assertLess(refused, 20_000)
        client.transport.resumeProducing()
        for _ in range(100_000):
            await client.lines.get()

    async def test_notifications(self) -> None:
        """Any number of notifications is taken, and what follows them is answered."""
        client = await self.greeted("alice")
        client.write(b'{"jsonrpc":"2.0","method":"notifications/x"}\n' * 10_000)
        _, wrong = await client.result("whoami")
        self.assertFalse(wrong)

    async def test_large_messages(self) -> None:
        """A large request counts for many, so that few of them are held at once."""
        calls = 0
        receive = self.broker.receive

        def counting(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return receive(*arguments)

        self.patch(self.broker, "receive", counting)
        client = await self.greeted("bob")
        for n in range(40):
            arguments = {"wait_seconds": 40}
            params = {"name": "recv", "arguments": arguments, "pad": "x" * 1_000_000}
            client.write(request(f"r{n}", "tools/call", params))
        await self.until(lambda: calls > 0)
        await self.settle()
        self.assertLessEqual(calls, 5)

    async def test_connections(self) -> None:
        """Connections are served at once up to a limit; one more is told so."""
        self.patch(sockets, "MAX_CONNECTIONS", 3)
        clients = [await self.greeted("alice") for _ in range(3)]
        one_more = await self.connect("alice")
        error = (await one_more.lines.get())["error"]
        self.assertIn("3 connections already", error["message"])
        await one_more.finished
        for client in clients:
            client.call("whoami")
        for client in clients:
            _, wrong = text_of(await client.lines.get())
            self.assertFalse(wrong)
        clients[0].transport.loseConnection()
        await clients[0].ended
        await self.settle_alice()

    async def settle_alice(self) -> None:
        """Connect again as soon as the one that left is forgotten."""
        while True:
            client = await self.connect("alice")
            client.ask("ping")
            answer = await client.lines.get()
            if "result" in answer:
                return
            await client.ended


class EndTests(McpCase):
    """How a connection ends, and what becomes of what it asked."""

    async def test_half_close(self) -> None:
        """Who only closes its writing side gets all answers, then the end."""
        client = await self.greeted("alice")
        first = client.call("whoami")
        client.write(b'{"jsonrpc":"2.0","id":"last","method":"ping"}')
        client.transport.loseWriteConnection()
        ids = {(await client.lines.get())["id"] for _ in range(2)}
        self.assertEqual(ids, {first, "last"})
        await client.finished

    async def test_half_close_in_a_wait(self) -> None:
        """That includes a long poll."""
        client = await self.greeted("bob")
        client.call("recv", wait_seconds=40)
        client.transport.loseWriteConnection()
        await self.settle()
        await self.broker.send("alice", "bob", "hello")
        text, _ = text_of(await client.lines.get())
        self.assertIn("hello", text)
        await client.finished

    async def waiting(self) -> RawClient:
        """A client in a long poll that has begun."""
        client = await self.greeted("bob")
        client.call("recv", wait_seconds=40)
        await client.result("whoami")
        return client

    async def not_taken(self) -> None:
        """A message that is sent now is not handed to whoever has left."""
        (id,) = await self.broker.send("alice", "bob", "hello")
        self.assertEqual(await self.state(id), (MessageState.QUEUED, False))

    async def test_leaves_in_a_wait(self) -> None:
        """A peer that leaves ends its long poll; nothing is handed to it."""
        ended = self.releases()
        client = await self.waiting()
        client.transport.abortConnection()
        await self.until(lambda: ended == ["mcp:bob:1"])
        await self.not_taken()

    async def test_leaves_after_half_close(self) -> None:
        """Also one that closed its writing side before, as socat does."""
        self.patch(connection, "LOOK_EVERY", 0.01)
        ended = self.releases()
        client = await self.waiting()
        client.readConnectionLost = lambda: None
        client.transport.loseWriteConnection()
        await self.settle()
        self.assertEqual([name for name in ended if "bob" in name], [])
        client.transport.abortConnection()
        await self.until(lambda: "mcp:bob:1" in ended)
        await self.not_taken()

    async def test_leaves_while_not_read(self) -> None:
        """Also one that had asked for too much to be read on."""
        self.patch(connection, "LOOK_EVERY", 0.01)
        ended = self.releases()
        client = await self.greeted("bob")
        for _ in range(100):
            client.call("recv", wait_seconds=40)
        await self.settle()
        client.transport.abortConnection()
        await self.until(lambda: "mcp:bob:1" in ended)
        await self.not_taken()

    def releases(self) -> list[str]:
        """The names of connections that have ended, as they do."""
        ended: list[str] = []
        release = self.broker.release

        def noting(name: str) -> Any:
            return release(name).addCallback(lambda _: ended.append(name))

        self.patch(self.broker, "release", noting)
        return ended

    async def test_cancelled(self) -> None:
        """A cancelled call is not answered, takes no message, and the rest goes on."""
        client = await self.waiting()
        params = {"requestId": 2, "reason": "enough"}
        client.write(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        )
        await client.result("whoami")
        await self.settle()
        await self.not_taken()
        _, wrong = await client.result("whoami")
        self.assertFalse(wrong)

    async def test_answer_lost(self) -> None:
        """In a turn, too, messages go back if their answer never left the process."""
        await self.broker.send("bob", "alice", "the turn's own")
        await self.broker.begin_turn("alice")
        # More than the kernel holds for a peer that doesn't read.
        for _ in range(3):
            (id,) = await self.broker.send("bob", "alice", "x" * 262_144)
        ended = self.releases()
        client = await self.greeted("alice")
        client.transport.pauseProducing()
        client.call("recv", max=3)
        await self.until(lambda: self.broker.unread("alice") == 0)
        self.assertEqual(await self.state(id), (MessageState.LEASED, False))
        client.transport.abortConnection()
        await self.until(lambda: ended == ["mcp:alice:1"])
        self.assertEqual(await self.state(id), (MessageState.QUEUED, True))
        self.assertEqual(self.broker.unread("alice"), 3)

    async def test_no_acknowledgement_before_the_answer(self) -> None:
        """A call made before recv's answer has left says nothing about that answer."""
        ids = []
        for _ in range(3):
            ids += await self.broker.send("alice", "bob", "x" * 262_144)
        ended = self.releases()
        client = await self.greeted("bob")
        client.transport.pauseProducing()
        client.call("recv", max=3)
        await self.until(lambda: self.broker.unread("bob") == 0)
        client.call("set_status", text="next")
        await self.until(lambda: self.agents.calls != [])
        self.assertEqual(await self.state(ids[0]), (MessageState.LEASED, False))
        client.transport.abortConnection()
        await self.until(lambda: ended == ["mcp:bob:1"])
        self.assertEqual(await self.state(ids[0]), (MessageState.QUEUED, True))

    async def test_progress(self) -> None:
        """A client that gave a token hears now and then that its call still runs."""
        self.patch(server, "PROGRESS_EVERY", 0.01)
        client = await self.greeted("bob")
        params = {
            "name": "recv",
            "arguments": {"wait_seconds": 40},
            "_meta": {"progressToken": "tok"},
        }
        id = client.ask("tools/call", params)
        heard = [await client.lines.get() for _ in range(3)]
        for line in heard:
            self.assertEqual(line["method"], "notifications/progress")
            self.assertEqual(line["params"]["progressToken"], "tok")
        passed = [line["params"]["progress"] for line in heard]
        self.assertEqual(passed, sorted(set(passed)))
        await self.broker.send("alice", "bob", "hello")
        answer = await client.lines.get()
        while "id" not in answer:
            answer = await client.lines.get()
        self.assertEqual(answer["id"], id)
