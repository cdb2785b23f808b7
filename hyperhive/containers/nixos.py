"""The driver for NixOS: each agent in a container of its own system, made by nixos-container."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.containers import nixos_conf, specs
from hyperhive.containers.interfaces import (
    Command,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    Denied,
    DriverError,
    DriverMissing,
    IContainerDriver,
    IProcessObserver,
    NotRunning,
    Probe,
    StartFailed,
    TimedOut,
)
from hyperhive.containers.local import GONE_LIMIT, tool
from hyperhive.containers.mountpoints import prepare
from hyperhive.containers.nixos_commands import QUICK, Commands, program
from hyperhive.containers.nixos_disk import Disk
from hyperhive.containers.nixos_host import Host
from hyperhive.containers.nixos_run import PREFIX, UnitProcess, arguments
from hyperhive.containers.nixos_systemd import (
    LITERAL_SINCE,
    HostUnits,
    InnerUnits,
    UnitState,
)
from hyperhive.containers.nixos_watch import Watch
from hyperhive.containers.pidfds import first_child, hold_child
from hyperhive.deferreds import deferred

#: How long a start may take: longer than the unit's own limit, which is a minute (seconds).
START_LIMIT = 90.0
#: How long a container has to end by itself before its init is killed, and the same
#: again before all the rest is.
STOP_GRACE = 20.0
#: How often a start is tried that meets what a killed systemd-nspawn has left.
ATTEMPTS = 3
STALE = ("exists already, refusing", "already exists")

WEAKNESSES = (
    "Agents share the host's network: they reach what listens on its loopback "
    "addresses and abstract sockets.",
    "An agent is root in its container, without user namespaces: what keeps it from "
    "being the host's root are the namespaces and capabilities of systemd-nspawn.",
    "An agent's disk space is not limited.",
)


@implementer(IContainerDriver)
class NixosDriver:
    """Drives nixos-container, and asks systemd.

    A change holds from the next start. Nothing is ever switched in a running container,
    for that means to run the agent's own files with the host's rights.

    Its containers have a line in their ``.conf`` that says whose they are; all others
    are left alone, and their names are refused.

    :param reactor: ``IReactorProcess``, ``IReactorTime`` and ``IReactorFDSet``.
    :param state: a folder that is the daemon's alone. By its path the driver knows
        its containers.
    :param host: this one, unless given.
    """

    name = "nixos"

    _log = Logger()

    def __init__(self, reactor: Any, state: Path, host: Host | None = None) -> None:
        self._reactor = reactor
        self._host = host or Host()
        self._commands = Commands(reactor, state)
        self._disk = Disk(self._commands, self._host, state)
        self._units = HostUnits(self._commands, self._host)
        self._watch = Watch(reactor, self._units)
        self._literal = False
        self._prefix = f"{PREFIX}{secrets.token_hex(6)}-"
        self._processes: dict[str, set[UnitProcess]] = {}

    # IContainerDriver

    @deferred
    async def probe(self) -> Probe:
        """See :class:`IContainerDriver`. ``true`` is run as a unit of the host: there may be no container yet."""
        host = self._host
        tool("setsid", "util-linux")
        for name in (
            *(host.systemctl, host.systemd_run, host.journalctl),
            *(host.nixos_container, host.nix_env),
        ):
            program(name)
        version = await self._units.version()
        self._literal = version >= LITERAL_SINCE
        configuration = await self._units.configuration()
        if configuration is None:
            raise DriverMissing(
                "This host has no units for containers. In its NixOS configuration set "
                "boot.enableContainers = true"
            )
        if configuration != host.configuration:
            raise DriverMissing(
                f"This host keeps its containers in {configuration}, as NixOS did before "
                f"22.05, and not in {host.configuration}. Raise its system.stateVersion"
            )
        for argv in (
            # It makes the folders that it needs, which only root can.
            (host.nixos_container, "list"),
            (
                *(host.systemd_run, "--pipe", "--wait", "--quiet", "--collect"),
                *("--", tool("true", "coreutils")),
            ),
        ):
            answer = await self._commands.run_apart(*argv, limit=QUICK)
            if not answer.ok:
                raise Denied(
                    f"NixOS containers can't be had: {answer.said}. Only root can make "
                    "them: run the hive as services.hive-c0re does, or with "
                    "--containers bubblewrap"
                )
        return Probe(self.name, f"systemd {version}", True, WEAKNESSES, limits=True)

    def path_inside(self, spec: ContainerSpec, path: Path) -> str:
        """See :class:`IContainerDriver`. The host's nix store is the same inside."""
        return specs.path_inside(spec, path, ("/nix/store",))

    @deferred
    async def create(self, spec: ContainerSpec) -> None:
        """See :class:`IContainerDriver`. A change holds from the next start."""
        await self._disk.put(nixos_conf.check(spec))

    @deferred
    async def start(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        spec = self._disk.spec(name)
        with self._watch.asked(name):
            state = (await self._units.show([name]))[name]
            if not state.running:
                await self._prepare(spec, state)
                for left in reversed(range(ATTEMPTS)):
                    failure = await self._try_start(name)
                    if failure is None:
                        break
                    if not left or not any(text in str(failure) for text in STALE):
                        raise failure
                state = (await self._units.show([name]))[name]
            if not state.running or not self._watch.follow(name, state):
                raise StartFailed(f"{name} ended as soon as it had started.")

    @deferred
    async def stop(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        if not self._disk.has(name):
            return
        with self._watch.asked(name):
            await self._end_processes(name)
            state = (await self._units.show([name]))[name]
            if state.active == "inactive":
                return
            await self._stop(name, state.main_pid)
            state = (await self._units.show([name]))[name]
            if state.active == "failed":
                await self._units.clear(name)
            elif state.active != "inactive":
                raise TimedOut(f"{name} did not stop: it is {state.active}.")

    @deferred
    async def destroy(self, name: str) -> None:
        """See :class:`IContainerDriver`."""
        if not self._disk.has(name):
            return
        await self.stop(name)
        await self._disk.remove(name)
        # systemd need not know: it reads it again before another is started.
        drop_in = self._host.drop_in(name)
        drop_in.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            drop_in.parent.rmdir()  # unless somebody has put something there

    @deferred
    async def statuses(self) -> Mapping[str, ContainerStatus]:
        """See :class:`IContainerDriver`."""
        states = await self._units.show(self._disk.names())
        for name, state in states.items():
            if state.running:
                self._watch.follow(name, state)
        return {name: self._status(name, state) for name, state in states.items()}

    @deferred
    async def adopt(self) -> Mapping[str, ContainerStatus]:
        """See :class:`IContainerDriver`."""
        found = dict(await self.statuses())
        for name, status in found.items():
            if status.state is ContainerState.RUNNING:
                try:
                    await self._end_orphans(name)
                except DriverError as error:
                    self._log.warn("{name} is stopped: {why}", name=name, why=error)
                    await self._stop_deaf(name)
        return await self.statuses()

    @deferred
    async def journal(self, name: str, lines: int) -> tuple[str, ...] | None:
        """See :class:`IContainerDriver`. Of one that does not run, what its start said."""
        self._disk.spec(name)
        if self._watch.held(name) is None:
            return tuple((await self._units.journal(name)).splitlines()[-lines:])
        return await self._units.inner_journal(name, lines)

    def run(
        self, name: str, command: Command, observer: IProcessObserver
    ) -> UnitProcess:
        """See :class:`IContainerDriver`.

        A program's name without a slash is looked for in the command's PATH. systemd
        adds some variables of its own to the environment.
        """
        self._disk.spec(name)
        held = self._watch.held(name)
        if held is None:
            raise NotRunning(f"The container {name} is not running.")
        unit = f"{self._prefix}{secrets.token_hex(6)}.service"
        process = UnitProcess(
            self._reactor, observer, self._inner(name), unit, held, command
        )
        running = self._processes.setdefault(name, set())
        running.add(process)
        process.told.wait().addCallback(lambda _: running.discard(process))
        reason = specs.unfit(command)
        if reason is not None:
            process.fail(reason)
            return process
        words, secret = arguments(name, unit, command, self._literal)
        try:
            client = program(self._host.systemd_run)
        except DriverMissing as error:
            process.fail(str(error))
        else:
            process.spawn(
                [client, *words],
                {**self._commands.environment, **secret},
                command.stdin,
                keep_stdin=command.keep_stdin,
            )
        return process

    def watch(self, callback: Callable[[ContainerStatus], None]) -> None:
        """See :class:`IContainerDriver`."""
        self._watch.add(callback)

    # Steps

    def _status(self, name: str, state: UnitState) -> ContainerStatus:
        status = state.status(name)
        if status.state is ContainerState.STOPPED and not self._disk.has_system(name):
            return ContainerStatus(
                name, ContainerState.FAILED, None, "It has no system to run."
            )
        return status

    def _inner(self, name: str) -> InnerUnits:
        return InnerUnits(self._commands, self._host, name)

    async def _prepare(self, spec: ContainerSpec, state: UnitState) -> None:
        """All that a start needs, each time: what lies in /run is gone after a boot."""
        prepare(nixos_conf.check(spec))
        text = nixos_conf.drop_in(spec.limits, self._host.roots)
        nixos_conf.replace_file(self._host.drop_in(spec.name), text)
        await self._units.reload()
        if state.active != "inactive":
            await self._units.clear(spec.name)

    async def _try_start(self, name: str) -> DriverError | None:
        """Start it once; what went wrong, if it did, after all of it is cleared away."""
        try:
            answer = await self._commands.run_apart(
                self._host.nixos_container, "start", name, limit=START_LIMIT
            )
            if answer.ok:
                return None
            failure = answer.failure(f"The container {name} did not start")
        except TimedOut as error:
            failure = error
        journal = await self._units.journal(name)
        await self._units.clear(name)
        if isinstance(failure, DriverMissing):
            return failure
        text = "\n".join(filter(None, (str(failure), journal)))
        return StartFailed(text)

    async def _end_orphans(self, name: str) -> None:
        """End the processes of daemons that are no more."""
        inner = self._inner(name)
        units = await inner.list(PREFIX)
        orphans = [unit for unit in units if not unit.startswith(self._prefix)]
        if orphans:
            await inner.end(*orphans)
            await inner.forget(*orphans)

    async def _stop_deaf(self, name: str) -> None:
        """Stop a container that can't be asked what is left in it; one must not keep the others."""
        try:
            await self.stop(name)
        except DriverError:
            self._log.failure("{name} could not be stopped", name=name)

    async def _end_processes(self, name: str) -> None:
        """Processes of ours need no time to end by themselves."""
        endings = [one.destroy() for one in self._processes.get(name, ())]
        await DeferredList(endings, consumeErrors=True)

    async def _stop(self, name: str, pid: int) -> None:
        """Stop it; one that does not end by itself is killed.

        First its init, after which systemd-nspawn tidies up: what that one leaves when
        it is killed itself keeps the container from starting.

        :param pid: of its systemd-nspawn.
        """
        steps = (
            (STOP_GRACE, lambda: kill_child(self._reactor, pid)),
            (2 * STOP_GRACE, lambda: self._units.kill(name)),
        )
        timers = [self._reactor.callLater(*step) for step in steps]
        try:
            answer = await self._commands.run_apart(
                *(self._host.nixos_container, "stop", name),
                limit=2 * STOP_GRACE + GONE_LIMIT,
            )
        finally:
            for timer in timers:
                if timer.active():
                    timer.cancel()
        if not answer.ok:
            raise answer.failure(f"The container {name} did not stop")


def kill_child(reactor: Any, pid: int) -> None:
    """KILL the first child of a process, if it has one."""
    child = first_child(pid)
    held = None if child is None else hold_child(reactor, child, pid)
    if held is not None:
        held.send(signal.SIGKILL)
        held.let_go()
