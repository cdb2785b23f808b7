"""Notice at once when an agent's login file comes, changes or goes: no polling."""

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.inotify import (
    IN_CLOSE_WRITE,
    IN_DELETE,
    IN_MOVED_TO,
    INotify,
)
from twisted.logger import Logger
from twisted.python.filepath import FilePath
from zope.interface import implementer

from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.settings import Layout

#: Where claude keeps its login, under its configuration folder.
CREDENTIALS = ".credentials.json"


@implementer(IAgentSurface)
class LoginWatch:
    """Watches the configuration folders of all agents through one inotify handle.

    :param changed: told the agent's name. Claude writes a login by renaming a
        file into place, so that it is whole by then.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, layout: Layout, changed: Callable[[str], None]
    ) -> None:
        self._layout = layout
        self._changed = changed
        self._folders: dict[str, FilePath[str]] = {}
        self._notify = INotify(reactor)
        self._notify.startReading()

    def stop(self) -> None:
        """Watch nothing any more."""
        self._notify.loseConnection()

    def agent_added(self, name: str, role: str) -> Deferred[None]:
        """See :class:`IAgentSurface`. Adding an agent again is fine."""
        path = self._folders[name] = FilePath(str(self._layout.claude(name)))

        def seen(_: object, changed: FilePath[bytes], mask: int) -> None:
            if os.fsdecode(changed.basename()) == CREDENTIALS:
                self._changed(name)

        try:
            self._notify.watch(
                path, mask=IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE, callbacks=[seen]
            )
        except OSError:
            # The kernel's limit of watches. A start of the agent looks anew.
            self._log.failure("the login of {name} can't be watched", name=name)
        return succeed(None)

    def agent_removed(self, name: str) -> Deferred[None]:
        """See :class:`IAgentSurface`."""
        path = self._folders.pop(name, None)
        if path is not None:
            self._notify.ignore(path)
        return succeed(None)
