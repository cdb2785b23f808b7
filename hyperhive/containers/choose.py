"""Pick the driver that the setting ``containers`` names, and prove that it works."""

from pathlib import Path
from typing import Any

from hyperhive.containers.bubblewrap import BubblewrapDriver
from hyperhive.containers.interfaces import IContainerDriver, Probe
from hyperhive.containers.process import ProcessDriver
from hyperhive.deferreds import deferred

#: The drivers by their names in the setting.
DRIVERS: dict[str, type[BubblewrapDriver] | type[ProcessDriver]] = {
    BubblewrapDriver.name: BubblewrapDriver,
    ProcessDriver.name: ProcessDriver,
}
#: What ``auto`` stands for. It never falls back to less isolation.
AUTOMATIC = BubblewrapDriver.name


@deferred
async def choose_driver(
    reactor: Any, setting: str, state: Path
) -> tuple[IContainerDriver, Probe]:
    """Make a driver and probe it.

    :param reactor: as :class:`~hyperhive.containers.recorded.RecordedDriver` takes it.
    :param setting: ``auto``, ``bubblewrap`` or ``process``.
    :param state: a folder, 0700, for what the driver remembers until the next boot.
    :raises DriverMissing: with what to install.
    :raises Denied: with the remedy.
    :raises TimedOut: if a trial run hangs.
    """
    name = AUTOMATIC if setting == "auto" else setting
    driver: IContainerDriver = DRIVERS[name](reactor, state)
    return driver, await driver.probe()
