"""What surfaces know of a login of claude: its states, its errors, and what can be done."""

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.agents.claude_auth import Account
from hyperhive.errors import Conflict
from hyperhive.times import rfc3339

#: Where a login can be: before it, under way, and over.
NONE = "none"
WAITING = "waiting"
STARTING = "starting"
LINK = "link"
CHECKING = "checking"
ENDING = "ending"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"
TIMED_OUT = "timed_out"
#: In these something runs, or is about to.
UNDER_WAY = frozenset({WAITING, STARTING, LINK, CHECKING, ENDING})


class LoginRefused(Conflict):
    """The agent can't be logged in now; the text says what to do."""


class NoLoginRuns(Conflict):
    """There is no login that would take this."""


@frozen
class LoginView:
    """One agent's login as it is now, or as it ended.

    :param state: one of this module's.
    :param since: POSIX time at which it came into that state.
    :param until: POSIX time at which it is given up.
    :param link: where the operator signs in.
    :param note: a sentence: what it waits for, or why it ended so.
    :param account: whom claude has found logged in.
    """

    agent: str
    state: str = NONE
    since: float = 0.0
    until: float | None = None
    link: str | None = None
    note: str | None = None
    account: Account | None = None

    def as_wire(self) -> dict[str, object]:
        """As surfaces show it; what is absent is left out."""
        row: dict[str, object] = {"name": self.agent, "state": self.state}
        if self.state != NONE:
            row["since"] = rfc3339(self.since)
        if self.until is not None:
            row["until"] = rfc3339(self.until)
        if self.account is not None:
            row["account"] = self.account.as_wire()
        texts = {"link": self.link, "note": self.note}
        return row | {key: text for key, text in texts.items() if text is not None}


class IClaudeLogins(Interface):
    """Logs agents' claudes in, each with a login of its own.

    Each method may raise :class:`~hyperhive.names.InvalidName` or
    :class:`~hyperhive.agents.interfaces.NoSuchAgent`. Each change is published as
    ``claude_login``.
    """

    def view(name: str) -> LoginView:
        """How an agent's login is, or how its last one ended since the daemon's start."""

    def start(name: str) -> LoginView:
        """Begin one. If one is under way already, that is it: all pages share it.

        :raises LoginRefused: if the agent can't be logged in now.
        """

    def give_code(name: str, text: str) -> LoginView:
        """Hand claude the code that the operator has pasted.

        :raises BadCode: if that can't be one.
        :raises NoLoginRuns: if no login waits for one.
        """

    def cancel(name: str) -> Deferred[LoginView]:
        """End it; fires when nothing of it runs any more.

        :raises NoLoginRuns: if none is under way.
        """
