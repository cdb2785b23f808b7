"""Notice at once that a NixOS container has died, and tell why, if nobody asked for it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger

from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    DriverError,
)
from hyperhive.containers.nixos_systemd import HostUnits, UnitState
from hyperhive.containers.pidfds import HeldProcess
from hyperhive.deferreds import deferred

#: How long systemd may take to have a dead container stopped, failed or running again
#: (seconds), and the least and the longest pause between two looks.
SETTLED = 120.0
LEAST, LONGEST = 0.05, 1.0


class Watch:
    """Holds the systemd-nspawn of each running container.

    It ends with its container, 0.1 s after a container's init was killed. systemd
    itself is only asked then, since it is the last to know: for some moments a dead
    container's unit is still active.
    """

    _log = Logger()

    def __init__(self, reactor: Any, units: HostUnits) -> None:
        self._reactor = reactor
        self._units = units
        self._held: dict[str, tuple[int, HeldProcess]] = {}
        self._asked: dict[str, int] = {}
        self._callbacks: list[Callable[[ContainerStatus], None]] = []

    def add(self, callback: Callable[[ContainerStatus], None]) -> None:
        """Tell whoever is to be told."""
        self._callbacks.append(callback)

    @contextlib.contextmanager
    def asked(self, name: str) -> Iterator[None]:
        """What happens to a container meanwhile was asked for, and is told to nobody."""
        self._asked[name] = self._asked.get(name, 0) + 1
        try:
            yield
        finally:
            self._asked[name] -= 1
            if not self._asked[name]:
                del self._asked[name]

    def held(self, name: str) -> HeldProcess | None:
        """The systemd-nspawn of a container that runs, as far as it was seen."""
        pair = self._held.get(name)
        return pair[1] if pair is not None and not pair[1].gone.happened else None

    def follow(self, name: str, state: UnitState) -> bool:
        """Hold a running container from now on; whether there is a process to hold."""
        known = self._held.get(name)
        if known is not None and known[0] == state.main_pid and self.held(name):
            return True
        try:
            held = HeldProcess(self._reactor, state.main_pid)
        except (OSError, ValueError):
            # It has died since systemd was asked.
            return False
        self._held[name] = state.main_pid, held
        held.gone.wait().addCallback(lambda _: self._ended(name, held))
        return True

    def _ended(self, name: str, held: HeldProcess) -> None:
        pair = self._held.get(name)
        if pair is None or pair[1] is not held:
            return
        del self._held[name]
        if name not in self._asked:
            self._tell_end(name, pair[0]).addErrback(
                lambda failure: self._log.failure(
                    "what became of {name} can't be told", failure, name=name
                )
            )

    @deferred
    async def _tell_end(self, name: str, pid: int) -> None:
        """Ask until the container has come to rest, and tell each change on the way."""
        deadline = self._reactor.seconds() + SETTLED
        pause, told = LEAST, None
        while name not in self._asked:
            try:
                state = (await self._units.show([name]))[name]
            except DriverError as error:
                self._tell(
                    ContainerStatus(name, ContainerState.FAILED, None, str(error))
                )
                return
            if name in self._asked:
                return
            status = _unasked(state, name, pid)
            runs = status is not None and status.state is ContainerState.RUNNING
            if runs and not self.follow(name, state):
                # It has died again since systemd was asked.
                status = None
            at_rest = runs or state.active in ("inactive", "failed")
            if status is not None and (at_rest or status.state is not told):
                told = status.state
                self._tell(status)
            if at_rest and status is not None:
                return
            if self._reactor.seconds() > deadline:
                self._log.error("{name} does not come to rest", name=name)
                return
            await deferLater(self._reactor, pause)
            pause = min(2 * pause, LONGEST)

    def _tell(self, status: ContainerStatus) -> None:
        for callback in list(self._callbacks):
            callback(status)


def _unasked(state: UnitState, name: str, dead: int) -> ContainerStatus | None:
    """What to tell of a container that has died, if systemd has noticed.

    :param dead: the pid that its systemd-nspawn had.
    """
    if state.running:
        return state.status(name) if state.main_pid != dead else None
    if state.active == "deactivating":
        return None
    status = state.status(name)
    if state.active == "activating":
        return attrs.evolve(
            status,
            state=ContainerState.FAILED,
            reason=f"{state.trouble} systemd starts it again.",
        )
    if state.active == "inactive":
        return attrs.evolve(status, reason="It was switched off, and not by the hive.")
    return status
