"""What a driver without a state of its own remembers of its containers, in one JSON file each."""

import contextlib
import json
import os
from pathlib import Path

import attrs
from attrs import frozen
from twisted.logger import Logger

from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    DriverError,
)


@frozen
class Record:
    """One container: what it is to be, and what was last done to it.

    :param since: POSIX time of the last change of its state.
    :param reason: why it failed.
    """

    spec: ContainerSpec
    state: ContainerState
    since: float
    reason: str | None = None

    def status(self) -> ContainerStatus:
        """The record as others see it."""
        return ContainerStatus(self.spec.name, self.state, self.since, self.reason)


class Records:
    """All containers of a driver, in memory and in a folder.

    A file is replaced in one step, so that a daemon that dies leaves the old one
    or the new one. They are not synced: they need not outlive the host.

    :param folder: exists, and is the daemon's alone.
    """

    _log = Logger()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {}
        for file in sorted(folder.glob("*.json")):
            try:
                record = _decoded(file.read_text("utf-8"))
            except (OSError, ValueError, KeyError, TypeError) as error:
                self._log.warn(
                    "forgetting the container in {file}: {error!r}",
                    file=str(file),
                    error=error,
                )
                continue
            self._records[record.spec.name] = record

    def get(self, name: str) -> Record | None:
        """The container of that name."""
        return self._records.get(name)

    def all(self) -> dict[str, ContainerStatus]:
        """Every container's status, by name."""
        return {name: record.status() for name, record in self._records.items()}

    def put(self, record: Record) -> None:
        """Remember a container, in place of what was remembered of it.

        :raises DriverError: if that can't be written; then nothing has changed.
        """
        file = self._file(record.spec.name)
        draft = file.with_suffix(".new")
        try:
            draft.write_text(_encoded(record), "utf-8")
            os.replace(draft, file)
        except OSError as error:
            raise DriverError(f"{file} can't be written: {error.strerror}.") from None
        self._records[record.spec.name] = record

    def remove(self, name: str) -> None:
        """Forget a container; it may be unknown."""
        if self._records.pop(name, None) is not None:
            with contextlib.suppress(FileNotFoundError):
                self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _encoded(record: Record) -> str:
    return json.dumps(
        {
            "name": record.spec.name,
            "binds": [
                {**attrs.asdict(bind), "source": str(bind.source)}
                for bind in record.spec.binds
            ],
            "state": record.state.value,
            "since": record.since,
            "reason": record.reason,
        }
    )


def _decoded(text: str) -> Record:
    """The reverse of :func:`_encoded`.

    :raises ValueError, KeyError, TypeError: if it is not one of ours.
    """
    fields = json.loads(text)
    binds = tuple(
        Bind(Path(bind["source"]), bind["destination"], bind["writable"])
        for bind in fields["binds"]
    )
    return Record(
        ContainerSpec(fields["name"], binds),
        ContainerState(fields["state"]),
        float(fields["since"]),
        fields["reason"],
    )
