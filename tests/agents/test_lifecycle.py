"""Agents are made, started, stopped, deployed and destroyed."""

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from hyperhive.agents.interfaces import (
    AgentExists,
    Deployment,
    IAgentSurface,
    NoSuchAgent,
    NotTheManager,
)
from hyperhive.agents.lifecycle import NotPutBack
from hyperhive.containers.interfaces import (
    DriverError,
)
from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import MessageState
from hyperhive.names import InvalidName
from tests.agents.swarm import INIT, RESULT, REVISION, SwarmTestCase


class LifeTests(SwarmTestCase):
    """Spawn, stop, start, destroy, and the daemon's own restart."""

    def test_manager_is_made(self) -> None:
        """The first start makes the manager, and only the first."""
        self.assertEqual(self.agents.names(), ("hm1nd",))
        self.assertEqual(self.agents.role("manager"), "manager")
        self.launch()
        self.assertEqual(self.agents.names(), ("hm1nd",))

    def test_names_are_checked(self) -> None:
        """Wrong, taken and unknown names are refused with who exists."""
        self.failureResultOf(self.agents.spawn("../etc"), InvalidName)
        self.failureResultOf(self.agents.spawn("manager"), InvalidName)
        self.do(self.agents.spawn("bob"))
        self.failureResultOf(self.agents.spawn("bob"), AgentExists)
        with self.assertRaises(NoSuchAgent) as raised:
            self.agents.status("carol")
        self.assertIn("hm1nd, bob", str(raised.exception))

    def test_new_agent_is_not_woken(self) -> None:
        """It has nothing to resume."""
        self.do(self.agents.spawn("bob"))
        self.clock.advance(0)
        self.assertEqual((self.state(), self.driver.processes), ("idle", []))

    def test_spawn_that_fails(self) -> None:
        """The error is told, the agent is shown as failed, and a start mends it."""
        self.driver.failures["start"] = DriverError("no disk")
        self.failureResultOf(self.agents.spawn("bob"), DriverError)
        status = self.agents.status("bob")
        self.assertEqual((status.state, status.state_note), ("failed", "no disk"))
        del self.driver.failures["start"]
        self.do(self.agents.start("bob", "operator"))
        self.assertTrue(self.agents.status("bob").running)

    def test_graceful_stop(self) -> None:
        """The turn may end; then the container stops, and its messages wait."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        stopped = self.agents.stop("bob", "operator")
        self.assertEqual(self.state(), "stopping")
        self.clock.advance(300)
        self.assertNoResult(stopped)
        self.say(INIT, RESULT)
        self.successResultOf(stopped)
        self.assertEqual(self.state(), "stopped")
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.send("later")
        self.assertEqual(len(self.driver.processes), 1)

    def test_stop_interrupts_in_the_end(self) -> None:
        """After drain_timeout the turn is interrupted and its message given back."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        stopped = self.agents.stop("bob", "operator")
        for _ in range(5):
            self.clock.advance(100)
            self.claude().says(b'{"type":"tool_progress"}\n')
        self.assertNoResult(stopped)
        self.clock.advance(100)
        self.clock.advance(0)
        self.successResultOf(stopped)
        row = self.message(message)
        self.assertEqual(
            (row.state, row.redelivered, row.attempts), (MessageState.QUEUED, True, 0)
        )

    def test_kill_overtakes_a_graceful_stop(self) -> None:
        """Whoever can't wait doesn't."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        slow = self.agents.stop("bob", "operator")
        quick = self.agents.stop("bob", "operator", graceful=False)
        self.clock.advance(0)
        self.successResultOf(slow)
        self.successResultOf(quick)
        self.assertTrue(self.driver.processes[0].destroyed)

    def test_start_wakes(self) -> None:
        """A started agent is told so, by whom; one that runs already is not."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.start("bob", "operator"))
        self.assertEqual(self.broker.unread("bob"), 0)
        self.do(self.agents.stop("bob", "operator"))
        self.do(self.agents.start("bob", "manager"))
        self.clock.advance(0)
        self.assertIn(
            b'{"event": "started", "by": "manager"}', self.claude().command.stdin
        )

    def test_crash_of_the_manager(self) -> None:
        """Of its own crash the operator is told."""
        self.driver.crash("hm1nd", "out of memory")
        [notice] = self.successResultOf(self.broker.inbox("operator"))
        self.assertIn("out of memory", notice.body)

    def test_what_the_manager_is_told(self) -> None:
        """Of each agent that comes, goes or is killed by somebody else."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.set_paused("bob", True))
        self.do(self.agents.stop("bob", "manager", graceful=False))
        self.do(self.agents.start("bob", "manager"))
        self.do(self.agents.stop("bob", "operator", graceful=False))
        self.do(self.agents.destroy("bob"))
        self.assertEqual(
            self.told(),
            [
                {"event": "spawned", "agent": "bob", "ok": True},
                {"event": "killed", "agent": "bob"},
                {"event": "destroyed", "agent": "bob"},
            ],
        )

    def test_deployment(self) -> None:
        """Another configuration: the turn ends first, the agent is shown so, and told."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        new = Deployment("c" * 40, "deployed/7", "{}", None, REVISION)
        done = self.deploy(new)
        self.assertNoResult(done)
        self.assertEqual(self.state(), "rebuilding")
        self.assertIsNone(self.agents.deployment("bob").sha)
        self.say(INIT, RESULT)
        self.successResultOf(done)
        self.assertEqual(self.agents.deployment("bob"), new)
        status = self.agents.status("bob")
        self.assertEqual(
            (status.deployed_sha, status.needs_update, status.running),
            ("c" * 40, False, True),
        )

    def test_deployment_that_does_not_start(self) -> None:
        """The agent goes on with what it had, and who asked hears why."""
        self.do(self.agents.spawn("bob"))
        first = Deployment("a" * 40, "deployed/1", "{}", None, REVISION)
        self.successResultOf(self.deploy(first))
        start, errors = self.driver.start, [DriverError("no such bind")]
        self.patch(
            self.driver,
            "start",
            lambda name: fail(errors.pop()) if errors else start(name),
        )
        failed = self.deploy(Deployment("b" * 40, "deployed/2", "{}", None, REVISION))
        self.assertIn("no such bind", str(self.failureResultOf(failed).value))
        self.assertEqual(self.agents.deployment("bob"), first)
        self.assertTrue(self.agents.status("bob").running)
        self.send("hello")
        self.assertEqual(self.state(), "working")

    def test_deployment_that_can_not_be_undone(self) -> None:
        """Both reasons are told, the row says what it had, and it is shown as failed."""
        self.do(self.agents.spawn("bob"))
        errors = [DriverError("no room"), DriverError("no such bind")]
        self.patch(self.driver, "start", lambda name: fail(errors.pop()))
        failed = self.deploy(Deployment("b" * 40, "deployed/2", "{}", None, REVISION))
        told = str(self.failureResultOf(failed, NotPutBack).value)
        self.assertLess(told.index("no such bind"), told.index("no room"))
        self.assertIsNone(self.agents.deployment("bob").sha)
        self.assertEqual(self.state(), "failed")

    def test_out_of_date(self) -> None:
        """What another hyperhive has built is shown to need an update."""
        self.do(self.agents.spawn("bob"))
        self.successResultOf(
            self.deploy(Deployment("a" * 40, "deployed/1", "{}", None, "0"))
        )
        self.assertTrue(self.agents.status("bob").needs_update)

    @deferred
    async def deploy(self, deployment: Deployment) -> None:
        """Let bob run with something else."""
        async with self.jobs.job("rebuild", "bob", "operator") as job:
            async with self.agents.lifecycle.held("bob", job) as agent:
                await self.agents.lifecycle.deploy(agent, deployment, job)

    def test_restart(self) -> None:
        """Stopped, started, and told."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.restart("bob", "operator"))
        self.clock.advance(0)
        self.assertIn(b'"restarted"', self.claude().command.stdin)

    def test_destroy(self) -> None:
        """Turn, container and row go; who wrote is told that its message is dead."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.successResultOf(self.broker.send("alice", "bob", "hello"))
        self.clock.advance(0)
        destroyed = self.agents.destroy("bob")
        self.clock.advance(0)
        self.successResultOf(destroyed)
        self.assertEqual(self.agents.names(), ("hm1nd", "alice"))
        self.assertNotIn("h-bob", self.successResultOf(self.driver.statuses()))
        self.assertIn(b"message_dead", self.claude().command.stdin)
        self.clock.advance(1)
        gone = [e for e in self.of_kind("agent_state") if e.get("gone")]
        self.assertEqual([event["name"] for event in gone], ["bob"])

    def test_destroy_with_a_broken_surface(self) -> None:
        """Its container goes, whatever can't be closed."""

        @implementer(IAgentSurface)
        class Broken:
            def agent_added(self, name: str, role: str) -> Deferred[None]:
                return succeed(None)

            def agent_removed(self, name: str) -> Deferred[None]:
                raise KeyError(name)

        self.agents.add_surface(Broken())
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.destroy("bob"))
        self.assertNotIn("h-bob", self.successResultOf(self.driver.statuses()))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_destroy_with_a_turn_that_can_not_be_ended(self) -> None:
        """When that ends at last, its slot is free again and nothing is tried for ever."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        process = self.claude()
        self.patch(process, "_signal", lambda number: None)
        self.patch(process, "destroy", lambda: succeed(None))
        destroyed = self.agents.destroy("bob")
        self.clock.pump([1] * 30)
        self.successResultOf(destroyed)
        process.exits(1)
        self.clock.advance(0)
        [end] = self.of_kind("turn_end")
        self.assertEqual((end["agent"], end["outcome"]), ("bob", "drained"))
        for name in ("alice", "carol"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
            self.assertEqual(self.state(name), "working")

    def test_manager_is_not_destroyed(self) -> None:
        """There is always a manager."""
        self.failureResultOf(self.agents.destroy("hm1nd"), NotTheManager)
