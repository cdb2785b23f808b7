"""Watch one claude process to its end: silence, overtime, cancel, and what it said.

The machine, from top to bottom::

    running ── says its result ──▶ lingering
       │ asked to end, silent, overtime     │ 15 s
       ▼                                    ▼
    interrupting (INT, 3 s) ─▶ terminating (TERM, 3 s) ─▶ killing (KILL, 3 s)
       ─▶ destroying (everything in its sandbox) ─▶ ended

The end of the process leads from every state to ``ended``.
"""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Protocol

import attrs
from attrs import frozen
from automat import TypeMachineBuilder
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.outcome import EndedBy, Verdict, classify
from hyperhive.agents.stream import StreamLine, StreamReader, TurnReading
from hyperhive.containers.interfaces import (
    IContainerProcess,
    IProcessObserver,
    ProcessEnd,
    SetupFailed,
)
from hyperhive.messages.interfaces import Outcome

#: How long a claude that has said its result may take to exit (seconds).
LINGER = 15.0
#: How long each of INT, TERM and KILL may take before the next (seconds).
STEP = 3.0
#: Silence after which an agent is shown as stuck (seconds).
QUIET = 120.0
#: How much of the standard error is kept for the note of a failure (bytes).
STDERR_TAIL = 4096
#: How many lines are taken before the rest of the hive has its turn, and how long the
#: process then goes unread (seconds). Claude never prints so much, but what it runs
#: can write to its output as fast as it likes, and would have the reactor to itself.
LINES_AT_ONCE = 200
BREATH = 0.05


@frozen
class TurnLimits:
    """Watchdogs of a turn, in seconds."""

    silence: float
    overtime: float


class _Inputs(Protocol):
    """What happens to a turn's process."""

    def result_said(self) -> None:
        """Claude printed the result of our prompt."""

    def end(self) -> None:
        """It is to end: interrupt it, and go on to harder means."""

    def step_over(self) -> None:
        """The time of the present state is over."""

    def destroy(self) -> None:
        """It is to end at once, with everything that it started."""

    def gone(self) -> None:
        """The process has ended and its streams are at their end."""


