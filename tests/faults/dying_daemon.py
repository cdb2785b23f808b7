"""The real daemon, killed at one step of the way from a decision to its end.

Usage: ``python -m tests.faults.dying_daemon TRACE STEP WHEN TWISTD-ARGUMENTS…``.

From the moment at which something is approved, every write of the broker's store, every
change of a repo, the build, and every change of a container is a step. Its name is
added to the file TRACE. ``before`` or ``after`` the one with the number STEP the daemon
sends itself SIGKILL; 0 is no step.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.scripts import twistd

from hyperhive.approvals.approvals import Approvals
from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.deferreds import deferred
from hyperhive.deploy.repos import Repos
from hyperhive.deploy.toml_build import TomlBuilder
from hyperhive.store.database import Database

#: What is a step: methods, by their classes and what these are called.
STEPS: tuple[tuple[str, type, tuple[str, ...]], ...] = (
    ("repo", Repos, ("create", "tag", "advance")),
    ("builder", TomlBuilder, ("build", "release")),
    ("container", BubblewrapDriver, ("create", "start", "stop")),
)


class Fate:
    """Counts the steps, and kills the daemon at one of them."""

    def __init__(self, trace: Path, fatal: int, after: bool) -> None:
        self._trace = trace
        self._fatal = fatal
        self._after = after
        self._count = 0
        self.begun = False

    def step(self, name: str, act: "Callable[[], Deferred[Any]]") -> "Deferred[Any]":
        """Do something, and perhaps die."""
        if not self.begun:
            return act()
        self._count += 1
        with self._trace.open("a") as file:
            file.write(f"{name}\n")
        if self._count != self._fatal:
            return act()
        if not self._after:
            _die()
        # The first to hear of it: nobody does anything with it.
        return act().addBoth(lambda _: _die())


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def let_die(fate: Fate) -> None:
    """Make steps of all those methods."""
    for what, owner, names in STEPS:
        for name in names:
            _replace(owner, name, f"{what}.{name}", fate)
    stores: list[Database] = []
    opened, write = Database.open, Database.write
    recover, approve = Approvals.recover, Approvals.approve
    recovered: Deferred[Any] = Deferred()

    def open_and_know(reactor: Any, path: Path, *rest: Any) -> Database:
        database = opened(reactor, path, *rest)
        if path.name == "broker.sqlite":
            stores.append(database)
        return database

    def stepping_write(self: Database, work: Any) -> Any:
        if self not in stores:
            return write(self, work)
        return fate.step("store.write", lambda: write(self, work))

    def recover_and_tell(self: Approvals) -> Any:
        return recover(self).addBoth(recovered.callback)

    @deferred
    async def begin(self: Approvals, id: int, by: str) -> None:
        # Nothing of the start is a step.
        await recovered
        fate.begun = True
        await approve(self, id, by)

    for changed, name, method in (
        (Database, "open", staticmethod(open_and_know)),
        (Database, "write", stepping_write),
        (Approvals, "recover", recover_and_tell),
        (Approvals, "approve", begin),
    ):
        setattr(changed, name, method)


def _replace(owner: type, name: str, step: str, fate: Fate) -> None:
    method = getattr(owner, name)

    @wraps(method)
    def stepping(*args: Any, **options: Any) -> Any:
        return fate.step(step, lambda: method(*args, **options))

    setattr(owner, name, stepping)


if __name__ == "__main__":
    let_die(Fate(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "after"))
    sys.argv[:4] = ["twistd"]
    twistd.run()
