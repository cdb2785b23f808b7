"""kill -9 of the real daemon at every step from a decision to its end, and the next daemon."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.daemon import Daemon, processes_with
from tests.deploy.verdicts import happened, interrupted, never_decided
from tests.e2e.test_claude import bubblewrap_refusal

#: How many daemons die side by side.
LANES = 2


@frozen
class Death:
    """One death and what was found after it.

    :param step: its number, from 1.
    :param died: whether there was such a step.
    :param trace: the names of the steps until then.
    :param found: what the next daemon shows.
    :param left: processes of the hive beside the next daemon.
    """

    step: int
    after: bool
    died: bool
    trace: tuple[str, ...]
    found: dict[str, Any]
    left: list[int]


class DyingDaemon(Daemon):
    """A daemon that can be told at which step to die."""

    dies_at: tuple[int, bool] | None = None

    @property
    def trace(self) -> Path:
        """The steps of the one that dies."""
        return self.base / "trace"

    def command(self) -> list[str]:
        """See :class:`Daemon`."""
        command = super().command()
        if self.dies_at is None:
            return command
        step, after = self.dies_at
        return [
            *(sys.executable, "-m", "tests.faults.dying_daemon", str(self.trace)),
            *(str(step), "after" if after else "before"),
            *command[1:],
        ]


class Lane:
    """A hive with bob, for whom a change waits; put back to that for each death."""

    def __init__(self) -> None:
        self.hive = DyingDaemon("--demo", "--containers", "bubblewrap")
        self.first = self.good = ""

    def prepare(self) -> None:
        """Let the manager propose something, and keep what is then on disk."""
        hive = self.hive.start()
        with closing(hive.events("approval", "turn")) as events:
            hive.do(cmd="spawn", name="bob")
            hive.do(cmd="set_paused", name="bob", paused=True)
            message = hive.send("manager", '!propose bob model = "sonnet"')
            events.until(lambda event: event["kind"] == "approval_added")
            events.until(
                lambda event: (
                    event["kind"] == "turn_end"
                    and not hive.status("hm1nd")["unread"]
                    and self.is_done(message)
                )
            )
        hive.do(cmd="set_paused", name="hm1nd", paused=True)
        [approval] = hive.do(cmd="pending")["approvals"]
        self.good, self.first = (
            approval["fetched_sha"],
            hive.status("bob")["deployed_sha"],
        )
        hive.stop()
        self._copy(hive.base, hive.base / "kept")

    def is_done(self, message: int) -> bool:
        """Whether the manager has dealt with a message."""
        rows = self.hive.inbox("manager")
        return next(row for row in rows if row["id"] == message)["state"] == "done"

    def die(self, step: int, after: bool) -> Death:
        """Approve, die at a step, and see what the next daemon makes of it."""
        hive = self.hive
        self._copy(hive.base / "kept", hive.base)
        hive.trace.write_text("")
        hive.dies_at = step, after
        hive.start()
        self._recovered()
        try:
            died = not hive.ask(cmd="approve", id=1).get("ok")
        except ConnectionError:
            died = True
        if not died:
            hive.stop()
        hive.end()
        hive.dies_at = None
        hive.start()
        self._recovered()
        found = self.found()
        left = [
            one for one in processes_with(str(hive.base)) if _is_stray(one, hive.pid)
        ]
        if found == interrupted(self.first):
            self._run_again()
        hive.stop()
        trace = tuple(hive.trace.read_text().split())
        return Death(step, after, died, trace, found, left)

    def found(self) -> dict[str, Any]:
        """What is shown when whatever was left open has ended."""
        hive = self.hive
        with closing(hive.events("deploy")) as events:
            while any(job["state"] in ("waiting", "running") for job in self._jobs()):
                events.next()
        [approval] = hive.do(cmd="pending")["approvals"]
        bob = hive.status("bob")
        told = [
            json.loads(one["body"])
            for one in hive.inbox("manager")
            if one["from"] == "system"
        ]
        return {
            "approval": approval["status"],
            "jobs": [job["state"] for job in self._jobs()],
            "sha": bob["deployed_sha"],
            "main": self._git("rev-parse", "main"),
            "deployed": self._git("tag", "--list", "deployed/1") != "",
            "runs": bob["running"],
            "resolved": [
                one["status"] for one in told if one["event"] == "approval_resolved"
            ],
            "rebuilt": [one["ok"] for one in told if one["event"] == "rebuilt"],
        }

    def _recovered(self) -> None:
        """Wait until agents are as they should be."""
        with closing(self.hive.events("agent")) as events:
            while any(
                self.hive.status(name)["state"] == "recovering"
                for name in ("hm1nd", "bob")
            ):
                events.next()

    def _run_again(self) -> None:
        """What was interrupted can be done again, and is then done."""
        [job] = self._jobs()
        self.hive.do(cmd="run_again", id=job["id"])
        assert self.hive.status("bob")["deployed_sha"] == self.good
        assert self._git("rev-parse", "main") == self.good

    def _jobs(self) -> list[dict[str, Any]]:
        jobs = self.hive.do(cmd="deploys")["jobs"]
        return [job for job in jobs if job.get("approval") == 1]

    def _git(self, *arguments: str) -> str:
        repo = self.hive.state / "applied" / "bob.git"
        return subprocess.run(
            ["git", f"--git-dir={repo}", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def _copy(self, source: Path, target: Path) -> None:
        """State and run folder, with all that they have in them."""
        target.mkdir(exist_ok=True)
        for name in (self.hive.state.name, self.hive.run.name):
            shutil.rmtree(target / name, ignore_errors=True)
            subprocess.run(["cp", "-a", source / name, target / name], check=True)


def _is_stray(process: int, daemon: int) -> bool:
    """Whether it lives and neither is the daemon nor was started by it."""
    while process != daemon:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False  # it is gone meanwhile
        process = int(stat.rpartition(")")[2].split()[1])
        if process in (0, 1):
            return True
    return False


class DeployKillTests(SynchronousTestCase):
    """What was approved is never half done."""

    def setUp(self) -> None:
        """As many hives as die side by side."""
        if refusal := bubblewrap_refusal():
            raise SkipTest(refusal)
        self.lanes = [Lane() for _ in range(LANES)]
        for lane in self.lanes:
            self.addCleanup(lane.hive.remove)

    def deaths(self) -> Iterator[Death]:
        """Every death, in the order of the steps; the last one found no step to die at."""
        with ThreadPoolExecutor(LANES) as pool:
            list(pool.map(Lane.prepare, self.lanes))
            [whole] = pool.map(lambda lane: lane.die(0, False), self.lanes[:1])
            yield whole
            places = [
                (step, after)
                for step in range(1, len(whole.trace) + 1)
                for after in (False, True)
            ]
            shares = [places[number::LANES] for number in range(LANES)]
            runs = pool.map(
                lambda lane, share: [lane.die(*place) for place in share],
                self.lanes,
                shares,
            )
            yield from sorted(
                (death for run in runs for death in run),
                key=lambda death: (death.step, death.after),
            )

    def test_every_step(self) -> None:
        """First it never happened, then it is interrupted, then it has happened: never half."""
        [whole, *deaths] = self.deaths()
        ages = []
        for death in deaths:
            lane = self.lanes[(2 * death.step - 2 + death.after) % LANES]
            allowed = [
                never_decided(lane.first),
                interrupted(lane.first),
                happened(lane.good),
            ]
            where = f"{'after' if death.after else 'before'} {death.trace}"
            self.assertTrue(death.died, where)
            self.assertEqual(death.trace, whole.trace[: death.step], where)
            self.assertIn(death.found, allowed, where)
            self.assertEqual(death.left, [], where)
            ages.append(allowed.index(death.found))
        self.assertEqual(ages, sorted(ages))
        self.assertEqual(set(ages), {0, 1, 2})
        self.assertLessEqual(
            {
                *("store.write", "repo.tag", "repo.advance", "builder.build"),
                *("container.stop", "container.create", "container.start"),
            },
            set(whole.trace),
        )
