"""Limits by control groups, in a folder that looks like the kernel's."""

import os
import subprocess
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.cgroups import ControlGroups, delegated
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    DriverError,
    Exited,
    Limits,
    SetupFailed,
)
from tests.containers.observing import Recorder
from tests.containers.suite import NAME, PATH, new_folder
from tests.e2e.test_claude import bubblewrap_refusal

LIMITS = Limits(memory=512 * 1024**2, cpu=1.5, tasks=200)


def texts(group: Path) -> dict[str, str]:
    """What the files of a group say."""
    return {file.name: file.read_text() for file in group.iterdir() if file.is_file()}


class DelegatedTests(SynchronousTestCase):
    """Which groups are the daemon's to use."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.service = self.root / "system.slice" / "hive.service"
        self.service.mkdir(parents=True)
        (self.service / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        try:
            os.setxattr(self.service, "user.delegate", b"1")
        except OSError as error:
            raise SkipTest(f"no attributes can be set here: {error}") from None
        self.own = self.root / "own"
        self.found("system.slice/hive.service")

    def found(self, path: str) -> ControlGroups | None:
        """What is found by a daemon in the group ``path``."""
        self.own.write_text(f"1:name=systemd:/\n0::/{path}\n")
        return delegated(self.root, self.own)

    def test_delegated(self) -> None:
        """The daemon goes down into a group of its own, and hands the controllers on."""
        self.assertIsNotNone(self.found("system.slice/hive.service"))
        procs = self.service / "daemon" / "cgroup.procs"
        self.assertEqual(procs.read_text(), str(os.getpid()))
        control = self.service / "cgroup.subtree_control"
        self.assertEqual(control.read_text(), "+cpu +memory +pids")

    def test_down_already(self) -> None:
        """One that is there already, or that systemd has started there, stays."""
        self.assertIsNotNone(self.found("system.slice/hive.service/daemon"))
        self.assertFalse((self.service / "daemon" / "daemon").exists())

    def test_not_delegated(self) -> None:
        """A group that nobody has left to us is not touched, even if root could."""
        other = self.root / "system.slice" / "other.service"
        other.mkdir()
        (other / "cgroup.controllers").write_text("cpu memory pids")
        for path in ("system.slice/other.service", "", "../x", "no/such/group"):
            self.assertIsNone(self.found(path), path)
        self.assertEqual(list(texts(other)), ["cgroup.controllers"])
        os.setxattr(other, "user.delegate", b"0")
        self.assertIsNone(self.found("system.slice/other.service"))

    def test_too_few_controllers(self) -> None:
        """Delegate=memory alone is not enough: limits are kept all or not at all."""
        (self.service / "cgroup.controllers").write_text("memory")
        self.assertIsNone(self.found("system.slice/hive.service"))

    def test_no_version_2(self) -> None:
        """Where the kernel has only the old control groups there are none."""
        self.own.write_text("4:memory:/system.slice/hive.service\n")
        self.assertIsNone(delegated(self.root, self.own))
        self.assertIsNone(delegated(self.root, self.root / "nothing"))

    def test_refused(self) -> None:
        """Where the kernel refuses, as it does with other processes in the group, there are none."""
        control = self.service / "cgroup.subtree_control"
        control.unlink()
        control.mkdir()
        self.assertIsNone(self.found("system.slice/hive.service"))


class JoinedTests(SynchronousTestCase):
    """One container's group."""

    def setUp(self) -> None:
        self.base = Path(self.mktemp()).absolute()
        self.base.mkdir()
        self.groups = ControlGroups(self.base)

    def test_limits(self) -> None:
        """Limits are written each time; what is not limited any more is free again."""
        self.groups.joined(NAME, LIMITS, ["true"])
        self.assertEqual(
            texts(self.base / NAME),
            {
                "memory.max": "536870912",
                "cpu.max": "150000 100000",
                "pids.max": "200",
            },
        )
        self.groups.joined(NAME, Limits(cpu=0.001), ["true"])
        self.assertEqual(
            texts(self.base / NAME),
            {"memory.max": "max", "cpu.max": "1000 100000", "pids.max": "max"},
        )

    def test_enters(self) -> None:
        """The command runs in place of what has entered the group, its words as they are."""
        argv = self.groups.joined(NAME, LIMITS, ["printf", "<%s>", "a b", "$0", ""])
        done = subprocess.run(argv, capture_output=True, check=True, timeout=10)
        self.assertEqual(done.stdout, b"<a b><$0><>")
        self.assertEqual((self.base / NAME / "cgroup.procs").read_text(), "0\n")

    def test_does_not_enter(self) -> None:
        """A command that can't enter does not run."""
        argv = self.groups.joined(NAME, LIMITS, ["echo", "ran"])
        (self.base / NAME / "cgroup.procs").mkdir()
        done = subprocess.run(argv, capture_output=True, check=False, timeout=10)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, b"")

    def test_refused(self) -> None:
        """A limit that can't be set is told, and which."""
        (self.base / NAME / "pids.max").mkdir(parents=True)
        with self.assertRaises(DriverError) as raised:
            self.groups.joined(NAME, LIMITS, ["true"])
        self.assertIn(f"The limits of {NAME} can't be set", str(raised.exception))

    def test_remove(self) -> None:
        """A group goes with its container; one that is in use, or was never made, is let be."""
        (self.base / NAME).mkdir()
        self.groups.remove(NAME)
        self.assertFalse((self.base / NAME).exists())
        self.groups.remove(NAME)
        self.groups.joined(NAME, LIMITS, ["true"])
        self.groups.remove(NAME)
        self.assertTrue((self.base / NAME).exists())


