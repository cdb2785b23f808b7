"""A process in a NixOS container: a transient unit of the container's own systemd."""

import re
import signal
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from hyperhive.containers.interfaces import (
    Command,
    DriverError,
    Exited,
    IProcessObserver,
    Lost,
    ProcessEnd,
    SetupFailed,
    Signalled,
    TimedOut,
)
from hyperhive.containers.local import GONE_LIMIT, LocalProcess
from hyperhive.containers.nixos_systemd import InnerUnits
from hyperhive.containers.pidfds import HeldProcess
from hyperhive.deferreds import deferred

#: What the units' names begin with.
PREFIX = "hive-turn-"
#: How long what a process leaves behind may take to end after TERM (seconds).
GRACE = 5
#: The longest that a process may run although nobody waits for it any more (seconds).
RUN_LIMIT = 8 * 24 * 3600
#: How long a signal waits for the process to be there (seconds), and between tries.
READY_LIMIT = 5.0
PAUSE = 0.02
#: The exit statuses with which systemd says that it could not start a program.
SETUP = range(200, 246)

#: Variables whose values are nobody's business. What is on a command line can be read
#: by all on the host. All others are put there nevertheless: in the environment of
#: systemd-run, which runs as root, a name such as LD_PRELOAD would be obeyed.
_SECRET = re.compile(
    r"[A-Z0-9_]*(?:HEADERS|KEY|PASSWORD|SECRET|TOKEN)|(?i:https?_proxy)"
)


def arguments(
    container: str, unit: str, command: Command, literal: bool
) -> tuple[list[str], dict[str, str]]:
    """How systemd-run is called for a command, and what its environment gets beside its own.

    It is a oneshot service because such a unit fails of every signal, and a unit that
    failed is kept until it is forgotten: how its process ended can be asked for, and
    is not read from the client's status, which is 0 too when the container dies.

    :param literal: whether this systemd-run can be told not to expand variables.
    """
    environment, secret = command.environment, {}
    words = [
        *(f"--machine={container}", f"--unit={unit}", "--pipe", "--wait", "--quiet"),
        *("--service-type=oneshot", f"--working-directory={command.directory}"),
        *("-p", "KillMode=control-group", "-p", f"TimeoutStopSec={GRACE}"),
        *("-p", f"TimeoutStartSec={RUN_LIMIT}"),
    ]
    if literal:
        words.append("--expand-environment=no")
    search = environment.get("PATH", "")
    if "/" not in command.argv[0] and _is_search_path(search):
        # One by one: there are versions that take no colon.
        for folder in search.split(":"):
            words += ["-p", f"ExecSearchPath={folder}"]
    for key, value in environment.items():
        if _SECRET.fullmatch(key):
            secret[key] = value
            words += ["-E", key]
        else:
            words += ["-E", f"{key}={value}"]
    program, *rest = command.argv
    if not literal:
        rest = [word.replace("$", "$$") for word in rest]
    return [*words, "--", program, *rest], secret


def _is_search_path(text: str) -> bool:
    return all(re.fullmatch(r"(?:/[A-Za-z0-9._+-]+)+", one) for one in text.split(":"))


