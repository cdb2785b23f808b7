"""What is done to folders, in a thread: a full disk is told, and what is put in place stays."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hyperhive.deploy.waiting import in_thread
from hyperhive.errors import PublicError

P = ParamSpec("P")
T = TypeVar("T")


class DiskTrouble(PublicError):
    """A file or folder could not be written, moved or removed; the text says why."""


async def on_disk(
    reactor: Any, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call in a thread what reads and writes files.

    :param reactor: ``IReactorThreads``.
    :raises DiskTrouble: for the operating system's errors.
    """
    try:
        return await in_thread(reactor, function, *args, **kwargs)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise DiskTrouble(f"{what[:500]}.") from error


def put_in_place(folder: Path, place: Path) -> None:
    """Let what was made in ``folder`` be at ``place``, as a whole, also after a power cut.

    Blocks: for a thread.

    :raises OSError: if something is there that is not an empty folder.
    """
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            settle(os.path.join(parent, name))
        settle(parent)
    os.rename(folder, place)
    settle(place.parent)


def settle(path: str | Path) -> None:
    """Let a file, or the names in a folder, be there after a power cut. Blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
