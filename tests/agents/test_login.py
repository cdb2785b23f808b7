"""Noticing a login file, with the kernel's inotify."""

import os
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

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
