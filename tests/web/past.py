"""A month of turns for the stage: days and nights, a usage limit, an agent that is gone."""

import math
import random
from sqlite3 import Connection
from typing import Any

from attrs import frozen

from hyperhive.store.turns import TurnEnding, TurnTable

DAYS = 30
_DAY = 86_400.0


@frozen
class _Habit:
    """How somebody works.

    :param turns: on a working day.
    :param seconds: what half of the turns take at most.
    :param price: of a second (USD).
    :param until: how many days ago it ended.
    """

    name: str
    turns: float
    seconds: float
    price: float
    errors: float = 0.02
    until: float = 0.0


_HABITS = (
    _Habit("hm1nd", 38, 14, 0.0042),
    _Habit("alice", 30, 75, 0.0031, 0.03),
    _Habit("bob", 22, 38, 0.0012),
    _Habit("carol", 17, 110, 0.0065, 0.06),
    _Habit("dora", 9, 21, 0.0008, until=0.1),
    _Habit("eve", 6, 52, 0.0011, until=2.0),
    _Habit("frank", 12, 30, 0.0009, 0.12, until=11.0),
    _Habit("zed", 5, 26, 0.0009),
)
_CUT = ("cancelled", "cancelled", "drained", "prompt_too_long")


def remember(connection: Connection, now: float, days: int = DAYS) -> None:
    """Store the turns of the days before ``now``, the same ones each time."""
    dice = random.Random(11)  # nothing secret
    turns = sorted(_turns(dice, now, days), key=lambda turn: turn[1])
    last: dict[str, float] = {}
    for name, ended_at, took, waited, ending in turns:
        if ended_at - took < last.get(name, 0.0):
            continue  # one at a time
        last[name] = ended_at
        row = TurnTable.begin(connection, name, "message", ended_at - took)
        TurnTable.waited(connection, row.id, waited)
        TurnTable.end(connection, row.id, TurnEnding(ended_at=ended_at, **ending))


def _turns(dice: random.Random, now: float, days: int) -> Any:
    for habit in _HABITS:
        for day in range(days):
            busy = 0.25 if (int(now / _DAY) - day) % 7 in (2, 3) else 1.0
            wanted = habit.turns * busy * dice.uniform(0.6, 1.4)
            for _ in range(round(wanted)):
                # Most of it by day, some at night.
                ago = (day + _hour(dice, now) / 24) * _DAY
                if habit.until * _DAY < ago and ago > 4000:
                    yield _turn(dice, habit, now - ago, ago)


def _hour(dice: random.Random, now: float) -> float:
    """How many hours before now somebody worked: around midday, by this day's clock."""
    at = dice.gauss(13.5, 3.6) if dice.random() < 0.8 else dice.uniform(0, 24)
    return (now / 3600 - at) % 24


def _turn(dice: random.Random, habit: _Habit, at: float, ago: float) -> Any:
    took = min(habit.seconds * math.exp(dice.gauss(0, 0.9)), 7200.0)
    waited = 0.02 + dice.expovariate(2.0) + (dice.random() < 0.12) * took * 2
    outcome = "ok"
    # The limit was reached on two afternoons.
    limited = 3.9 < ago / _DAY < 4.1 or 0.18 < ago / _DAY < 0.26
    chance = dice.random()
    if limited and habit.name in ("alice", "carol") and chance < 0.6:
        outcome, took = "rate_limited", dice.uniform(2, 9)
    elif chance < habit.errors:
        outcome = dice.choice(("failed", "failed", "killed", "vanished"))
    elif chance < habit.errors + 0.04:
        outcome = dice.choice(_CUT)
    elif chance < habit.errors + 0.05:
        outcome = "overloaded"
    size = took * dice.uniform(0.6, 1.4)
    return (
        habit.name,
        at,
        took,
        waited,
        {
            "outcome": outcome,
            "model": "sonnet",
            "input_tokens": round(40 + size * 9),
            "output_tokens": round(size * 44),
            "cache_write_tokens": round(900 + size * 130),
            "cache_read_tokens": round(18_000 + size * 5200),
            "cost_usd": None if outcome == "killed" else round(size * habit.price, 5),
        },
    )
