"""One-time links by which one approval or question is decided, and nothing else.

A link is signed with a key that only the daemon can read, names one thing, expires, and
is used up in the transaction of its decision. To decide takes a second value besides,
which only the page gives out that shows what would be decided.
"""

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection

from attrs import evolve, field, frozen

from hyperhive.approvals.interfaces import (
    Approval,
    IApprovals,
    IQuestions,
    NoSuchApproval,
    Question,
    diff_as_wire,
)
from hyperhive.deferreds import deferred
from hyperhive.deploy.repos import Diff
from hyperhive.errors import Conflict, PublicError
from hyperhive.messages.interfaces import Also
from hyperhive.names import BY_LINK
from hyperhive.notify.interfaces import (
    LinkExpired,
    LinkUsed,
    NoSuchLink,
    ShownChanged,
)
from hyperhive.private_files import write_private
from hyperhive.store.database import Database
from hyperhive.store.links import LinkRow, LinkTable
from hyperhive.store.questions import QuestionTable

#: The path of a link on the dashboard's origin, before its token.
PATH = "decide/"
#: The longest diff that is shown on a link's page (characters, and lines): nobody reads
#: more on a phone, and to render more would hold up everybody else.
MAX_SHOWN_DIFF = 64 * 1024
MAX_SHOWN_LINES = 2000
#: How long links are kept after they have expired (seconds).
KEPT_SECONDS = 7 * 86400.0
#: How many one write forgets at most.
PRUNE_BITE = 500

_KEY_BYTES = 32
_TOKEN = re.compile(r"([1-9][0-9]{0,17})\.([A-Za-z0-9_-]{43})")


