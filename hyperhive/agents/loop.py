"""One agent's loop: from a message that waits, through a turn, to what follows.

The machine::

    resting ─ ready ▶ waiting ─ granted ▶ beginning ─ began ▶ working ─ over ▶ settling
       ▲                 │ withdrawn          │ nothing                           │
       └─────────────────┴────────────────────┴──────────── settled ──────────────┘

Whether it is ready is asked anew each time something changed (:meth:`AgentLoop.poke`):
facts decide, not memories of them.
"""

from collections.abc import Callable
from typing import Protocol

import attrs
from attrs import frozen
from automat import TypeMachineBuilder
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from hyperhive.agents.interfaces import NothingRunning
from hyperhive.agents.outcome import EndedBy
from hyperhive.agents.scheduler import TurnSlots
from hyperhive.deferreds import deferred

#: How long to wait after the store refused to begin or to end a turn (seconds).
STORE_PAUSE = 5.0


class IWork(Protocol):
    """A turn as the loop sees it (:class:`hyperhive.agents.work.Work`)."""

    kind: str
    started_at: float

    def run(self) -> Deferred[None]:
        """Run claude to its end."""

    def settle(self) -> Deferred[None]:
        """Write down what it came to; may be tried again if it fails."""

    def end(self, why: EndedBy) -> None:
        """Interrupt it, then go on to harder means."""

    def destroy(self, why: EndedBy) -> None:
        """End it and all that it started, at once."""


@frozen
class LoopHooks:
    """What a loop asks of its surroundings.

    :param ready: whether facts allow a turn now and there is something to do.
    :param not_before: when that may change by itself (POSIX time), if it will.
    :param begin: begin a turn; fires with it, or ``None`` if there is nothing to do.
    :param changed: the loop came into another state.
    :param now: the wall clock.
    """

    ready: Callable[[], bool]
    not_before: Callable[[], float | None]
    begin: Callable[[], Deferred[IWork | None]]
    changed: Callable[[], None]
    now: Callable[[], float]


class _Inputs(Protocol):
    """What happens to a loop."""

    def ready(self) -> None:
        """A turn is allowed and there is something to do."""

    def withdrawn(self) -> None:
        """No longer so, while waiting for a slot."""

    def granted(self) -> None:
        """There is a turn slot."""

    def began(self) -> None:
        """The turn is begun: its message is leased."""

    def nothing(self) -> None:
        """There was nothing to do after all."""

    def over(self) -> None:
        """Claude's process is at its end."""

    def settled(self) -> None:
        """What the turn came to is written down."""


@attrs.define(eq=False)
class _Core:
    """What the machine moves: the loop's own methods."""

    loop: "AgentLoop"


_builder = TypeMachineBuilder(_Inputs, _Core)
_resting = _builder.state("resting")
_waiting = _builder.state("waiting")
_beginning = _builder.state("beginning")
_working = _builder.state("working")
_settling = _builder.state("settling")


