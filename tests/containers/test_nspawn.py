"""The nixos driver with a real systemd, in a host that is booted for it."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.containers import nested, nested_root

#: How long all of them may take (seconds).
LIMIT = 600


@functools.cache
def outcomes() -> dict[str, str]:
    """What went wrong in each test, run once for all in one host."""
    with nested_root.booted() as enter:
        done = subprocess.run(  # fixed
            [*enter, sys.executable, "-m", "tests.containers.nested"],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            env={
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            timeout=LIMIT,
            check=False,
        )
    found = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith('{"test": '):
            outcome = json.loads(line)
            found[outcome["test"]] = found.get(outcome["test"], "") + outcome["wrong"]
    if not found:
        raise AssertionError(done.stdout + done.stderr)
    return found


class NspawnTests(SynchronousTestCase):
    """Tells of each test of :data:`~tests.containers.nested.CLASSES`."""


def _test(name: str, of: type) -> Callable[[NspawnTests], None]:
    def test(self: NspawnTests) -> None:
        reason = nested_root.why_not() or getattr(of, "skip", None)
        if reason is not None:
            raise SkipTest(reason)
        wrong = outcomes().get(name, "It was not run.")
        self.assertEqual(wrong, "", wrong)

    test.__doc__ = getattr(of, name).__doc__
    return test


# By their names: a class that this module has would be run by itself.
for _path in nested.CLASSES:
    for _name in dir(namedAny(_path)):
        if _name.startswith("test_"):
            setattr(NspawnTests, _name, _test(_name, namedAny(_path)))
