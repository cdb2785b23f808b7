"""An observer that remembers, and that a test can wait for."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from hyperhive.containers.happenings import Happening
from hyperhive.containers.interfaces import (
    ContainerState,
    ContainerStatus,
    IProcessObserver,
    ProcessEnd,
)


@implementer(IProcessObserver)
class Recorder:
    """Keeps all that a process was reported to say, and every end that was told.

    :ivar log: what was told, in order: ``out``, ``err``, ``end``; the same in a
        row once.
    """

    def __init__(self) -> None:
        self.stdout = b""
        self.stderr = b""
        self.ends: list[ProcessEnd] = []
        self.log: list[str] = []
        self._ended = Happening()
        self._awaited: list[tuple[bytes, Deferred[None]]] = []

    @property
    def end(self) -> ProcessEnd:
        """The one end that was told."""
        (end,) = self.ends
        return end

    async def ended(self) -> ProcessEnd:
        """Wait for the end."""
        await self._ended.wait()
        return self.end

    async def heard(self, text: bytes) -> None:
        """Wait until its standard output holds ``text``."""
        if text not in self.stdout:
            waiting: Deferred[None] = Deferred()
            self._awaited.append((text, waiting))
            await waiting

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._log("out")
        self.stdout += data
        for pair in list(self._awaited):
            if pair[0] in self.stdout:
                self._awaited.remove(pair)
                pair[1].callback(None)

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._log("err")
        self.stderr += data

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        self._log("end")
        self.ends.append(end)
        self._ended.happen()

    def _log(self, what: str) -> None:
        if what == "end" or self.log[-1:] != [what]:
            self.log.append(what)


class Told:
    """Keeps what a driver told of its containers without being asked."""

    def __init__(self) -> None:
        self.statuses: list[ContainerStatus] = []
        self._awaited: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def __call__(self, status: ContainerStatus) -> None:
        self.statuses.append(status)
        for pair in list(self._awaited):
            if pair[0]():
                self._awaited.remove(pair)
                pair[1].callback(None)

    async def heard(self, state: ContainerState, words: str = "") -> None:
        """Wait until a container's last status is this, for a reason with these words."""

        def is_told() -> bool:
            last = self.statuses[-1] if self.statuses else None
            return (
                last is not None
                and last.state is state
                and words in (last.reason or "")
            )

        if not is_told():
            waiting: Deferred[None] = Deferred()
            self._awaited.append((is_told, waiting))
            await waiting
