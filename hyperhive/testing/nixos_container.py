"""A contract fake of ``nixos-container`` and ``nix-env``, with what is odd about the real ones.

It is a program: :func:`install` puts it on a PATH under both names. It keeps files as
the real ones do, in folders that it is given, and calls ``systemctl`` as they do. What
goes wrong, how often, is said by :meth:`World.misbehave`; all calls are noted.

It runs by itself, without the hive's packages, so that a call takes 20 ms.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

#: How it tells of itself, as the real one: by its path.
SELF = "/run/current-system/sw/bin/nixos-container"
#: What each program says when told to misbehave so; others are hang, slow and die.
FORBIDDEN = "error: opening lock file: Permission denied\n"


class World:
    """The folders of a fake host, and what its programs are to do wrong.

    :param root: where all of it is. ``/`` for a host that can be had whole.
    :param control: where calls and misbehaviour are noted.
    """

    def __init__(self, root: Path, control: Path) -> None:
        self.root = root
        self.control = control
        self.configuration = root / "etc/nixos-containers"
        self.roots = root / "var/lib/nixos-containers"
        self.units = root / "run/systemd/system"
        self.nix = root / "nix/var/nix"
        self.profiles = self.nix / "profiles/per-container"
        self.gcroots = self.nix / "gcroots/per-container"
        self.store = root / "nix/store"
        self.bin = control / "bin"

    def make(self) -> None:
        """Make the folders that a host has from its beginning."""
        for folder in (self.units, self.store, self.nix, self.bin, self.control):
            folder.mkdir(parents=True, exist_ok=True)

    def misbehave(self, action: str, how: str, times: int = 1) -> None:
        """Let the next calls of an action go wrong.

        :param action: such as ``create``, or ``nix-env``.
        :param how: ``orphan`` (leave a container without a system), ``hang``, ``slow``, ``die`` (in the middle, by a
            signal), ``forbidden``, or a text that it fails with.
        """
        plan = self._plan()
        plan[action] = [how, times]
        (self.control / "plan.json").write_text(json.dumps(plan))

    def fate(self, action: str) -> str:
        """How this call of an action is to go wrong; empty if well."""
        plan = self._plan()
        how, times = plan.get(action, ["", 0])
        if times:
            self.misbehave(action, how, times - 1)
        return how if times else ""

    def note(self, words: list[str]) -> None:
        """Note a call, and how it was made."""
        call = {
            "words": words,
            "directory": os.getcwd(),
            "entries": os.listdir("."),
            "environment": dict(os.environ),
            "leader": os.getpgrp() == os.getsid(0),
            "stdin": os.read(0, 1).decode() if not os.isatty(0) else "a terminal",
        }
        with (self.control / "calls").open("a") as file:
            file.write(json.dumps(call) + "\n")

    def calls(self) -> list[dict[str, Any]]:
        """All calls so far."""
        try:
            lines = (self.control / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def _plan(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.control / "plan.json").read_text())
        except FileNotFoundError:
            found = {}
        return found

    def system(self, name: str, init: str = "#!/bin/sh\nexit 1\n") -> Path:
        """A built system in the store."""
        path = self.store / f"{name:0>8}-nixos-system"
        path.mkdir(exist_ok=True)
        (path / "init").write_text(init)
        (path / "init").chmod(0o755)
        return path


def install(world: World, module: str, *names: str) -> None:
    """Put a module of this folder, as a program, into the world's ``bin`` under these names."""
    world.make()
    # Imported, a module is compiled once; run as a script, each time.
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        f"import {module}; {module}.main(*sys.argv[1:])"
    )
    for name in names:
        words = (
            *(sys.executable, "-I", "-S", "-c", code),
            *(str(world.root), str(world.control), name),
        )
        file = world.bin / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        file.chmod(0o755)


def die(text: str, status: int) -> NoReturn:
    """End as Perl's ``die`` does: the status is whatever errno was left over."""
    sys.stderr.write(f"{SELF}: {text}\n")
    sys.exit(status)


