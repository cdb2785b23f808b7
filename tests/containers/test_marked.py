"""Ending processes by their mark."""

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from hyperhive.containers import marked
from hyperhive.containers.interfaces import TimedOut


class Marked(ProcessProtocol):
    """A shell with an environment of its own."""

    transport: Any

    def __init__(self, script: str, environment: dict[str, str]) -> None:
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[int | None] = Deferred()
        reactor.spawnProcess(
            self,
            "/bin/sh",
            ["sh", "-c", script],
            {"PATH": "/usr/bin:/bin", **environment},
        )

    def outReceived(self, data: bytes) -> None:
        """It is about to wait."""
        self.ready.callback(None)

    def processEnded(self, reason: Any) -> None:
        """It, and what holds its output, is gone."""
        self.ended.callback(reason.value.signal)


class MarkedTests(TestCase):
    """Who is ended, and who is not."""

    timeout = 30

    def setUp(self) -> None:
        self.prefix = f"{os.path.realpath(self.mktemp())}:"

    async def spawn(self, mark: str | None, script: str = "echo; read x") -> Marked:
        environment = {} if mark is None else {marked.VARIABLE: mark}
        process = Marked(script, environment)
        self.addCleanup(lambda: None if process.ended.called else self.end(process))
        await process.ready
        return process

    async def end(self, process: Marked) -> None:
        process.transport.signalProcess("KILL")
        await process.ended

    async def test_by_prefix(self) -> None:
        """Those whose mark starts so are ended, others are not."""
        mine = await self.spawn(f"{self.prefix}h-bob:1")
        others = [
            await self.spawn(mark)
            for mark in (None, f"x{self.prefix}h-bob:1", self.prefix[:-1])
        ]
        await marked.end_marked(reactor, self.prefix)
        self.assertEqual(await mine.ended, 9)
        self.assertEqual([one.ended.called for one in others], [False] * 3)

    async def test_spared(self) -> None:
        """Marks with a certain part are spared."""
        mine = await self.spawn(f"{self.prefix}h-bob:old.1")
        other = await self.spawn(f"{self.prefix}h-bob:new.1")
        await marked.end_marked(reactor, self.prefix, ":new.")
        self.assertEqual(await mine.ended, 9)
        self.assertFalse(other.ended.called)

    async def test_children_without_a_mark(self) -> None:
        """Children are ended with their parents, whatever their environment."""
        mine = await self.spawn(
            f"{self.prefix}h-bob:1", "env -i setsid sleep 1000001 & echo; wait"
        )
        await marked.end_marked(reactor, self.prefix)
        # The child holds the output, so that this fires when it is gone too.
        self.assertEqual(await mine.ended, 9)

    async def test_nothing_to_end(self) -> None:
        """Nothing there: success."""
        await marked.end_marked(reactor, self.prefix)

    async def test_not_killable(self) -> None:
        """What can't be ended is named after a while."""
        self.patch(marked, "LIMIT", 0.0)
        self.patch(marked, "_kill", lambda pid, seen: None)
        mine = await self.spawn(f"{self.prefix}h-bob:1")
        with self.assertRaises(TimedOut) as raised:
            await marked.end_marked(reactor, self.prefix)
        self.assertIn(str(mine.transport.pid), str(raised.exception))

    async def test_reused_pid(self) -> None:
        """A pid that is another process's by now is left alone."""
        mine = await self.spawn(f"{self.prefix}h-bob:1")
        pid = mine.transport.pid
        stat = marked._stat(pid)
        assert stat is not None
        marked._kill(pid, marked._Stat(stat.state, stat.parent, stat.start + 1))
        self.assertEqual(len(marked.kill_marked(self.prefix)), 1)
        self.assertEqual(await mine.ended, 9)
