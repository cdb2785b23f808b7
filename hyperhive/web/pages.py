"""Each agent's page on a port of its own: chosen once, kept in a file, opened and closed."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.names import MANAGER, InvalidName, check_agent_name
from hyperhive.settings import Layout, PortRange
from hyperhive.web.notices import Notices
from hyperhive.web.ports import parse_port, plan_port

#: How often a busy port is tried, and how long between two tries (seconds).
TRIES = 6
PAUSE = 2.0


@implementer(IAgentSurface)
class AgentPages:
    """Listens for each agent. What fails is a notice on the dashboard, nothing more.

    :param interface: the IP address to listen on.
    :param manager_port: the manager's port; 0 takes a free one.
    :param ports: the others' ports; ``None``: nobody has a port of its own.
    :param make_site: makes what serves an agent's page.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        layout: Layout,
        interface: str,
        manager_port: int,
        ports: PortRange | None,
        notices: Notices,
        make_site: Callable[[str], IProtocolFactory],
    ) -> None:
        self._reactor = reactor
        self._layout = layout
        self._interface = interface
        self._manager_port = manager_port
        self._ports = ports
        self._notices = notices
        self._make_site = make_site
        self._open: dict[str, IListeningPort] = {}
        self._retries: dict[str, IDelayedCall] = {}
        self._complaints: dict[str, str] = {}
        self._wanted: set[str] = set()

    def url(self, name: str) -> str | None:
        """Where an agent's own page is, while it listens."""
        port = self._open.get(name)
        return None if port is None else url_of(port)

    @deferred
    async def agent_added(self, name: str, role: str) -> None:
        """See :class:`IAgentSurface`. A busy port is tried again later."""
        if self._ports is None or name in self._wanted:
            return
        self._wanted.add(name)
        try:
            port = self._choose(name, self._ports)
        except (PublicError, OSError) as error:
            self._complain(name, str(error))
            return
        await self._listen(name, port, 1)

    @deferred
    async def agent_removed(self, name: str) -> None:
        """See :class:`IAgentSurface`."""
        await self._close(name)

    @deferred
    async def stop(self) -> None:
        """Close all of them."""
        for name in list(self._wanted):
            await self._close(name)

    async def _close(self, name: str) -> None:
        self._wanted.discard(name)
        retry = self._retries.pop(name, None)
        if retry is not None:
            retry.cancel()
        complaint = self._complaints.pop(name, None)
        if complaint is not None:
            self._notices.remove(complaint)
        port = self._open.pop(name, None)
        if port is not None:
            await _done(port.stopListening())

    def _choose(self, name: str, ports: PortRange) -> int:
        if name == MANAGER:
            return self._manager_port
        file = self._layout.port(name)
        kept = _read(file)
        port = plan_port(name, kept, self._claimed(name), ports)
        if port != kept:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{port}\n")
        return port

    def _claimed(self, but: str) -> set[int]:
        """Every port that somebody else has, agents that are gone included."""
        claimed = {self._manager_port}
        try:
            folders = [folder.name for folder in self._layout.agents.iterdir()]
        except FileNotFoundError:
            folders = []
        for name in folders:
            if name in (but, MANAGER) or not _is_name(name):
                continue
            port = _read(self._layout.port(name))
            if port is not None:
                claimed.add(port)
        return claimed

    @deferred
    async def _listen(self, name: str, port: int, attempt: int) -> None:
        self._retries.pop(name, None)
        description = f"tcp:{port}:interface={quoteStringArgument(self._interface)}"
        endpoint = serverFromString(self._reactor, description)
        try:
            listening = await endpoint.listen(self._make_site(name))
        except CannotListenError as error:
            self._refused(name, port, attempt, error)
            return
        if name not in self._wanted:
            await _done(listening.stopListening())
            return
        self._open[name] = listening
        complaint = self._complaints.pop(name, None)
        if complaint is not None:
            self._notices.remove(complaint)

    def _refused(
        self, name: str, port: int, attempt: int, error: CannotListenError
    ) -> None:
        reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
        sentence = f"The page of {name} can't listen on port {port}: {reason}."
        self._log.warn("{sentence} Attempt {n}.", sentence=sentence, n=attempt)
        if name not in self._wanted:
            return
        if attempt >= TRIES:
            self._complain(
                name,
                f"{sentence} It is at /agent/{name}/ here; a restart of the hive "
                "tries the port again.",
            )
            return
        self._retries[name] = self._reactor.callLater(
            PAUSE, self._listen, name, port, attempt + 1
        )

    def _complain(self, name: str, sentence: str) -> None:
        self._complaints[name] = sentence
        self._notices.add(sentence)


def url_of(port: IListeningPort) -> str | None:
    """The URL of a TCP listener, as seen from this host; ``None`` for other kinds."""
    address = port.getHost()
    host, number = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or number is None:
        return None
    ip = ipaddress.ip_address(host.partition("%")[0])
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return f"http://{ip}:{number}/" if ip.version == 4 else f"http://[{ip}]:{number}/"


async def _done(stopping: Any) -> None:
    """``stopListening`` may answer a Deferred."""
    if stopping is not None:
        await stopping


def _read(file: Path) -> int | None:
    try:
        return parse_port(file.read_text("ascii", "replace"))
    except FileNotFoundError:
        return None


def _is_name(name: str) -> bool:
    try:
        check_agent_name(name)
    except InvalidName:
        return False
    return True
