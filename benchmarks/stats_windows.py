"""How long statistics take with a million turns, and how much they hold up everybody else.

The reference is the obvious way: one statement over the whole table, which answers less
(sums alone, no percentiles).
"""

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from twisted.internet import asyncioreactor

if "twisted.internet.reactor" not in sys.modules:
    asyncioreactor.install()

from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater, react

from benchmarks.results import keep, machine
from hyperhive.agents.statistics import REST, Statistics
from hyperhive.agents.windows import WINDOWS
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.testing.agents import NOW, FakeAgents

AGENTS = 100
DAYS = 90
#: How often the reactor is looked at for stalls (seconds).
TICK = 0.001

_OUTCOMES = ("ok", "failed", "rate_limited", "cancelled")
_OBVIOUS = (
    "SELECT CAST((ended_at - ?) / ? AS INTEGER), agent, outcome, COUNT(*), "
    "SUM(input_tokens), SUM(output_tokens), SUM(cache_read_tokens), "
    "SUM(cache_write_tokens), SUM(cost_usd) FROM turns NOT INDEXED "
    "WHERE ended_at >= ? GROUP BY 1, 2, 3"
)


def turns(count: int) -> Iterator[tuple[Any, ...]]:
    """So many turns, evenly over :data:`DAYS`."""
    dice = random.Random(1)  # nothing secret
    for number in range(count):
        ended_at = NOW - DAYS * 86400 * (1 - number / count)
        took = dice.lognormvariate(3.2, 1.0)
        yield (
            f"a{dice.randrange(AGENTS)}",
            "message",
            ended_at - took,
            ended_at,
            dice.choices(_OUTCOMES, (90, 4, 4, 2))[0],
            "7c1e9a52-90d3-4a55-8f0a-2b7f1f9d1c11",
            "claude-sonnet-4-5",
            120,
            int(took * 40),
            int(took * 2000),
            400,
            dice.randrange(10_000, 100_000),
            took / 200,
            _two_figures(dice.expovariate(0.2)),
            _two_figures(took),
        )


def _two_figures(seconds: float) -> int:
    return round(float(f"{seconds * 1000:.1e}"))


def fill(path: Path, count: int) -> None:
    """Make the database."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for script in BROKER:
            connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {len(BROKER)}")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO turns (agent, kind, started_at, ended_at, outcome, session_id, "
            "model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, "
            f"context, cost_usd, waited_ms, took_ms) VALUES ({', '.join('?' * 15)})",
            turns(count),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def obvious(path: Path, days: int, buckets: int) -> float:
    """The reference; seconds."""
    with sqlite3.connect(path) as connection:
        start, step = NOW - days * 86400, days * 86400 / buckets
        begun = time.perf_counter()
        connection.execute(_OBVIOUS, (start, step, start)).fetchall()
        return time.perf_counter() - begun


class Timed:
    """A database that notes how long each read holds its thread, and what it computes."""

    def __init__(self, database: Database) -> None:
        self.holds: list[float] = []
        self.busy: list[float] = []
        self.read, self.write = database.read, database.write
        self._database = database

    def read_in_thread(self, work: Any) -> Any:
        """See Database."""

        def timed(connection: sqlite3.Connection) -> Any:
            begun, busy = time.perf_counter(), time.thread_time()
            try:
                return work(connection)
            finally:
                self.holds.append(time.perf_counter() - begun)
                self.busy.append(time.thread_time() - busy)

        return self._database.read_in_thread(timed)


class Stalls:
    """How long the reactor came to nothing else."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._loop = LoopingCall(self._tick)
        self._loop.start(TICK)

    def stop(self) -> float:
        """Look no more; the longest (seconds)."""
        self._tick()
        self._loop.stop()
        return self.longest

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - TICK)
        self._last = now


async def sample(clock: Any, timed: Timed, window: str, agent: str | None) -> Any:
    """One answer: whole, computed, longest read, longest stall, size (seconds, bytes)."""
    names = [f"a{number}" for number in range(AGENTS)]
    asked = Statistics(
        clock,
        cast(Database, timed),
        EventBus(clock, 1),
        FakeAgents(*names),
        lambda: None,
        DAYS,
        lambda: NOW,
    )
    timed.holds.clear()
    timed.busy.clear()
    stalls = Stalls()
    begun = time.perf_counter()
    report = await asked.report(window, agent)
    whole = time.perf_counter() - begun
    longest = stalls.stop()
    size = len(json.dumps(report.as_wire()))
    return whole, sum(timed.busy), max(timed.holds), longest, size


@deferred
async def measure(clock: Any, path: Path, rounds: int) -> list[dict[str, Any]]:
    """Every window, of all and of one."""
    database = Database.open(clock, path, BROKER)
    timed = Timed(database)
    rows = []
    for name, window in WINDOWS.items():
        days = {"24h": 1, "7d": 7, "30d": 30}[name]
        for agent in (None, "a7"):
            samples = []
            for _ in range(rounds + 1):
                samples.append(await sample(clock, timed, name, agent))
                await deferLater(clock, 0.05)
            wholes, busy, holds, stalls, sizes = zip(*samples[1:], strict=True)
            rows.append(
                {
                    "window": name,
                    "of": agent or "all",
                    "answer_p50": 1000 * statistics.median(wholes),
                    "answer_max": 1000 * max(wholes),
                    "computed_p50": 1000 * statistics.median(busy),
                    "hold_max": 1000 * max(holds),
                    "stall_max": 1000 * max(stalls),
                    "bytes": sizes[0],
                    "obvious_p50": 1000
                    * statistics.median(
                        obvious(path, days, window.count) for _ in range(3)
                    ),
                }
            )
    await database.close()
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The figures in Markdown."""
    lines = [
        "| window | of | answer p50 | answer, most | computed, p50 | longest read | longest stall | size | obvious way |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['window']} | {row['of']} | {row['answer_p50']:.0f} ms "
        f"| {row['answer_max']:.0f} ms | {row['computed_p50']:.0f} ms | {row['hold_max']:.0f} ms "
        f"| {row['stall_max']:.1f} ms | {row['bytes'] / 1024:.0f} KiB "
        f"| {row['obvious_p50']:.0f} ms |"
        for row in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args(arguments)
    where = {
        **machine(),
        "sqlite": sqlite3.sqlite_version,
        "turns": options.turns,
        "rest": REST,
    }

    @deferred
    async def run(clock: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "broker.sqlite"
            fill(path, options.turns)
            where["file_bytes"] = path.stat().st_size
            rows = await measure(clock, path, options.rounds)
        keep("stats_windows", where, {"milliseconds": rows})
        print(json.dumps(where))
        print(table(rows))

    react(run, (), reactor)


if __name__ == "__main__":
    main(sys.argv[1:])
