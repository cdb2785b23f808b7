"""The admin protocol's connections: framing, order, limits, and how they end."""

import json

from twisted.python.failure import Failure

from hyperhive.admin.protocol import (
    BATCH,
    CLOSE_SECONDS,
    LINGER_SECONDS,
    MAX_LINE,
    MAX_WAITING,
)
from tests.admin.support import AdminCase

LIST = b'{"cmd":"list"}\n'
LISTED = b'{"version":1,"ok":true,"agents":["hm1nd","alice","bob"]}'


class FramingTests(AdminCase):
    """Lines in, lines out."""

    def test_byte_by_byte(self) -> None:
        """A request may come in any pieces."""
        for byte in LIST:
            self.client.send(bytes([byte]))
        self.assertEqual(self.client.lines(), [LISTED])

    def test_many_in_one_piece(self) -> None:
        """Several requests in one piece get an answer each, in order."""
        self.client.send(LIST + b'{"cmd":"urls"}\r\n' + LIST)
        answers = self.client.answers()
        self.assertEqual(
            ["agents" in answer for answer in answers], [True, False, True]
        )

    def test_empty_lines(self) -> None:
        """Empty lines are no requests."""
        self.client.send(b"\n\r\n  \n" + LIST)
        self.assertEqual(self.client.lines(), [LISTED])

    def test_usable_after_errors(self) -> None:
        """Each line that is no request gets an error that names what is wrong, and the next is answered."""
        for line, words in (
            (b"{oops", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (b"[]", "not a JSON object"),
            (b'"list"', "not a JSON object"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"cmd":"list","cmd":"list"}', "'cmd' stands twice"),
            (b'{"cmd":"inbox","limit":NaN}', "NaN"),
            (b"{}", 'no "cmd"'),
            (b'{"cmd":7}', "no cmd 7"),
            (b'{"cmd":["list"]}', "no cmd a list"),
            (b'{"cmd":"frobnicate"}', "no cmd 'frobnicate'; there are list, "),
        ):
            self.client.send(line + b"\n")
            [answer] = self.client.answers()
            self.assert_refused(answer, words)
            self.client.send(LIST)
            self.assertEqual(self.client.lines(), [LISTED])

    def test_long_value_is_not_repeated(self) -> None:
        """An error repeats only the beginning of what was sent."""
        answer = self.client.ask({"cmd": "x" * 500_000})
        self.assertLess(len(answer["error"]), 1000)

    def test_defect(self) -> None:
        """A defect is logged, and whoever asked hears only that something went wrong."""
        self.agents.failures["compact"] = ZeroDivisionError("secret")
        answer = self.client.ask({"cmd": "compact", "name": "bob"})
        self.assert_refused(answer, "went wrong", "log")
        self.assertNotIn("secret", answer["error"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.client.ask({"cmd": "list"})["ok"])


class OrderTests(AdminCase):
    """A connection's answers come in order; another connection is not held up."""

    def test_long_verb(self) -> None:
        """What was asked behind a long verb is answered behind it, and elsewhere at once."""
        self.agents.hold("spawn")
        self.client.send({"cmd": "spawn", "name": "carol"}, LIST)
        self.assertEqual(self.client.lines(), [])
        self.assertEqual(self.connect().ask({"cmd": "list"})["agents"][1], "alice")
        self.agents.finish("spawn")
        spawned, listed = self.client.answers()
        self.assertEqual(spawned, {"version": 1, "ok": True})
        self.assertIn("carol", listed["agents"])

    def test_long_verb_fails(self) -> None:
        """A failure is answered as well as a success."""
        self.agents.hold("spawn")
        self.client.send({"cmd": "spawn", "name": "carol"})
        self.agents.finish("spawn", ZeroDivisionError())
        [answer] = self.client.answers()
        self.assert_refused(answer, "went wrong")
        self.flushLoggedErrors(ZeroDivisionError)

    def test_client_leaves(self) -> None:
        """A verb goes on when its client leaves, and nobody is answered."""
        self.agents.hold("spawn")
        self.client.send({"cmd": "spawn", "name": "carol"}, LIST)
        self.client.connection.connectionLost(Failure(ConnectionError()))
        self.agents.finish("spawn")
        self.assertIn("carol", self.agents.names())
        self.assertEqual(self.client.lines(), [])
        self.assertEqual(self.factory.open, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_batches(self) -> None:
        """Many requests at once are answered in portions, between which others have their turn."""
        self.client.send(LIST * (BATCH + 1))
        self.assertEqual(len(self.client.lines()), BATCH)
        self.clock.advance(0)
        self.assertEqual(self.client.lines(), [LISTED])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BackPressureTests(AdminCase):
    """What a client can make the hive hold is bounded."""

    def test_many_requests_wait(self) -> None:
        """Behind a long verb so many requests are taken, then nothing is read, then all are answered."""
        self.agents.hold("spawn")
        self.client.send({"cmd": "spawn", "name": "carol"}, LIST * (MAX_WAITING - 1))
        self.assertTrue(self.client.is_read)
        self.client.send(LIST)
        self.assertFalse(self.client.is_read)
        self.agents.finish("spawn")
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        self.assertEqual(len(self.client.lines()), MAX_WAITING + 1)
        self.assertTrue(self.client.is_read)

    def test_large_requests_wait(self) -> None:
        """Large ones are fewer."""
        self.agents.hold("spawn")
        body = "x" * (MAX_LINE // 2)
        self.client.send({"cmd": "spawn", "name": "carol"})
        self.client.send({"cmd": "send", "to": "bob", "body": body})
        self.assertTrue(self.client.is_read)
        self.client.send({"cmd": "send", "to": "bob", "body": body})
        self.assertFalse(self.client.is_read)

    def test_answers_not_read(self) -> None:
        """While a client doesn't read its answers, no more requests are taken or answered."""
        self.client.stops_reading()
        self.assertFalse(self.client.is_read)
        self.client.send(LIST)
        self.assertEqual(self.client.lines(), [])
        self.client.reads_again()
        self.assertEqual(self.client.lines(), [LISTED])
        self.assertTrue(self.client.is_read)


class EndTests(AdminCase):
    """How a connection ends."""

    def test_half_close(self) -> None:
        """A client that has sent all still gets its answers; then the hive closes."""
        self.agents.hold("compact")
        self.client.send({"cmd": "compact", "name": "bob"}, LIST)
        self.client.ends()
        self.assertFalse(self.client.is_closed)
        self.agents.finish("compact")
        self.assertEqual(self.client.lines()[1], LISTED)
        self.assertTrue(self.client.is_closed)

    def test_no_line_end(self) -> None:
        """The last request needs no line end."""
        self.client.send(LIST.strip())
        self.assertEqual(self.client.lines(), [])
        self.client.ends()
        self.assertEqual(self.client.lines(), [LISTED])
        self.assertTrue(self.client.is_closed)

    def test_last_lines_not_taken(self) -> None:
        """Who does not take the last lines in time is cut."""
        self.client.send(LIST)
        self.client.ends()
        self.clock.advance(CLOSE_SECONDS - 0.1)
        self.assertFalse(self.client.transport.cut)
        self.clock.advance(0.1)
        self.assertTrue(self.client.transport.cut)

    def test_reads_no_more(self) -> None:
        """Who reads no more is cut: nothing could be answered."""
        self.client.connection.writeConnectionLost()
        self.assertTrue(self.client.transport.cut)


class LongLineTests(AdminCase):
    """A line over the limit is an error, and the end of the connection."""

    def test_limit(self) -> None:
        """A line may have as many bytes as the limit says, and no more."""
        head, tail = b'{"cmd":"list","pad":"', b'"}'
        pad = b"x" * (MAX_LINE - len(head) - len(tail))
        self.client.send(head + pad + tail + b"\n")
        self.assert_refused(*self.client.answers(), "'pad'")
        self.client.send(head + pad + b"x" + tail + b"\n")
        self.assert_refused(*self.client.answers(), str(MAX_LINE))

    def test_told_then_closed(self) -> None:
        """The client is told, gets the end of the stream, and what it still sends is dropped."""
        self.client.send(b"x" * (MAX_LINE + 1))
        self.assert_refused(*self.client.answers(), str(MAX_LINE), "closed")
        self.assertTrue(self.client.transport.half_closed)
        self.assertFalse(self.client.is_closed)
        self.assertTrue(self.client.is_read)
        self.client.connection.writeConnectionLost()
        self.client.send(b"x" * MAX_LINE, b"\n", LIST)
        self.assertEqual(self.client.lines(), [])
        self.client.ends()
        self.assertTrue(self.client.is_closed)
        self.assertFalse(self.client.transport.cut)

    def test_never_ends(self) -> None:
        """Who goes on sending is cut."""
        self.client.send(b"x" * (MAX_LINE + 1))
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.client.transport.cut)

    def test_earlier_requests(self) -> None:
        """What was asked before is answered before; nothing is read in the meantime."""
        self.agents.hold("compact")
        self.client.send({"cmd": "compact", "name": "bob"}, LIST)
        self.client.send(b"x" * (MAX_LINE + 1))
        self.assertEqual(self.client.lines(), [])
        self.assertFalse(self.client.is_read)
        self.agents.finish("compact")
        compacted, listed, refused = self.client.answers()
        self.assertTrue(compacted["ok"])
        self.assertEqual(listed, json.loads(LISTED))
        self.assert_refused(refused, str(MAX_LINE))

    def test_already_at_end(self) -> None:
        """Who had ended what it sends is told and closed at once."""
        self.agents.hold("compact")
        self.client.send({"cmd": "compact", "name": "bob"})
        self.client.send(b"x" * (MAX_LINE + 1))
        self.client.ends()
        self.agents.finish("compact")
        self.assertEqual(len(self.client.lines()), 2)
        self.assertTrue(self.client.is_closed)

    def test_subscriber(self) -> None:
        """The error is the last word also to a subscriber; what happens later is not told."""
        self.client.send({"cmd": "subscribe"})
        self.client.send(b"x" * (MAX_LINE + 1))
        self.assertEqual(len(self.client.lines()), 2)
        self.hive.bus.publish("note")
        self.assertEqual(self.client.lines(), [])

    def test_answers_not_read(self) -> None:
        """Who doesn't read its answers is told when it reads again."""
        self.client.stops_reading()
        self.client.send(b"x" * (MAX_LINE + 1))
        self.assertEqual(self.client.lines(), [])
        self.client.reads_again()
        self.assert_refused(*self.client.answers(), str(MAX_LINE))
