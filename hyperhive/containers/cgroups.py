"""Limits for containers that no systemd starts: a control group for each, below the daemon's own."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hyperhive.containers.interfaces import DriverError, Limits

#: Where control groups are if the kernel's version 2 is all there is.
ROOT = Path("/sys/fs/cgroup")
#: Which group this process is in.
OWN = Path("/proc/self/cgroup")
#: What the limits need.
CONTROLLERS = ("cpu", "memory", "pids")
#: The daemon's own group below the one that was delegated: one with processes in it
#: can't hand controllers on.
DAEMON = "daemon"
#: By these systemd says that it leaves a group to its service; only root reads the second.
_DELEGATED = ("user.delegate", "trusted.delegate")
#: The period that a share of processors is counted in (microseconds), and the least of it.
_PERIOD, _LEAST = 100_000, 1_000


class ControlGroups:
    """Control groups below one that was delegated to the daemon.

    :param base: that one.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    def joined(
        self, name: str, limits: Limits, argv: Sequence[str | Path]
    ) -> list[str]:
        """What to execute for a command to run in a container's group, with all that it starts.

        The group is made, and given these limits. The process enters it before the
        command takes its place.

        :raises DriverError: if that can't be done: nothing runs without its limits.
        """
        group = self._base / name
        try:
            group.mkdir(exist_ok=True)
            for file, value in _settings(limits):
                (group / file).write_text(value)
        except OSError as error:
            raise DriverError(
                f"The limits of {name} can't be set in {group}: {error.strerror}."
            ) from None
        # Without a subshell 0 is the process that becomes the command.
        script = 'echo 0 >"$0" && exec "$@"'
        return ["/bin/sh", "-c", script, str(group / "cgroup.procs"), *map(str, argv)]

    def remove(self, name: str) -> None:
        """Remove a container's group. One that is not empty yet stays, and is used again."""
        with contextlib.suppress(OSError):
            (self._base / name).rmdir()


def delegated(root: Path = ROOT, own: Path = OWN) -> ControlGroups | None:
    """The control groups that systemd has delegated to this daemon (``Delegate=yes``), if it has.

    The daemon moves into a group of its own below. None are used where that fails:
    other processes may be in the delegated one, started before the daemon.

    :param root: where control groups are.
    :param own: which one this process is in, as Linux says it.
    """
    base = _base(root, own)
    if base is None:
        return None
    try:
        # It is there already where systemd has made it (DelegateSubgroup=).
        (base / DAEMON).mkdir(exist_ok=True)
        (base / DAEMON / "cgroup.procs").write_text(str(os.getpid()))
        (base / "cgroup.subtree_control").write_text(
            " ".join(f"+{one}" for one in CONTROLLERS)
        )
    except OSError:
        return None
    return ControlGroups(base)


def _base(root: Path, own: Path) -> Path | None:
    """The delegated group with all that is needed: the one we are in, or the one around it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    if not paths or ".." in paths[0].split("/"):
        return None
    group = root / paths[0]
    for one in (group, group.parent):
        if one.is_relative_to(root) and _is_delegated(one):
            return one if _has_controllers(one) else None
    return None


def _is_delegated(group: Path) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _has_controllers(group: Path) -> bool:
    try:
        found = (group / "cgroup.controllers").read_text().split()
    except OSError:
        return False
    return set(CONTROLLERS) <= set(found)


def _settings(limits: Limits) -> Iterator[tuple[str, str]]:
    """The files of a group and what they are to say; what is not limited says so."""
    yield "memory.max", "max" if limits.memory is None else str(limits.memory)
    share = (
        "max" if limits.cpu is None else str(max(_LEAST, round(limits.cpu * _PERIOD)))
    )
    yield "cpu.max", f"{share} {_PERIOD}"
    yield "pids.max", "max" if limits.tasks is None else str(limits.tasks)
