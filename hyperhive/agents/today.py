"""What today's turns have come to so far, held in memory so that a status costs no query."""

from collections.abc import Callable
from datetime import tzinfo

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from hyperhive.agents.windows import Bucket, today
from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import TurnRecord
from hyperhive.store.database import Database
from hyperhive.store.turn_figures import TurnFigures


@frozen
class DayTally:
    """Turns that have ended since midnight.

    :param cost_usd: what is known of their cost; ``None`` if there were turns, and it
        is known of none.
    """

    turns: int = 0
    cost_usd: float | None = 0.0

    def plus(self, turns: int, cost_usd: float | None) -> "DayTally":
        """The same and more turns."""
        if cost_usd is None:
            cost = self.cost_usd if self.turns else None
        else:
            cost = (self.cost_usd or 0.0) + cost_usd
        return DayTally(self.turns + turns, cost if turns else self.cost_usd)


class Today:
    """Counts turns as they end, and begins anew at the host's midnight.

    :param now: the wall clock.
    :param changed: told the name of an agent whose figures went back to nothing.
    :param zone: whose midnight; ``None``: the host's own.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        now: Callable[[], float],
        changed: Callable[[str], None],
        zone: tzinfo | None = None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._now = now
        self._changed = changed
        self._zone = zone
        self._day: Bucket | None = None
        self._tallies: dict[str, DayTally] = {}
        self._timer: IDelayedCall | None = None

    @deferred
    async def load(self) -> None:
        """Take up what is stored, before a turn begins; until then nothing is known."""
        day = today(self._now(), self._zone)
        rows = await self._database.read_in_thread(
            lambda connection: TurnFigures.by_agent(connection, day.start)
        )
        self._tallies = {
            row.agent: DayTally().plus(row.turns, row.cost_usd) for row in rows
        }
        self._day = day
        self._await_midnight()

    def stop(self) -> None:
        """Wait for no midnight."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def add(self, record: TurnRecord) -> None:
        """A turn has ended."""
        self._turn_over()
        tally = self._tallies.get(record.agent, DayTally())
        self._tallies[record.agent] = tally.plus(1, record.usage.cost_usd)

    def of(self, name: str) -> DayTally | None:
        """One agent's; ``None`` before :meth:`load` has fired."""
        self._turn_over()
        return None if self._day is None else self._tallies.get(name, DayTally())

    def all(self) -> DayTally | None:
        """Everybody's, also of who is gone."""
        self._turn_over()
        if self._day is None:
            return None
        total = DayTally()
        for tally in self._tallies.values():
            total = total.plus(tally.turns, tally.cost_usd)
        return total

    def _turn_over(self) -> None:
        """Whoever asks after midnight is not told of yesterday."""
        now = self._now()
        if self._day is None or now < self._day.end:
            return
        self._day = today(now, self._zone)
        names, self._tallies = list(self._tallies), {}
        for name in names:
            self._changed(name)

    def _await_midnight(self) -> None:
        """Pages are told at midnight, not at the next turn."""
        self._turn_over()
        assert self._day is not None  # it was loaded
        # Wall clocks are set and computers sleep: look again now and then.
        seconds = min(max(self._day.end - self._now(), 0.05), 3600.0)
        self._timer = self._clock.callLater(seconds, self._await_midnight)
