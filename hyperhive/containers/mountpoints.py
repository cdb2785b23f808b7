"""Places for mounts, made so that an agent can't lead them out of its own folders.

A bind that lies in another, writable one needs a place in a folder that an agent
writes. bwrap would follow a symlink that the agent left there, and make files at its
end with the daemon's rights. So the daemon makes the places first, without following
any.
"""

import contextlib
import os
import stat
from pathlib import Path

from hyperhive.containers.interfaces import Bind, ContainerSpec, InvalidSpec
from hyperhive.containers.sandbox import by_depth
from hyperhive.containers.specs import enclosing

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare(spec: ContainerSpec) -> None:
    """Check a container's sources once more, and make the places that are missing.

    :raises InvalidSpec: for a source that is gone or leads elsewhere now, and
        for a place that is a symlink or is of the wrong kind.
    """
    for bind in by_depth(spec):
        if os.path.realpath(bind.source) != str(bind.source):
            raise InvalidSpec(
                f"{bind.source} has become a symlink, or lies behind one."
            )
        if not bind.source.exists():
            raise InvalidSpec(f"{bind.source}, which is to be bound, does not exist.")
        around = enclosing(spec, bind.destination)
        if around is not None:
            _make_place(bind, around)


def _make_place(bind: Bind, around: Bind) -> None:
    way = Path(bind.destination).relative_to(around.destination).parts
    folder = -1
    try:
        folder = os.open(around.source, _FOLDER)
        for part in way[:-1]:
            folder = _step(folder, part, around.writable)
        if bind.source.is_dir():
            folder = _step(folder, way[-1], around.writable)
        else:
            _make_file(folder, way[-1], around.writable)
    except OSError as error:
        raise InvalidSpec(
            f"There is no place for {bind.destination} in {around.source}: "
            f"{'/'.join(way)}: {error.strerror}."
        ) from None
    finally:
        if folder >= 0:
            os.close(folder)


def _step(folder: int, name: str, make: bool) -> int:
    """Go into a folder below, and close the one above if that went well."""
    if make:
        # Whatever is there already, opening it tells.
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=folder)
    below = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return below


def _make_file(folder: int, name: str, make: bool) -> None:
    if make:
        # Whatever is there already, its kind is looked at next.
        with contextlib.suppress(FileExistsError):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o600, dir_fd=folder))
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
        raise FileExistsError(0, "a link or a folder is in its place")
