"""What the admin commands are given: the rooms below, and what others know."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from hyperhive.agents.interfaces import IAgents
from hyperhive.agents.login_interfaces import IClaudeLogins
from hyperhive.approvals.interfaces import IApprovals, IQuestions
from hyperhive.bus import EventBus
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.messages.interfaces import IBroker


@frozen
class AdminContext:
    """The rooms below, and three questions that others answer.

    :param login_url: makes a one-time link to the dashboard.
    :param urls: where pages are, by what they are of.
    :param info: versions, uptime, driver, counts.
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
