"""The nixos driver with a real systemd: what :mod:`tests.containers.test_nspawn` runs inside its host.

``python -m tests.containers.nested [TEST…]`` prints a line of JSON for each test: its
name, and what went wrong.
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any

if __name__ == "__main__":
    from twisted.internet import asyncioreactor

    asyncioreactor.install()

import attrs
from twisted.internet import reactor
from twisted.python import reflect
from twisted.trial import reporter, runner

from hyperhive.containers import nixos
from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    ContainerState,
    Exited,
    Limits,
    Lost,
    Signalled,
    StartFailed,
)
from hyperhive.containers.nixos import NixosDriver
from hyperhive.containers.nixos_host import unit
from hyperhive.containers.pidfds import command_line, first_child
from hyperhive.deferreds import deferred
from tests.containers import programs
from tests.containers.nested_root import INIT, world
from tests.containers.observing import Told
from tests.containers.programs import TestProgram
from tests.containers.real import RealSuite
from tests.containers.suite import NAME, PATH

#: Whose tests there are.
CLASSES = (
    "tests.containers.nested.NestedTests",
    "tests.containers.nested_hive.HiveTests",
)
#: systemd's own.
ADDED = frozenset({"INVOCATION_ID", "LANG", "SYSTEMD_EXEC_PID"})


class NestedDriver(NixosDriver):
    """The driver, whose containers run a system if nothing is said of one."""

    @deferred
    async def create(self, spec: ContainerSpec) -> None:
        """See :class:`IContainerDriver`."""
        if spec.system is None:
            spec = attrs.evolve(spec, system=world().system("default", INIT))
        await super().create(spec)


def shell(script: str) -> TestProgram:
    """A script for a real shell."""
    return TestProgram(("sh", "-c", script), lambda process: None)


class NestedTests(RealSuite):
    """The suite over real containers, and what only they can show."""

    driver_class = NestedDriver
    added = ADDED
    changes_at_once = False

    async def make_driver(self) -> Any:
        control = world()
        if str(control.bin) not in os.environ["PATH"]:
            os.environ["PATH"] = f"{control.bin}:{os.environ['PATH']}"
        return await super().make_driver()

    # What the tests use.

    async def make_spec(self, spec: ContainerSpec) -> None:
        await self.driver.create(spec)
        await self.driver.start(NAME)

    async def watched(self) -> tuple[int, int]:
        """A running container whose driver is listened to: its systemd-nspawn and its init."""
        self.told = Told()
        self.driver.watch(self.told)
        await self.make()
        nspawn = int(host("systemctl", "show", "-P", "MainPID", unit(NAME)))
        return nspawn, first_child(nspawn) or 0

    async def outputs(self, script: str) -> str:
        """What a shell inside says."""
        recorder, _ = self.run_in(shell(script))
        await recorder.ended()
        return recorder.stdout.decode() + recorder.stderr.decode()

    # Life and death

    async def test_init_killed(self) -> None:
        """A container whose init is killed is noticed within a second; its turn is lost."""
        _, init = await self.watched()
        recorder, _ = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        before = reactor.seconds()
        os.kill(init, signal.SIGKILL)
        await self.told.heard(ContainerState.FAILED)
        self.assertLess(reactor.seconds() - before, 1)
        self.assertIsInstance(await recorder.ended(), Lost)
        self.assertEqual(self.survivors(), [])
        await self.told.heard(ContainerState.RUNNING)
        self.assertEqual((await self.ran(programs.SEVEN)).end, Exited(7))

    async def test_switched_off(self) -> None:
        """A container that is switched off in the middle of a turn is noticed; the turn has no good end."""
        await self.watched()
        recorder, _ = self.run_in(programs.STAYS)
        await recorder.heard(b"ready")
        self.run_in(shell("systemctl poweroff"))
        await self.told.heard(ContainerState.STOPPED)
        self.assertIsInstance(await recorder.ended(), Lost | Signalled)
        self.assertEqual(await self.state_of(), ContainerState.STOPPED)
        self.assertIn("not by the hive", self.told.statuses[-1].reason or "")

    async def test_rebooted(self) -> None:
        """So is a reboot, after which the container runs as before."""
        await self.watched()
        self.run_in(shell("systemctl reboot"))
        await self.told.heard(ContainerState.RUNNING)
        self.assertEqual((await self.ran(programs.SEVEN)).end, Exited(7))

    async def test_nspawn_killed(self) -> None:
        """What a killed systemd-nspawn leaves keeps systemd from starting it again, and not us."""
        nspawn, _ = await self.watched()
        recorder, _ = self.run_in(programs.STAYS)
        await recorder.heard(b"ready")
        os.kill(nspawn, signal.SIGKILL)
        self.assertIsInstance(await recorder.ended(), Lost)
        await self.told.heard(ContainerState.FAILED, "systemd says exit-code: ")
        self.assertEqual(await self.state_of(), ContainerState.FAILED)
        await self.driver.start(NAME)
        self.assertEqual((await self.ran(programs.SEVEN)).end, Exited(7))

    async def test_asked(self) -> None:
        """What we do ourselves is told to nobody."""
        await self.watched()
        await self.driver.stop(NAME)
        await self.driver.start(NAME)
        await self.driver.destroy(NAME)
        self.assertEqual(self.told.statuses, [])

    async def test_does_not_stop(self) -> None:
        """A container in which something does not end is killed, and can be started again."""
        await self.make()
        started = await self.outputs(
            "systemd-run --quiet -p TimeoutStopSec=70 --unit=deaf "
            "sh -c \"trap '' TERM; while :; do sleep 1; done\""
        )
        self.assertEqual(started, "")
        self.patch(nixos, "STOP_GRACE", 1.0)
        await self.driver.stop(NAME)
        self.assertEqual(await self.state_of(), ContainerState.STOPPED)
        await self.driver.start(NAME)
        self.assertEqual((await self.ran(programs.SEVEN)).end, Exited(7))

    async def test_does_not_start(self) -> None:
        """A system that does not boot says why, and is not tried for ever."""
        broken = world().system("broken", "#!/bin/sh\necho no luck\nexit 3\n")
        await self.driver.create(attrs.evolve(self.spec, system=broken))
        with self.assertRaises(StartFailed) as raised:
            await self.driver.start(NAME)
        self.assertIn("no luck", str(raised.exception))
        self.assertEqual(await self.state_of(), ContainerState.STOPPED)
        await self.make()
        self.assertEqual(await self.state_of(), ContainerState.RUNNING)

    # What an agent has, and has not

    async def test_binds(self) -> None:
        """Binds are where they are to be, one in another and in /run, and can be written if they may."""
        for name in ("claude", "run"):
            (self.base / name).mkdir()
            (self.base / name / "here").touch()
        await self.make_spec(
            ContainerSpec(
                NAME,
                (
                    Bind(self.home, "/root", True),
                    Bind(self.base / "claude", "/root/.claude", True),
                    Bind(self.base / "run", "/run/hive"),
                ),
            )
        )
        said = await self.outputs(
            "ls /root/.claude /run/hive; echo x >/root/.claude/new; echo x >/run/hive/new"
        )
        self.assertEqual(
            said.split()[:4], ["/root/.claude:", "here", "/run/hive:", "here"]
        )
        self.assertIn("Read-only file system", said)
        self.assertEqual((self.base / "claude/new").read_text(), "x\n")

    async def test_the_host_is_not_there(self) -> None:
        """An agent sees no file of the host's but its binds, and none of its processes."""
        await self.make()
        self.assertEqual(
            await self.outputs(
                f"ls -d {self.state} {self.base} /opt/control 2>/dev/null"
            ),
            "",
        )
        self.assertEqual((await self.outputs("cat /proc/1/comm")).strip(), "systemd")
        self.assertEqual(
            await self.outputs("pgrep --full tests.containers.neste[d]"), ""
        )

    async def test_nix_is_withheld(self) -> None:
        """An agent has no nix daemon to ask, and none of the host's profiles and roots to write."""
        host("touch", "/nix/var/nix/daemon-socket/socket")
        await self.make()
        self.assertEqual(await self.outputs("ls /nix/var/nix/daemon-socket"), "")
        self.assertNotIn("system", await self.outputs("ls /nix/var/nix/profiles"))
        await self.outputs("touch /nix/var/nix/profiles/x /nix/var/nix/gcroots/x")
        for folder in ("profiles", "gcroots"):
            names = os.listdir(f"/nix/var/nix/{folder}/per-container/{NAME}")
            self.assertNotIn("x", names)
        self.assertIn("store", await self.outputs("ls /nix"))

    async def test_rights(self) -> None:
        """A process has the container's capabilities and system calls, not the host's."""
        await self.make()
        said = dict(
            line.split(":\t", 1)
            for line in (await self.outputs("cat /proc/self/status")).splitlines()
        )
        module, rawio, time = 1 << 16, 1 << 17, 1 << 25
        self.assertEqual(int(said["CapBnd"], 16) & (module | rawio | time), 0)
        self.assertEqual(said["Seccomp"], "2")

    async def test_planted_symlink(self) -> None:
        """A symlink that an agent plants in its root has a start change nothing of the host's."""
        host("mkdir", "-m", "0755", "-p", "/opt/victim")
        await self.watched()
        self.run_in(
            shell(
                "rm -rf /var/lib/private && ln -s /opt/victim /var/lib/private && "
                "systemctl reboot"
            )
        )
        await self.told.heard(ContainerState.FAILED, "systemd says exit-code: ")
        with self.assertRaises(StartFailed) as raised:
            await self.driver.start(NAME)
        self.assertIn("/var/lib/private has become a symlink", str(raised.exception))
        self.assertEqual(host("stat", "-c", "%a", "/opt/victim"), "755\n")

    async def test_planted_profile(self) -> None:
        """What an agent plants for login shells is executed by nothing that the driver does."""
        for name in (".bash_profile", ".bash_login", ".profile", ".bashrc", ".zshenv"):
            (self.home / name).write_text("touch /root/planted\n")
        await self.make()
        recorder, process = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        process.interrupt()
        await process.destroy()
        await self.driver.adopt()
        await self.driver.probe()
        await self.driver.statuses()
        await self.driver.create(self.spec)
        await self.driver.stop(NAME)
        await self.driver.create(
            attrs.evolve(self.spec, system=world().system("next", INIT))
        )
        await self.driver.start(NAME)
        await self.ran(programs.SEVEN)
        await self.driver.destroy(NAME)
        self.assertEqual((self.home / "planted").exists(), False)
        actions = {
            call["words"][1]
            for call in world().calls()
            if call["words"][0] == "nixos-container"
        }
        self.assertEqual(actions & {"run", "update", "root-login"}, set())

    async def test_secrets(self) -> None:
        """A secret in the environment is on no command line of the host's."""
        await self.make()
        environment = {"ANTHROPIC_API_KEY": "a-secret", "PATH": PATH}
        recorder, process = self.run_in(
            shell("printenv ANTHROPIC_API_KEY; exec sleep 1000000"),
            environment=environment,
        )
        await recorder.heard(b"a-secret\n")
        lines = [command_line(int(pid)) for pid in os.listdir("/proc") if pid.isdigit()]
        self.assertEqual([line for line in lines if b"a-secret" in line], [])
        await process.destroy()

    async def test_limits(self) -> None:
        """Limits are the unit's, from the first start on."""
        limits = Limits(memory=512 * 1024**2, cpu=1.5, tasks=200)
        await self.make_spec(attrs.evolve(self.spec, limits=limits))
        shown = host(
            *("systemctl", "show", unit(NAME)),
            *("-p", "MemoryMax", "-p", "CPUQuotaPerSecUSec", "-p", "TasksMax"),
        )
        for wanted in ("CPUQuotaPerSecUSec=1.5", "MemoryMax=536870912", "TasksMax=200"):
            self.assertIn(wanted, shown)

    async def test_nothing_is_left_inside(self) -> None:
        """No unit of a process is left in a container, however it has ended."""
        await self.make()
        for program in (programs.TRUE, programs.SEVEN, programs.SUICIDE):
            recorder, _ = self.run_in(program)
            await recorder.ended()
        recorder, process = self.run_in(programs.STAYS)
        await process.destroy()
        await recorder.ended()
        units = await self.outputs("systemctl list-units --all --plain 'hive-turn-*'")
        self.assertEqual(len([one for one in units.splitlines() if "failed" in one]), 0)


