"""kill -9 of the daemon under load: the delivery contract holds over it."""

import random
import sqlite3
from collections import Counter
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon import Daemon, processes_with

#: How long one message may take on a machine that is busy (seconds).
PATIENCE = 120.0


class KillTestCase(SynchronousTestCase):
    """Chains of messages through a swarm, while the daemon is killed."""

    flags: tuple[str, ...] = ()

    def setUp(self) -> None:
        """A hive in demo mode."""
        self.kills = 0
        self.hive = Daemon("--demo", "--max-turns", "8", *self.flags)
        self.addCleanup(self.hive.remove)
        self.hive.start()

    def spawn(self, count: int) -> list[str]:
        """Make agents; answers their names."""
        names = [f"a{number}" for number in range(count)]
        for name in names:
            self.hive.do(cmd="spawn", name=name)
        return names

    def begin_chains(self, names: list[str], hops: int) -> None:
        """Send one message to each agent, which travels on ``hops`` times.

        A chain is told from the others by its tag, which every message carries.
        """
        for index, name in enumerate(names):
            ring = names[index + 1 :] + names[: index + 1]
            self.hive.send(name, f"!hop {hops} {' '.join(ring)} #c{index}")

    def rows(self) -> list[sqlite3.Row]:
        """Every message, as it is on disk."""
        path = self.hive.state / "broker.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return list(connection.execute("SELECT * FROM messages ORDER BY id"))
        finally:
            connection.close()

    def finish(self, chains: int) -> None:
        """Wait until the last message of every chain is done, then until nothing waits."""
        with closing(self.hive.events("message")) as events:
            while self._unfinished(chains):
                events.until(lambda event: event["kind"] == "message_done", PATIENCE)

    def _unfinished(self, chains: int) -> bool:
        rows = [row for row in self.rows() if row["body"].startswith("!hop")]
        ended = {
            _tag(row) for row in rows if _hops(row) == 0 and row["state"] == "done"
        }
        waiting = [row for row in rows if row["state"] in ("queued", "leased")]
        return len(ended) < chains or bool(waiting)

    def check_contract(self, chains: int, hops: int) -> None:
        """Nothing lost, nothing doubled without the mark, order kept."""
        rows = [row for row in self.rows() if row["body"].startswith("!hop")]
        self.assertEqual(Counter(row["state"] for row in rows), {"done": len(rows)})
        followers = Counter((_tag(row), _hops(row)) for row in rows)
        for chain in range(chains):
            for left in range(hops + 1):
                self.assertGreaterEqual(followers[f"#c{chain}", left], 1)
        # A message that was handled once has one follower. Only one that is marked as
        # redelivered may have been handled more often: at most once more a kill.
        marked = Counter((_tag(row), _hops(row)) for row in rows if row["redelivered"])
        for (tag, left), count in followers.items():
            if left == hops:
                continue
            before, again = followers[tag, left + 1], marked[tag, left + 1]
            most = before + again * self.kills
            self.assertLessEqual(count, most, (tag, left))
        self._check_order(rows)

    def _check_order(self, rows: list[sqlite3.Row]) -> None:
        """For each recipient, turns took messages in the order of their ids.

        A message that was given back goes to a later turn than its first, but never
        behind a message that came after it.
        """
        last: dict[str, tuple[int, int]] = {}
        for row in rows:
            turn = int(row["turn"])
            before = last.get(row["recipient"], (0, 0))
            self.assertLessEqual(before[1], turn, (before, row["id"]))
            last[row["recipient"]] = row["id"], turn

    def kill_and_restart(self) -> None:
        """kill -9; no claude may be left; then start again."""
        self.hive.kill()
        self.kills += 1
        self.hive.start()
        # All that an earlier daemon started is gone before its first new turn, and
        # what runs now belongs to the daemon that runs now.
        living = processes_with(str(self.hive.run))
        self.assertIn(self.hive.pid, living)

    def check_again_and_again(self) -> None:
        """Killed at many moments, also during recovery; containers go on running."""
        chance = random.Random(1)
        names = self.spawn(4)
        self.begin_chains(names, 24)
        for _ in range(8):
            with closing(self.hive.events("message", "turn")) as events:
                for _ in range(chance.randrange(1, 12)):
                    events.next(PATIENCE)
            self.kill_and_restart()
        self.finish(4)
        states = {
            row["name"]: row["running"]
            for row in self.hive.do(cmd="agent_status")["agent_statuses"]
        }
        self.assertEqual(states, dict.fromkeys(["hm1nd", *names], True))
        self.check_contract(4, 24)

    def check_no_claude_left(self) -> None:
        """A claude that hangs does not outlive its daemon, nor does what it started."""
        self.hive.quiet()
        self.spawn(1)
        with closing(self.hive.events("stream")) as events:
            self.hive.send("a0", "!fork\n!hang")
            events.until(lambda event: event["kind"] == "stream")
        self.assertNotEqual(processes_with(str(self.hive.base), "stream-json"), [])
        self.hive.kill()
        self.hive.start()
        self.hive.do(cmd="set_paused", name="a0", paused=True)
        self.hive.do(cmd="kill", name="a0")
        self.assertEqual(processes_with(str(self.hive.base), "stream-json"), [])


class KillTests(KillTestCase):
    """In sandboxes, which end with their daemon."""

    def test_twenty_agents(self) -> None:
        """20 agents, 2,000 messages between them, one kill -9 in the middle."""
        names = self.spawn(20)
        with closing(self.hive.events("message")) as events:
            self.begin_chains(names, 99)
            for _ in range(900):
                events.until(lambda event: event["kind"] == "message_done", PATIENCE)
        self.kill_and_restart()
        self.finish(20)
        self.check_contract(20, 99)
        self.assertGreaterEqual(len(self.rows()), 2000)

    def test_again_and_again(self) -> None:
        """Killed at many moments, also during recovery; containers go on running."""
        self.check_again_and_again()

    def test_no_claude_left(self) -> None:
        """A claude that hangs does not outlive its daemon, nor does what it started."""
        self.check_no_claude_left()

    def test_answered_sends_survive(self) -> None:
        """Every id that was answered before the kill is there after it."""
        self.spawn(1)
        self.hive.do(cmd="set_paused", name="a0", paused=True)
        answered = [self.hive.send("a0", f"!say {number}") for number in range(200)]
        self.hive.kill()
        stored = {row["id"] for row in self.rows()}
        self.assertEqual(set(answered) - stored, set())


class UnisolatedKillTests(KillTestCase):
    """Without sandboxes, where nothing but the hive ends what is left."""

    flags = ("--containers", "process")

    def test_again_and_again(self) -> None:
        """Killed at many moments, also during recovery; containers go on running."""
        self.check_again_and_again()

    def test_no_claude_left(self) -> None:
        """A claude that hangs does not outlive its daemon, nor does what it started."""
        self.check_no_claude_left()


def _tag(row: sqlite3.Row) -> str:
    return str(row["body"].split()[-1])


def _hops(row: sqlite3.Row) -> int:
    return int(row["body"].split()[1])
