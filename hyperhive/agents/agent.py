"""One agent at run time: what is known of it, and which turn it begins next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from hyperhive.agents.config import AgentConfig, ConfigError, configuration
from hyperhive.agents.interfaces import AgentStatus, NotAllowed
from hyperhive.agents.loop import AgentLoop, IWork, LoopHooks
from hyperhive.agents.policy import COMPACT_OVER
from hyperhive.agents.scheduler import TurnSlots
from hyperhive.agents.status import (
    Facts,
    RunningLogin,
    RunningTurn,
    derive,
    dispatchable,
    parked,
)
from hyperhive.agents.stream import window
from hyperhive.agents.turn import TurnLimits
from hyperhive.agents.work import Work, Workshop
from hyperhive.containers.interfaces import ContainerState, ContainerStatus
from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import Outcome, TurnRecord
from hyperhive.names import mailbox
from hyperhive.store.agents import AgentRow

#: Outcomes after which a compaction is still due.
_POSTPONING = (
    Outcome.RATE_LIMITED,
    Outcome.OVERLOADED,
    Outcome.AUTH_FAILED,
    Outcome.DRAINED,
)


class Agent:
    """Joins one agent's row, its container and its loop.

    :param default_model: the hive's model, for agents without one of their own.
    :param url: where its page is.
    """

    def __init__(
        self,
        clock: IReactorTime,
        shop: Workshop,
        slots: TurnSlots,
        name: str,
        default_model: str,
        url: Callable[[], str | None],
    ) -> None:
        self.name = name
        #: The container as it was last seen.
        self.container: ContainerStatus | None = None
        #: The newest turn that has ended.
        self.last_turn: TurnRecord | None = None
        #: Held by the operation (start, stop, …) that runs for it.
        self.operations = DeferredLock()
        self._shop = shop
        self._default_model = default_model
        self._url = url
        self._read: tuple[str | None, AgentConfig | None] | None = None
        self._misconfigured: str | None = None
        self._moving: str | None = None
        self._moving_since = 0.0
        self._compact_wanted = False
        self._just_compacted = False
        self._too_long: int | None = None
        self._work: Work | None = None
        self._login: RunningLogin | None = None
        self.loop = AgentLoop(
            clock,
            slots,
            LoopHooks(
                ready=self._ready,
                not_before=self._not_before,
                begin=self._begin,
                changed=lambda: shop.changed(name),
                now=shop.now,
            ),
        )

    @property
    def runs(self) -> bool:
        """Whether its container runs, as it was last seen."""
        container = self.container
        return container is not None and container.state is ContainerState.RUNNING

    @deferred
    async def load(self) -> None:
        """Read what is kept of it beside its row."""
        records = await self._shop.broker.turns(self.name, 1)
        self.last_turn = records[0] if records else None

    @property
    def row(self) -> AgentRow:
        """Its row as it is on disk."""
        return self._shop.registry.row(self.name)

    @property
    def model(self) -> str:
        """The model of its next turn."""
        config = self._configured()
        return self.row.model or (config and config.model) or self._default_model

    @property
    def limits(self) -> TurnLimits:
        """The watchdogs of its next turn."""
        config, limits = self._configured(), self._shop.limits
        if config is None:
            return limits
        return TurnLimits(
            config.limits.silence_timeout or limits.silence,
            config.limits.turn_timeout or limits.overtime,
        )

    def check_recipient(self, to: str) -> None:
        """Check that it may write to a mailbox.

        :raises NotAllowed: listing whom it may write to.
        """
        config = self._configured()
        if config is None:
            raise NotAllowed(f"{self.name} may write to nobody: {self._misconfigured}")
        allowed = config.recipients
        if allowed is not None and mailbox(to) not in allowed:
            listed = ", ".join(allowed) or "nobody"
            raise NotAllowed(f"{self.name} may write only to: {listed}.")

    def _configured(self) -> AgentConfig | None:
        """Its configuration, or ``None`` if it can't be read: then it is held."""
        stored = self.row.config
        if self._read is None or self._read[0] != stored:
            try:
                self._read = stored, configuration(self.row)
                self._misconfigured = None
            except ConfigError as error:
                self._read = stored, None
                self._misconfigured = str(error)
        return self._read[1]

    @property
    def _window(self) -> int:
        """Tokens of its model's window; an alias stands for what last answered to it."""
        last = self.last_turn
        if last is not None and last.model and self.model in last.model:
            return window(last.model)
        return window(self.model)

    def recovering(self) -> None:
        """Show that the hive has just started and not yet looked at its container."""
        self._moving, self._moving_since = "recovering", self._shop.now()
        self.loop.held = True

    def recovered(self) -> None:
        """It was looked at: turns may begin."""
        self._moving = None
        self._shop.changed(self.name)
        self.loop.release()

    @contextmanager
    def moving(self, label: str) -> Iterator[None]:
        """Show ``label`` while an operation runs; however it ends, the label goes."""
        self._moving, self._moving_since = label, self._shop.now()
        self._shop.changed(self.name)
        try:
            yield
        finally:
            self._moving = None
            self._shop.changed(self.name)
            self.loop.poke()

    def want_compaction(self) -> None:
        """Compact the session before the next turn, or now if it is idle."""
        self._compact_wanted = True
        self.loop.poke()

    @deferred
    async def new_session(self) -> None:
        """Begin a new session with the next turn; one that runs is the old one's last."""
        self._end_session()
        await self._shop.registry.change(self.name, fresh_session=True, context=None)
        # A turn may have begun before that was on disk.
        self._end_session()

    def login_changed(self) -> None:
        """A turn that runs began with another login than there is now."""
        if self._work is not None:
            self._work.login_came = True

    @property
    def moves(self) -> bool:
        """Whether an operation starts, stops or rebuilds it."""
        return self._moving is not None

    def show_login(self, state: str | None) -> None:
        """How the login that is under way is; while there is one, no turn begins."""
        if state is None:
            self._login = None
        else:
            since = self._shop.now() if self._login is None else self._login.since
            self._login = RunningLogin(state, since)
        self._shop.changed(self.name)
        self.loop.poke()

    def _end_session(self) -> None:
        if self._work is not None:
            self._work.end_session()

    def status(self) -> AgentStatus:
        """What is shown of it."""
        return derive(self._facts())

    def _facts(self) -> Facts:
        shop, row = self._shop, self.row
        loop = self.loop
        return Facts(
            row=row,
            container=self.container,
            unread=shop.broker.unread(self.name),
            model=self.model,
            window=self._window,
            logged_in=shop.launcher.logged_in(self.name),
            login_remedy=shop.launcher.login_remedy(self.name),
            now=shop.now(),
            moving=self._moving,
            moving_since=self._moving_since,
            waiting_since=loop.since if loop.state == "waiting" else None,
            turn=self._running_turn(),
            last_turn=self.last_turn,
            url=self._url(),
            revision=shop.revision,
            misconfigured=self._misconfigured,
            login=self._login,
            today=shop.today.of(self.name),
        )

    def _running_turn(self) -> RunningTurn | None:
        work = self._work
        if work is None or not self.loop.busy:
            return None
        return RunningTurn(
            work.kind,
            work.started_at,
            work.heard_at,
            work.quiet,
            work.heard_at + work.limits.silence,
            work.tool,
            work.retrying,
        )

    def _ready(self) -> bool:
        something = self._compact_wanted or self._shop.broker.unread(self.name) > 0
        return something and dispatchable(self._facts())

    def _not_before(self) -> float | None:
        facts = self._facts()
        return facts.row.parked_until if parked(facts) else None

    @deferred
    async def _begin(self) -> IWork | None:
        wanted = self._compact_wanted
        if not self._should_compact():
            return await self._begin_work("message")
        work = None
        try:
            work = await self._begin_work("compact")
        finally:
            if work is None:
                self._compact_wanted = wanted
        return work

    async def _begin_work(self, kind: str) -> IWork | None:
        turn = await self._shop.broker.begin_turn(self.name, kind)
        if turn is None:
            return None
        compacted = turn.message is not None and turn.message.id == self._too_long
        self._work = Work(
            self._shop, turn, kind, self.model, self.limits, self._settled, compacted
        )
        return self._work

    def _should_compact(self) -> bool:
        row = self.row
        wanted, self._compact_wanted = self._compact_wanted, False
        if row.session_id is None or row.fresh_session:
            return False
        if wanted:
            return True
        full = COMPACT_OVER * self._window
        return not self._just_compacted and (row.context or 0) > full

    def _settled(self, work: Work, record: TurnRecord) -> None:
        self.last_turn = record
        self._shop.today.add(record)
        self._work = None
        if work.kind == "compact" and record.outcome in _POSTPONING:
            self._compact_wanted = True
        else:
            self._just_compacted = work.kind == "compact"
        if record.outcome is Outcome.PROMPT_TOO_LONG and work.turn.message is not None:
            self._too_long = work.turn.message.id
            self._compact_wanted = True
        self._shop.changed(self.name)
