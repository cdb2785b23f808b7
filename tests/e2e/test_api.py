"""The HTTP API of a real hive under schemathesis, by nothing but its own OpenAPI document."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.request import Request, urlopen

from twisted.trial.unittest import TestCase

from tests.daemon import LIMIT, Daemon

#: How many requests are invented for each operation, beside those at every schema's edges.
EXAMPLES = 10
#: How long all of them may take before the test fails (seconds).
PATIENCE = 300.0
#: Streams have no end, and the limit of wrong tokens no 401: other tests are about those.
LEFT_OUT = ("--exclude-path-regex", "/stream$", "--exclude-checks", "ignored_auth")
#: What it finds nothing of: files have no schema, links are off, jobs go too soon.
NOT_THERE = {
    *("GET /static/{path}", "GET /decide/{token}", "POST /decide/{token}"),
    *("GET /api/job/{job}", "POST /cancel-job/{job}"),
}
#: Agents that are destroyed, and such that have been.
DOOMED = ("d0", "d1", "d2", "d3")
GONE = ("g0", "g1", "g2", "g3")


class FuzzTests(TestCase):
    """Requests that the document allows and such that it forbids, over sockets.

    Nothing is an error of the server; what is answered is as documented; what is
    allowed is taken, what is forbidden refused. What is tried is the same each time.
    """

    def setUp(self) -> None:
        """A hive where there is some of everything, and anything may happen to it."""
        self.hive = Daemon(
            *("--demo", "--containers", "process"),
            *("--manager-port", "0", "--agent-ports", "20000-60000"),
        ).start()
        self.addCleanup(self.hive.remove)
        for name in ("alice", "bob", *DOOMED, *GONE):
            self.hive.do(cmd="spawn", name=name)
        for name in GONE:
            self.hive.do(cmd="destroy", name=name, purge=False)
        for number in range(6):
            self.hive.do(cmd="request_spawn", name=f"r{number}")
        with closing(self.hive.events("question")) as events:
            for number in range(6):
                self.hive.send("alice", f"!ask Is it {number}?")
            for _ in range(6):
                events.until(lambda event: event["kind"] == "question_added")

    def test_dashboard(self) -> None:
        """The dashboard's origin, the agents' pages below it included."""
        self.fuzz(
            str(self.hive.facts()["dashboard"]),
            {
                "name": {"enum": ["alice", "bob"]},
                "gone": {"enum": list(GONE)},
                "approval": {"maximum": 6},
                "question": {"maximum": 6},
                "job": {"maximum": 12},
                "message": {"maximum": 12},
            },
        )

    def test_agent(self) -> None:
        """The origin that is an agent's own port."""
        self.fuzz(str(self.hive.do(cmd="urls")["urls"]["alice"]), {})

    def document(self, url: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """What the origin says of itself, where paths name what there is."""
        authorization = {"authorization": f"Bearer {self.hive.token()}"}
        asked = Request(f"{url}api/openapi.json", headers=authorization)
        with urlopen(asked, timeout=LIMIT) as answer:
            document: dict[str, Any] = json.load(answer)
        for path, item in document["paths"].items():
            for operation in item.values():
                for parameter in operation["parameters"]:
                    if parameter["in"] == "path" and parameter["name"] in known:
                        narrowed = known[parameter["name"]]
                        if path.startswith("/destroy/"):
                            narrowed = {"enum": list(DOOMED)}
                        parameter["schema"] = {
                            "allOf": [parameter["schema"]],
                            **narrowed,
                        }
        return document

    def fuzz(self, url: str, known: Mapping[str, Any]) -> None:
        """Run schemathesis against an origin; the hive must be well afterwards."""
        file = self.hive.base / "openapi.json"
        file.write_text(json.dumps(self.document(url, known)))
        header = f"Authorization: Bearer {self.hive.token()}"
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", str(file)),
                *("--url", url, "--header", header, "--request-timeout", "60"),
                *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)),
                *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
                *("--no-color", *LEFT_OUT),
            ],
            cwd=self.hive.base,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ran.returncode, 0, ran.stdout[-20_000:] + ran.stderr[-5_000:])
        self.assertRegex(ran.stdout, r"Tested: \d\d")
        # What it says never was there: else it would have tried nothing but errors.
        missing = re.findall(r"^  - ([A-Z]+ /\S*)$", ran.stdout, re.MULTILINE)
        self.assertEqual(set(missing) - NOT_THERE, set(), ran.stdout[-5_000:])
        self.assertIn("hm1nd", self.hive.do(cmd="list")["agents"])
        for bad in ("could not be answered", "Traceback", "Unhandled"):
            self.assertNotIn(bad, self.hive.text())
