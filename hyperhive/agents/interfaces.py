"""What the surfaces know of agents: one interface, its values, its errors."""

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Interface

from hyperhive.errors import BadRequest, Conflict, NotFound
from hyperhive.messages.interfaces import TurnRecord
from hyperhive.store.agents import AgentRow
from hyperhive.times import rfc3339


class NoSuchAgent(NotFound):
    """Nobody of that name; the text lists who exists."""


class AgentExists(Conflict):
    """The name is taken."""


class NotTheManager(Conflict):
    """What can't be done to the manager, or by the manager to itself."""


class NothingRunning(Conflict):
    """There is no turn to cancel."""


class NotAllowed(Conflict):
    """An agent's configuration does not let it do this; the text says what it does."""


class InvalidModel(BadRequest):
    """A model name that can't be one."""


class NoSuchTombstone(NotFound):
    """Nothing is kept under that name; the text lists what is."""


@frozen
class AgentStatus:
    """An agent as it is shown. Derived from facts at the moment of asking.

    :param state: the label: ``working``, ``compacting``, ``idle``, ``waiting``
        (for a free turn slot), ``stuck`` (a claude that says nothing), ``parked``
        (by a limit or an overload), ``crashed`` (its last turn failed and is
        tried again), ``needs login``, ``paused``, ``stopped``, ``starting``,
        ``stopping``, ``rebuilding``, ``recovering`` (the hive has just started), ``misconfigured`` (by another
        hyperhive) or ``failed`` (its container).
    :param state_since: POSIX time since when it is so.
    :param state_until: until when, where the hive knows.
    :param state_note: why, in a sentence, where there is more to say.
    :param window: the model's context window in tokens.
    :param turns_today: how many of its turns have ended since the host's midnight;
        ``None`` before the hive has counted them.
    :param cost_today: what those cost in USD; ``None`` if that is not known.
    """

    name: str
    role: str
    running: bool
    failed: bool
    needs_update: bool
    needs_login: bool
    paused: bool
    working: bool
    unread: int
    model: str
    state: str
    state_since: float
    state_until: float | None = None
    state_note: str | None = None
    parked_until: float | None = None
    context: int | None = None
    window: int | None = None
    tool: str | None = None
    status_text: str | None = None
    status_set_at: float | None = None
    url: str | None = None
    last_turn: TurnRecord | None = None
    deployed_sha: str | None = None
    claude_login: str | None = None
    turns_today: int | None = None
    cost_today: float | None = None

    def as_wire(self) -> dict[str, Any]:
        """The ``agent_statuses`` row of the wire page, and the label for pages.

        What is absent is left out.
        """
        row: dict[str, Any] = {
            "name": self.name,
            "role": self.role,
            "running": self.running,
            "failed": self.failed,
            "needs_update": self.needs_update,
            "needs_login": self.needs_login,
            "paused": self.paused,
            "working": self.working,
            "unread": self.unread,
            "model": self.model,
            "state": self.state,
            "state_since": rfc3339(self.state_since),
        }
        times = {
            "state_until": self.state_until,
            "parked_until": self.parked_until,
            "status_set_at": self.status_set_at,
        }
        row |= {
            key: rfc3339(value) for key, value in times.items() if value is not None
        }
        plain = {
            "state_note": self.state_note,
            "ctx_tokens": self.context,
            "ctx_window": self.window,
            "tool": self.tool,
            "status_text": self.status_text,
            "url": self.url,
            "deployed_sha": self.deployed_sha,
            "claude_login": self.claude_login,
            "turns_today": self.turns_today,
            "cost_today": self.cost_today,
        }
        row |= {key: value for key, value in plain.items() if value is not None}
        if self.last_turn is not None:
            row["last_turn"] = self.last_turn.as_wire()
        return row


@frozen
class Deployment:
    """What an agent runs with; see :class:`~hyperhive.store.agents.AgentRow`.

    :param sha: ``None``: it was made before there were deployments.
    :param config: JSON text.
    """

    sha: str | None = None
    tag: str | None = None
    config: str | None = None
    system: str | None = None
    built_with: str | None = None

    @classmethod
    def of(cls, row: AgentRow) -> "Deployment":
        """What an agent's row says."""
        return cls(
            row.deployed_sha,
            row.deployed_tag,
            row.config,
            row.system,
            row.built_with,
        )

    def columns(self) -> dict[str, Any]:
        """The columns of the row that say so."""
        return {
            "deployed_sha": self.sha,
            "deployed_tag": self.tag,
            "config": self.config,
            "system": self.system,
            "built_with": self.built_with,
        }


