"""What bwrap is told, from hosts that are made up."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import Bind, Command, ContainerSpec
from hyperhive.containers.sandbox import Features, Sandbox, sandbox

ALL = Features(disable_userns=True, size=True)


class SandboxTests(SynchronousTestCase):
    """From a host, a spec and a command to options."""

    def setUp(self) -> None:
        self.host = Path(self.mktemp()).absolute()
        self.etc = self.host / "etc"
        self.etc.mkdir(parents=True)
        (self.host / "usr" / "lib").mkdir(parents=True)

    def box(self, features: Features = ALL, *binds: Bind) -> Sandbox:
        command = Command(("true",), {"A": "b"}, "/root")
        spec = ContainerSpec("h-bob", binds)
        return sandbox(features, spec, command, 5, self.host)

    def mounts(self, *binds: Bind) -> dict[str, tuple[str, str]]:
        """By destination, how and from where something gets there."""
        options = self.box(ALL, *binds).options
        ways = ("--ro-bind", "--bind", "--symlink", "--file")
        return {
            options[place + 2]: (options[place], options[place + 1])
            for place, option in enumerate(options)
            if option in ways
        }

    def written(self, name: str) -> str:
        """The text of a file that is written."""
        box = self.box()
        place = box.options.index(f"/etc/{name}")
        return box.files[int(box.options[place - 1]) - 5].decode()

    def test_always(self) -> None:
        """Namespaces, no capabilities, no inherited environment; the root is sealed last."""
        options = self.box().options
        for option in (
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--disable-userns",
            "--new-session",
            "--die-with-parent",
            "--clearenv",
        ):
            self.assertIn(option, options)
        self.assertIn(" --cap-drop ALL ", " ".join(options))
        self.assertEqual(options[-4:], ("--remount-ro", "/", "--chdir", "/root"))
        for never in ("--as-pid-1", "--dev-bind", "--cap-add", "--share-net"):
            self.assertNotIn(never, options)

    def test_older_bwrap(self) -> None:
        """What a bwrap can't do it is not told."""
        options = self.box(Features(disable_userns=False, size=False)).options
        self.assertNotIn("--disable-userns", options)
        self.assertNotIn("--size", options)
        self.assertIn("--tmpfs", options)

    def test_merged_and_unmerged(self) -> None:
        """/bin, /lib… are links where the host has links, and folders where it has those."""
        (self.host / "bin").symlink_to("usr/bin")
        (self.host / "lib").mkdir()
        mounts = self.mounts()
        self.assertEqual(mounts["/bin"], ("--symlink", "usr/bin"))
        self.assertEqual(mounts["/lib"], ("--ro-bind", str(self.host / "lib")))
        self.assertEqual(mounts["/usr"], ("--ro-bind", str(self.host / "usr")))
        self.assertNotIn("/lib64", mounts)

    def test_links_in_etc(self) -> None:
        """A link in /etc is followed, because where it leads is not there inside."""
        target = self.host / "run" / "stub.conf"
        target.parent.mkdir()
        target.write_text("nameserver 127.0.0.53\n")
        (self.etc / "resolv.conf").symlink_to("../run/stub.conf")
        self.assertEqual(self.mounts()["/etc/resolv.conf"], ("--ro-bind", str(target)))

    def test_dangling_links(self) -> None:
        """A link that leads nowhere, or in a circle, is left out, or written by us."""
        for name in ("resolv.conf", "localtime", "nsswitch.conf", "hosts"):
            (self.etc / name).symlink_to("nowhere")
        (self.etc / "gai.conf").symlink_to("gai.conf")
        mounts = self.mounts()
        for name in ("resolv.conf", "localtime", "gai.conf"):
            self.assertNotIn(f"/etc/{name}", mounts)
        self.assertIn("hosts: files dns", self.written("nsswitch.conf"))
        self.assertIn("127.0.0.1\tlocalhost", self.written("hosts"))

    def test_secrets_stay_out(self) -> None:
        """Nothing is shown that only some may read, nor what is not asked for by name."""
        for name in ("shadow", "gshadow", "resolv.conf", "ssl/private/key"):
            (self.etc / name).parent.mkdir(parents=True, exist_ok=True)
            (self.etc / name).write_text("secret")
            (self.etc / name).chmod(0o600)
        mounts = self.mounts()
        self.assertEqual(
            [place for place in mounts if "shadow" in place or "private" in place], []
        )
        self.assertNotIn("/etc/resolv.conf", mounts)
        self.assertNotIn("/etc", mounts)
        self.assertNotIn("/etc/ssl", mounts)

    def test_certificates(self) -> None:
        """The folder of certificates is shown."""
        (self.etc / "ssl" / "certs").mkdir(parents=True)
        self.assertEqual(
            self.mounts()["/etc/ssl/certs"], ("--ro-bind", f"{self.etc}/ssl/certs")
        )

    def test_time_zone(self) -> None:
        """A zone that is a file of its own is shown as one."""
        (self.etc / "localtime").write_bytes(b"TZif")
        self.assertEqual(
            self.mounts()["/etc/localtime"], ("--ro-bind", f"{self.etc}/localtime")
        )

    def test_time_zone_of_the_system(self) -> None:
        """One that is the system's stays a link: programs read its name from it."""
        (self.etc / "localtime").symlink_to("/usr/bin/env")
        way, target = self.mounts()["/etc/localtime"]
        self.assertEqual(way, "--symlink")
        self.assertEqual(target, str(Path("/usr/bin/env").resolve()))

    def test_users(self) -> None:
        """Inside there are root, nobody, and who the daemon is; not the host's users."""
        (self.etc / "passwd").write_text("carol:x:1000:1000::/home/carol:/bin/sh\n")
        for uid, names in ((0, ["root", "nobody"]), (7, ["root", "agent", "nobody"])):
            self.patch(os, "geteuid", lambda uid=uid: uid)
            lines = self.written("passwd").splitlines()
            self.assertEqual([line.split(":")[0] for line in lines], names)

    def test_hosts(self) -> None:
        """The host's names for addresses are known, and the sandbox's own."""
        (self.etc / "hosts").write_text("10.0.0.1 nas\n")
        self.assertEqual(self.written("hosts"), "10.0.0.1 nas\n127.0.1.1\th-bob\n")

    def test_binds(self) -> None:
        """Outer binds come before inner ones, and are writable only if they are to be."""
        options = self.box(
            ALL,
            Bind(Path("/x/login"), "/root/.claude", True),
            Bind(Path("/x/home"), "/root", True),
            Bind(Path("/x/notes"), "/state"),
        ).options
        places = [options.index(f"/x/{name}") for name in ("home", "login", "notes")]
        self.assertLess(places[0], places[1])
        self.assertEqual(
            [options[place - 1] for place in places], ["--bind", "--bind", "--ro-bind"]
        )

    def test_environment(self) -> None:
        """The environment is set after it was cleared."""
        options = self.box().options
        place = options.index("--setenv")
        self.assertEqual(options[place : place + 3], ("--setenv", "A", "b"))
        self.assertLess(options.index("--clearenv"), place)
