"""The admin socket as a whole: where it listens, for whom, and how it ends."""

import errno
import grp
import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from hyperhive.admin.context import AdminContext
from hyperhive.admin.protocol import AdminFactory
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError

#: Members of this group may use the socket, where the group exists.
GROUP = "hive-admin"


class AdminService:
    """Listens on ``host.sock``."""

    _log = Logger()

    def __init__(self, reactor: Any, path: Path, context: AdminContext) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = AdminFactory(context)
        self._port: IListeningPort | None = None

    @deferred
    async def start(self) -> None:
        """Listen.

        :raises PublicError: if another process listens there, or the path can't be had.
        """
        try:
            self._remove_stale()
            # The mode is right from the first moment on: nobody slips in before it is set.
            before = os.umask(0o117)
            try:
                self._port = self._reactor.listenUNIX(
                    str(self._path), self._factory, mode=0o660
                )
            finally:
                os.umask(before)
            self._give_to_group()
        except OSError as error:
            raise PublicError(
                f"The admin socket {self._path} can't be made: {error.strerror}."
            ) from None

    @deferred
    async def stop(self) -> None:
        """Close the socket and its connections."""
        if self._port is not None:
            stopping = self._port.stopListening()
            if stopping is not None:
                await stopping
            self._port = None
        for connection in list(self._factory.open):
            connection.abort()

    def _remove_stale(self) -> None:
        """Remove what a daemon that died left; a living one's socket stays."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            problem = probe.connect_ex(os.fsencode(self._path))
        if problem in (0, errno.EAGAIN):
            raise PublicError(
                f"Another process listens on {self._path}: end it, or choose another "
                "--run-dir."
            )
        self._path.unlink(missing_ok=True)

    def _give_to_group(self) -> None:
        try:
            group = grp.getgrnam(GROUP).gr_gid
            os.chown(self._path, -1, group)
        except KeyError:
            return  # without the group only we, and root, can connect
        except PermissionError:
            self._log.warn(
                "{path} could not be given to the group {group}",
                path=str(self._path),
                group=GROUP,
            )
