"""What drivers share whose containers are a record, and processes while a turn runs."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed

from hyperhive.containers import marked
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    IProcessObserver,
    NoSuchContainer,
    NotRunning,
    TimedOut,
)
from hyperhive.containers.local import LocalProcess
from hyperhive.containers.records import Record, Records
from hyperhive.containers.specs import check_spec
from hyperhive.deferreds import deferred


class RecordedDriver(ABC):
    """A driver but for its probe and for how a process is isolated: :meth:`launch`.

    :param reactor: ``IReactorProcess``, ``IReactorTime``, ``IReactorThreads`` and
        ``IReactorFDSet``.
    :param state: a folder that is the daemon's alone, where containers are
        remembered until the host's next boot.
    :param now: the POSIX time.
    """

    name: str

    def __init__(
        self, reactor: Any, state: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._now = now
        self._records = Records(state)
        self._instance = secrets.token_hex(8)
        self._processes: dict[str, set[LocalProcess]] = {}

    # What each driver says.

    @abstractmethod
    def launch(
        self,
        spec: ContainerSpec,
        command: Command,
        observer: IProcessObserver,
        mark: str,
    ) -> LocalProcess:
        """Start a process, or let it fail.

        :param mark: what to put into its environment on the host as
            :data:`~hyperhive.containers.marked.VARIABLE`, so that it is found again.
        """

    # IContainerDriver

    @deferred
    async def create(self, spec: ContainerSpec) -> None:
        """See :class:`IContainerDriver`."""
        spec = check_spec(spec)
        before = self._records.get(spec.name)
        if before is None:
            before = Record(spec, ContainerState.STOPPED, self._now())
        self._records.put(attrs.evolve(before, spec=spec))

    @deferred
    async def start(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        self._change(self._existing(name), ContainerState.RUNNING)

    @deferred
    async def stop(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        record = self._records.get(name)
        if record is None:
            return
        self._change(record, ContainerState.STOPPED)
        try:
            endings = [one.destroy() for one in self._processes.get(name, ())]
            await DeferredList(endings, consumeErrors=True)
            for ending in endings:
                await ending
            await marked.end_marked(self._reactor, f"{self._state}:{name}:")
        except TimedOut as error:
            self._change(self._existing(name), ContainerState.FAILED, str(error))
            raise

    @deferred
    async def destroy(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        await self.stop(name)
        self._records.remove(name)

    def statuses(self) -> Deferred[Mapping[str, ContainerStatus]]:
        """See :class:`IContainerDriver`."""
        return succeed(self._records.all())

    @deferred
    async def adopt(self) -> Mapping[str, ContainerStatus]:
        """See :class:`IContainerDriver`."""
        await marked.end_marked(self._reactor, f"{self._state}:", self._ours)
        return self._records.all()

    def journal(self, name: str, lines: int) -> Deferred[tuple[str, ...] | None]:
        """See :class:`IContainerDriver`. Nothing runs in it but turns."""
        self._existing(name)
        return succeed(None)

    def run(
        self, name: str, command: Command, observer: IProcessObserver
    ) -> LocalProcess:
        """See :class:`IContainerDriver`."""
        record = self._existing(name)
        if record.state is not ContainerState.RUNNING:
            raise NotRunning(f"The container {name} is not running.")
        return self._run(record.spec, command, observer)

    def watch(  # noqa: B027  # there is nothing to do, in any of them
        self, callback: Callable[[ContainerStatus], None]
    ) -> None:
        """See :class:`IContainerDriver`. A container that is a record never changes by itself."""

    @property
    def _ours(self) -> str:
        """What only the marks of this daemon have in them."""
        return f":{self._instance}."

    def _run(
        self, spec: ContainerSpec, command: Command, observer: IProcessObserver
    ) -> LocalProcess:
        mark = f"{self._state}:{spec.name}{self._ours}{secrets.token_hex(8)}"
        process = self.launch(spec, command, observer, mark)
        running = self._processes.setdefault(spec.name, set())
        running.add(process)
        process.told.wait().addCallback(lambda _: running.discard(process))
        return process

    def _existing(self, name: str) -> Record:
        record = self._records.get(name)
        if record is None:
            raise NoSuchContainer(f"There is no container {name[:40]!r}.")
        return record

    def _change(
        self, record: Record, state: ContainerState, reason: str | None = None
    ) -> None:
        """Remember a state, and since when; the same again changes nothing."""
        if (record.state, record.reason) != (state, reason):
            self._records.put(Record(record.spec, state, self._now(), reason))
