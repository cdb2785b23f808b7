"""The admin socket's connections: one JSON object a line, answered in order."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.unix import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.admin import fields
from hyperhive.admin.commands import VERBS
from hyperhive.admin.context import AdminContext
from hyperhive.admin.fields import Field
from hyperhive.admin.peer import peer_uid
from hyperhive.bus import Event, Subscription
from hyperhive.deferreds import deferred
from hyperhive.errors import BadRequest, PublicError
from hyperhive.lines import LineSplitter, LineTooLong

#: The wire's version; raised only for a breaking change.
VERSION = 1
#: The longest request in bytes.
MAX_LINE = 1024 * 1024
#: How many requests of one connection may wait before it is read no further.
MAX_WAITING = 64

_SUBSCRIBE = (
    Field("kinds", fields.texts, needed=False),
    Field("since", fields.sequence, needed=False),
)


def encoded(answer: dict[str, Any]) -> bytes:
    """An answer as a line."""
    members = {"version": VERSION, **answer}
    return (
        json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    )


def refusal(reason: str) -> bytes:
    """An error as a line."""
    return encoded({"ok": False, "error": reason})


@implementer(IHalfCloseableProtocol, IPushProducer)
class AdminConnection(Protocol):
    """One client.

    Requests are taken one after the other. While more than :data:`MAX_WAITING` of
    them wait, or the client doesn't read its answers, nothing is read from it.
    """

    _log = Logger()

    def __init__(self, context: AdminContext, left: Callable[["AdminConnection"], None]) -> None:
        self._context = context
        self._left = left
        self._splitter = LineSplitter(MAX_LINE)
        self._waiting: deque[bytes] = deque()
        self._working = False
        self._at_end = False
        self._choked = False
        self._refused = False
        self._connected = False
        self._uid: int | None = None
        self._subscription: Subscription | None = None

    @property
    def _socket(self) -> Server:
        return cast(Server, self.transport)

    def connectionMade(self) -> None:
        """Take note of who it is."""
        self._connected = True
        self._uid = peer_uid(self._socket)
        self._socket.registerProducer(self, True)

    def abort(self) -> None:
        """Cut it."""
        self._socket.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left; a verb that runs goes on."""
        self._connected = False
        self._waiting.clear()
        if self._subscription is not None:
            self._subscription.cancel()
        self._left(self)

    def readConnectionLost(self) -> None:
        """The client asks no more, and still wants its answers."""
        self._at_end = True
        rest = self._splitter.finish()
        if rest:
            self._waiting.append(rest)
        self._next()

    def writeConnectionLost(self) -> None:
        """It reads no more."""
        self._socket.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take requests."""
        if self._refused:
            return
        try:
            self._waiting.extend(self._splitter.feed(data))
        except LineTooLong:
            self._refused = True
        self._set_reading()
        self._next()

    # As the producer of its own answers: the transport says when nobody reads them.

    def pauseProducing(self) -> None:
        """The client doesn't read."""
        self._choked = True
        if self._subscription is not None:
            self._subscription.pause()
        self._set_reading()

    def resumeProducing(self) -> None:
        """It reads again."""
        self._choked = False
        if self._subscription is not None:
            self._subscription.resume()
        self._set_reading()
        self._next()

    def stopProducing(self) -> None:
        """It is gone; :meth:`connectionLost` follows."""

    def _set_reading(self) -> None:
        if not self._connected or self._at_end:
            return
        if self._choked or len(self._waiting) >= MAX_WAITING:
            self._socket.stopReading()
        else:
            self._socket.startReading()

    def _next(self) -> None:
        """Take the next request, if none is being answered."""
        while self._waiting and not self._working and not self._choked:
            line = self._waiting.popleft()
            if line.strip():
                self._working = True
                self._answer(line).addErrback(
                    lambda failure: self._log.failure("an answer was lost", failure)
                )
        if self._connected:
            self._set_reading()
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._working or self._waiting:
            return
        if self._refused:
            self._write(
                refusal(
                    f"A line is longer than {MAX_LINE} bytes; the connection closes."
                )
            )
            self._socket.loseConnection()
        elif self._at_end and self._subscription is None:
            self._socket.loseConnection()

    @deferred
    async def _answer(self, line: bytes) -> None:
        try:
            answer = await self._asked(line)
        except PublicError as error:
            answer = refusal(str(error))
        except Exception:
            self._log.failure("an admin command failed")
            answer = refusal("Something went wrong in the hive; its log says what.")
        self._write(answer)
        self._working = False
        if self._subscription is not None and not self._choked:
            self._subscription.resume()
        self._next()

    async def _asked(self, line: bytes) -> bytes:
        request = fields.parse_request(line)
        name = request.get("cmd")
        if name == "subscribe":
            return self._subscribe(fields.check(name, _SUBSCRIBE, request))
        if name == "subscribe_agent_status":
            fields.check(name, (), request)
            return self._subscribe(
                {"kinds": ("agent_state",), "since": None}, rows=True
            )
        verb = VERBS.get(name) if isinstance(name, str) else None
        if verb is None:
            known = sorted([*VERBS, "subscribe", "subscribe_agent_status"])
            raise BadRequest(
                f"There is no cmd {str(name)[:40]!r}; there are {', '.join(known)}."
            )
        given = fields.check(verb.name, verb.fields, request)
        if verb.changes:
            self._log.info(
                "uid {uid}: {verb} {name}",
                uid=self._uid,
                verb=verb.name,
                name=given.get("name") or given.get("to") or given.get("scope") or "",
            )
        return encoded({"ok": True, **await verb.handle(self._context, given)})

    def _subscribe(self, given: dict[str, Any], rows: bool = False) -> bytes:
        if self._subscription is not None:
            raise BadRequest("This connection has a subscription already.")
        kinds, bus = given["kinds"], self._context.bus
        subscription = bus.subscribe(
            self._deliver_row if rows else self._deliver,
            self._overflowed,
            topics=frozenset(kinds) if kinds else None,
            since=given["since"],
        )
        if subscription is None:
            raise BadRequest(
                f"The events after {given['since']} are no longer kept; the newest is "
                f"{bus.seq}: load the state anew and subscribe without 'since'."
            )
        # It delivers nothing before the ack is written.
        self._subscription = subscription
        return encoded({"ok": True, "seq": bus.seq})

    def _deliver(self, event: Event) -> None:
        self._write(event.json + b"\n")

    def _deliver_row(self, event: Event) -> None:
        name = event.agent
        if name is None or name not in self._context.agents.names():
            return
        row = self._context.agents.status(name).as_wire()
        self._write(encoded({"ok": True, "agent_statuses": [row]}))

    def _overflowed(self) -> None:
        self._write(refusal("You read too slowly; subscribe anew."))
        self._socket.loseConnection()

    def _write(self, line: bytes) -> None:
        if self._connected:
            self._socket.write(line)


class AdminFactory(Factory):
    """Makes connections and knows those that are open."""

    noisy = False

    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self.open: set[AdminConnection] = set()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A new client."""
        connection = AdminConnection(self._context, self.open.discard)
        self.open.add(connection)
        return connection
