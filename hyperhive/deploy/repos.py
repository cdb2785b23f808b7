"""The repos of each agent's configuration: what is proposed, and what was applied.

What is proposed lies in a work tree that the manager writes; it is read only by git in
the manager's container (:mod:`hyperhive.deploy.fetch`). What was proposed to the hive
lies in a bare repo that only the hive writes: a commit is copied there and pinned by
``refs/hive/fetched/<sha>``, so that what is approved, shown and built is one and the
same, whatever becomes of the proposed repo.
"""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, DeferredLock
from twisted.logger import Logger

from hyperhive.deferreds import deferred
from hyperhive.deploy.applied import (
    ADDRESS,
    AUTHOR,
    MAIN,
    NONE,
    AppliedRepo,
    Commit,
)
from hyperhive.deploy.diffs import ChangedFile, Diff, diff_text
from hyperhive.deploy.disk import on_disk
from hyperhive.deploy.fetch import ContainerGit, check_commit_ref
from hyperhive.deploy.git import Git, GitError
from hyperhive.deploy.leftovers import clear_repo
from hyperhive.deploy.quarantine import Quarantine
from hyperhive.deploy.tags import (
    DeployedTag,
    Tag,
    TagTaken,
    bounded_note,
    tag_object,
    tag_ref,
)
from hyperhive.deploy.trees import SourceTree, check_entry
from hyperhive.deploy.waiting import in_thread
from hyperhive.deploy.workshop import Workshop
from hyperhive.errors import BadRequest, Conflict, NotFound
from hyperhive.names import check_agent_name
from hyperhive.settings import Layout

__all__ = [
    "ChangedFile",
    "Commit",
    "DeployedTag",
    "Diff",
    "NoSuchRepo",
    "NotOnMain",
    "NothingNew",
    "Proposal",
    "Repos",
    "Tag",
    "TagTaken",
]

#: Where in the applied repos' folder things are made and removed, out of sight.
PRIVATE = ".private"
#: A repo with more packs than this is packed anew when a daemon first uses it.
MAX_PACKS = 50
#: How long that may take (seconds).
PACKING_LIMIT = 300.0
#: How many commits a log has at most.
MAX_LOG = 1000

_SHA = re.compile(r"[0-9a-f]{40}")


class NoSuchRepo(NotFound):
    """The agent has no applied repo."""


class NotOnMain(Conflict):
    """A commit does not come after what is deployed; the text says how to rebase it."""


class NothingNew(Conflict):
    """What is proposed is what is deployed."""


@frozen
class Proposal:
    """A commit that is pinned, and fit to be deployed.

    :param base: what was deployed when it was proposed.
    :param files: the paths of all of its files.
    """

    sha: str
    base: str
    files: tuple[str, ...]


