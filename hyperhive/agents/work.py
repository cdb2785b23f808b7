"""One turn, from its lease to what it came to: claude run, events published, the end written."""

from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from hyperhive.agents import prompts
from hyperhive.agents.claude import COMPACT
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.notices import about
from hyperhive.agents.outcome import EndedBy, Verdict
from hyperhive.agents.policy import Aftermath, aftermath, login_notice
from hyperhive.agents.registry import Registry
from hyperhive.agents.stream import StreamLine, for_display
from hyperhive.agents.today import Today
from hyperhive.agents.turn import TurnLimits, TurnProcess
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.messages.interfaces import (
    IBroker,
    Message,
    Notice,
    Outcome,
    Turn,
    TurnEnd,
    TurnRecord,
)
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.agents import AgentRow


@frozen
class Workshop:
    """What every turn needs.

    :param now: the wall clock.
    :param changed: told the agent's name when what is shown of it changed.
    :param revision: the hyperhive that runs; what another has built is out of date.
    :param today: counts what has ended.
    """

    clock: IReactorTime
    broker: IBroker
    bus: EventBus
    registry: Registry
    launcher: ILauncher
    limits: TurnLimits
    now: Callable[[], float]
    changed: Callable[[str], None]
    revision: str
    today: Today


class Work:
    """A turn that is begun (:class:`hyperhive.agents.loop.IWork`).

    :param model: which model is asked.
    :param limits: the watchdogs of this turn.
    :param settled: told how it ended, once that is written.
    :param compacted: the session was compacted because this message did not fit.
    """

    _log = Logger()

    def __init__(
        self,
        shop: Workshop,
        turn: Turn,
        kind: str,
        model: str,
        limits: TurnLimits,
        settled: Callable[["Work", TurnRecord], None],
        compacted: bool = False,
    ) -> None:
        self.kind = kind
        self.turn = turn
        self.started_at = turn.started_at
        self.verdict: Verdict | None = None
        self.limits = limits
        self._shop = shop
        self._model = model
        self._settled = settled
        self._compacted = compacted
        self._session_over = False
        self._record: TurnRecord | None = None
        self._process = TurnProcess(
            shop.clock,
            limits,
            self._line_seen,
            self._note,
            lambda: shop.changed(turn.agent),
        )
        self._connected: bool | None = None
        #: Whether the agent's login changed during this turn.
        self.login_came = False
        #: When claude was last heard of (POSIX time).
        self.heard_at = turn.started_at

    @property
    def tool(self) -> str | None:
        """The tool that runs."""
        return self._process.reading.tool

    @property
    def quiet(self) -> bool:
        """Whether nothing was heard of claude for long."""
        return self._process.quiet

    @property
    def retrying(self) -> str | None:
        """What claude says of the API that it is retrying, if it is."""
        return self._process.reading.retrying

    @deferred
    async def run(self) -> None:
        """Run claude to its end. Never fails: what goes wrong is the verdict."""
        try:
            self._announce()
            await self._launch()
        except PublicError as error:
            self._process.never_started(str(error))
        except Exception:
            self._log.failure("claude could not be started")
            self._process.never_started("claude could not be started: see the log")
        verdict = await self._process.done
        if verdict.outcome is Outcome.PROMPT_TOO_LONG and self._compacted:
            verdict = verdict.with_outcome(
                Outcome.FAILED, "the prompt is too long even after a compaction"
            )
        self.verdict = verdict

    async def _launch(self) -> None:
        shop, turn = self._shop, self.turn
        row, message = shop.registry.row(turn.agent), turn.message
        prompt = COMPACT if message is None else prompts.wake(turn, shop.now())
        self._process.started(
            await shop.launcher.launch(row, self._model, prompt, self._process)
        )

    @deferred
    async def settle(self) -> None:
        """Write down what it came to, then tell. If the writing fails, it is tried again."""
        if self._record is None:
            self._record = await self._write()
        self._settled(self, self._record)
        self._shop.bus.publish("turn_end", _told(self._record), self.turn.agent)
        await self._clean_up()

    async def _write(self) -> TurnRecord:
        """One transaction: the turn, its messages, the agent's row, who is told."""
        shop, turn, verdict = self._shop, self.turn, self.verdict
        assert verdict is not None
        reading = self._process.reading
        after = Aftermath()
        if (
            turn.agent in shop.registry
        ):  # else it was destroyed with a turn that clung on
            row = shop.registry.row(turn.agent)
            after = aftermath(verdict, row, shop.now(), self.login_came)
        changes = after.changes | self._learnt(verdict)
        notices = []
        if after.needs_login:
            remedy = shop.launcher.login_remedy(turn.agent)
            notices.append(Notice(OPERATOR, login_notice(turn.agent, remedy)))
            if turn.agent != MANAGER:
                notices.append(about("needs_login", turn.agent))
        end = TurnEnd(
            verdict.outcome,
            verdict.note,
            reading.usage,
            reading.session_id,
            reading.model,
        )
        written: list[AgentRow | None] = []
        await shop.broker.end_turn(
            turn.id,
            end,
            lambda connection: written.append(
                shop.registry.changed_in(connection, turn.agent, changes)
            ),
            tuple(notices),
        )
        if (new := written[-1]) is not None:
            shop.registry.put(new)
        return TurnRecord(
            turn.id,
            turn.agent,
            self.kind,
            turn.started_at,
            shop.now(),
            end.outcome,
            end.note,
            end.model,
            end.usage,
        )

    def _learnt(self, verdict: Verdict) -> dict[str, object]:
        """What claude said of its session and of the size of its context."""
        reading = self._process.reading
        changes: dict[str, object] = {}
        if self._session_over:
            return changes
        if reading.session_id is not None:
            changes |= {"session_id": reading.session_id, "fresh_session": False}
        if reading.usage.context is not None:
            changes["context"] = reading.usage.context
        if self.kind == "compact" and verdict.outcome is Outcome.OK:
            changes["context"] = reading.compacted_to
        return changes

    def end_session(self) -> None:
        """Nothing is to go on with its session: what it says of that counts no more."""
        self._session_over = True

    def end(self, why: EndedBy) -> None:
        """Interrupt claude, then go on to harder means."""
        self._process.end(why)

    def destroy(self, why: EndedBy) -> None:
        """End claude and all that it started, at once."""
        self._process.destroy(why)

    def _announce(self) -> None:
        turn = self.turn
        fields: dict[str, object] = {
            "turn": turn.id,
            "turn_kind": self.kind,
            "unread": turn.unread,
        }
        if turn.message is not None:
            fields |= _shown(turn.message)
        self._shop.bus.publish("turn_start", fields, turn.agent)

    async def _clean_up(self) -> None:
        """What claude left behind must not meet the next turn. The turn is written already."""
        try:
            await self._process.clean_up()
        except Exception:
            self._log.failure("what a turn left behind could not be ended")

    def _line_seen(self, line: StreamLine) -> None:
        shop, agent = self._shop, self.turn.agent
        self.heard_at = shop.now()
        if line.event is None:
            self._note(line.text)
            return
        shop.bus.publish("stream", agent=agent, raw={"event": for_display(line)})
        if self._changes_what_is_shown(line):
            shop.changed(agent)
        self._check_connection()

    def _changes_what_is_shown(self, line: StreamLine) -> bool:
        return line.event is not None and line.event.get("type") in (
            "assistant",
            "user",
            "system",
            "result",
        )

    def _check_connection(self) -> None:
        """A claude without our tools can't answer anybody: end its turn at once."""
        connected = self._process.reading.connected
        if connected is False and self._connected is None:
            self._connected = False
            self._note("claude has no connection to the hive's tools")
            self._process.end(EndedBy.disconnected())

    def _note(self, text: str) -> None:
        self._shop.bus.publish("note", {"text": text}, self.turn.agent)


def _told(record: TurnRecord) -> dict[str, object]:
    """A turn's row as members of an event, which has a kind and an agent of its own."""
    fields: dict[str, object] = record.as_wire()
    fields["turn"] = fields.pop("id")
    fields["turn_kind"] = fields.pop("kind")
    del fields["agent"]
    return fields


def _shown(message: Message) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": message.id,
        "from": message.sender,
        "body": message.body,
    }
    if message.redelivered:
        fields["redelivered"] = True
    return fields
