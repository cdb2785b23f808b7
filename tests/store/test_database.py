"""The database: group commit, savepoints, reads, migrations; in memory and with files and threads."""

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Event, get_ident
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from hyperhive.errors import PublicError
from hyperhive.store.database import (
    MAX_BATCH,
    Database,
    DatabaseClosed,
    NewerDatabase,
    UnusableDatabase,
)

MIGRATIONS = (
    "CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT UNIQUE);"
    "CREATE TABLE child (log INTEGER REFERENCES log (id) DEFERRABLE INITIALLY DEFERRED)",
)


def add(text: str) -> Callable[[sqlite3.Connection], str]:
    """Work that adds a row and answers its text."""

    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO log (text) VALUES (?)", (text,))
        return text

    return work


def add_and_fail(text: str) -> Callable[[sqlite3.Connection], str]:
    """Work that adds a row and then raises."""

    def work(connection: sqlite3.Connection) -> str:
        add(text)(connection)
        raise ValueError(text)

    return work


def add_orphan(connection: sqlite3.Connection) -> None:
    """Work that goes well and makes the COMMIT fail: a broken reference is found only there."""
    add("orphan")(connection)
    connection.execute("INSERT INTO child VALUES (12345)")


def texts(connection: sqlite3.Connection) -> list[str]:
    """All rows in the order of their ids."""
    rows = connection.execute("SELECT text FROM log ORDER BY id")
    return [text for (text,) in rows]


class InMemoryTests(SynchronousTestCase):
    """What tests elsewhere rely on behaves as the real thing."""

    def setUp(self) -> None:
        """Make one."""
        self.database = Database.in_memory(MIGRATIONS)
        self.addCleanup(self.database.close)

    def test_a_write_is_answered_at_once(self) -> None:
        """The Deferred has fired, and what was written is read."""
        self.assertEqual(self.successResultOf(self.database.write(add("a"))), "a")
        self.assertEqual(self.database.read(texts), ["a"])
        self.assertEqual(
            self.successResultOf(self.database.read_in_thread(texts)), ["a"]
        )

    def test_a_failing_write_is_undone(self) -> None:
        """Work that raises leaves nothing, and its Deferred fails with what it raised."""
        self.failureResultOf(self.database.write(add_and_fail("a")), ValueError)
        self.assertEqual(self.database.read(texts), [])

    def test_a_failing_commit(self) -> None:
        """If COMMIT fails, so does the Deferred, nothing is written, and it goes on."""
        self.failureResultOf(self.database.write(add_orphan), sqlite3.IntegrityError)
        self.assertEqual(self.database.read(texts), [])
        self.successResultOf(self.database.write(add("next")))
        self.assertEqual(self.database.read(texts), ["next"])

    def test_a_write_from_an_answer(self) -> None:
        """Who is answered may write again at once."""
        answered = self.database.write(add("a")).addCallback(
            lambda _: self.database.write(add("b"))
        )
        self.assertEqual(self.successResultOf(answered), "b")
        self.assertEqual(self.database.read(texts), ["a", "b"])

    def test_reads_do_not_write(self) -> None:
        """A read that would write fails, and a write after it is possible."""
        self.assertRaises(sqlite3.OperationalError, self.database.read, add("a"))
        self.failureResultOf(
            self.database.read_in_thread(add("a")), sqlite3.OperationalError
        )
        self.successResultOf(self.database.write(add("b")))

    def test_closing(self) -> None:
        """Closing twice is fine; whatever comes after it fails."""
        self.successResultOf(self.database.close())
        self.successResultOf(self.database.close())
        self.failureResultOf(self.database.write(texts), DatabaseClosed)
        self.failureResultOf(self.database.read_in_thread(texts), DatabaseClosed)
        self.assertRaises(DatabaseClosed, self.database.read, texts)


