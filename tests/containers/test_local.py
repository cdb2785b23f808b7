"""One process on this host, in a reactor without any."""

import shutil
import signal

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import Exited, SetupFailed, Signalled, TimedOut
from hyperhive.containers.local import (
    DRAIN,
    GONE_LIMIT,
    LEFT_BEHIND,
    QUIET,
    LocalProcess,
)
from hyperhive.testing.processes import MemoryProcessReactor, SpawnedProcess
from tests.containers.observing import Recorder


class LocalProcessTests(SynchronousTestCase):
    """How a process is fed, followed and told of."""

    def setUp(self) -> None:
        self.reactor = MemoryProcessReactor()
        self.recorder = Recorder()
        self.process = LocalProcess(self.reactor, self.recorder)

    def spawn(self, stdin: bytes = b"") -> SpawnedProcess:
        self.process.spawn(["/bin/cat", "-"], {"A": "b"}, stdin)
        return self.reactor.spawned[-1]

    def test_spawned(self) -> None:
        """It is started in a session of its own, with just the environment that is given."""
        child = self.spawn()
        self.assertRegex(child.args[0], "^/.*/setsid$")
        self.assertEqual(child.executable, child.args[0])
        self.assertEqual(child.args[1:], ["/bin/cat", "-"])
        self.assertEqual((child.env, child.path, child.uid), ({"A": "b"}, None, None))

    def test_stdin(self) -> None:
        """Its input is written, and closed."""
        child = self.spawn(b"text")
        self.assertEqual((child.written, child.closed), ({0: b"text"}, {0}))

    def test_end_without_a_drain(self) -> None:
        """When all streams have ended with it, the end is told at once, and nothing ticks."""
        self.spawn().exit(3)
        self.assertEqual(self.recorder.ends, [Exited(3)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_signalled(self) -> None:
        """A death by a signal is told as such."""
        self.spawn().exit(by=signal.SIGKILL)
        self.assertEqual(self.recorder.ends, [Signalled(signal.SIGKILL)])

    def test_output_after_exit(self) -> None:
        """What is still on its way at the exit is told before the end."""
        child = self.spawn()
        child.exit(streams_end=False)
        child.feed(b"late")
        child.end_stream(1)
        self.assertEqual(self.recorder.log, ["out"])
        child.end_stream(2)
        self.assertEqual(self.recorder.log, ["out", "end"])

    def test_quiet(self) -> None:
        """Streams that something else holds open are closed when they are quiet."""
        child = self.spawn()
        child.exit(streams_end=False)
        self.reactor.advance(QUIET * 0.9)
        child.feed(b"late")
        self.reactor.advance(QUIET * 0.9)
        self.assertEqual(self.recorder.ends, [])
        self.reactor.advance(QUIET * 0.1)
        self.assertEqual(self.recorder.ends, [Exited(0)])
        self.assertEqual(child.closed, {0, 1, 2})
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_never_quiet(self) -> None:
        """Something that goes on writing does not hold up the end for ever."""
        child = self.spawn()
        child.exit(streams_end=False)
        for _ in range(round(DRAIN / 0.125)):
            self.assertEqual(self.recorder.ends, [])
            child.feed(b"more")
            self.reactor.advance(0.125)
        self.assertEqual(self.recorder.ends, [Exited(0)])

    def test_quiet_only_after_exit(self) -> None:
        """A process that runs may be quiet for as long as it likes."""
        self.spawn()
        self.reactor.advance(1_000_000)
        self.assertEqual(self.recorder.ends, [])

    def test_pause_holds_the_drain(self) -> None:
        """While it is paused, nothing is given up; its time starts anew when it is resumed."""
        child = self.spawn()
        self.process.pause()
        child.feed(b"held")
        child.exit(streams_end=False)
        self.reactor.advance(DRAIN * 2)
        self.assertEqual(self.recorder.log, [])
        self.process.resume()
        child.flush()
        self.assertEqual(self.recorder.stdout, b"held")
        self.reactor.advance(QUIET * 0.9)
        self.assertEqual(self.recorder.ends, [])
        self.reactor.advance(QUIET * 0.1)
        self.assertEqual(self.recorder.ends, [Exited(0)])

    def test_pause_while_draining(self) -> None:
        """A pause between exit and end counts too."""
        child = self.spawn()
        child.exit(streams_end=False)
        self.process.pause()
        self.reactor.advance(DRAIN * 2)
        self.assertEqual(self.recorder.ends, [])
        self.process.resume()
        self.reactor.advance(QUIET)
        self.assertEqual(self.recorder.ends, [Exited(0)])

    def test_flood_after_exit(self) -> None:
        """Nor does it when its reader pauses again and again: a pipe holds only so much."""
        child = self.spawn()
        child.exit(streams_end=False)
        for _ in range(LEFT_BEHIND // 8192):
            child.feed(b"x" * 8192)
            self.process.pause()
            self.reactor.advance(1)
            self.process.resume()
        self.assertEqual(self.recorder.ends, [])
        child.feed(b"x")
        self.assertEqual(self.recorder.ends, [Exited(0)])
        self.process.pause()
        self.process.resume()
        self.assertEqual(len(self.recorder.stdout), LEFT_BEHIND + 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_signals(self) -> None:
        """Signals go to the child, and to nothing once it is gone."""
        child = self.spawn()
        self.process.interrupt()
        self.process.terminate()
        self.process.kill()
        child.exit(0)
        self.process.interrupt()
        self.assertEqual(child.signals, [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])

    def test_not_started(self) -> None:
        """A failure to start is told on the next turn, when the caller has the process."""
        setsid = shutil.which("setsid")
        assert setsid is not None
        self.reactor.missing.add(setsid)
        self.process.spawn(["/bin/cat"], {}, b"")
        self.assertEqual(self.recorder.ends, [])
        self.process.kill()
        self.process.pause()
        self.successResultOf(self.process.destroy())
        self.reactor.advance(0)
        self.assertIsInstance(self.recorder.end, SetupFailed)

    def test_destroy(self) -> None:
        """Destroying kills, and waits until it is gone."""
        child = self.spawn()
        destroyed = self.process.destroy()
        self.assertEqual(child.signals, [signal.SIGKILL])
        self.assertNoResult(destroyed)
        child.exit(by=signal.SIGKILL)
        self.successResultOf(destroyed)
        self.successResultOf(self.process.destroy())

    def test_destroy_takes_too_long(self) -> None:
        """Waiting for what can't be killed has an end; who comes later can wait again."""
        child = self.spawn()
        destroyed = self.process.destroy()
        self.reactor.advance(GONE_LIMIT)
        self.failureResultOf(destroyed, TimedOut)
        again = self.process.destroy()
        child.exit(by=signal.SIGKILL)
        self.successResultOf(again)

    def test_stderr_is_kept_in_part(self) -> None:
        """Of the errors, a bounded beginning is kept; all of them are told."""
        child = self.spawn()
        for _ in range(10):
            child.feed(b"x" * 1000, 2)
        self.assertEqual(len(self.process.stderr_head), 4096)
        self.assertEqual(len(self.recorder.stderr), 10_000)
