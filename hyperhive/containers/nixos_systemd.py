"""Ask systemd and tell it: of containers' units on the host, and of processes' units inside."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    DriverMissing,
)
from hyperhive.containers.nixos_commands import MAX_TEXT, QUICK, Answer, Commands
from hyperhive.containers.nixos_host import Host, unit
from hyperhive.deferreds import deferred

#: From here on systemd-run can be told to take arguments as they are.
LITERAL_SINCE = 254
#: How many lines of a unit's journal tell why it failed.
JOURNAL_LINES = 15

_SHOWN = (
    *("Id", "ActiveState", "SubState", "Result", "MainPID"),
    "StateChangeTimestamp",
)

_REASONS = {
    "exit-code": "its init or systemd-nspawn failed",
    "oom-kill": "its memory ran out",
    "signal": "its init or systemd-nspawn was killed",
    "core-dump": "its init or systemd-nspawn crashed",
    "start-limit-hit": "it failed too often in a row",
    "timeout": "it took too long to start or to stop",
    "protocol": "its init ended before it was ready",
}


@frozen
class UnitState:
    """A container's unit on the host.

    :param active: systemd's ActiveState, such as ``active``.
    :param sub: systemd's SubState.
    :param result: why it ended, ``success`` if nothing was wrong.
    :param main_pid: of systemd-nspawn, 0 if there is none.
    :param since: POSIX time, none for a unit that systemd has forgotten.
    """

    active: str
    sub: str
    result: str
    main_pid: int
    since: float | None

    @property
    def running(self) -> bool:
        """Whether processes can be run in it. It may have died just now."""
        return self.active in ("active", "reloading")

    @property
    def trouble(self) -> str:
        """What went wrong, a sentence."""
        if self.result == "success":
            return "It ended by itself."
        words = _REASONS.get(self.result, "it failed")
        return f"systemd says {self.result}: {words}."

    def status(self, name: str) -> ContainerStatus:
        """As others see it."""
        if self.running:
            return ContainerStatus(name, ContainerState.RUNNING, self.since)
        if self.active == "failed" or self.sub == "auto-restart":
            return ContainerStatus(
                name, ContainerState.FAILED, self.since, self.trouble
            )
        return ContainerStatus(name, ContainerState.STOPPED, self.since)


#: A unit that systemd does not know.
GONE = UnitState("inactive", "dead", "success", 0, None)


class HostUnits:
    """The containers' units on the host."""

    def __init__(self, commands: Commands, host: Host) -> None:
        self._commands = commands
        self._host = host

    async def version(self) -> int:
        """Systemd's version.

        :raises DriverMissing: if it can't be found out.
        """
        answer = await self._systemctl("--version")
        match = re.match(r"systemd (\d+)", answer.stdout)
        if not answer.ok or match is None:
            raise DriverMissing(f"{answer.failure('systemctl does not work')}")
        return int(match[1])

    async def configuration(self) -> Path | None:
        """The folder from which units of containers are configured; none if there are no such units."""
        answer = await self._systemctl(
            "show", "-p", "LoadState", "-p", "EnvironmentFiles", unit("hive-probe")
        )
        found = next(_blocks(answer.stdout), {})
        if not answer.ok or found.get("LoadState") != "loaded":
            return None
        file = found.get("EnvironmentFiles", "").partition(" ")[0]
        return Path(file).parent if file else None

    async def show(self, names: Iterable[str]) -> dict[str, UnitState]:
        """The units of containers, by the containers' names.

        :raises DriverError: if systemd does not answer.
        """
        units = {unit(name): name for name in names}
        if not units:
            return {}
        properties = [word for one in _SHOWN for word in ("-p", one)]
        answer = await self._systemctl(
            "show", "--timestamp=unix", *properties, "--", *units
        )
        if not answer.ok:
            raise answer.failure("systemd does not tell of the containers")
        states = dict.fromkeys(units.values(), GONE)
        for block in _blocks(answer.stdout):
            if block.get("Id") in units:
                states[units[block["Id"]]] = _state(block)
        return states

    async def reload(self) -> None:
        """Have systemd read its units' files.

        :raises DriverError: if it does not.
        """
        answer = await self._systemctl("daemon-reload", limit=60)
        if not answer.ok:
            raise answer.failure("systemd did not read its units again")

    async def clear(self, name: str) -> None:
        """End what is left of a start that failed, its retries too, and forget the failure."""
        await self._systemctl("stop", unit(name), limit=60)
        # It fails for a unit that has nothing to forget.
        await self._systemctl("reset-failed", unit(name))

    @deferred
    async def kill(self, name: str) -> None:
        """KILL all of a container's processes, systemd-nspawn too."""
        await self._systemctl("kill", "--signal=KILL", unit(name))

    async def journal(self, name: str) -> str:
        """The end of what the unit's last start said, in lines; empty if there is none."""
        answer = await self._commands.run(
            *(self._host.journalctl, "--unit", unit(name), "--boot", "--quiet"),
            *("--output=cat", "--no-pager", "--lines", str(JOURNAL_LINES)),
        )
        return answer.stdout.strip()[-MAX_TEXT:] if answer.ok else ""

    async def inner_journal(self, name: str, lines: int) -> tuple[str, ...]:
        """The newest lines of what everything in a container that runs has said.

        They are asked for from the end, so that where there is too much of it the
        oldest are missing.

        :raises DriverError: if the journal can't be read.
        """
        answer = await self._commands.run(
            *(self._host.journalctl, f"--machine={name}", "--reverse", "--quiet"),
            *("--output=short-iso", "--no-pager", "--lines", str(lines)),
        )
        if not answer.ok:
            raise answer.failure(f"The journal of {name} can't be read")
        return tuple(answer.stdout.splitlines()[::-1])

    async def _systemctl(self, *arguments: str, limit: float = QUICK) -> Answer:
        return await self._commands.run(self._host.systemctl, *arguments, limit=limit)


