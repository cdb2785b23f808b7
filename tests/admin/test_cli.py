"""``hive-c0re`` against a real socket: what it asks, what it prints, how it exits."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from hyperhive.admin.cli import run
from hyperhive.admin.console import Console
from hyperhive.admin.service import AdminService
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.names import OPERATOR
from hyperhive.testing.agents import Call
from tests.admin.support import INFO, LOGIN_URL, Hive
from tests.admin.terminal import console, printed, said


class CliCase(TestCase):
    """A hive in memory behind a real socket; commands run in a thread."""

    # A wait that does not end is a failure.
    timeout = 60

    @deferred
    async def setUp(self) -> None:
        """Listen in a folder whose path is short enough."""
        self.folder = Path(tempfile.mkdtemp(prefix="hive-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "host.sock"
        self.hive = Hive(reactor)
        self.service = AdminService(reactor, self.path, self.hive.context)
        await self.service.start()
        self.addCleanup(self.service.stop)

    def run_on(self, one: Console, *words: str) -> Deferred[int]:
        """Run a command against the hive; its exit status."""
        return deferToThread(run, ["--socket", str(self.path), *words], one)

    @deferred
    async def ask(self, *words: str, stdin: str = "") -> str:
        """Run a command that must succeed, without a terminal; what it prints."""
        one = console(stdin)
        status = await self.run_on(one, *words)
        self.assertEqual((status, said(one)), (0, ""))
        return printed(one)

    @deferred
    async def refused(self, *words: str, status: int = 1) -> str:
        """Run a command that must fail; what it says."""
        one = console()
        self.assertEqual(await self.run_on(one, *words), status)
        self.assertEqual(printed(one), "")
        return said(one)

    def until(self, happened: Callable[[], bool]) -> Deferred[None]:
        """Wait until something is so, looking at each turn of the reactor."""
        done: Deferred[None] = Deferred()

        def look() -> None:
            if happened():
                done.callback(None)
            else:
                reactor.callLater(0.005, look)

        look()
        return done


class VerbTests(CliCase):
    """Each subcommand asks for what it should, and says what came of it."""

    @deferred
    async def test_list(self) -> None:
        """Names, one a line."""
        self.assertEqual(await self.ask("list"), "hm1nd\nalice\nbob\n")

    @deferred
    async def test_changes(self) -> None:
        """Each change is one call, and one sentence that it is done."""
        self.hive.agents.work("bob")
        for words, call, sentence in (
            (
                ("spawn", "carol"),
                Call("spawn", {"name": "carol"}),
                "carol is there and runs.",
            ),
            (
                ("kill", "bob"),
                Call("stop", {"name": "bob", "by": OPERATOR, "graceful": False}),
                "bob is stopped.",
            ),
            (
                ("start", "bob"),
                Call("start", {"name": "bob", "by": OPERATOR}),
                "Started: bob.",
            ),
            (
                ("stop", "bob"),
                Call("stop", {"name": "bob", "by": OPERATOR, "graceful": True}),
                "Stopped: bob.",
            ),
            (
                ("stop", "--now", "bob"),
                Call("stop", {"name": "bob", "by": OPERATOR, "graceful": False}),
                "Stopped: bob.",
            ),
            (
                ("restart", "bob"),
                Call("restart", {"name": "bob", "by": OPERATOR}),
                "bob is restarted.",
            ),
            (
                ("pause", "bob"),
                Call("set_paused", {"name": "bob", "paused": True}),
                "bob is paused; its messages wait.",
            ),
            (
                ("resume", "bob"),
                Call("set_paused", {"name": "bob", "paused": False}),
                "bob goes on.",
            ),
            (
                ("model", "bob", "sonnet"),
                Call("set_model", {"name": "bob", "model": "sonnet"}),
                "bob's next turns have the model sonnet.",
            ),
            (
                ("model", "bob", ""),
                Call("set_model", {"name": "bob", "model": ""}),
                "bob's next turns have the model the hive's own setting.",
            ),
            (
                ("compact", "bob"),
                Call("compact", {"name": "bob"}),
                "bob's session will be compacted.",
            ),
            (
                ("new-session", "bob"),
                Call("new_session", {"name": "bob"}),
                "bob's next turn begins a new session.",
            ),
        ):
            self.hive.agents.calls.clear()
            self.assertEqual(await self.ask(*words), f"{sentence}\n")
            self.assertEqual(self.hive.agents.calls, [call])

    @deferred
    async def test_several(self) -> None:
        """Start and stop take several names."""
        self.assertEqual(
            await self.ask("stop", "bob", "alice"), "Stopped: bob, alice.\n"
        )
        self.assertEqual(
            [call.arguments["name"] for call in self.hive.agents.calls],
            ["bob", "alice"],
        )

    @deferred
    async def test_cancel(self) -> None:
        """A turn that runs is cancelled; without one there is nothing to cancel."""
        self.hive.agents.work("bob")
        self.assertEqual(await self.ask("cancel", "bob"), "bob's turn is cancelled.\n")
        self.assertIn("No turn of bob", await self.refused("cancel", "bob"))

    @deferred
    async def test_status(self) -> None:
        """A table of all, or all of one."""
        table = await self.ask("status")
        self.assertEqual(
            [line.split()[0] for line in table.splitlines()],
            ["NAME", "hm1nd", "alice", "bob"],
        )
        self.assertIn("name       bob (agent)\n", await self.ask("status", "bob"))
        self.assertIn("no agent 'nobody'", await self.refused("status", "nobody"))

    @deferred
    async def test_send(self) -> None:
        """A message is sent from the command line or from standard input, and shown."""
        self.assertEqual(await self.ask("send", "bob", "hello"), "Sent as #1.\n")
        sent = await self.ask("send", "bob", "-", "--reply-to", "1", stdin="a\nb\n")
        self.assertEqual(sent, "Sent as #2.\n")
        self.assertEqual(await self.ask("send", "*", "all"), "Sent to 3 agents.\n")
        box = await self.ask("inbox", "bob", "--limit", "2")
        self.assertRegex(
            box,
            r"\A#2  operator → bob  .*  queued, answers #1\n    a\n    b\n"
            r"#\d  operator → bob  .*  queued\n    all\n\Z",
        )
        self.assertIn("nobody", await self.refused("send", "nobody", "hello"))

    @deferred
    async def test_send_too_much(self) -> None:
        """What is too long for any message is not even read to its end."""
        one = console("x" * (3 * 1024 * 1024))
        self.assertEqual(await self.run_on(one, "send", "bob", "-"), 1)
        self.assertIn("at most 256 KiB", said(one))
        self.assertGreater(len(one.stdin.read()), 1024 * 1024)

    @deferred
    async def test_empty_inbox(self) -> None:
        """The operator's inbox is the default; an empty one is no error."""
        one = console()
        self.assertEqual(await self.run_on(one, "inbox"), 0)
        self.assertEqual((printed(one), said(one)), ("", "(no messages)\n"))

    @deferred
    async def test_requeue(self) -> None:
        """A message that is not dead can't be queued again."""
        await self.ask("send", "bob", "hello")
        self.assertIn("1", await self.refused("requeue", "1"))

    @deferred
    async def test_facts(self) -> None:
        """Links and facts."""
        self.assertEqual(await self.ask("login-url"), f"{LOGIN_URL}\n")
        self.assertEqual(await self.ask("urls"), "home  http://127.0.0.1:7000/\n")
        self.assertIn("uptime      1h02m\n", await self.ask("info"))

    @deferred
    async def test_notify_test(self) -> None:
        """Whom a test has reached; otherwise an error."""
        said = await self.ask("notify-test")
        self.assertEqual(said, "ntfy (ntfy.example) has taken a test.\n")
        self.hive.untold = PublicError("ntfy could not be told: it answers 403.")
        self.assertIn("answers 403", await self.refused("notify-test"))

    @deferred
    async def test_json(self) -> None:
        """With --json the answer is printed as it came, errors too."""
        expected = {"version": 1, "ok": True, "info": INFO}
        for words in (("--json", "info"), ("info", "--json")):
            self.assertEqual(json.loads(await self.ask(*words)), expected)
        one = console()
        self.assertEqual(await self.run_on(one, "kill", "nobody", "--json"), 1)
        self.assertIs(json.loads(printed(one))["ok"], False)
        self.assertEqual(said(one), "")


