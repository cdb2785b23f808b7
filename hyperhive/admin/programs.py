"""Which programs of the host a hive needs, and whether those that are there will do."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from hyperhive.admin.console import one_line
from hyperhive.admin.findings import NOTE, OK, PROBLEM, Finding
from hyperhive.agents.executable import NoClaude, resolve
from hyperhive.containers.choose import automatic
from hyperhive.containers.nixos import NixosDriver
from hyperhive.settings import Settings

#: The oldest Python that will do.
PYTHON = (3, 11)
#: The oldest git: before it what was deployed could be lost with the power.
GIT = (2, 36)
#: The oldest nix that agents' systems were built with.
NIX = (2, 8)
#: How long a program may take to say its version (seconds).
VERSION_SECONDS = 20


@frozen
class Needed:
    """A program of the host.

    :param why: what for.
    :param remedy: what to do where there is none, or one that won't do.
    :param oldest: the oldest version that will do, of one that can be asked for it.
    """

    name: str
    why: str
    remedy: str
    oldest: tuple[int, ...] | None = None


class _Silent(Exception):
    """A program did not say its version; the text says what it did."""


def python(version: tuple[int, ...]) -> Finding:
    """Whether a Python will do."""
    if version[:2] < PYTHON:
        text = f"{_dotted(version)} is too old"
        return Finding("python", PROBLEM, text, f"use {_dotted(PYTHON)} or newer")
    return Finding("python", OK, _dotted(version))


def claude(settings: Settings) -> Finding:
    """Whether there is a claude to run."""
    try:
        executable = resolve(settings, _on_nixos(settings))
    except NoClaude as error:
        return Finding("claude", PROBLEM, str(error))
    if executable.demo:
        return Finding("claude", NOTE, "a demo: agents are run by a scripted stand-in")
    path = executable.version_source
    if path is None:
        return Finding("claude", OK, "each agent's own system has one")
    remedy = "install it anew (npm install -g @anthropic-ai/claude-code) or name another with --claude PATH"
    try:
        said = _version(path, "Claude Code")
    except _Silent as silent:
        return Finding("claude", PROBLEM, str(silent), remedy)
    return Finding("claude", OK, f"{said}, {path}")


def others(settings: Settings) -> Iterator[Finding]:
    """Whether the other programs are there, and new enough."""
    yield from map(_found, _needed(settings))


def _needed(settings: Settings) -> Iterator[Needed]:
    why = "configurations are git commits"
    yield Needed("git", why, f"install git {_dotted(GIT)} or newer", GIT)
    if _on_nixos(settings):
        why = "it builds agents' systems"
        remedy = f"set nix.enable = true, with nix {_dotted(NIX)} or newer"
        yield Needed("nix", why, remedy, NIX)
        why = "it makes agents' containers"
        yield Needed("nixos-container", why, "set boot.enableContainers = true")
    else:
        why = "agents reach the hive's tools through it"
        yield Needed("socat", why, "install the package socat")


def _found(needed: Needed) -> Finding:
    name = needed.name
    path = shutil.which(name)
    if path is None:
        text = f"there is none, and {needed.why}"
        return Finding(name, PROBLEM, text, needed.remedy)
    if needed.oldest is None:
        return Finding(name, OK, path)
    try:
        said = _version(Path(path), name)
    except _Silent as silent:
        return Finding(name, PROBLEM, str(silent), needed.remedy)
    numbers = re.search(r"\d+(?:\.\d+)+", said)
    if numbers is None:
        text = f"{path} does not say which version it is: {said!r}"
        return Finding(name, PROBLEM, text, needed.remedy)
    if tuple(map(int, numbers[0].split("."))) < needed.oldest:
        text = f"{said}, {path}, is too old"
        return Finding(name, PROBLEM, text, needed.remedy)
    return Finding(name, OK, f"{said}, {path}")


def _version(path: Path, name: str) -> str:
    """What a program says of its version.

    :param name: what is a part of that.
    :raises _Silent: if it does not say it.
    """
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"{path} has not said its version within {VERSION_SECONDS} s"
        raise _Silent(text) from None
    except OSError as error:
        raise _Silent(f"{path} can't be run: {error.strerror}") from None
    said = one_line(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0 or name not in said:
        text = f"{path} --version says {said or 'nothing'!r} (status {done.returncode})"
        raise _Silent(text)
    return said


def _on_nixos(settings: Settings) -> bool:
    chosen = settings.containers
    return (automatic() if chosen == "auto" else chosen) == NixosDriver.name


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
