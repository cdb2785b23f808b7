"""A hive in memory behind the real pages: what the web's tests and the stage share."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.interfaces import AgentStatus
from hyperhive.agents.statistics import Statistics
from hyperhive.agents.today import Today
from hyperhive.bus import Event, EventBus
from hyperhive.containers.interfaces import Probe
from hyperhive.messages.broker import Broker
from hyperhive.names import MANAGER
from hyperhive.notify.links import Links
from hyperhive.notify.service import Notifier
from hyperhive.notify_settings import NotifySettings
from hyperhive.settings import Layout, PortRange
from hyperhive.store.agents import AgentRow, AgentTable
from hyperhive.store.database import Database
from hyperhive.store.migrations import BROKER
from hyperhive.testing.agents import NOW, FakeAgents
from hyperhive.testing.approvals import Decisions
from hyperhive.testing.claude_logins import fake_logins
from hyperhive.testing.containers import MemoryDriver
from hyperhive.testing.deploys import FakeDeploys
from hyperhive.times import rfc3339
from hyperhive.web import Facts, Notices, WebContext, WebService
from hyperhive.web.openapi_events import KINDS
from tests.web.contract import Contract, check_answer, contracts

#: The number of the first event.
FIRST_SEQ = 1000
NO_TARGETS = NotifySettings()

_TOKENS = {"input": 12, "output": 31, "cache_read": 18_220, "cache_write": 0}


def embedded(page: str) -> Any:
    """The state in a page."""
    match = re.search(r'id="state" hidden data-state="([^"]*)"', page)
    assert match is not None
    return json.loads(unescape(match[1]))


def turn_started(**more: Any) -> dict[str, Any]:
    """What the hive publishes with the kind ``turn_start``."""
    return {"turn": 1, "turn_kind": "message", "unread": 0, **more}


def turn_ended(outcome: str = "ok", **more: Any) -> dict[str, Any]:
    """What the hive publishes with the kind ``turn_end``."""
    ended = {"turn": 1, "turn_kind": "message", "started_at": rfc3339(NOW)}
    return {**ended, "outcome": outcome, "tokens": _TOKENS, **more}


class Swarm(FakeAgents):
    """Fake agents whose mailboxes exist, and whose changes go over the bus."""

    def __init__(self, database: Database, bus: EventBus) -> None:
        self._database = database
        self._bus = bus
        super().__init__()

    def add(self, name: str, **changes: Any) -> AgentStatus:
        """See FakeAgents."""
        status = super().add(name, **changes)
        row = AgentRow(name, status.role, NOW)
        self._database.write(lambda connection: AgentTable.insert(connection, row))
        self._publish(name)
        return status

    def change(self, name: str, **changes: Any) -> AgentStatus:
        """See FakeAgents."""
        status = super().change(name, **changes)
        self._publish(name)
        return status

    def destroy(self, name: str, purge: bool = False) -> Deferred[None]:
        """See FakeAgents."""

        def gone(_: None) -> None:
            self._database.write(lambda connection: AgentTable.delete(connection, name))
            self._bus.publish("agent_state", {"name": name, "gone": True}, name)

        return super().destroy(name, purge).addCallback(gone)

    def _publish(self, name: str) -> None:
        self._bus.publish("agent_state", self.status(name).as_wire(), name)


class Hive:
    """The rooms below, and the web service over them.

    :param reactor: the service's; it is the clock of all.
    :param folder: where state and sockets would be.
    :param driver: where claude is logged in; by default nowhere, but in memory.
    :param public_url: where a phone reaches it; then there are decision links.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        now: Any,
        demo: bool = False,
        isolated: bool = True,
        dashboard: str = "tcp:7000:interface=127.0.0.1",
        manager_port: int = 8000,
        agent_ports: PortRange | None = None,
        driver: Any = None,
        public_url: str | None = None,
        notify: NotifySettings = NO_TARGETS,
    ) -> None:
        self.layout = Layout(folder / "state", folder / "run")
        self.layout.agents.mkdir(parents=True, exist_ok=True)
        self.database = Database.in_memory(BROKER)
        self.bus = EventBus(reactor, FIRST_SEQ)
        self.broker = Broker(reactor, self.database, self.bus, 60.0, now)
        self.agents = Swarm(self.database, self.bus)
        probe = Probe("bubblewrap", "0.8.0", True, ("The network is the host's.",))
        if not isolated:
            probe = Probe("process", "0.1", False)
        # One that is not as the API's document has it is logged, which fails the test.
        self.bus.follow(self._check_event, frozenset(KINDS))
        self.notices = Notices()
        self.deploys = FakeDeploys()
        self.decisions = Decisions(reactor, self.database, self.broker, self.bus, now)
        self.driver = MemoryDriver(reactor) if driver is None else driver
        self.logins = fake_logins(
            reactor, self.driver, self.agents, self.bus, now, folder / "logins"
        )
        links = None
        if public_url is not None:
            links = Links(
                self.database,
                self.decisions.approvals,
                self.decisions.questions,
                b"k" * 32,
                public_url,
                3600.0,
                now,
            )
        self.notifier = Notifier(
            reactor,
            notify,
            self.database,
            self.bus,
            self.agents,
            links,
            self.notices,
            now,
        )
        self.links = links
        #: What turns have come to today, once it is loaded.
        self.today = Today(reactor, self.database, now, lambda name: None)
        self.context = WebContext(
            self.agents,
            self.broker,
            self.bus,
            self.deploys,
            self.decisions.approvals,
            self.decisions.questions,
            self.logins,
            self.layout,
            Facts("0.1.0", demo, probe, now()),
            self.notices,
            now,
            notifier=self.notifier,
            statistics=Statistics(
                reactor, self.database, self.bus, self.agents, self.today.all, 90, now
            ),
            links=links,
        )
        self.web = WebService(
            reactor,
            self.context,
            dashboard,
            "127.0.0.1",
            manager_port,
            agent_ports,
            urlsplit(public_url or "").hostname,
        )

    def _check_event(self, event: Event) -> None:
        problem = contracts()[0].event_problem(json.loads(event.json))
        assert problem is None, (problem, event.json)

    @property
    def token(self) -> str:
        """The operator's token."""
        return self.layout.operator_token.read_text().strip()


