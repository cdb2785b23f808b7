"""A daemon that has given up root, and runs one command in a sandbox.

Usage: ``python -m tests.containers.unprivileged STATE HOME``
"""

import ctypes
import os
import sys
from pathlib import Path

from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.internet import reactor, task  # noqa: E402  # only after the reactor
from twisted.internet.defer import Deferred  # noqa: E402

from hyperhive.containers.choose import choose_driver  # noqa: E402
from hyperhive.containers.interfaces import (  # noqa: E402
    Bind,
    Command,
    ContainerSpec,
)
from tests.containers.observing import Recorder  # noqa: E402

NOBODY = 65534
PR_SET_DUMPABLE = 4


def give_up_root() -> None:
    """Be nobody, as if started so: a process that changes may not look at itself."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


async def main(state: str, home: str) -> None:
    """Run it and print what came of it."""
    driver, probe = await choose_driver(reactor, "auto", Path(state))
    print("isolated", probe.isolated)
    await driver.create(ContainerSpec("h-bob", (Bind(Path(home), "/root", True),)))
    await driver.start("h-bob")
    recorder = Recorder()
    script = "echo uid $(id -u); touch /root/x; stat -c 'wrote %u' /root/x; ! touch /usr/x /etc/x 2>/dev/null"
    command = Command(("sh", "-c", script), {"PATH": "/usr/bin:/bin"}, "/root")
    process = driver.run("h-bob", command, recorder)
    end = await recorder.ended()
    await process.destroy()
    print(recorder.stdout.decode() + recorder.stderr.decode(), end="")
    print(end)


if __name__ == "__main__":
    give_up_root()
    task.react(lambda _: Deferred.fromCoroutine(main(*sys.argv[1:])))