class SandboxTests(TestCase):
    """The driver with bwrap, where groups were delegated."""

    timeout = 60

    def setUp(self) -> None:
        if refusal := bubblewrap_refusal():
            raise SkipTest(refusal)
        self.base = new_folder()
        self.groups: ControlGroups | None = ControlGroups(self.base)
        self.driver = BubblewrapDriver(reactor, self.base, groups=lambda: self.groups)

    async def ran(self) -> Recorder:
        """A process in a container with limits."""
        await self.driver.create(ContainerSpec(NAME, limits=LIMITS))
        await self.driver.start(NAME)
        recorder = Recorder()
        command = Command(("sh", "-c", "echo ran; exit 7"), {"PATH": PATH}, "/")
        self.driver.run(NAME, command, recorder)
        await recorder.ended()
        return recorder

    async def test_limited(self) -> None:
        """A probe says that limits are kept; what runs has entered its group."""
        probe = await self.driver.probe()
        self.assertEqual(probe.limits, True)
        self.assertNotIn("memory", " ".join(probe.weaknesses))
        recorder = await self.ran()
        self.assertEqual((recorder.stdout, recorder.end), (b"ran\n", Exited(7)))
        found = texts(self.base / NAME)
        self.assertEqual((found["pids.max"], found["cgroup.procs"]), ("200", "0\n"))

    async def test_not_limited(self) -> None:
        """Without groups it says that there are no limits, and how to get them."""
        self.groups = None
        probe = await self.driver.probe()
        self.assertEqual(probe.limits, False)
        self.assertIn("Delegate=yes", " ".join(probe.weaknesses))
        self.assertEqual((await self.ran()).end, Exited(7))

    async def test_refused(self) -> None:
        """Nothing runs without its limits."""
        await self.driver.probe()
        (self.base / NAME / "pids.max").mkdir(parents=True)
        recorder = await self.ran()
        assert isinstance(recorder.end, SetupFailed)
        self.assertIn("can't be set", recorder.end.reason)
        self.assertEqual(recorder.stdout, b"")

    def tearDown(self) -> "Deferred[None]":
        return self.driver.destroy(NAME)
