"""One SQLite file: a writer thread with group commit, and connections to read by."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads

from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.store.transactions import commit_together, read, read_each
from hyperhive.store.worker import Inline, Runner, Worker

T = TypeVar("T")

#: Each migration is a script that takes the file from one ``user_version`` to the next.
Migrations = Sequence[str]

#: How many writes share one COMMIT at most.
MAX_BATCH = 256
#: How long SQLite waits for another process that holds the file (seconds).
BUSY_TIMEOUT = 5.0


class UnusableDatabase(PublicError):
    """The file can't be opened, or is no database; the text names it."""


class NewerDatabase(UnusableDatabase):
    """The file was written by a newer hyperhive: it is left alone."""


class DatabaseClosed(Exception):
    """Something was asked of a database after its :meth:`Database.close`."""


class Database:
    """One SQLite file in WAL mode, made by :meth:`open`, or :meth:`in_memory` for tests.

    Writes wait in a queue without a bound of its own, for who is on the reactor's
    thread can't wait for room in it. Those who write bound it: every connection
    has a limited number of requests under way, every agent one turn, and each
    waits for its answer before it asks for more.

    A Deferred that is cancelled takes back the answer, not the write.

    :param reader: for small reads on the reactor's thread.
    :param writer: commits writes in the order in which they come.
    :param long_reader: for reads that may be long.
    """

    def __init__(
        self, reader: sqlite3.Connection, writer: Runner, long_reader: Runner
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._long_reader = long_reader
        self._end: Deferred[None] | None = None

    @classmethod
    def open(
        cls,
        reactor: IReactorFromThreads,
        path: Path,
        migrations: Migrations,
        synchronous: str = "FULL",
    ) -> "Database":
        """Open or make the file, bring it to the newest version, start its threads.

        Only its owner may read the file.

        :param synchronous: ``FULL`` for what must survive a power cut, ``NORMAL``
            for what may lose its last moments then.
        :raises NewerDatabase: naming the file and both versions.
        :raises UnusableDatabase: if it is no database, or can't be opened.
        """
        with ExitStack() as undo:
            try:
                _make_private(path)
                writer = _connect(path, "rw", undo)
                _prepare(writer, path, synchronous)
                _migrate(writer, path, migrations)
                reader, long_reader = (_connect(path, "ro", undo) for _ in range(2))
            except OSError as error:
                raise UnusableDatabase(
                    f"{path} can't be opened: {error.strerror}."
                ) from error
            except sqlite3.Error as error:
                raise UnusableDatabase(
                    f"{path} can't be used as a database: {error}."
                ) from error
            undo.pop_all()
        return cls(
            reader,
            Worker(reactor, f"{path.stem}-writer", writer, commit_together, MAX_BATCH),
            Worker(reactor, f"{path.stem}-reader", long_reader, read_each, 1),
        )

    @classmethod
    def in_memory(cls, migrations: Migrations) -> "Database":
        """A database without threads, whose writes are committed before they answer."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, Path(":memory:"), migrations)
        return cls(
            connection,
            Inline(connection, commit_together),
            Inline(connection, read_each),
        )

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run ``work`` in a transaction on the writer thread; fires after COMMIT.

        Many share one COMMIT; each has a savepoint, so that one that raises is
        undone alone and its Deferred fails. If the COMMIT fails, all of them fail
        with it, and nothing of them was written. Deferreds fire on the reactor in
        the order of their writes.
        """
        if self._end is not None:
            return fail(DatabaseClosed("A write came after the database was closed."))
        return self._writer.submit(work)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a small indexed read here and now, on the reactor's thread.

        It sees what is committed, even if the Deferred of that has yet to fire.
        """
        if self._end is not None:
            raise DatabaseClosed("A read came after the database was closed.")
        result: T = read(self._reader, work)
        return result

    def read_in_thread(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run a read that may be long on a thread of its own, one at a time."""
        if self._end is not None:
            return fail(DatabaseClosed("A read came after the database was closed."))
        return self._long_reader.submit(work)

    def close(self) -> Deferred[None]:
        """Commit what waits, end the threads, close the file. Closing twice is fine."""
        if self._end is None:
            self._end = Deferred()
            self._close().chainDeferred(self._end)
        closed: Deferred[None] = Deferred()
        self._end.chainDeferred(closed)
        return closed

    @deferred
    async def _close(self) -> None:
        self._reader.close()
        await self._long_reader.close()
        # Last, so that SQLite can put the log back into the file.
        await self._writer.close()


def _make_private(path: Path) -> None:
    """Make the file if need be; SQLite gives its log the same mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


def _connect(path: Path, mode: str, undo: ExitStack) -> sqlite3.Connection:
    # It is made on one thread and used on another, never on two at a time.
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    undo.callback(connection.close)
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise UnusableDatabase(
            f"{path} can't have a write-ahead log there: put it on a local disk."
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(
    connection: sqlite3.Connection, path: Path, migrations: Migrations
) -> None:
    """Run the scripts that the file has not seen, each in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise NewerDatabase(
            f"{path} was written by a newer hyperhive: it has version {version}, and "
            f"this one knows versions up to {len(migrations)}. Run the newer "
            "hyperhive, or put back a copy of the file from before it."
        )
    for number, script in enumerate(migrations[version:], version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
