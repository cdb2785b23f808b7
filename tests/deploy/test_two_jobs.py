"""Two things of one agent at a time: each is done on what the other has left."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.task import deferLater

from hyperhive.containers.interfaces import StartFailed
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import NotAgain
from hyperhive.store.agents import AgentTable
from tests.deploy.test_steps import Fate, StepCase, World, git


class Picky:
    """A driver on which bob does not start with one of the commits."""

    def __init__(self, target: Any, database: Any, sha: str) -> None:
        self._target = target
        self._database = database
        self._sha = sha

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    @deferred
    async def start(self, name: str) -> None:
        """See IContainerDriver."""
        row = self._database.read(lambda connection: AgentTable.get(connection, "bob"))
        if name == "h-bob" and row.deployed_sha == self._sha:
            raise StartFailed("h-bob does not boot with that")
        await self._target.start(name)


class TwoJobsTests(StepCase):
    """bob has an approval that waits; its commit is good."""

    @deferred
    async def world(self, built_with: str | None = None) -> World:
        """A daemon that runs."""
        self.database, self.driver = await self.begin(self.good)
        if built_with is not None:
            await self.database.write(
                lambda connection: connection.execute(
                    "UPDATE agents SET built_with = ? WHERE name = 'bob'", (built_with,)
                )
            )
        world = World(self.layout, self.database, self.driver, Fate())
        await world.agents.recover()
        return world

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the reactor work until something is so; the test's limit ends it else."""
        while not true():
            await deferLater(reactor, 0.01)

    def main(self) -> str:
        """What bob's repo says that he runs."""
        return git(self.layout.applied_repo("bob"), "rev-parse", "main")

    @deferred
    async def test_an_upgrade_meets_an_approval(self) -> None:
        """A rebuild that was asked for before does not undo what is approved meanwhile."""
        world = await self.world(built_with="0")
        bob, drained = world.agents._members.get("bob"), Deferred[None]()
        bob.loop.drain = lambda seconds: drained  # a turn runs
        approving = world.approvals.approve(1, "operator")

        def steps() -> list[tuple[int | None, str]]:
            return [(job.row.approval, job.step) for job in world.deployer._jobs.open()]

        await self.until(lambda: (1, "waits for its turn to end") in steps())
        updating = world.deployer.update_all("hive")
        await self.until(
            lambda: (None, "waits for another job of its agent") in steps()
        )
        bob.loop.drain = lambda seconds: succeed(None)
        drained.callback(None)
        await approving
        await updating
        told = [json.loads(message.body) for message in await world.broker.inbox("bob")]
        self.assertEqual(told, [{"event": "rebuilt", "by": "operator"}])
        self.assertEqual(world.agents.deployment("bob").sha, self.good)
        self.assertEqual(self.main(), self.good)

    @deferred
    async def test_a_look_while_it_starts(self) -> None:
        """A diff that is looked at meanwhile takes nothing for done: the start may fail."""
        world = await self.world()
        starting, go = Deferred[None](), Deferred[None]()
        start = self.driver.start

        @deferred
        async def slow(name: str) -> None:
            if name == "h-bob" and not starting.called:
                starting.callback(None)
                await go
                raise StartFailed("it does not boot")
            await start(name)

        self.patch(self.driver, "start", slow)
        approving = world.approvals.approve(1, "operator")
        await starting
        await world.approvals.diff(1)
        self.assertEqual(self.main(), self.first)
        go.callback(None)
        await self.assertFailure(approving, Exception)
        self.assertEqual(world.agents.deployment("bob").sha, self.first)
        tags = git(self.layout.applied_repo("bob"), "tag", "--list").split()
        self.assertIn("failed/1", tags)
        self.assertNotIn("deployed/1", tags)
        await world.deployer.rebuild("bob", "operator")

    @deferred
    async def die_in_a_failing_start(self, fatal: int) -> tuple[Any, Any, bool]:
        """Approve what does not start, and die at a step; whether there was such a step."""
        database, driver = await self.begin(self.good)
        picky = Picky(driver, database, self.good)
        died = await self.approved(database, picky, fatal)
        return database, driver.die(), died

    @deferred
    async def found(self, database: Any, driver: Any) -> tuple[str, list[str]]:
        """What the next daemon makes of it: never is what can't start called deployed."""
        state = await self.state(database, Picky(driver, database, self.good))
        self.flushLoggedErrors()
        self.assertTrue(state["runs"])
        self.assertEqual((state["sha"], state["main"]), (self.first, self.first))
        self.assertFalse(state["deployed"])
        self.assertNotIn(True, state["rebuilt"])
        return state["approval"], state["jobs"]

    @deferred
    async def test_death_while_a_start_fails(self) -> None:
        """What does not start is failed, and what ran before runs, whenever the daemon dies."""
        fatal, died, states = 0, True, []
        while died:
            fatal += 1
            database, driver, died = await self.die_in_a_failing_start(fatal)
            states.append(await self.found(database, driver))
        put_back = states.index(("failed", ["done", "failed"])) + 1
        # The daemon that puts it back dies, too: at each of its steps.
        fatal, died = 0, True
        while died:
            fatal += 1
            database, driver, _ = await self.die_in_a_failing_start(put_back)
            picky = Picky(driver, database, self.good)
            world = World(self.layout, database, picky, Fate(fatal))
            died = await self.dies(world, world.recover())
            await self.found(database, driver.die())
        self.assertGreater(fatal, 10)

    @deferred
    async def test_again_only_once(self) -> None:
        """What was done again is not done a third time, and its approval stays approved."""
        world = await self.world()
        builder = world.steps._builder
        failing = [StartFailed("no room")]

        class Builder:
            def __getattr__(self, name: str) -> Any:
                return getattr(builder, name)

            def build(self, *given: Any) -> Any:
                if failing:
                    raise failing.pop()
                return builder.build(*given)

        world.steps._builder = Builder()
        await self.assertFailure(world.approvals.approve(1, "operator"), Exception)
        [job] = [
            job["id"] for job in await world.deployer.jobs() if job["state"] == "failed"
        ]
        again = [world.deployer.run_again(job), world.deployer.run_again(job)]
        results = await DeferredList(again, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False])
        results[1][1].trap(NotAgain)
        await self.assertFailure(world.deployer.run_again(job), NotAgain)
        self.assertEqual((await world.approvals.get(1)).status, "approved")
        self.assertEqual(self.main(), self.good)
