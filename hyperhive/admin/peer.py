"""Who is at the other end of a UNIX socket, as the kernel says."""

import socket
import struct

from twisted.internet.interfaces import IUNIXTransport

_CREDENTIALS = struct.Struct("3i")


def peer_uid(transport: object) -> int | None:
    """The peer's uid by SO_PEERCRED (unix(7)); ``None`` if it can't be told."""
    if not IUNIXTransport.providedBy(transport):
        return None
    handle = getattr(transport, "socket", None)
    if not isinstance(handle, socket.socket):
        return None
    try:
        data = handle.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
    except OSError:
        return None
    return int(_CREDENTIALS.unpack(data)[1])
