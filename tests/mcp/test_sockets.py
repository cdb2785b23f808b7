"""The sockets themselves: where they are, who may open them, how they come and go."""

import os
import socket
import stat
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from zope.interface.verify import verifyObject

from hyperhive.agents.interfaces import IAgentSurface
from hyperhive.mcp import sockets
from hyperhive.settings import Layout
from tests.mcp.support import McpCase


def mode(path: Path) -> int:
    """A path's permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


class SocketTests(McpCase):
    """:class:`McpSockets`."""

    def test_interface(self) -> None:
        """It is a surface."""
        verifyObject(IAgentSurface, self.sockets)

    def test_permissions(self) -> None:
        """Sockets and all folders to them are for the daemon's user alone."""
        for name in ("hm1nd", "bob"):
            path = self.layout.mcp_socket(name)
            self.assertTrue(stat.S_ISSOCK(path.lstat().st_mode))
            self.assertEqual(mode(path), 0o600)
            while path != self.layout.run_dir:
                path = path.parent
                self.assertEqual(mode(path), 0o700, path)

    async def test_who_connects_is_that_agent(self) -> None:
        """Each socket serves its own agent, several connections at once."""
        clients = [await self.greeted(name) for name in ("alice", "bob", "hm1nd")]
        clients.append(await self.greeted("bob"))
        texts = [(await client.result("whoami"))[0] for client in clients]
        self.assertEqual(
            [text.splitlines()[0] for text in texts],
            ["name: alice", "name: bob", "name: hm1nd", "name: bob"],
        )

    async def test_twice(self) -> None:
        """To add an agent twice changes nothing."""
        client = await self.greeted("bob")
        await self.sockets.agent_added("bob", "agent")
        _, wrong = await client.result("whoami")
        self.assertFalse(wrong)
        self.assertEqual(self.notices, [])

    async def test_removed(self) -> None:
        """A removed agent's socket and connections are gone, and those of no other."""
        bob, alice = await self.greeted("bob"), await self.greeted("alice")
        await self.sockets.agent_removed("bob")
        await bob.finished
        self.assertFalse(self.layout.mcp_socket("bob").exists())
        self.assertEqual(list(self.layout.socket_dir("bob").iterdir()), [])
        _, wrong = await alice.result("whoami")
        self.assertFalse(wrong)
        await self.sockets.agent_removed("bob")
        await self.sockets.agent_added("bob", "agent")
        await self.greeted("bob")

    async def test_stop(self) -> None:
        """At the end, a waiting call is told so, and every socket is removed."""
        client = await self.greeted("bob")
        client.call("recv", wait_seconds=40)
        await client.result("whoami")
        await self.sockets.stopService()
        self.assertIn("closed", (await client.lines.get())["error"]["message"])
        await client.finished
        left = [path for path in self.layout.run_dir.rglob("*") if not path.is_dir()]
        self.assertEqual(left, [])

    async def test_stop_is_bounded(self) -> None:
        """A peer that doesn't read can't hold up the end."""
        self.patch(sockets, "CLOSE_WITHIN", 0.05)
        for n in range(500):
            self.agents.add(f"a{n}")
        client = await self.greeted("bob")
        client.transport.pauseProducing()
        for _ in range(1000):
            client.call("whoami")
        await self.settle()
        await self.sockets.stopService()

    async def test_stale(self) -> None:
        """What a daemon that was killed left behind is taken over."""
        await self.sockets.stopService()
        bound = self.layout.mcp_listener("bob")
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(bound))
        dead.close()
        os.link(bound, self.layout.mcp_socket("bob"))
        await self.sockets.agent_added("bob", "agent")
        self.assertEqual(self.notices, [])
        await self.greeted("bob")

    async def test_in_use(self) -> None:
        """A living daemon's socket is not taken away; the operator is told."""
        other = self.make_sockets()
        self.addCleanup(maybeDeferred, other.stopService)
        await other.agent_added("bob", "agent")
        ((name, problem),) = self.notices
        self.assertEqual(name, "bob")
        self.assertIn("another process listens", problem)
        await self.greeted("bob")

    async def test_what_the_agent_left(self) -> None:
        """A link in the socket's place is replaced, and what it names is not touched."""
        await self.sockets.agent_removed("bob")
        precious = self.folder / "precious"
        precious.write_text("mine")
        precious.chmod(0o644)
        self.layout.mcp_socket("bob").symlink_to(precious)
        await self.sockets.agent_added("bob", "agent")
        self.assertEqual((precious.read_text(), mode(precious)), ("mine", 0o644))
        await self.greeted("bob")

    async def test_failure_is_reported(self) -> None:
        """A socket that can't be put in its place is reported, and others are served."""
        await self.sockets.agent_removed("bob")
        self.layout.mcp_socket("bob").mkdir()
        await self.sockets.agent_added("bob", "agent")
        self.assertEqual([name for name, _ in self.notices], ["bob"])
        await self.greeted("alice")
        self.layout.mcp_socket("bob").rmdir()
        await self.sockets.agent_added("bob", "agent")
        await self.greeted("bob")

    async def test_removed_by_the_agent(self) -> None:
        """An agent that puts a folder in its socket's place can't hinder the end."""
        path = self.layout.mcp_socket("bob")
        path.unlink()
        path.mkdir()
        await self.sockets.agent_removed("bob")
        self.assertTrue(path.is_dir())

    async def test_path_too_long(self) -> None:
        """A path over 107 bytes is reported with its length and the remedy."""
        self.layout = Layout(self.folder, self.folder / ("r" * 90))
        long = self.make_sockets()
        self.addCleanup(maybeDeferred, long.stopService)
        await long.agent_added("bob", "agent")
        ((name, problem),) = self.notices
        self.assertEqual(name, "bob")
        self.assertIn("at most 107", problem)
        self.assertIn("run-dir", problem)
