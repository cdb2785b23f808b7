"""The driver that keeps agents apart with bwrap: namespaces of their own, no privileges."""

import contextlib
import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.containers import marked, specs
from hyperhive.containers.cgroups import ControlGroups, delegated
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    Denied,
    DriverError,
    DriverMissing,
    Exited,
    IContainerDriver,
    IProcessObserver,
    Lost,
    Probe,
    ProcessEnd,
    SetupFailed,
    Signalled,
)
from hyperhive.containers.local import GONE_LIMIT, LocalProcess, tool
from hyperhive.containers.mountpoints import prepare
from hyperhive.containers.pidfds import (
    HeldProcess,
    command_line,
    first_child,
    hold_child,
    pid_inside,
)
from hyperhive.containers.recorded import RecordedDriver
from hyperhive.containers.refusals import NEEDED, refusal, weaknesses
from hyperhive.containers.sandbox import Features, sandbox
from hyperhive.containers.trials import try_out
from hyperhive.deferreds import deferred

#: Descriptors of bwrap: where it reports, where it reads its options, and the files.
STATUS, OPTIONS, FIRST_FILE = 3, 4, 5
#: How much of its report is held while a line of it is unfinished (bytes).
MAX_STATUS = 16 * 1024
#: How often it is looked whether the command runs, until it does (seconds) …
LOOK = 0.005
#: … and for how long; signals to it wait till then.
READY_LIMIT = 5.0
#: The highest signal's number.
LAST_SIGNAL = 64


