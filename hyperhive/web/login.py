"""Who may come in: the operator's token, one-time links, and browser sessions.

The token, a ticket and a session are 32 random bytes each: no rate of guessing
finds one. What is kept of tickets and sessions is a keyed hash, and lookups go
by that hash, so that neither a leaked file nor timing gives one away.
"""

import hmac
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from hyperhive.errors import PublicError
from hyperhive.private_files import write_private

#: Bytes of randomness in a token, a ticket and a session.
ENTROPY = 32
#: A shorter text in the token's file is no token of ours (characters).
SHORTEST_TOKEN = 32
#: How long a login link is good (seconds).
TICKET_LIFE = 600.0
#: How many links may be open at once; the oldest goes first.
MAX_TICKETS = 32
#: How long a session lasts that nobody uses (seconds).
SESSION_LIFE = 30 * 86400.0
#: How many sessions there may be; the least recently used goes first.
MAX_SESSIONS = 32
#: How stale the file may be on when a session was last used (seconds).
SESSION_PRECISION = 3600.0
#: Wrong logins from one address within :data:`WRONG_WINDOW` seconds.
MAX_WRONG = 10
WRONG_WINDOW = 60.0
#: How many addresses are remembered for it.
MAX_ADDRESSES = 256


def operator_token(path: Path) -> str:
    """Read the operator's token, or make one at the first start. The file is 0600.

    :raises PublicError: if the file holds no token or can't be read.
    """
    try:
        return _existing_token(path)
    except FileNotFoundError:
        token = secrets.token_urlsafe(ENTROPY)
        write_private(path, token + "\n")
        return token
    except OSError as error:
        raise PublicError(
            f"The operator's token {path} can't be read: {error.strerror}."
        ) from None


def _existing_token(path: Path) -> str:
    token = path.read_text("ascii", "replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise PublicError(
            f"{path} holds no operator token: it must be one word of at least "
            f"{SHORTEST_TOKEN} characters. Remove it, and a start makes a new one."
        )
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return token


class Tickets:
    """Login links that work once, within :data:`TICKET_LIFE`. A restart forgets them."""

    def __init__(self, clock: IReactorTime, key: bytes) -> None:
        self._clock = clock
        self._key = key
        self._expiries: dict[str, float] = {}

    def issue(self) -> str:
        """Make a ticket."""
        ticket = secrets.token_urlsafe(ENTROPY)
        self._expiries[_digest(self._key, ticket)] = self._clock.seconds() + TICKET_LIFE
        while len(self._expiries) > MAX_TICKETS:
            del self._expiries[next(iter(self._expiries))]
        return ticket

    def redeem(self, ticket: str) -> bool:
        """Use a ticket up; whether it was good."""
        expiry = self._expiries.pop(_digest(self._key, ticket), None)
        return expiry is not None and self._clock.seconds() < expiry


class Sessions:
    """Logged-in browsers, kept over a restart of the daemon.

    :param path: where they are kept; a file that can't be understood is begun anew.
    :param key: the operator's token: with another token all sessions are void.
    :param now: the wall clock.
    """

    _log = Logger()

    def __init__(self, path: Path, key: bytes, now: Callable[[], float]) -> None:
        self._path = path
        self._key = key
        self._now = now
        #: When each was last used, the least recently used first.
        self._used: dict[str, float] = self._read()
        self._written = dict(self._used)

    def open(self) -> str:
        """Begin a session; the answer is the cookie's value."""
        session = secrets.token_urlsafe(ENTROPY)
        self._used[_digest(self._key, session)] = self._now()
        while len(self._used) > MAX_SESSIONS:
            del self._used[next(iter(self._used))]
        self._write()
        return session

    def check(self, session: str) -> bool:
        """Whether it is good; a good one lasts anew from now on."""
        digest = _digest(self._key, session)
        used = self._used.pop(digest, None)
        if used is None or self._now() - used > SESSION_LIFE:
            return False
        self._used[digest] = self._now()
        if self._now() - self._written.get(digest, 0.0) > SESSION_PRECISION:
            self._write()
        return True

    def close(self, session: str) -> None:
        """End it. Ending it twice is fine."""
        if self._used.pop(_digest(self._key, session), None) is not None:
            self._write()

    def _read(self) -> dict[str, float]:
        try:
            stored = json.loads(self._path.read_text("utf-8"))
            used = {str(digest): float(when) for digest, when in stored.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError):
            self._log.warn("{path} holds no sessions: begun anew", path=self._path)
            return {}
        alive = {
            digest: when
            for digest, when in used.items()
            if self._now() - when <= SESSION_LIFE
        }
        newest = sorted(alive.items(), key=lambda item: item[1])[-MAX_SESSIONS:]
        return dict(newest)

    def _write(self) -> None:
        try:
            write_private(self._path, json.dumps(self._used))
        except OSError:
            # They go on in memory: only a restart would log the operator out.
            self._log.failure("{path} can't be written", path=self._path)
        self._written = dict(self._used)


@define
class _Wrong:
    since: float
    times: int


class Wrongs:
    """Counts wrong logins by address, so that a flood of them is answered cheaply.

    A right token is taken whatever the count: who floods the login, an agent on
    this host for one, must not be able to lock the operator out.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._by_address: dict[str, _Wrong] = {}

    def again(self, address: str) -> bool:
        """Count one more; whether there were too many of late."""
        now = self._clock.seconds()
        wrong = self._by_address.pop(address, None)
        if wrong is None or now - wrong.since >= WRONG_WINDOW:
            wrong = _Wrong(now, 0)
        wrong.times += 1
        self._by_address[address] = wrong
        while len(self._by_address) > MAX_ADDRESSES:
            del self._by_address[next(iter(self._by_address))]
        if wrong.times == MAX_WRONG + 1:
            self._log.warn("many wrong logins from {address}", address=address)
        return wrong.times > MAX_WRONG


@frozen
class Doorman:
    """Everything that decides whether a request is the operator's."""

    token: str
    tickets: Tickets
    sessions: Sessions
    wrongs: Wrongs

    def knows(self, token: str) -> bool:
        """Whether it is the operator's token; takes the same time for each wrong one."""
        return hmac.compare_digest(token.encode(), self.token.encode())


def doorman(
    clock: IReactorTime, token: Path, sessions: Path, now: Callable[[], float]
) -> Doorman:
    """Make the doorman over the operator's token file.

    :raises PublicError: as :func:`operator_token`.
    """
    text = operator_token(token)
    key = text.encode()
    return Doorman(
        text, Tickets(clock, key), Sessions(sessions, key, now), Wrongs(clock)
    )


def _digest(key: bytes, secret: str) -> str:
    return hmac.digest(key, secret.encode("utf-8", "surrogatepass"), "sha256").hex()
