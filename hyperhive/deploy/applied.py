"""One bare repo of the daemon's, and what it is asked and told by git's plumbing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from hyperhive.deploy.diffs import COUNTS, MAX_DIFF, TEXT, ChangedFile, parse_counts
from hyperhive.deploy.git import Git, GitError, Output
from hyperhive.deploy.tags import FORMAT, Tag, parse_tags
from hyperhive.deploy.trees import (
    MAX_LISTING,
    SourceTree,
    TreeFile,
    check_path,
    check_sizes,
    parse_batch,
    parse_listing,
    too_many,
)
from hyperhive.deploy.visible import decoded
from hyperhive.errors import PublicError

#: The branch that is deployed.
MAIN = "refs/heads/main"
#: What the hive's own commits and tags are signed with.
AUTHOR, ADDRESS = "hyperhive", "hyperhive@localhost"
#: No commit: what a ref is that is not there.
NONE = "0" * 40
#: How much all tags may take (bytes): some thousand notes of full length.
MAX_TAGS = 32 * 1024**2
#: How long a line of the log is shown (characters).
MAX_SUBJECT = 200


class BrokenRepo(PublicError):
    """An applied repo is not what the hive has made it; the text says what to do."""


@frozen
class Commit:
    """One line of a log; its words are whoever made it.

    :param at: POSIX time, as its author gave it.
    """

    sha: str
    at: float
    author: str
    subject: str


@frozen
class AppliedRepo:
    """A bare repo. Who uses it takes care that nobody else writes it meanwhile.

    :param objects: new objects go there, and are looked for there too.
    """

    git: Git
    path: Path
    objects: Path | None = None

    def with_objects(self, objects: Path) -> "AppliedRepo":
        """The same repo as if it had what is in quarantine."""
        return attrs.evolve(self, objects=objects)

    async def run(self, *arguments: str, **options: Any) -> Output:
        """Run git in it, see :meth:`Git.run`."""
        variables = dict(options.pop("environment", {}))
        if self.objects is not None:
            variables["GIT_OBJECT_DIRECTORY"] = str(self.objects)
        return await self.git.run(
            self.path, *arguments, environment=variables, **options
        )

    # Refs

    async def ref(self, ref: str) -> str | None:
        """What a ref names, if it is there."""
        found = await self.run("rev-parse", "--verify", "-q", ref, statuses=(0, 1))
        return found.stdout.decode("ascii").strip() or None

    async def main(self) -> str:
        """The commit that is deployed, or was made for a new agent."""
        main = await self.ref(MAIN)
        if main is None:
            raise BrokenRepo(
                f"{self.path} has no branch main: restore it from a backup, or purge "
                "the agent."
            )
        return main

    async def set_ref(self, ref: str, new: str, old: str) -> None:
        """Let a ref name ``new`` if it still names ``old`` (:data:`NONE`: nothing)."""
        await self.run("update-ref", ref, new, old)

    async def tags(self, under: str = "refs/tags") -> list[Tag]:
        """The hive's tags."""
        said = await self.run(
            "for-each-ref", f"--format={FORMAT}", under, limit=MAX_TAGS
        )
        return parse_tags(said.stdout)

    async def make_tag(self, tag: bytes) -> str:
        """Write a tag object; no ref names it yet."""
        said = await self.run("mktag", stdin=tag)
        return said.stdout.decode("ascii").strip()

    # Commits

    async def follows(self, sha: str, main: str) -> bool:
        """Whether ``main`` is ``sha`` or an ancestor of it."""
        asked = ("merge-base", "--is-ancestor", main, sha)
        return (await self.run(*asked, statuses=(0, 1))).status == 0

    async def check_complete(self, sha: str) -> None:
        """Check that everything is there that the commit ``sha`` leads to.

        :raises GitError: if it is not, or ``sha`` is no commit.
        """
        wanted = f"{sha}^{{commit}}"
        await self.run("rev-list", "--objects", "--quiet", wanted, "--not", "--all")

    async def first_commit(
        self, files: Mapping[str, bytes], message: str, now: float
    ) -> None:
        """Let main be a commit without parents."""
        stream = _import_stream(files, message, now)
        await self.run("fast-import", "--quiet", "--done", stdin=stream)

    async def commit_tree_of(
        self, sha: str, parent: str, message: str, now: float
    ) -> str:
        """Make a commit with the tree of ``sha``; no ref names it yet."""
        when = f"@{int(now)} +0000"
        said = await self.run(
            *("commit-tree", f"{sha}^{{tree}}", "-p", parent),
            stdin=message.encode(),
            environment={
                "GIT_AUTHOR_NAME": AUTHOR,
                "GIT_AUTHOR_EMAIL": ADDRESS,
                "GIT_AUTHOR_DATE": when,
                "GIT_COMMITTER_NAME": AUTHOR,
                "GIT_COMMITTER_EMAIL": ADDRESS,
                "GIT_COMMITTER_DATE": when,
            },
        )
        return said.stdout.decode("ascii").strip()

    async def log(self, sha: str, limit: int) -> list[Commit]:
        """The newest commits up to ``sha``, newest first."""
        said = await self.run(
            *("log", "--no-mailmap", "--no-show-signature", "--no-decorate"),
            *("-z", "--format=%H%x00%at%x00%an%x00%s", f"--max-count={limit}", sha),
            limit=4 * 1024**2,
            cut=True,
        )
        fields = said.stdout.split(b"\0")
        return [
            Commit(
                fields[at].decode("ascii"),
                float(fields[at + 1] or 0),
                decoded(fields[at + 2])[:MAX_SUBJECT],
                decoded(fields[at + 3])[:MAX_SUBJECT],
            )
            for at in range(0, len(fields) - 3, 4)
        ]

    # Files

    async def files(self, sha: str) -> list[TreeFile]:
        """The files of a commit, checked (:mod:`hyperhive.deploy.trees`)."""
        asked = ("ls-tree", "-r", "-z", "-l", "--full-tree", sha)
        said = await self.run(*asked, limit=MAX_LISTING, cut=True)
        if said.truncated:
            raise too_many()
        files = parse_listing(said.stdout)
        check_sizes(files)
        return files

    async def tree(self, sha: str) -> SourceTree:
        """All files of a commit, with what is in them."""
        files = await self.files(sha)
        said = await self.run(
            *("cat-file", "--batch"),
            stdin="".join(f"{file.blob}\n" for file in files).encode(),
            limit=sum(file.size + 80 for file in files),
        )
        try:
            contents = parse_batch(files, said.stdout)
        except ValueError as error:
            raise GitError(f"git cat-file says what it should not: {error}.") from None
        programs = frozenset(file.path for file in files if file.executable)
        return SourceTree(contents, programs)

    # Differences

    async def changes(self, base: str, sha: str) -> tuple[ChangedFile, ...]:
        """Which files differ, and by how many lines."""
        said = await self.run(*COUNTS, base, sha, limit=4 * MAX_LISTING)
        return parse_counts(said.stdout)

    async def difference(self, base: str, sha: str) -> Output:
        """The text of it, as git says it."""
        return await self.run(*TEXT, base, sha, limit=MAX_DIFF, cut=True)


def _import_stream(files: Mapping[str, bytes], message: str, now: float) -> bytes:
    """A commit as ``git fast-import`` reads it."""
    words = message.encode()
    parts = [
        f"commit {MAIN}\ncommitter {AUTHOR} <{ADDRESS}> {int(now)} +0000\n".encode(),
        f"data {len(words)}\n".encode() + words + b"\n",
    ]
    for path, content in sorted(files.items()):
        name = check_path(path.encode()).replace('"', '\\"')
        parts.append(f'M 100644 inline "{name}"\ndata {len(content)}\n'.encode())
        parts.append(content + b"\n")
    return b"".join(parts) + b"done\n"
