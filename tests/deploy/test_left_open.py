"""Jobs that an earlier daemon left open: each is called what has become of it."""

import json
from typing import Any

from hyperhive.deferreds import deferred
from hyperhive.deploy.left_open import KEPT
from hyperhive.store.agents import AgentTable
from hyperhive.store.jobs import JobTable
from tests.deploy.test_steps import Fate, StepCase, World


class LeftOpenTests(StepCase):
    """bob and the manager are there, unless a test lets them go."""

    @deferred
    async def setUp(self) -> None:
        """No daemon runs."""
        await super().setUp()
        self.database, self.driver = await self.begin(self.good)

    @deferred
    async def ended(self, kind: str, agent: str = "bob") -> tuple[str, str]:
        """How the next daemon ends such a job, and its note."""
        row = await self.database.write(
            lambda connection: JobTable.insert(connection, kind, agent, "operator", 1.0)
        )
        self.world = World(self.layout, self.database, self.driver, Fate())
        await self.world.recover()
        [job] = [one for one in await self.world.deployer.jobs() if one["id"] == row.id]
        return job["state"], job.get("note", "")

    @deferred
    async def told(self, name: str) -> list[dict[str, Any]]:
        """What the hive has told an agent."""
        messages = await self.world.broker.inbox(name)
        return [json.loads(message.body) for message in messages]

    @deferred
    async def unwant(self) -> None:
        """Bob is not to run, as the daemon wrote down that died."""
        await self.database.write(
            lambda connection: connection.execute(
                "UPDATE agents SET wanted = 0 WHERE name = 'bob'"
            )
        )

    @deferred
    async def test_start(self) -> None:
        """bob runs: it is done, and he is told once."""
        self.assertEqual(await self.ended("start"), ("done", ""))
        self.assertEqual(
            await self.told("bob"), [{"event": "started", "by": "operator"}]
        )

    @deferred
    async def test_start_that_the_recovery_does(self) -> None:
        """He was to run, and did not yet: he is told once, by who has started him."""
        await self.driver.stop("h-bob")
        self.assertEqual(await self.ended("start"), ("done", ""))
        self.assertEqual(
            await self.told("bob"), [{"event": "started", "by": "the hive"}]
        )

    @deferred
    async def test_start_that_never_began(self) -> None:
        """Nobody had written down yet that he is to run."""
        await self.driver.stop("h-bob")
        await self.unwant()
        state, note = await self.ended("start")
        self.assertEqual(state, "interrupted")
        self.assertIn("ask for it anew", note)
        self.assertEqual(await self.told("bob"), [])

    @deferred
    async def test_stop(self) -> None:
        """It is done if he is not to run any more, also if he did until now."""
        self.assertEqual((await self.ended("stop"))[0], "interrupted")
        await self.unwant()
        self.assertEqual(await self.ended("stop"), ("done", ""))
        self.assertFalse(self.world.agents.status("bob").running)

    @deferred
    async def test_restart(self) -> None:
        """Whether he was stopped in between is not known: it is asked for anew."""
        state, note = await self.ended("restart")
        self.assertEqual(state, "interrupted")
        self.assertIn("ask for it anew", note)

    @deferred
    async def test_destroy(self) -> None:
        """It is done once bob is forgotten; what he had is said to be kept."""
        state, note = await self.ended("destroy")
        self.assertEqual(state, "interrupted")
        self.assertIn("ask for it anew", note)
        self.layout.agent("bob").mkdir(parents=True)
        await self.database.write(lambda one: AgentTable.delete(one, "bob"))
        self.assertEqual(await self.ended("destroy"), ("done", KEPT))
        self.assertNotIn("h-bob", await self.driver.statuses())

    @deferred
    async def test_purge(self) -> None:
        """It is done once nothing is kept."""
        await self.database.write(lambda one: AgentTable.delete(one, "bob"))
        self.layout.agent("bob").mkdir(parents=True)
        self.assertEqual((await self.ended("purge"))[0], "interrupted")
        self.layout.agent("bob").rmdir()
        self.assertEqual(await self.ended("purge"), ("done", ""))
        self.assertEqual(await self.ended("destroy"), ("done", ""))

    @deferred
    async def test_the_manager_is_told_of_its_own_once(self) -> None:
        """A rebuild of the manager comes to it as everybody's does, and not twice."""
        await self.database.write(
            lambda connection: connection.execute(
                "UPDATE agents SET deployed_sha = NULL WHERE name = 'hm1nd'"
            )
        )
        self.world = World(self.layout, self.database, self.driver, Fate())
        await self.world.recover()
        await self.world.deployer.rebuild("hm1nd", "operator")
        [one] = await self.told("hm1nd")
        self.assertEqual(
            (one["event"], one["agent"], one["ok"]), ("rebuilt", "hm1nd", True)
        )
