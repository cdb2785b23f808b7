"""Logins of claude over a swarm in memory, for tests of what shows and steers them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from hyperhive.agents.claude import login_stamp
from hyperhive.agents.claude_login import LoginPlan
from hyperhive.agents.claude_logins import ClaudeLogins
from hyperhive.agents.login_interfaces import LoginRefused
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import Command, IContainerDriver
from hyperhive.names import container_name
from hyperhive.store.agents import AgentRow
from hyperhive.testing import claude_auth
from hyperhive.testing.agents import NOW, FakeAgents


class LoginSwarm:
    """What a login needs of the agents, over fake ones."""

    def __init__(self, agents: FakeAgents) -> None:
        self._agents = agents

    def row(self, name: str) -> AgentRow:
        """See ISwarm."""
        return AgentRow(self._agents.status(name).name, self._agents.role(name), NOW)

    def hold_for_login(self, name: str) -> Deferred[None]:
        """See ISwarm."""
        if not self._agents.status(name).running:
            raise LoginRefused(f"{name} does not run: start it, then log it in.")
        return succeed(None)

    def show_login(self, name: str, state: str | None) -> None:
        """See ISwarm."""
        if name in self._agents.names():
            self._agents.change(name, claude_login=state)

    def login_changed(self, name: str) -> None:
        """See ISwarm."""
        self._agents.change(name, needs_login=False, state_note=None)


class LoginLauncher:
    """Runs the stand-in for ``claude auth``, for which every driver has a python.

    :param folder: where logins are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def login_plan(self, row: AgentRow) -> LoginPlan:
        """See ILauncher."""
        folder = self._folder / row.name
        environment = {"PATH": "/usr/bin:/bin", "CLAUDE_CONFIG_DIR": str(folder)}
        program = (sys.executable, "-I", str(claude_auth.__file__), "auth")
        return LoginPlan(
            container_name(row.name),
            Command((*program, "login"), environment, "/", keep_stdin=True),
            Command((*program, "status"), environment, "/"),
            lambda: login_stamp(folder),
        )


def fake_logins(
    clock: Any,
    driver: IContainerDriver,
    agents: FakeAgents,
    bus: EventBus,
    now: Callable[[], float],
    folder: Path,
) -> ClaudeLogins:
    """The real service, over fake agents and the stand-in for ``claude auth``."""
    launcher: Any = LoginLauncher(folder)
    return ClaudeLogins(clock, driver, launcher, LoginSwarm(agents), bus, now)
