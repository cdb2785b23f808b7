"""The daemon ends and begins again: what it leaves, and what it finds."""

import json
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from zope.interface import implementer

from hyperhive.agents.interfaces import (
    IAgentSurface,
)
from hyperhive.agents.jobs import JobCancelled, ShuttingDown
from hyperhive.agents.launcher import NoFolder
from hyperhive.agents.turn import TurnProcess
from hyperhive.containers.interfaces import (
    ContainerSpec,
    DriverError,
    Limits,
    Lost,
    TimedOut,
)
from hyperhive.messages.interfaces import MessageState
from hyperhive.names import container_name
from hyperhive.testing.containers import MemoryDriver
from tests.agents.swarm import INIT, RESULT, StubLauncher, SwarmTestCase


class RecoveryTests(SwarmTestCase):
    """Shutdowns, restarts, and what an earlier daemon has left."""

    def test_shutdown(self) -> None:
        """Turns may end for shutdown_timeout; then they are interrupted, messages kept."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        drained = self.agents.drain()
        self.clock.advance(29)
        self.assertNoResult(drained)
        self.clock.advance(1)
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(self.message(message).state, MessageState.QUEUED)

    def test_no_turn_begins_in_a_shutdown(self) -> None:
        """An operation that ends meanwhile lets no turn begin; a new one is refused."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
        restarted = self.agents.restart("bob", "operator")
        self.jobs.close()
        drained = self.agents.drain()
        self.failureResultOf(restarted, JobCancelled)
        self.send("more")
        self.say(INIT, RESULT)
        self.failureResultOf(self.agents.start("bob", "manager"), ShuttingDown)
        self.driver.processes[0].exits(0)
        self.clock.advance(0)
        self.successResultOf(drained)
        self.assertEqual(len(self.driver.processes), 2)

    def test_agent_that_comes_in_a_shutdown(self) -> None:
        """One that is just being made waits for the next daemon with its first turn."""
        added: Deferred[None] = Deferred()

        @implementer(IAgentSurface)
        class Surface:
            def agent_added(self, name: str, role: str) -> Deferred[None]:
                return added

            def agent_removed(self, name: str) -> Deferred[None]:
                return succeed(None)

        self.agents.add_surface(Surface())
        spawned = self.agents.spawn("bob")
        self.send("hello")
        self.jobs.close()
        self.successResultOf(self.agents.drain())
        added.callback(None)
        self.successResultOf(spawned)
        self.clock.advance(0)
        self.assertEqual(self.driver.processes, [])

    def test_agent_without_a_folder(self) -> None:
        """It is shown as failed, keeps nobody else, and is served once it starts."""
        self.do(self.agents.spawn("bob"))
        self.do(self.agents.spawn("carol"))
        self.die()
        served: list[str] = []

        @implementer(IAgentSurface)
        class Surface:
            def agent_added(self, name: str, role: str) -> Deferred[None]:
                served.append(name)
                return succeed(None)

            def agent_removed(self, name: str) -> Deferred[None]:
                return succeed(None)

        def prepare(launcher: StubLauncher, name: str) -> None:
            if name == "bob":
                raise NoFolder("bob can't have it")

        patch = self.patch(StubLauncher, "prepare", prepare)
        self.launch(Surface())
        self.assertEqual(len(self.flushLoggedErrors(NoFolder)), 1)
        self.assertEqual(self.state(), "failed")
        self.assertEqual(self.agents.status("bob").state_note, "bob can't have it")
        self.assertEqual(
            self.told()[-1],
            {"event": "container_crash", "agent": "bob", "note": "bob can't have it"},
        )
        self.assertEqual(self.agents.status("carol").state, "idle")
        self.assertNotIn("bob", served)
        self.failureResultOf(self.agents.start("bob", "operator"), NoFolder)
        self.assertEqual(self.state(), "failed")
        patch.restore()
        self.do(self.agents.start("bob", "operator"))
        self.assertEqual(self.state(), "working")  # on why he was started
        self.assertIn("bob", served)

    def test_container_that_does_not_stop(self) -> None:
        """It is shown as what it is, and given no message that could only fail."""
        self.do(self.agents.spawn("bob"))

        def stop(name: str) -> Deferred[None]:
            self.driver.crash(name, "it does not stop")
            return fail(TimedOut("it does not stop"))

        # What is not asked for is told of by a watch, which records have not.
        self.patch(self.driver, "_callbacks", [])
        self.patch(self.driver, "stop", stop)
        self.failureResultOf(self.agents.restart("bob", "operator"), TimedOut)
        self.assertEqual(self.state(), "failed")
        message = self.send("hello")
        self.assertEqual(self.message(message).attempts, 0)

    def test_shutdown_with_a_turn_that_can_not_be_ended(self) -> None:
        """It does not keep the daemon for ever."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        process = self.claude()
        self.patch(process, "_signal", lambda number: None)
        self.patch(process, "destroy", lambda: succeed(None))
        drained = self.agents.drain()
        self.clock.pump([1] * 59)
        self.assertNoResult(drained)
        self.clock.advance(1)
        self.successResultOf(drained)
        self.assertEqual(len(self.flushLoggedErrors(TimeoutError)), 1)
        # What watches the claude goes on; what tells of agents has ended with it.
        left = [
            call.func
            for call in self.clock.getDelayedCalls()
            if not isinstance(call.func.__self__, TurnProcess)
        ]
        self.assertEqual(left, [])

    def test_restart_of_the_daemon(self) -> None:
        """What ran goes on running, unwoken; the lost turn's message comes back, marked."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        self.die()
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")
        self.assertEqual(self.driver.alive, 1)
        row = self.message(message)
        self.assertEqual((row.redelivered, row.attempts), (True, 0))
        self.say(INIT, RESULT)
        self.assertEqual(self.broker.unread("bob"), 0)

    def test_restart_with_another_claude(self) -> None:
        """A container that went on running sees what this daemon's claude needs."""
        self.do(self.agents.spawn("bob"))
        limits = Limits(tasks=7)
        self.die()
        self.patch(
            StubLauncher,
            "spec",
            lambda _, row: ContainerSpec(container_name(row.name), limits=limits),
        )
        self.launch()
        self.assertEqual(self.driver.spec("h-bob").limits, limits)
        self.assertTrue(self.agents.status("bob").running)

    def test_restart_of_the_host(self) -> None:
        """Agents that were to run are started and told; stopped ones stay stopped."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.do(self.agents.stop("alice", "operator"))
        self.driver = MemoryDriver(self.clock)
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state("alice"), "stopped")
        [process] = self.driver.processes
        self.assertIn(b'"started"', process.command.stdin)
        told = self.successResultOf(self.broker.inbox("manager"))
        self.assertEqual(json.loads(told[-1].body)["event"], "started")

    def test_parking_survives_a_restart(self) -> None:
        """A parked agent is still parked after a restart, and still resumes by itself."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        self.fail_turn("rate_limit")
        self.die()
        self.launch()
        self.clock.advance(0)
        self.assertEqual(self.state(), "parked")
        self.clock.advance(60)
        self.clock.advance(0)
        self.assertEqual(self.state(), "working")

    def test_login_while_no_daemon_ran(self) -> None:
        """A login that came meanwhile is taken up at the start; an old one is not."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
            self.send("hello", name)
            self.fail_turn("authentication_failed")
        self.die()
        StubLauncher.already_newer = {"bob"}
        self.addCleanup(setattr, StubLauncher, "already_newer", frozenset())
        self.launch()
        self.clock.advance(0)
        self.assertEqual(
            (self.state("alice"), self.state("bob")), ("needs login", "working")
        )

    def test_what_fails_after_the_end_was_written(self) -> None:
        """A turn's end is written once, whatever goes wrong in telling of it."""
        self.do(self.agents.spawn("bob"))
        message = self.send("hello")
        self.patch(self.bus, "publish", self.refuse_once("turn_end", self.bus.publish))
        self.say(INIT, RESULT)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(5)
        self.assertEqual(self.message(message).state, MessageState.DONE)
        self.assertEqual(self.state(), "idle")

    def refuse_once(self, kind: str, publish: Any) -> Any:
        """A publish that fails at the first event of a kind."""
        refused: list[str] = []

        def instead(this: str, *others: Any, **named: Any) -> Any:
            if this == kind and not refused:
                refused.append(this)
                raise RuntimeError("not now")
            return publish(this, *others, **named)

        return instead

    def test_left_over_container(self) -> None:
        """A container that belongs to no agent is what a destroy left: it goes."""
        self.do(self.agents.spawn("bob"))
        self.die()
        self.database.write(lambda connection: connection.execute("DELETE FROM agents"))
        self.launch()
        self.assertEqual(list(self.successResultOf(self.driver.statuses())), ["hm1nd"])

    def test_left_over_container_that_stays(self) -> None:
        """It does not keep the hive from starting."""
        self.do(self.agents.spawn("bob"))
        self.die()
        self.database.write(lambda connection: connection.execute("DELETE FROM agents"))
        self.driver.failures["destroy"] = TimedOut("it does not end")
        self.launch()
        self.assertEqual(self.agents.names(), ("hm1nd",))

    def test_one_broken_agent(self) -> None:
        """An agent that can't be recovered keeps none of the others."""
        for name in ("alice", "bob"):
            self.do(self.agents.spawn(name))
        self.driver = MemoryDriver(self.clock)
        self.driver.failures["create"] = DriverError("no disk")
        self.launch()
        self.assertEqual(len(self.flushLoggedErrors(DriverError)), 3)
        self.assertEqual(self.state("bob"), "failed")

    def test_lost_process(self) -> None:
        """A process that went away in a running container is a vanished turn."""
        self.do(self.agents.spawn("bob"))
        self.send("hello")
        self.claude().ends(Lost("gone"))
        self.clock.advance(0)
        [end] = self.of_kind("turn_end")
        self.assertEqual(end["outcome"], "vanished")
