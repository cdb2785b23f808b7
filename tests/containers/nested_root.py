"""A host with a real systemd, for tests: booted from a skeleton root, in a container of its own.

In it there is ``container@.service``, which is our own, does what the one of NixOS does,
and boots the skeleton again for each container.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hyperhive.testing.nixos_container import World, install

#: How long it may take to boot and to end (seconds).
BOOT, END = 60.0, 30.0
#: How long its control groups may take to be empty after that (seconds).
TIDY = 3.0

_FOLDERS = (
    *("dev", "proc", "sys", "run", "tmp", "root", "usr", "opt"),
    *("etc/systemd/system", "etc/nixos-containers", "var/lib/nixos-containers"),
    *("var/log", "nix/store", "nix/var/nix/daemon-socket", "nix/var/nix/gcroots"),
    "nix/var/nix/profiles/per-container",
)
_COPIED = (
    *("passwd", "group", "shadow", "nsswitch.conf", "login.defs", "pam.d", "security"),
    *("alternatives", "ld.so.cache", "profile", "dbus-1", "os-release"),
)
_MASKED = (
    *(
        "systemd-networkd.service",
        "systemd-networkd.socket",
        "systemd-resolved.service",
    ),
    *("systemd-timesyncd.service", "console-getty.service", "getty.target"),
    *("apt-daily.timer", "apt-daily-upgrade.timer"),
)
_UNIT = """\
[Unit]
Description=Container %i
[Service]
Environment=INSTANCE=%i root=/var/lib/nixos-containers/%i
EnvironmentFile=-/etc/nixos-containers/%i.conf
Type=notify
ExecStartPre=-/usr/bin/machinectl terminate %i
ExecStart=/opt/start-container
RestartForceExitStatus=133
SuccessExitStatus=133
TimeoutStartSec=1min
Restart=on-failure
Slice=machine.slice
Delegate=true
KillMode=mixed
KillSignal=TERM
DevicePolicy=closed
SyslogIdentifier=container %i
"""
_START = """\
#!/bin/bash
[ -e "$root/etc/passwd" ] || cp -a /opt/skeleton/. "$root/"
mkdir -p "$root/var/lib/private"
chmod 0700 "$root/var/lib/private"
mkdir -p /nix/var/nix/{profiles,gcroots}/per-container/"$INSTANCE"
extra=()
[ "${PRIVATE_NETWORK-}" = 1 ] && extra+=(--private-network)
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --keep-unit -M "$INSTANCE" -D "$root" "${extra[@]}" \\
    --notify-ready=yes --kill-signal=SIGRTMIN+3 --link-journal=try-guest --bind-ro=/usr \\
    --bind-ro=/nix/store --bind-ro=/nix/var/nix/daemon-socket \\
    --bind="/nix/var/nix/profiles/per-container/$INSTANCE:/nix/var/nix/profiles" \\
    --bind="/nix/var/nix/gcroots/per-container/$INSTANCE:/nix/var/nix/gcroots" \\
    ${EXTRA_NSPAWN_FLAGS-} "${SYSTEM_PATH:-/nix/var/nix/profiles/system}/init"
"""
#: What a system of these containers boots.
INIT = "#!/bin/sh\nexec /usr/lib/systemd/systemd\n"


@functools.cache
def why_not() -> str | None:
    """Why there can be no such host here."""
    if os.geteuid() != 0:
        return "only root can boot a systemd in a container"
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("machinectl", "systemd-container"),
        ("dbus-daemon", "dbus"),
        ("nsenter", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt install {package})"
    if not Path("/usr/lib/systemd/systemd").exists():
        return "there is no systemd (apt install systemd)"
    tried = subprocess.run(
        [
            *("unshare", "--mount", "--pid", "--net", "--fork", "--"),
            *("mount", "-t", "tmpfs", "none", "/tmp"),
        ],
        capture_output=True,
        check=False,
    )
    if tried.returncode:
        return f"namespaces can't be made: {tried.stderr.decode().strip()}"
    return None


def skeleton(root: Path) -> None:
    """Make a root file system that needs only /usr to boot."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for name in _COPIED:
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, root / "etc" / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, root / "etc" / name)
    for name in _MASKED:
        (root / "etc/systemd/system" / name).symlink_to("/dev/null")
    (root / "etc/machine-id").touch()


def furnish(root: Path) -> None:
    """Make it a host of containers."""
    skeleton(root)
    skeleton(root / "opt/skeleton")
    (root / "etc/systemd/system/container@.service").write_text(_UNIT)
    script = root / "opt/start-container"
    script.write_text(_START)
    script.chmod(0o755)


def world() -> World:
    """The host as its own programs see it; its nixos-container is the contract fake."""
    found = World(Path("/"), Path("/opt/control"))
    install(found, "nixos_container", "nixos-container", "nix-env")
    return found


@contextlib.contextmanager
def booted() -> Iterator[list[str]]:
    """Boot a host, and give the command that runs others inside it. It sees this project."""
    seen = {str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix}
    binds = [
        f"--bind-ro={path}" for path in sorted(seen) if not path.startswith("/usr/")
    ]
    before = _groups()
    folder = Path(tempfile.mkdtemp(prefix="hive-host-"))
    root, log = folder / "root", folder / "log"
    try:
        furnish(root)
        with log.open("wb") as output:
            nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "-q", "--register=no", "--keep-unit"),
                    *(
                        "-M",
                        f"hive-host-{os.getpid()}",
                        "-D",
                        str(root),
                        "--bind-ro=/usr",
                        *binds,
                    ),
                    *("--private-network", "--capability=all", "-b"),
                    "--kill-signal=SIGRTMIN+3",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        try:
            yield _ready(nspawn, log)
        finally:
            _end(nspawn)
    finally:
        shutil.rmtree(folder)
        _tidy(_groups() - before)


def _ready(nspawn: "subprocess.Popen[bytes]", log: Path) -> list[str]:
    """Wait until it has booted."""
    deadline = time.monotonic() + BOOT
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    said = ""
    while time.monotonic() < deadline and nspawn.poll() is None:
        leader = children.read_text().split()
        if leader:
            enter = ["nsenter", "--target", leader[0], "--all", "--"]
            asked = subprocess.run(
                [*enter, "systemctl", "is-system-running", "--wait"],
                capture_output=True,
                timeout=BOOT,
                check=False,
            )
            said = asked.stdout.decode().strip()
            if said in ("running", "degraded"):
                return enter
        time.sleep(0.1)
    raise AssertionError(
        f"systemd did not boot ({said}): {log.read_text(errors='replace')[-2000:]}"
    )


def _end(nspawn: "subprocess.Popen[bytes]") -> None:
    nspawn.send_signal(signal.SIGTERM)
    try:
        nspawn.wait(END)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()


def _tidy(groups: set[Path]) -> None:
    """Remove what nspawn leaves, as soon as the last process has left it.

    A group with processes in it can't be removed: it is somebody's, and stays.
    """
    deadline = time.monotonic() + TIDY
    while any(group.exists() for group in groups) and time.monotonic() < deadline:
        for group in groups:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        time.sleep(0.05)


def _groups() -> set[Path]:
    """The control groups of a kind that nspawn leaves behind."""
    return {
        Path(folder)
        for folder, _, _ in os.walk("/sys/fs/cgroup")
        if os.path.basename(folder) in ("payload", "supervisor")
    }
