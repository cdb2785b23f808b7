"""Pick the driver that the setting ``containers`` names, and prove that it works."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.interfaces import IContainerDriver, Probe
from hyperhive.containers.nixos import NixosDriver
from hyperhive.containers.nixos_host import Host
from hyperhive.containers.process import ProcessDriver
from hyperhive.deferreds import deferred

Driver = BubblewrapDriver | NixosDriver | ProcessDriver

#: The drivers by their names in the setting.
DRIVERS: Mapping[str, type[Driver]] = {
    BubblewrapDriver.name: BubblewrapDriver,
    NixosDriver.name: NixosDriver,
    ProcessDriver.name: ProcessDriver,
}


def automatic(host: Host | None = None) -> str:
    """What ``auto`` stands for on this host. It never falls back to less isolation."""
    on_nixos = (host or Host()).marker.exists()
    return NixosDriver.name if on_nixos else BubblewrapDriver.name


@deferred
async def choose_driver(
    reactor: Any, setting: str, state: Path
) -> tuple[IContainerDriver, Probe]:
    """Make a driver and probe it.

    :param reactor: as :class:`~hyperhive.containers.recorded.RecordedDriver` takes it.
    :param setting: ``auto``, ``nixos``, ``bubblewrap`` or ``process``.
    :param state: a folder, 0700, for what the driver remembers until the next boot.
    :raises DriverMissing: with what to install.
    :raises Denied: with the remedy.
    :raises TimedOut: if a trial run hangs.
    """
    name = automatic() if setting == "auto" else setting
    driver: IContainerDriver = DRIVERS[name](reactor, state)
    return driver, await driver.probe()
