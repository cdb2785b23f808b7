"""Answer what turns came to: read some buckets at a time, so that other reads come in between."""

from collections.abc import Callable, Iterator
from datetime import tzinfo
from sqlite3 import Connection
from time import perf_counter

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.agents.figures import IStatistics, Report
from hyperhive.agents.interfaces import IAgents, NoSuchAgent
from hyperhive.agents.tallies import Tallies
from hyperhive.agents.today import DayTally
from hyperhive.agents.windows import Bucket, Window, window
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.names import check_agent_name, mailbox_owner
from hyperhive.store.database import Database
from hyperhive.store.turn_figures import TurnFigures

#: An answer is given again for so many times as long as it took: a question keeps the
#: reading thread busy for a tenth of its time at most, however often it is asked.
REST = 9.0
#: How long buckets are read before another read has its turn (seconds).
AT_ONCE = 0.02
#: How many answers are kept for that.
MAX_KEPT = 32
_DAY = 86400.0

_Question = tuple[Window, str | None]


@attrs.define
class _Answer:
    """One that is kept, or that is being made for all who wait for it."""

    report: Report | None = None
    until: float = 0.0
    waiting: list[Deferred[Report]] = attrs.field(factory=list)


@implementer(IStatistics)
class Statistics:
    """See :class:`IStatistics`.

    :param today: what today's turns came to.
    :param kept_days: for how many days turns are kept.
    :param now: the wall clock.
    :param zone: by whose clock buckets are cut; ``None``: the host's own.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        bus: EventBus,
        agents: IAgents,
        today: Callable[[], DayTally | None],
        kept_days: int,
        now: Callable[[], float],
        zone: tzinfo | None = None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._bus = bus
        self._agents = agents
        self._kept_days = kept_days
        self._today = today
        self._now = now
        self._zone = zone
        self._answers: dict[_Question, _Answer] = {}

    def today(self) -> DayTally | None:
        """See :class:`IStatistics`."""
        return self._today()

    @deferred
    async def report(self, name: str, agent: str | None = None) -> Report:
        """See :class:`IStatistics`."""
        wanted = window(name)
        if agent is not None:
            agent = check_agent_name(mailbox_owner(agent))
            await self._check_known(agent)
        return await self._answer((wanted, agent))

    @deferred
    async def prune(self) -> None:
        """Forget what ended too long ago, in bites that hold up nobody."""
        oldest = self._now() - self._kept_days * _DAY
        while await self._database.write(
            lambda connection: TurnFigures.prune(connection, oldest)
        ):
            pass

    async def _check_known(self, agent: str) -> None:
        names = self._agents.names()
        if agent in names:
            return
        if not self._database.read(
            lambda connection: TurnFigures.known(connection, agent)
        ):
            raise NoSuchAgent(
                f"There is no agent {agent!r}, and no turn of one is kept; there are "
                f"{', '.join(names)}."
            )

    def _answer(self, question: _Question) -> Deferred[Report]:
        """What is kept; else all who ask for the same meanwhile wait for one answer."""
        answer = self._answers.get(question)
        if answer is not None and answer.report is not None:
            if self._clock.seconds() < answer.until:
                return succeed(answer.report)
            answer = None
        waiting: Deferred[Report] = Deferred()
        if answer is not None:
            answer.waiting.append(waiting)
            return waiting
        answer = self._answers[question] = _Answer(waiting=[waiting])
        began = self._clock.seconds()
        self._read(question).addBoth(self._answered, question, answer, began)
        return waiting

    def _answered(
        self,
        result: Report | Failure,
        question: _Question,
        answer: _Answer,
        began: float,
    ) -> None:
        waiting, answer.waiting = answer.waiting, []
        del self._answers[question]
        if not isinstance(result, Failure):
            now = self._clock.seconds()
            answer.report, answer.until = result, now + REST * (now - began)
            self._keep(question, answer)
        for one in waiting:
            one.callback(result)

    def _keep(self, question: _Question, answer: _Answer) -> None:
        self._answers[question] = answer
        kept = [key for key, one in self._answers.items() if one.report is not None]
        for key in kept[: max(0, len(kept) - MAX_KEPT)]:
            del self._answers[key]

    @deferred
    async def _read(self, question: _Question) -> Report:
        wanted, agent = question
        seq = self._bus.seq
        buckets = wanted.buckets(self._now(), self._zone)
        tallies = Tallies(wanted, buckets, agent)
        some = _reading(tallies, iter(buckets), agent)
        while await self._database.read_in_thread(some):
            pass
        exist = self._agents.names()
        whole = buckets[0].start, buckets[-1].end
        took = await self._database.read_in_thread(
            lambda connection: TurnFigures.took_by_agent(connection, *whole)
        )
        # It is put together there, too: that takes longer than the reactor can wait.
        report = await self._database.read_in_thread(
            lambda connection: tallies.report(
                took,
                TurnFigures.waited_by_agent(connection, *whole),
                TurnFigures.running(connection),
                exist,
            )
        )
        return attrs.evolve(report, seq=seq)


def _reading(
    tallies: Tallies, left: Iterator[Bucket], agent: str | None
) -> Callable[[Connection], bool]:
    """Read the next buckets and add them up; answers whether some may be left."""

    def read(connection: Connection) -> bool:
        until = perf_counter() + AT_ONCE
        for bucket in left:
            span = bucket.start, bucket.end
            tallies.take(
                bucket,
                TurnFigures.sums(connection, *span),
                TurnFigures.took(connection, *span, agent),
                TurnFigures.waited(connection, *span, agent),
            )
            if perf_counter() >= until:
                return True
        return False

    return read
