"""Lines to messages and back, and what is said of lines that are none."""

import json

from mcp.types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.mcp.framing import Malformed, decode, encode


class FramingTests(SynchronousTestCase):
    """:func:`decode` and :func:`encode`."""

    def refused(self, line: bytes) -> dict:
        """The line's answer; it is one line of JSON-RPC."""
        reply = self.assertRaises(Malformed, decode, line).reply
        self.assertEqual(reply.count(b"\n"), 1)
        self.assertTrue(reply.endswith(b"\n"))
        answer = json.loads(reply)
        self.assertEqual(answer["jsonrpc"], "2.0")
        return answer

    def test_messages(self) -> None:
        """Requests with number and text ids, notifications and responses are told apart."""
        request = decode(b'{"jsonrpc":"2.0","id":"7","method":"m","params":{"a":1}}\r')
        assert isinstance(request, JSONRPCRequest)
        self.assertEqual((request.id, request.params), ("7", {"a": 1}))
        request = decode(b'{"jsonrpc":"2.0","id":7,"method":"m"}')
        assert isinstance(request, JSONRPCRequest)
        self.assertEqual(request.id, 7)
        self.assertIsInstance(
            decode(b'{"jsonrpc":"2.0","method":"m"}'), JSONRPCNotification
        )
        self.assertIsInstance(
            decode(b'{"jsonrpc":"2.0","id":7,"result":{}}'), JSONRPCResponse
        )

    def test_encode(self) -> None:
        """A message is one line, also if its text has newlines."""
        message = JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "a\nb ☃"})
        line = encode(message)
        self.assertEqual(line.count(b"\n"), 1)
        self.assertEqual(json.loads(line)["result"], {"text": "a\nb ☃"})

    def test_not_json(self) -> None:
        """What is not JSON is a parse error with id null."""
        for line in (
            b"hello",
            b"{",
            b'{"a":NaN}',
            b"\xff\xfe",
            b'"\\ud800"',
            b"[" * 9999,
        ):
            answer = self.refused(line)
            self.assertIsNone(answer["id"])
            self.assertEqual(answer["error"]["code"], -32700)
            self.assertIn("not JSON", answer["error"]["message"])

    def test_no_message(self) -> None:
        """JSON that is no message is an invalid request, with its id if it has one."""
        for line, id, expected in (
            (b"7", None, "must be a JSON object"),
            (b"[]", None, "one message a line"),
            (b"{}", None, '"jsonrpc": "2.0"'),
            (b'{"jsonrpc":"2.0","id":1}', 1, "needs a method"),
            (b'{"jsonrpc":"2.0","id":"x","method":3}', "x", "needs a method"),
            (b'{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}', 1, "an object"),
            (b'{"jsonrpc":"2.0","id":null,"method":"m"}', None, "id must be"),
            (b'{"jsonrpc":"2.0","id":true,"method":"m"}', None, "id must be"),
            (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', None, "id must be"),
            (b'{"jsonrpc":"2.0","id":1,"error":"no"}', 1, "needs a method"),
        ):
            answer = self.refused(line)
            self.assertEqual(answer["id"], id, line)
            self.assertEqual(answer["error"]["code"], -32600)
            self.assertIn(expected, answer["error"]["message"], line)
