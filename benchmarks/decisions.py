"""How soon an agent works on a decision: ``python -m benchmarks.decisions``.

A hive with the real claude in bubblewrap sandboxes, against the stand-in for the Messages
API, which answers at once. Each round has, in turns,

to bob: the operator writes to bob;
answer: bob has asked, the operator answers;
to the manager: the operator writes to the manager;
deny: the manager has proposed a commit for bob, the operator denies it;
approve: the same, and he approves it; bob is built and restarted meanwhile.

Measured is from before the verb is given to the admin socket to claude being executed for
what the asker is told of it, which claude itself writes down. The messages are the
references: a decision is told by one.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.results import keep, machine
from benchmarks.stamped import LOGIN, executed, stamped
from hyperhive.settings import Layout
from hyperhive.testing.claude_cli import VERSION
from tests.daemon import LIMIT, Daemon, connect
from tests.e2e.stand_in import StandIn

#: Rounds before the first that counts: caches, sessions, the probe of the flags.
WARM_UP = 1
MANAGER = "hm1nd"
BODY = "[[say hi]]"
#: What each is held against.
REFERENCES = {
    "to bob": "to bob",
    "answer": "to bob",
    "to the manager": "to the manager",
    "deny": "to the manager",
    "approve": "to the manager",
}


class Hive:
    """One hive, whose agents rest between two measurements."""

    def __init__(self, claude: Path, api: StandIn) -> None:
        self.daemon = Daemon(
            *("--containers", "bubblewrap", "--claude", str(claude)),
            environment={"ANTHROPIC_BASE_URL": api.url, **LOGIN},
        ).start()
        self._layout = Layout(self.daemon.state, self.daemon.run)
        self._agents = self.daemon.events("agent_state")
        self._count = 0
        self.daemon.do(cmd="spawn", name="bob")
        self.rest()

    def rest(self) -> None:
        """Wait until nobody works, nor has anything to work on."""
        for name in (MANAGER, "bob"):
            while True:
                status = self.daemon.status(name)
                if status["state"] == "idle" and not status["unread"]:
                    break
                self._agents.next()

    def tool(self, name: str, tool: str, **arguments: Any) -> None:
        """Let an agent call one of the hive's tools."""
        call = f"[[tool mcp__hyperhive__{tool} {json.dumps(arguments)}]] [[say done]]"
        self.daemon.send(name, call)
        self.rest()

    def proposed(self) -> int:
        """A new approval, of a commit of the manager's."""
        folder = str(self._layout.proposed_repo("bob"))
        self._count += 1
        git(folder, "fetch", "-q", str(self._layout.applied_repo("bob")), "main")
        git(folder, "reset", "-q", "--hard", "FETCH_HEAD")
        git(folder, "commit", "-q", "--allow-empty", "-m", str(self._count))
        head = git(folder, "rev-parse", "HEAD")
        self.tool(MANAGER, "request_apply_commit", agent="bob", commit_ref=head)
        [one] = self.pending("pending", "approvals")
        return one

    def asked(self) -> int:
        """A new question of bob's."""
        self.tool("bob", "ask_operator", question="Which?")
        [one] = self.pending("questions", "questions")
        return one

    def pending(self, verb: str, kind: str) -> list[int]:
        """What waits for a decision."""
        rows = self.daemon.do(cmd=verb)[kind]
        return [row["id"] for row in rows if row["status"] == "pending"]

    def time(self, name: str, **request: Any) -> float:
        """Ask for something; after how long an agent's claude runs of it (seconds)."""
        with (
            closing(self.daemon.events("turn_start", "stream")) as events,
            connect(self.daemon.socket) as connection,
        ):
            begun = time.time()
            connection.sendall(json.dumps(request).encode() + b"\n")
            events.until(lambda event: is_of(event, "turn_start", name))
            events.until(lambda event: is_of(event, "stream", name))
            took = executed(self._layout.home(name)) - begun
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
            assert answer["ok"], answer
        self.rest()
        return took


def is_of(event: dict[str, Any], kind: str, name: str) -> bool:
    """Whether an event is of a kind and an agent; claude says something once it runs."""
    return (event["kind"], event["agent"]) == (kind, name)


def git(folder: str, *arguments: str) -> str:
    """Run git as the manager."""
    named = ("-c", "user.name=m", "-c", "user.email=m@m", "-c", "safe.directory=*")
    done = subprocess.run(
        ["git", "-C", folder, *named, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    return done.stdout.strip()


def measure(hive: Hive, rounds: int) -> dict[str, list[float]]:
    """Do all of them in turns; seconds."""
    ways: dict[str, Callable[[], float]] = {
        "to bob": lambda: hive.time("bob", cmd="send", to="bob", body=BODY),
        "answer": lambda: hive.time(
            "bob", cmd="answer", id=hive.asked(), answer="this one"
        ),
        "to the manager": lambda: hive.time(
            MANAGER, cmd="send", to="manager", body=BODY
        ),
        "deny": lambda: hive.time(MANAGER, cmd="deny", id=hive.proposed()),
        "approve": lambda: hive.time(MANAGER, cmd="approve", id=hive.proposed()),
    }
    samples: dict[str, list[float]] = {name: [] for name in ways}
    order = deque(ways)
    for number in range(WARM_UP + rounds):
        for name in order:
            took = ways[name]()
            if number >= WARM_UP:
                samples[name].append(took)
        order.rotate(-1)
    return samples


def table(samples: dict[str, list[float]]) -> str:
    """The figures in Markdown."""
    lines = ["| what | p50 | p95 | most | to a message's |", "|---|---|---|---|---|"]
    for name, found in samples.items():
        reference = statistics.median(samples[REFERENCES[name]])
        p95 = statistics.quantiles(found, n=20, method="inclusive")[-1]
        lines.append(
            f"| {name} | {1000 * statistics.median(found):.0f} ms "
            f"| {1000 * p95:.0f} ms | {1000 * max(found):.0f} ms "
            f"| {statistics.median(found) / reference:.2f} |"
        )
    return "\n".join([*lines, "", f"{len(samples['to bob'])} times each."])


def main(arguments: list[str]) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="How soon a decision is worked on.")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args(arguments)
    where = machine() | {"claude": VERSION}
    with stamped() as claude, StandIn() as api:
        hive = Hive(claude, api)
        try:
            samples = measure(hive, options.rounds)
        finally:
            hive.daemon.remove()
    keep("decisions", where, {"seconds": samples})
    print(table(samples))


if __name__ == "__main__":
    main(sys.argv[1:])
