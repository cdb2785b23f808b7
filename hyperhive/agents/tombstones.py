"""What destroyed agents have left: their notes and logins, kept until they are purged."""

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from twisted.internet.threads import deferToThread

from hyperhive.agents.claude import auth_present
from hyperhive.agents.interfaces import NoSuchTombstone, Tombstone
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.names import InvalidName, check_new_agent_name
from hyperhive.settings import Layout

#: How many files are counted at most: beyond that the size is a lower bound.
MAX_FILES = 200_000
#: What a folder is called while it is being removed: no agent can be called so.
DOOMED = ".purged-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tombstones:
    """Looks at the folders of agents that do not live.

    :param lives: whether an agent of that name exists.
    :param now: the wall clock in POSIX seconds.
    """

    def __init__(
        self,
        layout: Layout,
        lives: Callable[[str], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._layout = layout
        self._lives = lives
        self._now = now

    def bury(self, name: str) -> None:
        """Remember when its agent was destroyed."""
        with suppress(FileNotFoundError):
            os.utime(self._layout.agent(name), (self._now(), self._now()))

    @deferred
    async def all(self) -> list[Tombstone]:
        """Everything that is kept, by name."""
        names = await deferToThread(_folders, self._layout.agents)
        dead = [name for name in names if not self._lives(name)]
        return await deferToThread(
            lambda: [_tombstone(self._layout, name) for name in sorted(dead)]
        )

    @deferred
    async def remove(self, name: str) -> None:
        """Remove what is kept of one agent. Only ever called while it does not live.

        The folder is renamed first: what is removed in part is nobody's state.
        """
        folder = self._layout.agent(check_new_agent_name(name))
        doomed = self._layout.agents / f"{DOOMED}{name}"
        await deferToThread(_remove, folder, doomed)

    @deferred
    async def check(self, name: str) -> str:
        """Answer ``name`` if something is kept under it.

        :raises InvalidName: if no agent can have been called so.
        :raises NoSuchTombstone: listing what there is.
        """
        check_new_agent_name(name)
        names = [one.name for one in await self.all()]
        if name not in names:
            raise NoSuchTombstone(
                f"Nothing is kept of a destroyed agent {name!r}; there are "
                f"{', '.join(names[:50]) or 'none'}."
            )
        return name

    @deferred
    async def sweep(self) -> None:
        """Remove what a daemon that died had begun to remove."""
        await deferToThread(_sweep, self._layout.agents)


def _folders(agents: Path) -> list[str]:
    """Names of the folders, and of nothing that only leads to one."""
    with os.scandir(agents) as entries:
        return [
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and _is_name(entry.name)
        ]


def _is_name(text: str) -> bool:
    try:
        check_new_agent_name(text)
    except InvalidName:
        return False
    return True


def _tombstone(layout: Layout, name: str) -> Tombstone:
    folder = layout.agent(name)
    return Tombstone(
        name,
        sum(_sizes(folder)),
        os.lstat(folder).st_mtime,
        auth_present(layout.claude(name), {}),
    )


def _sizes(folder: Path) -> Iterator[int]:
    """Of the files in a folder, however deep they lie: an agent has made it."""
    count, folders = 0, [os.fspath(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                if count > MAX_FILES:
                    return
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size


def _remove(folder: Path, doomed: Path) -> None:
    try:
        if doomed.exists():
            _remove_tree(doomed)
        os.rename(folder, doomed)
        if doomed.is_symlink():
            # It leads to somebody else's: only the link is ours.
            doomed.unlink()
        else:
            _remove_tree(doomed)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PublicError(
            f"{folder} could not be removed: {error.strerror}. Try again, or remove "
            f"{doomed} by hand."
        ) from error


def _sweep(agents: Path) -> None:
    for doomed in agents.glob(f"{DOOMED}*"):
        if not doomed.is_symlink():
            with suppress(OSError):
                _remove_tree(doomed)


def _remove_tree(top: Path) -> None:
    """Remove a folder and all in it. No link is followed.

    An agent can make folders deeper than any path or recursion goes, so each is moved
    to the top before it is emptied; and tools such as Go's make folders that their
    own user may not write.
    """
    folder = os.open(top, _FOLDER)
    try:
        while names := os.listdir(folder):
            for name in names:
                _flatten(folder, name)
    finally:
        os.close(folder)
    top.rmdir()


def _flatten(top: int, name: str) -> None:
    """Remove a file, or a folder whose own folders are then in its place."""
    if not _is_folder(top, name):
        os.unlink(name, dir_fd=top)
        return
    os.chmod(name, 0o700, dir_fd=top)
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inner in os.listdir(folder):
            if _is_folder(folder, inner):
                os.chmod(inner, 0o700, dir_fd=folder)  # else it can't be moved
                new = secrets.token_hex(8)
                os.rename(inner, new, src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
