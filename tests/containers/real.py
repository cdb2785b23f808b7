"""What the tests of drivers with real processes share."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from hyperhive.containers.happenings import Happening
from hyperhive.containers.marked import end_marked
from tests.containers import programs
from tests.containers.programs import TestProgram
from tests.containers.suite import NAME, DriverSuite, unmistakable


class Daemon(ProcessProtocol):
    """A daemon in a process of its own, to be killed."""

    transport: Any

    def __init__(self) -> None:
        self.said = b""
        self.ready: Deferred[None] = Deferred()
        self._gone = Happening()

    async def kill(self) -> None:
        """Kill it, and wait until it is gone. It may be already."""
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")
        await self._gone.wait()

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
        self._gone.happen()


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
        await (await self.start_daemon()).kill()
        return await self.make_driver()

    async def start_daemon(self) -> Daemon:
        """A daemon that runs the family in a container :data:`NAME`."""
        daemon = Daemon()
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
        self.addCleanup(self.end_daemon, daemon)
        await daemon.ready
        return daemon

    async def end_daemon(self, daemon: Daemon) -> None:
        """Leave nothing of it, however the test ended."""
        await daemon.kill()
        await end_marked(reactor, f"{self.state}:")