def suffer(fate: str) -> None:
    """Go wrong in one of the ways that all have."""
    if fate == "hang":
        # As nix does: a builder that goes on when only its parent is ended.
        subprocess.run(  # a fixed program
            ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], check=False
        )
    elif fate == "slow":
        time.sleep(0.5)
    elif fate == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fate == "forbidden":
        sys.stderr.write(FORBIDDEN)
        sys.exit(13)
    elif fate and fate != "orphan":
        sys.stderr.write(f"{fate}\n")
        sys.exit(1)


class NixosContainer:
    """One call of ``nixos-container``."""

    def __init__(self, world: World, words: list[str]) -> None:
        self.world = world
        self.options: dict[str, str] = {}
        plain = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                break
            if word in ("--system-path", "--flake", "--config", "--nixos-path"):
                self.options[word] = next(rest)
            elif word.startswith("--"):
                sys.stderr.write(f"Unknown option: {word[2:]}\n")
                sys.exit(1)
            else:
                plain.append(word)
        if not plain:
            die("no action specified", 255)
        self.action = plain[0]
        world.configuration.mkdir(mode=0o755, parents=True, exist_ok=True)
        world.roots.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.action == "list":
            suffer(world.fate("list"))
            for file in sorted(world.configuration.glob("*.conf")):
                print(file.stem)
            sys.exit(0)
        if len(plain) < 2 or plain[1] == "0":
            die("no container name specified", 255)
        self.name = plain[1]
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", self.name):
            die("invalid container name", 255)
        self.conf = world.configuration / f"{self.name}.conf"
        self.profile = world.profiles / self.name
        self.flake, _, attribute = self.options.get("--flake", "").rpartition("#")
        self.attribute = attribute or "container"

    def go(self) -> None:
        """Do it."""
        fate = self.world.fate(self.action)
        if self.action == "create":
            self.create(fate)
            return
        if not self.conf.exists():
            if self.action == "destroy":
                return
            if self.action == "status":
                print("gone")
            die(f"container ‘{self.name}’ does not exist", 2)
        suffer(fate)
        actions = {
            "destroy": self.destroy,
            "start": lambda: self.systemctl("start"),
            "stop": lambda: self.systemctl("stop"),
            "restart": self.restart,
            "status": lambda: print("up" if self.running() else "down"),
            "update": self.update,
            "run": self.run,
        }
        if self.action not in actions:
            die(f"unknown action ‘{self.action}’", 255)
        actions[self.action]()

    def create(self, fate: str) -> None:
        """Write the .conf, and only then build. What fails after that leaves it there."""
        lock = self.world.root / "run/lock/nixos-container"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if self.conf.exists():
                die(f"container ‘{self.name}’ already exists", 25)
            if len(self.name) > 11:
                die(f"container name ‘{self.name}’ is too long", 2)
            others = "".join(
                one.read_text() for one in self.world.configuration.glob("*.conf")
            )
            net = next(
                n for n in range(1, 255) if f"HOST_ADDRESS=10.233.{n}.1\n" not in others
            )
            lines = [
                "PRIVATE_NETWORK=1",
                f"HOST_ADDRESS=10.233.{net}.1",
                f"LOCAL_ADDRESS=10.233.{net}.2",
                *("HOST_BRIDGE=", "HOST_PORT=", "AUTO_START=0"),
            ]
            if "--flake" in self.options:
                # Without its attribute.
                lines.append(f"FLAKE={self.flake}")
            self.conf.write_text("".join(f"{line}\n" for line in lines))
        sys.stderr.write(f"host IP is 10.233.{net}.1, container IP is 10.233.{net}.2\n")
        self.profile.mkdir(mode=0o755, parents=True, exist_ok=True)
        if fate == "orphan":
            die("failed to build container from flake ''", 2)
        suffer(fate)
        system = self.options.get("--system-path") or self.build()
        if not self.nix_env(system):
            self.clear()
            die("failed to set initial container configuration", 1)

    def build(self) -> str:
        """Build to ``./.tmp``, whoever else does so there."""
        source = Path(self.flake) / self.attribute
        link = Path(".tmp")
        if not source.exists():
            sys.stderr.write(f"error: flake does not provide attribute '{source}'\n")
            die(f"failed to build container from flake '{self.flake}'", 2)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.realpath(source))
        time.sleep(0.1)
        return os.readlink(link)

    def update(self) -> None:
        """Build the attribute ``container`` of what the .conf says, and switch what runs."""
        if "--flake" not in self.options:
            found = re.search(r"^FLAKE=(.*)$", self.conf.read_text(), re.MULTILINE)
            self.flake = found[1] if found else ""
        if not self.nix_env(self.build()):
            die("failed to set container configuration", 1)
        if self.running():
            self.run()

    def run(self) -> None:
        """Enter it as the host's root, and let a login shell read the agent's profile."""
        profile = self.world.roots / self.name / "root/.bash_profile"
        if profile.exists():
            subprocess.run(
                ["/bin/sh", str(profile)], check=False
            )  # that is what it does

    def destroy(self) -> None:
        """Stop and remove it, unless it is declared by the host."""
        if not os.access(self.conf, os.W_OK):
            die("cannot destroy declarative container", 1)
        if self.running():
            self.systemctl("stop")
        self.clear()

    def clear(self) -> None:
        """Remove all of it that is on disk."""
        for folder in (
            self.profile,
            self.world.gcroots / self.name,
            self.world.roots / self.name,
        ):
            shutil.rmtree(folder, ignore_errors=True)
        self.conf.unlink()

    def nix_env(self, system: str) -> bool:
        """Have the profile set by ``nix-env``."""
        profile = str(self.profile / "system")
        done = subprocess.run(
            ["nix-env", "-p", profile, "--set", system], check=False
        )  # on PATH, as the real one does it
        return done.returncode == 0

    def restart(self) -> None:
        """Stop it and start it."""
        self.systemctl("stop")
        self.systemctl("start")

    def systemctl(self, action: str) -> None:
        """Have systemd do it."""
        done = subprocess.run(
            ["systemctl", action, f"container@{self.name}"], check=False
        )  # on PATH, as the real one does it
        if done.returncode:
            die(f"failed to {action} container", 1)

    def running(self) -> bool:
        """Whether systemd calls it active."""
        done = subprocess.run(
            [
                "systemctl",
                "show",
                f"container@{self.name}",
            ],  # on PATH, as the real one does it
            capture_output=True,
            check=False,
        )
        return b"ActiveState=active\n" in done.stdout


def nix_env(world: World, words: list[str]) -> None:
    """``nix-env -p PROFILE --set PATH``: a new generation of the profile."""
    suffer(world.fate("nix-env"))
    given = dict(zip(words[::2], words[1::2], strict=False))
    profile = Path(given.get("-p") or given["--profile"])
    system = given["--set"]
    if not os.path.exists(system):
        sys.stderr.write(f"error: path '{system}' does not exist\n")
        sys.exit(1)
    if not profile.parent.is_dir():
        sys.stderr.write(f"error: opening lock file '{profile}.lock': No such file\n")
        sys.exit(1)
    generation = len(list(profile.parent.glob("system-*-link"))) + 1
    link = profile.with_name(f"system-{generation}-link")
    link.symlink_to(system)
    draft = profile.with_name("system.new")
    draft.symlink_to(link.name)
    draft.replace(profile)


def main(root: str, control: str, program: str, *words: str) -> None:
    """Be one of the two programs."""
    os.umask(0o022)
    world = World(Path(root), Path(control))
    world.note([program, *words])
    if words == ("--help",) or words == ("--version",):
        return
    if program == "nix-env":
        nix_env(world, list(words))
    else:
        NixosContainer(world, list(words)).go()