class WebCase(SynchronousTestCase):
    """A test of the real resource tree, without a socket."""

    def setUp(self) -> None:
        """A manager, alice and bob; a browser that has not logged in."""
        self.clock = MemoryReactorClock()
        self.hive = self.make_hive()
        self.hive.agents.add("alice")
        self.hive.agents.add("bob")
        self.client = StubTreq(self.hive.web.root())
        self.of_agents: list[StubTreq] = []
        self.bearer = {"authorization": f"Bearer {self.hive.token}"}

    def make_hive(self) -> Hive:
        """The hive."""
        return Hive(self.clock, Path(self.mktemp()), self._now)

    def _now(self) -> float:
        return NOW + self.clock.seconds()

    def ask(
        self,
        method: str,
        path: str,
        *,
        base: str = "http://localhost:7000",
        headers: dict[str, str] | None = None,
        login: bool = True,
        client: StubTreq | None = None,
        **options: Any,
    ) -> Any:
        """Ask and get the response, by default with the operator's token."""
        headers = {**(self.bearer if login else {}), **(headers or {})}
        asking = (client or self.client).request(
            method,
            base + path,
            headers=headers,
            allow_redirects=False,
            browser_like_redirects=False,
            **options,
        )
        (client or self.client).flush()
        response = self.successResultOf(asking)
        check_answer(
            self.contract(client),
            method,
            path,
            response.code,
            response.headers.getRawHeaders("content-type", [None])[0],
        )
        return response

    def agent_client(self, name: str) -> StubTreq:
        """A client of an agent's own port."""
        self.of_agents.append(StubTreq(self.hive.web.agent_root(name)))
        return self.of_agents[-1]

    def contract(self, client: StubTreq | None) -> Contract:
        """What the origin that a client asks says of itself."""
        dashboard, agent = contracts()
        return agent if client in self.of_agents else dashboard

    def text(self, response: Any) -> str:
        """The whole body."""
        return str(self.successResultOf(self.client.text_content(response)))

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of a GET."""
        response = self.ask("GET", path, **options)
        return self._checked("GET", path, response, options.get("client"))

    def post(self, path: str, fields: Any = None, **options: Any) -> tuple[int, Any]:
        """The code and the JSON of a POST with JSON."""
        response = self.ask("POST", path, json=fields or {}, **options)
        return response.code, self._checked(
            "POST", path, response, options.get("client")
        )

    def _checked(
        self, method: str, path: str, response: Any, client: StubTreq | None
    ) -> Any:
        """The JSON of an answer that is as the document says."""
        text = self.text(response)
        check_answer(
            self.contract(client),
            method,
            path,
            response.code,
            "application/json",
            text.encode(),
        )
        return json.loads(text)

    def assert_refused(self, response: Any, code: int, *words: str) -> None:
        """It is a JSON error with this code, whose sentence has these words."""
        self.assertEqual(response.code, code)
        answer = json.loads(self.text(response))
        self.assertIs(answer["ok"], False)
        for word in words:
            self.assertIn(word, answer["error"])


__all__ = ["FIRST_SEQ", "MANAGER", "NOW", "Hive", "Swarm", "WebCase"]
