"""Requests with a bounded body, and the site that makes them."""

from http import HTTPStatus
from typing import Any

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from hyperhive.web.answers import answer_error, secure

#: The longest body in bytes.
MAX_BODY = 1024 * 1024
#: How much of a longer one is read and thrown away, so that whoever is still
#: sending gets to read our answer; past it the connection is cut.
MAX_DISCARDED = 16 * 1024 * 1024
#: A client that says nothing for so long is disconnected (seconds).
IDLE = 60

_CUT = (
    b"HTTP/1.1 413 Request Entity Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class BoundedRequest(Request):
    """A request whose body is held up to :data:`MAX_BODY`, however it is sent.

    Twisted Web has no limit of its own, and one on ``Content-Length`` alone lets
    chunked bodies pass. Bodies are not parsed here: that is for after the login.
    """

    _received = 0
    _too_large = False

    def gotLength(self, length: int | None) -> None:
        """See the length that was announced, if it was."""
        self._too_large = length is not None and length > MAX_BODY
        super().gotLength(None if self._too_large else length)
        if length is not None and length > MAX_DISCARDED:
            self._cut()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, or throw it away."""
        self._received += len(data)
        if self._received > MAX_DISCARDED:
            self._cut()
            return
        if self._received > MAX_BODY:
            self._too_large = True
        if not self._too_large:
            super().handleContentChunk(data)

    def process(self) -> None:
        """Answer, once all of it is here."""
        if not self._too_large:
            super().process()
            return
        secure(self)
        body = answer_error(
            self,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"A request's body is at most {MAX_BODY} bytes.",
        )
        self.write(body)
        self.finish()

    def _cut(self) -> None:
        channel: Any = self.channel
        if channel is not None and not channel.transport.disconnecting:
            channel.transport.write(_CUT)
            channel.loseConnection()


class HiveSite(Site):
    """A site over one resource, without Twisted's access log: it would hold login links."""

    requestFactory = BoundedRequest
    displayTracebacks = False

    def __init__(self, resource: IResource, reactor: Any) -> None:
        super().__init__(
            resource, parsePOSTFormSubmission=False, timeout=IDLE, reactor=reactor
        )

    def log(self, request: HTTPRequest) -> None:
        """Nothing: the guard logs what changes something."""
