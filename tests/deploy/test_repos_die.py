"""A daemon that dies, or gives up, in the middle of something: the same call finishes it."""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.utils import getProcessOutputAndValue

from hyperhive.deploy import repos as repos_module
from hyperhive.deploy.fetch import ContainerGit
from hyperhive.deploy.repos import Repos
from tests.containers.suite import PATH
from tests.deploy.stage import ENTRY, TEMPLATE, Stage, git, tree


class SteppedReactor:
    """The reactor, which does something right after it has started a process.

    :ivar at: the number of that process, from 0.
    """

    def __init__(self, what: Any) -> None:
        self.at = -1
        self.what = what
        self._started = itertools.count()

    def spawnProcess(self, *arguments: Any, **named: Any) -> Any:
        """Start it."""
        process = reactor.spawnProcess(*arguments, **named)
        if next(self._started) == self.at:
            reactor.callLater(0, self.what)
        return process

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class CrashTests(Stage):
    """A daemon that died in the middle of something."""

    async def kill_at_each_step(
        self, what: str, *arguments: str, every: int = 1
    ) -> AsyncIterator[int]:
        """Let daemons do it that die at one step each, until one comes to the end."""
        for step in itertools.count(0, every):
            out, err, status = await getProcessOutputAndValue(
                sys.executable,
                [
                    *("-m", "tests.deploy.dying", str(self.base), str(step)),
                    *(what, *arguments),
                ],
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": PATH},
                # A signal's number comes by a failure whose value is the same tuple.
            ).addErrback(lambda failure: failure.value)
            if (out, status) == (b"done\n", 0):
                break
            self.assertEqual((out, status), (b"", signal.SIGKILL), err)
            yield step
        # A test whose daemons don't die shows nothing.
        self.assertGreater(step, 2)

    async def test_create(self) -> None:
        """Killed while it makes repos: they are made, whole, by the next."""
        await self.repos.remove("bob")
        async for _ in self.kill_at_each_step("create"):
            self.repos = self.make_repos()
            made = await self.repos.create("bob", TEMPLATE, "The first commit")
            self.assertEqual(await self.files("bob", made), TEMPLATE)
            self.assertEqual(await self.inside("git rev-parse HEAD"), made)
            self.assertEqual(await self.inside("git status --porcelain"), "")
            self.assert_tidy()
            await self.repos.remove("bob")

    async def test_submit(self) -> None:
        """Killed while it takes a proposal in: the next takes it in."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        pinned = f"refs/hive/fetched/{sha}"
        async for _ in self.kill_at_each_step("submit", sha):
            self.repos = self.make_repos()
            self.assertEqual(await self.repos.main("bob"), self.first)
            self.assert_tidy()
            await self.repos.submit("bob", sha)
            git(self.applied, "gc", "--prune=now", "--quiet")
            self.assertIn(b"x = 1", (await self.files("bob", sha))[ENTRY])
            git(self.applied, "update-ref", "-d", pinned)
            git(self.applied, "gc", "--prune=now", "--quiet")

    async def test_deploy(self) -> None:
        """Killed while it says what is deployed: the next says it."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.submit("bob", sha)
        async for _ in self.kill_at_each_step("deploy", sha):
            self.repos = self.make_repos()
            await self.repos.tag("bob", "deployed", 1, sha)
            await self.repos.advance("bob", sha)
            self.assertEqual(await self.repos.main("bob"), sha)
            self.assertEqual(
                [one.sha for one in await self.repos.deployments("bob")], [sha]
            )
            self.assert_tidy()
            git(self.applied, "update-ref", "refs/heads/main", self.first)
            git(self.applied, "update-ref", "-d", "refs/tags/deployed/1")

    async def test_remove(self) -> None:
        """Killed while it removes: the next does, or has already."""
        async for _ in self.kill_at_each_step("remove", every=4):
            self.repos = self.make_repos()
            await self.repos.remove("bob")
            self.assertEqual(os.listdir(self.layout.proposed), [])
            private = self.layout.applied / ".private"
            self.assertEqual(os.listdir(self.layout.applied), [private.name])
            self.assertEqual([one for one in private.rglob("*") if one.is_file()], [])
            await self.repos.create("bob", TEMPLATE, "The first commit")

    async def test_cancelled(self) -> None:
        """A call that is cancelled while any of its processes runs leaves nothing behind."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        waiting: Deferred[Any] = Deferred()
        stepped: Any = SteppedReactor(lambda: waiting.cancel())
        self.driver._reactor = stepped
        container = ContainerGit(stepped, self.driver, lambda: self.spec, self.layout)
        self.repos = Repos(stepped, self.layout, container, ENTRY)
        await self.repos.main("bob")
        for step in itertools.count():
            stepped._started, stepped.at = itertools.count(), step
            waiting = self.repos.submit("bob", sha)
            try:
                await waiting
            except CancelledError:
                stepped.at = -1
                self.assertEqual(await self.repos.tags("bob"), [])
                git(self.applied, "fsck", "--strict")
                self.assert_tidy()
            else:
                break
        self.assertGreater(step, 8)

    async def test_lock_of_an_ended_git(self) -> None:
        """A git that was ended too early to remove its lock does not keep the next one."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.main("bob")
        waiting = self.repos.submit("bob", sha)
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        lock = self.applied / "refs" / "hive" / "fetched" / f"{sha}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        await self.repos.submit("bob", sha)
        self.assert_tidy()

    async def test_leftovers(self) -> None:
        """What killed gits leave is gone before the next daemon's first use."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        for path in (
            *("HEAD.lock", "packed-refs.lock", "refs/heads/main.lock"),
            *("refs/tags/deployed/1.lock", "objects/pack/tmp_pack_x", "gc.pid.lock"),
            *("objects/ab/tmp_obj_x", ".grave-1/0/x"),
        ):
            (self.applied / path).parent.mkdir(parents=True, exist_ok=True)
            (self.applied / path).write_bytes(b"half")
        half = self.layout.applied / ".private" / "dead" / "proposed-1"
        half.mkdir(parents=True)
        (half / "file").write_text("half")
        self.repos = self.make_repos()
        await self.repos.submit("bob", sha)
        await self.repos.tag("bob", "deployed", 1, sha)
        await self.repos.advance("bob", sha)
        self.assertFalse(half.exists())
        self.assert_tidy()

    async def test_made_in_part(self) -> None:
        """Only one of two repos is there: the same call makes the other."""
        shutil.rmtree(self.proposed)
        self.repos = self.make_repos()
        self.assertEqual(await self.repos.create("bob", TEMPLATE, "x"), self.first)
        self.assertEqual(tree(self.proposed), TEMPLATE)

    async def test_taken_in_and_not_pinned(self) -> None:
        """Objects that came in before the daemon died are pinned by the same call."""
        sha = await self.commit("echo 'x = 1' >>agent.toml")
        await self.repos.submit("bob", sha)
        git(self.applied, "update-ref", "-d", f"refs/hive/fetched/{sha}")
        self.repos = self.make_repos()
        await self.repos.submit("bob", sha)
        git(self.applied, "gc", "--prune=now", "--quiet")
        self.assertIn(b"x = 1", (await self.files("bob", sha))[ENTRY])
        self.assert_tidy()

    async def test_packs_do_not_pile_up(self) -> None:
        """A repo with many packs is packed into one when the next daemon uses it."""
        self.patch(repos_module, "MAX_PACKS", 2)
        shas = [await self.commit(f"echo {n} >>agent.toml") for n in range(4)]
        for sha in shas:
            await self.repos.submit("bob", sha)
        self.assertEqual(len(list(self.applied.glob("objects/pack/*.pack"))), 4)
        self.repos = self.make_repos()
        self.assertEqual(await self.repos.main("bob"), self.first)
        self.assertEqual(len(list(self.applied.glob("objects/pack/*.pack"))), 1)
        for n, sha in enumerate(shas):
            self.assertIn(f"\n{n}\n".encode(), (await self.files("bob", sha))[ENTRY])
