"""One login of claude, from its link to the proof that it works.

Claude prints a link and reads a code (``claude auth login``, on pipes). What it then
says proves nothing: ``claude auth status`` does, and that a login was written.
"""

from collections.abc import Callable

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents import login_interfaces as states
from hyperhive.agents.claude_auth import (
    Account,
    Code,
    ForeignLink,
    account,
    find_link,
    said,
)
from hyperhive.agents.claude_login_machine import Core, Inputs, machine
from hyperhive.agents.login_interfaces import LoginView, NoLoginRuns
from hyperhive.containers.interfaces import (
    Command,
    Exited,
    IContainerDriver,
    IContainerProcess,
    IProcessObserver,
    Lost,
    ProcessEnd,
    SetupFailed,
)
from hyperhive.containers.trials import try_out
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError

#: How long the whole may take: somebody has to sign in meanwhile (seconds).
LIMIT = 600.0
#: How long claude may take to say its status (seconds).
STATUS_LIMIT = 30.0
#: How much it may print (bytes); it prints less than one KiB.
MAX_OUTPUT = 64 * 1024

_AGAIN = "Start again: each try has a link and a code of its own."
_NO_NETWORK = ("getaddrinfo", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "ETIMEDOUT")


@frozen
class LoginPlan:
    """How an agent's claude is logged in.

    :param container: where.
    :param login: prints the link and reads the code.
    :param status: says whether there is a login.
    :param stamp: differs after a login was written.
    """

    container: str
    login: Command
    status: Command
    stamp: Callable[[], object]


