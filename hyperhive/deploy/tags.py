"""The tags of an applied repo: what became of each proposal, for everybody who can read it."""

import re

from attrs import frozen

from hyperhive.errors import Conflict

#: What is told of a proposal, in the order in which it happens.
KINDS = ("proposal", "approved", "building", "deployed", "failed", "denied")
#: How long a note is at most (characters).
MAX_NOTE = 8192
#: What is said of each tag, by ``git for-each-ref``; five fields and a newline.
FORMAT = (
    "%(refname)%00%(objectname)%00%(*objectname)%00%(taggerdate:unix)%00"
    "%(if:equals=tag)%(objecttype)%(then)%(contents)%(end)%00"
)

_NAME = re.compile(rf"refs/tags/({'|'.join(KINDS)})/(\d{{1,19}})")
_NUL = re.compile("[\0\r\ud800-\udfff]")


class TagTaken(Conflict):
    """The tag is there, at another commit."""


@frozen
class Tag:
    """One tag.

    :param kind: one of :data:`KINDS`.
    :param id: of the approval.
    :param sha: the commit.
    :param at: when it was made (POSIX time), of those that know.
    :param note: the error, or why it was denied.
    """

    kind: str
    id: int
    sha: str
    at: float | None = None
    note: str | None = None


@frozen
class DeployedTag:
    """One deployment, as its tag ``deployed/<id>`` tells of it.

    :param at: POSIX time.
    """

    id: int
    sha: str
    at: float


def deployed_tag(id: int) -> str:
    """What a deployment is called in an agent's row."""
    return f"deployed/{id}"


def deployed_id(tag: str) -> int:
    """The opposite of :func:`deployed_tag`."""
    return int(tag.removeprefix("deployed/"))


def tag_ref(kind: str, id: int) -> str:
    """The ref of a tag."""
    if kind not in KINDS or id < 0:
        raise ValueError(f"there are no tags {kind}/{id}")
    return f"refs/tags/{kind}/{id}"


def bounded_note(note: str | None) -> str | None:
    """A note as it is kept: without what git can't keep, and cut if it is very long."""
    if note is None:
        return None
    text = _NUL.sub("\N{REPLACEMENT CHARACTER}", note).strip()
    if len(text) > MAX_NOTE:
        text = f"{text[:MAX_NOTE]}\n(cut here; {len(note)} characters in all)"
    return text or None


def tag_object(tag: Tag, tagger: str) -> bytes:
    """A tag as ``git mktag`` reads it.

    :param tagger: a name and an address.
    """
    return (
        f"object {tag.sha}\ntype commit\ntag {tag.kind}/{tag.id}\n"
        f"tagger {tagger} {int(tag.at or 0)} +0000\n\n{tag.note or ''}\n"
    ).encode()


def parse_tags(output: bytes) -> list[Tag]:
    """Read what git says for :data:`FORMAT`, in its order. Other tags are left out."""
    tags = []
    fields = output.decode("utf-8", "replace").split("\0")
    for at in range(0, len(fields) - 1, 5):
        name, own, peeled, when, note = fields[at : at + 5]
        match = _NAME.fullmatch(name.lstrip("\n"))
        if match is not None:
            made = float(when) if when else None
            text = note.strip() or None
            tags.append(Tag(match[1], int(match[2]), peeled or own, made, text))
    return tags
