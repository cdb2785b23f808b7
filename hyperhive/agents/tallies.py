"""Add up what the store has counted, bucket by bucket, into the figures of a window. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import attrs

from hyperhive.agents.events import add
from hyperhive.agents.figures import AgentFigures, Figures, Report, Spread
from hyperhive.agents.windows import Bucket, Window
from hyperhive.messages.interfaces import Usage
from hyperhive.store.turn_figures import Lengths, TurnSums


@attrs.define
class Tally:
    """Turns of somebody, in some time."""

    outcomes: Counter[str] = attrs.field(factory=Counter)
    usage: Usage = attrs.field(factory=Usage)
    took: Counter[int] = attrs.field(factory=Counter)
    waited: Counter[int] = attrs.field(factory=Counter)

    def count(self, sums: TurnSums) -> None:
        """Add turns."""
        self.outcomes[sums.outcome] += sums.turns
        self.usage = add(
            self.usage,
            Usage(
                sums.input_tokens,
                sums.output_tokens,
                sums.cache_read_tokens,
                sums.cache_write_tokens,
                cost_usd=sums.cost_usd,
            ),
        )

    def figures(self) -> Figures:
        """What it comes to."""
        return Figures(
            dict(sorted(self.outcomes.items())),
            self.usage,
            spread(self.took),
            spread(self.waited),
        )


def spread(lengths: Counter[int]) -> Spread | None:
    """Percentiles of lengths, each with how often it occurred; ``None`` of nothing."""
    ordered, total = sorted(lengths.items()), lengths.total()
    if not total:
        return None

    def rank(percent: int) -> int:
        passed = accumulate(times for _, times in ordered)
        return next(
            length
            for (length, _), up_to in zip(ordered, passed, strict=True)
            if up_to * 100 >= total * percent
        )

    return Spread(rank(50), rank(95))


class Tallies:
    """A window as it is being added up.

    :param agent: whose buckets and total are wanted; ``None``: everybody's.
    """

    def __init__(self, window: Window, agent: str | None) -> None:
        self._window = window
        self._agent = agent
        self._total = Tally()
        self._buckets: list[tuple[Bucket, Tally]] = []
        self._agents: dict[str, list[Tally]] = {}
        self._wholes: dict[str, Tally] = {}

    def take(
        self,
        bucket: Bucket,
        sums: Iterable[TurnSums],
        took: Lengths,
        waited: Lengths,
    ) -> None:
        """Add the next bucket."""
        tally = Tally()
        self._buckets.append((bucket, tally))
        for one in sums:
            whole = self._wholes.setdefault(one.agent, Tally())
            whole.count(one)
            self._of_bucket(one.agent).count(one)
            if self._wants(one.agent):
                tally.count(one)
                self._total.count(one)
        for lengths, part in ((took, _took), (waited, _waited)):
            for agent, length, times in lengths:
                part(self._wholes[agent])[length] += times
                if self._wants(agent):
                    part(tally)[length] += times
                    part(self._total)[length] += times

    def report(self, running: Sequence[str], exist: Sequence[str]) -> Report:
        """What it comes to.

        :param running: who is in a turn.
        :param exist: who exists.
        """
        names = sorted({*self._wholes, *exist})
        return Report(
            self._window.name,
            self._window.bucket,
            self._agent,
            sum(map(self._wants, running)),
            tuple((bucket, tally.figures()) for bucket, tally in self._buckets),
            self._total.figures(),
            tuple(
                self._row(name, name in running, name not in exist) for name in names
            ),
        )

    def _row(self, name: str, running: bool, gone: bool) -> AgentFigures:
        parts = self._agents.get(name, [])
        parts = parts + [Tally()] * (len(self._buckets) - len(parts))
        return AgentFigures(
            name,
            gone,
            running,
            self._wholes.get(name, Tally()).figures(),
            tuple(part.outcomes.total() for part in parts),
            tuple(part.usage.cost_usd for part in parts),
        )

    def _of_bucket(self, agent: str) -> Tally:
        """An agent's tally in the newest bucket; none was made for those it was idle in."""
        parts = self._agents.setdefault(agent, [])
        while len(parts) < len(self._buckets):
            parts.append(Tally())
        return parts[-1]

    def _wants(self, agent: str) -> bool:
        return self._agent in (None, agent)


_Part = Callable[[Tally], Counter[int]]


def _took(tally: Tally) -> Counter[int]:
    return tally.took


def _waited(tally: Tally) -> Counter[int]:
    return tally.waited
