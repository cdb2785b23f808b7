"""The subcommand of statistics: what turns came to, as a table of agents."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from hyperhive.admin import verbs
from hyperhive.admin.actions import Session
from hyperhive.admin.console import Console, clean
from hyperhive.admin.grammar import AGENTS, Argument, Subcommand
from hyperhive.admin.show import aligned
from hyperhive.admin.words import count, plural, took

Row = Mapping[str, Any]

_HEAD = ("AGENT", "TURNS", "ERRORS", "PARKED", "TOKENS", "COST", "P50", "P95", "QUEUE")


def _stats(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Row) -> None:
        stats = answer["stats"]
        agent = stats.get("agent")
        rows = [
            row
            for row in sorted(stats["agents"], key=_busiest_first)
            if row["turns"] and agent in (None, row["name"])
        ]
        if not rows:
            console.say(f"(no turn has ended in the last {stats['window']})")
            return
        table = [_HEAD, *(_cells(_name(row), row) for row in rows)]
        if len(rows) > 1:
            table.append(_cells("all", stats["total"]))
        head, *lines = aligned(table, right=1)
        console.out(console.paint("  ".join(head).rstrip(), "bold"))
        for line in lines:
            console.out("  ".join(line).rstrip())
        _tell_outcomes(console, stats["total"])

    members = {"name": options.name, "window": options.window}
    return session.ask(verbs.STATS, members, tell)


def _busiest_first(row: Row) -> tuple[int, str]:
    return -row["turns"], row["name"]


def _name(row: Row) -> str:
    return clean(row["name"]) + (" (gone)" if row.get("gone") else "")


def _cells(name: str, row: Row) -> tuple[str, ...]:
    tokens, cost = row["tokens"], row.get("cost_usd")
    latency, queue = row.get("latency_ms"), row.get("queue_ms")
    # What is read from the cache again and again would hide all else.
    fresh = tokens["input"] + tokens["output"] + tokens["cache_write"]
    return (
        name,
        count(row["turns"]),
        count(row["errors"]),
        count(row["parks"]),
        count(fresh),
        "?" if cost is None else f"${cost:.2f}",
        took(latency["p50"]) if latency else "-",
        took(latency["p95"]) if latency else "-",
        took(queue["p50"]) if queue else "-",
    )


def _tell_outcomes(console: Console, total: Row) -> None:
    outcomes = sorted(total["outcomes"].items(), key=lambda one: -one[1])
    said = ", ".join(
        f"{count(times)} {clean(outcome).replace('_', ' ')}"
        for outcome, times in outcomes
    )
    console.out(console.paint(f"{plural(total['turns'], 'turn')}: {said}", "dim"))


STATS_SUBCOMMAND = Subcommand(
    "stats",
    verbs.STATS.help,
    (
        Argument(
            ("name",),
            "one agent (default: all), also one that is gone",
            {"metavar": "AGENT", "nargs": "?"},
            AGENTS,
        ),
        Argument(
            ("--window",),
            verbs.STATS.takes("window").help,
            {"choices": list(verbs.WINDOWS)},
        ),
    ),
    _stats,
    "stats --window 7d",
)
