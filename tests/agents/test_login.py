"""Noticing a login file, with the kernel's inotify."""

import os
import shutil
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.inotify import INotifyError
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from hyperhive.agents import login
from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.agents.login import CREDENTIALS, LoginWatch
from hyperhive.settings import Layout


class LoginWatchTests(TestCase):
    """What is told, and what is not."""

    def setUp(self) -> None:
        """Two agents' folders, watched."""
        base = Path(self.mktemp())
        self.layout = Layout(base / "state", base / "run")
        self.changed: Deferred[str] = Deferred()
        self.names: list[str] = []
        self.watch = LoginWatch(reactor, self.layout, self.seen)
        self.addCleanup(self.watch.stop)
        for name in ("alice", "bob"):
            self.layout.claude(name).mkdir(parents=True)
            self.watch.agent_added(name, "agent")

    def seen(self, name: str) -> None:
        """Record it, and wake the test at the first."""
        self.names.append(name)
        if not self.changed.called:
            self.changed.callback(name)

    def test_interface(self) -> None:
        """It is told of agents as other surfaces are."""
        verifyObject(IAgentSurface, self.watch)

    async def test_login_comes(self) -> None:
        """A login that is renamed into place is told at once, with whose it is."""
        folder = self.layout.claude("bob")
        (folder / "other.json").write_text("{}")
        (folder / "new").write_text("{}")
        os.replace(folder / "new", folder / CREDENTIALS)
        self.assertEqual(await self.changed, "bob")

    async def test_removed(self) -> None:
        """A folder of an agent that is gone is watched no more."""
        await self.watch.agent_removed("alice")
        (self.layout.claude("alice") / CREDENTIALS).write_text("{}")
        (self.layout.claude("bob") / CREDENTIALS).write_text("{}")
        await self.changed
        self.assertEqual(set(self.names), {"bob"})

    async def test_deleted_folder(self) -> None:
        """It comes back empty, and the logins of all are noticed as before."""
        folder = self.layout.claude("alice")
        shutil.rmtree(folder)
        await self.changed
        self.assertEqual(list(folder.iterdir()), [])
        while set(self.names) != {"alice", "bob"}:
            await deferLater(reactor, 0)
        for name in ("bob", "alice"):
            self.changed = Deferred()
            (self.layout.claude(name) / CREDENTIALS).write_text("{}")
            self.assertEqual(await self.changed, name)

    async def test_refused_watch(self) -> None:
        """The kernel's limits keep no agent from coming and going."""
        self.layout.claude("carol").mkdir(parents=True)
        notify = self.watch._notify
        assert notify is not None
        self.patch(notify, "watch", self.refuse)
        await self.watch.agent_added("carol", "agent")
        self.assertEqual(len(self.flushLoggedErrors(INotifyError)), 1)
        await self.watch.agent_removed("carol")

    async def test_refused_handle(self) -> None:
        """Nor the hive from starting."""
        self.patch(login, "INotify", self.refuse)
        watch = LoginWatch(reactor, self.layout, self.seen)
        self.assertEqual(len(self.flushLoggedErrors(INotifyError)), 1)
        await watch.agent_added("alice", "agent")
        await watch.agent_removed("alice")
        watch.stop()

    def refuse(self, *args: object, **named: object) -> None:
        """What the kernel does past its limits."""
        raise INotifyError("too many")