class SandboxedProcess(LocalProcess):
    """A bwrap that runs one command.

    Inside there is an init of bwrap's own, the first process of a pid namespace,
    and the command as its child. Ending the init ends all that was ever started.
    bwrap tells the init's pid first and the command's status last; a status of
    128 and a signal's number above it is how it tells of death by that signal.
    """

    _log = Logger()

    def __init__(self, reactor: Any, observer: IProcessObserver, mark: str) -> None:
        super().__init__(reactor, observer)
        self._mark = mark
        self._report = b""
        self._status: int | None = None
        self._init: HeldProcess | None = None
        self._command: HeldProcess | None = None
        self._waiting: list[int] = []
        self._look: IDelayedCall | None = None
        self._unfindable = False
        self._destroyed = False

    def send(self, number: int) -> None:
        """Send a signal to the command, once it runs.

        Before that it would end bwrap's own set-up, with no telling how.
        """
        if self._command is not None:
            self._command.send(number)
        elif self._unfindable:
            if number == signal.SIGKILL:
                self.signal_child(number)
        elif not self.exited.happened and number not in self._waiting:
            self._waiting.append(number)

    @deferred
    async def destroy(self) -> None:
        """See :class:`IContainerProcess`."""
        self._destroyed = True
        self.signal_child(signal.SIGKILL)
        await self.exited.wait_within(
            self._reactor, GONE_LIMIT, "A sandbox could not be ended"
        )
        if self._init is None:
            # bwrap was ended before it said which process the init is, which then
            # may not have asked to die with it yet.
            await marked.end_marked(self._reactor, self._mark)
        else:
            self._init.send(signal.SIGKILL)
            await self._init.gone.wait_within(
                self._reactor, GONE_LIMIT, "A sandbox's processes could not be ended"
            )

    def describe(self, status: int | None, number: int | None) -> ProcessEnd:
        """See :class:`LocalProcess`: what bwrap reported counts, not its own status."""
        if self._status is not None:
            if 128 < self._status <= 128 + LAST_SIGNAL:
                return Signalled(self._status - 128)
            return Exited(self._status)
        if self._destroyed:
            return Signalled(signal.SIGKILL)
        if number is not None:
            return Lost(f"bwrap was ended by signal {number}.")
        if self._command is not None:
            return Lost(f"bwrap ended with status {status} and no word of the command.")
        reason = self.stderr_head.decode("utf-8", "replace").strip()
        return SetupFailed(reason or f"bwrap ended with status {status}.")

    # bwrap's report

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Read its report too."""
        if childFD != STATUS:
            super().childDataReceived(childFD, data)
            return
        *lines, self._report = (self._report + data)[-MAX_STATUS:].split(b"\n")
        for line in lines:
            try:
                report = json.loads(line)
            except ValueError:
                self._log.warn("bwrap reported {line!r}", line=line[:200])
                continue
            if "child-pid" in report:
                self._init_started(report["child-pid"])
            if "exit-code" in report:
                self._status = report["exit-code"]

    def processExited(self, reason: Any) -> None:
        """Look for the command no more."""
        if self._look is not None and self._look.active():
            self._look.cancel()
        super().processExited(reason)

    def _init_started(self, pid: int) -> None:
        # bwrap is not waited for yet, so that its pid can't be another's.
        self._init = hold_child(self._reactor, pid, self.transport.pid)
        if self._init is not None:
            self._find_command(pid, self._reactor.seconds() + READY_LIMIT)

    def _find_command(self, init: int, deadline: float) -> None:
        """Look for the command until it is executed; then send it what waits."""
        self._look = None
        pid = first_child(init)
        if pid is not None and _is_command(pid, init):
            self._command = hold_child(self._reactor, pid, init)
            self._send_waiting()
        elif self._reactor.seconds() < deadline:
            self._look = self._reactor.callLater(
                LOOK, self._find_command, init, deadline
            )
        else:
            self._log.warn("a command can't be found in its sandbox, only killed")
            self._unfindable = True
            self._send_waiting()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for number in waiting:
            self.send(number)


def _is_command(pid: int, init: int) -> bool:
    """Whether a child of the init is the command, and executed: it is bwrap before that."""
    line = command_line(pid)
    return bool(line) and line != command_line(init) and pid_inside(pid) == 2


@implementer(IContainerDriver)
class BubblewrapDriver(RecordedDriver):
    """Runs each process in a sandbox of its own, made from the container's record.

    Inside, an agent sees the host's programs, read-only, the few files of /etc that
    they need, and its binds; it writes only those that are writable, /tmp and
    /dev/shm. bwrap adds PWD to the environment that a command gives.

    :param groups: finds the control groups by which limits are kept, if there are any.
    """

    name = "bubblewrap"

    def __init__(
        self,
        reactor: Any,
        state: Path,
        now: Callable[[], float] = time.time,
        groups: Callable[[], ControlGroups | None] = delegated,
    ) -> None:
        super().__init__(reactor, state, now)
        self._find_groups = groups
        self._groups: ControlGroups | None = None
        self._features = Features(disable_userns=True, size=True)

    @deferred
    async def probe(self) -> Probe:
        """See :class:`IContainerDriver`. It also finds out which options can be used."""
        tool("setsid", "util-linux")
        bwrap = tool("bwrap", "bubblewrap")
        if os.stat(bwrap).st_mode & stat.S_ISUID:
            raise Denied(
                f"{bwrap} runs with root's rights for everybody (setuid), and such ones "
                "have had holes that lead out of the sandbox. On a kernel with user "
                f"namespaces it needs none: chmod u-s {bwrap}"
            )
        version = (await self._ask(bwrap, "--version")).removeprefix("bubblewrap ")
        known = (await self._ask(bwrap, "--help")).split()
        lacking = [option for option in NEEDED if option not in known]
        if lacking:
            raise DriverMissing(
                f"bubblewrap {version} is too old: it lacks {', '.join(lacking)}. "
                "Version 0.5 or newer is needed; 0.8 is better"
            )
        self._groups = self._find_groups()
        limits = self._groups is not None
        size = "--size" in known
        said = ""
        for disable_userns in (
            (True, False) if "--disable-userns" in known else (False,)
        ):
            self._features = Features(disable_userns, size)
            said = await self._try()
            if not said:
                weak = weaknesses(self._features, limits)
                return Probe(self.name, version, True, weak, limits)
        raise refusal(said)

    async def _ask(self, bwrap: str, option: str) -> str:
        def start(observer: IProcessObserver) -> LocalProcess:
            process = LocalProcess(self._reactor, observer)
            process.spawn([bwrap, option], {"LC_ALL": "C"}, b"")
            return process

        trial = await try_out(self._reactor, start)
        if trial.end != Exited(0):
            raise DriverMissing(f"{bwrap} {option} does not work: {trial.said()}")
        return trial.stdout.decode("utf-8", "replace").strip()

    async def _try(self) -> str:
        """Run ``true`` in a sandbox: what went wrong, nothing if all is well."""
        spec, command = ContainerSpec("probe"), Command(("true",), {}, "/")
        trial = await try_out(
            self._reactor, lambda observer: self._run(spec, command, observer)
        )
        if self._groups is not None:
            self._groups.remove(spec.name)
        return "" if trial.end == Exited(0) else trial.said()

    @deferred
    async def destroy(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        await super().destroy(name)
        if self._groups is not None:
            self._groups.remove(name)

    def path_inside(self, spec: ContainerSpec, path: Path) -> str:
        """See :class:`IContainerDriver`."""
        return specs.path_inside(spec, path)

    def launch(
        self,
        spec: ContainerSpec,
        command: Command,
        observer: IProcessObserver,
        mark: str,
    ) -> SandboxedProcess:
        """See :class:`RecordedDriver`."""
        process = SandboxedProcess(self._reactor, observer, mark)
        reason = specs.unfit(command)
        if reason is not None:
            process.fail(reason)
            return process
        try:
            bwrap = tool("bwrap", "bubblewrap")
            prepare(spec)
            with contextlib.ExitStack() as files:
                box = sandbox(self._features, spec, command, FIRST_FILE)
                options = "".join(f"{option}\0" for option in box.options)
                contents = (os.fsencode(options), *box.files)
                told = ["--json-status-fd", str(STATUS), "--args", str(OPTIONS)]
                argv = [bwrap, *told, "--", *command.argv]
                if self._groups is not None:
                    argv = self._groups.joined(spec.name, spec.limits, argv)
                process.spawn(
                    argv,
                    {marked.VARIABLE: mark, "LC_ALL": "C"},
                    command.stdin,
                    {
                        STATUS: "r",
                        **{
                            number: files.enter_context(_in_memory(content))
                            for number, content in enumerate(contents, OPTIONS)
                        },
                    },
                    command.keep_stdin,
                )
        except (DriverError, OSError) as error:
            process.fail(str(error))
        return process


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A descriptor to read ``content`` from, which no path leads to."""
    descriptor = os.memfd_create("hyperhive")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
