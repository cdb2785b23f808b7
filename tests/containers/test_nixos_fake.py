"""The contract fake of nixos-container is as odd as what it stands for."""

import os
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.testing.nixos_container import World
from tests.containers.fake_nixos import end_world, make_world

Done = subprocess.CompletedProcess[str]


class FakeTests(SynchronousTestCase):
    """Measured of the real one: what it prints, leaves behind and exits with."""

    def setUp(self) -> None:
        base = Path(self.mktemp()).absolute()
        base.mkdir()
        self.world: World = make_world(base / "state")
        self.addCleanup(end_world, self.world)
        self.folder = base / "cwd"
        self.folder.mkdir()
        self.system = self.world.system("one")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.world.bin / "nixos-container"), *words],
            cwd=self.folder,
            env={"PATH": f"{self.world.bin}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_it(self, *words: str) -> Done:
        process = self.start(*words)
        out, err = process.communicate(timeout=20)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def create(self, name: str, *words: str) -> Done:
        return self.run_it(
            "create", name, *(words or ("--system-path", str(self.system)))
        )

    def conf(self, name: str) -> Path:
        return self.world.configuration / f"{name}.conf"

    def flake(self, name: str, **attributes: Path) -> Path:
        folder = self.folder.parent / name
        folder.mkdir()
        for attribute, system in attributes.items():
            (folder / attribute).symlink_to(system)
        return folder

    def test_create(self) -> None:
        """It makes a private network of the first free addresses, and says nothing on stdout."""
        for number, name in enumerate(("h-one", "h-two"), 1):
            done = self.create(name)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertIn(f"host IP is 10.233.{number}.1", done.stderr)
            self.assertIn("PRIVATE_NETWORK=1\n", self.conf(name).read_text())
        self.assertEqual(self.run_it("list").stdout, "h-one\nh-two\n")

    def test_statuses_mean_nothing(self) -> None:
        """Exit statuses are what errno was."""
        self.create("h-one")
        for words, status, text in (
            (("create", "h-one"), 25, "already exists"),
            (("create", "h-0123456789"), 2, "is too long"),
            (("create", "a.b"), 255, "invalid container name"),
            (("start", "nobody"), 2, "does not exist"),
            (("status", "nobody"), 2, "does not exist"),
            (("destroy", "nobody"), 0, ""),
            (("create",), 255, "no container name"),
            (("create", "h-two", "--bind=/x"), 1, "Unknown option"),
        ):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, status, words)
            self.assertIn(text, done.stderr)

    def test_status(self) -> None:
        """Its status tells up from down, and no more."""
        self.assertEqual(self.run_it("status", "h-one").stdout, "gone\n")
        self.create("h-one")
        self.assertEqual(self.run_it("status", "h-one").stdout, "down\n")

    def test_orphan(self) -> None:
        """A flake that does not build leaves a .conf, which a second try trips over."""
        done = self.create("h-one", "--flake", f"{self.folder}#nothing")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(self.conf("h-one").exists(), True)
        self.assertIn("already exists", self.create("h-one").stderr)

    def test_attribute_is_dropped(self) -> None:
        """A later update builds another attribute than the one that it was made of."""
        other = self.world.system("other")
        flake = self.flake("flake", mine=self.system, container=other)
        self.create("h-one", "--flake", f"{flake}#mine")
        self.assertIn(f"FLAKE={flake}\n", self.conf("h-one").read_text())
        profile = self.world.profiles / "h-one/system"
        self.assertEqual(os.path.realpath(profile), str(self.system))
        self.run_it("update", "h-one")
        self.assertEqual(os.path.realpath(profile), str(other))

    def test_shared_directory(self) -> None:
        """Two builds in one directory can give one container the other's system, with success."""
        other = self.world.system("other")
        one, two = self.flake("a", x=self.system), self.flake("b", x=other)
        profiles = []
        for number in range(20):
            name = f"h-{number}"
            processes = [
                self.start("create", name, "--flake", f"{one}#x"),
                self.start("create", f"{name}-b", "--flake", f"{two}#x"),
            ]
            ends = [
                process.communicate(timeout=20) and process.returncode
                for process in processes
            ]
            self.assertIn(0, ends)
            profiles.append(os.path.realpath(self.world.profiles / name / "system"))
            if str(other) in profiles:
                break
        self.assertIn(str(other), profiles)
        self.assertEqual(os.listdir(self.folder), [".tmp"])

    def test_outlived(self) -> None:
        """What it has started goes on when only it is ended."""
        self.world.misbehave("create", "hang")
        process = subprocess.Popen(
            [str(self.world.bin / "nixos-container"), "create", "h-one"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not self.group(process.pid)[1:]:
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        self.assertNotEqual(self.group(process.pid), [])
        os.killpg(process.pid, signal.SIGKILL)

    def group(self, leader: int) -> list[int]:
        """The living processes of a group."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = (
                    Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                )
            except OSError:
                continue
            if fields[2] == str(leader) and fields[0] != "Z":
                found.append(int(pid))
        return found
