"""What surfaces know of statistics: one interface, and the values that it answers with."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.agents.today import DayTally
from hyperhive.agents.windows import Bucket
from hyperhive.messages.interfaces import Outcome, Usage
from hyperhive.times import rfc3339

#: Outcomes that are counted as errors.
ERRORS = frozenset(
    one.value
    for one in (
        Outcome.FAILED,
        Outcome.KILLED,
        Outcome.VANISHED,
        Outcome.AUTH_FAILED,
    )
)
#: Outcomes that park an agent until Anthropic takes its turns again.
PARKS = frozenset(one.value for one in (Outcome.RATE_LIMITED, Outcome.OVERLOADED))


@frozen
class Spread:
    """How long something took, in milliseconds, to two significant figures.

    Nearest rank: of so many per cent it was at most so long.
    """

    p50: int
    p95: int

    def as_wire(self) -> dict[str, int]:
        """As surfaces show it."""
        return {"p50": self.p50, "p95": self.p95}


@frozen
class Figures:
    """What turns came to that have ended in some time.

    :param outcomes: how many turns ended in each way that occurred.
    :param usage: the sum of tokens, and of what is known of their cost: ``None`` if
        that is known of no turn. There is no context.
    :param latency: how long the turns took.
    :param queue: how long the messages waited that they began with.
    """

    outcomes: Mapping[str, int] = field(factory=dict)
    usage: Usage = field(factory=Usage)
    latency: Spread | None = None
    queue: Spread | None = None

    @property
    def turns(self) -> int:
        """How many turns."""
        return sum(self.outcomes.values())

    def as_wire(self) -> dict[str, Any]:
        """As surfaces show it; what is absent is left out."""
        usage = self.usage
        row: dict[str, Any] = {
            "turns": self.turns,
            "outcomes": dict(self.outcomes),
            "errors": sum(self.outcomes.get(one, 0) for one in ERRORS),
            "parks": sum(self.outcomes.get(one, 0) for one in PARKS),
            "tokens": {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cache_read": usage.cache_read_tokens,
                "cache_write": usage.cache_write_tokens,
            },
        }
        if usage.cost_usd is not None:
            row["cost_usd"] = usage.cost_usd
        if self.latency is not None:
            row["latency_ms"] = self.latency.as_wire()
        if self.queue is not None:
            row["queue_ms"] = self.queue.as_wire()
        return row


@frozen
class AgentFigures:
    """One agent's part of a window.

    :param gone: it was destroyed since.
    :param running: a turn of it runs.
    :param turns: how many ended in each bucket.
    :param costs: what is known of their cost in each bucket (USD).
    """

    name: str
    gone: bool
    running: bool
    figures: Figures
    turns: tuple[int, ...]
    costs: tuple[float | None, ...]

    def as_wire(self) -> dict[str, Any]:
        """As surfaces show it."""
        return {
            "name": self.name,
            "gone": self.gone,
            "running": self.running,
            **self.figures.as_wire(),
            "turns_by_bucket": list(self.turns),
            "cost_by_bucket": list(self.costs),
        }


@frozen
class Report:
    """A window of statistics.

    :param window: its name.
    :param bucket: ``hour``, ``6h`` or ``day``.
    :param agent: whose buckets and total these are; ``None``: everybody's.
    :param running: how many turns run of whom it is about.
    :param buckets: the oldest first; the last is not over.
    :param agents: everybody who has turns in the window, and who exists; by name.
    :param seq: the number of the last event whose turns are all in it.
    """

    window: str
    bucket: str
    agent: str | None
    running: int
    buckets: tuple[tuple[Bucket, Figures], ...]
    total: Figures
    agents: tuple[AgentFigures, ...]
    seq: int = 0

    def as_wire(self) -> dict[str, Any]:
        """The ``stats`` of the wire page."""
        row: dict[str, Any] = {
            "window": self.window,
            "bucket": self.bucket,
            "running": self.running,
            "buckets": [
                {
                    "start": rfc3339(bucket.start),
                    "end": rfc3339(bucket.end),
                    **figures.as_wire(),
                }
                for bucket, figures in self.buckets
            ],
            "total": self.total.as_wire(),
            "agents": [one.as_wire() for one in self.agents],
        }
        return row if self.agent is None else {"agent": self.agent, **row}


class IStatistics(Interface):
    """What the swarm's turns came to."""

    def report(window: str, agent: str | None = None) -> Deferred[Report]:
        """A window that ends now. Who is gone counts as long as its turns are kept.

        :param window: ``24h`` (by hours), ``7d`` (by 6 hours) or ``30d`` (by days).
        :param agent: only this agent's buckets and total; it may be gone.
        :raises UnknownWindow: listing what there is.
        :raises InvalidName: if no agent can be called so.
        :raises NoSuchAgent: if it does not exist, and no turn of it is kept.
        """

    def today() -> DayTally | None:
        """All turns since the host's midnight; ``None`` before they were counted."""
