"""Derive what is shown of an agent from facts, at the moment of asking. Pure."""

from attrs import frozen

from hyperhive.agents.interfaces import AgentStatus
from hyperhive.agents.policy import parked_note
from hyperhive.agents.today import DayTally
from hyperhive.containers.interfaces import ContainerState, ContainerStatus
from hyperhive.messages.interfaces import Outcome, TurnRecord
from hyperhive.store.agents import AgentRow

_LIMITS = (Outcome.RATE_LIMITED.value, Outcome.OVERLOADED.value)


@frozen
class RunningTurn:
    """The turn that runs now.

    :param heard_at: when claude was last heard of (POSIX time).
    :param quiet: nothing was heard of it for long.
    :param ends_at: when the watchdog will end it if it stays silent.
    :param retrying: what claude says of an API that it is trying again.
    """

    kind: str
    started_at: float
    heard_at: float
    quiet: bool
    ends_at: float
    tool: str | None = None
    retrying: str | None = None


@frozen
class RunningLogin:
    """A login of claude that is under way.

    :param state: one of :mod:`~hyperhive.agents.login_interfaces`.
    :param since: POSIX time at which it was begun.
    """

    state: str
    since: float


@frozen
class Facts:
    """Everything that an agent's status is derived from.

    :param moving: ``starting``, ``stopping``, ``rebuilding`` or ``recovering`` while
        that goes on.
    :param moving_since: since when.
    :param waiting_since: since when it waits for a turn slot, if it does.
    :param logged_in: whether a login that could be valid is there.
    :param login_remedy: what to do where there is none.
    :param now: POSIX time.
    :param revision: the hyperhive that runs.
    :param misconfigured: why its configuration can't be read.
    :param login: the login that is under way.
    :param today: what its turns of today came to.
    """

    row: AgentRow
    container: ContainerStatus | None
    unread: int
    model: str
    window: int
    logged_in: bool
    login_remedy: str
    now: float
    moving: str | None = None
    moving_since: float = 0.0
    waiting_since: float | None = None
    turn: RunningTurn | None = None
    last_turn: TurnRecord | None = None
    url: str | None = None
    revision: str | None = None
    misconfigured: str | None = None
    login: RunningLogin | None = None
    today: DayTally | None = None


@frozen
class _Label:
    state: str
    since: float
    until: float | None = None
    note: str | None = None


def needs_login(facts: Facts) -> bool:
    """Whether nothing can be dispatched because there is no valid login."""
    return facts.row.login_needed_since is not None or not facts.logged_in


def parked(facts: Facts) -> bool:
    """Whether no turn begins before a time that lies ahead."""
    until = facts.row.parked_until
    return until is not None and until > facts.now


def dispatchable(facts: Facts) -> bool:
    """Whether the facts allow a turn."""
    container = facts.container
    return (
        container is not None
        and container.state is ContainerState.RUNNING
        and facts.moving is None
        and facts.row.wanted
        and not facts.row.paused
        and not parked(facts)
        and not needs_login(facts)
        and facts.misconfigured is None
        and facts.login is None
    )


def derive(facts: Facts) -> AgentStatus:
    """Make the status of one agent."""
    row, container, turn = facts.row, facts.container, facts.turn
    today = facts.today
    label = _label(facts)
    running = container is not None and container.state is ContainerState.RUNNING
    return AgentStatus(
        name=row.name,
        role=row.role,
        running=running,
        failed=container is not None and container.state is ContainerState.FAILED,
        needs_update=row.built_with not in (None, facts.revision),
        needs_login=needs_login(facts),
        paused=row.paused,
        working=turn is not None,
        unread=facts.unread,
        model=facts.model,
        state=label.state,
        state_since=label.since,
        state_until=label.until,
        state_note=label.note,
        parked_until=row.parked_until if parked(facts) else None,
        context=row.context,
        window=facts.window,
        tool=None if turn is None else turn.tool,
        status_text=row.status_text,
        status_set_at=row.status_set_at,
        url=facts.url,
        last_turn=facts.last_turn,
        deployed_sha=row.deployed_sha,
        claude_login=None if facts.login is None else facts.login.state,
        turns_today=None if today is None else today.turns,
        cost_today=None if today is None else today.cost_usd,
    )


def _label(facts: Facts) -> _Label:
    """The one word for it: what moves first, then what runs, then what hinders."""
    row, container, turn = facts.row, facts.container, facts.turn
    if facts.moving is not None:
        return _Label(facts.moving, facts.moving_since)
    if turn is not None:
        return _turn_label(turn)
    if container is not None and container.state is ContainerState.FAILED:
        return _Label("failed", container.since or facts.now, note=container.reason)
    if container is None or container.state is ContainerState.STOPPED:
        since = container.since if container is not None else None
        return _Label("stopped", since or row.created_at)
    if facts.misconfigured is not None:
        return _Label(
            "misconfigured", container.since or facts.now, note=facts.misconfigured
        )
    if facts.login is not None:
        return _Label("logging in", facts.login.since)
    if needs_login(facts):
        since = row.login_needed_since or container.since or row.created_at
        return _Label("needs login", since, note=facts.login_remedy)
    rested = _rested_since(facts)
    if row.paused:
        return _Label("paused", rested)
    if parked(facts):
        state = "parked" if row.parked_for in _LIMITS else "crashed"
        return _Label(state, rested, row.parked_until, _why_parked(facts))
    if facts.waiting_since is not None:
        return _Label("waiting", facts.waiting_since, note="all turn slots are taken")
    return _Label("idle", rested)


def _turn_label(turn: RunningTurn) -> _Label:
    if turn.quiet:
        return _Label(
            "stuck",
            turn.heard_at,
            turn.ends_at,
            "claude says nothing; it is ended if it stays silent",
        )
    state = "compacting" if turn.kind == "compact" else "working"
    return _Label(state, turn.started_at, note=turn.retrying)


def _rested_since(facts: Facts) -> float:
    last, container = facts.last_turn, facts.container
    ends = [facts.row.created_at]
    if last is not None and last.ended_at is not None:
        ends.append(last.ended_at)
    if container is not None and container.since is not None:
        ends.append(container.since)
    return max(ends)


def _why_parked(facts: Facts) -> str | None:
    note = parked_note(facts.row)
    last = facts.last_turn
    if note and last is not None and last.note:
        return f"{note} ({last.note})"
    return note