@frozen
class Ended:
    """What the systemd of a container knows of a unit in it.

    :param known: whether it knows the unit at all. It forgets those that ended well.
    :param active: its ActiveState.
    :param code: how its main process ended, as in ``si_code``: 0 if it has not, or
        never was.
    :param status: its exit status, or the signal that ended it.
    """

    known: bool
    active: str
    result: str
    code: int
    status: int


class InnerUnits:
    """The units of one container's own systemd, which is asked through machined.

    Unlike ``nixos-container run``, which enters the container with the host's rights
    and starts a shell of the agent's, this gives nothing to what runs inside.
    """

    def __init__(self, commands: Commands, host: Host, name: str) -> None:
        self._commands = commands
        self._host = host
        self._name = name

    async def show(self, unit: str) -> Ended:
        """What is known of a unit.

        :raises DriverError: if the container does not answer: it is gone.
        """
        properties = ("LoadState", "ActiveState", "Result")
        answer = await self._systemctl(
            "show",
            *(word for one in properties for word in ("-p", one)),
            *("-p", "ExecMainCode", "-p", "ExecMainStatus", "--", unit),
        )
        if not answer.ok:
            raise answer.failure(f"The container {self._name} went away")
        block = next(_blocks(answer.stdout), {})
        return Ended(
            block.get("LoadState", "not-found") != "not-found",
            block.get("ActiveState", ""),
            block.get("Result", ""),
            _number(block.get("ExecMainCode")),
            _number(block.get("ExecMainStatus")),
        )

    async def kill(self, unit: str, number: int, whom: str) -> bool:
        """Send a signal to a unit's processes; whether there was one to get it.

        :param whom: ``main`` or ``all``.
        """
        answer = await self._systemctl(
            "kill", f"--kill-whom={whom}", f"--signal={number}", "--", unit
        )
        return answer.ok

    async def end(self, *units: str) -> None:
        """End units with all their processes, in whatever state they are."""
        await self._systemctl("kill", "--signal=KILL", "--", *units)
        await self._systemctl("stop", "--", *units)

    async def forget(self, *units: str) -> None:
        """Forget that units failed; they may be unknown."""
        await self._systemctl("reset-failed", "--", *units)

    async def list(self, prefix: str) -> list[str]:
        """The names of the units that begin so.

        :raises DriverError: if the container does not answer.
        """
        answer = await self._systemctl(
            *("list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full"),
            *("--", f"{prefix}*"),
        )
        if not answer.ok:
            raise answer.failure(f"The container {self._name} does not answer")
        lines = (line.split() for line in answer.stdout.splitlines())
        return [words[0] for words in lines if words and words[0].startswith(prefix)]

    async def _systemctl(self, *arguments: str) -> Answer:
        return await self._commands.run(
            self._host.systemctl, f"--machine={self._name}", *arguments
        )


def _blocks(text: str) -> Iterator[Mapping[str, str]]:
    """Each unit's properties from what ``systemctl show`` prints."""
    for block in text.strip().split("\n\n"):
        pairs = (line.partition("=") for line in block.splitlines())
        yield {key: value for key, _, value in pairs}


def _state(block: Mapping[str, str]) -> UnitState:
    stamp = block.get("StateChangeTimestamp", "").removeprefix("@")
    return UnitState(
        block.get("ActiveState", "inactive"),
        block.get("SubState", ""),
        block.get("Result", "success"),
        _number(block.get("MainPID")),
        float(stamp) if stamp.isdigit() and int(stamp) else None,
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
