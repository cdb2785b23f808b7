"""Where repos are made before they are put into their places, and removed after they left them.

It is the daemon's own: whoever may write a repo finds it whole, or not at all.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredLock

from hyperhive.deploy.applied import MAIN, NONE, AppliedRepo
from hyperhive.deploy.disk import DiskTrouble, on_disk, put_in_place
from hyperhive.deploy.git import Git
from hyperhive.deploy.removal import remove_tree
from hyperhive.deploy.trees import add_files
from hyperhive.names import MANAGER


class Workshop:
    """A folder of this daemon's, in one that holds those of the daemons before it.

    :param reactor: ``IReactorThreads``.
    :param folder: on the file system of the repos.
    """

    def __init__(self, reactor: Any, git: Git, folder: Path) -> None:
        self._reactor = reactor
        self._git = git
        self._folder = folder / secrets.token_hex(8)
        self._opening = DeferredLock()
        self._open = False

    async def open(self) -> None:
        """Once: make the folder, and remove what earlier daemons were about."""
        async with self._opening:
            if not self._open:
                await on_disk(self._reactor, self._clear)
                self._open = True

    def new(self) -> Path:
        """A place at which nothing is; what is left there goes with the next daemon."""
        return self._folder / secrets.token_hex(8)

    async def make_applied(
        self, place: Path, files: Mapping[str, bytes], message: str, now: float
    ) -> None:
        """Make a bare repo with one commit of ``files`` on main."""
        folder = self.new()
        await self._init(folder, "--bare")
        await AppliedRepo(self._git, folder).first_commit(files, message, now)
        await on_disk(self._reactor, put_in_place, folder, place)

    async def make_proposed(
        self, place: Path, applied: AppliedRepo, main: str, url: str
    ) -> None:
        """Make a work tree of ``main``, unless there is anything at its place.

        :param url: where its writer finds the applied repo.
        """
        if is_there(place):
            return
        folder = self.new()
        await self._init(folder)
        inner = AppliedRepo(self._git, folder / ".git")
        tree = await applied.tree(main)

        def fill() -> None:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copytree(
                applied.path / "objects", inner.path / "objects", dirs_exist_ok=True
            )
            # Not by git's checkout, which heeds what the files say of each other.
            add_files(folder, tree)
            with open(inner.path / "config", "a", encoding="utf-8") as config:
                config.write(_proposed_config(url))

        await on_disk(self._reactor, fill)
        await inner.set_ref(MAIN, main, NONE)
        await inner.set_ref("refs/remotes/applied/main", main, NONE)
        await inner.run("read-tree", main)
        try:
            await on_disk(self._reactor, put_in_place, folder, place)
        except DiskTrouble:
            # Its writer may have put something there meanwhile, which stays.
            if not is_there(place):
                raise
            await on_disk(self._reactor, remove_tree, folder)

    async def remove(self, place: Path) -> None:
        """Remove what is there: at once for everybody, and out of their reach."""
        doomed = self.new()

        def remove() -> None:
            if is_there(place):
                os.rename(place, doomed)
                remove_tree(doomed)

        await on_disk(self._reactor, remove)

    async def _init(self, folder: Path, *options: str) -> None:
        await self._git.run(
            *(None, "init", "--quiet", "--template=", "--initial-branch=main"),
            *(*options, str(folder)),
        )

    def _clear(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for sibling in list(self._folder.parent.iterdir()):
            if sibling != self._folder:
                remove_tree(sibling)


def is_there(path: Path) -> bool:
    """Whether anything is: also a link that leads nowhere."""
    return os.path.lexists(path)


def _proposed_config(url: str) -> str:
    """With whom the manager shares a proposed repo, and as whom it commits."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"[user]\n\tname = {MANAGER}\n\temail = {MANAGER}@localhost\n"
        f'[remote "applied"]\n\turl = "{quoted}"\n'
        "\tfetch = +refs/heads/*:refs/remotes/applied/*\n"
        '[branch "main"]\n\tremote = applied\n\tmerge = refs/heads/main\n'
        "\trebase = true\n"
    )
