"""A daemon that dies at every single step of a deployment, and the next one that comes.

The steps are counted while one goes through: every write of the store, every change of
a repo, the build, every change of a container. Then it is done again for each of them,
with a daemon that dies just before it, and one that dies just after it and hears
nothing of it. Store and repos are real; the container is one in memory.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from hyperhive.agents.history import History
from hyperhive.agents.jobs import JobQueue
from hyperhive.agents.service import Agents
from hyperhive.approvals.approvals import Approvals
from hyperhive.approvals.expiry import Expiry
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import ContainerState
from hyperhive.deferreds import deferred
from hyperhive.deploy.deployer import Deployer
from hyperhive.deploy.fetch import ContainerGit
from hyperhive.deploy.left_open import LeftOpen
from hyperhive.deploy.repos import Repos
from hyperhive.deploy.steps import Steps
from hyperhive.deploy.toml_build import TomlBuilder
from hyperhive.messages.broker import Broker
from hyperhive.names import container_name
from hyperhive.settings import Layout, Settings
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.approvals import ApprovalTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER, EVENTS
from hyperhive.testing.containers import MemoryDriver
from tests.agents.swarm import StubLauncher
from tests.containers.suite import new_folder
from tests.deploy.stage import git, manager_spec
from tests.deploy.verdicts import failed, happened, interrupted, never_decided

GOOD = b'model = "sonnet"\n'
BAD = b'modle = "sonnet"\n'


class Fate:
    """Lets a daemon die at one of its steps.

    :param fatal: which, from 1; 0: it lives.
    :param after: whether the step is still done.
    """

    def __init__(self, fatal: int = 0, after: bool = False) -> None:
        self.await_step(fatal, after)
        self.died: Deferred[None] = Deferred()
        self._waiting: list[Deferred[Any]] = []

    def await_step(self, fatal: int, after: bool = False) -> None:
        """Count from here on."""
        self._fatal, self._after, self.steps = fatal, after, 0

    def step(self, act: Callable[[], "Deferred[Any]"]) -> "Deferred[Any]":
        """Do something, unless the daemon is dead by then."""
        if self.died.called:
            return self._never()
        self.steps += 1
        if self.steps != self._fatal:
            return act()
        if self._after:
            act().addBoth(lambda _: self.died.callback(None))
        else:
            self.died.callback(None)
        return self._never()

    def _never(self) -> "Deferred[Any]":
        """What a dead daemon waits for. It is kept: one that is forgotten ends its waiter."""
        self._waiting.append(Deferred())
        return self._waiting[-1]


class Mortal:
    """Something of a daemon's, some methods of which are steps."""

    def __init__(self, target: Any, fate: Fate, *steps: str) -> None:
        self._target = target
        self._fate = fate
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name not in self._steps:
            return method
        return lambda *args, **options: self._fate.step(
            lambda: method(*args, **options)
        )


class World:
    """One daemon on stores, repos and containers that outlive it."""

    def __init__(
        self, layout: Layout, database: Database, driver: Any, fate: Fate
    ) -> None:
        self.fate = fate
        self.clock = clock = Clock()
        clock.advance(1_700_000_000)
        store: Any = Mortal(database, fate, "write")
        containers: Any = Mortal(driver, fate, "create", "start", "stop")
        settings = Settings(
            state_dir=layout.state_dir, run_dir=layout.run_dir, max_turns=2
        )
        bus = EventBus(clock, 1)
        self.broker = Broker(clock, store, bus, 60.0, clock.seconds)
        events = Database.in_memory(EVENTS)
        history = History(clock, events, bus, clock.seconds)
        jobs = JobQueue(store, self.broker, bus, clock.seconds)
        self.agents = Agents(
            clock,
            settings,
            store,
            self.broker,
            bus,
            containers,
            StubLauncher(driver),
            history,
            jobs,
            "1",
            clock.seconds,
        )
        home = layout.state_dir / "home"
        container = ContainerGit(
            reactor, driver, lambda: manager_spec(layout, home), layout
        )
        repos: Any = Mortal(
            Repos(reactor, layout, container, "agent.toml", now=clock.seconds),
            fate,
            *("create", "tag", "advance"),
        )
        builder: Any = Mortal(TomlBuilder(), fate, "build", "release")
        self.steps = Steps(repos, builder, self.agents, jobs, "1")
        self.deployer = Deployer(
            self.steps, repos, self.agents, jobs, self.broker, store, clock.seconds
        )
        self.left_open = LeftOpen(self.steps, repos, self.agents, jobs)
        self.agents.lifecycle.provision = self.steps.provision
        self.approvals = Approvals(
            store,
            self.broker,
            bus,
            self.deployer,
            Expiry(clock, clock.seconds),
            None,
            clock.seconds,
        )

    @deferred
    async def recover(self) -> None:
        """As a daemon does at its start."""
        await self.agents.recover()
        await self.left_open.run()
        await self.approvals.recover()


