"""The MCP sockets: one an agent, opened and closed as agents come and go."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from hyperhive.agents.interfaces import IAgents, IAgentSurface
from hyperhive.approvals.interfaces import IApprovals, IQuestions
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.mcp.connection import McpConnection
from hyperhive.mcp.framing import not_a_message
from hyperhive.mcp.server import AgentServer
from hyperhive.mcp.tools import Toolbox
from hyperhive.messages.interfaces import IBroker
from hyperhive.settings import Layout

#: How many connections an agent may have at once.
MAX_CONNECTIONS = 32
#: How long, in seconds, connections are given to end by themselves.
CLOSE_WITHIN = 5.0
#: The longest path of a UNIX socket in bytes: ``sun_path`` less its final zero.
MAX_PATH = 107


class CannotServe(Exception):
    """An agent's socket can't be opened; the text says why."""


class _Reactor(IReactorTime, IReactorUNIX):
    """What is asked of the reactor."""


class McpFactory(Factory):
    """Makes the connections of one agent's socket and knows those that are open.

    :param numbers: one for each connection, to tell it from all others.
    :param ended: called with a connection's name when nothing of it runs any more.
    """

    noisy = False

    def __init__(
        self,
        reactor: IReactorTime,
        agent: str,
        server: AgentServer,
        numbers: Iterator[int],
        ended: Callable[[str], Deferred[None]],
    ) -> None:
        self._reactor = reactor
        self._agent = agent
        self._server = server
        self._ended = ended
        self._numbers = numbers
        self._open: dict[McpConnection, Deferred[None]] = {}

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A connection, or one that only says that there are too many."""
        if len(self._open) >= MAX_CONNECTIONS:
            return _Refusal()
        name = f"mcp:{self._agent}:{next(self._numbers)}"
        connection = McpConnection(self._reactor, name, self._server.serve)

        def ended(_: object) -> Deferred[None]:
            return self._ended(name).addBoth(gone)

        def gone(_: object) -> None:
            del self._open[connection]

        self._open[connection] = connection.ended.addCallback(ended)
        return connection

    @deferred
    async def close(self) -> None:
        """End all connections, after :data:`CLOSE_WITHIN` by force; fires when they have."""
        ended = DeferredList(list(self._open.values()))
        for connection in list(self._open):
            connection.close()
        cut = self._reactor.callLater(CLOSE_WITHIN, self._abort)
        await ended
        if cut.active():
            cut.cancel()

    def _abort(self) -> None:
        for connection in list(self._open):
            connection.abort()


class _Refusal(Protocol):
    """Says that there are too many connections, and closes."""

    def connectionMade(self) -> None:
        error = not_a_message(
            f"This agent has {MAX_CONNECTIONS} connections already: close one first."
        )
        assert self.transport is not None
        self.transport.write(error.reply)
        self.transport.loseConnection()


@implementer(IAgentSurface)
class McpSockets(Service):
    """Serves each agent on a UNIX socket of its own. Who connects is that agent.

    A socket is bound in a folder that no agent sees, and linked into the agent's.
    The agent may write there: were it bound there, a link that the agent put in its
    place at the right moment could turn the daemon's ``chmod`` on any file.

    :param version: the daemon's, for clients.
    :param recv_wait: the longest wait of ``recv``, which the tools tell.
    :param report: called with an agent's name and a sentence when its socket
        can't be opened.
    """

    name = "mcp"
    _log = Logger()

    def __init__(
        self,
        reactor: _Reactor,
        layout: Layout,
        agents: IAgents,
        broker: IBroker,
        deploys: IDeploys,
        approvals: IApprovals,
        questions: IQuestions,
        version: str,
        recv_wait: float,
        report: Callable[[str, str], None],
    ) -> None:
        self._reactor = reactor
        self._layout = layout
        self._agents = agents
        self._broker = broker
        self._deploys = deploys
        self._approvals = approvals
        self._questions = questions
        self._version = version
        self._recv_wait = recv_wait
        self._report = report
        self._numbers = count(1)
        self._listening: dict[str, tuple[IListeningPort, McpFactory]] = {}

    @deferred
    async def agent_added(self, name: str, role: str) -> None:
        """See :class:`IAgentSurface`. Adding an agent twice is fine."""
        if name in self._listening:
            return
        toolbox = Toolbox(
            name,
            role,
            self._agents,
            self._broker,
            self._deploys,
            self._approvals,
            self._questions,
            self._recv_wait,
        )
        server = AgentServer(self._reactor, toolbox, self._version)
        factory = McpFactory(self._reactor, name, server, self._numbers, self._ended)
        try:
            port = self._listen(name, factory)
        except (OSError, CannotListenError, CannotServe) as error:
            self._log.error("No MCP socket for {name}: {error}", name=name, error=error)
            self._report(name, f"The agent has no MCP socket: {error}.")
        else:
            self._listening[name] = port, factory

    @deferred
    async def agent_removed(self, name: str) -> None:
        """See :class:`IAgentSurface`. Fires when its connections have ended."""
        if name not in self._listening:
            return
        port, factory = self._listening.pop(name)
        try:
            self._layout.mcp_socket(name).unlink(missing_ok=True)
        except OSError as error:
            # The agent may have put anything there.
            self._log.warn("{error}", error=error)
        await maybeDeferred(port.stopListening)
        await factory.close()

    @deferred
    async def stopService(self) -> None:
        """Close every socket and connection."""
        super().stopService()
        await DeferredList([self.agent_removed(name) for name in list(self._listening)])

    def _listen(self, name: str, factory: McpFactory) -> IListeningPort:
        bound, public = self._layout.mcp_listener(name), self._layout.mcp_socket(name)
        for path in (bound, public):
            _check_length(path)
            _make_private(path.parent, self._layout.run_dir)
        _remove_stale(bound)
        port = self._reactor.listenUNIX(str(bound), factory, mode=0o600)
        try:
            _link(bound, public)
        except OSError:
            port.stopListening()
            raise
        return port

    def _ended(self, connection: str) -> Deferred[None]:
        """What a connection received and never acknowledged goes back."""
        return self._broker.release(connection).addErrback(
            lambda failure: self._log.failure(
                "What {connection} received was not given back",
                failure,
                connection=connection,
            )
        )


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > MAX_PATH:
        raise CannotServe(
            f"the path {path} has {length} bytes, and a UNIX socket's has at most "
            f"{MAX_PATH}; set a shorter run-dir"
        )


def _make_private(folder: Path, top: Path) -> None:
    """Make ``folder`` and what is missing above it, below ``top`` for us alone."""
    if folder != top:
        _make_private(folder.parent, top)
    folder.mkdir(mode=0o700, parents=folder == top, exist_ok=True)
    if folder != top:
        folder.chmod(0o700)


def _remove_stale(path: Path) -> None:
    """Remove what a dead daemon left where we want to listen.

    :raises CannotServe: if somebody listens there.
    """
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        probe.setblocking(False)
        problem = probe.connect_ex(os.fsencode(path))
    if problem in (0, errno.EAGAIN):
        raise CannotServe(f"another process listens on {path}")
    path.unlink(missing_ok=True)


def _link(bound: Path, public: Path) -> None:
    """Let ``public`` be the socket ``bound``, whatever was there before."""
    public.unlink(missing_ok=True)
    os.link(bound, public)
