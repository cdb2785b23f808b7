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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet import asyncioreactor
from twisted.python import usage

import twisted

if "twisted.internet.reactor" not in sys.modules:
    # The MCP SDK is asyncio code: on another reactor its sessions hang in silence.
    asyncioreactor.install()

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive import __version__, names
from hyperhive.admin.context import AdminContext
from hyperhive.admin.service import AdminService
from hyperhive.agents.claude_logins import ClaudeLogins
from hyperhive.agents.executable import Executable, resolve
from hyperhive.agents.history import History
from hyperhive.agents.jobs import JobQueue
from hyperhive.agents.launcher import Launcher
from hyperhive.agents.login import LoginWatch
from hyperhive.agents.service import Agents
from hyperhive.agents.statistics import Statistics
from hyperhive.agents.upkeep import Upkeep
from hyperhive.approvals.approvals import Approvals
from hyperhive.approvals.expiry import Expiry
from hyperhive.approvals.partings import Partings
from hyperhive.approvals.questions import Questions
from hyperhive.bus import EventBus, first_seq
from hyperhive.containers.choose import choose_driver
from hyperhive.containers.interfaces import IContainerDriver, Probe
from hyperhive.containers.nixos import NixosDriver
from hyperhive.deferreds import deferred
from hyperhive.deploy.deployer import Deployer
from hyperhive.deploy.fetch import ContainerGit
from hyperhive.deploy.interfaces import IBuilder
from hyperhive.deploy.left_open import LeftOpen
from hyperhive.deploy.nix_build import NixBuilder
from hyperhive.deploy.repos import Repos
from hyperhive.deploy.steps import Steps
from hyperhive.deploy.toml_build import TomlBuilder
from hyperhive.errors import PublicError
from hyperhive.mcp.sockets import McpSockets
from hyperhive.messages.broker import Broker
from hyperhive.notify.links import Links, link_key
from hyperhive.notify.service import Notifier
from hyperhive.settings import (
    Settings,
    SettingsError,
    flag_fields,
    load_settings,
    spelled,
)
from hyperhive.store.agents import AgentRow
from hyperhive.store.database import Database, Migrations
from hyperhive.store.events import EventTable
from hyperhive.store.migrations import BROKER, EVENTS
from hyperhive.times import rfc3339
from hyperhive.web.context import Facts, WebContext
from hyperhive.web.notices import Notices
from hyperhive.web.service import WebService
from hyperhive.web.unkept import UnkeptLimits

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


