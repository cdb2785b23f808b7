"""A daemon with one container and one process in it, which a test kills.

Usage: ``python -m tests.containers.daemon MODULE CLASS STATE HOME NAME ARGV…``
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet import reactor, task  # noqa: E402  # only after the reactor
from twisted.internet.defer import Deferred  # noqa: E402

from hyperhive.containers.interfaces import (  # noqa: E402
    Bind,
    Command,
    ContainerSpec,
)
from tests.containers.observing import Recorder  # noqa: E402


async def main(
    module: str, name: str, state: str, home: str, container: str, *argv: str
) -> None:
    """Run it; say so; wait to be killed."""
    driver: Any = getattr(importlib.import_module(module), name)(reactor, Path(state))
    await driver.probe()
    await driver.create(ContainerSpec(container, (Bind(Path(home), "/root", True),)))
    await driver.start(container)
    recorder = Recorder()
    driver.run(container, Command(argv, {"PATH": "/usr/bin:/bin"}, "/"), recorder)
    await recorder.heard(b"ready")
    print("ready", flush=True)
    await Deferred()


if __name__ == "__main__":
    task.react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
