"""One SQLite file: a writer thread with group commit, and connections to read by."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred, execute, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorFromThreads

from hyperhive.errors import PublicError
from hyperhive.store.worker import Job, Outcome, Worker, run_job

T = TypeVar("T")

#: Each migration is a script that takes the file from one ``user_version`` to the next.
Migrations = Sequence[str]

#: How many writes share one COMMIT at most.
MAX_BATCH = 256
#: How long SQLite waits for another process that holds the file (milliseconds).
BUSY_TIMEOUT = 5000


class UnusableDatabase(PublicError):
    """The file can't be opened, or is no database; the text names it."""


class NewerDatabase(UnusableDatabase):
    """The file was written by a newer hyperhive: it is left alone."""


class DatabaseClosed(Exception):
    """A write or a read came after :meth:`Database.close`."""


class Database:
    """One SQLite file in WAL mode, or one in memory; made by :meth:`open` or :meth:`in_memory`.

    Writes wait in a queue that has no bound of its own, for whoever is on the
    reactor's thread can't wait for room in it. Those who write bound it: each
    connection and each agent has a limited number of requests under way, and
    each waits for the Deferred of its write before it goes on.

    :param reader: for small reads on the calling thread.
    :param writer: runs writes in order, and commits them.
    :param long_reader: runs what may take long.
    """

    def __init__(
        self, reader: sqlite3.Connection, writer: "_IRuns", long_reader: "_IRuns"
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._long_reader = long_reader
        self._closed = False
        self._closing: list[Deferred[None]] = []
