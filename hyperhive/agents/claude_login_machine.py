"""In which order the steps of a login follow one another.

The machine::

    waiting ─ idle ▶ starting ─ linked ▶ offering ─ code ▶ checking
                        │                   │                 │ exited
                        └────── exited ─────┴───────────────▶ proving ─ proven ─┐
                                                                                ▼
    from each of them:  failed, end (cancelled, out of time) ───────────────▶ ending ─ gone ▶ over
"""

from typing import Protocol

from attrs import frozen
from automat import TypeMachineBuilder

from hyperhive.agents import login_interfaces as states
from hyperhive.agents.claude_auth import Account, Code

#: How long claude may take to print a link (seconds); it takes 0.3.
LINK_LIMIT = 60.0
#: How long it may take to exchange a code (seconds).
CHECK_LIMIT = 60.0


class Inputs(Protocol):
    """What happens to a login."""

    def idle(self) -> None:
        """No turn of the agent runs."""

    def linked(self, link: str) -> None:
        """Claude has printed a link."""

    def code(self, code: Code) -> None:
        """The operator has pasted a code."""

    def exited(self) -> None:
        """Claude has ended as it does after a login."""

    def proven(self, found: Account) -> None:
        """There is a login."""

    def failed(self, why: str) -> None:
        """It can't become one any more."""

    def end(self, state: str, why: str) -> None:
        """It is to end: cancelled, or out of time."""

    def gone(self) -> None:
        """Nothing of it runs any more."""


class ISteps(Protocol):
    """What a login does on its way (:class:`hyperhive.agents.claude_login.ClaudeLogin`)."""

    def enter(self, state: str, link: str | None = None) -> None:
        """Show another state."""

    def within(self, seconds: float, otherwise: str) -> None:
        """Fail, for the reason ``otherwise``, unless the next step is in time."""

    def stop_timer(self) -> None:
        """Wait for what comes next as long as the whole may take."""

    def launch(self) -> None:
        """Start claude."""

    def write(self, code: Code) -> None:
        """Give it the code."""

    def prove(self) -> object:
        """Ask whether there is a login now."""

    def end(self, state: str, why: str | None, found: Account | None = None) -> None:
        """End all that runs, to be over with this result."""

    def finish(self) -> None:
        """It is over."""


@frozen
class Core:
    """What the machine moves."""

    steps: ISteps


_builder = TypeMachineBuilder(Inputs, Core)
_waiting = _builder.state("waiting")
_starting = _builder.state("starting")
_offering = _builder.state("offering")
_checking = _builder.state("checking")
_proving = _builder.state("proving")
_ending = _builder.state("ending")
_over = _builder.state("over")


@_waiting.upon(Inputs.idle).to(_starting)
def _launch(inputs: Inputs, core: Core) -> None:
    core.steps.enter(states.STARTING)
    core.steps.within(LINK_LIMIT, "Claude printed no link")
    core.steps.launch()


@_starting.upon(Inputs.linked).to(_offering)
def _offer(inputs: Inputs, core: Core, link: str) -> None:
    core.steps.stop_timer()
    core.steps.enter(states.LINK, link=link)


@_offering.upon(Inputs.code).to(_checking)
def _check(inputs: Inputs, core: Core, code: Code) -> None:
    core.steps.enter(states.CHECKING)
    core.steps.within(CHECK_LIMIT, "Claude did not say whether the code was right")
    core.steps.write(code)


@_starting.upon(Inputs.exited).to(_proving)
@_offering.upon(Inputs.exited).to(_proving)
@_checking.upon(Inputs.exited).to(_proving)
def _prove(inputs: Inputs, core: Core) -> None:
    core.steps.stop_timer()
    core.steps.enter(states.CHECKING)
    core.steps.prove()


@_proving.upon(Inputs.proven).to(_ending)
def _succeed(inputs: Inputs, core: Core, found: Account) -> None:
    core.steps.end(states.DONE, None, found)


for _state in (_waiting, _starting, _offering, _checking, _proving):

    @_state.upon(Inputs.failed).to(_ending)
    def _fail(inputs: Inputs, core: Core, why: str) -> None:
        core.steps.end(states.FAILED, why)

    @_state.upon(Inputs.end).to(_ending)
    def _stop(inputs: Inputs, core: Core, state: str, why: str) -> None:
        core.steps.enter(states.ENDING)
        core.steps.end(state, why)


@_ending.upon(Inputs.gone).to(_over)
def _finish(inputs: Inputs, core: Core) -> None:
    core.steps.finish()


# What comes late changes nothing.
_offering.upon(Inputs.linked).loop().returns(None)
for _state in (_proving, _ending, _over):
    _state.upon(Inputs.exited).loop().returns(None)
for _state in (_ending, _over):
    _state.upon(Inputs.idle).loop().returns(None)
    _state.upon(Inputs.linked).loop().returns(None)
    _state.upon(Inputs.failed).loop().returns(None)
    _state.upon(Inputs.proven).loop().returns(None)
    _state.upon(Inputs.end).loop().returns(None)

#: Makes a login's machine, in its state ``waiting``.
machine = _builder.build()
