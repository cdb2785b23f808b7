"""The driver with bwrap: what is its own besides the suite."""

import os
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.interfaces import (
    Bind,
    Command,
    ContainerSpec,
    Exited,
    InvalidSpec,
    Lost,
    SetupFailed,
    Signalled,
)
from hyperhive.containers.sandbox import SHM_SIZE, TMP_SIZE
from tests.containers import programs
from tests.containers.observing import Recorder
from tests.containers.real import RealSuite
from tests.containers.suite import NAME, PATH


class BubblewrapDriverTests(RealSuite):
    """The suite over real sandboxes, and what this driver adds."""

    driver_class = BubblewrapDriver
    added = frozenset({"PWD"})

    async def sh(self, script: str, *binds: Bind) -> Recorder:
        """Run a shell script in a container with these binds."""
        await self.driver.create(ContainerSpec(NAME, binds))
        await self.driver.start(NAME)
        recorder = Recorder()
        command = Command(("sh", "-c", script), {"PATH": PATH}, "/")
        self.driver.run(NAME, command, recorder)
        await recorder.ended()
        return recorder

    def folder(self, name: str) -> Path:
        path = self.base / name
        path.mkdir()
        return path

    async def test_isolates(self) -> None:
        """A probe says that agents are kept apart, and how that could be better."""
        probe = await self.driver.probe()
        self.assertEqual((probe.driver, probe.isolated), ("bubblewrap", True))
        self.assertIn("network", " ".join(probe.weaknesses))

    async def test_binds(self) -> None:
        """What is bound is there, writable only where it is said to be, the inner over the outer."""
        home, login, notes = map(self.folder, ("h", "l", "n"))
        (login / "key").write_text("mine")
        program = self.base / "program"
        program.write_text("#!/bin/sh\necho ran\n")
        program.chmod(0o755)
        recorder = await self.sh(
            "cat /root/.claude/key && echo new > /root/.claude/new && "
            "echo file > /root/file && /opt/bin/program && "
            "! echo x > /state/x && ! echo x >> /opt/bin/program",
            Bind(login, "/root/.claude", True),
            Bind(program, "/opt/bin/program"),
            Bind(home, "/root", True),
            Bind(notes, "/state"),
        )
        self.assertEqual((recorder.stdout, recorder.end), (b"mineran\n", Exited(0)))
        self.assertEqual((login / "new").read_text(), "new\n")
        self.assertEqual((home / "file").read_text(), "file\n")
        self.assertEqual(list((home / ".claude").iterdir()), [])

    async def test_bind_deep_in_a_bind(self) -> None:
        """Places for inner binds are made, also some folders down, for folders and files."""
        home, tools = self.folder("h"), self.folder("t")
        (tools / "run").write_text("text")
        recorder = await self.sh(
            "cat /root/a/b/c/run /root/d/file",
            Bind(home, "/root", True),
            Bind(tools, "/root/a/b/c"),
            Bind(tools / "run", "/root/d/file"),
        )
        self.assertEqual((recorder.stdout, recorder.end), (b"texttext", Exited(0)))

    async def test_planted_links(self) -> None:
        """An agent can't lead a mount out of its folders by a symlink in them."""
        home, inner, target = map(self.folder, ("h", "i", "t"))
        file = self.base / "file"
        file.write_text("")
        for planted, destination, source in (
            ("inner", "/root/inner", inner),
            ("a", "/root/a/inner", inner),
            ("file", "/root/file", file),
        ):
            (home / planted).symlink_to(target / "x" if source is file else target)
            recorder = await self.sh(
                "true", Bind(home, "/root", True), Bind(source, destination)
            )
            self.assertIsInstance(recorder.end, SetupFailed)
            self.assertIn(destination, recorder.end.reason)
            (home / planted).unlink()
        self.assertEqual(list(target.iterdir()), [])

    async def test_place_of_the_wrong_kind(self) -> None:
        """A file can't be bound on a folder, nor a folder on a file."""
        home, inner = self.folder("h"), self.folder("i")
        (home / "file").write_text("")
        (home / "folder").mkdir()
        (inner / "text").write_text("")
        for bind in (
            Bind(inner, "/root/file"),
            Bind(inner / "text", "/root/folder"),
        ):
            recorder = await self.sh("true", Bind(home, "/root", True), bind)
            self.assertIsInstance(recorder.end, SetupFailed)

    async def test_no_place_in_what_is_read_only(self) -> None:
        """Nothing is made in a folder that the agent only reads; what is there is used."""
        home, inner = self.folder("h"), self.folder("i")
        binds = (Bind(home, "/root"), Bind(inner, "/root/inner", True))
        recorder = await self.sh("true", *binds)
        self.assertIsInstance(recorder.end, SetupFailed)
        self.assertEqual(list(home.iterdir()), [])
        (home / "inner").mkdir()
        recorder = await self.sh("touch /root/inner/x", *binds)
        self.assertEqual(recorder.end, Exited(0))

    async def test_source_that_has_changed(self) -> None:
        """A source that is gone, or has become a symlink, is told when it is needed."""
        home = self.folder("h")
        await self.sh("true", Bind(home, "/root"))
        home.rmdir()
        for wrong in (lambda: None, lambda: home.symlink_to(self.base)):
            wrong()
            recorder, _ = self.run_in(programs.TRUE)
            end = await recorder.ended()
            self.assertIsInstance(end, SetupFailed)
            self.assertIn(str(home), end.reason)

    async def test_sources_behind_links(self) -> None:
        """The folders that lead to a source may be symlinks."""
        folder = self.folder("real")
        (folder / "home").mkdir()
        (folder / "home" / "file").write_text("text")
        (self.base / "link").symlink_to(folder)
        recorder = await self.sh(
            "cat /root/file", Bind(self.base / "link" / "home", "/root")
        )
        self.assertEqual((recorder.stdout, recorder.end), (b"text", Exited(0)))

    async def test_scratch_is_bounded(self) -> None:
        """/tmp and /dev/shm are writable, empty, and no bigger than they are to be."""
        recorder = await self.sh(
            "ls -A /tmp /var/tmp/ /dev/shm; for d in /tmp /dev/shm; do "
            "touch $d/x && stat -f -c '%b %S' $d; done"
        )
        self.assertEqual(recorder.end, Exited(0))
        *names, tmp, shm = recorder.stdout.decode().splitlines()
        self.assertEqual(
            [name for name in names if name], ["/dev/shm:", "/tmp:", "/var/tmp/:"]
        )
        for line, limit in ((tmp, TMP_SIZE), (shm, SHM_SIZE)):
            blocks, size = map(int, line.split())
            self.assertEqual(blocks * size, limit)

    async def test_names(self) -> None:
        """The sandbox has the container's name, resolvable, and a user with /root as home."""
        recorder = await self.sh(
            "uname -n; cat /etc/hostname; grep -c $(uname -n) /etc/hosts; "
            "getent passwd $(id -u) | cut -d: -f6"
        )
        self.assertEqual(recorder.stdout.decode(), f"{NAME}\n{NAME}\n1\n/root\n")

    async def test_no_directory(self) -> None:
        """A process can't start where there is nothing."""
        recorder = await self.ran(programs.TRUE, directory="/no/such")
        self.assertIsInstance(recorder.end, SetupFailed)
        self.assertIn("/no/such", recorder.end.reason)

    async def test_status_above_128(self) -> None:
        """bwrap tells of a signal by a status, so that such a status is told as a signal."""
        self.assertEqual((await self.sh("exit 143")).end, Signalled(signal.SIGTERM))
        self.assertEqual((await self.sh("exit 128")).end, Exited(128))
        self.assertEqual((await self.sh("exit 193")).end, Exited(193))

    async def test_bwrap_is_killed(self) -> None:
        """A process whose sandbox is killed from outside is lost."""
        await self.make()
        recorder, process = self.run_in(programs.FAMILY)
        await recorder.heard(b"ready")
        os.kill(process.transport.pid, signal.SIGKILL)
        self.assertIsInstance(await recorder.ended(), Lost)
        await process.destroy()
        self.assertEqual(self.survivors(), [])

    async def test_ends_with_the_process(self) -> None:
        """What a process has started ends with it."""
        await self.make()
        recorder, process = self.run_in(programs.LEAVER)
        self.assertEqual(await recorder.ended(), Exited(4))
        await process._init.gone.wait()
        self.assertEqual(self.survivors(), [])

    async def test_dies_with_the_daemon(self) -> None:
        """All that runs inside dies with the daemon."""
        daemon = await self.start_daemon()
        self.assertNotEqual(self.survivors(), [])
        await daemon.kill()
        self.driver = await self.make_driver()
        await self.driver.adopt()
        self.assertEqual(self.survivors(), [])

    async def test_paths_inside(self) -> None:
        """A path inside is the bind's destination, or that of the system."""
        inside = self.driver.path_inside
        self.assertEqual(inside(self.spec, self.home / "a" / "b"), "/root/a/b")
        self.assertEqual(inside(self.spec, Path("/usr/bin/env")), "/usr/bin/env")
        with self.assertRaises(InvalidSpec):
            inside(self.spec, self.state)

    async def test_unprivileged(self) -> None:
        """It works for a daemon that is not root."""
        if os.geteuid():
            return  # all of these tests show it
        for folder in (self.base, self.state, self.home):
            os.chown(folder, 65534, 65534)
        out, err, code = await getProcessOutputAndValue(
            sys.executable,
            ["-m", "tests.containers.unprivileged", str(self.state), str(self.home)],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
            reactor=reactor,
        )
        self.assertEqual(
            (out.decode(), err.decode(), code),
            ("isolated True\nuid 65534\nwrote 65534\nExited(status=0)\n", "", 0),
        )


del RealSuite
