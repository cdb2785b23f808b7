"""A new agent that does not start, or whose daemon dies: it can be had all the same."""

import json
from typing import Any

from twisted.internet.defer import fail

from hyperhive.approvals.interfaces import NotDone
from hyperhive.containers.interfaces import StartFailed
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import NoSpace
from hyperhive.deploy.toml_build import TomlBuilder
from tests.deploy.test_steps import Fate, StepCase, World


class SpawnTests(StepCase):
    """alice was asked for, as approval 2; her container does not start at first."""

    @deferred
    async def world(self) -> World:
        """A daemon that runs."""
        self.database, self.driver = await self.begin(self.good)
        world = World(self.layout, self.database, self.driver, Fate())
        await world.agents.recover()
        self.assertEqual(await world.approvals.request_spawn("alice", "manager"), 2)
        return world

    @deferred
    async def creation(self, world: World) -> dict[str, Any]:
        """The newest job that makes her."""
        jobs = [job for job in await world.deployer.jobs() if job["kind"] == "create"]
        return jobs[0]

    @deferred
    async def assert_had(self, world: World, job: int) -> None:
        """Run again, it starts her: once."""
        await world.deployer.run_again(job)
        self.assertTrue(world.agents.status("alice").running)
        self.assertEqual((await world.approvals.get(2)).status, "approved")
        again = await self.creation(world)
        self.assertEqual((again["state"], again["approval"]), ("done", 2))
        await self.assertFailure(world.deployer.run_again(job), Exception)

    @deferred
    async def test_does_not_start(self) -> None:
        """It has failed, and is run again where it ended."""
        world = await self.world()
        self.driver.failures["start"] = StartFailed("no room")
        await self.assertFailure(world.approvals.approve(2, "operator"), NotDone)
        self.assertEqual((await world.approvals.get(2)).status, "failed")
        self.assertTrue(world.agents.status("alice").failed)
        job = (await self.creation(world))["id"]
        await self.assertFailure(world.deployer.run_again(job), Exception)
        self.assertEqual((await world.approvals.get(2)).status, "failed")
        del self.driver.failures["start"]
        await self.assert_had(world, job)

    @deferred
    async def die_at(self, fatal: int, starts: bool) -> bool:
        """Approve, and die at a step; whether there was such a step.

        :param starts: whether her container starts for the next daemon.
        """
        world = await self.world()
        world.fate.await_step(fatal)
        died = await self.dies(world, world.approvals.approve(2, "operator"))
        self.driver = self.driver.die()
        if not starts:
            self.driver.failures["start"] = StartFailed("no room")
        return died

    @deferred
    async def found(self) -> tuple[World, str, list[str], list[bool]]:
        """What the next daemon makes of it: the approval, the jobs, what was told."""
        world = World(self.layout, self.database, self.driver, Fate())
        await world.recover()
        self.flushLoggedErrors(StartFailed)
        told = [
            json.loads(message.body)
            for message in await world.broker.inbox("manager")
            if message.sender == "system"
        ]
        return (
            world,
            (await world.approvals.get(2)).status,
            [j["state"] for j in await world.deployer.jobs() if j["kind"] == "create"],
            [one["ok"] for one in told if one["event"] == "spawned"],
        )

    @deferred
    async def test_every_death(self) -> None:
        """She was never asked for, is interrupted, has failed, or runs: each is told once."""
        for starts in (True, False):
            fatal, died, all_found = 0, True, set()
            while died:
                fatal += 1
                died = await self.die_at(fatal, starts)
                world, approval, jobs, told = await self.found()
                self.driver.failures.clear()
                if not died and not starts:
                    break  # she ran, and an agent that stops later is another matter
                all_found.add((approval, *jobs))
                if approval == "pending":
                    self.assertEqual((jobs, told), ([], []))
                    continue
                self.assertEqual(told, [jobs == ["done"]])
                if jobs != ["done"]:
                    await self.assert_had(world, (await self.creation(world))["id"])
            expected = {("pending",), ("approved", "interrupted")}
            expected.add(("approved", "done"))
            if not starts:
                expected.add(("failed", "failed"))
            self.assertEqual(all_found, expected)
            self.assertGreater(fatal, 8)

    @deferred
    async def test_one_that_is_there(self) -> None:
        """An agent that another job has made is nobody's second try."""
        world = await self.world()
        disk = self.patch(TomlBuilder, "build", lambda *given: fail(NoSpace("full")))
        await self.assertFailure(world.approvals.approve(2, "operator"), NotDone)
        disk.restore()
        world.clock.advance(1)
        job = (await self.creation(world))["id"]
        await world.agents.spawn("alice")
        await world.agents.stop("alice", "operator")
        await self.assertFailure(world.deployer.run_again(job), Exception)
        self.assertFalse(world.agents.status("alice").running)
