"""What bwrap is told: which parts of the host an agent sees, and as what."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from hyperhive.containers.interfaces import Bind, Command, ContainerSpec
from hyperhive.containers.specs import SYSTEM, lies_in

#: The size of /tmp, which lies in memory (bytes).
TMP_SIZE = 1024**3
#: The size of /dev/shm, likewise.
SHM_SIZE = 256 * 1024**2
#: A file of the host that is read for its text is no longer than this (bytes).
MAX_TEXT = 1024 * 1024

#: What programs need of /etc, where the host has it and everybody may read it.
#: Nothing here may hold a secret: an agent reads all of it.
ETC = (
    "alternatives",
    "ca-certificates",
    "debian_version",
    "gai.conf",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)


@frozen
class Features:
    """What this host's bwrap can do beyond the least that is needed.

    :param disable_userns: it keeps an agent from making user namespaces.
    :param size: it can bound a tmpfs.
    """

    disable_userns: bool
    size: bool


@frozen
class Sandbox:
    """Everything that bwrap is given but the command.

    :param options: may hold secrets (the environment): never for its argv.
    :param files: contents of files; ``options`` names them by descriptors from
        ``first_file`` on, in this order.
    """

    options: tuple[str, ...]
    files: tuple[bytes, ...]


def sandbox(
    features: Features,
    spec: ContainerSpec,
    command: Command,
    first_file: int,
    host: Path = Path("/"),
) -> Sandbox:
    """Describe the sandbox for one command. Reads a few files of the host.

    :param first_file: the descriptor of the first of the sandbox's files.
    :param host: the root that is shown.
    """
    options: list[str] = [*_namespaces(features, spec.name), "--clearenv"]
    for key, value in command.environment.items():
        options += "--setenv", key, value
    options += _system(host)
    options += _etc(host / "etc")
    written = _written(host / "etc", spec.name)
    for number, name in enumerate(written, first_file):
        options += "--perms", "0444", "--file", str(number), f"/etc/{name}"
    options += _made(features)
    for bind in by_depth(spec):
        way = "--bind" if bind.writable else "--ro-bind"
        options += way, str(bind.source), bind.destination
    # What bwrap has made up to here belongs to the agent's uid.
    options += "--remount-ro", "/", "--chdir", command.directory
    return Sandbox(tuple(options), tuple(written.values()))


def by_depth(spec: ContainerSpec) -> list[Bind]:
    """A spec's binds, those that enclose others before them."""
    return sorted(spec.binds, key=lambda bind: bind.destination.count("/"))


def _namespaces(features: Features, name: str) -> list[str]:
    options = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        *(("--cap-drop", "ALL")),
        "--new-session",
        "--die-with-parent",
        *("--hostname", name),
    ]
    if features.disable_userns:
        options.append("--disable-userns")
    return options


def _made(features: Features) -> list[str]:
    """What is fresh in each sandbox: processes, devices, scratch."""

    def tmpfs(size: int, mode: str, place: str) -> tuple[str, ...]:
        bound = ("--size", str(size)) if features.size else ()
        return ("--perms", mode, *bound, "--tmpfs", place)

    return [
        # Read-only as a whole: bwrap covers what it finds writable, but for uid 0
        # every setting under /proc/sys is, and core_pattern runs programs on the host.
        *("--proc", "/proc", "--remount-ro", "/proc"),
        *("--dev", "/dev", *tmpfs(SHM_SIZE, "1777", "/dev/shm")),  # noqa: S108  # inside
        *("--remount-ro", "/dev"),
        *tmpfs(TMP_SIZE, "1777", "/tmp"),  # noqa: S108  # inside
        *("--symlink", "../tmp", "/var/tmp"),  # noqa: S108  # inside
        *("--dir", "/run", "--dir", "/root"),
    ]


def _system(host: Path) -> Iterator[str]:
    """The host's programs and libraries; /bin, /lib… as they are there, links or folders."""
    for name in SYSTEM:
        path = host / name[1:]
        if path.is_symlink():
            yield from ("--symlink", os.readlink(path), name)
        elif path.is_dir():
            yield from ("--ro-bind", str(path), name)


def _etc(etc: Path) -> Iterator[str]:
    for name in ETC:
        source = _public(etc / name)
        if source is not None:
            yield from ("--ro-bind", str(source), f"/etc/{name}")
    yield from _localtime(etc / "localtime")


def _localtime(path: Path) -> Iterator[str]:
    """Kept as a link where it is one: programs read the zone's name from it."""
    source = _public(path)
    if source is None:
        return
    if any(lies_in(str(source), folder) for folder in SYSTEM):
        yield from ("--symlink", str(source), "/etc/localtime")
    else:
        yield from ("--ro-bind", str(source), "/etc/localtime")


def _public(path: Path) -> Path | None:
    """Where a path leads, if there is something that everybody may read."""
    try:
        source = path.resolve(strict=True)
        mode = source.stat().st_mode
    except (OSError, RuntimeError):
        return None  # a symlink that leads nowhere or in a circle
    kind = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return source if kind and mode & stat.S_IROTH else None


def _written(etc: Path, name: str) -> dict[str, bytes]:
    """Files of /etc that are not the host's: who there is, and what it is called."""
    uid, gid = os.geteuid(), os.getegid()
    users = ["root:x:0:0:root:/root:/bin/sh"]
    groups = ["root:x:0:"]
    if uid:
        users.append(f"agent:x:{uid}:{gid}:agent:/root:/bin/sh")
    if gid:
        groups.append(f"agent:x:{gid}:")
    users.append("nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin")
    groups.append("nogroup:x:65534:")
    hosts = _text(etc / "hosts") or "127.0.0.1\tlocalhost\n::1\tlocalhost"
    texts = {
        "passwd": "\n".join(users),
        "group": "\n".join(groups),
        "hosts": f"{hosts.rstrip()}\n127.0.1.1\t{name}",
        "hostname": name,
    }
    if _public(etc / "nsswitch.conf") is None:
        texts["nsswitch.conf"] = "passwd: files\ngroup: files\nhosts: files dns"
    return {name: f"{text}\n".encode() for name, text in texts.items()}


def _text(path: Path) -> str:
    source = _public(path)
    if source is None:
        return ""
    with source.open("rb") as file:
        return file.read(MAX_TEXT).decode("utf-8", "replace")
