"""The other end of the admin socket: a plain blocking client, quick to start."""

import errno
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from hyperhive.lines import LineSplitter, LineTooLong

#: The newest version of the wire that is understood here.
VERSION = 1
#: The longest answer that is taken (bytes).
MAX_ANSWER = 16 * 1024 * 1024
#: How long the hive may take for an answer that should come at once (seconds).
QUICK_SECONDS = 30.0
#: How often a long wait is shown to go on (seconds).
TICK_SECONDS = 0.1

#: Exit statuses.
REFUSED = 1
USAGE = 2
NO_HIVE = 3


class Failed(Exception):
    """A command did not work: the sentence to show and the exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class NoHive(Failed):
    """No hive can be asked."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, NO_HIVE)


class MissingSocket(NoHive):
    """Nothing is where the socket is looked for."""


class Refused(Failed):
    """The hive said no.

    :ivar line: its answer as it came.
    """

    def __init__(self, sentence: str, line: bytes) -> None:
        super().__init__(sentence, REFUSED)
        self.line = line


@frozen
class Answer:
    """A good answer, as it came and as it is meant."""

    line: bytes
    members: Mapping[str, Any]


def find_socket(given: str | None, environ: Mapping[str, str]) -> Path:
    """Which socket is meant: what was given, the environment's, ``./.hive``, the default.

    :param given: of the flag ``--socket``.
    """
    named = given or environ.get("HYPERHIVE_SOCKET")
    if named:
        return Path(named).expanduser()
    here = Path(".hive/run/host.sock")
    if here.exists():
        return here
    # Only here, since it takes as long to import as all the rest.
    from hyperhive.settings import default_run_dir

    return default_run_dir() / "host.sock"


class Hive:
    """A hive by its socket. Each request has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(
        self,
        cmd: str,
        members: Mapping[str, Any],
        takes_long: bool = False,
        tick: Callable[[], None] = lambda: None,
    ) -> Answer:
        """One request and its answer.

        :param takes_long: wait for as long as it takes.
        :param tick: called now and then while it takes.
        :raises NoHive: if none can be asked or it goes away.
        :raises Refused: if it says no.
        """
        with self._connected() as connection:
            _say(connection, {"cmd": cmd, **members})
            for line in _lines(connection, None if takes_long else QUICK_SECONDS, tick):
                return _understood(line)
        raise self._gone()

    def follow(self, members: Mapping[str, Any]) -> Iterator[Answer]:
        """Subscribe to events: each of them, without the acknowledgement.

        :raises NoHive: if none can be asked, or when it goes away.
        :raises Refused: if it says no, or when it says that we read too slowly.
        """
        with self._connected() as connection:
            _say(connection, {"cmd": "subscribe", **members})
            for line in _lines(connection, None, lambda: None):
                event = _parsed(line)
                if "ok" in event:
                    _understood(line)
                else:
                    yield Answer(line, event)
        raise self._gone()

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With Python's own time limit, a hive that is only busy could not be waited
        # for: connecting would fail at once (unix(7), EAGAIN).
        connection.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_SNDTIMEO,
            struct.pack("@ll", int(QUICK_SECONDS), 0),
        )
        try:
            connection.connect(os.fspath(self.path))
        except OSError as error:
            connection.close()
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise MissingSocket(
                    f"No hive: the socket {self.path} is missing. Start one with "
                    "'hive-c0re serve', or name its socket with --socket PATH or "
                    "$HYPERHIVE_SOCKET."
                ) from None
            raise NoHive(self._why_not(error)) from None
        return connection

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.ECONNREFUSED:
            return (
                f"No hive: the connection to {self.path} was refused; what made that "
                "socket has died. Start it again with 'hive-c0re serve'."
            )
        if error.errno in (errno.EACCES, errno.EPERM):
            return (
                f"Not permitted: you may not use the socket {self.path}. Use sudo, or "
                "become a member of the group hive-admin (sudo usermod -aG hive-admin "
                '"$USER") and log in anew.'
            )
        return f"No hive: {self.path} can't be used: {error.strerror or error}."

    def _gone(self) -> NoHive:
        return NoHive(
            f"The hive at {self.path} went away: it was stopped or has died. What it "
            "had answered is safe."
        )


def _say(connection: socket.socket, request: Mapping[str, Any]) -> None:
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # its last words are still to be read, and its absence shows there
    except BlockingIOError:
        raise _silent() from None


def _lines(
    connection: socket.socket, patience: float | None, tick: Callable[[], None]
) -> Iterator[bytes]:
    """Lines until the other side closes.

    :param patience: how long the first may take.
    """
    splitter = LineSplitter(MAX_ANSWER)
    connection.settimeout(TICK_SECONDS)
    end = None if patience is None else time.monotonic() + patience
    while True:
        try:
            data = connection.recv(65536)
        except TimeoutError:
            if end is not None and time.monotonic() > end:
                raise _silent() from None
            tick()
            continue
        except ConnectionResetError:
            return
        if not data:
            return
        try:
            yield from splitter.feed(data)
        except LineTooLong as error:
            raise NoHive(f"The hive answers too much: {error}.") from None


def _silent() -> NoHive:
    return NoHive(
        f"The hive has not answered for {QUICK_SECONDS:g} s: its log may say why."
    )


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        members = json.loads(line)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise NoHive("What answers there is no hive: it does not speak its protocol.")
    return members


def _understood(line: bytes) -> Answer:
    members = _parsed(line)
    version = members.get("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise NoHive(
            f"The hive speaks version {version} of its protocol, and this hive-c0re "
            f"knows version {VERSION}: use the one that came with the hive."
        )
    if members.get("ok") is not True:
        raise Refused(str(members.get("error") or "The hive said no."), line)
    return Answer(line, members)
