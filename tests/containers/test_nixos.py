"""The nixos driver over the contract fakes: the suite, and what is its own."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor

from hyperhive.containers import nixos, nixos_conf, nixos_disk
from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    ContainerState,
    Denied,
    DriverError,
    DriverMissing,
    Exited,
    InvalidSpec,
    Limits,
    Lost,
    NoSuchContainer,
    Signalled,
    StartFailed,
    TimedOut,
)
from hyperhive.containers.nixos import NixosDriver
from hyperhive.containers.pidfds import HeldProcess, first_child
from hyperhive.testing.nixos_systemd import POWEROFF, REBOOT, Files
from tests.containers import programs
from tests.containers.fake_nixos import FakeHost, host_of
from tests.containers.observing import Told
from tests.containers.programs import TestProgram
from tests.containers.suite import NAME

FAILED, RUNNING = ContainerState.FAILED, ContainerState.RUNNING
STOPPED = ContainerState.STOPPED

#: Lines that ``nixos-container create`` writes and that are not to stay.
NETWORK = ("PRIVATE_NETWORK", "HOST_ADDRESS", "LOCAL_ADDRESS", "HOST_BRIDGE", "FLAKE")


class ProbeTests:
    """What a host must give."""

    async def test_no_units(self) -> None:
        """A host without units for containers is told which option to set."""
        (self.world.control / "template").write_text("")
        with self.assertRaises(DriverMissing) as raised:
            await self.driver.probe()
        self.assertIn("boot.enableContainers = true", str(raised.exception))

    async def test_old_host(self) -> None:
        """A host that keeps containers elsewhere is refused, with the reason."""
        (self.world.control / "template").write_text("/etc/containers/x.conf")
        with self.assertRaises(DriverMissing) as raised:
            await self.driver.probe()
        self.assertIn("system.stateVersion", str(raised.exception))

    async def test_not_root(self) -> None:
        """One who may not make containers is told who may."""
        self.world.misbehave("list", "forbidden")
        with self.assertRaises(Denied) as raised:
            await self.driver.probe()
        self.assertIn("Only root", str(raised.exception))

    async def test_no_systemctl(self) -> None:
        """A program that is missing is named."""
        (self.world.bin / "journalctl").unlink()
        with self.assertRaises(DriverMissing) as raised:
            await self.driver.probe()
        self.assertIn("journalctl is not installed", str(raised.exception))

    async def test_old_systemd(self) -> None:
        """With a systemd that can't take arguments as they are, they are escaped."""
        (self.world.control / "version").write_text("253")
        await self.driver.probe()
        await self.test_arguments()


