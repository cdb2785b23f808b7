"""Notice at once when an agent's login file comes, changes or goes: no polling."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.inotify import (
    IN_CLOSE_WRITE,
    IN_DELETE,
    IN_MOVED_TO,
    INotify,
)
from twisted.logger import Logger
from twisted.python.filepath import FilePath

#: Where claude keeps its login, under its configuration folder.
CREDENTIALS = ".credentials.json"


class LoginWatch:
    """Watches the configuration folders of all agents through one inotify handle.

    :param changed: told the agent's name. Claude writes a login by renaming a
        file into place, so that it is whole by then.
    """

    _log = Logger()

    def __init__(self, reactor: Any, changed: Callable[[str], None]) -> None:
        self._notify = INotify(reactor)
        self._changed = changed
        self._folders: dict[str, FilePath[str]] = {}

    def start(self) -> None:
        """Begin to listen to the kernel."""
        self._notify.startReading()

    def stop(self) -> None:
        """Close the handle."""
        self._notify.loseConnection()

    def add(self, name: str, folder: Path) -> None:
        """Watch the folder of an agent. Adding it again is fine."""
        path = self._folders[name] = FilePath(str(folder))

        def seen(_: object, changed: FilePath[bytes], mask: int) -> None:
            if changed.basename() in (CREDENTIALS, CREDENTIALS.encode()):
                self._changed(name)

        try:
            self._notify.watch(
                path,
                mask=IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE,
                callbacks=[seen],
            )
        except OSError:
            # The kernel's limit of watches: a start of the agent looks anew.
            self._log.failure("{folder} can't be watched", folder=str(folder))

    def remove(self, name: str) -> None:
        """Watch it no more."""
        path = self._folders.pop(name, None)
        if path is not None:
            self._notify.ignore(path)