def makeService(options: Options) -> IService:  # Twisted's name for it
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
        #: How to stop what was started, in the order of starting.
        self._stops: list[Callable[[], Deferred[Any]]] = []
        self._starting: Deferred[None] | None = None
        self._jobs: JobQueue | None = None
        self._lock: int | None = None

    def claim(self) -> None:
        """Make and lock the folders, before anything else is done.

        :raises PublicError: if they can't be had, or another hive has them.
        """
        layout = self._settings.layout
        longest = layout.mcp_socket("a" * names.MAX_LENGTH)
        if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
            raise PublicError(
                f"--run-dir: {layout.run_dir} is too long: sockets in it would have "
                f"paths over {MAX_SOCKET_PATH} bytes; choose a shorter one."
            )
        for folder, mode in (
            (layout.state_dir, 0o700),
            (layout.agents, 0o700),
            # Members of hive-admin pass through it to the admin socket.
            (layout.run_dir, 0o711),
            (layout.containers, 0o700),
        ):
            _make_folder(folder, mode)
        self._lock = _lock(layout.state_dir / "lock")

    def startService(self) -> None:
        """Start when the reactor runs: asyncio has no running loop before."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    @deferred
    async def stopService(self) -> None:
        """Let turns end, close what listens, write what waits."""
        super().stopService()
        if self._jobs is not None:
            # A build may be what the start waits for.
            self._jobs.close()
        if self._starting is not None:
            await self._starting
        for stop in reversed(self._stops):
            try:
                await stop()
            except Exception:
                self._log.failure("a part of the hive did not stop cleanly")
        with contextlib.suppress(FileNotFoundError):
            self._settings.layout.daemon_json.unlink()
        self.release()

    def release(self) -> None:
        """Let go of the folders; the opposite of :meth:`claim`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin(self) -> None:
        self._starting = self._start()
        self._starting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """A hive that can't start says why, in a sentence where there is one, and ends."""
        if failure.check(PublicError):
            # Not the log, into which twistd turns what is printed.
            print(f"hyperhive: {failure.getErrorMessage()}", file=sys.__stderr__)
        else:
            self._log.failure("the hive could not start", failure)
        # twistd exits with status 0 whatever happened; a supervisor must see this.
        self._reactor.addSystemEventTrigger("after", "shutdown", _exit_with_failure)
        self._reactor.stop()

    @deferred
    async def _start(self) -> None:
        """Build every room from the ground up; listen first, recover after."""
        reactor, settings, layout = self._reactor, self._settings, self._settings.layout
        driver, probe = await choose_driver(
            reactor, settings.containers, layout.containers
        )
        executable = resolve(settings, driver.name == NixosDriver.name)

        database = self._opened(layout.broker_db, BROKER, "FULL")
        events = self._opened(layout.events_db, EVENTS, "NORMAL")
        newest = events.read(EventTable.newest)
        bus = EventBus(reactor, first_seq(newest, time.time()))
        broker = Broker(reactor, database, bus, settings.recv_wait)
        self._stops.append(_then(broker.close))

        history = History(reactor, events, bus, time.time)
        history.start()
        self._stops.append(history.stop)
        builder = self._builder(driver, probe)
        launcher = Launcher(
            reactor, settings, driver, executable, os.environ, builder.entry
        )
        jobs = self._jobs = JobQueue(database, broker, bus)
        self._stops.append(lambda: jobs.drain(reactor))
        agents = Agents(
            reactor,
            settings,
            database,
            broker,
            bus,
            driver,
            launcher,
            history,
            jobs,
            __version__,
        )
        # Where things are in its container is the same for every row of it.
        manager = AgentRow(names.MANAGER, "manager", self._started_at)
        container = ContainerGit(
            reactor, driver, lambda: launcher.spec(manager), layout
        )
        repos = Repos(reactor, layout, container, builder.entry)
        steps = Steps(repos, builder, agents, jobs, __version__)
        deployer = Deployer(steps, repos, agents, jobs, broker, database)
        agents.lifecycle.provision = steps.provision
        agents.lifecycle.at_purge.append(repos.remove)
        expiry = Expiry(reactor, time.time)
        approvals = Approvals(
            database, broker, bus, deployer, expiry, settings.approval_ttl
        )
        deployer.approval_changed = approvals.changed
        questions = Questions(database, broker, bus, expiry)
        partings = Partings(bus, time.time)
        agents.lifecycle.at_destroy.append(partings.cancel)

        claude_logins = ClaudeLogins(reactor, driver, launcher, agents, bus, time.time)
        statistics = Statistics(
            reactor,
            database,
            bus,
            agents,
            agents.today.all,
            settings.keep_turns,
            time.time,
        )
        notices = Notices()
        links = self._links(database, approvals, questions)
        notifier = Notifier(
            reactor, settings.notify, database, bus, agents, links, notices
        )
        facts = Facts(__version__, executable.demo, probe, self._started_at)
        web = WebService(
            reactor,
            WebContext(
                agents,
                broker,
                bus,
                deployer,
                approvals,
                questions,
                claude_logins,
                layout,
                facts,
                notices,
                notifier=notifier,
                links=links,
                statistics=statistics,
            ),
            settings.dashboard,
            settings.agent_interface,
            settings.manager_port,
            settings.agent_ports,
            settings.notify.public_name,
        )
        sockets = McpSockets(
            reactor,
            layout,
            agents,
            broker,
            deployer,
            approvals,
            questions,
            __version__,
            settings.recv_wait,
            lambda name, problem: notices.add(f"{name}: {problem}"),
        )
        admin = AdminService(
            reactor,
            layout.host_socket,
            AdminContext(
                agents,
                broker,
                bus,
                deployer,
                approvals,
                questions,
                claude_logins,
                web.login_url,
                web.urls,
                lambda: self._info(agents, broker, probe, executable, notifier),
                notify_test=notifier.test,
                statistics=statistics,
            ),
        )
        logins = LoginWatch(reactor, layout, agents.login_changed)
        self._stops += [_then(logins.stop), sockets.stopService]
        for surface in (logins, sockets, web.pages, partings, claude_logins):
            agents.add_surface(surface)
        agents.url = web.pages.url

        if not probe.limits:
            unkept = UnkeptLimits(bus, agents, notices)
            unkept.start()
            self._stops.append(_then(unkept.stop))
        await notifier.open()
        await web.start()
        self._stops.append(web.stop)
        await agents.open_surfaces()
        await admin.start()
        self._stops.append(admin.stop)
        self._announce(web, probe, executable)
        # From here on turns and logins run: they are the first to end.
        self._stops += [agents.drain, claude_logins.stop]
        await agents.recover()
        await LeftOpen(steps, repos, agents, jobs).run()
        await approvals.recover()
        expiry.start()
        self._stops.append(_then(expiry.stop))
        notifier.start()
        self._stops.append(notifier.stop)
        upkeep = Upkeep(
            reactor,
            (
                broker.prune,
                history.prune,
                jobs.prune,
                questions.prune,
                *(() if links is None else (links.prune,)),
                statistics.prune,
                agents.sweep,
            ),
        )
        upkeep.start()
        self._stops.append(_then(upkeep.stop))
        deployer.update_all(names.HIVE).addErrback(
            lambda failure: self._log.failure("agents were not updated", failure)
        )

    def _links(
        self, database: Database, approvals: Approvals, questions: Questions
    ) -> Links | None:
        """What decides by links, if that is turned on."""
        settings = self._settings.notify
        if not settings.links or settings.public_url is None:
            return None
        return Links(
            database,
            approvals,
            questions,
            link_key(self._settings.layout.link_key),
            settings.public_url,
            settings.link_ttl,
            time.time,
        )

    def _builder(self, driver: IContainerDriver, probe: Probe) -> IBuilder:
        """How a configuration is built for this driver's containers."""
        if driver.name == NixosDriver.name:
            layout = self._settings.layout
            return NixBuilder(
                self._reactor, layout.builds, self._settings.hive_flake, os.environ
            )
        return TomlBuilder(probe.limits)

    def _opened(self, path: Path, migrations: Migrations, synchronous: str) -> Database:
        database = Database.open(self._reactor, path, migrations, synchronous)
        self._stops.append(database.close)
        return database

    def _announce(self, web: WebService, probe: Probe, executable: Executable) -> None:
        """Everything listens: say where, in ``daemon.json`` and on the terminal."""
        layout = self._settings.layout
        facts = {
            "pid": os.getpid(),
            "version": __version__,
            "dashboard": web.url,
            "host_sock": str(layout.host_socket),
            "containers": probe.driver,
            "demo": executable.demo,
            "started_at": rfc3339(self._started_at),
        }
        new = layout.daemon_json.with_suffix(".new")
        new.write_text(json.dumps(facts) + "\n")
        new.replace(layout.daemon_json)
        if self._print_login:
            # Not the log, into which twistd turns what is printed: this is a secret.
            print(
                _greeting(web.login_url(), probe, executable),
                file=sys.__stdout__,
                flush=True,
            )

    def _info(
        self,
        agents: Agents,
        broker: Broker,
        probe: Probe,
        executable: Executable,
        notifier: Notifier,
    ) -> dict[str, Any]:
        statuses = agents.statuses()
        return {
            "hyperhive": __version__,
            "python": platform.python_version(),
            "twisted": twisted.__version__,
            "uptime_s": round(time.time() - self._started_at, 3),
            "pid": os.getpid(),
            "containers": probe.driver,
            "containers_version": probe.version,
            "isolated": probe.isolated,
            "weaknesses": list(probe.weaknesses),
            "demo": executable.demo,
            "agents": len(statuses),
            "working": sum(status.working for status in statuses),
            "unread": sum(status.unread for status in statuses),
            "operator_unread": broker.unread(names.OPERATOR),
            "notify": notifier.status(),
        }


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder that only we can write, or make sure that the one there is so."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid == os.geteuid():
            folder.chmod(mode)
    except OSError as error:
        raise PublicError(
            f"{folder} can't be made: {error.strerror}; choose another place with "
            "--state-dir and --run-dir."
        ) from None
    if found.st_uid != os.geteuid():
        raise PublicError(
            f"{folder} belongs to user {found.st_uid}, not to this one: choose "
            "another place with --state-dir and --run-dir."
        )


def _lock(path: Path) -> int:
    """Take the lock that one daemon holds while it lives; the kernel lets go of it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise PublicError(
            f"another hive (process {pid or 'unknown'}) runs on {path.parent}: end it, "
            "or choose another --state-dir."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _then(stop: Callable[[], None]) -> Callable[[], Deferred[None]]:
    """A stop that is done when it returns, as one to be waited for."""

    @deferred
    async def stopped() -> None:
        stop()

    return stopped


def _greeting(login_url: str, probe: Probe, executable: Executable) -> str:
    lines = ["", f"  The hive runs. Log in (once, within 10 minutes): {login_url}"]
    if executable.demo:
        lines.append("  DEMO: agents are run by a scripted stand-in, not by claude.")
    if not probe.isolated:
        lines.append("  NOT ISOLATED: agents can read and change what you can.")
    return "\n".join([*lines, ""])


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
