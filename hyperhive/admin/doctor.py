"""``hive-c0re doctor``: whether this host can run a hive, and what to do where it can't."""

import json
import os
import stat
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import treq
from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.client import Agent

from hyperhive.admin import programs
from hyperhive.admin.client import (
    REFUSED,
    USAGE,
    Failed,
    Hive,
    MissingSocket,
    find_socket,
)
from hyperhive.admin.console import Console, clean
from hyperhive.admin.findings import NOTE, OK, PROBLEM, Finding
from hyperhive.admin.words import duration
from hyperhive.containers.choose import choose_driver
from hyperhive.containers.interfaces import DriverError
from hyperhive.deferreds import deferred
from hyperhive.settings import Settings, SettingsError, flag_fields, load_settings

#: How long the dashboard may take to answer (seconds).
HEALTH_SECONDS = 5.0

_STYLES = {OK: "green", NOTE: "yellow", PROBLEM: "red"}

Tell = Callable[[Finding], None]


def doctor(console: Console, options: Namespace, socket: str | None, raw: bool) -> int:
    """Examine the host, print what is found as it is found; 1 if there is a problem.

    :param socket: of the flag ``--socket``.
    :param raw: print JSON, an object a line.
    """
    settings = _settings(options)
    if socket is None and options.run_dir is not None:
        socket = str(settings.layout.host_socket)
    hive = Hive(find_socket(socket, console.environ))
    problems: list[Finding] = []

    def tell(finding: Finding) -> None:
        if finding.mark == PROBLEM:
            problems.append(finding)
        _show(console, finding, raw)

    home, demo = hive_findings(hive, tell)
    # A hive that runs as a demo needs no claude, whatever hive.toml has.
    settings = attrs.evolve(settings, demo=settings.demo or demo)
    for finding in host_findings(settings):
        tell(finding)
    _run(lambda reactor: reactor_findings(reactor, settings, home, tell))
    return REFUSED if problems else 0


def host_findings(settings: Settings) -> Iterator[Finding]:
    """What can be seen without asking anything but programs for their versions."""
    yield programs.python(sys.version_info[:3])
    yield programs.claude(settings)
    yield from programs.others(settings)
    yield _folder("state", settings.state_dir, "--state-dir", private=True)
    yield _folder("run", settings.run_dir, "--run-dir", private=False)


def hive_findings(hive: Hive, tell: Tell) -> tuple[str | None, bool]:
    """Ask the hive, if one runs.

    :return: where its dashboard is, if it says so, and whether it is a demo.
    """
    try:
        info = hive.ask("info", {}).members["info"]
        urls = hive.ask("urls", {}).members["urls"]
    except MissingSocket:
        tell(Finding("hive", NOTE, f"none runs: there is no {hive.path}"))
        return None, False
    except Failed as failed:
        tell(Finding("hive", PROBLEM, str(failed)))
        return None, False
    version, uptime = info.get("hyperhive"), duration(float(info.get("uptime_s", 0)))
    tell(Finding("hive", OK, f"{version} answers at {hive.path}, up {uptime}"))
    for target in info.get("notify", ()):
        tell(_notified(target))
    home = urls.get("home")
    return home if isinstance(home, str) else None, info.get("demo") is True


def _notified(target: Mapping[str, Any]) -> Finding:
    """How it goes with one target of notifications."""
    where = f"{target.get('target')} ({target.get('host')})"
    if "problem" not in target:
        return Finding("notify", OK, where)
    text = f"{where} can't be told: {target['problem']}"
    remedy = "look at [notify] in hive.toml, then try `hive-c0re notify-test`"
    return Finding("notify", PROBLEM, text, remedy)


