"""How transactions are run on a connection: many writes in one COMMIT, a read alone.

Everything here is synchronous, and runs on whichever thread has the connection.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from twisted.python.failure import Failure

#: Something to do with a connection. It begins and ends no transaction itself.
Work = Callable[[sqlite3.Connection], Any]
#: What a :data:`Work` came to: its result, or its failure.
Outcome = Any


def commit_together(
    connection: sqlite3.Connection, works: Sequence[Work]
) -> list[Outcome]:
    """Run each in a savepoint, and all of them in one transaction.

    One that raises is undone alone. If the transaction itself fails (the disk is
    full, the file can't be written), nothing of it happened, and all fail alike.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_in_savepoint(connection, work) for work in works]
        connection.execute("COMMIT")
    except BaseException as error:
        # An error may have undone the transaction already.
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        return [Failure(error) for _ in works]
    return outcomes


def _in_savepoint(connection: sqlite3.Connection, work: Work) -> Outcome:
    outcome: Outcome
    connection.execute("SAVEPOINT work")
    try:
        outcome = work(connection)
    except BaseException as error:
        # After some errors (SQLITE_FULL, SQLITE_IOERR) SQLite undoes the whole
        # transaction by itself: then the writes before this one are gone too.
        if not connection.in_transaction:
            raise
        outcome = Failure(error)
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")
    return outcome


def read_each(connection: sqlite3.Connection, works: Sequence[Work]) -> list[Outcome]:
    """Run each in a transaction of its own that is never written."""
    return [_read(connection, work) for work in works]


def _read(connection: sqlite3.Connection, work: Work) -> Outcome:
    try:
        return read(connection, work)
    except BaseException as error:
        return Failure(error)


def read(connection: sqlite3.Connection, work: Work) -> Any:
    """Run one read; all that it reads is of one moment."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")
        connection.execute("PRAGMA query_only = OFF")
