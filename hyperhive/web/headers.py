"""Read a request's headers, which may hold any bytes."""

from twisted.web.server import Request


def header(request: Request, name: bytes) -> str | None:
    """The last header of that name; ``None`` if there is none.

    HTTP's headers are bytes, and each is a character here (RFC 9110, 5.5):
    Twisted's own reading of them as UTF-8 raises at what is none.
    """
    values = request.requestHeaders.getRawHeaders(name)
    return bytes(values[-1]).decode("latin-1") if values else None
