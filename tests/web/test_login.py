"""The token, tickets and sessions: each opens the door as long as it should, and no longer."""

import json
import stat
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.errors import PublicError
from hyperhive.web.login import (
    MAX_SESSIONS,
    MAX_TICKETS,
    MAX_WRONG,
    SESSION_LIFE,
    SESSION_PRECISION,
    TICKET_LIFE,
    WRONG_WINDOW,
    Doorman,
    Sessions,
    Tickets,
    Wrongs,
    doorman,
    operator_token,
)

KEY = b"k" * 43


class OperatorTokenTests(SynchronousTestCase):
    """The operator's token file."""

    def setUp(self) -> None:
        """A folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "operator-token"

    def test_made_once(self) -> None:
        """The first start makes a long token in a 0600 file; the next reads the same."""
        token = operator_token(self.path)
        self.assertGreaterEqual(len(token), 43)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(operator_token(self.path), token)

    def test_two_differ(self) -> None:
        """No two hives share a token."""
        other = self.path.with_name("other")
        self.assertNotEqual(operator_token(self.path), operator_token(other))

    def test_mode_is_mended(self) -> None:
        """A token that others could read is closed to them."""
        operator_token(self.path)
        self.path.chmod(0o644)
        operator_token(self.path)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_no_token_in_it(self) -> None:
        """A file with an empty, short or broken token is refused, and the remedy said."""
        for text in ("", "\n", "short", "a" * 20 + " " + "b" * 20, "\0" * 50):
            self.path.write_text(text)
            error = self.assertRaises(PublicError, operator_token, self.path)
            self.assertIn("Remove it", str(error))

    def test_unreadable(self) -> None:
        """What can't be read is said with the reason."""
        self.path.mkdir()
        error = self.assertRaises(PublicError, operator_token, self.path)
        self.assertIn("directory", str(error))


class TicketTests(SynchronousTestCase):
    """One-time links."""

    def setUp(self) -> None:
        """Tickets on a clock."""
        self.clock = Clock()
        self.tickets = Tickets(self.clock, KEY)

    def test_once(self) -> None:
        """A ticket works once."""
        ticket = self.tickets.issue()
        self.assertTrue(self.tickets.redeem(ticket))
        self.assertFalse(self.tickets.redeem(ticket))

    def test_unknown(self) -> None:
        """A guess does not work, whatever is in it."""
        self.tickets.issue()
        for guess in ("", "x", "é\udcff", "a" * 10_000):
            self.assertFalse(self.tickets.redeem(guess))

    def test_expires(self) -> None:
        """A ticket works for ten minutes."""
        early, late = self.tickets.issue(), self.tickets.issue()
        self.clock.advance(TICKET_LIFE - 1)
        self.assertTrue(self.tickets.redeem(early))
        self.clock.advance(1)
        self.assertFalse(self.tickets.redeem(late))

    def test_bounded(self) -> None:
        """The oldest of too many goes; the others stay good."""
        first, second = self.tickets.issue(), self.tickets.issue()
        for _ in range(MAX_TICKETS - 1):
            self.tickets.issue()
        self.assertFalse(self.tickets.redeem(first))
        self.assertTrue(self.tickets.redeem(second))