class StepCase(TestCase):
    """Every step of an approved commit's way."""

    timeout = 120

    @deferred
    async def setUp(self) -> None:
        """bob's repo with a good proposal and a bad one, to be copied for each death."""
        self.graves: list[Any] = []
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.template = self.base / "template"
        self.layout = Layout(self.base / "state", self.base / "run")
        layout = Layout(self.template, self.base / "run")
        layout.applied.mkdir(parents=True)
        repos = Repos(
            reactor,
            layout,
            ContainerGit(
                reactor,
                MemoryDriver(Clock()),
                lambda: manager_spec(layout, layout.state_dir / "home"),
                layout,
            ),
            "agent.toml",
        )
        self.first = await repos.create("bob", {"agent.toml": b""}, "first")
        applied = layout.applied_repo("bob")
        self.good = self.committed(applied, GOOD)
        self.bad = self.committed(applied, BAD)

    def committed(self, repo: Any, text: bytes) -> str:
        """A commit that follows the first, pinned as submitting pins it."""
        blob = subprocess.run(
            ["git", f"--git-dir={repo}", "hash-object", "-w", "--stdin"],
            input=text,
            check=True,
            capture_output=True,
        ).stdout.decode()
        tree = subprocess.run(
            ["git", f"--git-dir={repo}", "mktree"],
            input=f"100644 blob {blob.strip()}\tagent.toml\n".encode(),
            check=True,
            capture_output=True,
        ).stdout.decode()
        sha = git(
            repo,
            *("-c", "user.name=x", "-c", "user.email=x@x", "commit-tree"),
            *("-p", self.first, "-m", "change", tree.strip()),
        )
        git(repo, "update-ref", f"refs/hive/fetched/{sha}", sha)
        return sha

    @deferred
    async def begin(self, sha: str) -> tuple[Database, MemoryDriver]:
        """bob and the manager run; one approval waits."""
        shutil.rmtree(self.layout.state_dir, ignore_errors=True)
        shutil.copytree(self.template, self.layout.state_dir, symlinks=True)
        database, driver = Database.in_memory(BROKER), MemoryDriver(Clock())

        def fill(connection: Any) -> None:
            for name in ("hm1nd", "bob"):
                role = "manager" if name == "hm1nd" else "agent"
                row = AgentRow(
                    *(name, role, 0.0),
                    paused=True,
                    deployed_sha=self.first,
                    deployed_tag="deployed/0",
                    config="{}",
                    built_with="1",
                )
                AgentTable.insert(connection, row)
            ApprovalTable.insert(
                *(connection, "bob", "apply_commit", "manager", 1.0, "why"),
                *(sha[:12], sha, self.first, None),
            )

        await database.write(fill)
        launcher = StubLauncher(driver)
        for name in ("hm1nd", "bob"):
            row = database.read(
                lambda connection, name=name: AgentTable.get(connection, name)
            )
            assert row is not None
            await driver.create(launcher.spec(row))
            await driver.start(container_name(name))
        return database, driver

    @deferred
    async def die_at(
        self, sha: str, fatal: int, after: bool
    ) -> tuple[Database, MemoryDriver, bool]:
        """Approve, and die at a step; whether there was such a step."""
        database, driver = await self.begin(sha)
        died = await self.approved(database, driver, fatal, after)
        return database, driver.die(), died

    @deferred
    async def approved(
        self, database: Database, driver: Any, fatal: int, after: bool = False
    ) -> bool:
        """Let a daemon that runs on these carry out the approval; whether it died of it."""
        world = World(self.layout, database, driver, Fate())
        await world.agents.recover()
        world.fate.await_step(fatal, after)
        return await self.dies(world, world.approvals.approve(1, "operator"))

    @deferred
    async def dies(self, world: World, doing: "Deferred[Any]") -> bool:
        """Wait for the end of something, or of its daemon; whether that died of it."""
        doing.addErrback(lambda failure: None)  # it is told by what is found
        self.graves.append((world, doing))
        _, place = await DeferredList(
            [doing, world.fate.died], fireOnOneCallback=True, consumeErrors=True
        )
        return place == 1

    @deferred
    async def state(self, database: Database, driver: MemoryDriver) -> dict[str, Any]:
        """What a later daemon finds and shows, when it has recovered."""
        world = World(self.layout, database, driver, Fate())
        await world.recover()
        self.world = world
        applied = self.layout.applied_repo("bob")
        [approval] = [await world.approvals.get(1)]
        jobs = [job for job in await world.deployer.jobs() if job["kind"] == "rebuild"]
        told = [
            json.loads(message.body)
            for message in await world.broker.inbox("manager")
            if message.sender == "system"
        ]
        self.woken = [
            json.loads(message.body)["event"]
            for message in await world.broker.inbox("bob")
        ]
        statuses = await driver.statuses()
        return {
            "approval": approval.status,
            "jobs": [job["state"] for job in jobs],
            "sha": world.agents.deployment("bob").sha,
            "main": git(applied, "rev-parse", "main"),
            "deployed": git(applied, "tag", "--list", "deployed/1") != "",
            "runs": statuses["h-bob"].state is ContainerState.RUNNING,
            "resolved": [
                one["status"] for one in told if one["event"] == "approval_resolved"
            ],
            "rebuilt": [one["ok"] for one in told if one["event"] == "rebuilt"],
        }

    @deferred
    async def each_death(self, sha: str) -> list[dict[str, Any]]:
        """What is found after each death, in the order of the steps."""
        found, fatal = [], 0
        while True:
            fatal += 1
            for after in (False, True):
                database, driver, died = await self.die_at(sha, fatal, after)
                state = await self.state(database, driver)
                # What was stopped is told once why it runs again.
                told = ["rebuilt"] if state["rebuilt"] == [True] else []
                self.assertIn(self.woken, (told, ["started"]))
                if not died:
                    return [*found, state]
                found.append(state)
                if state == interrupted(self.first) and sha == self.good:
                    await self.run_again()

    @deferred
    async def run_again(self) -> None:
        """What was interrupted can be done again, and is then done."""
        [job] = [
            job for job in await self.world.deployer.jobs() if job["kind"] == "rebuild"
        ]
        await self.world.deployer.run_again(job["id"])
        self.assertEqual(self.world.agents.deployment("bob").sha, self.good)
        main = git(self.layout.applied_repo("bob"), "rev-parse", "main")
        self.assertEqual(main, self.good)


