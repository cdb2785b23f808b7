"""A swarm in memory, for tests of what asks the swarm: no database, no claude, no container."""

from collections import defaultdict
from typing import Any

import attrs
from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from hyperhive.agents.interfaces import (
    AgentExists,
    AgentStatus,
    Deployment,
    HistoryPage,
    IAgents,
    InvalidModel,
    NoSuchAgent,
    NoSuchTombstone,
    NotAllowed,
    NothingRunning,
    NotTheManager,
    Tombstone,
)
from hyperhive.deferreds import deferred
from hyperhive.messages.interfaces import Outcome, TurnRecord, Usage
from hyperhive.names import MANAGER, check_agent_name, check_new_agent_name
from hyperhive.settings import check_model

#: The moment at which everything in the fake happened: 2026-01-31T12:00:00Z.
NOW = 1769860800.0
#: What an agent without a model of its own runs.
MODEL = "haiku"


@frozen
class Call:
    """One thing that was asked to be done: the method's name and all of its arguments."""

    method: str
    arguments: dict[str, Any]


@implementer(IAgents)
class FakeAgents:
    """An :class:`~hyperhive.agents.interfaces.IAgents` that a test can look into and steer.

    It checks names as the real one does and changes what it shows by what it is
    asked for. Asking only for facts is not recorded.

    :param names: agents that exist besides the manager; all run and are idle.
    :ivar calls: what was asked to be done, in order, also what then failed.
    :ivar failures: by a method's name, what each call of it fails with from now on.
    :ivar recipients: by an agent's name, to whom it may write; else to everybody.
    :ivar kept: what destroyed agents have left, by name.
    :ivar events: by an agent's name, its stored events; an event's number is its
        place, from 1.
    """

    def __init__(self, *names: str) -> None:
        self.calls: list[Call] = []
        self.failures: dict[str, Exception] = {}
        self.events: defaultdict[str, list[bytes]] = defaultdict(list)
        self.recipients: dict[str, tuple[str, ...]] = {}
        self.kept: dict[str, Tombstone] = {}
        self.deployments: dict[str, Deployment] = {}
        self.journals: dict[str, tuple[str, ...]] = {}
        self._held: defaultdict[str, list[Deferred[None]]] = defaultdict(list)
        self._holding: set[str] = set()
        self._turns = 0
        self._statuses: dict[str, AgentStatus] = {}
        for name in (MANAGER, *names):
            self.add(name)

    # For the test.

    def add(self, name: str, **changes: Any) -> AgentStatus:
        """Let an agent exist, running and idle but for ``changes`` (fields of its status)."""
        status = AgentStatus(
            name=check_agent_name(name),
            role="manager" if name == MANAGER else "agent",
            running=True,
            failed=False,
            needs_update=False,
            needs_login=False,
            paused=False,
            working=False,
            unread=0,
            model=MODEL,
            state="idle",
            state_since=NOW,
            context=12_345,
            window=200_000,
        )
        self._statuses[name] = attrs.evolve(status, **changes)
        return self._statuses[name]

    def change(self, name: str, **changes: Any) -> AgentStatus:
        """Change fields of an agent's status; ``state`` goes by itself where it is not given."""
        status = attrs.evolve(self._statuses[name], **changes)
        if "state" not in changes:
            status = attrs.evolve(status, state=_label(status))
        self._statuses[name] = status
        return status

    def work(self, name: str, tool: str | None = None) -> None:
        """Let a turn of the agent run."""
        self.change(name, working=True, tool=tool)

    def end_turn(self, name: str, outcome: Outcome = Outcome.OK) -> None:
        """Let the agent's turn end, a second after it began."""
        self._turns += 1
        turn = TurnRecord(
            id=self._turns,
            agent=name,
            kind="message",
            started_at=NOW,
            ended_at=NOW + 1,
            outcome=outcome,
            note=None,
            model=self._statuses[name].model,
            usage=Usage(input_tokens=10, output_tokens=20, context=12_345),
        )
        self.change(name, working=False, tool=None, last_turn=turn)

    def hold(self, method: str) -> None:
        """From now on calls of ``method`` take long: each is done at a :meth:`finish`."""
        self._holding.add(method)

    def held(self, method: str) -> int:
        """How many calls of ``method`` wait for their :meth:`finish`."""
        return len(self._held[method])

    def finish(self, method: str, failure: Exception | None = None) -> None:
        """Let the oldest held call of ``method`` be done, or fail."""
        waiting = self._held[method].pop(0)
        if failure is None:
            waiting.callback(None)
        else:
            waiting.errback(failure)

    async def _asked(self, method: str, **arguments: Any) -> None:
        """Record a call; wait while it is held; fail if it is to fail."""
        self.calls.append(Call(method, arguments))
        if method in self._holding:
            waiting: Deferred[None] = Deferred()
            self._held[method].append(waiting)
            await waiting
        if method in self.failures:
            raise self.failures[method]

    def _existing(self, name: str) -> AgentStatus:
        status = self._statuses.get(check_agent_name(name))
        if status is None:
            raise NoSuchAgent(
                f"There is no agent {name!r}; there are {', '.join(self.names())}."
            )
        return status

    # IAgents.

    def names(self) -> tuple[str, ...]:
        """See IAgents."""
        return tuple(sorted(self._statuses, key=lambda name: (name != MANAGER, name)))

    def role(self, name: str) -> str:
        """See IAgents."""
        return self._existing(name).role

    def statuses(self) -> tuple[AgentStatus, ...]:
        """See IAgents."""
        return tuple(self._statuses[name] for name in self.names())

    def status(self, name: str) -> AgentStatus:
        """See IAgents."""
        return self._existing(name)

    @deferred
    async def spawn(self, name: str) -> None:
        """See IAgents."""
        check_new_agent_name(name)
        if name in self._statuses:
            raise AgentExists(f"There is an agent {name!r} already.")
        await self._asked("spawn", name=name)
        self.add(name)

    @deferred
    async def start(self, name: str, by: str) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("start", name=name, by=by)
        self.change(name, running=True, failed=False)

    @deferred
    async def stop(self, name: str, by: str, graceful: bool = True) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("stop", name=name, by=by, graceful=graceful)
        self.change(name, running=False, working=False, tool=None)

    @deferred
    async def restart(self, name: str, by: str) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("restart", name=name, by=by)
        self.change(name, running=True, failed=False, working=False, tool=None)

    def check_recipient(self, name: str, to: str) -> None:
        """See IAgents."""
        allowed = self.recipients.get(name)
        if allowed is not None and to not in allowed:
            raise NotAllowed(f"{name} may write only to: {', '.join(allowed)}.")

    @deferred
    async def destroy(self, name: str, purge: bool = False) -> None:
        """See IAgents."""
        self._existing(name)
        if name == MANAGER:
            raise NotTheManager("The manager can't be destroyed.")
        await self._asked("destroy", name=name, purge=purge)
        del self._statuses[name]
        if not purge:
            self.kept[name] = Tombstone(name, 4096, NOW, True)

    @deferred
    async def tombstones(self) -> list[Tombstone]:
        """See IAgents."""
        return [self.kept[name] for name in sorted(self.kept)]

    @deferred
    async def purge(self, name: str) -> None:
        """See IAgents."""
        if name in self._statuses:
            raise AgentExists(f"There is an agent {name!r}: destroy it first.")
        if check_new_agent_name(name) not in self.kept:
            raise NoSuchTombstone(f"Nothing is kept of {name!r}.")
        await self._asked("purge", name=name)
        del self.kept[name]

    @deferred
    async def set_paused(self, name: str, paused: bool) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("set_paused", name=name, paused=paused)
        self.change(name, paused=paused)

    @deferred
    async def set_model(self, name: str, model: str) -> None:
        """See IAgents."""
        self._existing(name)
        if model:
            try:
                check_model(model)
            except ValueError as error:
                raise InvalidModel(f"{model[:40]!r} is not a model: {error}.") from None
        await self._asked("set_model", name=name, model=model)
        self.change(name, model=model or MODEL)

    @deferred
    async def set_status(self, name: str, text: str) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("set_status", name=name, text=text)
        self.change(name, status_text=text or None, status_set_at=NOW if text else None)

    @deferred
    async def cancel_turn(self, name: str) -> None:
        """See IAgents."""
        if not self._existing(name).working:
            raise NothingRunning(f"No turn of {name} is running.")
        await self._asked("cancel_turn", name=name)
        self.end_turn(name, Outcome.CANCELLED)

    @deferred
    async def compact(self, name: str) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("compact", name=name)

    @deferred
    async def new_session(self, name: str) -> None:
        """See IAgents."""
        self._existing(name)
        await self._asked("new_session", name=name)
        self.change(name, context=None)

    def deployment(self, name: str) -> Deployment:
        """See IAgents."""
        self._existing(name)
        return self.deployments.get(name, Deployment())

    @deferred
    async def journal(self, name: str, lines: int) -> tuple[str, ...] | None:
        """See IAgents."""
        self._existing(name)
        await self._asked("journal", name=name, lines=lines)
        found = self.journals.get(name)
        return None if found is None else found[-lines:]

    @deferred
    async def history(
        self,
        name: str,
        before: int | None = None,
        limit: int = 200,
        after: int | None = None,
    ) -> HistoryPage:
        """See IAgents."""
        self._existing(name)
        stored = self.events[name]
        if after is not None:
            page = tuple(stored[after : after + limit])
            more = after + limit if after + limit < len(stored) else None
            return HistoryPage(page, None, more)
        end = len(stored) if before is None else min(before - 1, len(stored))
        start = max(0, end - limit)
        return HistoryPage(tuple(stored[start:end]), start + 1 if start else None)


def _label(status: AgentStatus) -> str:
    if not status.running:
        return "failed" if status.failed else "stopped"
    if status.working:
        return "working"
    if status.claude_login is not None:
        return "logging in"
    if status.needs_login:
        return "needs login"
    if status.paused:
        return "paused"
    return "idle" if status.parked_until is None else "parked"