class SessionTests(SynchronousTestCase):
    """Logged-in browsers."""

    def setUp(self) -> None:
        """Sessions in a folder, at a moment."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "operator-sessions"
        self.now = 1_000_000.0
        self.sessions = self.load()

    def load(self, key: bytes = KEY) -> Sessions:
        """Read them as a daemon does at its start."""
        return Sessions(self.path, key, lambda: self.now)

    def test_life(self) -> None:
        """A session is good until it is closed; others are not touched."""
        mine, other = self.sessions.open(), self.sessions.open()
        self.assertTrue(self.sessions.check(mine))
        self.sessions.close(mine)
        self.sessions.close(mine)
        self.assertFalse(self.sessions.check(mine))
        self.assertTrue(self.sessions.check(other))

    def test_survives_a_restart(self) -> None:
        """Another daemon over the same files knows it; the file does not give it away."""
        session = self.sessions.open()
        self.assertTrue(self.load().check(session))
        self.assertNotIn(session, self.path.read_text())
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_closed_for_good(self) -> None:
        """A session that was closed is not good after a restart either."""
        session = self.sessions.open()
        self.sessions.close(session)
        self.assertFalse(self.load().check(session))

    def test_another_token(self) -> None:
        """With a new operator's token all sessions are void."""
        session = self.sessions.open()
        self.assertFalse(self.load(b"other" * 9).check(session))

    def test_idle(self) -> None:
        """It ends when nobody used it for 30 days, and lasts as long as somebody does."""
        session = self.sessions.open()
        for _ in range(3):
            self.now += SESSION_LIFE - 1
            self.assertTrue(self.sessions.check(session))
        self.now += SESSION_LIFE + 1
        self.assertFalse(self.sessions.check(session))

    def test_use_is_remembered(self) -> None:
        """That it was used is on disk within an hour or so: a restart counts from there."""
        session = self.sessions.open()
        self.now += SESSION_LIFE / 2
        self.sessions.check(session)
        self.now += SESSION_LIFE - SESSION_PRECISION
        self.assertTrue(self.load().check(session))

    def test_old_ones_are_not_read(self) -> None:
        """A start forgets those that are over."""
        session = self.sessions.open()
        self.now += SESSION_LIFE + 1
        self.assertFalse(self.load().check(session))

    def test_bounded(self) -> None:
        """The one that was not used for longest goes."""
        used, unused = self.sessions.open(), self.sessions.open()
        self.sessions.check(used)
        for _ in range(MAX_SESSIONS - 1):
            self.sessions.open()
        self.assertFalse(self.sessions.check(unused))
        self.assertTrue(self.sessions.check(used))
        self.assertEqual(len(json.loads(self.path.read_text())), MAX_SESSIONS)

    def test_damaged_file(self) -> None:
        """A file that holds something else is begun anew."""
        for text in ("", "{", "[]", '"x"', '{"a": "b"}', '{"a": null}', "\udcff"):
            self.path.write_text(text, errors="surrogateescape")
            sessions = self.load()
            self.assertTrue(sessions.check(sessions.open()))

    def test_disk_full(self) -> None:
        """Where the file can't be written, sessions go on in memory, and the log says so."""
        sessions = Sessions(self.path / "no" / "folder", KEY, lambda: self.now)
        session = sessions.open()
        self.assertTrue(sessions.check(session))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class WrongsTests(SynchronousTestCase):
    """Counting wrong logins."""

    def test_limit(self) -> None:
        """Ten wrong ones a minute are answered as such, then it is too many."""
        clock = Clock()
        wrongs = Wrongs(clock)
        self.assertEqual(
            [wrongs.again("here") for _ in range(MAX_WRONG + 2)],
            [False] * MAX_WRONG + [True, True],
        )
        self.assertFalse(wrongs.again("elsewhere"))
        clock.advance(WRONG_WINDOW)
        self.assertFalse(wrongs.again("here"))

    def test_bounded(self) -> None:
        """Many addresses don't fill the memory: the one longest silent is forgotten."""
        wrongs = Wrongs(Clock())
        for _ in range(MAX_WRONG):
            wrongs.again("first")
        for number in range(1000):
            wrongs.again(str(number))
        self.assertFalse(wrongs.again("first"))


class DoormanTests(SynchronousTestCase):
    """The whole."""

    def test_knows(self) -> None:
        """It knows the token and nothing else."""
        folder = Path(self.mktemp())
        folder.mkdir()
        man: Doorman = doorman(
            Clock(), folder / "token", folder / "sessions", lambda: 0.0
        )
        self.assertTrue(man.knows(man.token))
        for wrong in ("", man.token[:-1], man.token + "x", "é" * 43):
            self.assertFalse(man.knows(wrong))
