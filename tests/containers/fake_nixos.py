"""The nixos driver on a host that is made up: all of it in a folder beside the driver's state."""

import os
import signal
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor

from hyperhive.containers.interfaces import ContainerSpec
from hyperhive.containers.nixos import NixosDriver
from hyperhive.containers.nixos_host import Host
from hyperhive.deferreds import deferred
from hyperhive.testing.nixos_container import World, install
from tests.containers.real import RealSuite

PROGRAMS = ("nixos-container", "nix-env", "systemctl", "systemd-run", "journalctl")


def world_of(state: Path) -> World:
    """The world that belongs to a driver's state."""
    return World(state.parent / "world", state.parent / "control")


def make_world(state: Path) -> World:
    """Make it, with its programs."""
    world = world_of(state)
    install(world, "nixos_container", *PROGRAMS[:2])
    install(world, "nixos_systemd", *PROGRAMS[2:])
    world.configuration.mkdir(parents=True)
    world.roots.mkdir(parents=True)
    return world


def host_of(world: World) -> Host:
    """How a driver sees it."""
    programs = {name.replace("-", "_"): str(world.bin / name) for name in PROGRAMS}
    return Host(
        marker=world.root / "etc/NIXOS",
        configuration=world.configuration,
        roots=world.roots,
        units=world.units,
        profiles=world.profiles,
        **programs,
    )


def end_world(world: World) -> None:
    """End what runs in it, however a test has left it."""
    mine = str(world.control).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if mine in line and b"nixos_" in line:
                os.kill(int(pid), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue


class FakeHostDriver(NixosDriver):
    """The driver in such a world, whose containers run a system if nothing is said of one."""

    def __init__(self, reactor: Any, state: Path) -> None:
        self.world = world_of(state)
        super().__init__(reactor, state, host_of(self.world))

    @deferred
    async def create(self, spec: ContainerSpec) -> None:
        """See :class:`IContainerDriver`."""
        if spec.system is None:
            spec = attrs.evolve(
                spec, system=self.world.system("default", "#!/bin/sh\n")
            )
        await super().create(spec)

    def path_inside(self, spec: ContainerSpec, path: Path) -> str:
        """See :class:`IContainerDriver`. What the fake runs is not isolated."""
        return str(path)


class FakeHost(RealSuite):
    """What the tests share: a host that is made up."""

    driver_class = FakeHostDriver
    added = frozenset({"INVOCATION_ID"})
    changes_at_once = False
    world: World

    async def make_driver(self) -> Any:
        if not hasattr(self, "world"):
            self.world = make_world(self.state)
            self.addCleanup(end_world, self.world)
            path = f"{self.world.bin}:{os.environ['PATH']}"
            self.patch(os, "environ", {**os.environ, "PATH": path})
        # Without a probe, which takes a fifth of a test's time.
        return self.driver_class(reactor, self.state)
