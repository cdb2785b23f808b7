"""The web surface as a whole: what listens, and where it is."""

from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import IResource
from twisted.web.server import Request

from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.settings import PortRange
from hyperhive.web.agentpage import AgentPage
from hyperhive.web.context import WebContext
from hyperhive.web.dashboard import Dashboard
from hyperhive.web.decide import Decide
from hyperhive.web.entrance import Entrance
from hyperhive.web.guard import Guard, host_name, our_names
from hyperhive.web.login import doorman
from hyperhive.web.markdown import Markdown
from hyperhive.web.metrics import Metrics
from hyperhive.web.pages import AgentPages, url_of
from hyperhive.web.requests import HiveSite
from hyperhive.web.sse import Streams
from hyperhive.web.static import Assets
from hyperhive.web.templates import Templates


class WebService:
    """The dashboard and the agents' pages.

    :param reactor: the reactor; it is the clock too.
    :param dashboard: where the dashboard listens, as a Twisted endpoint.
    :param interface: the IP address of the agents' pages.
    :param manager_port: the port of the manager's page; 0 takes a free one.
    :param agent_ports: the ports of the others; ``None``: no such listeners.
    :param public_name: the host name by which the dashboard is reached from outside.
    :raises PublicError: if the operator's token can't be read or made.
    """

    def __init__(
        self,
        reactor: Any,
        context: WebContext,
        dashboard: str,
        interface: str = "127.0.0.1",
        manager_port: int = 0,
        agent_ports: PortRange | None = None,
        public_name: str | None = None,
    ) -> None:
        layout = context.layout
        self._reactor = reactor
        self._context = context
        self._endpoint = dashboard
        self._doorman = doorman(
            reactor, layout.operator_token, layout.operator_sessions, context.now
        )
        self._streams = Streams(reactor)
        self._markdown = Markdown(reactor)
        self._metrics = Metrics(context, self._streams)
        assets = Assets("hyperhive.web")
        self._templates = Templates(assets.url)
        self._entrance = Entrance(
            context,
            self._doorman,
            self._templates,
            assets,
            self._streams,
            Decide(reactor, context, self._templates),
        )
        self._names = our_names() | ({public_name} if public_name else set())
        context.notices.watch(
            lambda notices: context.bus.publish("notice", {"notices": notices})
        )
        self._port: IListeningPort | None = None
        #: Opens each agent's own page; an ``IAgentSurface``.
        self.pages = AgentPages(
            reactor,
            layout,
            interface,
            manager_port,
            agent_ports,
            context.notices,
            lambda name: HiveSite(self.agent_root(name), reactor),
        )

    def root(self) -> IResource:
        """The resource tree of the dashboard's origin."""
        inside = Dashboard(
            self._context,
            self._templates,
            self._streams,
            self._markdown,
            self._metrics,
        )
        return self._guarded(inside.app.resource())

    def agent_root(self, name: str) -> IResource:
        """The resource tree of an agent's own port."""
        page = AgentPage(
            self._context,
            self._templates,
            self._streams,
            self._markdown,
            name,
            self._home,
        )
        return self._guarded(page.app.resource())

    @deferred
    async def start(self) -> None:
        """Listen for the dashboard. The agents' pages open as agents are added.

        :raises PublicError: if it can't listen there.
        """
        try:
            endpoint = serverFromString(self._reactor, self._endpoint)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise PublicError(
                f"--dashboard: {self._endpoint!r} is no Twisted endpoint: {error}. "
                "One is tcp:7000:interface=127.0.0.1."
            ) from None
        try:
            self._port = await endpoint.listen(HiveSite(self.root(), self._reactor))
        except CannotListenError as error:
            raise PublicError(
                f"The dashboard can't listen on {self._endpoint}: {error.socketError}. "
                "Choose another place with --dashboard."
            ) from None
        self._metrics.start()

    @deferred
    async def stop(self) -> None:
        """Close everything that listens, and end the streams."""
        self._metrics.stop()
        if self._port is not None:
            port, self._port = self._port, None
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
        await self.pages.stop()
        self._streams.close()

    @property
    def url(self) -> str | None:
        """Where the dashboard is; ``None`` before it listens, or off TCP."""
        return None if self._port is None else url_of(self._port)

    def login_url(self) -> str:
        """A new one-time link that logs a browser in, good for 10 minutes.

        :raises PublicError: if the dashboard has no address that a link can name.
        """
        url = self.url
        if url is None:
            raise PublicError(
                f"The dashboard listens on {self._endpoint}, which no link can name: "
                "log in with the operator's token there."
            )
        return f"{url}login?ticket={self._doorman.tickets.issue()}"

    def urls(self) -> dict[str, str]:
        """Where pages are: ``home`` is the dashboard, then each agent's own page."""
        found = {"home": self.url}
        found |= {name: self.pages.url(name) for name in self._context.agents.names()}
        return {name: url for name, url in found.items() if url is not None}

    def _home(self, request: Request) -> str | None:
        """The dashboard, as seen from where an agent's page was asked for."""
        port = None if self._port is None else self._port.getHost()
        number = getattr(port, "port", None)
        return None if number is None else f"http://{host_name(request)}:{number}/"

    def _guarded(self, inside: IResource) -> IResource:
        return Guard(self._doorman, self._entrance.app.resource(), inside, self._names)
