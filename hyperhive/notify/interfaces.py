"""What is told, how a target is told it, and how that can fail."""

from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.errors import Conflict, NotFound, PublicError

#: The kind of what only a person asks for, to see whether it arrives.
TEST = "test"
#: How many things of one kind are told one by one; of more only the first are.
MAX_ITEMS = 3
#: How much of a text of an agent's is told (characters).
MAX_TEXT = 600


class NotTold(PublicError):
    """A target could not be told; the text says why, without any secret.

    It is tried again.

    :param retry_after: for how many seconds the target wants to be left alone.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(NotTold):
    """The target will never take this; it is not tried again."""


class NoSuchLink(NotFound):
    """This is no link of the hive's: mistyped, guessed, or forgotten."""


class LinkExpired(Conflict):
    """The link was good once."""


class LinkUsed(Conflict):
    """Something was decided by this link already."""


class ShownChanged(Conflict):
    """What would be decided is no longer what the page showed."""


@frozen
class Item:
    """One thing of a notification.

    :param subject: its id, or an agent's name.
    :param title: what it is, in a few words and on one line.
    :param text: what there is to say; agents wrote parts of it.
    :param url: where to look at it; with links, where to decide it.
    """

    subject: str
    title: str
    text: str = ""
    # It may be a decision link.
    url: str | None = field(default=None, repr=False)


@frozen
class Notification:
    """What one target is told at once, all of one kind.

    :param id: the same for each attempt to tell it.
    :param at: POSIX time.
    :param title: one line.
    :param count: how many things it is about.
    :param items: the first of them, at most :data:`MAX_ITEMS`.
    :param url: where to look at all of them.
    """

    id: str
    kind: str
    at: float
    title: str
    count: int = 1
    items: tuple[Item, ...] = ()
    url: str | None = None


@frozen
class TargetStatus:
    """How it goes with one target.

    :param host: where it is; nothing more of its address, which may be a secret.
    :param waiting: how many things it has yet to be told.
    :param problem: why it could not be told last.
    """

    target: str
    host: str
    waiting: int
    problem: str | None = None


class IChannel(Interface):
    """A way to tell one target."""

    def send(notification: Notification) -> Deferred[None]:
        """Tell it, within bounds of time and size.

        :raises Refused: it will never take this.
        :raises NotTold: it can't be told now.
        """


class INotices(Protocol):
    """Where the hive's own troubles are shown to the operator."""

    def add(self, sentence: str) -> None:
        """Show a sentence."""

    def remove(self, sentence: str) -> None:
        """Show it no more."""