def host(*argv: str) -> str:
    """What a program of the host says."""
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout


class Reporter(reporter.Reporter):
    """Prints what came of each test."""

    def _print(self, test: Any, wrong: str) -> None:
        name = test.id().rpartition(".")[2]
        print(
            json.dumps({"test": name, "wrong": wrong}), file=sys.__stdout__, flush=True
        )

    def addSuccess(self, test: Any) -> None:
        """It passed."""
        super().addSuccess(test)
        self._print(test, "")

    def addFailure(self, test: Any, fail: Any) -> None:
        """It failed."""
        super().addFailure(test, fail)
        self._print(test, _text(fail))

    def addError(self, test: Any, error: Any) -> None:
        """Something else went wrong."""
        super().addError(test, error)
        self._print(test, _text(error))


def _text(failure: Any) -> str:
    return str(failure.getTraceback() if hasattr(failure, "getTraceback") else failure)


def main(names: list[str]) -> None:
    """Run the tests of these names, or all."""
    loader = runner.TestLoader()
    suite = loader.loadByNames(
        [
            f"{prefix}.{name}"
            for prefix in CLASSES
            for name in names
            if hasattr(reflect.namedAny(prefix), name)
        ]
        or CLASSES
    )
    runner.TrialRunner(Reporter, workingDirectory="/tmp/trial").run(
        suite
    )  # in a host of its own


if __name__ == "__main__":
    main(sys.argv[1:])
