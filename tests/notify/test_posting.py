"""A POST to a target is bounded, follows nothing, and its failure gives no secret away."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL.crypto import X509, PKey
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from hyperhive.deferreds import deferred
from hyperhive.notify.interfaces import NotTold, Refused
from hyperhive.notify.posting import ANSWER_SECONDS, MAX_RETRY_AFTER, Address, Poster

#: Mon, 02 Feb 2026 10:00:00 GMT.
MOMENT = 1770026400.0


class AddressTests(SynchronousTestCase):
    """What of an address is sent, and what is shown."""

    def test_plain(self) -> None:
        """An address without a path is the server's root."""
        address = Address.of("https://ntfy.sh")
        self.assertEqual((address.url, address.host), ("https://ntfy.sh/", "ntfy.sh"))
        self.assertIsNone(address.authorization)

    def test_credentials(self) -> None:
        """Credentials become a header, and are not in the URL."""
        address = Address.of("https://me:p%40ss@hooks.example:8443/a/b?c=d#e")
        self.assertEqual(address.url, "https://hooks.example:8443/a/b?c=d")
        self.assertEqual(address.host, "hooks.example:8443")
        self.assertEqual(address.authorization, "Basic bWU6cEBzcw==")

    def test_shown(self) -> None:
        """Only the host is shown: a path may be as secret as a password."""
        shown = repr(Address.of("https://me:pass@hooks.example/T0/secret?key=x"))
        for secret in ("me:", "pass", "secret", "key", "Basic"):
            self.assertNotIn(secret, shown)


class BoundTests(SynchronousTestCase):
    """A target that does not answer, on a clock."""

    def setUp(self) -> None:
        """A poster whose connections nobody takes."""
        self.reactor = MemoryReactorClock()
        address = Address.of("http://127.0.0.1:9/secret")
        self.poster = Poster(self.reactor, address)

    def test_silence(self) -> None:
        """A connection that is not made, and an answer that does not come, end in time."""
        posting = self.poster.post(b"{}", {})
        self.assertNoResult(posting)
        self.reactor.advance(ANSWER_SECONDS)
        error = self.failureResultOf(posting, NotTold)
        self.assertEqual(error.getErrorMessage(), "it has not answered within 20 s")

    def test_cancel(self) -> None:
        """The daemon's end is not the target's fault."""
        posting = self.poster.post(b"{}", {})
        posting.cancel()
        failure = self.failureResultOf(posting)
        self.assertIsNone(failure.check(NotTold))


