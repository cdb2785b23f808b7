"""One POST to a target, bounded in every way, and why it failed in words without secrets."""

import base64
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from attrs import field, frozen
from OpenSSL.SSL import Error as TLSError
from service_identity import CertificateError, VerificationError
from treq.client import HTTPClient
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent

from hyperhive.deferreds import deferred
from hyperhive.notify.interfaces import NotTold, Refused

#: How long a connection may take, and everything up to the answer's headers (seconds).
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 20.0
#: The longest rest that a target can ask for (seconds).
MAX_RETRY_AFTER = 3600.0
#: The largest body that is sent (bytes).
MAX_BODY = 64 * 1024

#: What says that another attempt with the same body is in vain.
_REFUSALS = frozenset({400, 405, 413, 415, 422})
_WORDS = {
    401: "it refuses the credentials",
    403: "it refuses the credentials, or the topic is somebody else's",
    404: "there is nothing at this address",
    413: "the notification is too large for it",
    429: "it has had enough for now",
}


@frozen
class Address:
    """Where to post.

    :param url: without credentials.
    :param host: all of it that may be shown.
    :param authorization: the header of the credentials that were in the URL.
    """

    url: str = field(repr=False)
    host: str
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> "Address":
        """Take a URL apart. It was checked with the settings."""
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            encoded = base64.b64encode(pair.encode()).decode()
            authorization = f"Basic {encoded}"
        bare = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
        return cls(bare, netloc, authorization)


class Poster:
    """Posts to one address. Certificates are checked as treq does it.

    Of the answer only its status and ``Retry-After`` are looked at: the body is
    never read. Redirects are not followed: what is sent may be for nobody else.

    :param client: what posts, where it is not treq over real connections.
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        client: Any = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self.address = address
        self._client: Any = client or HTTPClient(
            Agent(reactor, connectTimeout=CONNECT_SECONDS)
        )

    @deferred
    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post JSON; fires when the target has taken it.

        :raises Refused: it will never take this body.
        :raises NotTold: with the reason, in any other case.
        """
        assert len(body) <= MAX_BODY
        sent: dict[bytes | str, bytes | str] = {
            "content-type": "application/json",
            "user-agent": "hyperhive",
        }
        if self.address.authorization is not None:
            sent["authorization"] = self.address.authorization
        sent.update(headers)
        try:
            response = await self._client.post(
                self.address.url,
                data=body,
                headers=sent,
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            ).addTimeout(ANSWER_SECONDS, self._reactor, _silent)
        except NotTold:
            raise
        except (CancelledError, error.ConnectingCancelledError):
            # The daemon ends: that is no fault of the target's.
            raise CancelledError from None
        except Exception as problem:
            raise NotTold(_reason(problem)) from None
        response.deliverBody(_Hangup())
        self._judge(response)

    def _judge(self, response: Any) -> None:
        code = int(response.code)
        if 200 <= code < 300:
            return
        if 300 <= code < 400:
            raise NotTold(
                f"it answers {code}, a redirect, which is not followed: set the address "
                "that it leads to"
            )
        words = f": {_WORDS[code]}" if code in _WORDS else ""
        if code in _REFUSALS:
            raise Refused(f"it answers {code}{words}")
        raise NotTold(f"it answers {code}{words}", self._retry_after(response))

    def _retry_after(self, response: Any) -> float:
        """What the header of that name says: seconds, or a date."""
        text = (response.headers.getRawHeaders("retry-after") or ["0"])[0].strip()
        try:
            seconds = (
                float(text)
                if text.isdigit()
                else parsedate_to_datetime(text).timestamp() - self._now()
            )
        except (TypeError, ValueError, OverflowError):
            return 0.0
        return min(max(seconds, 0.0), MAX_RETRY_AFTER)


class _Hangup(Protocol):
    """Ends the connection instead of reading the body of an answer."""

    def connectionMade(self) -> None:
        """See Protocol."""
        assert self.transport is not None
        self.transport.loseConnection()


def _silent(_: object, seconds: float) -> None:
    """Say that it took too long, whatever was cancelled for that."""
    raise NotTold(f"it has not answered within {seconds:.0f} s")


#: Why nothing was answered, in words; the texts of errors may quote what was sent.
_REASONS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (error.TimeoutError, error.TCPTimedOutError),
        f"it has not answered within {CONNECT_SECONDS:.0f} s",
    ),
    ((error.DNSLookupError,), "its name can't be resolved"),
    ((error.ConnectionRefusedError,), "it refuses connections"),
    (
        (TLSError, VerificationError, CertificateError),
        "its certificate is not valid, or it speaks no TLS",
    ),
    ((error.NoRouteError,), "there is no route to it"),
    (
        (error.ConnectionLost, error.ConnectionDone, error.ConnectionAborted),
        "it ended the connection without an answer",
    ),
)


def _reason(problem: Exception) -> str:
    """The first that is known of an error, or of those that it wraps."""
    wrapped: list[Failure] = getattr(problem, "reasons", [])
    causes = [one.value for one in wrapped] or [problem]
    for kinds, words in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return words
    return f"it can't be reached ({type(causes[0]).__name__})"
