"""What the tests of drivers with real processes share."""

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from tests.containers import programs
from tests.containers.programs import TestProgram
from tests.containers.suite import NAME, DriverSuite, unmistakable


class Daemon(ProcessProtocol):
    """A daemon in a process of its own, to be killed."""

    def __init__(self) -> None:
        self.said = b""
        self.ready: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        """It says a line when all is running."""
        self.said += data
        if b"ready\n" in self.said and not self.ready.called:
            self.ready.callback(None)

    def errReceived(self, data: bytes) -> None:
        """It says why, if it fails."""
        self.said += data

    def processExited(self, reason: Any) -> None:
        """It was killed, or it failed."""
        if not self.ready.called:
            self.ready.errback(AssertionError(self.said.decode()))
        self.gone.callback(None)


class RealSuite(DriverSuite, TestCase):
    """The suite over a driver that starts real processes."""

    timeout = 60
    driver_class: Any

    def setUp(self) -> Any:
        self.lengths: list[str] = []
        return Deferred.fromCoroutine(self.asyncSetUp())

    async def make_driver(self) -> Any:
        driver = self.driver_class(reactor, self.state)
        await driver.probe()
        return driver

    def adapt(self, program: TestProgram) -> tuple[str, ...]:
        argv, length = unmistakable(program)
        self.lengths.append(length)
        return argv

    def survivors(self) -> list[str]:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if any(length.encode() in line for length in self.lengths):
                found.append(f"{pid} {line!r}")
        return found

    async def crash(self) -> Any:
        daemon = await self.start_daemon()
        daemon.transport.signalProcess("KILL")
        await daemon.gone
        return await self.make_driver()

    async def start_daemon(self, *more: str) -> Any:
        daemon: Any = Daemon()
        argv = self.adapt(programs.FAMILY)
        reactor.spawnProcess(
            daemon,
            sys.executable,
            [
                *(sys.executable, "-m", "tests.containers.daemon"),
                *(self.driver_class.__module__, self.driver_class.__name__),
                *(str(self.state), str(self.home), NAME, *argv),
            ],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        )
        await daemon.ready
        return daemon
