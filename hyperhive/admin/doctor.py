"""``hive-c0re doctor``: whether this host can run a hive, and what to do where it can't."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import treq
from attrs import asdict, frozen
from twisted.internet import asyncioreactor
from twisted.internet.error import ReactorAlreadyInstalledError
from twisted.internet.task import react
from twisted.web.client import Agent

from hyperhive.admin.client import REFUSED, USAGE, Failed, Hive, NoHive, find_socket
from hyperhive.admin.console import Console, clean, one_line
from hyperhive.agents.executable import resolve
from hyperhive.containers.choose import choose_driver
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.settings import Settings, SettingsError, flag_fields, load_settings

#: The oldest Python that will do.
PYTHON = (3, 11)
#: How long claude may take to say its version (seconds).
VERSION_SECONDS = 20
#: How long the dashboard may take to answer (seconds).
HEALTH_SECONDS = 5.0


@frozen
class Finding:
    """One line of the report.

    :param remedy: what to do about it; ``None`` where all is well.
    """

    subject: str
    text: str
    remedy: str | None = None


def doctor(console: Console, options: Namespace, socket: str | None) -> NoReturn:
    """Examine the host, print what was found, and exit: with 1 if there is a problem.

    :param socket: of the flag ``--socket``.
    """
    settings = _settings(options)
    if socket is None and options.run_dir is not None:
        path = settings.layout.host_socket
    else:
        path = find_socket(socket, console.environ)
    try:
        asyncioreactor.install()
    except ReactorAlreadyInstalledError:
        raise Failed("The doctor needs a process of its own.", REFUSED) from None

    @deferred
    async def examine(reactor: Any) -> None:
        found = await findings(reactor, settings, path)
        report(console, found, options.json)
        if any(finding.remedy for finding in found):
            raise SystemExit(REFUSED)

    react(examine)


def report(console: Console, found: list[Finding], as_json: bool) -> None:
    """Print findings, one a line and its remedy below it."""
    for finding in found:
        if as_json:
            members = {key: value for key, value in asdict(finding).items() if value}
            console.out(json.dumps({"ok": finding.remedy is None, **members}))
            continue
        ok = finding.remedy is None
        mark = (
            console.paint("ok     ", "green") if ok else console.paint("problem", "red")
        )
        console.out(f"{mark}  {finding.subject}: {clean(finding.text)}")
        if finding.remedy:
            console.out(f"         {clean(finding.remedy)}")


@deferred
async def findings(reactor: Any, settings: Settings, socket: Path) -> list[Finding]:
    """Examine everything."""
    return [
        python_finding(),
        claude_finding(settings),
        await sandbox_finding(reactor, settings),
        socat_finding(),
        folder_finding("state", settings.state_dir, "--state-dir"),
        folder_finding("run", settings.run_dir, "--run-dir"),
        *hive_findings(socket),
        *await dashboard_findings(reactor, dashboard_of(socket)),
    ]


def python_finding() -> Finding:
    """Whether this Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= PYTHON:
        return Finding("python", found)
    return Finding("python", found, "Install Python 3.11 or newer.")


def claude_finding(settings: Settings) -> Finding:
    """Whether claude is there and runs, and which one."""
    try:
        executable = resolve(settings)
    except PublicError as error:
        return Finding("claude", "not found", str(error))
    path = str(executable.version_source)
    if executable.demo:
        return Finding("claude", f"the demo's stand-in, {path}")
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "claude",
            f"{path} does not run: {one_line(error)}",
            "Install it anew (npm install -g @anthropic-ai/claude-code), or name "
            "another one with --claude PATH.",
        )
    version = one_line(done.stdout.decode("utf-8", "replace"), 60)
    return Finding("claude", f"{path}, {version}")


@deferred
async def sandbox_finding(reactor: Any, settings: Settings) -> Finding:
    """Whether containers work, by really running something in one."""
    with tempfile.TemporaryDirectory(prefix="hive-doctor-") as state:
        try:
            _, probe = await choose_driver(reactor, settings.containers, Path(state))
        except PublicError as error:
            return Finding("containers", "they do not work here", str(error))
    text = "; ".join([f"{probe.driver} {probe.version}", *probe.weaknesses])
    return Finding("containers", text)


def socat_finding() -> Finding:
    """Whether claude can reach the hive's tools."""
    found = shutil.which("socat")
    if found is not None:
        return Finding("socat", found)
    return Finding(
        "socat",
        "not found: agents could not reach the hive's tools",
        "Install it: apt install socat.",
    )


def folder_finding(subject: str, folder: Path, flag: str) -> Finding:
    """Whether a folder is ours alone, or can be made."""
    other = f"choose another place with {flag}"
    try:
        found = folder.stat()
    except FileNotFoundError:
        parent = next(one for one in folder.parents if one.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding(subject, f"{folder} will be made")
        return Finding(
            subject, f"{folder} can't be made", f"Make it writable, or {other}."
        )
    except OSError as error:
        return Finding(
            subject, f"{folder} can't be read: {error.strerror}", f"Please {other}."
        )
    if not stat.S_ISDIR(found.st_mode):
        return Finding(subject, f"{folder} is no folder", f"Remove it, or {other}.")
    if found.st_uid != os.geteuid():
        return Finding(
            subject,
            f"{folder} belongs to user {found.st_uid}, not to this one",
            f"Run as that user, or {other}.",
        )
    if found.st_mode & 0o022:
        return Finding(
            subject, f"others can write {folder}", f"chmod go-w {folder}, or {other}."
        )
    return Finding(subject, f"{folder}, mode {stat.S_IMODE(found.st_mode):04o}")


def hive_findings(socket: Path) -> Iterator[Finding]:
    """Whether a hive that should run does answer."""
    if not socket.exists():
        yield Finding("hive", f"none runs at {socket} (start one: hive-c0re serve)")
        return
    try:
        info = Hive(socket).ask("info", {}).members["info"]
    except NoHive as error:
        yield Finding("hive", "it does not answer", str(error))
        return
    yield Finding(
        "hive",
        f"hyperhive {info.get('hyperhive')} answers at {socket}; "
        f"{info.get('agents')} agents",
    )


def dashboard_of(socket: Path) -> str | None:
    """Where the dashboard of the hive with this socket is; ``None`` if there is none."""
    try:
        facts = json.loads(socket.with_name("daemon.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    url = facts.get("dashboard") if isinstance(facts, dict) else None
    return url if isinstance(url, str) else None


@deferred
async def dashboard_findings(reactor: Any, url: str | None) -> list[Finding]:
    """Whether a dashboard answers; nothing where there is none."""
    if url is None:
        return []
    try:
        response = await treq.get(
            f"{url}healthz", agent=Agent(reactor), timeout=HEALTH_SECONDS
        )
        await treq.content(response)
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        return [
            Finding(
                "dashboard",
                f"{url} does not answer: {reason}",
                "See the hive's log; restart the hive.",
            )
        ]
    if response.code != 200:
        return [
            Finding(
                "dashboard",
                f"{url}healthz answers {response.code}",
                "Another program may listen there: see --dashboard.",
            )
        ]
    return [Finding("dashboard", f"{url} answers")]


def _settings(options: Namespace) -> Settings:
    flags = {
        one.name: value
        for one in flag_fields()
        if (value := getattr(options, one.name))
    }
    file = None if options.config is None else Path(options.config)
    try:
        return load_settings(flags, file)
    except SettingsError as error:
        raise Failed(str(error), USAGE) from None
