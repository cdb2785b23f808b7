"""Run the host's programs for the nixos driver: bounded in time and text, and told apart when they fail."""

import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from hyperhive.containers.groups import GroupProcess
from hyperhive.containers.interfaces import (
    Denied,
    DriverError,
    DriverMissing,
    Exited,
    NoSuchContainer,
    NotRunning,
    ProcessEnd,
    SetupFailed,
)
from hyperhive.containers.local import GONE_LIMIT, tool
from hyperhive.containers.trials import Trial

#: How long a command may take that only asks (seconds).
QUICK = 20.0
#: How much of what a command complains of is shown (characters).
MAX_TEXT = 4096

#: Ends of what programs say, by the error that they mean. Their exit statuses mean
#: nothing: the same trouble comes with several, and several with the same.
_MEANINGS: tuple[tuple[type[DriverError], tuple[str, ...]], ...] = (
    (NoSuchContainer, ("does not exist", "No machine '", "not loaded.")),
    (NotRunning, ("Host is down", "Failed to connect to bus", "is not running")),
    (
        Denied,
        (
            "Access denied",
            "Interactive authentication required",
            "Operation not permitted",
            "Permission denied",
            "Read-only file system",
        ),
    ),
)


@frozen
class Answer:
    """What came of a command.

    :param stdout: its output, bounded.
    :param stderr: what it complained of, bounded.
    """

    stdout: str
    stderr: str
    end: ProcessEnd

    @property
    def ok(self) -> bool:
        """Whether it says that all is well."""
        return self.end == Exited(0)

    @property
    def said(self) -> str:
        """What it complained of, or else how it ended; bounded."""
        if isinstance(self.end, SetupFailed):
            return self.end.reason
        return self.stderr.strip()[-MAX_TEXT:] or str(self.end)

    def failure(self, what: str) -> DriverError:
        """The error that it means.

        :param what: what went wrong, as a sentence without its full stop.
        """
        if isinstance(self.end, SetupFailed):
            return DriverMissing(f"{what}: {self.said}")
        for kind, ends in _MEANINGS:
            if any(end in self.said for end in ends):
                return kind(f"{what}: {self.said}")
        return DriverError(f"{what}: {self.said}")


class Commands:
    """Runs programs with nothing of the daemon's but its PATH.

    :param reactor: ``IReactorProcess`` and ``IReactorTime``.
    :param scratch: a folder that is the daemon's alone, for working directories.
    """

    def __init__(self, reactor: Any, scratch: Path) -> None:
        self._reactor = reactor
        self._scratch = scratch

    @property
    def environment(self) -> dict[str, str]:
        """What every program gets: enough to find others, and to speak plainly."""
        kept = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
        return {**kept, "LC_ALL": "C.UTF-8"}

    async def run(self, *argv: str, limit: float = QUICK) -> Answer:
        """Run a program to its end.

        :param limit: seconds, after which its whole process group is ended.
        :raises TimedOut: if it takes longer.
        :raises DriverMissing: if there is no such program.
        """
        return await self._run((program(argv[0]), *argv[1:]), limit)

    async def run_apart(self, *argv: str, limit: float) -> Answer:
        """Run a program in a new working directory that nobody else uses.

        nixos-container builds to ``./.tmp``: in a directory that two of them share,
        one container is given the other's system, and what is left there keeps
        nix from collecting a system. See :meth:`run`.
        """
        folder = tempfile.mkdtemp(prefix="nixos-container-", dir=self._scratch)
        try:
            # Twisted would fork the whole daemon for a directory; env needs no fork.
            return await self._run(
                (
                    *(tool("env", "coreutils"), f"--chdir={folder}", "--"),
                    *(program(argv[0]), *argv[1:]),
                ),
                limit,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _run(self, argv: Sequence[str], limit: float) -> Answer:
        trial = Trial()
        process = GroupProcess(self._reactor, trial)
        process.spawn(argv, self.environment, b"")
        name = os.path.basename(argv[0])
        try:
            await trial.ended.wait_within(self._reactor, limit, f"{name} did not end")
        finally:
            # Also when it is cancelled; and nix outlives nixos-container.
            process.signal_child(signal.SIGKILL)
            if not trial.ended.happened:
                await process.exited.wait_within(
                    self._reactor, GONE_LIMIT, f"{name} could not be ended"
                )
        return Answer(
            trial.stdout.decode("utf-8", "replace"),
            trial.stderr.decode("utf-8", "replace"),
            trial.end,
        )


def program(name: str) -> str:
    """The path of one of the host's programs.

    :raises DriverMissing: with what a NixOS host sets to have it.
    """
    path = shutil.which(name)
    if path is None:
        raise DriverMissing(
            f"{name} is not installed. Containers of NixOS need a NixOS host with "
            "boot.enableContainers = true; elsewhere run the hive with --containers "
            "bubblewrap"
        )
    return path
