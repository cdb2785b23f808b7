"""Find processes by a mark in their environment, wherever they went, and end them.

A child of claude may have a session of its own and a parent that is long gone, so
that neither a process group nor a tree leads to it. What it inherited does: its
environment as it was at its start, which ``/proc`` shows.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from hyperhive.containers.interfaces import TimedOut
from hyperhive.deferreds import deferred

#: The variable that carries the mark.
VARIABLE = "HYPERHIVE_CONTAINER"
#: How long killed processes may take to be gone (seconds).
LIMIT = 10.0
#: The pause between two looks (seconds).
PAUSE = 0.02
#: How much of a process's environment is looked at (bytes).
MAX_ENVIRONMENT = 2 * 1024 * 1024


@frozen
class _Stat:
    """What is needed of ``/proc/<pid>/stat``. Parent and start together tell a pid's reuse."""

    state: str
    parent: int
    start: int


@deferred
async def end_marked(reactor: Any, prefix: str, spared: str | None = None) -> None:
    """KILL every process whose mark starts with ``prefix``, and all of its children.

    Fires when two looks in a row found none: one alone can miss a process that
    is just being made. The looks happen in a thread.

    :param reactor: ``IReactorTime`` and ``IReactorThreads``.
    :param spared: marks with this in them are left alone.
    :raises TimedOut: if some are still there after :data:`LIMIT`.
    """
    deadline = reactor.seconds() + LIMIT
    clean = 0
    while clean < 2:
        found: list[int] = await deferToThreadPool(
            reactor, reactor.getThreadPool(), kill_marked, prefix, spared
        )
        clean = 0 if found else clean + 1
        if found and reactor.seconds() >= deadline:
            pids = ", ".join(str(pid) for pid in sorted(found)[:10])
            raise TimedOut(f"Processes could not be ended within {LIMIT:g} s: {pids}.")
        if clean < 2:
            await deferLater(reactor, PAUSE)


def kill_marked(prefix: str, spared: str | None = None) -> list[int]:
    """Look once, and KILL what is there; answers the pids. Blocks: for a thread."""
    processes = _processes()
    marked = {
        pid
        for pid in processes
        if (mark := _mark(pid)) is not None
        and mark.startswith(prefix)
        and (spared is None or spared not in mark)
    }
    found = _with_descendants(processes, marked)
    for pid in found:
        _kill(pid, processes[pid])
    return list(found)


def _processes() -> dict[int, _Stat]:
    """Every living process but this one."""
    stats = {
        int(name): stat
        for name in os.listdir("/proc")
        if name.isdigit() and (stat := _stat(int(name))) is not None
    }
    stats.pop(os.getpid(), None)
    return {pid: stat for pid, stat in stats.items() if stat.state not in "ZX"}


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The program's name is in brackets and may hold anything, brackets too.
    fields = text.rpartition(b")")[2].split()
    return _Stat(fields[0].decode(), int(fields[1]), int(fields[19]))


def _mark(pid: int) -> str | None:
    """A process's mark; none also where it may not be looked at."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = b"\0" + file.read(MAX_ENVIRONMENT)
    except OSError:
        return None
    _, found, rest = environment.partition(f"\0{VARIABLE}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else None


def _with_descendants(processes: Mapping[int, _Stat], found: set[int]) -> set[int]:
    found = set(found)
    while True:
        children = {pid for pid, stat in processes.items() if stat.parent in found}
        if children <= found:
            return found
        found |= children


def _kill(pid: int, seen: _Stat) -> None:
    """KILL a process if it is still the one that was seen."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        stat = _stat(pid)
        if stat is not None and stat.start == seen.start:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Gone by itself; or not ours to end, and then the caller hears so.
        return
    finally:
        os.close(descriptor)
