"""Add up what the store has counted, bucket by bucket, into the figures of a window. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from operator import itemgetter

import attrs

from hyperhive.agents.figures import AgentFigures, Figures, Report, Spread
from hyperhive.agents.windows import Bucket, Window
from hyperhive.messages.interfaces import Usage
from hyperhive.store.turn_figures import AgentLengths, Lengths, TurnSums


@attrs.define
class Tally:
    """Turns of somebody in some time, being added up.

    It has a row for each agent and outcome of each bucket: there are thousands.
    """

    outcomes: Counter[str] = attrs.field(factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None

    def count(self, sums: TurnSums) -> None:
        """Add turns."""
        self.outcomes[sums.outcome] += sums.turns
        self.input_tokens += sums.input_tokens
        self.output_tokens += sums.output_tokens
        self.cache_read_tokens += sums.cache_read_tokens
        self.cache_write_tokens += sums.cache_write_tokens
        self.cost_usd = _sum(self.cost_usd, sums.cost_usd)

    def figures(self, took: Spread | None, waited: Spread | None) -> Figures:
        """What it comes to."""
        usage = Usage(
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            cost_usd=self.cost_usd,
        )
        return Figures(dict(sorted(self.outcomes.items())), usage, took, waited)


class Tallies:
    """A window as it is being added up.

    :param agent: whose buckets and total are wanted; ``None``: everybody's.
    """

    def __init__(
        self, window: Window, buckets: Sequence[Bucket], agent: str | None
    ) -> None:
        self._window = window
        self._all_buckets = buckets
        self._agent = agent
        self._total = Tally()
        self._took: Counter[int] = Counter()
        self._waited: Counter[int] = Counter()
        self._buckets: list[tuple[Bucket, Figures]] = []
        self._agents: dict[str, Tally] = {}
        self._turns: dict[str, list[int]] = {}
        self._costs: dict[str, list[float | None]] = {}

    def take(
        self,
        bucket: Bucket,
        sums: Iterable[TurnSums],
        took: Lengths,
        waited: Lengths,
    ) -> None:
        """Add the next bucket.

        :param took: only of whom buckets are wanted, as ``waited``.
        """
        tally, place = Tally(), len(self._buckets)
        for one in sums:
            if one.agent not in self._agents:
                self._meet(one.agent)
            self._agents[one.agent].count(one)
            self._turns[one.agent][place] += one.turns
            costs = self._costs[one.agent]
            costs[place] = _sum(costs[place], one.cost_usd)
            if self._wants(one.agent):
                tally.count(one)
                self._total.count(one)
        figures = tally.figures(spread(took), spread(waited))
        self._buckets.append((bucket, figures))
        for lengths, total in ((took, self._took), (waited, self._waited)):
            for length, times in lengths:
                total[length] += times

    def report(
        self,
        took: AgentLengths,
        waited: AgentLengths,
        running: Sequence[str],
        exist: Sequence[str],
    ) -> Report:
        """What it comes to, when every bucket was taken.

        :param took: of the whole window, as ``waited``.
        :param running: who is in a turn.
        :param exist: who exists.
        """
        for name in exist:
            if name not in self._agents:
                self._meet(name)
        took_by, waited_by = dict(_by_agent(took)), dict(_by_agent(waited))
        return Report(
            self._window.name,
            self._window.bucket,
            self._agent,
            sum(map(self._wants, running)),
            tuple(self._buckets),
            self._total.figures(
                spread(sorted(self._took.items())), spread(sorted(self._waited.items()))
            ),
            tuple(
                AgentFigures(
                    name,
                    name not in exist,
                    name in running,
                    tally.figures(took_by.get(name), waited_by.get(name)),
                    tuple(self._turns[name]),
                    tuple(self._costs[name]),
                )
                for name, tally in sorted(self._agents.items())
            ),
        )

    def _meet(self, name: str) -> None:
        self._agents[name] = Tally()
        self._turns[name] = [0] * len(self._all_buckets)
        self._costs[name] = [None] * len(self._all_buckets)

    def _wants(self, agent: str) -> bool:
        return self._agent in (None, agent)


def spread(lengths: Sequence[tuple[int, int]]) -> Spread | None:
    """Percentiles of lengths in their order, each with how often it occurred."""
    passed = list(accumulate(times for _, times in lengths))
    if not passed:
        return None

    def rank(percent: int) -> int:
        return next(
            length
            for (length, _), up_to in zip(lengths, passed, strict=True)
            if up_to * 100 >= passed[-1] * percent
        )

    return Spread(rank(50), rank(95))


def _by_agent(lengths: AgentLengths) -> Iterator[tuple[str, Spread | None]]:
    for agent, rows in groupby(lengths, itemgetter(0)):
        yield agent, spread([(length, times) for _, length, times in rows])


def _sum(one: float | None, other: float | None) -> float | None:
    """The sum of what is known; ``None`` if that is nothing."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
