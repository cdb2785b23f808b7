"""Bodies compressed for browsers that take it."""

import gzip
from collections.abc import Iterator

from twisted.web.server import Request

from hyperhive.web.headers import header

#: What is shorter travels as well as it is (bytes).
SHORTEST = 1024
#: What is longer would hold up the reactor (bytes): it takes some 4 ms to compress.
LONGEST = 512 * 1024
#: The fastest level: pages are compressed for one reader each.
_FAST = 1


def takes_gzip(request: Request) -> bool:
    """Whether the client takes gzip, by its ``Accept-Encoding``."""
    qualities = dict(_qualities(header(request, b"accept-encoding") or ""))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def compressed(request: Request, body: bytes) -> bytes:
    """Compress a body that was made for this request, where that is worth it.

    Nothing secret may be in it: what agents write stands beside it, and the
    length of the whole would tell.
    """
    request.responseHeaders.addRawHeader(b"vary", b"accept-encoding")
    if not SHORTEST <= len(body) <= LONGEST or not takes_gzip(request):
        return body
    request.setHeader("content-encoding", "gzip")
    return gzip.compress(body, _FAST, mtime=0)


def _qualities(header: str) -> Iterator[tuple[str, float]]:
    """Each coding of the header and how much it is wanted, 0 to 1."""
    for part in header.split(","):
        coding, _, rest = part.partition(";")
        name, _, value = rest.strip().partition("=")
        try:
            quality = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            quality = 0.0
        yield coding.strip().lower(), quality
