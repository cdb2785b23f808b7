"""The driver in memory: honest by the suite, and what only a fake can do."""

import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    DriverError,
    Lost,
    SetupFailed,
    Signalled,
)
from hyperhive.testing.containers import MemoryDriver
from tests.containers import programs
from tests.containers.observing import Recorder
from tests.containers.programs import TestProgram
from tests.containers.suite import NAME, DriverSuite


class MemorySuiteTests(DriverSuite, TestCase):
    """The suite over the fake."""

    def setUp(self) -> Any:
        return Deferred.fromCoroutine(self.asyncSetUp())

    async def make_driver(self) -> MemoryDriver:
        driver = MemoryDriver(reactor)
        driver.missing.add("no-such-program")
        return driver

    def adapt(self, program: TestProgram) -> tuple[str, ...]:
        name = " ".join(program.argv)
        self.driver.programs[name] = program.fake
        if name in self.driver.missing:
            return program.argv
        return (name, "format") if program is programs.ARGUMENTS else (name,)

    def survivors(self) -> list[str]:
        return ["alive"] * self.driver.alive

    async def crash(self) -> MemoryDriver:
        await self.make()
        recorder, _ = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        self.assertNotEqual(self.survivors(), [])
        return self.driver.die()


class MemoryDriverTests(SynchronousTestCase):
    """What a test can do to the fake."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.driver = MemoryDriver(self.clock)
        self.successResultOf(self.driver.create(ContainerSpec(NAME)))
        self.successResultOf(self.driver.start(NAME))
        self.recorder = Recorder()

    def run_one(self, *argv: str) -> Any:
        process = self.driver.run(
            NAME, Command(argv or ("claude",), {}, "/", b"hello"), self.recorder
        )
        self.clock.advance(0)
        return process

    def test_steered(self) -> None:
        """A process says and does what the test lets it."""
        process = self.run_one("claude", "-p")
        self.assertEqual(self.driver.processes, [process])
        self.assertEqual(
            (process.container, process.command.argv, process.command.stdin),
            (NAME, ("claude", "-p"), b"hello"),
        )
        process.says(b"hi")
        process.exits(3)
        process.says(b"too late")
        self.assertEqual(self.recorder.log, ["out", "end"])

    def test_signals(self) -> None:
        """A test sees which signals a process got, and can handle them."""
        process = self.run_one()
        process.handlers[signal.SIGINT] = lambda: process.exits(0)
        process.interrupt()
        self.assertEqual(self.recorder.ends, [])
        self.clock.advance(0)
        process.terminate()
        self.assertEqual(process.signals, [signal.SIGINT])
        self.assertEqual(len(self.recorder.ends), 1)

    def test_crash(self) -> None:
        """A crash loses what runs, and tells those who watch."""
        told: list[ContainerStatus] = []
        self.driver.watch(told.append)
        self.run_one()
        self.clock.advance(5)
        self.driver.crash(NAME, "out of memory")
        self.assertEqual(self.recorder.ends, [Lost("out of memory")])
        self.assertEqual(
            told, [ContainerStatus(NAME, ContainerState.FAILED, 5.0, "out of memory")]
        )
        self.assertEqual(self.successResultOf(self.driver.statuses()), {NAME: told[0]})

    def test_start_after_crash(self) -> None:
        """A crashed container can be started again."""
        self.driver.crash(NAME, "out of memory")
        self.successResultOf(self.driver.start(NAME))
        status = self.successResultOf(self.driver.statuses())[NAME]
        self.assertEqual((status.state, status.reason), (ContainerState.RUNNING, None))

    def test_failures(self) -> None:
        """A method fails with what the test gives."""
        self.driver.failures["start"] = DriverError("no room")
        failure = self.failureResultOf(self.driver.start(NAME), DriverError)
        self.assertEqual(failure.getErrorMessage(), "no room")

    def test_missing(self) -> None:
        """A program can be missing."""
        self.driver.missing.add("claude")
        self.run_one()
        self.assertIsInstance(self.recorder.end, SetupFailed)

    def test_programs(self) -> None:
        """What a program does can be said before it runs."""
        self.driver.programs["claude"] = lambda process: process.exits(9)
        self.run_one()
        self.assertEqual(self.recorder.end.status, 9)

    def test_orphans(self) -> None:
        """Who followed a process hears nothing of it after the daemon has died."""
        process = self.run_one()
        successor = self.driver.die()
        process.says(b"alone")
        self.assertEqual(successor.alive, 1)
        self.successResultOf(successor.adopt())
        self.clock.advance(0)
        self.assertEqual((successor.alive, self.recorder.log), (0, []))

    def test_destroyed(self) -> None:
        """A destroyed process counts as gone at once, and is told on the next turn."""
        process = self.run_one()
        self.successResultOf(process.destroy())
        self.assertEqual((self.driver.alive, self.recorder.ends), (0, []))
        self.clock.advance(0)
        self.assertEqual(self.recorder.ends, [Signalled(signal.SIGKILL)])
