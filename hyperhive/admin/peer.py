"""Who is at the other end of a UNIX socket, as the kernel says, and whether it has left."""

import select
import socket
import struct

from twisted.internet.interfaces import IUNIXTransport

_CREDENTIALS = struct.Struct("3i")


def peer_uid(transport: object) -> int | None:
    """The peer's uid by SO_PEERCRED (unix(7)); ``None`` if it can't be told."""
    handle = _socket(transport)
    if handle is None:
        return None
    try:
        data = handle.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
    except OSError:
        return None
    return int(_CREDENTIALS.unpack(data)[1])


def has_left(transport: object) -> bool:
    """Whether the peer has closed its socket, and not only ended what it sends.

    Both look the same to who reads. Somebody who only writes to the peer would
    otherwise learn of it at the next write, which may be long in coming.
    """
    handle = _socket(transport)
    if handle is None:
        return False
    poll = select.poll()
    poll.register(handle, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _socket(transport: object) -> socket.socket | None:
    if not IUNIXTransport.providedBy(transport):
        return None
    handle = getattr(transport, "socket", None)
    return handle if isinstance(handle, socket.socket) else None
