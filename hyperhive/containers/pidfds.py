"""Hold on to processes that are not our children: signal them, and see them end."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.containers.happenings import Happening


@implementer(IReadDescriptor)
class HeldProcess:
    """A process, by a descriptor that stays its own whatever becomes of its pid.

    :param reactor: ``IReactorFDSet``.
    :raises OSError: if there is no such process.
    """

    def __init__(self, reactor: Any, pid: int) -> None:
        self._reactor = reactor
        self._descriptor = os.pidfd_open(pid)
        #: It has ended. For the init of a pid namespace: all in it have.
        self.gone = Happening()
        reactor.addReader(self)

    def send(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if not self.gone.happened:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def fileno(self) -> int:
        """See :class:`IReadDescriptor`."""
        return self._descriptor

    def let_go(self) -> None:
        """Hold it no more, whether it is gone or was the wrong one."""
        if not self.gone.happened:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self.gone.happen()

    def doRead(self) -> None:
        """It has ended: that is when the descriptor becomes readable."""
        self.let_go()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self.let_go()

    def logPrefix(self) -> str:
        """See :class:`ILoggingContext`."""
        return "process"


def hold_child(reactor: Any, pid: int, parent: int) -> HeldProcess | None:
    """Hold a process if it is ``parent``'s child still, and no other that has its pid now.

    :param parent: the pid of a process that is there for sure.
    """
    try:
        held = HeldProcess(reactor, pid)
    except OSError:
        return None
    if parent_of(pid) != parent:
        held.let_go()
        return None
    return held


def parent_of(pid: int) -> int | None:
    """The parent's pid, if there is such a process."""
    return _status_number(pid, "PPid")


def pid_inside(pid: int) -> int | None:
    """Its pid in the innermost pid namespace."""
    return _status_number(pid, "NSpid")


def first_child(pid: int) -> int | None:
    """The oldest child of a process with one thread."""
    try:
        # An agent can have any number of children; the oldest comes first.
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            children = file.read(64).split()
    except OSError:
        return None
    return int(children[0]) if children else None


def command_line(pid: int) -> bytes:
    """The beginning of what it was executed with, empty if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read(4096)
    except OSError:
        return b""


def _status_number(pid: int, key: str) -> int | None:
    """The last number of a line of ``/proc/<pid>/status``."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[-1])
    return None
