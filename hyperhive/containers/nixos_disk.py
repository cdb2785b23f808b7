"""A hive's NixOS containers on disk: made, changed and removed by nixos-container, and told from others'."""

import os
from pathlib import Path

from hyperhive.containers import nixos_conf
from hyperhive.containers.interfaces import (
    ContainerSpec,
    DriverError,
    NoSuchContainer,
)
from hyperhive.containers.nixos_commands import Commands
from hyperhive.containers.nixos_host import Host

#: How long the steps may take (seconds).
CREATE_LIMIT, DESTROY_LIMIT, PROFILE_LIMIT = 120.0, 120.0, 60.0


class Disk:
    """The containers of one hive, by the mark in their ``.conf``.

    A container is made from a system that is built already (``create --system-path``)
    and not from a flake: a second evaluation could give another system than the one that
    was approved; a flake's attribute is not kept, so that later commands would build
    another; and a build that fails there leaves a container without a system.

    :param owner: the hive's own folder, which also has a file for each container that
        is being made and has no mark yet.
    """

    def __init__(self, commands: Commands, host: Host, owner: Path) -> None:
        self._commands = commands
        self._host = host
        self._owner = owner

    def names(self) -> list[str]:
        """The names of this hive's containers."""
        files = sorted(self._host.configuration.glob("*.conf"))
        return [file.stem for file in files if self._found(file.stem) is not None]

    def spec(self, name: str) -> ContainerSpec:
        """What a container is to be.

        :raises NoSuchContainer: if there is none, or it is another's.
        """
        spec = self._found(name)
        if spec is None:
            raise NoSuchContainer(f"There is no container {name[:40]!r}.")
        return spec

    def has(self, name: str) -> bool:
        """Whether it is one of this hive's, or was about to be."""
        return self._found(name) is not None or self._claim(name).exists()

    def has_system(self, name: str) -> bool:
        """Whether it has something to run."""
        return self._host.profile(name).exists()

    async def put(self, spec: ContainerSpec) -> None:
        """Make a container, or change the one that is there.

        :param spec: a checked one.
        :raises DriverError: also if the name is somebody else's.
        """
        conf = self._host.conf(spec.name)
        if conf.exists() and self._found(spec.name) is None:
            await self._clear_away(spec.name)
        if not conf.exists():
            await self._make(spec)
        await self._set_profile(spec)
        text = nixos_conf.render(_read(conf), spec, str(self._owner))
        nixos_conf.replace_file(conf, text)
        self._claim(spec.name).unlink(missing_ok=True)

    async def remove(self, name: str) -> None:
        """Remove a stopped container. What was bound into it stays.

        :raises DriverError: if it is still there.
        """
        answer = await self._commands.run_apart(
            self._host.nixos_container, "destroy", name, limit=DESTROY_LIMIT
        )
        if self._host.conf(name).exists():
            raise answer.failure(f"The container {name} could not be removed")
        self._claim(name).unlink(missing_ok=True)

    def _found(self, name: str) -> ContainerSpec | None:
        found = nixos_conf.parse(_read(self._host.conf(name)))
        if found is None or found[0] != str(self._owner):
            return None
        return found[1]

    def _claim(self, name: str) -> Path:
        return self._owner / f"{name}.claim"

    async def _clear_away(self, name: str) -> None:
        """Remove what an unfinished create has left under a name.

        :raises DriverError: if it is somebody's: it has a system, and we claim nothing.
        """
        declared = "SYSTEM_PATH=" in _read(self._host.conf(name))
        whole = declared or self.has_system(name)
        if whole and not self._claim(name).exists():
            raise DriverError(
                f"There is a container {name} already, which is not this hive's. If "
                f"nobody needs it: nixos-container destroy {name}"
            )
        await self.remove(name)

    async def _make(self, spec: ContainerSpec) -> None:
        name = spec.name
        self._claim(name).touch()
        answer = await self._commands.run_apart(
            *(self._host.nixos_container, "create", name),
            *("--system-path", str(spec.system)),
            limit=CREATE_LIMIT,
        )
        if not answer.ok or not self._host.conf(name).exists():
            await self.remove(name)
            raise answer.failure(f"The container {name} could not be made")

    async def _set_profile(self, spec: ContainerSpec) -> None:
        """Have the profile lead to the system, and with it keep it from being collected."""
        profile = self._host.profile(spec.name)
        if _same(profile, spec.system):
            return
        answer = await self._commands.run(
            *(self._host.nix_env, "--profile", str(profile)),
            *("--set", str(spec.system)),
            limit=PROFILE_LIMIT,
        )
        if not answer.ok:
            raise answer.failure(f"{spec.name} could not be given its system")


def _same(one: Path, other: Path | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)


def _read(file: Path) -> str:
    """A small file's text; none if there is no such file.

    :raises DriverError: if it can't be read.
    """
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise DriverError(f"{file} can't be read: {error}.") from None
