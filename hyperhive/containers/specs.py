"""Which specifications and commands drivers take, and how paths of the host are called inside."""

import os
import posixpath
import re
import stat
from pathlib import Path, PurePosixPath

import attrs

from hyperhive.containers.interfaces import Bind, Command, ContainerSpec, InvalidSpec

#: Folders of the host's system. Inside they are the same, to be read only, and
#: nothing is bound over them.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: What drivers make inside themselves; nothing is bound there or below.
MADE = ("/etc", "/proc", "/dev", "/sys")
#: What drivers make inside themselves; binds may lie below.
SHARED = ("/", "/run", "/tmp", "/var", "/var/tmp")  # noqa: S108  # names, not files

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,9}[a-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_spec(spec: ContainerSpec) -> ContainerSpec:
    """Answer ``spec`` with canonical sources if a container can be made of it.

    The folders that lead to a source may be symlinks; the source itself may not,
    so that where it leads can't be changed by who owns its folder.

    :raises InvalidSpec: with what is wrong.
    """
    if not _NAME.fullmatch(spec.name):
        raise InvalidSpec(f"{spec.name[:40]!r} is not a container's name.")
    seen: set[str] = set()
    for bind in spec.binds:
        _check_destination(bind.destination)
        if bind.destination in seen:
            raise InvalidSpec(f"{bind.destination} is bound twice in {spec.name}.")
        seen.add(bind.destination)
    return attrs.evolve(
        spec, binds=tuple(_with_checked_source(bind) for bind in spec.binds)
    )


def _check_destination(destination: str) -> None:
    if _CONTROL.search(destination) or not _encodable(destination):
        raise InvalidSpec(f"{destination!r} has control characters in it.")
    normal = posixpath.normpath(destination)
    if not destination.startswith("/") or "//" in destination or destination != normal:
        raise InvalidSpec(
            f"{destination!r} is not an absolute path without '.', '..', '//' and a "
            "slash at its end."
        )
    if destination in SHARED or any(
        lies_in(destination, made) for made in (*SYSTEM, *MADE)
    ):
        raise InvalidSpec(f"Nothing can be bound to {destination}: it is the system's.")


def _with_checked_source(bind: Bind) -> Bind:
    if _CONTROL.search(str(bind.source)):
        raise InvalidSpec(f"{str(bind.source)!r} has control characters in it.")
    if not bind.source.is_absolute():
        raise InvalidSpec(f"{str(bind.source)!r} is not an absolute path.")
    source = canonical(bind.source)
    try:
        mode = source.lstat().st_mode
    except OSError as error:
        raise InvalidSpec(f"{bind.source} can't be bound: {error.strerror}.") from None
    if stat.S_ISLNK(mode):
        raise InvalidSpec(
            f"{bind.source} is a symlink: bind what it leads to, {source.resolve()}."
        )
    return attrs.evolve(bind, source=source)


def canonical(path: Path) -> Path:
    """``path`` with no symlink in the folders that lead to it; its own last part stays."""
    if path.name in ("", ".."):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent), path.name)


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it; both canonical."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def enclosing(spec: ContainerSpec, destination: str) -> Bind | None:
    """The innermost other bind that a bind's destination lies in."""
    around = (
        bind
        for bind in spec.binds
        if bind.destination != destination and lies_in(destination, bind.destination)
    )
    return max(around, key=lambda bind: len(bind.destination), default=None)


def path_inside(
    spec: ContainerSpec, path: Path, system: tuple[str, ...] = SYSTEM
) -> str:
    """How a path of the host is called in a container that sees its binds and the system.

    A symlink stays one where it leads to the same place inside; otherwise it is
    what it leads to.

    :param system: the folders of the host that are the same inside.
    :raises InvalidSpec: if it can't be seen from inside.
    """
    literal = canonical(path)
    target = Path(os.path.realpath(path))
    inside = _translated(spec, target, system)
    if inside is None:
        raise InvalidSpec(
            f"{path} can't be seen from inside {spec.name}: it is neither bound nor a "
            "part of the system."
        )
    if inside == str(target):
        return _translated(spec, literal, system) or inside
    return inside


def _translated(spec: ContainerSpec, path: Path, system: tuple[str, ...]) -> str | None:
    """Where a canonical path is inside, if the container sees it."""
    around = [
        (canonical(bind.source), bind)
        for bind in spec.binds
        if path.is_relative_to(canonical(bind.source))
    ]
    for source, bind in sorted(around, key=lambda pair: -len(pair[0].parts)):
        inside = str(PurePosixPath(bind.destination, path.relative_to(source)))
        over = (one for one in spec.binds if lies_in(inside, one.destination))
        if max(over, key=lambda one: len(one.destination)) == bind:
            return inside
    if any(lies_in(str(path), folder) for folder in system):
        return str(path)
    return None


def unfit(command: Command) -> str | None:
    """Why no process can be made of a command, if none can."""
    if not command.argv or not command.argv[0]:
        return "The command is empty."
    if not command.directory.startswith("/"):
        return f"The directory {command.directory!r} is not an absolute path."
    variables = command.environment.items()
    texts = (
        *command.argv,
        command.directory,
        *(text for one in variables for text in one),
    )
    if not all(_encodable(text) and "\0" not in text for text in texts):
        return "A NUL character, or half of one, is in the command or its environment."
    for key in command.environment:
        if not key or "=" in key:
            return f"{key!r} can't be the name of an environment variable."
    return None


def _encodable(text: str) -> bool:
    """Whether a text can be given to the kernel: JSON can bring halves of characters."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
