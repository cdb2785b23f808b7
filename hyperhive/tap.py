"""Put the whole hive together: twistd's options, and the one service that they make.

This is the only module that knows every room. Read :meth:`Hive.start` top to bottom.
"""

import contextlib
import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import twisted
from twisted.application.service import IService, Service
from twisted.internet import asyncioreactor
from twisted.python import usage

if "twisted.internet.reactor" not in sys.modules:
    # The MCP SDK is asyncio code: on another reactor its sessions hang in silence.
    asyncioreactor.install()

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive import __version__
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.settings import (
    Settings,
    SettingsError,
    flag_fields,
    load_settings,
    spelled,
)
from hyperhive.times import rfc3339

#: A UNIX socket's path has at most this many bytes on Linux (unix(7)).
MAX_SOCKET_PATH = 107


class Options(usage.Options):
    """The flags of ``twistd hyperhive``. Without ``hive.toml`` or flags, defaults hold."""

    synopsis = "[options]"
    longdesc = (
        "Runs a swarm of Claude Code agents. Every flag can also be set in hive.toml "
        "(--config), without its dashes; a flag wins over the file."
    )
    optParameters = [  # noqa: RUF012  # Twisted's way of declaring them
        ["config", "c", None, "FILE: hive.toml"],
        *(
            [
                spelled(one.name),
                None,
                None,
                f"{one.metadata['meta']}: {one.metadata['help']}",
            ]
            for one in flag_fields()
            if one.metadata["meta"] is not None
        ),
    ]
    optFlags = [  # noqa: RUF012
        *(
            [spelled(one.name), None, one.metadata["help"]]
            for one in flag_fields()
            if one.metadata["meta"] is None
        ),
        ["print-login", None, "print a login link when the dashboard listens"],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, or say in one line what is wrong and exit with status 2."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _refuse(str(error))

    def postOptions(self) -> None:
        """Join flags and file into :attr:`settings`."""
        flags = {
            one.name: bool(value) if one.metadata["meta"] is None else value
            for one in flag_fields()
            if (value := self[spelled(one.name)])
        }
        file = self["config"]
        try:
            self.settings = load_settings(flags, Path(file) if file else None)
        except SettingsError as error:
            _refuse(str(error))


def _refuse(reason: str) -> None:
    print(f"hyperhive: {reason}", file=sys.stderr)
    raise SystemExit(2)


def makeService(options: Options) -> IService:  # noqa: N802  # Twisted's name for it
    """Make the hive. Exits with status 2 and one line if it can't be one."""
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        _refuse(
            f"it needs Twisted's asyncio reactor, not {type(reactor).__name__}; "
            "start it with: twistd --reactor=asyncio hyperhive"
        )
    hive = Hive(reactor, options.settings, bool(options["print-login"]))
    try:
        hive.claim()
    except PublicError as error:
        _refuse(str(error))
    return hive


@implementer(IService)
class Hive(Service):
    """The daemon: everything between claiming its folders and letting go of them."""

    _log = Logger()

    def __init__(self, reactor: Any, settings: Settings, print_login: bool) -> None:
        self._reactor = reactor
        self._settings = settings
        self._print_login = print_login
        self._started_at = time.time()
        self._parts: _Parts | None = None
        self._starting: Deferred[None] | None = None
        self._lock: int | None = None

    def claim(self) -> None:
        """Make and lock the folders, before anything else is done.

        :raises PublicError: if they can't be had, or another hive has them.
        """
        layout = self._settings.layout
        for folder, mode in (
            (layout.state_dir, 0o700),
            (layout.agents, 0o700),
            # Members of hive-admin pass through it to the admin socket.
            (layout.run_dir, 0o711),
            (layout.containers, 0o700),
        ):
            _make_folder(folder, mode)
        longest = layout.mcp_socket("a" * names.MAX_LENGTH)
        if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
            raise PublicError(
                f"--run-dir: {layout.run_dir} is too long: sockets in it would have "
                f"paths over {MAX_SOCKET_PATH} bytes; choose a shorter one."
            )
        self._lock = _lock(layout.state_dir / "lock")

    def startService(self) -> None:
        """Start when the reactor runs: asyncio has no running loop before."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    @deferred
    async def stopService(self) -> None:
        """Let turns end, close what listens, write what waits."""
        await _finished(super().stopService())
        if self._starting is not None:
            await self._starting
        if self._parts is not None:
            await self._parts.stop()
        with contextlib.suppress(FileNotFoundError):
            self._settings.layout.daemon_json.unlink()
        if self._lock is not None:
            os.close(self._lock)

    def _begin(self) -> None:
        self._starting = self._start()
        self._starting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """A hive that can't start says why, in a sentence where there is one, and ends."""
        if failure.check(PublicError):
            print(f"hyperhive: {failure.getErrorMessage()}", file=sys.stderr)
        else:
            self._log.failure("the hive could not start", failure)
        # twistd exits with status 0 whatever happened; a supervisor must see this.
        self._reactor.addSystemEventTrigger("after", "shutdown", _exit_with_failure)
        self._reactor.stop()

    @deferred
    async def _start(self) -> None:
        """Build every room from the ground up; listen first, recover after."""
        reactor, settings, layout = self._reactor, self._settings, self._settings.layout
        executable = resolve(settings)
        driver, probe = await choose_driver(
            reactor, settings.containers, layout.containers
        )

        database = Database.open(reactor, layout.broker_db, BROKER)
        events = Database.open(reactor, layout.events_db, EVENTS, synchronous="NORMAL")
        bus = EventBus(reactor, first_seq(events.read(EventTable.newest), time.time()))
        broker = Broker(reactor, database, bus, settings.recv_wait)

        history = History(reactor, events, bus, time.time)
        launcher = Launcher(reactor, settings, driver, executable, os.environ)
        agents = Agents(
            reactor, settings, database, broker, bus, driver, launcher, history
        )
        logins = LoginWatch(reactor, agents.login_changed)
        upkeep = Upkeep(reactor, (broker.prune, history.prune))

        notices = Notices()
        web = WebService(...)
        pages = AgentPages(...)
        sockets = McpSockets(
            reactor,
            layout,
            agents,
            broker,
            __version__,
            settings.recv_wait,
            lambda name, text: notices.add(f"{name}: {text}"),
        )
        admin = AdminService(reactor, layout.host_socket, Context(...))
