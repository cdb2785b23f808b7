"""What the nixos driver uses of its host: paths and programs, and nothing else."""

from pathlib import Path

from attrs import frozen


@frozen
class Host:
    """Where things are on a NixOS host. The programs are names on PATH, or paths.

    :param marker: is there on NixOS, and only there.
    :param configuration: the folder of the containers' ``.conf`` files.
    :param roots: the folder of the containers' root file systems.
    :param units: the folder of units and drop-ins that last until the next boot.
    :param profiles: the folder of the containers' nix profiles.
    """

    marker: Path = Path("/etc/NIXOS")
    configuration: Path = Path("/etc/nixos-containers")
    roots: Path = Path("/var/lib/nixos-containers")
    units: Path = Path("/run/systemd/system")
    profiles: Path = Path("/nix/var/nix/profiles/per-container")
    nixos_container: str = "nixos-container"
    nix_env: str = "nix-env"
    systemctl: str = "systemctl"
    systemd_run: str = "systemd-run"
    journalctl: str = "journalctl"

    def conf(self, name: str) -> Path:
        """A container's configuration."""
        return self.configuration / f"{name}.conf"

    def profile(self, name: str) -> Path:
        """The link to the system that a container was given last."""
        return self.profiles / name / "system"

    def drop_in(self, name: str) -> Path:
        """What the driver adds to a container's unit."""
        return self.units / f"{unit(name)}.d" / "hyperhive.conf"


def unit(name: str) -> str:
    """The unit of a container on the host."""
    return f"container@{name}.service"
