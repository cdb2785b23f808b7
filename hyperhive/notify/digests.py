"""Put what waits of one kind into words: what still holds of it, as one notification."""

import unicodedata
from collections.abc import Callable, Sequence
from sqlite3 import Connection

import attrs
from twisted.internet.defer import Deferred

from hyperhive.agents.interfaces import AgentStatus, IAgents, NoSuchAgent
from hyperhive.deferreds import deferred
from hyperhive.notify.interfaces import (
    MAX_ITEMS,
    MAX_TEXT,
    TEST,
    Item,
    Notification,
)
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.messages import MessageRow, MessageTable
from hyperhive.store.outbox import OutboxRow
from hyperhive.store.questions import QuestionRow, QuestionTable

#: The longest title (characters).
MAX_TITLE = 120

#: The title of several of a kind.
_SEVERAL = {
    "approval": "{} approvals wait for you",
    "question": "{} questions wait for you",
    "login": "{} agents need a login",
    "dead": "{} messages are dead",
    "crash": "{} agents have crashed",
}
_ASKED_FOR = {"spawn": "a new agent, {}", "apply_commit": "a new configuration for {}"}

#: Makes a one-time link by which a thing of a kind, with an id, is decided.
LinkMaker = Callable[[str, int], Deferred[str]]


class Digests:
    """Makes notifications of rows of the outbox.

    :param home: where the dashboard is, with a slash at its end.
    :param link: makes decision links; ``None``: there are none.
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        database: Database,
        agents: IAgents,
        home: str | None,
        link: LinkMaker | None,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._agents = agents
        self._home = home
        self._link = link
        self._now = now

    @deferred
    async def make(self, kind: str, rows: Sequence[OutboxRow]) -> Notification | None:
        """One notification of rows of one kind; ``None`` if nothing of it holds any more.

        What was decided, answered or requeued meanwhile is not told.
        """
        subjects = list(dict.fromkeys(row.subject for row in rows))
        items = await self._items(kind, subjects)
        if not items:
            return None
        count, first = len(items), items[:MAX_ITEMS]
        title = first[0].title if count == 1 else _SEVERAL[kind].format(count)
        return Notification(
            f"{kind}-{rows[-1].id}",
            kind,
            self._now(),
            title,
            count,
            tuple([await self._with_url(kind, item) for item in first]),
            self._home,
        )

    def test(self) -> Notification:
        """What is told to see whether it arrives."""
        title = "hyperhive can reach you"
        item = Item(TEST, title, "This is a test. Nothing waits for you.", self._home)
        now = self._now()
        return Notification(
            f"{TEST}-{int(now)}", TEST, now, title, 1, (item,), self._home
        )

    async def _items(self, kind: str, subjects: Sequence[str]) -> list[Item]:
        if kind in ("login", "crash"):
            return [
                _of_agent(kind, status)
                for name in subjects
                if (status := self._status(name)) is not None
                and (kind == "crash" or status.needs_login)
            ]
        ids = [int(subject) for subject in subjects]
        return await self._database.read_in_thread(
            lambda connection: _READERS[kind](connection, ids)
        )

    def _status(self, name: str) -> AgentStatus | None:
        try:
            return self._agents.status(name)
        except NoSuchAgent:
            return None

    async def _with_url(self, kind: str, item: Item) -> Item:
        url = self._home
        if url is not None and kind in ("login", "crash"):
            url = f"{url}agent/{item.subject}/"
        if self._link is not None and kind in ("approval", "question"):
            url = await self._link(kind, int(item.subject))
        return attrs.evolve(item, url=url)


def plain(text: str, most: int) -> str:
    """A text without what could disguise it: control and direction characters."""
    kept = "".join(
        one
        for one in text
        if one in "\n\t"
        or (
            unicodedata.category(one) not in ("Cc", "Cs")
            and unicodedata.bidirectional(one)
            not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        )
    ).strip()
    return kept if len(kept) <= most else kept[: most - 1].rstrip() + "…"


def _line(text: str) -> str:
    return plain(" ".join(text.split()), MAX_TITLE)


def _approvals(connection: Connection, ids: Sequence[int]) -> list[Item]:
    waiting = {row.id: row for row in ApprovalTable.pending(connection)}
    return [_of_approval(waiting[id]) for id in ids if id in waiting]


def _questions(connection: Connection, ids: Sequence[int]) -> list[Item]:
    waiting = {row.id: row for row in QuestionTable.pending(connection)}
    return [_of_question(waiting[id]) for id in ids if id in waiting]


def _dead(connection: Connection, ids: Sequence[int]) -> list[Item]:
    rows = (MessageTable.get(connection, id) for id in ids)
    return [_of_message(row) for row in rows if row is not None and row.state == "dead"]


_READERS: dict[str, Callable[[Connection, Sequence[int]], list[Item]]] = {
    "approval": _approvals,
    "question": _questions,
    "dead": _dead,
}


def _of_approval(row: ApprovalRow) -> Item:
    what = _ASKED_FOR[row.kind].format(row.agent)
    commit = f"Commit {row.sha[:12]}. " if row.sha else ""
    why = f"{row.asker} writes:\n{row.description}" if row.description else ""
    return Item(
        str(row.id),
        _line(f"Approve? {row.asker} asks for {what} (approval {row.id})"),
        plain(f"{commit}{why}" or f"{row.asker} says no more about it.", MAX_TEXT),
    )


def _of_question(row: QuestionRow) -> Item:
    options = "".join(f"\n- {option}" for option in row.options)
    return Item(
        str(row.id),
        _line(f"{row.asker} asks you something (question {row.id})"),
        plain(f"{row.question}{options}", MAX_TEXT),
    )


def _of_message(row: MessageRow) -> Item:
    return Item(
        str(row.id),
        _line(f"Message {row.id} from {row.sender} to {row.recipient} is dead"),
        "It can be queued again on the dashboard.",
    )


def _of_agent(kind: str, status: AgentStatus) -> Item:
    what = "needs a login" if kind == "login" else "has crashed"
    note = status.state_note or f"It is {status.state} now."
    return Item(status.name, f"{status.name} {what}", plain(note, MAX_TEXT))