class DestroyTests(CliCase):
    """Destroying, and the question before a purge."""

    @deferred
    async def test_keeps(self) -> None:
        """Without a purge nothing is asked and the state is kept."""
        self.assertEqual(
            await self.ask("destroy", "bob"),
            "bob is destroyed; its login and notes are kept.\n",
        )
        self.assertEqual(
            self.hive.agents.calls, [Call("destroy", {"name": "bob", "purge": False})]
        )

    @deferred
    async def test_purge_without_terminal(self) -> None:
        """A program that asks for a purge means it."""
        self.assertIn(
            "nothing of it is kept", await self.ask("destroy", "bob", "--purge")
        )

    @deferred
    async def test_confirmed(self) -> None:
        """A person gives the name."""
        one = console("bob\n", terminal=True)
        self.assertEqual(await self.run_on(one, "destroy", "bob", "--purge"), 0)
        self.assertIn("its login", said(one))
        self.assertEqual(
            self.hive.agents.calls, [Call("destroy", {"name": "bob", "purge": True})]
        )

    @deferred
    async def test_not_confirmed(self) -> None:
        """Anything else does nothing, and neither does the end of the input."""
        for answer in ("alice\n", "y\n", "\n", ""):
            one = console(answer, terminal=True)
            self.assertEqual(await self.run_on(one, "destroy", "bob", "--purge"), 1)
            self.assertIn("Nothing was done.", said(one))
        self.assertEqual(self.hive.agents.calls, [])

    @deferred
    async def test_yes(self) -> None:
        """With --yes nothing is asked."""
        one = console(terminal=True)
        self.assertEqual(await self.run_on(one, "destroy", "bob", "--purge", "-y"), 0)
        self.assertEqual(said(one), "")