class StepTests(StepCase):
    """Every step, and no daemon after it."""

    @deferred
    async def test_a_good_commit(self) -> None:
        """First it never happened, then it is interrupted, then it has happened: never half."""
        allowed = [
            never_decided(self.first),
            interrupted(self.first),
            happened(self.good),
        ]
        ages = []
        for place, state in enumerate(await self.each_death(self.good)):
            self.assertIn(state, allowed, f"death {place}")
            ages.append(allowed.index(state))
        self.assertEqual(ages, sorted(ages))
        self.assertEqual(set(ages), {0, 1, 2})
        self.assertGreater(len(ages), 20)

    @deferred
    async def test_a_bad_commit(self) -> None:
        """One that can't be built fails, or is interrupted; nothing of it ever runs."""
        allowed = [
            never_decided(self.first),
            interrupted(self.first),
            failed(self.first),
        ]
        ages = []
        for place, state in enumerate(await self.each_death(self.bad)):
            self.assertIn(state, allowed, f"death {place}")
            ages.append(allowed.index(state))
        self.assertEqual(ages, sorted(ages))
        self.assertEqual(ages[-1], 2)

    @deferred
    async def deployed_with_a_repo_that_is_locked(self) -> tuple[World, Database, Any]:
        """bob runs what was approved, and his repo can't say so."""
        database, driver = await self.begin(self.good)
        world = World(self.layout, database, driver, Fate())
        await world.agents.recover()
        await world.deployer.deployments("bob")  # the first use clears locks away
        applied = self.layout.applied_repo("bob")
        (applied / "refs/heads/main.lock").touch()
        await world.approvals.approve(1, "operator")
        self.assertEqual(world.agents.deployment("bob").sha, self.good)
        self.assertEqual(git(applied, "rev-parse", "main"), self.first)
        [line] = [line for line in world.deployer.lines(1) if "brought in line" in line]
        self.assertIn("main.lock", line)
        return world, database, driver

    @deferred
    async def test_repo_out_of_line(self) -> None:
        """What runs is done, whatever its repo says; the next daemon brings that in line."""
        _, database, driver = await self.deployed_with_a_repo_that_is_locked()
        self.assertEqual(await self.state(database, driver.die()), happened(self.good))

    @deferred
    async def test_compared_with_what_runs(self) -> None:
        """A repo is brought in line before something is compared with what runs."""
        world, _, _ = await self.deployed_with_a_repo_that_is_locked()
        diff = await world.approvals.diff(1)
        self.assertEqual((diff.base, diff.text), (self.good, ""))
