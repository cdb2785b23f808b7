"""The HTTP API of a real hive under schemathesis, by nothing but its own OpenAPI document."""

import subprocess
import sys

from twisted.trial.unittest import TestCase

from tests.daemon import Daemon

#: How many requests are invented for each operation, beside those at every schema's edges.
EXAMPLES = 10
#: How long all of them may take before the test fails (seconds).
LIMIT = 300.0
#: Streams have no end, and the limit of wrong tokens no 401: other tests are about those.
LEFT_OUT = ("--exclude-path-regex", "/stream$", "--exclude-checks", "ignored_auth")


class FuzzTests(TestCase):
    """Requests that the document allows and such that it forbids, over sockets.

    Nothing is an error of the server; what is answered is as documented; what is
    allowed is taken, what is forbidden refused. What is tried is the same each time.
    """

    def setUp(self) -> None:
        """A hive with agents that anything may happen to."""
        self.hive = Daemon(
            *("--demo", "--containers", "process"),
            *("--manager-port", "0", "--agent-ports", "20000-60000"),
        ).start()
        self.addCleanup(self.hive.remove)
        for name in ("alice", "bob"):
            self.hive.do(cmd="spawn", name=name)

    def test_dashboard(self) -> None:
        """The dashboard's origin, the agents' pages below it included."""
        self.fuzz(str(self.hive.facts()["dashboard"]))

    def test_agent(self) -> None:
        """The origin that is an agent's own port."""
        self.fuzz(str(self.hive.do(cmd="urls")["urls"]["alice"]))

    def fuzz(self, url: str) -> None:
        """Run schemathesis against an origin; the hive must be well afterwards."""
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"{url}api/openapi.json",
                *(
                    "--url",
                    url,
                    "--header",
                    f"Authorization: Bearer {self.hive.token()}",
                ),
                *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)),
                *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
                *("--request-timeout", "60", "--warnings", "off", "--no-color"),
                *LEFT_OUT,
            ],
            cwd=self.hive.base,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stdout[-20_000:] + ran.stderr[-5_000:])
        self.assertRegex(ran.stdout, r"Tested: \d\d")
        self.assertIn("hm1nd", self.hive.do(cmd="list")["agents"])
        for bad in ("could not be answered", "Traceback", "Unhandled"):
            self.assertNotIn(bad, self.hive.text())
