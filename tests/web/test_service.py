"""The service over real sockets: what it binds, what it says of it, how it ends."""

import json
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.settings import PortRange
from hyperhive.testing.agents import NOW
from tests.web.support import Hive


class ListeningTests(TestCase):
    """On loopback."""

    def hive(self, **options: Any) -> Hive:
        """A hive on free ports, that is stopped after the test."""
        options = {"dashboard": "tcp:0:interface=127.0.0.1", **options}
        hive = Hive(reactor, Path(self.mktemp()), lambda: NOW, **options)
        self.addCleanup(hive.web.stop)
        return hive

    @deferred
    async def test_link(self) -> None:
        """A free port is found, and the login link leads to it."""
        hive = self.hive()
        self.assertIsNone(hive.web.url)
        await hive.web.start()
        self.assertEqual(hive.web.urls(), {"home": hive.web.url})
        response = await treq.get(
            hive.web.login_url(), allow_redirects=False, persistent=False
        )
        self.assertEqual(response.code, 303)
        await treq.content(response)

    @deferred
    async def test_agents_pages(self) -> None:
        """Each agent's page answers at its own port, until the agent is gone."""
        hive = self.hive(manager_port=0, agent_ports=PortRange(20000, 32000))
        hive.agents.add("alice")
        await hive.web.start()
        for name in hive.agents.names():
            await hive.web.pages.agent_added(name, hive.agents.role(name))
        urls = hive.web.urls()
        self.assertEqual(set(urls), {"home", "hm1nd", "alice"})
        self.assertEqual(urls["alice"], hive.web.pages.url("alice"))
        headers = {"authorization": f"Bearer {hive.token}"}
        response = await treq.get(
            urls["alice"] + "api/state", headers=headers, persistent=False
        )
        state = json.loads(await treq.text_content(response))
        self.assertEqual(state["agent"]["name"], "alice")
        await hive.web.pages.agent_removed("alice")
        self.assertEqual(set(hive.web.urls()), {"home", "hm1nd"})
        asking = treq.get(urls["alice"], headers=headers, persistent=False)
        await self.assertFailure(asking, ConnectionRefusedError)

    @deferred
    async def test_busy(self) -> None:
        """A dashboard that can't listen fails with a sentence that names the setting."""
        first = self.hive()
        await first.web.start()
        port = str(first.web.url).rstrip("/").rpartition(":")[2]
        second = self.hive(dashboard=f"tcp:{port}:interface=127.0.0.1")
        error = await self.assertFailure(second.web.start(), PublicError)
        self.assertIn("--dashboard", str(error))
        self.assertIn(port, str(error))

    @deferred
    async def test_no_endpoint(self) -> None:
        """What is no endpoint fails with one that is."""
        for text in ("7000", "nonsense:7000", "tcp:", "tcp:x", "tcp:7000:a=b"):
            hive = self.hive(dashboard=text)
            error = await self.assertFailure(hive.web.start(), PublicError)
            self.assertIn("tcp:7000:interface=127.0.0.1", str(error))

    @deferred
    async def test_unix(self) -> None:
        """On a UNIX socket there is no link, and that is said."""
        path = Path(self.mktemp())
        hive = self.hive(dashboard=f"unix:{path}")
        await hive.web.start()
        self.assertIsNone(hive.web.url)
        error = self.assertRaises(PublicError, hive.web.login_url)
        self.assertIn("token", str(error))

    @deferred
    async def test_everywhere(self) -> None:
        """A dashboard on all addresses is named by one that this host can open."""
        hive = self.hive(dashboard="tcp:0:interface=0.0.0.0")
        await hive.web.start()
        self.assertTrue(str(hive.web.url).startswith("http://127.0.0.1:"))


class TokenTests(SynchronousTestCase):
    """Before anything listens."""

    def test_broken_token(self) -> None:
        """A token file that holds none stops the start with a sentence."""
        folder = Path(self.mktemp())
        (folder / "state").mkdir(parents=True)
        (folder / "state" / "operator-token").write_text("short")
        error = self.assertRaises(PublicError, Hive, reactor, folder, lambda: NOW)
        self.assertIn("operator-token", str(error))
