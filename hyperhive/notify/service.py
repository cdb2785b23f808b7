"""The room as a whole: the outbox filled, its targets told, links made for them."""

import time
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hyperhive.agents.interfaces import IAgents
from hyperhive.bus import EventBus
from hyperhive.deferreds import deferred
from hyperhive.errors import Conflict
from hyperhive.notify.digests import Digests
from hyperhive.notify.interfaces import IChannel, INotices, NotTold, TargetStatus
from hyperhive.notify.links import Links
from hyperhive.notify.ntfy import Ntfy
from hyperhive.notify.posting import Address, Poster
from hyperhive.notify.sender import Sender
from hyperhive.notify.watching import Watching
from hyperhive.notify.webhook import Webhook
from hyperhive.notify_settings import NotifySettings
from hyperhive.store.database import Database
from hyperhive.store.outbox import OutboxTable


class Notifier:
    """Tells every target of what needs the operator. Without a target it does nothing.

    :param reactor: the clock, and what connects.
    :param links: makes decision links; ``None``: notifications lead to the dashboard.
    :param notices: where is shown that a target can't be told.
    :param now: the wall clock in POSIX seconds.
    :param client: what posts, where it is not treq over real connections.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: NotifySettings,
        database: Database,
        bus: EventBus,
        agents: IAgents,
        links: Links | None,
        notices: INotices,
        now: Callable[[], float] = time.time,
        client: Any = None,
    ) -> None:
        self._database = database
        self._targets = () if settings.mute else settings.targets
        self._kinds = settings.kinds
        digests = Digests(
            database,
            agents,
            settings.public_url,
            None if links is None else links.make,
            now,
        )
        self._senders = [
            Sender(
                reactor, database, name, poster.address.host, channel, digests, notices
            )
            for name, poster, channel in _channels(reactor, settings, now, client)
        ]
        self._watching = Watching(bus, agents, self._look, self._note, now)

    @deferred
    async def open(self) -> None:
        """Note from now on what is to be told: before anybody can ask for anything."""

        def watch(connection: Connection) -> None:
            OutboxTable.keep(connection, self._targets, self._kinds)
            OutboxTable.watch(connection, self._targets, self._kinds)

        await self._database.write(watch)

    def start(self) -> None:
        """Tell what was noted, also by an earlier daemon, and what will be."""
        if self._targets:
            self._watching.start()
            for sender in self._senders:
                sender.start()

    @deferred
    async def stop(self) -> None:
        """Tell nobody anything more; what waits is told after the next start."""
        self._watching.stop()
        await gatherResults([sender.stop() for sender in self._senders])

    @deferred
    async def test(self) -> list[dict[str, str]]:
        """Tell each target a test, also while muted; fires with who was told.

        :raises Conflict: if there is no target.
        :raises NotTold: naming each that could not be told, and why, and who was.
        """
        if not self._senders:
            raise Conflict(
                "There is nobody to notify: set [notify.ntfy] or [notify.webhook] in "
                "hive.toml, and start the hive again."
            )
        problems = await gatherResults([sender.test() for sender in self._senders])
        results = [
            (sender.status(), problem)
            for sender, problem in zip(self._senders, problems, strict=True)
        ]
        if any(problems):
            raise NotTold(" ".join(_outcome(*result) for result in results))
        return [{"target": one.target, "host": one.host} for one, _ in results]

    def status(self) -> list[dict[str, Any]]:
        """How it goes with each target, as the wire page says."""
        return [_as_wire(sender.status()) for sender in self._senders]

    def _look(self) -> None:
        for sender in self._senders:
            sender.look()

    def _note(self, kind: str, subject: str) -> None:
        if kind not in self._kinds:
            return
        noting: Deferred[None] = self._database.write(
            lambda connection: OutboxTable.add(connection, self._targets, kind, subject)
        )
        noting.addCallbacks(
            lambda _: self._look(),
            lambda failure: self._log.failure(
                "{kind} was not noted", failure, kind=kind
            ),
        )


def _channels(
    reactor: Any,
    settings: NotifySettings,
    now: Callable[[], float],
    client: Any,
) -> list[tuple[str, Poster, IChannel]]:
    channels: list[tuple[str, Poster, IChannel]] = []
    if (ntfy := settings.ntfy) is not None:
        poster = Poster(reactor, Address.of(ntfy.url), client, now)
        channels.append(("ntfy", poster, Ntfy(poster, ntfy.topic, ntfy.token)))
    if (webhook := settings.webhook) is not None:
        poster = Poster(reactor, Address.of(webhook.url), client, now)
        channels.append(("webhook", poster, Webhook(poster, webhook.secret, now)))
    return channels


def _outcome(status: TargetStatus, problem: str | None) -> str:
    """What a test came to, in a sentence."""
    where = f"{status.target} ({status.host})"
    if problem is None:
        return f"{where} has taken a test."
    return f"{where} could not be told: {problem}."


def _as_wire(status: TargetStatus) -> dict[str, Any]:
    row = {
        "target": status.target,
        "host": status.host,
        "waiting": status.waiting,
        "problem": status.problem,
    }
    return {key: value for key, value in row.items() if value is not None}
