"""Event streams: in order, resumable, alive, and bounded for who does not read."""

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hyperhive.bus import MAX_BACKLOG
from hyperhive.web.requests import HiveSite
from hyperhive.web.sse import MAX_STREAMS, PING_EVERY
from tests.web.support import FIRST_SEQ, WebCase, turn_ended, turn_started


def frames(text: bytes) -> list[dict[str, str]]:
    """The frames of a stream: fields, comments under ``:``."""
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        fields = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields[name or ":"] = value
        found.append(fields)
    return found


class Reader:
    """A browser's end of one stream, whose transport can be blocked."""

    def __init__(self, case: "StreamTests", path: str, **headers: str) -> None:
        self._transport = StringTransport()
        site = HiveSite(case.hive.web.root(), case.clock)
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self._transport)
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {case.hive.token}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]
        self.protocol.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.head, _, _ = self._transport.value().partition(b"\r\n\r\n")

    @property
    def body(self) -> bytes:
        """What was sent, its chunks joined."""
        _, _, rest = self._transport.value().partition(b"\r\n\r\n")
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return body

    @property
    def frames(self) -> list[dict[str, str]]:
        """The frames but for the first, which says when to come back."""
        return frames(self.body)[1:]

    @property
    def events(self) -> list[Any]:
        """The events' JSON."""
        return [json.loads(frame["data"]) for frame in self.frames if "id" in frame]

    @property
    def ended(self) -> bool:
        """Whether the answer is at its end."""
        return self._transport.value().endswith(b"0\r\n\r\n")

    def block(self) -> None:
        """Let the transport take no more."""
        self._transport.producer.pauseProducing()

    def flow(self) -> None:
        """Let it take more."""
        self._transport.producer.resumeProducing()

    def leave(self) -> None:
        """Close the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class StreamTests(WebCase):
    """Streams over the real site."""

    def read(self, path: str = "/events/stream", **headers: str) -> Reader:
        """Open a stream."""
        reader = Reader(self, path, **headers)
        self.addCleanup(reader.leave)
        return reader

    def publish(self, *texts: str, agent: str | None = None) -> None:
        """Let notes happen."""
        for text in texts:
            self.hive.bus.publish("note", {"text": text}, agent)

    def texts(self, reader: Reader) -> list[str]:
        """The notes that it got."""
        return [event["text"] for event in reader.events if event["kind"] == "note"]

    def test_frames(self) -> None:
        """Each event is one frame: its number, its kind, and one line of JSON."""
        reader = self.read()
        self.assertIn(b"200", reader.head)
        self.assertIn(b"text/event-stream", reader.head.lower())
        self.assertIn(b"no-store", reader.head)
        self.publish("two\nlines\r\né")
        [frame] = reader.frames
        self.assertEqual(frame["id"], str(self.hive.bus.seq))
        self.assertEqual(frame["event"], "note")
        event = json.loads(frame["data"])
        self.assertEqual(event["text"], "two\nlines\r\né")
        self.assertEqual(event["seq"], self.hive.bus.seq)
        self.assertEqual(frames(reader.body)[0], {"retry": "2000"})

    def test_through_a_client(self) -> None:
        """An HTTP client sees events as they happen, and its leaving ends the stream."""
        got: list[bytes] = []
        response = self.ask("GET", "/events/stream")
        collecting = self.client.collect(response, got.append)
        self.publish("one")
        self.client.flush()
        self.assertIn(b'"text":"one"', b"".join(got))
        self.assertNoResult(collecting)

    def test_resume_by_header(self) -> None:
        """A browser that comes back gets what it missed, once and in order."""
        self.publish("one", "two", "three")
        reader = self.read(Last_Event_ID=str(self.hive.bus.seq - 2))
        self.publish("four")
        self.assertEqual(self.texts(reader), ["two", "three", "four"])

    def test_resume_by_query(self) -> None:
        """A page begins after its snapshot; what its browser knows is newer."""
        seq = self.get("/api/state")["seq"]
        self.publish("one", "two")
        self.assertEqual(
            self.texts(self.read(f"/events/stream?since={seq}")), ["one", "two"]
        )
        reader = self.read(f"/events/stream?since={seq}", Last_Event_ID=str(seq + 1))
        self.assertEqual(self.texts(reader), ["two"])

    def test_too_far_back(self) -> None:
        """What is no longer kept, or never was, makes the page load its state."""
        for since in (0, FIRST_SEQ - 2, self.hive.bus.seq + 1, 2**62):
            reader = self.read(f"/events/stream?since={since}")
            self.assertEqual(reader.frames, [{"event": "resync", "data": "{}"}])
            self.assertTrue(reader.ended)

    def test_bad_numbers(self) -> None:
        """A number that is none is refused."""
        for path, headers in (
            ("/events/stream?since=x", {}),
            ("/events/stream?since=-1", {}),
            ("/events/stream", {"last-event-id": "x"}),
            ("/events/stream", {"last-event-id": "9" * 30}),
            ("/events/stream?topics=" + ",".join("abcdefghijklmnopqrstuvwxyz"), {}),
        ):
            self.assert_refused(self.ask("GET", path, headers=headers), 400)

    def test_topics(self) -> None:
        """A stream can be narrowed to topics or kinds."""
        reader = self.read("/events/stream?topics=message,turn_end")
        self.publish("not this")
        self.hive.bus.publish("turn_start", turn_started(), "alice")
        self.hive.bus.publish("turn_end", turn_ended(), "alice")
        self.successResultOf(self.hive.broker.send("operator", "bob", "hi"))
        self.assertEqual(
            [frame["event"] for frame in reader.frames], ["turn_end", "message_sent"]
        )

    def test_messages(self) -> None:
        """The messages' stream has broker traffic only."""
        reader = self.read("/messages/stream")
        self.publish("not this")
        [number] = self.successResultOf(self.hive.broker.send("operator", "bob", "hi"))
        self.successResultOf(self.hive.broker.begin_turn("bob"))
        self.assertEqual(
            [(event["kind"], event["id"]) for event in reader.events],
            [("message_sent", number), ("message_leased", number)],
        )

    def test_agent(self) -> None:
        """An agent's stream has what is about it."""
        reader = self.read("/agent/alice/events/stream")
        self.publish("bob's", agent="bob")
        self.publish("nobody's")
        self.publish("alice's", agent="alice")
        self.hive.bus.publish("deploy_log", {"job": 1, "line": "x"}, "alice")
        self.hive.agents.change("alice", paused=True)
        self.hive.agents.change("bob", paused=True)
        self.successResultOf(self.hive.broker.send("bob", "alice", "hi"))
        self.assertEqual(
            [(event["kind"], event["agent"]) for event in reader.events],
            [("note", "alice"), ("agent_state", "alice"), ("message_sent", "alice")],
        )

    def test_ping(self) -> None:
        """A silent stream says every 15 s that it lives; all share one timer."""
        first, second = self.read(), self.read()
        self.clock.advance(PING_EVERY - 1)
        self.assertEqual(first.frames, [])
        self.clock.advance(1)
        self.clock.advance(PING_EVERY)
        for reader in (first, second):
            self.assertEqual(reader.frames, [{":": "ping"}, {":": "ping"}])

    def test_no_timer_without_readers(self) -> None:
        """When the last reader leaves, nothing of it stays."""
        before = len(self.clock.getDelayedCalls())
        reader = Reader(self, "/events/stream")
        reader.leave()
        self.publish("to nobody")
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        self.assertIn(
            "hyperhive_event_streams 0", self.text(self.ask("GET", "/metrics"))
        )

    def test_slow_reader(self) -> None:
        """What a blocked reader misses is held and comes in order; pings are not heaped up."""
        reader = self.read()
        reader.block()
        self.publish("one", "two")
        self.clock.advance(10 * PING_EVERY)
        self.assertEqual(reader.frames, [])
        reader.flow()
        self.publish("three")
        self.assertEqual(self.texts(reader), ["one", "two", "three"])
        self.assertEqual(len(reader.frames), 3)

    def test_blocked_within(self) -> None:
        """A reader that blocks again while it catches up loses nothing."""
        reader = self.read()
        reader.block()
        self.publish("one", "two")
        written = self.hive.bus.publish("note", {"text": "x" * 10})
        reader.flow()
        reader.block()
        reader.flow()
        self.assertEqual(self.texts(reader), ["one", "two", "x" * 10])
        self.assertEqual(reader.events[-1]["seq"], written.seq)

    def test_too_slow(self) -> None:
        """A reader a mebibyte behind is told to load the state, and its stream ends."""
        reader, other = self.read(), self.read()
        reader.block()
        for _ in range(MAX_BACKLOG // 100_000 + 1):
            self.publish("x" * 100_000)
        reader.flow()
        self.assertEqual(reader.frames, [{"event": "resync", "data": "{}"}])
        self.assertTrue(reader.ended)
        self.assertEqual(len(other.events), MAX_BACKLOG // 100_000 + 1)
        self.assertFalse(other.ended)

    def test_connection_lives_on(self) -> None:
        """After a stream's end its connection takes the next request."""
        reader = self.read("/events/stream?since=0")
        reader.protocol.dataReceived(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        self.assertTrue(reader._transport.value().endswith(b"ok\n"))

    def test_bounded(self) -> None:
        """There are so many streams and no more; one that ends makes room."""
        readers = [self.read() for _ in range(MAX_STREAMS)]
        response = self.ask("GET", "/events/stream")
        self.assert_refused(response, 503, str(MAX_STREAMS))
        readers[0].leave()
        self.assertIn(b"200", self.read().head)
        readers[0] = self.read()  # its cleanup leaves again: that is harmless

    def test_logout_ends_streams(self) -> None:
        """After a logout nothing more is read: streams end, and need a login to return."""
        reader = self.read()
        self.assertEqual(self.ask("POST", "/logout").code, 303)
        self.publish("secret")
        self.assertEqual(reader.frames, [])
        self.assertTrue(reader.ended)

    def test_stop_ends_streams(self) -> None:
        """The service's end is the streams' end."""
        self.successResultOf(self.hive.web.start())
        reader = self.read()
        self.successResultOf(self.hive.web.stop())
        self.assertTrue(reader.ended)
        reader.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
