"""The verb of statistics, by bytes, and its subcommand in a terminal."""

from typing import Any

from hyperhive.admin.verbs import WINDOWS
from hyperhive.agents import windows
from hyperhive.deferreds import deferred
from hyperhive.store.turns import TurnEnding, TurnTable
from tests.admin.support import AdminCase, Hive
from tests.admin.terminal import console, printed, said
from tests.admin.test_cli import CliCase


def store(hive: Hive, agent: str, outcome: str = "ok", **more: Any) -> None:
    """Store a turn of two seconds that ended just now; its message waited for half a second."""

    def work(connection: Any) -> None:
        now = hive.now()
        row = TurnTable.begin(connection, agent, "message", now - 2)
        TurnTable.waited(connection, row.id, 0.5)
        ending = TurnEnding(ended_at=now, outcome=outcome, **more)
        TurnTable.end(connection, row.id, ending)

    hive.database.write(work)


class StatsTests(AdminCase):
    """What the socket answers."""

    def test_windows(self) -> None:
        """The command line offers the windows that there are."""
        self.assertEqual(WINDOWS, tuple(windows.WINDOWS))

    def test_stats(self) -> None:
        """A total, buckets, and a row for each agent, 24 hours if nothing else is said."""
        store(self.hive, "bob", input_tokens=3, output_tokens=4, cost_usd=0.5)
        stats = self.client.ask({"cmd": "stats"})["stats"]
        self.assertEqual((stats["window"], stats["bucket"]), ("24h", "hour"))
        self.assertEqual(len(stats["buckets"]), 24)
        figures = {
            "turns": 1,
            "outcomes": {"ok": 1},
            "errors": 0,
            "parks": 0,
            "tokens": {"input": 3, "output": 4, "cache_read": 0, "cache_write": 0},
            "cost_usd": 0.5,
            "latency_ms": {"p50": 2000, "p95": 2000},
            "queue_ms": {"p50": 500, "p95": 500},
        }
        self.assertEqual(stats["total"], figures)
        self.assertEqual(
            stats["buckets"][-1],
            {
                "start": "2026-01-31T12:00:00.000Z",
                "end": "2026-01-31T13:00:00.000Z",
                **figures,
            },
        )
        [bob] = [row for row in stats["agents"] if row["name"] == "bob"]
        self.assertEqual(
            bob,
            {
                "name": "bob",
                "gone": False,
                "running": False,
                **figures,
                "turns_by_bucket": [0] * 23 + [1],
                "cost_by_bucket": [None] * 23 + [0.5],
            },
        )

    def test_of_one(self) -> None:
        """With a name it is that agent's."""
        store(self.hive, "bob")
        answer = self.client.ask({"cmd": "stats", "name": "alice", "window": "30d"})
        self.assertEqual(answer["stats"]["agent"], "alice")
        self.assertEqual(answer["stats"]["total"]["turns"], 0)

    def test_refused(self) -> None:
        """Another window, and an agent that never was."""
        self.assert_refused(
            self.client.ask({"cmd": "stats", "window": "1y"}), "24h, 7d, 30d"
        )
        self.assert_refused(self.client.ask({"cmd": "stats", "name": "zed"}), "zed")


class StatsSubcommandTests(CliCase):
    """What is printed."""

    @deferred
    async def test_table(self) -> None:
        """The busiest first, the sum last, outcomes below."""
        for _ in range(3):
            store(self.hive, "alice", output_tokens=500, cost_usd=0.25)
        store(self.hive, "bob", "failed")
        store(self.hive, "zed", "rate_limited", cost_usd=0.0)
        lines = (await self.ask("stats")).splitlines()
        self.assertEqual(
            [" ".join(line.split()) for line in lines[:5]],
            [
                "AGENT TURNS ERRORS PARKED TOKENS COST P50 P95 QUEUE",
                "alice 3 0 0 1.5k $0.75 2.0 s 2.0 s 500 ms",
                "bob 1 1 0 0 ? 2.0 s 2.0 s 500 ms",
                "zed (gone) 1 0 1 0 $0.00 2.0 s 2.0 s 500 ms",
                "all 5 1 1 1.5k $0.75 2.0 s 2.0 s 500 ms",
            ],
        )
        self.assertEqual(lines[5:], ["5 turns: 3 ok, 1 failed, 1 rate limited"])
        self.assertEqual({len(line) for line in lines[:5]}, {len(lines[0])})

    @deferred
    async def test_one(self) -> None:
        """One agent needs no sum."""
        store(self.hive, "alice")
        store(self.hive, "bob")
        lines = (await self.ask("stats", "bob", "--window", "7d")).splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["AGENT", "bob", "1"])

    @deferred
    async def test_nothing(self) -> None:
        """A window without turns is said in words."""
        one = console()
        self.assertEqual(await self.run_on(one, "stats"), 0)
        self.assertEqual(printed(one), "")
        self.assertIn("no turn has ended in the last 24h", said(one))
