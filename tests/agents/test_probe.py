"""Asking the claude in a container for its flags."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from hyperhive.agents.claude import Capabilities, NotClaude
from hyperhive.agents.probe import MAX_HELP, PROBE_TIMEOUT, probe
from hyperhive.containers.interfaces import (
    Command,
    Exited,
    IContainerProcess,
    IProcessObserver,
    Lost,
    NotRunning,
    ProcessEnd,
    SetupFailed,
    Signalled,
)

HELP = (
    b"  -p, --print  x\n  -c, --continue\n  --output-format <f>\n  --mcp-config <c>\n"
)


@implementer(IContainerProcess)
class StubProcess:
    """A process that can only be destroyed."""

    destroyed = False

    def destroy(self) -> Deferred[None]:
        """Remember it."""
        self.destroyed = True
        return succeed(None)


class StubDriver:
    """Runs nothing; the test plays the process."""

    def __init__(self) -> None:
        self.process = StubProcess()
        self.container = ""
        self.commands: list[Command] = []
        self.observer: IProcessObserver | None = None
        self.failure: Exception | None = None
        self.ends_at_once: ProcessEnd | None = None

    def run(
        self, name: str, command: Command, observer: IProcessObserver
    ) -> StubProcess:
        """Remember what is asked for."""
        if self.failure is not None:
            raise self.failure
        self.container = name
        self.commands.append(command)
        self.observer = observer
        if self.ends_at_once is not None:
            observer.process_ended(self.ends_at_once)
        return self.process


class ProbeTests(SynchronousTestCase):
    """From ``--help`` to capabilities."""

    def setUp(self) -> None:
        """A container where nothing has run."""
        self.clock = Clock()
        self.driver = StubDriver()

    def probe(self) -> "Deferred[Capabilities]":
        """Begin."""
        return probe(self.clock, self.driver, "h-bob", ("/opt/claude", "-x"))

    def refused(self, probing: "Deferred[Capabilities]") -> str:
        """The sentence with which it was refused; nothing is left to wait for."""
        error = self.failureResultOf(probing, NotClaude).value
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return str(error)

    def test_it_works(self) -> None:
        """The help is asked for inside, with an environment of its own, and read in whatever pieces it comes."""
        probing = self.probe()
        (command,) = self.driver.commands
        self.assertEqual(self.driver.container, "h-bob")
        self.assertEqual(command.argv, ("/opt/claude", "-x", "--help"))
        self.assertIn("PATH", command.environment)
        self.assertEqual(command.stdin, b"")
        observer = self.driver.observer
        for byte in HELP:
            observer.stdout_received(bytes([byte]))
        observer.stderr_received(b"a warning")
        self.assertNoResult(probing)
        observer.process_ended(Exited(0))
        self.assertIn("--mcp-config", self.successResultOf(probing).flags)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.driver.process.destroyed)

    def test_it_does_not_run(self) -> None:
        """The sentence names the container and the reason."""
        for end, words in (
            (Exited(127), "status 127 (not found)"),
            (Signalled(4), "signal 4"),
            (Lost("the container is gone."), "the container is gone."),
            (SetupFailed("exec failed"), "exec failed"),
        ):
            probing = self.probe()
            self.driver.observer.stderr_received(b"not\n found")
            self.driver.observer.process_ended(end)
            said = self.refused(probing)
            self.assertIn("h-bob", said)
            self.assertIn(words, said)
            self.assertFalse(said.endswith(".."))

    def test_it_ends_before_it_began(self) -> None:
        """A driver may say so while it is still starting it."""
        self.driver.ends_at_once = SetupFailed("no such file")
        self.assertIn("no such file", self.refused(self.probe()))

    def test_something_else(self) -> None:
        """A program that is not claude is refused by what it says of itself."""
        probing = self.probe()
        self.driver.observer.stdout_received(b"Usage: ls [OPTION]\n")
        self.driver.observer.process_ended(Exited(0))
        self.assertIn("--print", self.refused(probing))

    def test_it_hangs(self) -> None:
        """After its time it is ended with all that it started; that it then ends changes nothing."""
        probing = self.probe()
        self.clock.advance(PROBE_TIMEOUT)
        self.assertIn("more than 30 s", self.refused(probing))
        self.assertTrue(self.driver.process.destroyed)
        self.driver.observer.process_ended(Signalled(9))

    def test_it_never_stops_talking(self) -> None:
        """Its output is bounded."""
        probing = self.probe()
        for _ in range(MAX_HELP // 65536 + 2):
            self.driver.observer.stdout_received(b"x" * 65536)
            self.driver.observer.stderr_received(b"x" * 65536)
        self.assertIn(str(MAX_HELP), self.refused(probing))
        self.assertTrue(self.driver.process.destroyed)

    def test_the_container_does_not_run(self) -> None:
        """The driver's own error is passed on."""
        self.driver.failure = NotRunning("h-bob is not running.")
        self.failureResultOf(self.probe(), NotRunning)
        self.assertEqual(self.clock.getDelayedCalls(), [])