@deferred
async def reactor_findings(
    reactor: Any, settings: Settings, home: str | None, tell: Tell
) -> None:
    """What takes a reactor to find out: whether the sandbox and the dashboard work."""
    with tempfile.TemporaryDirectory(prefix="hive-doctor-") as folder:
        try:
            _, probe = await choose_driver(reactor, settings.containers, Path(folder))
        except DriverError as error:
            tell(Finding("containers", PROBLEM, str(error)))
        else:
            if probe.isolated:
                tell(Finding("containers", OK, f"{probe.driver} {probe.version}"))
            else:
                tell(Finding("containers", NOTE, f"{probe.driver} isolates nothing"))
            for weakness in probe.weaknesses:
                tell(Finding("containers", NOTE, weakness))
    if home is not None:
        tell(await _dashboard(reactor, home))


def _settings(options: Namespace) -> Settings:
    names = [one.name for one in flag_fields()]
    given = {name: getattr(options, name) for name in names}
    flags = {name: value for name, value in given.items() if value}
    try:
        return load_settings(flags, Path(options.config) if options.config else None)
    except SettingsError as error:
        raise Failed(str(error), USAGE) from None


def _folder(subject: str, path: Path, flag: str, private: bool) -> Finding:
    """Whether a folder can be used, or made.

    :param private: whether nobody else may look into it.
    """
    other = f"run the hive as its owner, or choose another with {flag}"
    try:
        found = path.stat()
    except FileNotFoundError:
        return _not_yet(subject, path, flag)
    except OSError as error:
        text = f"{path} can't be used: {error.strerror}"
        return Finding(subject, PROBLEM, text, other)
    if not stat.S_ISDIR(found.st_mode):
        return Finding(subject, PROBLEM, f"{path} is no folder", other)
    if found.st_uid != os.geteuid():
        text = f"{path} belongs to user {found.st_uid}, not to this one"
        return Finding(subject, PROBLEM, text, other)
    mode = stat.S_IMODE(found.st_mode)
    if not os.access(path, os.W_OK | os.X_OK) or (private and mode & 0o077):
        wanted = "700" if private else "711"
        text = f"{path} has mode {mode:o}, not {wanted}"
        return Finding(subject, PROBLEM, text, f"chmod {wanted} {path}")
    return Finding(subject, OK, str(path))


def _not_yet(subject: str, path: Path, flag: str) -> Finding:
    parent = next(one for one in path.parents if os.path.lexists(one))
    if os.access(parent, os.W_OK | os.X_OK):
        return Finding(subject, OK, f"{path} will be made")
    text = f"{path} can't be made: {parent} can't be written by this user"
    return Finding(subject, PROBLEM, text, f"choose another place with {flag}")


async def _dashboard(reactor: Any, home: str) -> Finding:
    remedy = "the hive's log may say why"
    agent = Agent(reactor, connectTimeout=HEALTH_SECONDS)
    try:
        response = await treq.get(
            f"{home}healthz", agent=agent, reactor=reactor, timeout=HEALTH_SECONDS
        )
        await treq.content(response)
    except Exception:
        # Whatever is wrong with a connection has a class of its own.
        text = f"{home} can't be reached: {Failure().getErrorMessage()}"
        return Finding("dashboard", PROBLEM, text, remedy)
    if response.code != 200:
        text = f"{home}healthz answers {response.code}"
        return Finding("dashboard", PROBLEM, text, remedy)
    return Finding("dashboard", OK, home)


def _run(examine: Callable[[Any], Deferred[None]]) -> None:
    """Run a reactor for as long as it takes."""
    asyncioreactor.install()
    done = False

    @deferred
    async def main(reactor: Any) -> None:
        nonlocal done
        await examine(reactor)
        done = True

    try:
        react(main)
    except SystemExit as end:
        if end.code:
            raise
        if not done:  # the reactor was stopped, by Ctrl-C
            raise KeyboardInterrupt from None


def _show(console: Console, finding: Finding, raw: bool) -> None:
    if raw:
        members = attrs.asdict(finding, filter=lambda _, value: value is not None)
        console.out(json.dumps(members))
        return
    mark = console.paint(f"{finding.mark:<7}", _STYLES[finding.mark])
    console.out(f"{mark}  {finding.subject:<10}  {clean(finding.text)}")
    if finding.remedy is not None:
        console.out(f"{'':<7}  {'':<10}  → {clean(finding.remedy)}")