@implementer(IProcessObserver)
class ClaudeLogin:
    """Runs claude's login in an agent's container, within a bounded time.

    :param changed: told each new view.
    :param now: the wall clock.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        driver: IContainerDriver,
        name: str,
        plan: LoginPlan,
        changed: Callable[[LoginView], None],
        now: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._driver = driver
        self._plan = plan
        self._changed = changed
        self._now = now
        self._machine: Inputs = machine(Core(self))
        self._processes: list[IContainerProcess] = []
        self._stdout = b""
        self._stderr = b""
        self._code: Code | None = None
        self._stamp: object = None
        self._timer: IDelayedCall | None = None
        self._deadline = clock.callLater(LIMIT, self._too_late)
        self._result: tuple[str, str | None, Account | None] | None = None
        #: Fires when it is over and nothing of it runs any more.
        self.over: Deferred[None] = Deferred()
        #: How it is.
        self.view = LoginView(
            name,
            states.WAITING,
            now(),
            now() + LIMIT,
            note="It begins when the turn that runs has ended.",
        )

    def begin(self) -> None:
        """No turn of the agent runs: start claude."""
        self._machine.idle()

    def give_code(self, code: Code) -> None:
        """Hand claude the code.

        :raises NoLoginRuns: if it does not wait for one.
        """
        if self.view.state != states.LINK or self._result is not None:
            raise NoLoginRuns("This login does not wait for a code now.")
        self._machine.code(code)

    def cancel(self, why: str) -> None:
        """End it, with all that it started."""
        self._machine.end(states.CANCELLED, why)

    def stdout_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._stdout = self._taken(self._stdout, data)
        if self.view.state != states.STARTING:
            return
        try:
            link = find_link(self._stdout.decode("utf-8", "replace"))
        except ForeignLink as error:
            self._machine.failed(
                f"Claude printed a link to {error}, which is not Anthropic's. Don't sign "
                "in there; look at what the agent has changed in its container."
            )
        else:
            if link is not None:
                self._machine.linked(link)

    def stderr_received(self, data: bytes) -> None:
        """See :class:`IProcessObserver`."""
        self._stderr = self._taken(self._stderr, data)

    def process_ended(self, end: ProcessEnd) -> None:
        """See :class:`IProcessObserver`."""
        if end == Exited(0):
            self._machine.exited()
        else:
            self._machine.failed(self._why(end))

    # What the machine does.

    def enter(self, state: str, link: str | None = None) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        self._show(
            attrs.evolve(
                self.view, state=state, since=self._now(), link=link, note=None
            )
        )

    def _show(self, view: LoginView) -> None:
        self.view = view
        self._changed(view)

    def launch(self) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        try:
            self._stamp = self._plan.stamp()
            self._run(self._plan.login, self)
        except PublicError as error:
            self._machine.failed(str(error))

    def _run(self, command: Command, observer: IProcessObserver) -> IContainerProcess:
        process = self._driver.run(self._plan.container, command, observer)
        self._processes.append(process)
        return process

    def write(self, code: Code) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        self._code = code
        self._processes[0].write(f"{code.text}\n".encode())

    @deferred
    async def prove(self) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        try:
            found = await self._status()
        except PublicError as error:
            self._machine.failed(f"The login could not be checked: {error}")
        except Exception:
            self._log.failure("a login could not be checked")
            self._machine.failed("The login could not be checked; the log says why.")
        else:
            if found is None:
                self._machine.failed(f"Claude ended without a login. {_AGAIN}")
            else:
                self._machine.proven(found)

    async def _status(self) -> Account | None:
        """Whom claude finds logged in, by a login that was written just now."""
        if self._plan.stamp() == self._stamp:
            return None
        trial = await try_out(
            self._clock,
            lambda observer: self._run(self._plan.status, observer),
            STATUS_LIMIT,
        )
        return account(trial.stdout)

    def end(self, state: str, why: str | None, found: Account | None = None) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        self.stop_timer()
        if self._deadline.active():
            self._deadline.cancel()
        self._result = state, why, found
        self._clear_away()

    @deferred
    async def _clear_away(self) -> None:
        """End all that runs, and what it has started."""
        for process in self._processes:
            try:
                await process.destroy()
            except Exception:
                self._log.failure("a login could not be ended")
        self._machine.gone()

    def finish(self) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        assert self._result is not None
        state, why, found = self._result
        self._code = None
        self._stdout = self._stderr = b""
        self._show(
            LoginView(self.view.agent, state, self._now(), note=why, account=found)
        )
        self.over.callback(None)

    def within(self, seconds: float, otherwise: str) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        self.stop_timer()
        why = f"{otherwise} within {seconds:g} s."
        self._timer = self._clock.callLater(
            seconds, lambda: self._machine.failed(self._in_words(why))
        )

    def stop_timer(self) -> None:
        """See :class:`~hyperhive.agents.claude_login_machine.ISteps`."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _too_late(self) -> None:
        minutes = LIMIT / 60
        why = f"Nobody finished it within {minutes:g} minutes. {_AGAIN}"
        if self.view.state == states.WAITING:
            why = (
                f"The agent's turn did not end within {minutes:g} minutes. Cancel the "
                "turn, and start again."
            )
        self._machine.end(states.TIMED_OUT, why)

    def _taken(self, before: bytes, data: bytes) -> bytes:
        """What it has printed on one of its streams, bounded."""
        whole = before + data
        if len(whole) > MAX_OUTPUT:
            self._machine.failed(f"Claude printed more than {MAX_OUTPUT} bytes.")
        return whole[:MAX_OUTPUT]

    def _why(self, end: ProcessEnd) -> str:
        match end:
            case SetupFailed(reason) | Lost(reason):
                return f"Claude's login did not run to its end: {reason}"
            case Exited(status):
                how = f"Claude's login ended with status {status}."
            case _:
                how = "Claude's login was ended: the container was stopped, perhaps."
        return self._in_words(how)

    def _in_words(self, why: str) -> str:
        """A reason, or better claude's own last words, and what to do."""
        words = said(self._stderr.decode("utf-8", "replace"), self._code)
        if words:
            why = f"Claude says: “{words}”."
        if any(one in words for one in _NO_NETWORK):
            return (
                f"{why} Its container can't reach Anthropic: look at the network, the "
                "DNS and the proxy, then start again."
            )
        return f"{why} {_AGAIN}"
