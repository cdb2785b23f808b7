"""The admin socket's connections: one JSON object a line, answered in order."""

from collections import deque

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.unix import Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from hyperhive.admin import fields
from hyperhive.admin.answers import refusal, success
from hyperhive.admin.commands import HANDLERS
from hyperhive.admin.context import AdminContext
from hyperhive.admin.fields import Values, shown
from hyperhive.admin.peer import has_left, peer_uid
from hyperhive.admin.subscribing import subscribe
from hyperhive.admin.verbs import VERBS, Verb
from hyperhive.bus import Subscription
from hyperhive.deferreds import deferred
from hyperhive.errors import DEFECT, BadRequest, PublicError
from hyperhive.lines import LineSplitter, LineTooLong

#: The longest request in bytes.
MAX_LINE = 1024 * 1024
#: How many requests of one connection may wait before it is read no further…
MAX_WAITING = 64
#: …and how many bytes of them.
MAX_WAITING_BYTES = MAX_LINE
#: How long a client has to take its last lines (seconds).
CLOSE_SECONDS = 10.0
#: How long a client that sent too long a line may go on sending (seconds): to close
#: at once could take the answer from who is still busy with writing.
LINGER_SECONDS = 2.0
#: How many requests are answered before other connections have their turn.
BATCH = 16