class CreateTests:
    """How a container is made and changed."""

    @property
    def conf(self) -> Path:
        return self.world.configuration / f"{NAME}.conf"

    @property
    def profile(self) -> str:
        return os.path.realpath(self.world.profiles / NAME / "system")

    def calls(self, program: str, *first: str) -> list[dict[str, Any]]:
        wanted = [program, *first]
        return [
            call
            for call in self.world.calls()
            if call["words"][: len(wanted)] == wanted
        ]

    async def test_conf(self) -> None:
        """The .conf has its binds and its system, and no network; it is readable for all."""
        system = self.world.system("one")
        await self.driver.create(
            ContainerSpec(
                NAME,
                (Bind(self.home, "/root", True), Bind(self.base, "/state")),
                system,
            )
        )
        lines = dict(line.split("=", 1) for line in self.conf.read_text().splitlines())
        self.assertEqual(set(NETWORK) & set(lines), set())
        self.assertEqual(lines["SYSTEM_PATH"], str(system))
        self.assertEqual(lines["AUTO_START"], "0")
        flags = lines["EXTRA_NSPAWN_FLAGS"].strip('"').split()
        self.assertEqual(
            flags[:2], [f"--bind={self.home}:/root", f"--bind-ro={self.base}:/state"]
        )
        self.assertEqual(tuple(flags[2:]), nixos_conf.WITHHELD)
        self.assertEqual(stat.S_IMODE(self.conf.stat().st_mode), 0o644)
        self.assertEqual(
            os.listdir(self.world.configuration), [self.conf.name], "no draft is left"
        )

    async def test_system(self) -> None:
        """A container's profile leads to its system; a change makes a generation."""
        one, two = self.world.system("one"), self.world.system("two")
        await self.driver.create(ContainerSpec(NAME, (), one))
        self.assertEqual(self.profile, str(one))
        await self.driver.create(ContainerSpec(NAME, (), two))
        await self.driver.create(ContainerSpec(NAME, (), two))
        self.assertEqual(self.profile, str(two))
        links = (self.world.profiles / NAME).glob("system-*-link")
        self.assertEqual(len(list(links)), 2)
        self.assertIn(f"SYSTEM_PATH={two}\n", self.conf.read_text())

    async def test_no_system(self) -> None:
        """A container needs a system that was built."""
        create = NixosDriver(reactor, self.state, host_of(self.world)).create
        nothing = self.world.store / "nothing"
        nothing.mkdir()
        for system in (None, nothing, self.base / "no such"):
            with self.assertRaises(InvalidSpec):
                await create(ContainerSpec(NAME, (), system))
        self.assertEqual(self.calls("nixos-container", "create"), [])

    async def test_how_it_is_called(self) -> None:
        """nixos-container runs alone: its own empty folder, session, no input, hardly an environment."""
        os.environ["HIVE_TEST_SECRET"] = "secret"
        await self.make()
        await self.make("h-ada")
        await self.driver.destroy(NAME)
        calls = self.calls("nixos-container")
        folders = [call["directory"] for call in calls]
        self.assertEqual(len(set(folders)), len(folders))
        for call in calls:
            if call["words"][1:] == ["--help"]:
                continue
            self.assertEqual((call["entries"], call["stdin"]), ([], ""))
            self.assertEqual(call["leader"], True)
            self.assertEqual(call["environment"]["LC_ALL"], "C.UTF-8")
            self.assertEqual(
                set(call["environment"])
                - {"HOME", "LC_ALL", "PATH", "PWD", "LC_CTYPE"},
                set(),
            )
        self.assertEqual([one for one in folders if _is_there(one)], [])
        for folder in folders:
            self.assertTrue(folder.startswith(str(self.state)))

    async def test_unknown_lines_stay(self) -> None:
        """What an operator has added to a .conf is kept when it is changed."""
        await self.driver.create(self.spec)
        with self.conf.open("a") as file:
            file.write("# by hand\nPRIVATE_USERS=pick\nFLAKE=/somewhere\n")
        await self.driver.create(self.spec)
        text = self.conf.read_text()
        self.assertIn("# by hand\nPRIVATE_USERS=pick\n", text)
        self.assertNotIn("FLAKE", text)

    async def test_orphan(self) -> None:
        """What a failed create has left under a name is repaired."""
        self.world.misbehave("create", "orphan")
        with self.assertRaises(DriverError):
            await self.driver.create(self.spec)
        self.assertEqual(self.conf.exists(), False)
        self.conf.write_text("PRIVATE_NETWORK=1\n")
        await self.make()
        self.assertEqual(await self.state_of(), RUNNING)

    async def test_died_in_the_middle(self) -> None:
        """So is what a daemon has left that died while it made a container."""
        self.world.misbehave("create", "die")
        self.world.misbehave("destroy", "die")
        with self.assertRaises(DriverError):
            await self.driver.create(self.spec)
        self.assertEqual(self.conf.exists(), True)
        # As if nixos-container had done its part, but the .conf was not marked yet.
        (self.world.profiles / NAME / "system").symlink_to(self.world.system("old"))
        self.driver = await self.make_driver()
        self.assertEqual(await self.driver.statuses(), {})
        await self.make()
        self.assertEqual(await self.state_of(), RUNNING)

    async def test_profile_fails(self) -> None:
        """A system that can't be had leaves no container behind."""
        self.world.misbehave("nix-env", "error: no space left on device")
        with self.assertRaises(DriverError) as raised:
            await self.driver.create(self.spec)
        self.assertIn("no space left on device", str(raised.exception))
        self.assertEqual(await self.driver.statuses(), {})
        self.assertEqual(os.listdir(self.world.configuration), [])

    async def test_change_fails(self) -> None:
        """A change that can't be had leaves a container with what it was."""
        one, two = self.world.system("one"), self.world.system("two")
        await self.driver.create(ContainerSpec(NAME, (), one))
        before = self.conf.read_text()
        self.world.misbehave("nix-env", "forbidden")
        with self.assertRaises(Denied):
            await self.driver.create(ContainerSpec(NAME, (), two))
        self.assertEqual((self.conf.read_text(), self.profile), (before, str(one)))

    async def test_create_hangs(self) -> None:
        """A command that hangs is ended, with what it has started."""
        self.patch(nixos_disk, "CREATE_LIMIT", 0.5)
        self.world.misbehave("create", "hang")
        with self.assertRaises(TimedOut):
            await self.driver.create(self.spec)
        command = str(self.world.control).encode()
        left = [
            line
            for pid in filter(str.isdigit, os.listdir("/proc"))
            if command in (line := _command_line(pid))
        ]
        self.assertEqual(left, [])
        self.assertEqual(
            [name for name in os.listdir(self.state) if "nixos" in name], []
        )

    async def test_create_slow(self) -> None:
        """A slow one is waited for."""
        self.world.misbehave("create", "slow")
        await self.make()
        self.assertEqual(await self.state_of(), RUNNING)

    async def test_somebody_elses(self) -> None:
        """A container that is not this hive's is not seen, changed, stopped or destroyed."""
        other = self.base / "other"
        other.mkdir()
        await self.make()
        stranger = NixosDriver(reactor, other, host_of(self.world))
        self.assertEqual(await stranger.statuses(), {})
        await stranger.stop(NAME)
        await stranger.destroy(NAME)
        spec = attrs.evolve(self.spec, system=self.world.system("one"))
        with self.assertRaises(DriverError) as raised:
            await stranger.create(spec)
        self.assertIn(f"nixos-container destroy {NAME}", str(raised.exception))
        with self.assertRaises(NoSuchContainer):
            await stranger.start(NAME)
        self.assertEqual(await self.state_of(), RUNNING)

    async def test_paths(self) -> None:
        """What a shell or nspawn would take apart can't be bound."""
        for name in (
            "a b",
            "a*",
            "a:b",
            "a'b",
            'a"b',
            "a\\b",
            "a$b",
            "a`b",
            "a;b",
            "ü",
        ):
            folder = self.base / name
            folder.mkdir()
            for bind in (Bind(folder, "/state"), Bind(self.home, f"/x/{name}")):
                with self.assertRaises(InvalidSpec):
                    await self.driver.create(ContainerSpec(NAME, (bind,)))
        for destination in ("/nix/store", "/run/systemd/x", "/init", "/run/host"):
            with self.assertRaises(InvalidSpec):
                await self.driver.create(
                    ContainerSpec(NAME, (Bind(self.home, destination),))
                )
        self.assertEqual(self.calls("nixos-container", "create"), [])

    async def test_destroyed(self) -> None:
        """Nothing is left of a destroyed container."""
        spec = attrs.evolve(self.spec, limits=Limits(tasks=10))
        await self.driver.create(spec)
        await self.driver.start(NAME)
        await self.driver.destroy(NAME)
        for folder in (
            self.world.configuration,
            self.world.profiles,
            self.world.roots,
            self.world.units,
        ):
            self.assertEqual(os.listdir(folder), [])

    async def test_broken(self) -> None:
        """A container whose system has gone has failed, and says why."""
        await self.driver.create(self.spec)
        (self.world.profiles / NAME / "system").unlink()
        status = (await self.driver.statuses())[NAME]
        self.assertEqual(status.state, FAILED)
        self.assertIn("no system", status.reason)
        await self.make()
        self.assertEqual(await self.state_of(), RUNNING)


