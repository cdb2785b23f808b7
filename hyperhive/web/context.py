"""What every part of the web room is given: the rooms below, and facts to show."""

import time
from collections.abc import Callable

from attrs import field, frozen

from hyperhive.agents.figures import IStatistics
from hyperhive.agents.interfaces import IAgents
from hyperhive.agents.login_interfaces import IClaudeLogins
from hyperhive.approvals.interfaces import IApprovals, IQuestions
from hyperhive.bus import EventBus
from hyperhive.containers.interfaces import Probe
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.messages.interfaces import IBroker
from hyperhive.notify.links import Links
from hyperhive.notify.service import Notifier
from hyperhive.settings import Layout
from hyperhive.web.notices import Notices


@frozen
class Facts:
    """What does not change while the daemon runs.

    :param demo: agents are run by the scripted agent, not by claude.
    :param started_at: POSIX time.
    """

    version: str
    demo: bool
    probe: Probe
    started_at: float


@frozen
class WebContext:
    """The rooms below and the facts, as one value.

    :param now: the wall clock.
    :param notifier: tells the operator outside the house.
    :param links: decide one thing each without a login; ``None``: there are none.
    """

    agents: IAgents
    broker: IBroker
    bus: EventBus
    deploys: IDeploys
    approvals: IApprovals
    questions: IQuestions
    logins: IClaudeLogins
    layout: Layout
    facts: Facts
    notices: Notices
    now: Callable[[], float] = time.time
    notifier: Notifier = field(kw_only=True)
    statistics: IStatistics = field(kw_only=True)
    links: Links | None = field(default=None, kw_only=True)
