"""Bodies are bounded however they are sent, and the connection stays usable."""

import json

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hyperhive.web.requests import MAX_BODY, MAX_DISCARDED, HiveSite
from tests.web.support import WebCase


class BodyTests(WebCase):
    """Raw requests to the real site."""

    def setUp(self) -> None:
        """A connection."""
        super().setUp()
        site = HiveSite(self.hive.web.root(), self.clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        self.transport = StringTransport()
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.addCleanup(self.protocol.connectionLost, Failure(ConnectionDone()))

    def begin(self, *headers: str, path: str = "/op-send", token: str = "") -> None:
        """Send the head of a request."""
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: localhost:7000",
            f"Authorization: Bearer {token or self.hive.token}",
            *headers,
        )
        self.protocol.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n")

    def answer(self) -> tuple[int, bytes]:
        """The code and body of what was answered since the last."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        return int(head.split()[1]), body

    def chunk(self, data: bytes) -> bytes:
        """A piece of a chunked body."""
        return b"%x\r\n%s\r\n" % (len(data), data)

    def assert_works(self) -> None:
        """The next request is answered."""
        body = b'{"to": "bob", "body": "hi"}'
        self.begin(f"Content-Length: {len(body)}", "Content-Type: application/json")
        self.protocol.dataReceived(body)
        self.assertEqual(self.answer()[0], 200)

    def test_largest(self) -> None:
        """A body of the limit is read."""
        head, tail = b'{"to": "bob"', b', "body": "hi"}'
        body = head + b" " * (MAX_BODY - len(head) - len(tail)) + tail
        self.begin(f"Content-Length: {len(body)}", "Content-Type: application/json")
        self.protocol.dataReceived(body)
        self.assertEqual(self.answer()[0], 200)

    def test_announced(self) -> None:
        """A body that says that it is too long gets 413 with the limit."""
        self.begin(f"Content-Length: {MAX_BODY + 1}")
        for _ in range(16):
            self.protocol.dataReceived(b"x" * (MAX_BODY // 16))
        self.assertEqual(self.transport.value(), b"")
        self.protocol.dataReceived(b"x")
        code, body = self.answer()
        self.assertEqual(code, 413)
        self.assertIn(str(MAX_BODY), json.loads(body)["error"])
        self.assert_works()

    def test_chunked(self) -> None:
        """So does one that comes in pieces without a length."""
        self.begin("Transfer-Encoding: chunked", "Content-Type: application/json")
        for _ in range(5):
            self.protocol.dataReceived(self.chunk(b"x" * (MAX_BODY // 4)))
        self.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(self.answer()[0], 413)
        self.assert_works()

    def test_small_chunks(self) -> None:
        """A chunked body under the limit is read."""
        self.begin("Transfer-Encoding: chunked", "Content-Type: application/json")
        for piece in (b'{"to": "bob",', b' "body": "hi"}'):
            self.protocol.dataReceived(self.chunk(piece))
        self.protocol.dataReceived(b"0\r\n\r\n")
        self.assertEqual(self.answer()[0], 200)

    def test_huge_announcement(self) -> None:
        """One that says that it is huge is cut off at once."""
        self.begin(f"Content-Length: {MAX_DISCARDED + 1}")
        self.assertEqual(self.answer()[0], 413)
        self.assertTrue(self.transport.disconnecting)

    def test_endless_chunks(self) -> None:
        """One that never ends is cut off, and answered once."""
        self.begin("Transfer-Encoding: chunked")
        for _ in range(MAX_DISCARDED // MAX_BODY + 3):
            self.protocol.dataReceived(self.chunk(b"x" * MAX_BODY))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value().count(b"413"), 1)

    def test_stranger(self) -> None:
        """A stranger's long body is not even an attempt to log in."""
        self.begin(f"Content-Length: {MAX_BODY + 1}", token="wrong")
        self.protocol.dataReceived(b"x" * (MAX_BODY + 1))
        code, _ = self.answer()
        self.assertEqual(code, 413)

    def test_bodies_are_not_parsed_before_the_login(self) -> None:
        """A stranger can't keep the hive busy with forms: even a broken one is just 401."""
        self.begin(
            "Content-Length: 4", "Content-Type: multipart/form-data", token="wrong"
        )
        self.protocol.dataReceived(b"----")
        self.assertEqual(self.answer()[0], 401)

    def test_no_host(self) -> None:
        """A request without a host, as HTTP/1.0 allows, or with two is refused."""
        self.protocol.dataReceived(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertEqual(self.answer()[0], 421)

    def test_two_hosts(self) -> None:
        """A request with two hosts is refused."""
        self.protocol.dataReceived(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        )
        self.assertEqual(self.answer()[0], 421)

    def test_other_encodings(self) -> None:
        """An address that is not UTF-8 is answered, not logged as a defect."""
        self.protocol.dataReceived(
            b"GET /\xff%ff HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
            + self.hive.token.encode()
            + b"\r\n\r\n"
        )
        self.assertEqual(self.answer()[0], 400)
        self.assertEqual(len(self.flushLoggedErrors(UnicodeDecodeError)), 0)
