"""The logins of all agents: one at a time for each, shown to all who look."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.claude_auth import Code
from hyperhive.agents.claude_login import ClaudeLogin
from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.agents.launcher import ILauncher
from hyperhive.agents.login_interfaces import (
    DONE,
    UNDER_WAY,
    IClaudeLogins,
    LoginRefused,
    LoginView,
    NoLoginRuns,
)
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import IContainerDriver
from hyperhive.deferreds import deferred
from hyperhive.store.agents import AgentRow


class ISwarm(Protocol):
    """What a login needs of the agents (:class:`hyperhive.agents.service.Agents`)."""

    def row(self, name: str) -> AgentRow:
        """An agent's row."""

    def hold_for_login(self, name: str) -> Deferred[None]:
        """Begin no turn of it any more; fires when none runs.

        :raises LoginRefused: if nothing can be run for it now.
        """

    def show_login(self, name: str, state: str | None) -> None:
        """Let its status say how its login is; with ``None`` turns may begin again."""

    def login_changed(self, name: str) -> None:
        """A login came: what was refused may work now."""


@implementer(IClaudeLogins, IAgentSurface)
class ClaudeLogins:
    """Runs logins in the agents' containers. Nothing of one outlives the daemon.

    :param now: the wall clock.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        driver: IContainerDriver,
        launcher: ILauncher,
        agents: ISwarm,
        bus: EventBus,
        now: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._driver = driver
        self._launcher = launcher
        self._agents = agents
        self._bus = bus
        self._now = now
        self._running: dict[str, ClaudeLogin] = {}
        self._last: dict[str, LoginView] = {}
        self._closing = False

    def view(self, name: str) -> LoginView:
        """See :class:`IClaudeLogins`."""
        name = self._agents.row(name).name
        return self._last.get(name, LoginView(name))

    def start(self, name: str) -> LoginView:
        """See :class:`IClaudeLogins`."""
        row = self._agents.row(name)
        name = row.name
        if name in self._running:
            return self._running[name].view
        if self._closing:
            raise LoginRefused("The hive is being stopped.")
        plan = self._launcher.login_plan(row)
        idle = self._agents.hold_for_login(name)
        login = self._running[name] = ClaudeLogin(
            self._clock, self._driver, name, plan, self._changed, self._now
        )
        login.over.addCallback(lambda _: self._over(name))
        self._changed(login.view)
        idle.addCallback(lambda _: login.begin())
        self._log.info("claude of {name} is being logged in", name=name)
        return self.view(name)

    def give_code(self, name: str, text: str) -> LoginView:
        """See :class:`IClaudeLogins`."""
        login = self._login(name)
        login.give_code(Code.parse(text))
        return login.view

    @deferred
    async def cancel(self, name: str) -> LoginView:
        """See :class:`IClaudeLogins`."""
        login = self._login(name)
        await self._end(login, "It was cancelled.")
        return login.view

    @deferred
    async def stop(self) -> None:
        """The daemon ends: end every login, and begin no other."""
        self._closing = True
        ending = [
            self._end(login, "The hive was stopped.")
            for login in list(self._running.values())
        ]
        await gatherResults(ending, consumeErrors=True)

    def agent_added(self, name: str, role: str) -> Deferred[None]:
        """See :class:`IAgentSurface`."""
        return succeed(None)

    @deferred
    async def agent_removed(self, name: str) -> None:
        """See :class:`IAgentSurface`."""
        if name in self._running:
            await self._end(self._running[name], "The agent was destroyed.")
        self._last.pop(name, None)

    def _login(self, name: str) -> ClaudeLogin:
        login = self._running.get(self._agents.row(name).name)
        if login is None:
            raise NoLoginRuns(f"No login of {name} is under way: start one.")
        return login

    def _end(self, login: ClaudeLogin, why: str) -> Deferred[None]:
        over: Deferred[None] = Deferred()
        login.over.addCallback(over.callback)
        login.cancel(why)
        return over

    def _changed(self, view: LoginView) -> None:
        self._last[view.agent] = view
        self._bus.publish("claude_login", view.as_wire(), view.agent)
        if view.state in UNDER_WAY:
            self._agents.show_login(view.agent, view.state)

    def _over(self, name: str) -> None:
        login = self._running.pop(name)
        self._log.info(
            "the login of {name} is over: {state}", name=name, state=login.view.state
        )
        if login.view.state == DONE:
            self._agents.login_changed(name)
        self._agents.show_login(name, None)