@_resting.upon(_Inputs.ready).to(_waiting)
def _ask(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("waiting")
    core.loop._slots.ask(core.loop._granted)


@_waiting.upon(_Inputs.withdrawn).to(_resting)
def _withdraw(inputs: _Inputs, core: _Core) -> None:
    core.loop._slots.withdraw(core.loop._granted)
    core.loop._entered("resting")


@_waiting.upon(_Inputs.granted).to(_beginning)
def _begin(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("beginning")
    core.loop._begin()


@_beginning.upon(_Inputs.nothing).to(_resting)
def _nothing(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("resting")
    core.loop._rested()


@_settling.upon(_Inputs.settled).to(_resting)
def _rest(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("resting")
    core.loop._rested()
    core.loop.poke()


@_beginning.upon(_Inputs.began).to(_working)
def _work(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("working")
    core.loop._run()


@_working.upon(_Inputs.over).to(_settling)
def _settle(inputs: _Inputs, core: _Core) -> None:
    core.loop._entered("settling")
    core.loop._settle()


# Inputs that come within a transition wait for its end, so that one `ready` may
# be followed by another before the first has been taken.
for _state in (_waiting, _beginning, _working, _settling):
    _state.upon(_Inputs.ready).loop().returns(None)

_machine = _builder.build()


class AgentLoop:
    """Runs one agent's turns, one at a time."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, slots: TurnSlots, hooks: LoopHooks) -> None:
        self._clock = clock
        self._slots = slots
        self._hooks = hooks
        self._machine: _Inputs = _machine(_Core(self))
        self._timer: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []
        self._ending: EndedBy | None = None
        self._retrying = False
        #: Where the machine is, and since when (POSIX time).
        self.state = "resting"
        self.since = hooks.now()
        #: The turn that runs or is being settled.
        self.work: IWork | None = None
        #: Set while no turn may begin: a stop, a restart, the daemon's end.
        self.held = False

    @property
    def busy(self) -> bool:
        """Whether a turn is begun and not settled."""
        return self.state in ("beginning", "working", "settling")

    def poke(self) -> None:
        """Something changed: look again whether a turn is due."""
        ready = not self.held and not self._retrying and self._hooks.ready()
        if self.state == "resting" and ready:
            self._machine.ready()
        elif self.state == "waiting" and not ready:
            self._machine.withdrawn()
        self._set_alarm()

    def cancel(self) -> Deferred[None]:
        """Interrupt the turn for the operator; fires when it is settled.

        :raises NothingRunning:
        """
        if not self.busy:
            raise NothingRunning("There is no turn to cancel.")
        self._end(EndedBy.operator())
        return self.when_idle()

    @deferred
    async def drain(self, seconds: float) -> None:
        """Begin no turn any more and let the running one end; interrupt it after ``seconds``.

        Fires when nothing runs. The loop stays held.
        """
        self.held = True
        self.poke()
        if not self.busy:
            return
        late = self._clock.callLater(seconds, self._end, EndedBy.drain())
        try:
            await self.when_idle()
        finally:
            if late.active():
                late.cancel()

    def kill(self) -> Deferred[None]:
        """Begin no turn any more and end the running one at once."""
        self.held = True
        self.poke()
        if self.work is not None and self.state == "working":
            self.work.destroy(EndedBy.drain())
        elif self.state == "beginning":
            self._ending = EndedBy.drain()
        return self.when_idle()

    def release(self) -> None:
        """Turns may begin again."""
        self.held = False
        self.poke()

    def close(self) -> None:
        """The agent is gone or the daemon ends: nothing is begun any more."""
        self.held = True
        self.poke()

    def _granted(self) -> None:
        self._machine.granted()

    @deferred
    async def _begin(self) -> None:
        try:
            self.work = await self._hooks.begin()
        except Exception:
            self._log.failure("a turn could not be begun")
            self._retry_later()
            self.work = None
        if self.work is None:
            self._machine.nothing()
        else:
            self._machine.began()

    @deferred
    async def _run(self) -> None:
        assert self.work is not None
        running = self.work.run()
        if self._ending is not None:
            self._end(self._ending)
        await running
        self._machine.over()

    @deferred
    async def _settle(self) -> None:
        assert self.work is not None
        while True:
            try:
                await self.work.settle()
                break
            except Exception:
                self._log.failure("a turn's end could not be written down")
                pause: Deferred[None] = Deferred()
                self._clock.callLater(STORE_PAUSE, pause.callback, None)
                await pause
        self.work = None
        self._machine.settled()

    def _end(self, why: EndedBy) -> None:
        if self.state == "beginning":
            self._ending = why
        elif self.state == "working" and self.work is not None:
            self.work.end(why)

    def _rested(self) -> None:
        self._ending = None
        self._slots.give_back()
        waiting, self._idle = self._idle, []
        for one in waiting:
            if not one.called:  # who waited may have given up
                one.callback(None)

    def _entered(self, state: str) -> None:
        self.state = state
        self.since = self._hooks.now()
        self._hooks.changed()

    def when_idle(self) -> Deferred[None]:
        """Fires when no turn is begun and not settled."""
        if not self.busy:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        return done

    def _retry_later(self) -> None:
        def again() -> None:
            self._retrying = False
            self.poke()

        self._retrying = True
        self._clock.callLater(STORE_PAUSE, again)

    def _set_alarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self.held:
            return
        when = self._hooks.not_before()
        if when is not None:
            pause = max(0.0, when - self._hooks.now())
            self._timer = self._clock.callLater(pause, self.poke)