class LongTests(CliCase):
    """A verb that takes long."""

    @deferred
    async def test_progress(self) -> None:
        """On a terminal it is shown to go on; at its end that is taken away."""
        self.hive.agents.hold("spawn")
        one = console(terminal=True)
        running = self.run_on(one, "spawn", "carol")
        await self.until(lambda: "spawn carol… " in said(one))
        self.hive.agents.finish("spawn")
        self.assertEqual(await running, 0)
        self.assertTrue(said(one).endswith("\r\x1b[K"))
        self.assertEqual(printed(one), "carol is there and runs.\n")

    @deferred
    async def test_no_terminal(self) -> None:
        """Elsewhere nothing of that is printed."""
        self.hive.agents.hold("spawn")
        one = console()
        running = self.run_on(one, "spawn", "carol")
        await self.until(lambda: self.hive.agents.held("spawn") == 1)
        self.hive.agents.finish("spawn")
        self.assertEqual(await running, 0)
        self.assertEqual(said(one), "")


class StreamTests(CliCase):
    """``events`` and ``watch``."""

    @deferred
    async def follow(self, one: Console, *words: str) -> int:
        """Run a command that subscribes, and let these happen; its exit status."""
        subscribed: list[None] = []
        subscribe = self.hive.bus.subscribe

        def noted(*given: Any, **also: Any) -> Any:
            subscribed.append(None)
            return subscribe(*given, **also)

        self.patch(self.hive.bus, "subscribe", noted)
        running = self.run_on(one, *words)
        await self.until(lambda: bool(subscribed))
        publish = self.hive.bus.publish
        publish("note", {"text": "not of bob"}, "alice")
        publish("note", {"text": "hello \x9b"}, "bob")
        publish("message_sent", {"id": 1, "body": "x"}, "bob")
        publish("agent_state", {"name": "bob", "gone": True}, "bob")
        if words[0] != "watch":
            await self.until(lambda: "agent_state" in printed(one))
            await self.service.stop()
        return await running

    @deferred
    async def test_watch(self) -> None:
        """Only the agent that is meant is told of, until it is gone."""
        one = console()
        self.assertEqual(await self.follow(one, "watch", "bob"), 0)
        self.assertEqual(
            printed(one).splitlines(), ["  · hello \\x9b", "◆ the agent was destroyed"]
        )

    @deferred
    async def test_watch_json(self) -> None:
        """Raw events are JSON, an event a line, with nothing that a terminal obeys."""
        one = console(terminal=True)
        self.assertEqual(await self.follow(one, "watch", "bob", "--json"), 0)
        lines = printed(one).splitlines()
        self.assertTrue(all(line.isprintable() for line in lines), lines)
        note, state = map(json.loads, lines)
        self.assertEqual((note["kind"], note["text"]), ("note", "hello \x9b"))
        self.assertEqual(state["kind"], "agent_state")

    @deferred
    async def test_watch_nobody(self) -> None:
        """An agent that is not there can't be watched."""
        self.assertIn("no agent 'nobody'", await self.refused("watch", "nobody"))

    @deferred
    async def test_events(self) -> None:
        """All events are told in a line each, until the hive goes away."""
        one = console()
        self.assertEqual(await self.follow(one, "events"), 3)
        self.assertEqual(
            [line.split()[1] for line in printed(one).splitlines()],
            ["note", "note", "message_sent", "agent_state"],
        )
        self.assertIn("went away", said(one))

    @deferred
    async def test_events_of_some(self) -> None:
        """Only some kinds, and only of one agent."""
        one = console()
        words = ("events", "--json", "--agent", "bob")
        status = await self.follow(one, *words, "--kind", "note", "--topic", "agent")
        self.assertEqual(status, 3)
        events = [json.loads(line) for line in printed(one).splitlines()]
        self.assertEqual([event["kind"] for event in events], ["note", "agent_state"])

    @deferred
    async def test_events_since(self) -> None:
        """What came before can be had; where it can't, the hive says why."""
        self.hive.bus.publish("note", {"text": "before"}, "bob")
        one = console()
        since = str(self.hive.bus.seq - 1)
        await self.follow(one, "events", "--since", since)
        self.assertIn("before", printed(one).splitlines()[0])

    @deferred
    async def test_events_too_old(self) -> None:
        """What is no longer kept is refused."""
        self.assertIn("oldest", await self.refused("events", "--since", "1"))
