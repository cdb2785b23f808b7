"""What one commit changes of another, as the operator is shown it."""

from attrs import frozen

from hyperhive.deploy.visible import decoded

#: How long a diff's text is at most (characters, and bytes of git's).
MAX_DIFF = 1024 * 1024
#: git's arguments for any diff: nothing that a repo, or its host, could have changed.
PLAIN = (
    "diff-tree",
    "-r",
    "--no-color",
    "--no-ext-diff",
    "--no-renames",
    "--no-textconv",
)
TEXT = (*PLAIN, "--patch", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/")
COUNTS = (*PLAIN, "--numstat", "-z")


@frozen
class ChangedFile:
    """How much of one file has changed.

    :param added: lines, likewise ``deleted``; ``None`` for a binary file.
    """

    path: str
    added: int | None
    deleted: int | None

    @property
    def binary(self) -> bool:
        """It has no lines to be shown."""
        return self.added is None


@frozen
class Diff:
    """What a commit changes.

    :param base: the commit that it is compared with.
    :param text: a unified diff; what would not be seen in it is spelled out
        (:mod:`hyperhive.deploy.visible`). Of binary files it says that they differ.
    :param truncated: the text is only the beginning.
    :param files: every file that is changed, also of a truncated text.
    """

    base: str
    sha: str
    text: str
    truncated: bool
    files: tuple[ChangedFile, ...]


def parse_counts(output: bytes) -> tuple[ChangedFile, ...]:
    """Read what git says of :data:`COUNTS`."""
    files = []
    for record in output.split(b"\0")[:-1]:
        added, deleted, path = record.split(b"\t", 2)
        name = decoded(path)
        if added == b"-":
            files.append(ChangedFile(name, None, None))
        else:
            files.append(ChangedFile(name, int(added), int(deleted)))
    return tuple(files)


def diff_text(output: bytes, truncated: bool) -> tuple[str, bool]:
    """The text of git's, in whole lines, and whether it is only the beginning.

    It takes its time: for a thread.
    """
    text = decoded(output)
    if len(text) > MAX_DIFF:
        text, truncated = text[:MAX_DIFF], True
    if truncated:
        text = text[: text.rfind("\n") + 1]
    return text, truncated