@implementer(IHalfCloseableProtocol, IPushProducer)
class AdminConnection(Protocol):
    """One client.

    Requests are taken one after the other. While many of them wait, or while the
    client doesn't read its answers, nothing is read from it. A client may end what
    it sends and still get its answers, as ``echo … | socat`` does.
    """

    _log = Logger()
    transport: Server

    def __init__(self, factory: "AdminFactory") -> None:
        self._factory = factory
        self._splitter = LineSplitter(MAX_LINE)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        #: A request is being answered.
        self._busy = False
        self._pumping = False
        #: The client has ended what it sends.
        self._at_end = False
        #: The client doesn't read.
        self._choked = False
        self._reading = True
        #: A line was too long: nothing more is taken.
        self._refused = False
        #: That was said, and what still comes is dropped.
        self._lingering = False
        self._connected = False
        self._closing: IDelayedCall | None = None
        self._uid: int | None = None
        self._subscription: Subscription | None = None

    def connectionMade(self) -> None:
        """Take note of who it is."""
        self._connected = True
        self._factory.open.add(self)
        self._uid = peer_uid(self.transport)
        self.transport.registerProducer(self, True)

    def abort(self) -> None:
        """Cut it."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left; a verb that runs goes on."""
        self._connected = False
        self._waiting.clear()
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._subscription is not None:
            self._subscription.cancel()
        self._factory.open.discard(self)

    def readConnectionLost(self) -> None:
        """The client asks no more, and still wants its answers."""
        self._at_end = True
        if rest := self._splitter.finish():
            self._take(rest)
        self._pump()

    def writeConnectionLost(self) -> None:
        """It reads no more, or we have said our last word to it."""
        if not self._lingering:
            self.abort()

    def dataReceived(self, data: bytes) -> None:
        """Take requests."""
        if self._refused:
            return
        try:
            for line in self._splitter.feed(data):
                self._take(line)
        except LineTooLong:
            self._refused = True
        self._pump()

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
        self._pump()

    def stopProducing(self) -> None:
        """It is gone; :meth:`connectionLost` follows."""

    def _take(self, line: bytes) -> None:
        if line.strip():
            self._waiting.append(line)
            self._waiting_bytes += len(line)

    def _set_reading(self) -> None:
        crowded = (
            len(self._waiting) >= MAX_WAITING
            or self._waiting_bytes >= MAX_WAITING_BYTES
        )
        wanted = self._lingering or not (self._choked or crowded or self._refused)
        if not self._connected or self._at_end or wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def _pump(self) -> None:
        """Answer what waits, one after the other, as far as that goes now."""
        if self._pumping or not self._connected:
            return
        self._pumping = True
        try:
            for _ in range(BATCH):
                if not self._answers_now:
                    break
                line = self._waiting.popleft()
                self._waiting_bytes -= len(line)
                self._busy = True
                self._answer(line).addErrback(
                    lambda failure: self._log.failure("an answer was lost", failure)
                )
        finally:
            self._pumping = False
        if self._answers_now:
            self._factory.clock.callLater(0, self._pump)
        self._set_reading()
        self._close_if_done()

    @property
    def _answers_now(self) -> bool:
        return bool(self._waiting) and not self._busy and not self._choked

    def _close_if_done(self) -> None:
        if self._busy or self._waiting or self._choked or not self._connected:
            return
        if self._refused:
            self._refuse()
        elif self._at_end and (self._subscription is None or has_left(self.transport)):
            self._hang_up()

    def _refuse(self) -> None:
        """A line is too long: say so as the last word, and wait for the client to leave."""
        if self._lingering:
            if self._at_end:
                self.transport.loseConnection()
            return
        self._lingering = True
        self._write(
            refusal(
                f"A line is longer than {MAX_LINE} bytes, the most that a request may "
                "have; the connection is closed."
            )
        )
        if self._at_end:
            self._hang_up()
            return
        if self._subscription is not None:
            self._subscription.cancel()
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self._set_reading()
        self._close_late(LINGER_SECONDS)

    def _hang_up(self) -> None:
        """Close when the client has taken all, or when it takes too long."""
        if self.transport.disconnecting:
            return
        # With a producer, the transport would wait for it after the last byte too.
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._close_late(CLOSE_SECONDS)

    def _close_late(self, seconds: float) -> None:
        if self._closing is None and self._connected:
            self._closing = self._factory.clock.callLater(seconds, self.abort)

    @deferred
    async def _answer(self, line: bytes) -> None:
        try:
            answer = await self._asked(line)
        except PublicError as error:
            answer = refusal(str(error))
        except Exception:
            self._log.failure("an admin command failed")
            answer = refusal(DEFECT)
        self._write(answer)
        self._busy = False
        if self._subscription is not None and not self._choked:
            # It delivers nothing before its acknowledgement is written.
            self._subscription.resume()
        self._pump()

    async def _asked(self, line: bytes) -> bytes:
        request = fields.parse_request(line)
        if "cmd" not in request:
            raise BadRequest('The request has no "cmd", such as {"cmd":"list"}.')
        name = request["cmd"]
        verb = VERBS.get(name) if isinstance(name, str) else None
        if verb is None:
            raise BadRequest(
                f"There is no cmd {shown(name)}; there are {', '.join(VERBS)}."
            )
        given = fields.check(verb.name, verb.fields, request)
        if verb.name not in HANDLERS:
            return self._subscribe(verb.name, given)
        if verb.changes:
            self._note(verb, given)
        return success(await HANDLERS[verb.name](self._factory.context, given))

    def _note(self, verb: Verb, given: Values) -> None:
        """Log who changes what; not what is written in messages, and no secret."""
        what = {
            field.name: given[field.name]
            for field in verb.fields
            if field.logged and given[field.name] is not None
        }
        self._log.info(
            "admin uid {uid}: {verb} {what}", uid=self._uid, verb=verb.name, what=what
        )

    def _subscribe(self, verb: str, given: Values) -> bytes:
        if self._subscription is not None:
            raise BadRequest(
                "This connection has a subscription already; open another one."
            )
        self._subscription, answer = subscribe(
            self._factory.context, verb, given, self._write, self._overflowed
        )
        return answer

    def _overflowed(self) -> None:
        self._write(
            refusal("You read too slowly and have missed events; subscribe anew.")
        )
        self._hang_up()

    def _write(self, line: bytes) -> None:
        if self._connected:
            self.transport.write(line)


class AdminFactory(Factory):
    """Makes connections, and knows those that are open."""

    noisy = False

    def __init__(self, clock: IReactorTime, context: AdminContext) -> None:
        self.clock = clock
        self.context = context
        self.open: set[AdminConnection] = set()

    def buildProtocol(self, addr: IAddress | None) -> AdminConnection:
        """A new client."""
        return AdminConnection(self)