class _Answers(Resource):
    """Answers each POST with what a test wants."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.code = 200
        self.headers: dict[str, str] = {}
        self.ends = True
        #: Fires when somebody has left before the end of an answer.
        self.left: Deferred[None] = Deferred()
        self.asked: list[tuple[bytes, dict[bytes, bytes], bytes]] = []

    def render_POST(self, request: Request) -> bytes | int:  # Twisted's name for it
        """Answer."""
        content: Any = request.content
        headers = {
            name.lower(): values[-1]
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.asked.append((request.uri, headers, content.read()))
        request.setResponseCode(self.code)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if self.ends:
            return b"fine"
        request.notifyFinish().addErrback(lambda _: self.left.callback(None))
        request.write(b"x" * 100_000)
        return NOT_DONE_YET


class SocketTests(TestCase):
    """Real treq through real sockets on loopback."""

    timeout = 30

    @deferred
    async def setUp(self) -> None:
        """A server."""
        self.answers = _Answers()
        self.port = await self.listening(Site(self.answers))
        self.poster = self.to(self.port, "/hook?key=s3cret")

    async def listening(self, factory: Any) -> IListeningPort:
        """A server's port."""
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        return port

    def to(self, port: Any, path: str, scheme: str = "http") -> Poster:
        """A poster to it."""
        url = f"{scheme}://me:pass@127.0.0.1:{port.getHost().port}{path}"
        return Poster(reactor, Address.of(url), now=lambda: MOMENT)

    async def problem(
        self, kind: type[NotTold] = NotTold, poster: Poster | None = None
    ) -> NotTold:
        """What posting fails with."""
        posting = (poster or self.poster).post(b'{"a":1}', {})
        error: NotTold = await self.assertFailure(posting, kind)
        for secret in ("s3cret", "hook", "pass", "bWU"):
            self.assertNotIn(secret, str(error))
        return error

    @deferred
    async def test_taken(self) -> None:
        """The body, its type, our headers and the credentials arrive."""
        await self.poster.post(b'{"a":1}', {"x-own": "1"})
        [(uri, headers, body)] = self.answers.asked
        self.assertEqual((uri, body), (b"/hook?key=s3cret", b'{"a":1}'))
        self.assertEqual(headers[b"content-type"], b"application/json")
        self.assertEqual(headers[b"x-own"], b"1")
        self.assertEqual(headers[b"authorization"], b"Basic bWU6cGFzcw==")

    @deferred
    async def test_endless_answer(self) -> None:
        """An answer's body is not read: one that never ends holds up nothing."""
        self.answers.ends = False
        await self.poster.post(b"{}", {})
        await self.answers.left

    @deferred
    async def test_codes(self) -> None:
        """What is in vain is told from what may go well another time."""
        for code in (400, 413, 422):
            self.answers.code = code
            self.assertIn(f"it answers {code}", str(await self.problem(Refused)))
        for code in (401, 403, 404, 408, 429, 500, 503):
            self.answers.code = code
            error = await self.problem()
            self.assertNotIsInstance(error, Refused)
            self.assertIn(f"it answers {code}", str(error))

    @deferred
    async def test_redirect(self) -> None:
        """A redirect is not followed, on this host or to another."""
        other = _Answers()
        port: Any = await self.listening(Site(other))
        self.answers.code = 307
        for there in (f"http://127.0.0.1:{port.getHost().port}/", "/elsewhere"):
            self.answers.headers = {"location": there}
            self.assertIn("redirect", str(await self.problem()))
        self.assertEqual((len(self.answers.asked), other.asked), (2, []))

    @deferred
    async def test_retry_after(self) -> None:
        """The target's wish is respected, in seconds or as a date, within reason."""
        self.answers.code = 429
        for text, seconds in (
            ("120", 120.0),
            ("Mon, 02 Feb 2026 10:01:30 GMT", 90.0),
            ("Mon, 02 Feb 2026 09:00:00 GMT", 0.0),
            ("99999999999", MAX_RETRY_AFTER),
            ("-5", 0.0),
            ("soon", 0.0),
            ("nan", 0.0),
        ):
            self.answers.headers = {"retry-after": text}
            self.assertEqual((await self.problem()).retry_after, seconds, text)

    @deferred
    async def test_nobody_listens(self) -> None:
        """A port that nobody listens on refuses."""
        port: Any = await self.listening(Site(Resource()))
        poster = self.to(port, "/hook")
        await port.stopListening()
        self.assertEqual(
            str(await self.problem(poster=poster)), "it refuses connections"
        )

    @deferred
    async def test_hangs_up(self) -> None:
        """A server that ends the connection, and one that speaks no HTTP."""

        class Says(Protocol):
            said = b""

            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(self.said)
                self.transport.loseConnection()

        class Babbles(Says):
            said = b"SSH-2.0-OpenSSH_9\r\n"

        port = await self.listening(Factory.forProtocol(Says))
        error = await self.problem(poster=self.to(port, "/hook"))
        self.assertEqual(str(error), "it ended the connection without an answer")
        port = await self.listening(Factory.forProtocol(Babbles))
        await self.problem(poster=self.to(port, "/hook"))

    @deferred
    async def test_certificate(self) -> None:
        """A certificate that nobody vouches for is not taken, and nothing is sent."""
        context = ssl.CertificateOptions(*_self_signed())
        port: Any = reactor.listenSSL(
            0, Site(self.answers), context, interface="127.0.0.1"
        )
        self.addCleanup(port.stopListening)
        error = await self.problem(poster=self.to(port, "/hook", "https"))
        self.assertIn("certificate is not valid", str(error))
        self.assertEqual(self.answers.asked, [])


def _self_signed() -> tuple[PKey, X509]:
    """A key, and a certificate for loopback that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    loopback = x509.IPAddress(IPv4Address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return PKey.from_cryptography_key(key), X509.from_cryptography(signed)