class Repos:
    """Makes, reads and changes the repos; one operation at a time for an agent.

    What waits for git in a proposed repo is no such operation: it may hang.

    A daemon that dies in the middle of one leaves a repo that the same call finishes.

    :param reactor: ``IReactorProcess``, ``IReactorTime`` and ``IReactorThreads``.
    :param container: reads the proposed repos.
    :param entry: the file that a configuration is read from.
    :param now: the wall clock in POSIX seconds.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        layout: Layout,
        container: ContainerGit,
        entry: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._layout = layout
        self._container = container
        self._entry = entry
        self._now = now
        self._git = Git(reactor)
        self._workshop = Workshop(reactor, self._git, layout.applied / PRIVATE)
        self._locks: dict[str, DeferredLock] = {}
        self._cleared: set[str] = set()
        self._submissions: dict[str, DeferredLock] = {}

    # An agent's life

    @deferred
    async def create(self, name: str, files: Mapping[str, bytes], message: str) -> str:
        """Make what is not there of an agent's two repos; fires with the commit of main.

        An applied repo that is there is left as it is: its agent goes on from it.

        :param files: what a new one begins with, by path.
        :param message: of the first commit.
        """
        async with self._alone(name) as repo:
            if not _is_repo(repo.path):
                await self._workshop.make_applied(
                    repo.path, files, message, self._now()
                )
            main = await repo.main()
            await self._workshop.make_proposed(
                self._layout.proposed_repo(name),
                repo,
                main,
                self._container.applied(name),
            )
            return main

    @deferred
    async def remove(self, name: str) -> None:
        """Remove both repos. Not there: success."""
        async with self._alone(name):
            for place in (
                self._layout.proposed_repo(name),
                self._layout.applied_repo(name),
            ):
                await self._workshop.remove(place)

    # What is proposed

    @deferred
    async def submit(self, name: str, ref: str) -> Proposal:
        """Copy a commit out of the proposed repo, check it, and pin it. Safe to do again.

        :param ref: 7 to 40 hexadecimal digits of its name.
        :raises BadRequest: if it is not that.
        :raises UnknownCommit: if there is none.
        :raises NotOnMain: if it has to be rebased.
        :raises NothingNew: if it is what is deployed.
        :raises UnfitCommit: for what no configuration can have in it.
        :raises TooLarge: if it is, or has too many files.
        """
        check_commit_ref(ref)
        # Whoever made the proposed repo decides how long git takes in it: meanwhile
        # the agent's repo is free for all but another such call.
        check_agent_name(name)
        async with self._submissions.setdefault(name, DeferredLock()):
            main = await self.main(name)
            sha = await self._container.resolve(name, ref)
            if sha == main:
                raise self._nothing_new(name, sha)
            if not await self._is_pinned(name, sha):
                if not await self._container.follows(name, main, sha):
                    raise self._behind(name, sha, main)
                return await self._fetch(name, sha, main)
        return await self._pin(name, sha, None)

    async def _fetch(self, name: str, sha: str, main: str) -> Proposal:
        """Copy what leads to a commit from ``main``, and pin it if it is sound."""
        outside = AppliedRepo(self._git, self._layout.applied_repo(name))
        place = self._workshop.new()
        async with Quarantine(self._reactor, outside, place).opened() as quarantine:
            await self._container.pack(name, sha, main, quarantine.pack.write)
            await quarantine.admit(sha)
            return await self._pin(name, sha, quarantine)

    async def _pin(
        self, name: str, sha: str, quarantine: Quarantine | None
    ) -> Proposal:
        """Check a commit against what is deployed by now, and keep it for good."""
        async with self._existing(name) as repo:
            main = await repo.main()
            if sha == main:
                raise self._nothing_new(name, sha)
            seen = repo if quarantine is None else quarantine.repo
            if not await seen.follows(sha, main):
                raise self._behind(name, sha, main)
            files = await seen.files(sha)
            check_entry(files, self._entry)
            if quarantine is not None:
                await quarantine.release()
            if await repo.ref(_pinned(sha)) is None:
                await repo.set_ref(_pinned(sha), sha, NONE)
            return Proposal(sha, main, tuple(file.path for file in files))

    async def _is_pinned(self, name: str, sha: str) -> bool:
        async with self._existing(name) as repo:
            return await repo.ref(_pinned(sha)) is not None

    def _nothing_new(self, name: str, sha: str) -> NothingNew:
        return NothingNew(
            f"{sha[:12]} is what main of {name} is already: there is nothing to approve."
        )

    def _behind(self, name: str, sha: str, main: str) -> NotOnMain:
        where = self._container.proposed(name)
        return NotOnMain(
            f"{sha[:12]} does not come after {main[:12]}, which main of {name} is. "
            "Rebase it and propose the commit that comes of that: "
            f"git -C {where} fetch applied && git -C {where} rebase applied/main"
        )

    @deferred
    async def check_follows_main(self, name: str, sha: str) -> None:
        """Check that main can be forwarded to a commit.

        :raises NotOnMain: otherwise.
        """
        async with self._existing(name) as repo:
            main = await repo.main()
            if not await repo.follows(_checked_sha(sha), main):
                raise self._behind(name, sha, main)

    # What becomes of it

    @deferred
    async def tag(
        self, name: str, kind: str, id: int, sha: str, note: str | None = None
    ) -> None:
        """Show what becomes of a proposal as the tag ``<kind>/<id>``. Safe to do again.

        With a note the tag is annotated with it, and again with the newest one;
        ``deployed`` always is, for its time.

        :param kind: one of :data:`hyperhive.deploy.tags.KINDS`.
        :param note: cut at 8192 characters.
        :raises TagTaken: if it is there, at another commit.
        """
        ref, note = tag_ref(kind, id), bounded_note(note)
        async with self._existing(name) as repo:
            there = await repo.tags(ref)
            for one in there:
                if one.sha != sha:
                    raise TagTaken(f"{kind}/{id} of {name} is {one.sha} already.")
                if note is None or one.note == note:
                    return
            target = _checked_sha(sha)
            if note is not None or kind == "deployed":
                tag = Tag(kind, id, sha, self._now(), note)
                target = await repo.make_tag(tag_object(tag, f"{AUTHOR} <{ADDRESS}>"))
            await repo.set_ref(ref, target, (await repo.ref(ref)) or NONE)

    @deferred
    async def tags(self, name: str) -> list[Tag]:
        """All that became of an agent's proposals, in the order of their ids."""
        async with self._existing(name) as repo:
            return sorted(await repo.tags(), key=lambda tag: (tag.id, tag.kind))

    @deferred
    async def deployments(self, name: str) -> list[DeployedTag]:
        """What the tags ``deployed/<id>`` tell, newest first."""
        async with self._existing(name) as repo:
            tags = await repo.tags("refs/tags/deployed")
        found = [
            DeployedTag(tag.id, tag.sha, tag.at) for tag in tags if tag.at is not None
        ]
        return sorted(found, key=lambda one: (one.at, one.id), reverse=True)

    @deferred
    async def main(self, name: str) -> str:
        """The commit that is deployed, or was made for a new agent."""
        async with self._existing(name) as repo:
            return await repo.main()

    @deferred
    async def advance(self, name: str, sha: str) -> None:
        """Forward main to a commit. It is there already: success.

        :raises NotOnMain: if the commit does not come after main.
        """
        async with self._existing(name) as repo:
            main = await repo.main()
            if _checked_sha(sha) == main:
                return
            if not await repo.follows(sha, main):
                raise self._behind(name, sha, main)
            await repo.set_ref(MAIN, sha, main)

    @deferred
    async def rolled_back(self, name: str, sha: str) -> str:
        """Make a commit that comes after main and has the files of an earlier one.

        Main is not forwarded to it yet. Fires with it.
        """
        async with self._existing(name) as repo:
            main = await repo.main()
            message = f"Go back to {_checked_sha(sha)[:12]}\n"
            made = await repo.commit_tree_of(sha, main, message, self._now())
            await repo.set_ref(_pinned(made), made, NONE)
            return made

    # What is in it

    @deferred
    async def diff(self, name: str, base: str, sha: str) -> Diff:
        """What ``sha`` changes of ``base``; both are commits of the applied repo."""
        async with self._existing(name) as repo:
            commits = _checked_sha(base), _checked_sha(sha)
            files = await repo.changes(*commits)
            said = await repo.difference(*commits)
        text, truncated = await in_thread(
            self._reactor, diff_text, said.stdout, said.truncated
        )
        return Diff(base, sha, text, truncated, files)

    @deferred
    async def tree(self, name: str, sha: str) -> SourceTree:
        """All files of a commit."""
        async with self._existing(name) as repo:
            return await repo.tree(_checked_sha(sha))

    @deferred
    async def log(self, name: str, limit: int = 50) -> list[Commit]:
        """The newest commits of main, newest first."""
        async with self._existing(name) as repo:
            return await repo.log(MAIN, max(1, min(limit, MAX_LOG)))

    # One at a time, and after a daemon that died

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[AppliedRepo]:
        """Have an agent's repos to oneself; they need not be there."""
        check_agent_name(name)
        async with self._locks.setdefault(name, DeferredLock()):
            await self._workshop.open()
            repo = AppliedRepo(self._git, self._layout.applied_repo(name))
            if name not in self._cleared:
                await self._clear(repo)
                self._cleared.add(name)
            try:
                yield repo
            except (CancelledError, GitError):
                # A git that was ended may have left a lock, which the next would heed.
                self._cleared.discard(name)
                raise

    @asynccontextmanager
    async def _existing(self, name: str) -> AsyncIterator[AppliedRepo]:
        async with self._alone(name) as repo:
            if not _is_repo(repo.path):
                raise NoSuchRepo(f"{name} has no repo of its configuration.")
            yield repo

    async def _clear(self, repo: AppliedRepo) -> None:
        """Before the first use, and after a git that failed: repair what a killed git has left, and pack what grew."""
        if not _is_repo(repo.path):
            return
        await on_disk(self._reactor, clear_repo, repo.path)
        if len(list((repo.path / "objects" / "pack").glob("*.pack"))) > MAX_PACKS:
            try:
                await repo.run("gc", "--quiet", "--force", seconds=PACKING_LIMIT)
            except GitError as error:
                self._log.warn("{repo}: {error}", repo=str(repo.path), error=str(error))


def _is_repo(path: Path) -> bool:
    return (path / "HEAD").is_file()


def _pinned(sha: str) -> str:
    return f"refs/hive/fetched/{sha}"


def _checked_sha(sha: str) -> str:
    if not _SHA.fullmatch(sha):
        raise BadRequest(f"{sha[:60]!r} is not the full name of a commit.")
    return sha
