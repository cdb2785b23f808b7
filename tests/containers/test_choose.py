"""Which driver is taken, and what is said when it can't be."""

import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from hyperhive.containers import choose, trials
from hyperhive.containers.choose import automatic, choose_driver
from hyperhive.containers.interfaces import Denied, DriverMissing, Probe, TimedOut
from hyperhive.containers.nixos_host import Host
from hyperhive.containers.refusals import refusal

HELP = (
    "--args --clearenv --file --json-status-fd --perms --remount-ro "
    "--unshare-cgroup-try --size --disable-userns"
)
REAL = "/usr/bin:/bin"


class ChooseTests(TestCase):
    """With the real programs, and with some that are made up."""

    timeout = 30

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.bin = Path(self.mktemp()).absolute()
        for folder in (self.state, self.bin):
            folder.mkdir()

    async def choose(self, setting: str) -> tuple[Any, Probe]:
        return await choose_driver(reactor, setting, self.state)

    def path(self, path: str) -> None:
        self.patch(os, "environ", {**os.environ, "PATH": path})

    def bwrap(self, script: str, help: str = HELP, mode: int = 0o755) -> None:
        """Let bwrap be a script, which gets its options as the variable O."""
        file = self.bin / "bwrap"
        file.write_text(
            "#!/bin/sh\n"
            'case "$1" in --version) echo bubblewrap 9.9; exit;; '
            f'--help) echo "{help}"; exit;; esac\n'
            "O=$(tr '\\0' ' ' <&4)\n"
            f"{script}\n"
        )
        file.chmod(mode)
        self.path(f"{self.bin}:{REAL}")

    async def test_auto(self) -> None:
        """What is chosen by itself isolates."""
        self.patch(choose, "Host", lambda: Host(marker=self.bin / "NIXOS"))
        driver, probe = await self.choose("auto")
        self.assertEqual((driver.name, probe.isolated), ("bubblewrap", True))

    async def test_by_name(self) -> None:
        """A driver can be asked for by name."""
        for name in ("bubblewrap", "process"):
            driver, probe = await self.choose(name)
            self.assertEqual((driver.name, probe.driver), (name, name))

    def test_auto_on_nixos(self) -> None:
        """On NixOS it is NixOS's containers, wherever they can be had or not."""
        host = Host(marker=self.bin / "NIXOS")
        self.assertEqual(automatic(host), "bubblewrap")
        host.marker.touch()
        self.assertEqual(automatic(host), "nixos")

    async def test_no_nixos(self) -> None:
        """Elsewhere NixOS's containers are refused, with the remedy."""
        (self.bin / "setsid").symlink_to("/usr/bin/setsid")
        self.path(str(self.bin))
        with self.assertRaises(DriverMissing) as raised:
            await self.choose("nixos")
        self.assertIn("boot.enableContainers = true", str(raised.exception))
        self.assertIn("--containers bubblewrap", str(raised.exception))

    async def test_not_installed(self) -> None:
        """Without bwrap, auto stops and says how to get it."""
        self.patch(choose, "Host", lambda: Host(marker=self.bin / "NIXOS"))
        (self.bin / "setsid").symlink_to("/usr/bin/setsid")
        self.path(str(self.bin))
        with self.assertRaises(DriverMissing) as raised:
            await self.choose("auto")
        self.assertIn("apt install bubblewrap", str(raised.exception))

    async def test_no_util_linux(self) -> None:
        """Without setsid no driver works, and its package is named."""
        self.path(str(self.bin))
        for name in ("bubblewrap", "process"):
            with self.assertRaises(DriverMissing) as raised:
                await self.choose(name)
            self.assertIn("apt install util-linux", str(raised.exception))

    async def test_setuid(self) -> None:
        """A bwrap that is setuid is refused, with the remedy."""
        self.bwrap("exit 0", mode=0o4755)
        with self.assertRaises(Denied) as raised:
            await self.choose("auto")
        self.assertIn(f"chmod u-s {self.bin}/bwrap", str(raised.exception))

    async def test_too_old(self) -> None:
        """A bwrap without the options that are needed is refused by its version."""
        self.bwrap("exit 0", help=HELP.replace("--clearenv", ""))
        with self.assertRaises(DriverMissing) as raised:
            await self.choose("auto")
        text = str(raised.exception)
        self.assertIn("9.9 is too old", text)
        self.assertIn("--clearenv", text)

    async def test_refused_by_the_host(self) -> None:
        """When nothing can be run inside, bwrap's text and a remedy are told."""
        self.bwrap("echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
        with self.assertRaises(Denied) as raised:
            await self.choose("auto")
        text = str(raised.exception)
        self.assertIn("setting up uid map: Permission denied", text)
        self.assertIn("--containers process", text)

    async def test_hangs(self) -> None:
        """A bwrap that hangs is ended."""
        self.patch(trials, "LIMIT", 0.2)
        self.bwrap("exec sleep 1000002")
        with self.assertRaises(TimedOut):
            await self.choose("auto")

    async def test_without_disable_userns(self) -> None:
        """Where a host can't forbid namespaces inside, it goes on and says that it is weaker."""
        works = "echo '{\"exit-code\": 0}' >&3; exit 0"
        self.bwrap(f'case "$O" in *--disable-userns*) exit 1;; esac; {works}')
        _, probe = await self.choose("auto")
        self.assertIn("user namespaces of their own", " ".join(probe.weaknesses))
        self.bwrap(f'case "$O" in *--disable-userns*) {works};; esac; exit 1')
        _, probe = await self.choose("auto")
        self.assertNotIn("user namespaces of their own", " ".join(probe.weaknesses))

    async def test_without_size(self) -> None:
        """Where /tmp can't be bounded, it says so."""
        works = "echo '{\"exit-code\": 0}' >&3; exit 0"
        self.bwrap(
            f'case "$O" in *--size*) exit 1;; esac; {works}',
            help=HELP.replace("--size", ""),
        )
        _, probe = await self.choose("auto")
        self.assertIn("files in /tmp", " ".join(probe.weaknesses))


class RefusalTests(SynchronousTestCase):
    """The remedy, from what a host shows of itself."""

    def setUp(self) -> None:
        self.host = Path(self.mktemp())
        self.patch(os, "geteuid", lambda: 1000)

    def put(self, name: str, text: str = "") -> None:
        file = self.host / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remedy(self) -> str:
        return str(refusal("bwrap: No", self.host))

    def test_apparmor(self) -> None:
        """AppArmor's restriction is named, with both ways out."""
        self.put("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
        self.assertIn("kernel.apparmor_restrict_unprivileged_userns=0", self.remedy())
        self.assertIn("/etc/apparmor.d", self.remedy())

    def test_settings_of_the_kernel(self) -> None:
        """So is a setting of the kernel, and only if it is what forbids."""
        for name, wrong, right in (
            ("kernel/unprivileged_userns_clone", "0", "1"),
            ("user/max_user_namespaces", "0", "100"),
        ):
            option = f"sysctl {name.replace('/', '.')}="
            self.put(f"proc/sys/{name}", right)
            self.assertNotIn(option, self.remedy())
            self.put(f"proc/sys/{name}", wrong)
            self.assertIn(option, self.remedy())
            self.put(f"proc/sys/{name}", right)

    def test_root_is_not_restricted(self) -> None:
        """What binds only others is no reason for root."""
        self.patch(os, "geteuid", lambda: 0)
        self.put("proc/sys/kernel/unprivileged_userns_clone", "0")
        self.assertNotIn("userns_clone", self.remedy())

    def test_in_a_container(self) -> None:
        """A hive in a container is told what the container needs."""
        self.put(".dockerenv")
        self.assertIn("runs in a container", self.remedy())
