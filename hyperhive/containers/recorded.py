"""What drivers share whose containers are a record, and processes while a turn runs."""

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

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
from hyperhive.containers.local import GONE_LIMIT, LocalProcess
from hyperhive.containers.records import Record, Records
from hyperhive.containers.specs import check_spec, unfit
from hyperhive.deferreds import deferred


class RecordedDriver:
    """A driver but for what isolation is: :meth:`make` and :meth:`launch`.

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
        self._processes: dict[str, set[LocalProcess]] = {}
        self._marks: set[str] = set()

    # What each driver says.

    def make(self, observer: IProcessObserver, mark: str) -> LocalProcess:
        """A process that is not started yet.

        :param mark: what to put into its environment on the host, so that it is found.
        """
        raise NotImplementedError

    def launch(
        self, process: LocalProcess, spec: ContainerSpec, command: Command
    ) -> None:
        """Start it, or let it fail."""
        raise NotImplementedError

    # IContainerDriver

    def create(self, spec: ContainerSpec) -> Deferred[None]:
        """See :class:`IContainerDriver`."""
        return self._create(spec)

    @deferred
    async def _create(self, spec: ContainerSpec) -> None:
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
        processes = list(self._processes.get(name, ()))
        try:
            for ending in [process.destroy() for process in processes]:
                await ending
            await marked.end_marked(self._reactor, self._mark(name))
        except TimedOut as error:
            self._change(self._existing(name), ContainerState.FAILED, str(error))
            raise
        for process in processes:
            process.resume()
            await process.told.wait(self._reactor, GONE_LIMIT, "Output did not end")

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
        await marked.end_marked(self._reactor, f"{self._state}:", self._marks)
        return self._records.all()

    def run(
        self, name: str, command: Command, observer: IProcessObserver
    ) -> LocalProcess:
        """See :class:`IContainerDriver`."""
        record = self._existing(name)
        if record.state is not ContainerState.RUNNING:
            raise NotRunning(f"The container {name} is not running.")
        return self._run(record.spec, command, observer)

    def watch(self, callback: Callable[[ContainerStatus], None]) -> None:
        """See :class:`IContainerDriver`. Nothing of these dies by itself: a container is a record."""

    def _run(
        self, spec: ContainerSpec, command: Command, observer: IProcessObserver
    ) -> LocalProcess:
        mark = self._mark(spec.name, secrets.token_hex(8))
        process = self.make(observer, mark)
        running = self._processes.setdefault(spec.name, set())
        running.add(process)
        self._marks.add(mark)
        reason = unfit(command)
        if reason is not None:
            process.fail(reason)
        else:
            self.launch(process, spec, command)
        return process
