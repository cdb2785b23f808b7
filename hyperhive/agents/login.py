"""Notice at once when an agent's login file comes, changes or goes: no polling."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.inotify import (
    IN_CLOSE_WRITE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_MOVED_TO,
    INotify,
    INotifyError,
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

    Without the kernel's help (it limits handles and watches) a login is not noticed
    by itself: that is logged, and a start of the agent looks anew.

    :param changed: told the agent's name. Claude writes a login by renaming a
        file into place, so that it is whole by then.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, layout: Layout, changed: Callable[[str], None]
    ) -> None:
        self._reactor = reactor
        self._layout = layout
        self._changed = changed
        self._names: set[str] = set()
        self._stopped = False
        self._notify: INotify | None = None
        self._begin()

    def stop(self) -> None:
        """Watch nothing any more."""
        self._stopped = True
        self._names.clear()
        if self._notify is not None:
            self._notify.loseConnection()

    def agent_added(self, name: str, role: str) -> Deferred[None]:
        """See :class:`IAgentSurface`. Adding an agent again is fine."""
        self._names.add(name)
        self._watch(name)
        return succeed(None)

    def agent_removed(self, name: str) -> Deferred[None]:
        """See :class:`IAgentSurface`."""
        self._names.discard(name)
        if self._notify is not None:
            # It is not watched if the kernel refused, or if it was deleted.
            with contextlib.suppress(KeyError):
                self._notify.ignore(self._folder(name))
        return succeed(None)

    def _begin(self) -> None:
        try:
            self._notify = INotify(self._reactor)
        except INotifyError:
            self._log.failure("logins can't be watched")
        else:
            self._notify.startReading()

    def _folder(self, name: str) -> "FilePath[str]":
        return FilePath(str(self._layout.claude(name)))

    def _watch(self, name: str) -> None:
        if self._notify is None:
            return

        def seen(_: object, changed: FilePath[bytes], mask: int) -> None:
            if mask & IN_DELETE_SELF:
                # Twisted closes the handle of all when one folder is deleted.
                self._reactor.callLater(0, self._begin_again)
            elif os.fsdecode(changed.basename()) == CREDENTIALS:
                self._changed(name)

        try:
            self._notify.watch(
                self._folder(name),
                mask=IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE,
                callbacks=[seen],
            )
        except INotifyError:
            self._log.failure("the login of {name} can't be watched", name=name)

    def _begin_again(self) -> None:
        """Watch all with a new handle; who deleted a folder finds it empty again."""
        if self._stopped:
            return
        self._notify = None
        self._begin()
        names = sorted(self._names)
        for name in names:
            # A turn can't begin without it either.
            self._layout.claude(name).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._watch(name)
        for name in names:
            # What happened in between was not seen.
            self._changed(name)
