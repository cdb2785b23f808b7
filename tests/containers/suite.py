"""What every driver does: the tests that the fake and the real ones all pass."""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from hyperhive.containers.interfaces import (
    Bind,
    Command,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Exited,
    IContainerDriver,
    IContainerProcess,
    InvalidSpec,
    Lost,
    NoSuchContainer,
    NotRunning,
    SetupFailed,
    Signalled,
)
from tests.containers import programs
from tests.containers.observing import Recorder
from tests.containers.programs import TestProgram

NAME = "h-bob"
PATH = "/usr/bin:/bin"
RUNNING, STOPPED = ContainerState.RUNNING, ContainerState.STOPPED


def new_folder() -> Path:
    """A new folder by its canonical name."""
    return Path(os.path.realpath(tempfile.mkdtemp(prefix="hive")))


class DriverSuite:
    """Mixed into an asynchronous TestCase that gives :meth:`make_driver` and what else is said."""

    #: Variables that a process has besides those that it was given.
    added: frozenset[str] = frozenset()
    #: Whether a change of a running container counts before its next start.
    changes_at_once = True

    # What a driver's own tests give.

    async def make_driver(self) -> Any:
        """A driver that works."""
        raise NotImplementedError

    async def crash(self) -> Any:
        """Let a daemon run :data:`~programs.FAMILY` in a container :data:`NAME` and die; answer the next one's driver."""
        raise NotImplementedError

    def survivors(self) -> list[str]:
        """What is alive of the processes that the test has started."""
        raise NotImplementedError

    def adapt(self, program: TestProgram) -> tuple[str, ...]:
        """A program's command for this driver."""
        return program.argv

    # What the tests use.

    async def asyncSetUp(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.state = self.base / "containers"
        self.home = self.base / "home"
        for folder in (self.state, self.home):
            folder.mkdir(0o700)
        self.driver = await self.make_driver()
        self.addCleanup(self.clean_up)

    async def clean_up(self) -> None:
        for name in await self.driver.statuses():
            await self.driver.destroy(name)

    @property
    def spec(self) -> ContainerSpec:
        return ContainerSpec(NAME, (Bind(self.home, "/root", True),))

    def command(
        self,
        program: TestProgram,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
        stdin: bytes = b"",
        keep_stdin: bool = False,
    ) -> Command:
        argv = (*self.adapt(program), *arguments)
        return Command(
            argv, environment or {"PATH": PATH}, directory, stdin, keep_stdin
        )

    async def make(self, name: str = NAME) -> None:
        await self.driver.create(attrs.evolve(self.spec, name=name))
        await self.driver.start(name)

    def run_in(
        self, program: TestProgram, *arguments: str, name: str = NAME, **how: Any
    ) -> tuple[Recorder, Any]:
        recorder = Recorder()
        command = self.command(program, *arguments, **how)
        return recorder, self.driver.run(name, command, recorder)

    async def ran(self, program: TestProgram, *arguments: str, **how: Any) -> Recorder:
        """Run a program to its end, in a container that is made for it."""
        await self.make()
        recorder, _ = self.run_in(program, *arguments, **how)
        await recorder.ended()
        return recorder

    async def state_of(self, name: str = NAME) -> ContainerState | None:
        statuses = await self.driver.statuses()
        return statuses[name].state if name in statuses else None

    # Interfaces

    async def test_interfaces(self) -> None:
        """A driver and its processes are what they say they are."""
        verifyObject(IContainerDriver, self.driver)
        await self.make()
        recorder, process = self.run_in(programs.TRUE)
        verifyObject(IContainerProcess, process)
        await recorder.ended()

    async def test_probe(self) -> None:
        """A probe names the driver and its version."""
        probe = await self.driver.probe()
        self.assertEqual(probe.driver, self.driver.name)
        self.assertNotEqual(probe.version, "")
        for weakness in probe.weaknesses:
            self.assertRegex(weakness, r"^[A-Z].*\.$")

    # Containers

    async def test_created_is_stopped(self) -> None:
        """A new container is there and does not run."""
        await self.driver.create(self.spec)
        (status,) = (await self.driver.statuses()).values()
        self.assertEqual((status.name, status.state), (NAME, STOPPED))

    async def test_create_again(self) -> None:
        """Making what is there changes nothing; a running one stays running."""
        await self.make()
        before = await self.driver.statuses()
        await self.driver.create(self.spec)
        self.assertEqual(await self.driver.statuses(), before)

    async def test_create_changes(self) -> None:
        """Making a container anew changes it for what is run from then on, or from its next start."""
        await self.make()
        more = self.base / "more"
        more.mkdir()
        spec = ContainerSpec(NAME, (Bind(more, "/state", True),))
        await self.driver.create(spec)
        if not self.changes_at_once:
            await self.driver.stop(NAME)
            await self.driver.start(NAME)
        directory = self.driver.path_inside(spec, more)
        recorder, _ = self.run_in(programs.DIRECTORY, directory=directory)
        self.assertEqual(await recorder.ended(), Exited(0))
        self.assertEqual(recorder.stdout.decode(), f"{directory}\n")

    async def test_start_and_stop(self) -> None:
        """A container starts and stops, however often it is told to."""
        await self.driver.create(self.spec)
        for _ in range(2):
            await self.driver.start(NAME)
            self.assertEqual(await self.state_of(), RUNNING)
        for _ in range(2):
            await self.driver.stop(NAME)
            self.assertEqual(await self.state_of(), STOPPED)

    async def test_since(self) -> None:
        """A status says since when it is so, and starting what runs does not change it."""
        await self.make()
        status = (await self.driver.statuses())[NAME]
        self.assertIsInstance(status.since, float)
        await self.driver.start(NAME)
        self.assertEqual((await self.driver.statuses())[NAME], status)

    async def test_destroy(self) -> None:
        """Destroying removes a container, running or not, and leaves what was bound."""
        await self.make()
        (self.home / "kept").write_text("still here")
        await self.driver.destroy(NAME)
        self.assertEqual(await self.driver.statuses(), {})
        self.assertEqual((self.home / "kept").read_text(), "still here")

    async def test_absent(self) -> None:
        """What is not there can be stopped and destroyed, but not started or used."""
        await self.driver.stop(NAME)
        await self.driver.destroy(NAME)
        with self.assertRaises(NoSuchContainer):
            await self.driver.start(NAME)
        with self.assertRaises(NoSuchContainer):
            self.run_in(programs.TRUE)
        self.assertEqual(await self.driver.statuses(), {})

    async def test_run_in_stopped(self) -> None:
        """Nothing runs in a container that does not."""
        await self.driver.create(self.spec)
        with self.assertRaises(NotRunning):
            self.run_in(programs.TRUE)

    async def test_all_statuses(self) -> None:
        """One call tells of every container."""
        await self.make()
        await self.driver.create(ContainerSpec("hm1nd"))
        statuses = await self.driver.statuses()
        self.assertEqual(
            {name: status.state for name, status in statuses.items()},
            {NAME: RUNNING, "hm1nd": STOPPED},
        )

    async def test_invalid_specs(self) -> None:
        """A specification that can't work is refused, and makes no container."""
        link = self.base / "link"
        link.symlink_to(self.home)
        home = self.home
        wrong = (
            Bind(self.base / "nowhere", "/root"),
            Bind(Path("home"), "/root"),
            Bind(link, "/root"),
            Bind(home, "root"),
            Bind(home, "/root/"),
            Bind(home, "//root"),
            Bind(home, "/root//x"),
            Bind(home, "/state/../etc"),
            Bind(home, "/state/./x"),
            Bind(home, "/root\nx"),
            Bind(home, "/root\0"),
            Bind(home, "/root\ud800"),
            Bind(home, "/"),
            Bind(home, "/tmp"),
            Bind(home, "/etc"),
            Bind(home, "/etc/ssl"),
            Bind(home, "/proc/sys"),
            Bind(home, "/dev/shm"),
            Bind(home, "/usr/local/bin"),
            Bind(home, "/bin"),
        )
        for bind in wrong:
            with self.assertRaises(InvalidSpec):
                await self.driver.create(ContainerSpec(NAME, (bind,)))
        twice = (Bind(home, "/root"), Bind(self.state, "/root"))
        with self.assertRaises(InvalidSpec):
            await self.driver.create(ContainerSpec(NAME, twice))
        for name in ("", "../x", "A", "h-", "h-0123456789", "h\n"):
            with self.assertRaises(InvalidSpec):
                await self.driver.create(ContainerSpec(name))
        self.assertEqual(await self.driver.statuses(), {})

    async def test_invalid_change(self) -> None:
        """A change that is refused leaves the container as it was."""
        await self.make()
        with self.assertRaises(InvalidSpec):
            await self.driver.create(ContainerSpec(NAME, (Bind(Path("x"), "/x"),)))
        self.assertEqual(await self.state_of(), RUNNING)
        recorder, _ = self.run_in(
            programs.TRUE, directory=self.driver.path_inside(self.spec, self.home)
        )
        self.assertEqual(await recorder.ended(), Exited(0))

    # Processes: what goes in

    async def test_arguments(self) -> None:
        """Arguments are literal."""
        arguments = ("", "a  b", "$HOME", "`id`", "*", "'\"", "-n", "%s", "ü", "a\nb")
        recorder = await self.ran(programs.ARGUMENTS, *arguments)
        self.assertEqual(
            recorder.stdout.decode(), "".join(f"<{text}>\n" for text in arguments)
        )
        self.assertEqual(recorder.end, Exited(0))

    async def test_environment(self) -> None:
        """The environment is what was given; nothing of the daemon's is in it."""
        given = {"PATH": PATH, "ODD": "a=b\nc ü $X", "EMPTY": ""}
        with_secret = {"HIVE_TEST_SECRET": "secret"}
        self.addCleanup(os.environ.pop, "HIVE_TEST_SECRET", None)
        os.environ.update(with_secret)
        recorder = await self.ran(programs.ENVIRONMENT, environment=given)
        pairs = recorder.stdout.decode().rstrip("\0").split("\0")
        seen = dict(pair.split("=", 1) for pair in pairs)
        self.assertEqual(
            {key: value for key, value in seen.items() if key not in self.added}, given
        )

    async def test_directory(self) -> None:
        """A process starts where it was told to."""
        directory = self.driver.path_inside(self.spec, self.home)
        recorder = await self.ran(programs.DIRECTORY, directory=directory)
        self.assertEqual(recorder.stdout.decode(), f"{directory}\n")

    async def test_stdin_and_stdout(self) -> None:
        """Three megabytes go in, and come out as they were."""
        data = bytes(range(256)) * 12_000
        recorder = await self.ran(programs.CAT, stdin=data)
        self.assertEqual(recorder.stdout == data, True)
        self.assertEqual(recorder.end, Exited(0))

    async def test_empty_stdin(self) -> None:
        """Its input is at its end, also when there is none."""
        recorder = await self.ran(programs.CAT)
        self.assertEqual((recorder.stdout, recorder.end), (b"", Exited(0)))

    async def test_kept_stdin(self) -> None:
        """A process whose input is kept open reads what is written to it, when it is."""
        await self.make()
        recorder, process = self.run_in(programs.REPLIES, keep_stdin=True)
        await recorder.heard(b"ready\n")
        process.write(b"one\n")
        await recorder.heard(b"<one>\n")
        process.write(b"two\n")
        self.assertEqual(await recorder.ended(), Exited(3))
        self.assertEqual(recorder.stdout, b"ready\n<one>\n<two>\n")
        process.write(b"three\n")

    async def test_unread_stdin(self) -> None:
        """A process need not read its input."""
        recorder = await self.ran(programs.SEVEN, stdin=bytes(3_000_000))
        self.assertEqual(recorder.end, Exited(7))

    # Processes: what comes out

    async def test_two_streams(self) -> None:
        """Output and errors are told apart; the end comes last, and once."""
        recorder = await self.ran(programs.BOTH)
        self.assertEqual((recorder.stdout, recorder.stderr), (b"out\n", b"err\n"))
        self.assertEqual(sorted(recorder.log), ["end", "err", "out"])
        self.assertEqual(recorder.log[-1], "end")

    async def test_much_output(self) -> None:
        """All of a big output has come before the end is told."""
        recorder = await self.ran(programs.MUCH)
        self.assertEqual(recorder.stdout == bytes(1_000_000), True)
        self.assertEqual((recorder.log, recorder.end), (["out", "end"], Exited(0)))

    async def test_status(self) -> None:
        """A process's exit status is told."""
        self.assertEqual((await self.ran(programs.SEVEN)).end, Exited(7))
        self.assertEqual((await self.ran(programs.HIGHEST)).end, Exited(255))

    async def test_died_of_signal(self) -> None:
        """A process that a signal has ended is told from one that exits."""
        recorder = await self.ran(programs.SUICIDE)
        self.assertEqual(recorder.end, Signalled(signal.SIGTERM))

    async def test_missing_program(self) -> None:
        """A program that is not there was never run, and is named."""
        missing = TestProgram(("no-such-program",), lambda process: None)
        recorder = await self.ran(missing)
        self.assertIsInstance(recorder.end, SetupFailed)
        self.assertIn("no-such-program", recorder.end.reason)
        self.assertEqual(recorder.stdout, b"")

    async def test_impossible_commands(self) -> None:
        """A command that no process can be made of was never run."""
        await self.make()
        environment = {"PATH": PATH}
        for command in (
            Command((), environment, "/"),
            Command(("",), environment, "/"),
            Command(("true", "a\0b"), environment, "/"),
            Command(("true", "\ud800"), environment, "/"),
            Command(("true",), {"A=B": "c"}, "/"),
            Command(("true",), {"": "c"}, "/"),
            Command(("true",), {"A": "b\0c"}, "/"),
            Command(("true",), environment, "relative"),
        ):
            recorder = Recorder()
            process = self.driver.run(NAME, command, recorder)
            self.assertEqual(recorder.ends, [], "told before run() has returned")
            process.interrupt()
            end = await recorder.ended()
            self.assertIsInstance(end, SetupFailed, f"{command}: {end}")
            await process.destroy()

    async def test_pause(self) -> None:
        """Nothing is told of a paused process, not its end either, until it is resumed."""
        await self.make()
        for program in (programs.MUCH, programs.BOTH):
            recorder, process = self.run_in(program)
            process.pause()
            barrier, _ = self.run_in(programs.TRUE)
            await barrier.ended()
            self.assertEqual(recorder.log, [])
            process.resume()
            self.assertEqual(await recorder.ended(), Exited(0))
        self.assertEqual((recorder.stdout, recorder.stderr), (b"out\n", b"err\n"))

    async def test_pause_again(self) -> None:
        """A process can be paused in the middle, from within what it says."""
        await self.make()

        class Sipping(Recorder):
            """Pauses at each bite."""

            process: Any = None

            def stdout_received(self, data: bytes) -> None:
                super().stdout_received(data)
                self.process.pause()
                reactor.callLater(0, self.process.resume)

        recorder = Sipping()
        recorder.process = self.driver.run(NAME, self.command(programs.MUCH), recorder)
        self.assertEqual(await recorder.ended(), Exited(0))
        self.assertEqual(recorder.stdout == bytes(1_000_000), True)

    # Processes: their end

    async def test_signals_end(self) -> None:
        """Each signal gets to the process and, unhandled, ends it."""
        await self.make()
        for method, number in (
            ("interrupt", signal.SIGINT),
            ("terminate", signal.SIGTERM),
            ("kill", signal.SIGKILL),
        ):
            recorder, process = self.run_in(programs.STAYS)
            await recorder.heard(b"ready")
            getattr(process, method)()
            self.assertEqual(await recorder.ended(), Signalled(number))

    async def test_signal_at_once(self) -> None:
        """A signal counts also when the process is only being started."""
        await self.make()
        for _ in range(5):
            recorder, process = self.run_in(programs.SILENT)
            process.interrupt()
            self.assertEqual(await recorder.ended(), Signalled(signal.SIGINT))

    async def test_signals_handled(self) -> None:
        """A process may handle INT and TERM, but not KILL."""
        await self.make()
        recorder, process = self.run_in(programs.DEAF)
        await recorder.heard(b"ready")
        process.interrupt()
        await recorder.heard(b"INT")
        process.terminate()
        await recorder.heard(b"TERM")
        process.kill()
        self.assertEqual(await recorder.ended(), Signalled(signal.SIGKILL))

    async def test_signals_only_the_process(self) -> None:
        """INT and TERM reach the process itself, not what it started."""
        await self.make()
        for method in ("interrupt", "terminate"):
            recorder, process = self.run_in(programs.ALONE)
            await recorder.heard(b"ready")
            getattr(process, method)()
            self.assertEqual(await recorder.ended(), Exited(3))
            self.assertEqual(recorder.stdout, b"ready\nparent\n")

    async def test_signals_too_late(self) -> None:
        """What has ended can be signalled, paused and destroyed; nothing comes of it."""
        await self.make()
        recorder, process = self.run_in(programs.SEVEN)
        await recorder.ended()
        for act in (
            process.interrupt,
            process.terminate,
            process.kill,
            process.pause,
            process.resume,
        ):
            act()
        await process.destroy()
        await process.destroy()
        self.assertEqual(recorder.ends, [Exited(7)])

    async def test_leaver(self) -> None:
        """A process's end is told although what it left behind holds its streams; destroy ends that."""
        await self.make()
        recorder, process = self.run_in(programs.LEAVER)
        self.assertEqual(await recorder.ended(), Exited(4))
        self.assertEqual(recorder.stdout, b"ready\n")
        await process.destroy()
        self.assertEqual(self.survivors(), [])

    async def test_destroy_process(self) -> None:
        """Destroying a process leaves nothing of it, whatever its children did to get away."""
        await self.make()
        recorder, process = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        self.assertNotEqual(self.survivors(), [])
        await process.destroy()
        self.assertEqual(self.survivors(), [])
        self.assertEqual(await recorder.ended(), Signalled(signal.SIGKILL))

    async def test_destroy_at_once(self) -> None:
        """A process that is only being started can be destroyed."""
        await self.make()
        for _ in range(5):
            recorder, process = self.run_in(programs.FAMILY)
            await process.destroy()
            self.assertEqual(self.survivors(), [])
            self.assertEqual(await recorder.ended(), Signalled(signal.SIGKILL))

    async def test_destroy_paused(self) -> None:
        """A process whose output nobody reads can be destroyed."""
        await self.make()
        recorder, process = self.run_in(programs.MUCH)
        process.pause()
        await process.destroy()
        self.assertEqual((self.survivors(), recorder.log), ([], []))
        process.resume()
        await recorder.ended()

    async def test_two_at_once(self) -> None:
        """A container runs several processes, and the end of one is not that of another."""
        await self.make()
        first, doomed = self.run_in(programs.STAYS)
        second, other = self.run_in(programs.DEAF)
        await first.heard(b"ready")
        await second.heard(b"ready")
        await doomed.destroy()
        await first.ended()
        other.interrupt()
        await second.heard(b"INT")
        self.assertEqual(second.ends, [])

    async def test_stop_ends_all(self) -> None:
        """Stopping a container ends all that runs in it, and only there."""
        await self.make()
        await self.make("hm1nd")
        recorders = [self.run_in(programs.FAMILY)[0] for _ in range(2)]
        elsewhere, process = self.run_in(programs.DEAF, name="hm1nd")
        for recorder in (*recorders, elsewhere):
            await recorder.heard(b"ready")
        await self.driver.stop(NAME)
        for recorder in recorders:
            self.assertIsInstance(await recorder.ended(), Signalled | Lost)
        process.interrupt()
        await elsewhere.heard(b"INT")
        await process.destroy()
        self.assertEqual(self.survivors(), [])

    async def test_stop_ends_what_was_left(self) -> None:
        """Stopping a container ends also what an ended process has left behind."""
        await self.make()
        recorder, _ = self.run_in(programs.LEAVER)
        await recorder.ended()
        await self.driver.stop(NAME)
        self.assertEqual(self.survivors(), [])

    # The daemon's end

    async def test_adopt(self) -> None:
        """After a daemon that was killed nothing runs, and containers are as they were."""
        successor = await self.crash()
        self.driver = successor
        statuses: Mapping[str, ContainerStatus] = await successor.adopt()
        self.assertEqual(self.survivors(), [])
        self.assertEqual(statuses[NAME].state, RUNNING)
        recorder, _ = self.run_in(programs.SEVEN)
        self.assertEqual(await recorder.ended(), Exited(7))
        await successor.stop(NAME)
        self.assertEqual(await self.state_of(), STOPPED)

    async def test_adopt_nothing(self) -> None:
        """Adopting spares what this daemon runs itself."""
        await self.make()
        recorder, process = self.run_in(programs.DEAF)
        await recorder.heard(b"ready")
        self.assertEqual((await self.driver.adopt())[NAME].state, RUNNING)
        process.interrupt()
        await recorder.heard(b"INT")


#: Distinguishes what each test starts from what anyone else does.
_lengths = itertools.count(os.getpid() * 1000)


def unmistakable(program: TestProgram) -> tuple[tuple[str, ...], str]:
    """A program whose sleeps are as long as nobody else's, and that length."""
    length = f"9{next(_lengths)}"
    argv = tuple(
        word.replace("sleep 1000000", f"sleep {length}") for word in program.argv
    )
    if argv[0] == "sleep":
        argv = ("sleep", length)
    return argv, length
