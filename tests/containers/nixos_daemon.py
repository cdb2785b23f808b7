"""A real daemon for tests on NixOS containers, whose agents' systems are built by a nix of the test's own."""

import sys

from hyperhive.containers.nixos import NixosDriver
from tests.daemon import Daemon
from tests.nixos.support import ROOT, Nix


class NixosDaemon(Daemon):
    """The daemon, with its driver in another host.

    Agents' claude is the one of their own system, which is the scripted agent.

    :param driver: the driver for that host.
    :param nix: what builds.
    """

    def __init__(self, driver: type[NixosDriver], nix: Nix) -> None:
        hive = nix.hive()
        flake = hive / "flake.nix"
        # As an operator does who has nixpkgs elsewhere; there is no network here.
        flake.write_text(
            flake.read_text().replace(
                "github:NixOS/nixpkgs/nixos-unstable", f"path:{nix.stub}"
            )
        )
        super().__init__(
            *("--containers", "nixos", "--hive-flake", f"path:{hive}"),
            environment={
                **nix.environment,
                "ANTHROPIC_API_KEY": "a-key-that-is-none",
                "PYTHONPATH": str(ROOT),
            },
        )
        self._driver = driver

    def command(self) -> list[str]:
        """See :class:`Daemon`."""
        rest = [one for one in super().command()[1:] if one != "--reactor=asyncio"]
        return [
            *(sys.executable, "-m", "tests.containers.nixos_hive"),
            *(self._driver.__module__, self._driver.__name__, *rest),
        ]

    def spend_once(self, name: str, key: str) -> None:
        """Let an agent's ``!once KEY`` do nothing from now on, whether it has got so far or not."""
        notes = self.state / "agents" / name / "state"
        (notes / f".demo-once-{key}").touch()
