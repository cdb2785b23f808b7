"""The words that an agent is given: who it is, and what a turn begins with. Pure."""

from hashlib import sha256
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined

from hyperhive.messages.interfaces import MAX_BODY, Turn
from hyperhive.names import SYSTEM
from hyperhive.times import rfc3339

_templates = Environment(
    loader=PackageLoader("hyperhive.agents", "prompts"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701  # the texts are for a model, not for a browser
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def system_prompt(
    role: str,
    name: str,
    notes: str,
    recv_wait: float,
    proposed: str,
    applied: str,
    entry: str,
) -> str:
    """Who an agent is and how its hive works.

    :param role: ``manager`` or ``agent``.
    :param notes: its durable directory, as seen inside its container.
    :param recv_wait: the longest wait of its ``recv`` in seconds.
    :param proposed: where the manager finds the proposed repos, as seen inside,
    :param applied: and the applied ones.
    :param entry: the file that an agent's configuration begins with.
    """
    return _templates.get_template(f"{role}.md").render(
        name=name,
        notes=notes,
        recv_wait=f"{recv_wait:g}",
        proposed=proposed,
        applied=applied,
        entry=entry,
        max_kib=MAX_BODY // 1024,
    )


def wake(turn: Turn, now: float) -> str:
    """What a turn begins with: its message, framed, and what else there is to know.

    It never begins with ``/``, which claude would take for a command, and the
    body can't end its frame: the mark of the frame does not occur in it.

    :param turn: one with a message.
    :param now: POSIX time.
    """
    message = turn.message
    assert message is not None, "a turn without a message has no prompt of its own"
    return _templates.get_template("wake.md").render(
        id=message.id,
        sender=message.sender,
        system=message.sender == SYSTEM,
        sent_at=rfc3339(message.sent_at),
        age=_age(now - message.sent_at),
        in_reply_to=message.in_reply_to,
        redelivered=message.redelivered,
        body=message.body,
        mark=_mark(message.body),
        unread=turn.unread,
    )


def _mark(body: str) -> str:
    """A word that does not occur in ``body``, the same for the same body."""
    encoded = body.encode("utf-8", "replace")
    marks = (sha256(b"%d:%s" % (salt, encoded)).hexdigest()[:16] for salt in count())
    return next(mark for mark in marks if mark not in body)


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"
