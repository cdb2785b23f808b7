"""Where objects that nothing is believed of lie until they are found to be sound."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hyperhive.deploy.applied import AppliedRepo
from hyperhive.deploy.disk import on_disk, settle
from hyperhive.deploy.git import GitError, GitMissing, GitTimedOut
from hyperhive.deploy.removal import remove_tree
from hyperhive.deploy.trees import UnfitCommit

#: How long git may take to look at every object of a pack (seconds).
INDEX_LIMIT = 120.0


class Quarantine:
    """A place for one pack, which a repo does not know of before it is released.

    :param reactor: ``IReactorThreads``.
    :param folder: where it is to be; on the file system of the repo.
    :ivar pack: an open file, for the pack.
    :ivar repo: the repo as if it had the objects that :meth:`admit` has looked at.
    """

    def __init__(self, reactor: Any, repo: AppliedRepo, folder: Path) -> None:
        self._reactor = reactor
        self._outside = repo
        self._folder = folder
        self.repo = repo.with_objects(self._folder)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Quarantine"]:
        """Make it, and leave nothing of it."""
        try:
            with await on_disk(self._reactor, self._prepared) as self.pack:
                yield self
        finally:
            await on_disk(self._reactor, remove_tree, self._folder)

    async def admit(self, sha: str) -> None:
        """Let git look at every object of the pack, and at all that ``sha`` leads to.

        :raises UnfitCommit: if something is wrong with them, or missing.
        :raises GitTimedOut: if that takes too long.
        """
        await on_disk(self._reactor, self.pack.flush)
        os.lseek(self.pack.fileno(), 0, os.SEEK_SET)
        try:
            await self.repo.run(
                *("index-pack", "--stdin", "--strict", "--threads=1"),
                stdin=self.pack.fileno(),
                seconds=INDEX_LIMIT,
            )
            await self.repo.check_complete(sha)
        except (GitMissing, GitTimedOut):
            raise
        except GitError as error:
            raise UnfitCommit(
                f"git refuses what leads to {sha[:12]}: {error}"
            ) from None

    async def release(self) -> None:
        """Give what is in it to the repo, which nobody else may write meanwhile."""
        await on_disk(self._reactor, self._release)

    def _prepared(self) -> BinaryIO:
        (self._folder / "pack").mkdir(mode=0o700, parents=True)
        (self._folder / "info").mkdir(mode=0o700)
        objects = os.fsencode((self._outside.path / "objects").absolute())
        (self._folder / "info" / "alternates").write_bytes(objects + b"\n")
        return open(self._folder / "incoming", "w+b")

    def _release(self) -> None:
        """Move the packs. One counts as there once its index is, which comes last."""
        source, target = self._folder / "pack", self._outside.path / "objects" / "pack"
        for name in sorted(os.listdir(source), key=lambda one: one.endswith(".idx")):
            os.rename(source / name, target / name)
        settle(target)
