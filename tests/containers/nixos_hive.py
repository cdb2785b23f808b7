"""The real daemon on NixOS containers of another host than this one.

Usage: ``python -m tests.containers.nixos_hive MODULE CLASS TWISTD-ARGUMENTS…``, of the
class that is the driver then.
"""

import importlib
import sys

from twisted.internet import asyncioreactor

# The driver's module may be one that imports a reactor.
asyncioreactor.install()

from twisted.scripts import twistd  # noqa: E402  # only after the reactor

from hyperhive.containers import choose  # noqa: E402
from hyperhive.containers.nixos import NixosDriver  # noqa: E402

if __name__ == "__main__":
    module, driver = sys.argv[1:3]
    choose.DRIVERS = {
        **choose.DRIVERS,
        NixosDriver.name: getattr(importlib.import_module(module), driver),
    }
    sys.argv[:3] = ["twistd"]
    twistd.run()
