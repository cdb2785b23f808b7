"""What a commit may hold, and how its files come out of a repo: as regular files only."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from hyperhive.deploy.visible import quoted
from hyperhive.errors import BadRequest, Conflict, TooLarge

#: How many files a configuration has at most.
MAX_FILES = 1000
#: How large one of them is, and all of them together (bytes).
MAX_FILE = 1024 * 1024
MAX_TOTAL = 8 * 1024 * 1024
#: How long a file's name is, and its whole path (bytes).
MAX_NAME, MAX_PATH = 255, 1024
#: What a listing of so many files can take (bytes). A few small trees can list as
#: many files as they like.
MAX_LISTING = MAX_FILES * (MAX_PATH + 80)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class UnfitCommit(BadRequest):
    """A commit that no configuration can be read from; the text says what to change."""


class TooMuch(TooLarge):
    """A commit with too many or too large files; the text gives both numbers."""


@frozen
class TreeFile:
    """One file of a commit.

    :param path: as git spells it, with slashes; checked by :func:`check_path`.
    :param blob: the object that has its content.
    :param size: bytes.
    """

    path: str
    blob: str
    size: int
    executable: bool = False


@frozen
class SourceTree:
    """All files of a commit.

    :param contents: by path, as :func:`check_path` takes them.
    :param programs: the paths of those that can be executed.
    """

    contents: Mapping[str, bytes]
    programs: frozenset[str] = frozenset()


def parse_listing(listing: bytes) -> list[TreeFile]:
    """Read what ``git ls-tree -r -z -l`` says.

    :raises TooMuch: for more files than are looked at.
    :raises UnfitCommit: for anything that is not a regular file with a plain path.
    """
    if listing.count(b"\0") > MAX_FILES:
        raise too_many()
    files = []
    for record in listing.split(b"\0")[:-1]:
        facts, path = record.split(b"\t", 1)
        mode, kind, blob, size = facts.decode("ascii").split()
        name = check_path(path)
        if mode == "120000":
            raise UnfitCommit(
                f"{quoted(name)} is a symlink: put the file itself into the commit."
            )
        if kind != "blob" or not mode.startswith("100"):
            raise UnfitCommit(
                f"{quoted(name)} is a submodule: put its files into the commit."
            )
        files.append(TreeFile(name, blob, int(size), mode == "100755"))
    return files


def check_path(path: bytes) -> str:
    """Answer the path of a file in a repo, if it can be written anywhere as it is.

    :raises UnfitCommit: naming it, and what is wrong with it.
    """
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        shown = quoted(path.decode("utf-8", "backslashreplace"))
        raise UnfitCommit(f"The name {shown} is not UTF-8: rename it.") from None
    wrong = None
    if _CONTROL.search(text):
        wrong = "has control characters in it"
    elif "\\" in text:
        wrong = "has a backslash in it"
    elif len(path) > MAX_PATH:
        wrong = f"has {len(path)} bytes; {MAX_PATH} are the most"
    for part in text.split("/"):
        if part in ("", ".", ".."):
            wrong = f"has a part {part!r}"
        elif part.casefold() in (".git", "git~1"):
            wrong = f"has a part {part!r}, where git keeps its own"
        elif len(part.encode()) > MAX_NAME:
            wrong = f"has a part of {len(part.encode())} bytes; {MAX_NAME} are the most"
    if wrong is not None:
        raise UnfitCommit(f"The name {quoted(text)} {wrong}: rename it.")
    return text


def check_sizes(files: Sequence[TreeFile]) -> None:
    """Check how large files are, each and together.

    :raises TooMuch:
    """
    for file in files:
        if file.size > MAX_FILE:
            raise TooMuch(
                f"{quoted(file.path)} has {file.size} bytes; {MAX_FILE} are the most."
            )
    total = sum(file.size for file in files)
    if total > MAX_TOTAL:
        raise TooMuch(
            f"The files have {total} bytes together; {MAX_TOTAL} are the most."
        )


def check_entry(files: Sequence[TreeFile], entry: str) -> None:
    """Check that the file is there that a configuration is read from.

    :raises UnfitCommit:
    """
    if entry not in [file.path for file in files]:
        raise UnfitCommit(
            f"There is no file {entry}, which an agent's configuration is read from."
        )


def check_shown(tree: SourceTree) -> None:
    """Check that all that configures an agent can be shown: git shows no text with a NUL.

    Of such a file the operator would see only that it differs, and Nix reads it all
    the same, whatever it is called.

    :raises UnfitCommit:
    """
    for path, data in tree.contents.items():
        if b"\0" in data:
            raise UnfitCommit(
                f"{quoted(path)} holds a NUL byte: what it says can't be shown. Keep "
                "what is no text out of the repo, and have Nix fetch it by its hash."
            )


def too_many() -> TooMuch:
    """What is said of a commit with more files than are counted."""
    return TooMuch(f"The commit has more than {MAX_FILES} files, which are the most.")


def parse_batch(files: Sequence[TreeFile], output: bytes) -> dict[str, bytes]:
    """Read what ``git cat-file --batch`` says of the blobs of ``files``, in their order.

    :raises ValueError: if it is not that.
    """
    contents, at = {}, 0
    for file in files:
        head = f"{file.blob} blob {file.size}\n".encode()
        start, end = at + len(head), at + len(head) + file.size
        if output[at:start] != head or output[end : end + 1] != b"\n":
            raise ValueError(f"not the content of {file.path!r}")
        contents[file.path] = output[start:end]
        at = end + 1
    return contents


def write_files(folder: Path, tree: SourceTree) -> None:
    """Write files into a new folder. Blocks: for a thread.

    What could not be written in full is removed.

    :raises Conflict: if the folder is there.
    :raises OSError: as the file system does.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise Conflict(
            f"{folder} is there already; only a new one is written."
        ) from None
    try:
        add_files(folder, tree)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def add_files(folder: Path, tree: SourceTree) -> None:
    """Write files into a folder that has none of them. Blocks: for a thread."""
    for path, content in tree.contents.items():
        target = folder.joinpath(*check_path(path.encode()).split("/"))
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        mode = 0o755 if path in tree.programs else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(target, flags, mode), "wb") as file:
            file.write(content)
