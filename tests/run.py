"""Run the tests in random order under coverage, list what was skipped, close with a count.

Usage: ``python -m tests.run [--seed N] [--no-coverage] [name …]``. The last line
is ``N passed, N failed, N skipped``; the status is 0 only if nothing failed and,
with ``HYPERHIVE_FORBID_SKIPS`` set, nothing was skipped.
"""

import argparse
import os
import random
import sys
import time
from typing import Any

from coverage import Coverage
from twisted.internet import asyncioreactor

asyncioreactor.install()

from twisted.trial import reporter, runner  # noqa: E402  # only after the reactor


class Reporter(reporter.TreeReporter):
    """Names each test as it runs, and counts what came of each."""

    passed = 0

    def addSuccess(self, test: Any) -> None:
        """One more that passed."""
        super().addSuccess(test)
        self.passed += 1


def main(arguments: list[str]) -> int:
    """Run them and answer the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["tests"])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--no-coverage", action="store_true")
    options = parser.parse_args(arguments)
    coverage = None if options.no_coverage else Coverage(config_file="setup.cfg")
    if coverage is not None:
        coverage.start()
    print(f"Running in random order; the same again: --seed {options.seed}")
    chance = random.Random(options.seed)
    loader = runner.TestLoader()
    loader.sorter = lambda _: chance.random()
    suite = loader.loadByNames(options.names or ["tests"], recurse=True)
    result = runner.TrialRunner(Reporter, workingDirectory="_trial_temp").run(suite)
    if coverage is not None:
        coverage.stop()
        coverage.save()
        coverage.combine()
        coverage.report(file=sys.stdout)
    return _closing(result)


def _closing(result: Any) -> int:
    skipped = result.skips + [
        (test, reason) for test, reason, *_ in result.expectedFailures
    ]
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for test, reason in skipped:
        print(f"skipped: {test.id()}: {reason}")
    print(
        f"{result.passed} passed, {failed} failed, {len(skipped)} skipped", flush=True
    )
    forbidden = bool(os.environ.get("HYPERHIVE_FORBID_SKIPS")) and bool(skipped)
    return 1 if failed or forbidden or not result.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