@attrs.define
class _Core:
    """The process and the timer of the present state."""

    clock: IReactorTime
    process: IContainerProcess
    machine: _Inputs = attrs.field(init=False)
    timer: IDelayedCall | None = None

    def within(self, seconds: float) -> None:
        """Leave the present state after ``seconds``."""
        self.stop_timer()
        self.timer = self.clock.callLater(seconds, self._step_over)

    def stop_timer(self) -> None:
        """Stay in the next state until something happens."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None

    def _step_over(self) -> None:
        self.timer = None
        self.machine.step_over()


_builder = TypeMachineBuilder(_Inputs, _Core)
_running = _builder.state("running")
_lingering = _builder.state("lingering")
_interrupting = _builder.state("interrupting")
_terminating = _builder.state("terminating")
_killing = _builder.state("killing")
_destroying = _builder.state("destroying")
_ended = _builder.state("ended")


@_running.upon(_Inputs.result_said).to(_lingering)
def _linger(inputs: _Inputs, core: _Core) -> None:
    core.within(LINGER)


@_running.upon(_Inputs.end).to(_interrupting)
@_lingering.upon(_Inputs.end).to(_interrupting)
@_lingering.upon(_Inputs.step_over).to(_interrupting)
def _interrupt(inputs: _Inputs, core: _Core) -> None:
    core.within(STEP)
    core.process.interrupt()


@_interrupting.upon(_Inputs.step_over).to(_terminating)
def _terminate(inputs: _Inputs, core: _Core) -> None:
    core.within(STEP)
    core.process.terminate()


@_terminating.upon(_Inputs.step_over).to(_killing)
def _kill(inputs: _Inputs, core: _Core) -> None:
    core.within(STEP)
    core.process.kill()


@_killing.upon(_Inputs.step_over).to(_destroying)
@_running.upon(_Inputs.destroy).to(_destroying)
@_lingering.upon(_Inputs.destroy).to(_destroying)
@_interrupting.upon(_Inputs.destroy).to(_destroying)
@_terminating.upon(_Inputs.destroy).to(_destroying)
@_killing.upon(_Inputs.destroy).to(_destroying)
def _destroy(inputs: _Inputs, core: _Core) -> None:
    core.stop_timer()
    core.process.destroy().addErrback(
        lambda failure: Logger().failure("a turn's sandbox could not be ended", failure)
    )


for _state in (_lingering, _interrupting, _terminating, _killing, _destroying):
    _state.upon(_Inputs.result_said).loop().returns(None)
for _state in (_interrupting, _terminating, _killing, _destroying):
    _state.upon(_Inputs.end).loop().returns(None)
_destroying.upon(_Inputs.destroy).loop().returns(None)
for _state in (
    _running,
    _lingering,
    _interrupting,
    _terminating,
    _killing,
    _destroying,
):

    @_state.upon(_Inputs.gone).to(_ended)
    def _gone(inputs: _Inputs, core: _Core) -> None:
        core.stop_timer()


for _input in (_Inputs.end, _Inputs.destroy):
    _ended.upon(_input).loop().returns(None)

_machine = _builder.build()


@implementer(IProcessObserver)
class TurnProcess:
    """One claude process, from its start to the verdict on it.

    :param line_seen: told each line of the stream.
    :param noted: told what is worth a line for people (standard error, signals).
    :param quiet_changed: told when it falls silent for :data:`QUIET` seconds and
        when it speaks again.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        limits: TurnLimits,
        line_seen: Callable[[StreamLine], None],
        noted: Callable[[str], None],
        quiet_changed: Callable[[], None],
    ) -> None:
        self.reading = TurnReading()
        #: Whether nothing was heard of it for :data:`QUIET` seconds.
        self.quiet = False
        #: Fires once with the :class:`Verdict`.
        self.done: Deferred[Verdict] = Deferred()
        self._clock = clock
        self._limits = limits
        self._line_seen = line_seen
        self._noted = noted
        self._quiet_changed = quiet_changed
        self._reader = StreamReader()
        self._lines: Iterator[StreamLine] = iter(())
        self._more: IDelayedCall | None = None
        self._stderr = b""
        self._ended_by = EndedBy.itself()
        self._at_once = False
        self._machine: _Inputs | None = None
        self._process: IContainerProcess | None = None
        self._silence = clock.callLater(limits.silence, self._too_silent)
        self._overtime = clock.callLater(limits.overtime, self._too_long)
        self._quiet_timer = clock.callLater(self._quiet_after, self._fell_quiet)

    @property
    def _quiet_after(self) -> float:
        return min(QUIET, self._limits.silence / 2)

    def started(self, process: IContainerProcess) -> None:
        """The process runs; what it says goes to this object as its observer."""
        core = _Core(self._clock, process)
        core.machine = self._machine = _machine(core)
        self._process = process
        if self._at_once:
            self._machine.destroy()
        elif self._to_end:
            self._machine.end()

    def never_started(self, reason: str) -> None:
        """It could not even be started: the verdict says so."""
        self.process_ended(SetupFailed(reason))

    def end(self, why: EndedBy) -> None:
        """Ask it to end: INT, then TERM, then KILL. The first reason given stands.

        One that has not started yet is ended as soon as it has.
        """
        self._because(why)
        if self._machine is not None:
            self._machine.end()

    def destroy(self, why: EndedBy) -> None:
        """End it and all that it started, at once."""
        self._because(why)
        self._at_once = True
        if self._machine is not None:
            self._machine.destroy()

    def _because(self, why: EndedBy) -> None:
        if not self._to_end:
            self._ended_by = why

    @property
    def _to_end(self) -> bool:
        return self._ended_by != EndedBy.itself()

    def clean_up(self) -> Deferred[None]:
        """End what the process left behind; fires when nothing is left."""
        if self._process is None:
            return _nothing_left()
        return self._process.destroy()

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._heard()
        self._lines = chain(self._lines, self._reader.feed(data))
        if self._more is None:
            self._take_some()

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._stderr = (self._stderr + data)[-STDERR_TAIL:]

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        if self.done.called:
            return
        for timer in (self._silence, self._overtime, self._quiet_timer):
            if timer.active():
                timer.cancel()
        if self._more is not None:
            self._more.cancel()
        for line in chain(self._lines, self._reader.finish()):
            self._take(line)
        if self._machine is not None:
            self._machine.gone()
        stderr = self._stderr.decode("utf-8", "replace").strip()
        if stderr:
            self._noted(stderr)
        self.done.callback(self._verdict(end, stderr))

    def _verdict(self, end: ProcessEnd, stderr: str) -> Verdict:
        """Whatever another program may have printed, there is a verdict."""
        try:
            return classify(self.reading, end, self._ended_by, stderr)
        except Exception:
            self._log.failure("what claude said could not be judged")
            return Verdict(
                Outcome.FAILED, "what claude said could not be judged: see the log"
            )

    def _take_some(self) -> None:
        """Take what lines there are; if those are many, leave the process unread meanwhile."""
        paused, self._more = self._more is not None, None
        taken = 0
        for line in islice(self._lines, LINES_AT_ONCE):
            self._take(line)
            taken += 1
        if taken == LINES_AT_ONCE:
            # One that is being ended is to be read to its end soon.
            breath = 0.0 if self._to_end else BREATH
            self._more = self._clock.callLater(breath, self._take_some)
            if not paused and self._process is not None:
                self._process.pause()
        else:
            self._lines = iter(())
            if paused and self._process is not None:
                self._process.resume()

    def _take(self, line: StreamLine) -> None:
        said = self.reading.result_said
        if line.event is not None:
            self.reading.observe(line.event)
        self._line_seen(line)
        if self.reading.result_said and not said and self._machine is not None:
            self._machine.result_said()

    def _heard(self) -> None:
        if self._silence.active():  # else it is being ended for its silence
            self._silence.reset(self._limits.silence)
        if self.quiet:
            self.quiet = False
            self._quiet_timer = self._clock.callLater(
                self._quiet_after, self._fell_quiet
            )
            self._quiet_changed()
        else:
            self._quiet_timer.reset(self._quiet_after)

    def _fell_quiet(self) -> None:
        self.quiet = True
        self._quiet_changed()

    def _too_silent(self) -> None:
        self._watchdog(f"claude printed nothing for {self._limits.silence:g} s")

    def _too_long(self) -> None:
        self._watchdog(f"the turn ran for {self._limits.overtime:g} s")

    def _watchdog(self, reason: str) -> None:
        if self.reading.result_said:
            return  # its result stands; the machine ends what lingers
        self._noted(f"{reason}: it is being ended")
        self.end(EndedBy.watchdog(reason))


def _nothing_left() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done
