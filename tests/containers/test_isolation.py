"""What an agent in a bubblewrap sandbox can't reach, tried by real processes inside.

Each attempt is also made without a sandbox, where it succeeds: so that a test that
tries in vain fails.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.interfaces import Bind, Command, ContainerSpec
from hyperhive.containers.pidfds import first_child
from hyperhive.containers.process import ProcessDriver
from hyperhive.settings import Layout
from tests.containers.observing import Recorder
from tests.containers.suite import PATH, new_folder

ALICE, BOB = "h-alice", "h-bob"
SECRET = "sk-ant-the-key"


class Greeter(Protocol):
    """Tells whoever connects that they got through."""

    def connectionMade(self) -> None:
        """Greet, and hang up."""
        assert self.transport is not None
        self.transport.write(b"connected\n")
        self.transport.loseConnection()


class IsolationTests(TestCase):
    """Alice, in a sandbox, on a host with an operator and with Bob."""

    timeout = 60

    def setUp(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        self.base = new_folder()
        self.addCleanup(shutil.rmtree, self.base)
        self.layout = layout = Layout(self.base / "state", self.base / "run")
        for name in ("alice", "bob"):
            for folder in (
                layout.claude(name),
                layout.home(name),
                layout.notes(name),
                layout.socket_dir(name),
            ):
                folder.mkdir(parents=True)
            (layout.claude(name) / ".credentials.json").write_text(f"{name}'s login")
            (layout.notes(name) / "notes.md").write_text(f"{name}'s notes")
        layout.containers.mkdir(parents=True)
        layout.operator_token.write_text("the token")
        layout.broker_db.write_text("messages")
        for socket in (
            layout.host_socket,
            layout.mcp_socket("alice"),
            layout.mcp_socket("bob"),
        ):
            await self.listen(socket)
        self.driver = BubblewrapDriver(reactor, layout.containers)
        await self.driver.probe()

    async def listen(self, socket: Path) -> None:
        endpoint = UNIXServerEndpoint(reactor, str(socket))
        port = await endpoint.listen(Factory.forProtocol(Greeter))
        self.addCleanup(port.stopListening)

    def spec(self, name: str = "alice") -> ContainerSpec:
        return ContainerSpec(
            f"h-{name}",
            (
                Bind(self.layout.home(name), "/root", True),
                Bind(self.layout.claude(name), "/root/.claude", True),
                Bind(self.layout.notes(name), "/state", True),
                Bind(self.layout.socket_dir(name), "/run/hive"),
            ),
        )

    async def start(self, driver: Any, script: str, **environment: str) -> Any:
        await driver.create(self.spec())
        await driver.start(ALICE)
        recorder = Recorder()
        environment = {"PATH": PATH, "HOME": "/root", **environment}
        command = Command(("sh", "-c", script), environment, "/")
        process = driver.run(ALICE, command, recorder)
        self.addCleanup(process.destroy)
        return recorder, process

    async def inside(self, script: str) -> list[str]:
        """The lines that a script in Alice's sandbox prints."""
        recorder, _ = await self.start(self.driver, script)
        await recorder.ended()
        return recorder.stdout.decode().splitlines()

    async def outside(self, script: str) -> list[str]:
        """The same without a sandbox."""
        driver = ProcessDriver(reactor, self.layout.containers)
        recorder, _ = await self.start(driver, script)
        await recorder.ended()
        return recorder.stdout.decode().splitlines()

    async def assert_only_outside(self, script: str, lines: list[str]) -> None:
        """A script prints lines without a sandbox, and none in it."""
        self.assertEqual(await self.outside(script), lines)
        self.assertEqual(await self.inside(script), [])

    @property
    def forbidden(self) -> list[Path]:
        """Files that are none of Alice's business."""
        layout = self.layout
        return [
            layout.operator_token,
            layout.broker_db,
            layout.containers / f"{ALICE}.json",
            layout.claude("bob") / ".credentials.json",
            layout.notes("bob") / "notes.md",
        ]

    async def test_her_own(self) -> None:
        """Alice has her login, her notes and her socket."""
        lines = await self.inside(
            "cat /root/.claude/.credentials.json; echo; cat /state/notes.md; echo; "
            "socat -u UNIX-CONNECT:/run/hive/mcp.sock -"
        )
        self.assertEqual(lines, ["alice's login", "alice's notes", "connected"])

    async def test_files(self) -> None:
        """She can't read the token, the database, the records, nor Bob's login and notes."""
        files = self.forbidden
        script = "".join(
            f"cat '{file}' >/dev/null && echo '{file}'\n" for file in files
        )
        await self.assert_only_outside(script, [str(file) for file in files])

    async def test_files_through_proc(self) -> None:
        """… not by way of another process's root or directory either."""
        script = "".join(
            f"for p in /proc/[0-9]* /proc/self; do "
            f"cat $p/root'{file}' >/dev/null && echo '{file}' && break; done\n"
            for file in self.forbidden
        )
        await self.assert_only_outside(script, [str(file) for file in self.forbidden])

    async def test_names(self) -> None:
        """She does not see that these folders are there."""
        script = f"ls -d {self.base} {self.layout.agents} {self.base}/run"
        self.assertEqual(len(await self.outside(script)), 3)
        self.assertEqual(await self.inside(script), [])

    async def test_sockets(self) -> None:
        """She can't open the admin socket nor Bob's."""
        layout = self.layout
        sockets = (layout.host_socket, layout.mcp_socket("bob"))
        script = "".join(f"socat -u UNIX-CONNECT:{socket} -\n" for socket in sockets)
        await self.assert_only_outside(script, ["connected"] * 2)

    async def test_secrets_of_the_host(self) -> None:
        """Of /etc she sees what programs need; no password, no key, no home folder."""
        script = (
            "for f in /etc/shadow /etc/gshadow /etc/ssl/private /etc/ssh /etc/sudoers; "
            'do test -e "$f" && echo "$f"; done; ls -A /home /var/lib /srv /sys /boot'
        )
        self.assertNotEqual(await self.outside(script), [])
        self.assertEqual(await self.inside(script), [])

    async def test_writable_places(self) -> None:
        """Of all that is mounted she writes her own folders, /tmp and /dev/shm, nothing else.

        What the hive gives her to read she can't change: it lies in the host's
        memory, and claude takes its settings from there.
        """
        lines = await self.inside(
            "while read -r a b c d place rest; do "
            'touch "$place/written" && rm "$place/written" && echo "$place"; done < /proc/self/mountinfo; '
            "for d in /usr /usr/bin /usr/local /etc /etc/ssl /run /var /dev /bin; do "
            'touch "$d/written" && rm "$d/written" && echo "$d"; done; '
            'for f in /etc/passwd /etc/hosts /usr/bin/env; do : >> "$f" && echo "$f"; '
            "done"
        )
        self.assertEqual(
            sorted(lines),
            ["/dev/shm", "/root", "/root/.claude", "/state", "/tmp"],
        )

    async def test_settings_of_the_kernel(self) -> None:
        """She can't change the kernel's settings, which bind the whole host, though she be uid 0."""
        # Opened only, and never written: what works here would change the host.
        name = "/proc/sys/kernel/core_uses_pid"
        lines = await self.inside(
            f"cat {name} >/dev/null && echo seen; "
            f": >> {name} && echo opened; "
            "find /proc -type f -not -path '/proc/[0-9]*' | while read -r f; do "
            'test -w "$f" && echo "$f"; done'
        )
        self.assertEqual(lines, ["seen"])

    async def test_mounts(self) -> None:
        """What is mounted is what was meant to be, and of the host nothing but that."""
        lines = await self.inside("cut -d' ' -f5 /proc/self/mountinfo")
        places = (
            "/usr",
            "/proc",
            "/dev",
            "/etc",
            "/tmp",
            "/root",
            "/state",
            "/run/hive",
        )
        system = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
        odd = [
            line
            for line in lines
            if line != "/" and not line.startswith((*places, *system))
        ]
        self.assertEqual(odd, [])
        self.assertEqual([line for line in lines if "oldroot" in line], [])

    async def test_capabilities(self) -> None:
        """She has no capability, can't get one, and can't make a namespace for more."""
        lines = await self.inside(
            "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status; "
            "unshare --user true && echo namespace; "
            "unshare --user --map-root-user --mount true && echo namespace; "
            "unshare --mount true && echo mounts; "
            "touch /tmp/mine && chown 12345 /tmp/mine && echo owner"
        )
        none = [f"Cap{kind}:\t{0:016x}" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
        self.assertEqual(lines, [*none, "NoNewPrivs:\t1"])

    async def test_processes(self) -> None:
        """She sees only her own processes, and signals nobody else's."""
        await self.assert_only_outside(
            f"kill -0 {os.getpid()} && test -e /proc/{os.getpid()} && echo alive",
            ["alive"],
        )
        lines = await self.inside("ls -d /proc/[0-9]* | wc -l")
        self.assertLess(int(lines[0]), 6)

    async def test_other_sandboxes(self) -> None:
        """Not those of another agent either."""
        await self.driver.create(self.spec("bob"))
        await self.driver.start(BOB)
        bob = Recorder()
        command = Command(
            ("sh", "-c", "echo ready; sleep 1000003"), {"PATH": PATH}, "/"
        )
        process = self.driver.run(BOB, command, bob)
        self.addCleanup(process.destroy)
        await bob.heard(b"ready")
        init = first_child(process.transport.pid) or 0
        await self.assert_only_outside(
            "".join(
                f"kill -0 {pid} && readlink /proc/{pid}/root && echo {pid}\n"
                for pid in (process.transport.pid, init)
            ),
            ["/", str(process.transport.pid), "/", str(init)],
        )

    async def test_shared_memory_of_peers(self) -> None:
        """/tmp, shared memory and System V memory are her own."""
        (Path("/dev/shm") / self.base.name).write_text("host")
        self.addCleanup((Path("/dev/shm") / self.base.name).unlink)
        script = f"cat /dev/shm/{self.base.name} >/dev/null && echo shared"
        await self.assert_only_outside(script, ["shared"])
        namespaces = "for n in ipc mnt pid user uts; do readlink /proc/self/ns/$n; done"
        theirs = await self.outside(namespaces)
        self.assertEqual(set(theirs) & set(await self.inside(namespaces)), set())

    async def test_terminal(self) -> None:
        """She has no terminal into which she could type for the operator."""
        lines = await self.inside("cut -d' ' -f7 /proc/self/stat; cat </dev/tty; echo")
        self.assertEqual(lines[0], "0")

    async def test_descriptors(self) -> None:
        """No file of the daemon is open in her processes but the three."""
        lines = await self.inside("ls /proc/self/fd; ls /proc/1/fd | wc -l")
        self.assertEqual(lines[:4], ["0", "1", "2", "3"], "3 is ls's own")

    async def test_environment(self) -> None:
        """Nothing of the daemon's environment is in hers, nor in that of bwrap's own init."""
        self.patch(os, "environ", {**os.environ, "DAEMON_SECRET": SECRET})
        lines = await self.inside("env; tr '\\0' '\\n' < /proc/1/environ")
        names = {line.partition("=")[0] for line in lines}
        self.assertEqual(
            names, {"PATH", "HOME", "PWD", "HYPERHIVE_CONTAINER", "LC_ALL"}
        )

    async def test_secrets_in_ps(self) -> None:
        """What a command's environment holds shows in no command line on the host."""
        recorder, process = await self.start(
            self.driver, "echo ready; exec sleep 1000003", ANTHROPIC_API_KEY=SECRET
        )
        await recorder.heard(b"ready")
        seen = 0
        for line in command_lines():
            self.assertNotIn(SECRET.encode(), line)
            seen += b"bwrap" in line
        self.assertGreater(seen, 0)
        process.kill()
        await recorder.ended()

    async def test_a_planted_profile(self) -> None:
        """What she leaves in her home is not executed with more than she has."""
        for name in (".profile", ".bashrc", ".bash_profile"):
            (self.layout.home("alice") / name).write_text("touch /root/executed\n")
        await self.inside("true")
        await self.driver.adopt()
        await self.driver.stop(ALICE)
        self.assertFalse((self.layout.home("alice") / "executed").exists())

    async def test_nothing_left(self) -> None:
        """After a stop nothing of hers runs, and nothing is mounted on the host."""
        name = self.base.name
        recorder, _ = await self.start(
            self.driver, f"setsid sh -c 'sleep 1000004; echo {name}' & echo ready; wait"
        )
        await recorder.heard(b"ready")
        own = [line for line in command_lines() if name.encode() in line]
        self.assertNotEqual(own, [])
        await self.driver.stop(ALICE)
        await recorder.ended()
        self.assertEqual(
            [line for line in command_lines() if name.encode() in line], []
        )
        self.assertNotIn(name, mounts())


def command_lines() -> list[bytes]:
    """What every process on the host was executed with."""
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    return lines


def mounts() -> str:
    """What is mounted on the host."""
    return Path("/proc/self/mountinfo").read_text()
