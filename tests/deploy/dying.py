"""A daemon that does something to a repo and kills itself at one step of it.

Usage: ``python -m tests.deploy.dying BASE STEP WHAT [ARGUMENT]``, of a base that
:mod:`tests.deploy.stage` has made. A step is a git that writes, or a rename.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet import reactor, task  # noqa: E402  # only after the reactor
from twisted.internet.defer import Deferred  # noqa: E402

from hyperhive.containers.bubblewrap import BubblewrapDriver  # noqa: E402
from hyperhive.deploy.fetch import ContainerGit  # noqa: E402
from hyperhive.deploy.repos import Repos  # noqa: E402
from hyperhive.names import MANAGER  # noqa: E402
from hyperhive.settings import Layout  # noqa: E402
from tests.deploy.stage import ENTRY, TEMPLATE, manager_spec  # noqa: E402

#: The commands of git that write something, or bring what is written.
WRITE = frozenset(
    [
        "fast-import",
        "index-pack",
        "init",
        "mktag",
        "pack-objects",
        "read-tree",
        "update-ref",
    ]
)


def die_at(step: int) -> None:
    """Be killed at the step of this number, from now on."""
    numbers = itertools.count()

    def hook(event: str, arguments: Any) -> None:
        if event == "os.posix_spawn":
            counts = not WRITE.isdisjoint(arguments[1])
        else:
            counts = event == "os.rename"
        if counts and next(numbers) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


async def main(base: Path, step: int, what: str, *arguments: str) -> None:
    """Do it; say so if it came to its end."""
    layout = Layout(base / "state", base / "run")
    spec = manager_spec(layout, base / "home")
    state = base / f"containers-{os.getpid()}"
    state.mkdir()
    driver = BubblewrapDriver(reactor, state)
    await driver.probe()
    await driver.create(spec)
    await driver.start(MANAGER)
    container = ContainerGit(reactor, driver, lambda: spec, layout)
    repos = Repos(reactor, layout, container, ENTRY)
    die_at(step)
    match what:
        case "create":
            await repos.create("bob", TEMPLATE, "The first commit")
        case "submit":
            await repos.submit("bob", arguments[0])
        case "deploy":
            await repos.tag("bob", "deployed", 1, arguments[0])
            await repos.advance("bob", arguments[0])
        case "remove":
            await repos.remove("bob")
    print("done")


if __name__ == "__main__":
    base, step, *words = sys.argv[1:]
    task.react(lambda _: Deferred.fromCoroutine(main(Path(base), int(step), *words)))