def link_key(path: Path) -> bytes:
    """Read the key that signs links, or make it. The file is 0600.

    :raises PublicError: if the file holds no key, or can't be read or made.
    """
    try:
        text = path.read_text("ascii").strip()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        text = secrets.token_hex(_KEY_BYTES)
        _made(path, text)
    except (OSError, ValueError) as error:
        raise PublicError(f"The key of links {path} can't be read: {error}.") from None
    if not re.fullmatch(f"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
        raise PublicError(
            f"{path} holds no key of links. Remove it, and a start makes a new one; "
            "links that were sent are void then."
        )
    return bytes.fromhex(text)


def _made(path: Path, text: str) -> None:
    try:
        write_private(path, text + "\n")
    except OSError as error:
        raise PublicError(
            f"The key of links {path} can't be made: {error.strerror}."
        ) from None


@frozen
class Shown:
    """What a link's page shows.

    :param expires_at: when the link ends (POSIX time).
    :param approval: what it decides, of an approval; with its diff, unless it is for
        a new agent.
    :param question: what it answers, of a question.
    :param problem: why it can't be approved here; it can be denied.
    :param seen: proves to :class:`Links` that exactly this was shown.
    """

    expires_at: float
    approval: Approval | None = None
    diff: Diff | None = None
    question: Question | None = None
    problem: str | None = None
    seen: str = field(default="", repr=False)

    @property
    def pending(self) -> bool:
        """Whether there still is something to decide."""
        subject = self.approval or self.question
        return subject is not None and subject.status == "pending"


class Links:
    """Makes links, shows what each would decide, and decides it.

    :param key: signs them.
    :param home: where a phone reaches the dashboard, with a slash at its end.
    :param ttl: how long a link is good (seconds).
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        database: Database,
        approvals: IApprovals,
        questions: IQuestions,
        key: bytes,
        home: str,
        ttl: float,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._approvals = approvals
        self._questions = questions
        self._key = key
        self._home = home
        self._ttl = ttl
        self._now = now

    @deferred
    async def make(self, kind: str, subject: int) -> str:
        """A link to one thing: the one that there is, if it is good for some time yet.

        :param kind: ``approval`` or ``question``.
        """

        def find_or_insert(connection: Connection) -> LinkRow:
            now = self._now()
            row = LinkTable.newest_of(connection, kind, subject)
            if (
                row is not None
                and row.used_at is None
                and row.expires_at - now > self._ttl / 2
            ):
                return row
            return LinkTable.insert(connection, kind, subject, now, now + self._ttl)

        row = await self._database.write(find_or_insert)
        return f"{self._home}{PATH}{row.id}.{self._signature(row)}"

    def check(self, token: str) -> None:
        """Whether it is a link's, and the link still good for something.

        :raises NoSuchLink:
        :raises LinkExpired:
        """
        self._checked(token)

    @deferred
    async def look(self, token: str) -> Shown:
        """What a link would decide, or what became of it. This changes nothing.

        :raises NoSuchLink:
        :raises LinkExpired:
        """
        return await self._look(self._checked(token))

    @deferred
    async def approve(self, token: str, seen: str) -> None:
        """Approve, as :meth:`IApprovals.approve` does.

        :param seen: of what was shown.
        :raises ShownChanged: if that was something else.
        :raises NoSuchLink:
        :raises LinkExpired:
        :raises AlreadyDecided: saying who decided, and when.
        """
        row, shown = await self._deciding(token, seen, "approval")
        if shown.problem is not None:
            raise Conflict(shown.problem)
        await self._approvals.approve(row.subject, BY_LINK, self._use(row))

    @deferred
    async def deny(self, token: str, seen: str, note: str | None) -> None:
        """Deny; raises as :meth:`approve`."""
        row, _ = await self._deciding(token, seen, "approval")
        await self._approvals.deny(row.subject, BY_LINK, note, self._use(row))

    @deferred
    async def answer(self, token: str, seen: str, answer: str | Sequence[str]) -> None:
        """Answer a question; raises as :meth:`approve`."""
        row, _ = await self._deciding(token, seen, "question")
        await self._questions.answer(row.subject, answer, BY_LINK, self._use(row))

    @deferred
    async def prune(self) -> None:
        """Forget links that expired a week ago."""
        before = self._now() - KEPT_SECONDS
        while await self._database.write(
            lambda connection: LinkTable.prune(connection, before, PRUNE_BITE)
        ):
            pass

    async def _deciding(
        self, token: str, seen: str, kind: str
    ) -> tuple[LinkRow, Shown]:
        row = self._checked(token)
        if row.kind != kind:
            raise NoSuchLink(f"This link decides no {kind}.")
        shown = await self._look(row)
        # What is decided already says so itself, with who and when.
        if shown.pending and not hmac.compare_digest(
            shown.seen.encode(), seen.encode("utf-8", "surrogatepass")
        ):
            raise ShownChanged(
                "What would be decided is not what was shown: something has changed "
                "meanwhile. Look again."
            )
        return row, shown

    def _use(self, row: LinkRow) -> Also:
        def use(connection: Connection) -> None:
            if not LinkTable.use(connection, row.id, self._now()):
                raise LinkUsed("Something was decided by this link already.")

        return use

    def _checked(self, token: str) -> LinkRow:
        """The link whose token this is."""
        match = _TOKEN.fullmatch(token)
        row = None
        if match is not None:
            id = int(match[1])
            row = self._database.read(lambda connection: LinkTable.get(connection, id))
        if (
            match is None
            or row is None
            or not hmac.compare_digest(match[2], self._signature(row))
        ):
            raise NoSuchLink("This is no link of this hive's.")
        if row.expires_at <= self._now():
            raise LinkExpired("This link has expired: decide on the dashboard.")
        return row

    async def _look(self, row: LinkRow) -> Shown:
        if row.kind == "question":
            shown = Shown(row.expires_at, question=await self._question(row.subject))
        else:
            shown = await self._look_at_approval(row)
        return self._sealed(row, shown)

    async def _look_at_approval(self, row: LinkRow) -> Shown:
        try:
            approval = await self._approvals.get(row.subject)
        except NoSuchApproval:
            raise NoSuchLink("What this link decided is forgotten.") from None
        if approval.sha is None or approval.status != "pending":
            return Shown(row.expires_at, approval)
        try:
            diff = await self._approvals.diff(row.subject, "running")
        except PublicError as error:
            problem = f"What it changes can't be shown: {error}"
            return Shown(row.expires_at, approval, problem=problem)
        long = len(diff.text) > MAX_SHOWN_DIFF
        if diff.truncated or long or diff.text.count("\n") > MAX_SHOWN_LINES:
            problem = "What it changes is too long for this page."
            return Shown(row.expires_at, approval, problem=problem)
        return Shown(row.expires_at, approval, diff)

    async def _question(self, id: int) -> Question:
        row = await self._database.read_in_thread(
            lambda connection: QuestionTable.get(connection, id)
        )
        if row is None:
            raise NoSuchLink("What this link decided is forgotten.")
        return Question.of(row)

    def _sealed(self, row: LinkRow, shown: Shown) -> Shown:
        """With the proof of what is shown."""
        what = {
            "approval": shown.approval and shown.approval.as_wire(),
            "question": shown.question and shown.question.as_wire(),
            "diff": shown.diff and diff_as_wire(shown.diff),
        }
        text = json.dumps(what, sort_keys=True).encode()
        seen = self._mac("seen", f"{row.id}", hashlib.sha256(text).hexdigest())
        return evolve(shown, seen=seen)

    def _signature(self, row: LinkRow) -> str:
        return self._mac(
            "link",
            f"{row.id}",
            row.kind,
            f"{row.subject}",
            repr(row.made_at),
            repr(row.expires_at),
        )

    def _mac(self, *parts: str) -> str:
        digest = hmac.digest(self._key, "\n".join(parts).encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