class UnitProcess(LocalProcess):
    """A systemd-run that waits for a unit inside a container.

    The process itself has the pipes. The client has only to wait: to end it would end
    nothing, so that signals go to the unit.

    :param held: the container's systemd-nspawn. After its end nothing runs.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        observer: IProcessObserver,
        inner: InnerUnits,
        unit: str,
        held: HeldProcess,
        command: Command,
    ) -> None:
        super().__init__(reactor, observer)
        self.unit = unit
        self._inner = inner
        self._held = held
        self._command = command
        self._waiting: list[int] = []
        self._sending = False
        self._client_gone = False
        self._destroyed = False
        self._said = False
        self._learnt: ProcessEnd = Lost("its end was not told")

    def send(self, number: int) -> None:
        """Send a signal to the process, once it runs; one after the other."""
        if self.exited.happened or number in self._waiting:
            return
        self._waiting.append(number)
        if not self._sending:
            self._sending = True
            self._send_waiting().addErrback(
                lambda failure: self._log.warn(
                    "a signal was not sent to {unit}: {why}",
                    unit=self.unit,
                    why=failure.getErrorMessage(),
                )
            )

    @deferred
    async def _send_waiting(self) -> None:
        deadline = self._reactor.seconds() + READY_LIMIT
        try:
            while self._waiting and not self._client_gone:
                if await self._inner.kill(self.unit, self._waiting[0], "main"):
                    self._waiting.pop(0)
                elif self._reactor.seconds() < deadline:
                    await deferLater(self._reactor, PAUSE)
                else:
                    raise TimedOut(f"no process within {READY_LIMIT:g} s.")
        finally:
            self._waiting.clear()
            self._sending = False

    @deferred
    async def destroy(self) -> None:
        """See :class:`IContainerProcess`.

        The unit may not be there yet, and its processes may just be making others. That
        the client has ended shows that none of it is left.
        """
        self._destroyed = True
        deadline = self._reactor.seconds() + GONE_LIMIT
        while not self.exited.happened:
            if not self._client_gone:
                await self._inner.kill(self.unit, signal.SIGKILL, "all")
            try:
                await self.exited.wait_within(
                    self._reactor, PAUSE, "A process did not end"
                )
            except TimedOut:
                if self._reactor.seconds() > deadline:
                    self.signal_child(signal.SIGKILL)
                    raise

    def outReceived(self, data: bytes) -> None:
        """Pass it on."""
        self._said = True
        super().outReceived(data)

    def processExited(self, reason: Failure) -> None:
        """The client has ended: ask how the process has, before that is told."""
        self._client_gone = True

        def told(_: object) -> None:
            super(UnitProcess, self).processExited(reason)

        self._learn(reason).addBoth(told)

    def describe(self, status: int | None, number: int | None) -> ProcessEnd:
        """See :class:`LocalProcess`: it is known by now."""
        return self._learnt

    @deferred
    async def _learn(self, reason: Failure) -> None:
        try:
            self._learnt = await self._end(reason)
        except DriverError as error:
            self._learnt = Lost(str(error))
        except Exception:
            self._log.failure("the end of {unit} is not known", unit=self.unit)

    async def _end(self, reason: Failure) -> ProcessEnd:
        """How the process has ended.

        :raises DriverError: if the container can't be asked.
        """
        ended = await self._inner.show(self.unit)
        if self._held.gone.happened:
            # Another has come in its place, and knows nothing of it.
            return Lost("The container went away.")
        client_failed = reason.check(ProcessTerminated) is not None
        if not ended.known:
            return self._never_ran() if client_failed else Exited(0)
        if ended.active not in ("failed", "inactive"):
            await self._inner.end(self.unit)
            await self._inner.forget(self.unit)
            return Lost("systemd-run ended before the process did.")
        await self._inner.forget(self.unit)
        if ended.code == 0:
            return self._never_ran(f"systemd says {ended.result}.")
        if ended.code != 1:
            return Signalled(ended.status)
        if ended.status in SETUP and not self._said and not self.stderr_head:
            return SetupFailed(self._why(ended.status))
        return Exited(ended.status)

    def _never_ran(self, otherwise: str = "systemd-run failed.") -> ProcessEnd:
        if self._destroyed:
            return Signalled(signal.SIGKILL)
        said = self.stderr_head.decode("utf-8", "replace").strip()
        return SetupFailed(said or otherwise)

    def _why(self, status: int) -> str:
        if status == 200:
            return f"There is no directory {self._command.directory!r} to start in."
        if status == 203:
            return f"There is no program {self._command.argv[0]!r} to execute."
        return f"systemd could not execute {self._command.argv[0]!r}: status {status}."