class FileCase(TestCase):
    """A database in a file, with its threads, on the reactor."""

    def setUp(self) -> None:
        """Open one in a folder of its own."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "a file?.sqlite"
        self.database = self.open()

    def open(self, migrations: tuple[str, ...] = MIGRATIONS, **how: Any) -> Database:
        """Open the file, closed at the end of the test."""
        database = Database.open(reactor, self.path, migrations, **how)
        self.addCleanup(database.close)
        return database

    def hold_writer(self) -> Event:
        """Keep the writer thread busy until the event is set: what comes waits together."""
        held, go = Event(), Event()

        def work(connection: sqlite3.Connection) -> None:
            held.set()
            assert go.wait(60)

        self.database.write(work)
        assert held.wait(60)
        return go

    def count_commits(self) -> list[str]:
        """Note each statement that begins or ends a transaction of the writer."""
        seen: list[str] = []

        def work(connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(
                lambda sql: (
                    seen.append(sql) if sql.startswith(("BEGIN", "COMMIT")) else None
                )
            )

        self.database.write(work)
        return seen


class WriterTests(FileCase):
    """Writes on the thread."""

    async def test_answers_after_commit_on_the_reactor(self) -> None:
        """The work runs on another thread, its answer comes on this, and the row is there."""
        thread = await self.database.write(lambda _: get_ident())
        self.assertNotEqual(thread, get_ident())
        here: list[int] = []
        answered = self.database.write(add("a"))
        answered.addCallback(lambda _: here.append(get_ident()))
        await answered
        self.assertEqual(here, [get_ident()])
        self.assertEqual(self.database.read(texts), ["a"])

    async def test_nothing_is_answered_before_its_commit(self) -> None:
        """While the writer is busy, nothing is written and nobody answered."""
        go = self.hold_writer()
        waiting = self.database.write(add("a"))
        self.assertNoResult(waiting)
        self.assertEqual(self.database.read(texts), [])
        go.set()
        self.assertEqual(await waiting, "a")

    async def test_many_share_one_commit(self) -> None:
        """What waits together is committed together, up to 256 at once."""
        go = self.hold_writer()
        seen = self.count_commits()
        count = 2 * MAX_BATCH
        writes = [self.database.write(add(str(n))) for n in range(count)]
        go.set()
        await gatherResults(writes)
        # The first batch is the tracing write and 255 of these, then 256, then one.
        self.assertEqual(seen, ["COMMIT", *["BEGIN IMMEDIATE", "COMMIT"] * 2])

    async def test_answers_in_order(self) -> None:
        """Deferreds fire in the order of their writes, failed ones in between."""
        go = self.hold_writer()
        order: list[str] = []
        writes = []
        for number in range(600):
            text = str(number)
            work = add_and_fail(text) if number % 3 == 0 else add(text)
            write = self.database.write(work)
            writes.append(
                write.addErrback(lambda failure: str(failure.value)).addCallback(
                    order.append
                )
            )
        go.set()
        await gatherResults(writes)
        self.assertEqual(order, [str(number) for number in range(600)])
        kept = [str(number) for number in range(600) if number % 3]
        self.assertEqual(self.database.read(texts), kept)

    async def test_one_that_raises_is_undone_alone(self) -> None:
        """Others of the same COMMIT are written."""
        go = self.hold_writer()
        first = self.database.write(add("a"))
        bad = self.database.write(add_and_fail("b"))
        last = self.database.write(add("c"))
        go.set()
        await first
        await self.assertFailure(bad, ValueError)
        await last
        self.assertEqual(self.database.read(texts), ["a", "c"])

    async def test_a_commit_that_fails(self) -> None:
        """All that shared it fail with it, none is written, and the next batch goes on."""
        go = self.hold_writer()
        writes = [
            self.database.write(work) for work in (add("a"), add_orphan, add("b"))
        ]
        go.set()
        for write in writes:
            await self.assertFailure(write, sqlite3.IntegrityError)
        self.assertEqual(self.database.read(texts), [])
        await self.database.write(add("next"))
        self.assertEqual(self.database.read(texts), ["next"])

    async def test_a_full_disk(self) -> None:
        """When there is no room, what shared the COMMIT fails, and it goes on when there is."""

        def set_limit(pages: int) -> Callable[[sqlite3.Connection], Any]:
            return lambda connection: connection.execute(
                f"PRAGMA max_page_count = {pages}"
            ).fetchone()

        (now,) = await self.database.write(
            lambda connection: connection.execute("PRAGMA page_count").fetchone()
        )
        await self.database.write(set_limit(now))
        go = self.hold_writer()
        writes = [
            self.database.write(add("small")),
            self.database.write(add("x" * 100_000)),
            self.database.write(add("other")),
        ]
        go.set()
        await self.assertFailure(writes[1], sqlite3.OperationalError)
        # SQLite may undo more than the one: what it undid is answered as failed.
        others = [
            await write.addErrback(
                lambda failure: failure.trap(sqlite3.OperationalError)
            )
            for write in (writes[0], writes[2])
        ]
        answered = [text for text in others if isinstance(text, str)]
        self.assertEqual(self.database.read(texts), answered)
        await self.database.write(set_limit(now + 1000))
        await self.database.write(add("next"))
        self.assertEqual(self.database.read(texts), [*answered, "next"])

    async def test_sqlite_undoes_the_transaction(self) -> None:
        """If an error undid all of the transaction, the writes before it fail too."""

        def undone(connection: sqlite3.Connection) -> None:
            add("b")(connection)
            # What SQLite does by itself on SQLITE_FULL and SQLITE_IOERR.
            connection.execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")

        go = self.hold_writer()
        writes = [self.database.write(work) for work in (add("a"), undone, add("c"))]
        go.set()
        for write in writes:
            await self.assertFailure(write, sqlite3.OperationalError)
        await self.database.write(add("next"))
        self.assertEqual(self.database.read(texts), ["next"])

    async def test_work_that_raises_anything(self) -> None:
        """The thread outlives whatever is raised on it."""

        def leave(connection: sqlite3.Connection) -> None:
            raise SystemExit

        await self.assertFailure(self.database.write(leave), SystemExit)
        await self.database.write(add("next"))

    async def test_cancelling_takes_back_the_answer_only(self) -> None:
        """A write whose Deferred was cancelled is written all the same."""
        go = self.hold_writer()
        cancelled = self.database.write(add("a"))
        after = self.database.write(add("b"))
        cancelled.cancel()
        await self.assertFailure(cancelled, CancelledError)
        go.set()
        await after
        self.assertEqual(self.database.read(texts), ["a", "b"])

    async def test_settings(self) -> None:
        """A write-ahead log, FULL or as asked, foreign keys, patience with others."""

        def look(connection: sqlite3.Connection) -> list[Any]:
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names
            ]

        self.assertEqual(await self.database.write(look), ["wal", 2, 1, 5000])
        other = self.open(synchronous="NORMAL")
        self.assertEqual(await other.write(look), ["wal", 1, 1, 5000])


class ReaderTests(FileCase):
    """Reads beside the writer."""

    async def test_reads_on_this_thread(self) -> None:
        """A small read runs here and now, also while the writer is busy."""
        go = self.hold_writer()
        self.assertEqual(self.database.read(lambda _: get_ident()), get_ident())
        go.set()

    async def test_long_reads_have_a_thread(self) -> None:
        """They run elsewhere, in order, and a failing one fails alone."""
        await self.database.write(add("a"))
        thread = await self.database.read_in_thread(lambda _: get_ident())
        writer = await self.database.write(lambda _: get_ident())
        self.assertEqual(len({thread, writer, get_ident()}), 3)
        reads = [self.database.read_in_thread(work) for work in (add("b"), texts)]
        await self.assertFailure(reads[0], sqlite3.OperationalError)
        self.assertEqual(await reads[1], ["a"])

    async def test_reads_do_not_write(self) -> None:
        """A reader can't change the file."""
        self.assertRaises(sqlite3.OperationalError, self.database.read, add("a"))
        await self.database.write(add("b"))
        self.assertEqual(self.database.read(texts), ["b"])

    async def test_a_read_is_of_one_moment(self) -> None:
        """What is committed in between is not seen by half."""
        looked, committed = Event(), Event()

        def read(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
            before = texts(connection)
            looked.set()
            assert committed.wait(60)
            return before, texts(connection)

        reading = self.database.read_in_thread(read)
        assert looked.wait(60)
        await self.database.write(add("a"))
        committed.set()
        self.assertEqual(await reading, ([], []))
        self.assertEqual(await self.database.read_in_thread(texts), ["a"])


class ClosingTests(FileCase):
    """The end."""

    async def test_writes_what_waits(self) -> None:
        """Close commits and answers everything that was given before it."""
        go = self.hold_writer()
        writes = [self.database.write(add(str(n))) for n in range(300)]
        closing = self.database.close()
        again = self.database.close()
        self.assertNoResult(closing)
        go.set()
        await closing
        await again
        await self.database.close()
        self.assertEqual(len([self.successResultOf(write) for write in writes]), 300)
        self.assertEqual(len(self.open().read(texts)), 300)

    async def test_leaves_one_file(self) -> None:
        """The log is put back into the file."""
        await self.database.write(add("a"))
        await self.database.close()
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    async def test_is_the_end(self) -> None:
        """Whatever comes after it fails."""
        await self.database.close()
        self.failureResultOf(self.database.write(texts), DatabaseClosed)
        self.failureResultOf(self.database.read_in_thread(texts), DatabaseClosed)
        self.assertRaises(DatabaseClosed, self.database.read, texts)


class OpeningTests(FileCase):
    """Files as they are found."""

    def version(self) -> int:
        """The file's version, read by others."""
        connection = sqlite3.connect(self.path)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
        return int(version)

    def refused(self, **how: Any) -> str:
        """The sentence with which opening is refused."""
        return str(self.assertRaises(UnusableDatabase, self.open, **how))

    async def test_only_the_owner_may_read(self) -> None:
        """The file and its log are 0600 whatever the umask, also if they were not."""
        await self.database.write(add("a"))
        for name in os.listdir(self.path.parent):
            mode = stat.S_IMODE((self.path.parent / name).stat().st_mode)
            self.assertEqual((name, oct(mode)), (name, "0o600"))
        await self.database.close()
        self.path.chmod(0o644)
        self.open()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    async def test_migrates(self) -> None:
        """A file of an older version is brought to the newest, and keeps what is in it."""
        await self.database.write(add("a"))
        await self.database.close()
        self.assertEqual(self.version(), 1)
        newer = self.open((*MIGRATIONS, "ALTER TABLE log ADD COLUMN more TEXT;"))
        self.assertEqual(self.version(), 2)
        rows = newer.read(
            lambda connection: connection.execute(
                "SELECT text, more FROM log"
            ).fetchall()
        )
        self.assertEqual(rows, [("a", None)])

    async def test_a_migration_that_fails(self) -> None:
        """It is undone as a whole; those before it stay; the file is named."""
        await self.database.close()
        broken = (
            *MIGRATIONS,
            "CREATE TABLE two (a)",
            "CREATE TABLE three (a); NONSENSE",
        )
        self.assertIn(str(self.path), self.refused(migrations=broken))
        self.assertEqual(self.version(), 2)
        mended = self.open((*broken[:2], "CREATE TABLE three (a)"))
        self.assertEqual(self.version(), 3)
        await mended.write(lambda connection: connection.execute("SELECT * FROM three"))

    async def test_a_newer_file(self) -> None:
        """It is refused with a sentence that names it and both versions, and left alone."""
        await self.database.close()
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 7")
        connection.close()
        before = self.path.read_bytes()
        error = self.assertRaises(NewerDatabase, self.open)
        self.assertIsInstance(error, PublicError)
        for part in (str(self.path), "version 7", "up to 1"):
            self.assertIn(part, str(error))
        self.assertEqual(self.path.read_bytes(), before)

    async def test_what_is_no_database(self) -> None:
        """Another file, a folder, a place that is missing: a sentence that names it."""
        await self.database.close()
        self.path.write_text(
            "These are notes, and they are longer than a header." * 100
        )
        self.assertIn(str(self.path), self.refused())
        self.assertIn("not a database", self.refused())
        self.path.unlink()
        self.path.mkdir()
        self.assertIn("Is a directory", self.refused())
        self.path = self.path.parent / "missing" / "file"
        self.assertIn("No such file or directory", self.refused())

    async def test_nothing_stays_open(self) -> None:
        """A file that was refused is closed again."""
        await self.database.close()
        before = len(os.listdir("/proc/self/fd"))
        self.refused(migrations=())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)


class ResultTests(SynchronousTestCase):
    """What is a result."""

    def test_results_may_be_anything(self) -> None:
        """A result of None or an exception object is a result, not a failure."""
        database = Database.in_memory(MIGRATIONS)
        self.addCleanup(database.close)
        error = ValueError("kept")
        self.assertIsNone(self.successResultOf(database.write(lambda _: None)))
        self.assertIs(self.successResultOf(database.write(lambda _: error)), error)
