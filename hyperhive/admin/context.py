"""What the admin commands are given: the rooms below, and what others know."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from hyperhive.agents.figures import IStatistics
from hyperhive.agents.interfaces import IAgents
from hyperhive.agents.login_interfaces import IClaudeLogins
from hyperhive.approvals.interfaces import IApprovals, IQuestions
from hyperhive.bus import EventBus
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.messages.interfaces import IBroker


@frozen
class AdminContext:
    """The rooms below, and what others answer.

    :param login_url: makes a one-time link to the dashboard.
    :param urls: where pages are, by what they are of.
    :param info: versions, uptime, driver, counts.
    :param notify_test: tells every target outside the house a test; what came of it.
    """

    agents: IAgents
    broker: IBroker
    bus: EventBus
    deploys: IDeploys
    approvals: IApprovals
    questions: IQuestions
    logins: IClaudeLogins
    login_url: Callable[[], str]
    urls: Callable[[], Mapping[str, str]]
    info: Callable[[], Mapping[str, Any]]
    notify_test: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] = field(
        kw_only=True
    )
    statistics: IStatistics = field(kw_only=True)
