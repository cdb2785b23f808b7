"""A large swarm for the stage: to see what a hundred agents look like, and what they cost."""

import itertools
import random
from typing import Any

from tests.web.support import Hive

_TOOLS = ("Bash", "Read", "Edit", "Grep", "Write", "WebFetch")
_TASKS = (
    "translating the price list",
    "waits for the suppliers' answer",
    "reads last week's tickets",
    "sorting invoices by project",
    "",
    "",
)
_NAMES = ("ant", "bee", "cat", "doe", "elk", "fox", "gnu", "hen", "ibis", "jay")
#: How many of a hundred are in each state.
_STATES: tuple[tuple[int, dict[str, Any]], ...] = (
    (20, {"state": "working", "working": True}),
    (3, {"state": "parked"}),
    (2, {"state": "needs login", "needs_login": True}),
    (1, {"state": "stuck", "working": True}),
    (1, {"state": "failed", "running": False, "failed": True}),
    (55, {"state": "idle"}),
    (8, {"state": "paused", "paused": True}),
    (10, {"state": "stopped", "running": False}),
)


def gather(hive: Hive, number: int, began: float) -> None:
    """Add so many agents, of every kind, the same ones each time."""
    dice = random.Random(7)  # nothing secret
    states = [one for count, one in _STATES for _ in range(count)]
    dice.shuffle(states)
    names = (f"{one}-{two}" for two, one in itertools.product(range(10, 99), _NAMES))
    for name, state in zip(itertools.islice(names, number), itertools.cycle(states)):
        hive.agents.add(
            name,
            state_since=began - dice.randrange(3, 90_000),
            context=dice.randrange(4_000, 190_000),
            model=dice.choice(("haiku", "sonnet", "opus")),
            unread=dice.choice((0, 0, 0, 0, 1, 3)),
            tool=dice.choice(_TOOLS) if state["state"] == "working" else None,
            status_text=dice.choice(_TASKS) or None,
            **state,
        )
