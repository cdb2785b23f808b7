"""One SQLite file: a writer thread with group commit, and connections to read by."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

T = TypeVar("T")

#: Each migration is a script that takes the file from one ``user_version`` to the next.
Migrations = Sequence[str]


class NewerDatabase(Exception):
    """The file was written by a newer hyperhive: it is left alone."""


class Database:
    """One SQLite file in WAL mode.

    :param synchronous: ``FULL`` for what must survive a power cut, ``NORMAL``
        for what may lose its last moments then.
    """

    @classmethod
    def open(
        cls,
        reactor: IReactorFromThreads,
        path: Path,
        migrations: Migrations,
        synchronous: str = "FULL",
    ) -> "Database":
        """Open or make the file, bring it to the newest version, start the writer thread.

        :raises NewerDatabase: naming the file and both versions.
        """
        raise NotImplementedError

    @classmethod
    def in_memory(cls, migrations: Migrations) -> "Database":
        """A database without a thread, whose writes are committed before they answer: for tests."""
        raise NotImplementedError

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run ``work`` in a transaction on the writer thread; fires after COMMIT.

        Many share one COMMIT; each has a savepoint, so that one that raises is
        undone alone and its Deferred fails. Deferreds fire on the reactor in the
        order of their writes.
        """
        raise NotImplementedError

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a small indexed read here and now, on the reactor's thread."""
        raise NotImplementedError

    def read_in_thread(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run a read that may be long on a thread of its own."""
        raise NotImplementedError

    def close(self) -> Deferred[None]:
        """Commit what waits, end the threads, close the file."""
        raise NotImplementedError
