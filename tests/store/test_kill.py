"""A process that writes is killed: what it was answered is in the file."""

import os
import signal
import sqlite3
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from hyperhive.lines import LineSplitter
from hyperhive.store.database import Database

MIGRATIONS = ("CREATE TABLE log (sender INTEGER, number INTEGER)",)
#: How many write at once: their writes share commits.
SENDERS = 32
#: How many answers are awaited before the kill.
ANSWERS = 500

_WRITER = """
import sys
from pathlib import Path
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet import reactor
from hyperhive.store.database import Database
from tests.store.test_kill import MIGRATIONS, SENDERS

database = Database.open(reactor, Path(sys.argv[1]), MIGRATIONS)

def send(sender, number):
    def insert(connection):
        connection.execute("INSERT INTO log VALUES (?, ?)", (sender, number))

    def answered(_):
        sys.stdout.write(f"{sender} {number}\\n")
        sys.stdout.flush()
        send(sender, number + 1)

    database.write(insert).addCallback(answered)

for sender in range(SENDERS):
    reactor.callWhenRunning(send, sender, 0)
reactor.run()
"""


class Victim(ProcessProtocol):
    """Counts the answers that a writer prints, and kills it in the midst of its work."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []
        self.errors = b""
        self.ended: Deferred[Failure] = Deferred()
        self._lines = LineSplitter(1000)
        self._killed = False

    def outReceived(self, data: bytes) -> None:
        """Note answers; kill when there are enough, and go on noting what it had said."""
        for line in self._lines.feed(data):
            sender, number = line.split()
            self.answers.append((int(sender), int(number)))
        if len(self.answers) >= ANSWERS and not self._killed:
            self._killed = True
            self.transport.signalProcess("KILL")

    def errReceived(self, data: bytes) -> None:
        """Keep what went wrong."""
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and all that it had said was read."""
        self.ended.callback(reason.value)


class KillTests(TestCase):
    """kill -9 while many writes share their commits."""

    timeout = 120

    async def test_every_answered_write_is_there(self) -> None:
        """No answered write is missing, none is doubled, and each sender's are without a gap."""
        path = Path(self.mktemp())
        victim = Victim()
        reactor.spawnProcess(
            victim,
            sys.executable,
            [sys.executable, "-c", _WRITER, str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        end = await victim.ended
        self.assertIsInstance(end, ProcessTerminated, victim.errors.decode())
        self.assertEqual(end.signal, signal.SIGKILL, victim.errors.decode())

        database = Database.open(reactor, path, MIGRATIONS)
        self.addCleanup(database.close)
        rows = database.read(
            lambda connection: connection.execute(
                "SELECT sender, number FROM log ORDER BY rowid"
            ).fetchall()
        )
        self.assertGreaterEqual(len(victim.answers), ANSWERS)
        self.assertEqual(set(victim.answers) - set(rows), set())
        for sender in range(SENDERS):
            numbers = [number for who, number in rows if who == sender]
            self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual(database.read(_integrity), "ok")
        await database.write(
            lambda connection: connection.execute("INSERT INTO log VALUES (-1, 0)")
        )


def _integrity(connection: sqlite3.Connection) -> str:
    (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    return str(verdict)