@frozen
class Tombstone:
    """What is kept of one destroyed agent.

    :param size: bytes of its files; a lower bound if there are very many.
    :param since: POSIX time at which it was destroyed.
    :param logged_in: whether a login of claude's is there.
    """

    name: str
    size: int
    since: float
    logged_in: bool

    def as_wire(self) -> dict[str, Any]:
        """As surfaces show it."""
        return {
            "name": self.name,
            "bytes": self.size,
            "since": rfc3339(self.since),
            "login": self.logged_in,
        }


@frozen
class HistoryPage:
    """Stored events of an agent, oldest first, as encoded JSON objects.

    :param before: what to ask with for the page before this; ``None`` at the beginning.
    :param after: the same for the page after this, where it was asked for so; ``None`` at
        the end.
    """

    events: tuple[bytes, ...]
    before: int | None
    after: int | None = None


class IAgentSurface(Interface):
    """Something that serves an agent from outside: its MCP socket, its page."""

    def agent_added(name: str, role: str) -> Deferred[None]:
        """The agent exists now: open what serves it, unless that is open.

        Told of each at start, and again whenever its container is started.

        A failure is reported by the surface itself and fails nothing else.
        """

    def agent_removed(name: str) -> Deferred[None]:
        """The agent is gone: close what served it."""


class IAgents(Interface):
    """Everything that a surface can ask of the swarm.

    Names are checked here: each method may raise
    :class:`~hyperhive.names.InvalidName` or :class:`NoSuchAgent`. Deferreds of
    what takes long fire when it is done; who asked may leave.
    """

    def names() -> tuple[str, ...]:
        """Who exists, the manager first."""

    def role(name: str) -> str:
        """``manager`` or ``agent``."""

    def statuses() -> tuple[AgentStatus, ...]:
        """Every agent, the manager first."""

    def status(name: str) -> AgentStatus:
        """One agent."""

    def check_recipient(name: str, to: str) -> None:
        """Check that an agent's configuration lets it write to a mailbox, or to ``*``.

        :raises NotAllowed: listing whom it may write to.
        """

    def spawn(name: str) -> Deferred[None]:
        """Make an agent and start it. State kept from a destroyed one of that name is its own again.

        :raises AgentExists:
        """

    def start(name: str, by: str) -> Deferred[None]:
        """Start it, and wake it with the reason. Running already: success.

        :param by: who asked: ``operator`` or ``manager``.
        """

    def stop(name: str, by: str, graceful: bool = True) -> Deferred[None]:
        """Stop it: let its turn end (``drain_timeout``), or with ``graceful`` off at once."""

    def restart(name: str, by: str) -> Deferred[None]:
        """Stop it gracefully, start it, and wake it with the reason."""

    def destroy(name: str, purge: bool = False) -> Deferred[None]:
        """Remove the agent and its container; with ``purge`` also its state.

        :raises NotTheManager: the manager can't be destroyed.
        """

    def tombstones() -> Deferred[list[Tombstone]]:
        """What is kept of destroyed agents."""

    def purge(name: str) -> Deferred[None]:
        """Remove what is kept of a destroyed agent.

        :raises AgentExists: while an agent of that name lives.
        :raises NoSuchTombstone: if nothing is kept.
        """

    def set_paused(name: str, paused: bool) -> Deferred[None]:
        """Pause or go on. Idempotent; works on a stopped agent."""

    def set_model(name: str, model: str) -> Deferred[None]:
        """The model of its next turns. An empty name goes back to the hive's setting.

        :raises InvalidModel:
        """

    def set_status(name: str, text: str) -> Deferred[None]:
        """What the agent says of itself."""

    def cancel_turn(name: str) -> Deferred[None]:
        """Interrupt its turn; fires when the turn has ended.

        :raises NothingRunning:
        """

    def compact(name: str) -> Deferred[None]:
        """Compact its session before its next turn, now if it is idle; fires when it is asked for."""

    def new_session(name: str) -> Deferred[None]:
        """Its next turn starts a new session."""

    def deployment(name: str) -> Deployment:
        """What an agent runs with."""

    def journal(name: str, lines: int) -> Deferred[tuple[str, ...] | None]:
        """The newest lines of its container's journal; ``None``: it keeps none.

        :param lines: how many, bounded by the hive.
        """

    def history(
        name: str,
        before: int | None = None,
        limit: int = 200,
        after: int | None = None,
    ) -> Deferred[HistoryPage]:
        """The newest stored events of an agent with numbers under ``before``.

        :param after: instead, the oldest ones with numbers over it.
        """
