"""A manager in a real sandbox, with its proposed repos and the daemon's applied ones."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.interfaces import Bind, Command, ContainerSpec, Exited
from hyperhive.deploy.fetch import MAX_PACK, ContainerGit
from hyperhive.deploy.repos import Repos
from hyperhive.names import MANAGER
from hyperhive.settings import Layout
from tests.containers.observing import Recorder
from tests.containers.suite import PATH, new_folder

ENTRY = "agent.toml"
TEMPLATE = {ENTRY: b'model = "haiku"\n', "notes/read.me": b"first\n"}
#: When all commits and tags of the daemon are made.
NOW = 1_700_000_000.0


def git(repo: Path, *arguments: str) -> str:
    """Ask git of a repo that only the daemon writes."""
    return subprocess.run(
        ["git", f"--git-dir={repo}", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    ).stdout.strip()


def tree(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for git's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def manager_spec(layout: Layout, home: Path) -> ContainerSpec:
    """The manager's container, with what it sees of the repos."""
    return ContainerSpec(
        MANAGER,
        (
            Bind(home, "/root", writable=True),
            Bind(layout.proposed, "/agents", writable=True),
            Bind(layout.applied, "/applied"),
        ),
    )


class Stage(TestCase):
    """With bob's repos, and the manager's container running."""

    timeout = 120
    driver_class: Any = BubblewrapDriver

    def setUp(self) -> Any:
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.layout = Layout(self.base / "state", self.base / "run")
        self.home = self.base / "home"
        for folder in (
            self.layout.proposed,
            self.layout.applied,
            self.home,
            self.base / "containers",
        ):
            folder.mkdir(0o700, parents=True)
        self.spec = manager_spec(self.layout, self.home)
        self.driver: Any = self.driver_class(reactor, self.base / "containers")
        await self.driver.probe()
        await self.driver.create(self.spec)
        await self.driver.start(MANAGER)
        self.addCleanup(self.driver.destroy, MANAGER)
        self.seen_as = self.driver.path_inside(
            self.spec, self.layout.proposed_repo("bob")
        )
        self.now = NOW
        self.repos = self.make_repos()
        self.first = await self.repos.create("bob", TEMPLATE, "The first commit")
        self.applied = self.layout.applied_repo("bob")
        self.proposed = self.layout.proposed_repo("bob")

    def make_repos(self, max_pack: int = MAX_PACK) -> Repos:
        """What a daemon that starts makes."""
        container = ContainerGit(
            reactor, self.driver, lambda: self.spec, self.layout, max_pack=max_pack
        )
        return Repos(reactor, self.layout, container, ENTRY, now=lambda: self.now)

    async def inside(self, script: str) -> str:
        """Run a shell script as the manager, in bob's proposed repo; it has to succeed."""
        recorder = Recorder()
        command = Command(
            ("sh", "-euc", f"cd {self.seen_as}\n{script}"),
            {"PATH": PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"},
            "/",
        )
        self.driver.run(MANAGER, command, recorder)
        end = await recorder.ended()
        self.assertEqual(end, Exited(0), recorder.stderr)
        return recorder.stdout.decode().strip()

    async def commit(self, script: str) -> str:
        """Change bob's proposed repo by a script, commit all of it as the manager."""
        return await self.inside(
            f"{script}\ngit add -A\ngit commit -qm change\ngit rev-parse HEAD"
        )

    async def files(self, name: str, sha: str) -> dict[str, bytes]:
        """What is in a commit's files, by path."""
        return dict((await self.repos.tree(name, sha)).contents)

    async def refused(self, waiting: Any, *kinds: type[Exception]) -> str:
        """What is said by what must fail."""
        error = await self.assertFailure(waiting, *kinds)
        return str(error)

    def assert_untouched(self) -> None:
        """Nothing of what was refused is in the applied repo, and nothing is left over."""
        self.assertEqual(git(self.applied, "for-each-ref", "refs/hive"), "")
        self.assertEqual(git(self.applied, "rev-parse", "main"), self.first)
        self.assert_tidy()

    def assert_tidy(self) -> None:
        """No lock, no quarantine, nothing half made, and a repo that git finds sound."""
        for pattern in ("*.lock", "tmp_*", ".grave-*"):
            self.assertEqual(list(self.applied.rglob(pattern)), [])
        private = self.layout.applied / ".private"
        self.assertEqual([one for one in private.rglob("*") if one.is_file()], [])
        git(self.applied, "fsck", "--strict", "--full")
