"""Whatever bytes a stranger sends, nothing of the hive's comes out and nothing is done."""

import re

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hyperhive.web.requests import HiveSite
from tests.web.contract import contracts
from tests.web.support import WebCase

_SECRET = "the agents' own affair"
_PATHS = [
    re.sub(r"\{(\w+)\}", "1", path).replace("/agent/1", "/agent/alice")
    for path in contracts()[0].document["paths"]
]
#: What might confuse a path's reader, put before, into or behind a path that there is.
_TRICKS = (
    *(
        "//",
        "/./",
        "/../",
        "/%2e%2e/",
        "/%2f",
        "\\",
        ";x",
        "?login",
        "#login",
        "%00",
        "%ff",
    ),
    *(
        "/login",
        "/static/..",
        "/decide",
        "/healthz/",
        "http://localhost:7000",
        "*",
        "%",
    ),
)
_HOSTS = (
    *("localhost:7000", "127.0.0.1", "evil.example", "localhost, x", "\xff", ""),
    "http://\xff",
)
_HEADERS = (
    *(
        "Cookie: hyperhive=",
        "Cookie: hyperhive=x; hyperhive=",
        "Authorization: Bearer ",
    ),
    *("Authorization: Basic ", "Origin: ", "Sec-Fetch-Site: ", "X-Forwarded-Host: "),
    *("X-Original-URL: ", "X-HTTP-Method-Override: ", "Content-Length: ", "Host: "),
    *("Transfer-Encoding: ", "Content-Type: ", "Expect: ", "Upgrade: ", "Accept: "),
)
_VALUES = (
    *("same-origin", "none", "null", "http://localhost:7000", "/login", "chunked"),
    *("http://[", "http://\xff", "\xff"),
)

#: Any bytes, a character each, but line ends: those part one request from the next.
_text = some.text(
    some.characters(exclude_characters="\r\n", max_codepoint=255), max_size=20
)
_path = some.one_of(
    some.sampled_from(_PATHS),
    some.tuples(some.sampled_from(_TRICKS), some.sampled_from(_PATHS)).map("".join),
    some.tuples(some.sampled_from(_PATHS), some.sampled_from(_TRICKS)).map("".join),
    _text.map(lambda text: f"/{text}"),
)
_method = some.sampled_from(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"))
_header = some.tuples(
    some.sampled_from(_HEADERS), some.one_of(some.sampled_from(_VALUES), _text)
).map("".join)
_BODY = b'{"name": "carol", "to": "bob", "body": "x", "paused": true}'


class IntruderTests(WebCase):
    """Raw requests to the real site, without the token and without a session."""

    def setUp(self) -> None:
        """A hive with something to tell."""
        super().setUp()
        self.successResultOf(self.hive.broker.send("alice", "bob", _SECRET))
        self.before = self.hive.bus.seq
        self.site = HiveSite(self.hive.web.root(), self.clock)
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def answers(self, request: bytes) -> bytes:
        """What a connection gets on which this comes, and nothing more."""
        transport = StringTransport()
        protocol = self.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(request)
        self.clock.advance(0)
        protocol.connectionLost(Failure(ConnectionDone()))
        return transport.value()

    @settings(max_examples=300)
    @given(_method, _path, some.sampled_from(_HOSTS), some.lists(_header, max_size=4))
    def test_nothing_comes_out(
        self, method: str, path: str, host: str, headers: list[str]
    ) -> None:
        """No request shows a message, an agent or the token, logs in, or does anything.

        Nor is any a defect, which a stranger could fill the log with.
        """
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
        head = "\r\n".join((*lines, f"Content-Length: {len(_BODY)}"))
        answer = self.answers(head.encode("latin-1") + b"\r\n\r\n" + _BODY)
        self.assertNotIn(b" 500 ", answer.partition(b"\r\n")[0])
        self.assertEqual(self.flushLoggedErrors(), [])
        for secret in (_SECRET, self.hive.token, '"agents"', "set-cookie"):
            self.assertNotIn(secret.lower().encode(), answer.lower())
        self.assertEqual(self.hive.agents.calls, [])
        self.assertEqual(self.hive.bus.seq, self.before)

    def test_nothing_long_is_taken_apart(self) -> None:
        """What a stranger sends to the login is short, and to a wrong link is not read."""
        for path, code in (("/login", b"413"), ("/decide/x", b"404")):
            body = b"[" * 100_000
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            answer = self.answers(head.encode() + body)
            self.assertEqual(answer.split(b" ", 2)[1], code)

    def test_the_operator_gets_it(self) -> None:
        """The same requests with the token show and do it: the test above can fail."""
        bearer = f"Host: localhost\r\nAuthorization: Bearer {self.hive.token}"
        shown = self.answers(f"GET /api/state HTTP/1.1\r\n{bearer}\r\n\r\n".encode())
        self.assertIn(_SECRET.encode(), shown)
        self.assertIn(b'"agents"', shown)
        self.answers(f"POST /start/alice HTTP/1.1\r\n{bearer}\r\n\r\n".encode())
        self.assertNotEqual(self.hive.agents.calls, [])
