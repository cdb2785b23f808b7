"""Find messages by what is in them, in bounded bites from the newest to the oldest."""

import sqlite3
from collections.abc import Iterator

from attrs import frozen

from hyperhive.store.messages import MessageRow, MessageTable

#: How many rows, and how many characters of their bodies, one bite looks at.
MAX_ROWS = 5000
MAX_CHARS = 8 * 1024 * 1024


@frozen
class Wanted:
    """What is looked for. What is not given does not matter.

    :param text: stands somewhere in the body, in capitals or not.
    :param state: as in :class:`MessageRow`.
    :param mailbox: it was sent to or by this one.
    """

    text: str = ""
    state: str | None = None
    mailbox: str | None = None

    def fits(self, row: MessageRow) -> bool:
        """Whether a row of the mailbox is one."""
        if self.state is not None and row.state != self.state:
            return False
        return self.text.casefold() in row.body.casefold()


@frozen
class Bite:
    """What was found, in the order of ids.

    :param before: under this id nothing was looked at; ``None`` at the beginning.
    """

    rows: tuple[MessageRow, ...]
    before: int | None


def search(
    connection: sqlite3.Connection, wanted: Wanted, before: int | None, limit: int
) -> Bite:
    """Find the newest ``limit`` messages, as far as one bite goes.

    It takes its time: for a thread. Bodies are read one at a time.
    """
    found: list[MessageRow] = []
    chars = 0
    for place, row in enumerate(_newest_first(connection, wanted, before), start=1):
        chars += len(row.body)
        if wanted.fits(row):
            found.append(row)
        if len(found) == limit or place == MAX_ROWS or chars > MAX_CHARS:
            return Bite(tuple(found[::-1]), row.id)
    return Bite(tuple(found[::-1]), None)


def _newest_first(
    connection: sqlite3.Connection, wanted: Wanted, before: int | None
) -> Iterator[MessageRow]:
    if wanted.mailbox is None and wanted.state == "dead":
        # These are few, and have an index of their own.
        return MessageTable.newest_dead(connection, before, MAX_ROWS)
    return MessageTable.newest(connection, wanted.mailbox, before, MAX_ROWS)
