"""The driver without isolation: what is its own besides the suite."""

from twisted.internet import reactor

from hyperhive.containers.interfaces import Command, Exited, SetupFailed
from hyperhive.containers.marked import VARIABLE
from hyperhive.containers.pidfds import HeldProcess, command_line, first_child
from hyperhive.containers.process import ProcessDriver
from tests.containers.observing import Recorder
from tests.containers.programs import TestProgram
from tests.containers.real import RealSuite
from tests.containers.suite import NAME, PATH


class ProcessDriverTests(RealSuite):
    """The suite over real processes as they are, and what this driver adds."""

    driver_class = ProcessDriver
    added = frozenset({VARIABLE})

    async def test_says_that_nothing_is_isolated(self) -> None:
        """A probe says that there is no isolation, and what that means."""
        probe = await self.driver.probe()
        self.assertEqual(probe.isolated, False)
        self.assertIn("operator's token", " ".join(probe.weaknesses))

    async def test_paths(self) -> None:
        """A path is called inside as it is outside."""
        self.assertEqual(self.driver.path_inside(self.spec, self.home), str(self.home))

    async def test_dies_with_the_daemon(self) -> None:
        """The process dies with its daemon; what it started is ended by the next one."""
        daemon = await self.start_daemon()
        leader = HeldProcess(reactor, first_child(daemon.transport.pid) or 0)
        await daemon.kill()
        await leader.gone.wait()
        self.assertNotEqual(self.survivors(), [])
        self.driver = await self.make_driver()
        await self.driver.adopt()
        self.assertEqual(self.survivors(), [])

    async def test_others_are_left_alone(self) -> None:
        """Adopting ends nothing of a hive whose containers are remembered elsewhere."""
        daemon = await self.start_daemon()
        leader = first_child(daemon.transport.pid) or 0
        other = self.base / "other"
        other.mkdir()
        await ProcessDriver(reactor, other).adopt()
        self.assertNotEqual(command_line(leader), b"")
        await daemon.kill()

    async def test_marked(self) -> None:
        """The variable by which a process is found names the state and the container."""
        recorder = await self.ran(
            TestProgram(("printenv", VARIABLE), lambda process: None)
        )
        self.assertIn(f"{self.state}:{NAME}:", recorder.stdout.decode())

    async def test_programs_are_found_as_usual(self) -> None:
        """A program's name is looked for in the command's PATH, a path from its directory."""
        script = self.home / "tool"
        script.write_text("#!/bin/sh\nexit 5\n")
        await self.make()
        for name, path, directory in (
            ("tool", f"/nowhere:{self.home}:{PATH}", "/"),
            ("./tool", PATH, str(self.home)),
            (str(script), "", "/"),
        ):
            for mode, expected in ((0o600, SetupFailed), (0o700, Exited)):
                script.chmod(mode)
                recorder = Recorder()
                command = Command((name,), {"PATH": path}, directory)
                self.driver.run(NAME, command, recorder)
                self.assertIsInstance(await recorder.ended(), expected)

    async def test_no_interpreter(self) -> None:
        """A script whose interpreter is missing was never run."""
        script = self.home / "tool"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o700)
        await self.make()
        recorder = Recorder()
        self.driver.run(NAME, Command((str(script),), {}, "/"), recorder)
        end = await recorder.ended()
        self.assertIsInstance(end, SetupFailed)
        self.assertIn("tool", end.reason)

    async def test_no_directory(self) -> None:
        """A process can't start where there is nothing."""
        recorder = await self.ran(
            TestProgram(("true",), lambda process: None), directory="/no/such"
        )
        self.assertEqual(recorder.end, SetupFailed("/no/such is not a directory."))

    async def test_exit_127(self) -> None:
        """A program may exit with the status that shells give for a missing one."""
        program = TestProgram(
            ("sh", "-c", "echo setpriv >&2; exit 127"), lambda process: None
        )
        self.assertEqual((await self.ran(program)).end, Exited(127))


del RealSuite
