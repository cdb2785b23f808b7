"""The driver without isolation: processes of the daemon's own user, on the host as it is."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

from zope.interface import implementer

from hyperhive.containers import marked
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    DriverMissing,
    Exited,
    IContainerDriver,
    IProcessObserver,
    Probe,
    ProcessEnd,
    SetupFailed,
)
from hyperhive.containers.local import GONE_LIMIT, LocalProcess, tool
from hyperhive.containers.recorded import RecordedDriver
from hyperhive.containers.specs import unfit
from hyperhive.containers.trials import try_out
from hyperhive.deferreds import deferred

#: Where a program is looked for when the environment has no PATH.
DEFAULT_PATH = "/usr/bin:/bin"

#: How the last helper exits when it can't execute the program.
_NOT_EXECUTED = (Exited(126), Exited(127))

WEAKNESSES = (
    "Nothing keeps agents from the host or from one another: each can read and change "
    "all that the hive's own user can, other agents' logins and the operator's token "
    "among it.",
    "An agent's memory, processors, processes and disk space are not limited.",
    "A process that clears its environment, and whose parent has gone, can't be found "
    "any more and survives a stop.",
)


class UnisolatedProcess(LocalProcess):
    """A process that is found, with all that it starts, by its mark."""

    def __init__(self, reactor: Any, observer: IProcessObserver, mark: str) -> None:
        super().__init__(reactor, observer)
        self._mark = mark

    def describe(self, status: int | None, number: int | None) -> ProcessEnd:
        """Tell the last helper's own failure to execute from the program's exit."""
        end = super().describe(status, number)
        if end in _NOT_EXECUTED and self.stderr_head.startswith(b"setpriv: "):
            return SetupFailed(self.stderr_head.decode("utf-8", "replace").strip())
        return end

    @deferred
    async def destroy(self) -> None:
        """See :class:`IContainerProcess`."""
        self.signal_child(signal.SIGKILL)
        await marked.end_marked(self._reactor, self._mark)
        await self.exited.wait_within(
            self._reactor, GONE_LIMIT, "A process could not be ended"
        )


@implementer(IContainerDriver)
class ProcessDriver(RecordedDriver):
    """Runs processes as they are. Paths inside are the host's; binds do nothing.

    A process dies with the daemon (the kernel's parent-death signal); what it
    started does not, and is ended by :meth:`adopt`. Besides the environment that
    a command gives, a process has the variable by which it is found.
    """

    name = "process"

    @deferred
    async def probe(self) -> Probe:
        """See :class:`IContainerDriver`."""
        tool("setsid", "util-linux")
        _helpers("/")
        trial = await try_out(
            self._reactor,
            lambda observer: self._run(
                ContainerSpec("probe"),
                Command(("true",), {"PATH": DEFAULT_PATH}, "/"),
                observer,
            ),
        )
        if trial.end != Exited(0):
            raise DriverMissing(
                f"Processes can't be run as they must be: {trial.said()} The setsid and "
                "setpriv of util-linux and the env of GNU coreutils are needed. On Debian "
                "and Ubuntu: apt install util-linux coreutils"
            )
        return Probe(self.name, os.uname().release, False, WEAKNESSES)

    def path_inside(self, spec: ContainerSpec, path: Path) -> str:
        """See :class:`IContainerDriver`."""
        return str(path)

    def launch(
        self,
        spec: ContainerSpec,
        command: Command,
        observer: IProcessObserver,
        mark: str,
    ) -> UnisolatedProcess:
        """See :class:`RecordedDriver`."""
        process = UnisolatedProcess(self._reactor, observer, mark)
        try:
            reason = unfit(command)
            program = _program(command) if reason is None else ""
            helpers = _helpers(command.directory)
        except (DriverMissing, OSError) as error:
            reason = str(error)
        if reason is not None:
            process.fail(reason)
        else:
            process.spawn(
                [*helpers, program, *command.argv[1:]],
                {**command.environment, marked.VARIABLE: mark},
                command.stdin,
                keep_stdin=command.keep_stdin,
            )
        return process


def _helpers(directory: str) -> list[str]:
    """What runs before the program, each in place of the last, without a fork.

    The directory is env's matter, because Twisted forks the whole daemon for one.
    """
    return [
        tool("env", "coreutils"),
        f"--chdir={directory}",
        tool("setpriv", "util-linux"),
        "--pdeathsig",
        "KILL",
        "--",
    ]


def _program(command: Command) -> str:
    """The file that is to be executed.

    It is looked for here because a helper's failure to execute it could be told
    from the program's own exit status only by what it prints.

    :raises OSError: if there is none, or the directory is none.
    """
    name = command.argv[0]
    if not os.path.isdir(command.directory):
        raise NotADirectoryError(f"{command.directory} is not a directory.")
    if "/" in name:
        candidates = [os.path.join(command.directory, name)]
    else:
        path = command.environment.get("PATH", DEFAULT_PATH)
        candidates = [
            os.path.join(command.directory, folder, name) for folder in path.split(":")
        ]
    for candidate in candidates:
        if _is_program(candidate):
            return candidate
    raise FileNotFoundError(f"There is no program {name!r} to execute.")


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except OSError:
        return False