class StartTests:
    """How a container starts, and does not."""

    async def test_limits(self) -> None:
        """Limits are in a drop-in, which is written again for each start."""
        limits = Limits(memory=2 * 1024**3, cpu=1.5, tasks=100)
        drop_in = self.world.units / f"container@{NAME}.service.d/hyperhive.conf"
        await self.driver.create(attrs.evolve(self.spec, limits=limits))
        await self.driver.start(NAME)
        lines = drop_in.read_text().splitlines()
        self.assertEqual(
            lines[2:], ["MemoryMax=2147483648", "CPUQuota=150%", "TasksMax=100"]
        )
        await self.driver.stop(NAME)
        drop_in.unlink()
        self.driver = await self.make_driver()
        await self.driver.start(NAME)
        self.assertEqual(drop_in.read_text().splitlines(), lines)
        await self.driver.stop(NAME)
        await self.driver.create(self.spec)
        await self.driver.start(NAME)
        self.assertEqual(drop_in.read_text().splitlines(), lines[:2])

    async def test_journal(self) -> None:
        """The newest lines of what the container said, in their order, also when it is stopped."""
        await self.make()
        journal = Files(self.world.root, self.world.control, NAME)
        journal.say("one\ntwo\nthree")
        self.assertEqual(await self.driver.journal(NAME, 2), ("two", "three"))
        await self.driver.stop(NAME)
        last = await self.driver.journal(NAME, 1)
        self.assertEqual(len(last), 1)
        with self.assertRaises(NoSuchContainer):
            await self.driver.journal("h-nobody", 1)

    async def test_start_fails(self) -> None:
        """A container that can't start says why in its journal's words, and does not go on trying."""
        await self.driver.create(self.spec)
        init = self.world.system("default") / "init"
        init.unlink()
        with self.assertRaises(InvalidSpec):
            await self.driver.start(NAME)
        conf = self.world.configuration / f"{NAME}.conf"
        self.world.system("default")
        conf.write_text(conf.read_text().replace("SYSTEM_PATH=/", "SYSTEM_PATH=/no"))
        with self.assertRaises(StartFailed) as raised:
            await self.driver.start(NAME)
        self.assertIn("/init, ...) failed", str(raised.exception))
        self.assertEqual(await self.state_of(), STOPPED)

    async def test_bind_is_gone(self) -> None:
        """What it binds must be there at each start."""
        await self.driver.create(self.spec)
        self.home.rmdir()
        with self.assertRaises(InvalidSpec):
            await self.driver.start(NAME)
        self.home.mkdir()
        await self.driver.start(NAME)

    async def test_start_hangs(self) -> None:
        """A start that takes too long is given up, and stopped."""
        self.patch(nixos, "START_LIMIT", 0.3)
        await self.driver.create(self.spec)
        self.world.misbehave("start", "hang")
        with self.assertRaises(DriverError) as raised:
            await self.driver.start(NAME)
        self.assertIn("did not end within", str(raised.exception))
        self.assertEqual(await self.state_of(), STOPPED)

    async def test_declared(self) -> None:
        """A container that the host's configuration declares is left alone."""
        conf = self.world.configuration / f"{NAME}.conf"
        conf.write_text("SYSTEM_PATH=/nix/store/x\n")
        with self.assertRaises(DriverError):
            await self.driver.create(self.spec)
        self.assertEqual(conf.read_text(), "SYSTEM_PATH=/nix/store/x\n")
        conf.unlink()

    async def test_symlink_in_root(self) -> None:
        """An agent that makes a symlink of a folder that the host writes to is not started."""
        await self.driver.create(self.spec)
        root = self.world.roots / NAME
        for name in ("etc", "usr", "var/lib"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(self.base)
            with self.assertRaises(StartFailed) as raised:
                await self.driver.start(NAME)
            self.assertIn(f"/{name} has become a symlink", str(raised.exception))
            (root / name).unlink()
        await self.driver.start(NAME)

    async def test_stop_hangs(self) -> None:
        """A container that does not stop is killed, and can be started again."""
        self.patch(nixos, "STOP_GRACE", 0.3)
        await self.make()
        deaf = TestProgram(
            ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"),
            lambda process: None,
        )
        recorder, _ = self.run_in(deaf)
        await recorder.heard(b"ready")
        self.driver._processes.clear()
        await self.driver.stop(NAME)
        self.assertIsInstance(await recorder.ended(), Lost)
        self.assertEqual(await self.state_of(), STOPPED)
        await self.driver.start(NAME)
        self.assertEqual(await self.state_of(), RUNNING)


class RunTests:
    """What can go wrong with a process, and with who left it."""

    async def test_client_killed(self) -> None:
        """A process whose client was killed is ended; how is not known."""
        await self.make()
        recorder, process = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        process.signal_child(signal.SIGKILL)
        self.assertIsInstance(await recorder.ended(), Lost)
        self.assertEqual(self.survivors(), [])

    async def test_adopt_deaf(self) -> None:
        """A container that can't be asked what is left in it is stopped; the others are not."""
        self.patch(nixos, "STOP_GRACE", 0.3)
        await self.make("hm1nd")
        successor = await self.crash()
        (self.world.control / f"units/{NAME}.sock").unlink()
        statuses = await successor.adopt()
        self.assertEqual(self.survivors(), [])
        self.assertEqual(
            {name: status.state for name, status in statuses.items()},
            {NAME: STOPPED, "hm1nd": RUNNING},
        )


class WatchTests:
    """A container's death is noticed."""

    async def pids(self) -> tuple[int, int]:
        """A watched container's nspawn, and its init."""
        self.told = Told()
        self.driver.watch(self.told)
        await self.make()
        files = Files(self.world.root, self.world.control, NAME)
        pid = files.state()["pid"]
        return pid, first_child(pid) or 0

    async def test_asked(self) -> None:
        """What we do ourselves is not told."""
        nspawn, _ = await self.pids()
        held = HeldProcess(reactor, nspawn)
        await self.driver.stop(NAME)
        await held.gone.wait()
        await self.driver.start(NAME)
        await self.driver.destroy(NAME)
        self.assertEqual(self.told.statuses, [])

    async def test_init_killed(self) -> None:
        """An init that is killed is told, and that systemd has started the container again."""
        _, init = await self.pids()
        recorder, _ = self.run_in(programs.STAYS)
        await recorder.heard(b"ready")
        os.kill(init, signal.SIGKILL)
        self.assertIsInstance(await recorder.ended(), Lost)
        await self.told.heard(RUNNING)
        self.assertEqual([one.state for one in self.told.statuses], [FAILED, RUNNING])
        self.assertIn("systemd starts it again", self.told.statuses[0].reason or "")
        self.assertEqual(self.survivors(), [])
        recorder, _ = self.run_in(programs.SEVEN)
        self.assertEqual(await recorder.ended(), Exited(7))

    async def test_rebooted(self) -> None:
        """So is a reboot from inside."""
        _, init = await self.pids()
        os.kill(init, REBOOT)
        await self.told.heard(RUNNING)
        self.assertEqual(self.told.statuses[-1].state, RUNNING)

    async def test_switched_off(self) -> None:
        """A container that was switched off from inside has stopped, and it was not us."""
        _, init = await self.pids()
        recorder, _ = self.run_in(programs.STAYS)
        await recorder.heard(b"ready")
        os.kill(init, POWEROFF)
        self.assertIsInstance(await recorder.ended(), Lost | Signalled)
        await self.told.heard(STOPPED)
        (status,) = self.told.statuses
        self.assertIn("not by the hive", status.reason or "")
        self.assertEqual(await self.state_of(), STOPPED)

    async def test_nspawn_killed(self) -> None:
        """A killed nspawn keeps the container from starting, until it is started by us."""
        nspawn, _ = await self.pids()
        os.kill(nspawn, signal.SIGKILL)
        await self.told.heard(FAILED, "systemd says exit-code")
        self.assertEqual(await self.state_of(), FAILED)
        await self.driver.start(NAME)
        recorder, _ = self.run_in(programs.SEVEN)
        self.assertEqual(await recorder.ended(), Exited(7))

    async def test_after_adoption(self) -> None:
        """Containers that ran before the daemon did are watched too."""
        _, init = await self.pids()
        successor = await self.make_driver()
        await successor.adopt()
        told = Told()
        successor.watch(told)
        os.kill(init, POWEROFF)
        await told.heard(STOPPED)


class NixosDriverTests(
    ProbeTests, CreateTests, RunTests, StartTests, WatchTests, FakeHost
):
    """The suite, and all of these."""

    async def clean_up(self) -> None:
        """However it was used: nothing was called that leads out of a container."""
        await super().clean_up()
        actions = {
            call["words"][1]
            for call in self.world.calls()
            if call["words"][0] == "nixos-container"
        }
        self.assertEqual(
            actions - {"list", "create", "start", "stop", "destroy"}, set()
        )


def _is_there(path: str) -> bool:
    return os.path.exists(path)


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


del FakeHost
