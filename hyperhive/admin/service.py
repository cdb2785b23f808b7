"""The admin socket as a whole: where it listens, for whom, and how it ends."""

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from hyperhive.admin.context import AdminContext
from hyperhive.admin.protocol import AdminFactory
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError

#: Members of this group may use the socket, where the group exists.
GROUP = "hive-admin"
#: The socket's mode: it is full control of the hive.
MODE = 0o660


class AdminService:
    """Listens on ``host.sock``.

    :param reactor: provides ``IReactorUNIX`` and ``IReactorTime``.
    :param path: of the socket; its folder is there and only we can write it.
    """

    _log = Logger()

    def __init__(self, reactor: Any, path: Path, context: AdminContext) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = AdminFactory(reactor, context)
        self._port: IListeningPort | None = None

    @deferred
    async def start(self) -> None:
        """Listen.

        :raises PublicError: if another process listens there, or the path can't be had.
        """
        try:
            with _alone_in(self._path.parent):
                self._remove_stale()
                # The mode is right from the first moment on: nobody slips in before.
                before = os.umask(0o777 & ~MODE)
                try:
                    self._port = self._reactor.listenUNIX(
                        str(self._path), self._factory, mode=MODE
                    )
                finally:
                    os.umask(before)
            self._give_to_group()
        except CannotListenError as error:
            raise self._impossible(error.socketError) from None
        except OSError as error:
            raise self._impossible(error) from None

    @deferred
    async def stop(self) -> None:
        """Close the socket and its connections."""
        if self._port is not None:
            port, self._port = self._port, None
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
        for connection in list(self._factory.open):
            connection.abort()

    def _impossible(self, error: OSError) -> PublicError:
        return PublicError(
            f"The admin socket {self._path} can't be made: {error.strerror or error}. "
            "Choose another place with --run-dir."
        )

    def _remove_stale(self) -> None:
        """Remove what a daemon that died left; a living one's socket stays.

        :raises PublicError: if something else is there.
        """
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise PublicError(
                f"{self._path} is in the way, and is no socket: remove it, or choose "
                "another --run-dir."
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            problem = probe.connect_ex(os.fsencode(self._path))
        if problem != errno.ECONNREFUSED:
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
                "{path} could not be given to the group {group}: only its owner and "
                "root can use it",
                path=str(self._path),
                group=GROUP,
            )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other daemons from looking at the folder's socket while we replace it.

    :raises PublicError: if one is just doing so.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PublicError(
                f"Another hive is just starting in {folder}: choose another --run-dir."
            ) from None
        yield
    finally:
        os.close(descriptor)
