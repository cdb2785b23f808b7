"""A running hive of scripted agents in real sandboxes, through its real surfaces."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon import LIMIT, Daemon, connect, processes_with


class SwarmTestCase(SynchronousTestCase):
    """A hive in demo mode, with bob."""

    flags: tuple[str, ...] = ()

    def setUp(self) -> None:
        """Start it."""
        self.hive = Daemon("--demo", *self.flags)
        self.addCleanup(self.hive.remove)
        self.hive.start()
        self.hive.quiet()
        self.hive.do(cmd="spawn", name="bob")

    def turn(self, body: str, to: str = "bob") -> dict[str, object]:
        """Send a message and give the end of the turn that it began."""
        events = self.hive.events("turn")
        self.addCleanup(events.close)
        message = self.hive.send(to, body)
        start = events.until(
            lambda event: event["kind"] == "turn_start" and event.get("id") == message
        )
        return events.until(
            lambda event: event["kind"] == "turn_end" and event["turn"] == start["turn"]
        )

    def claudes(self) -> list[int]:
        """What runs for this hive in claude's place."""
        return processes_with(str(self.hive.base), "stream-json")


class TurnTests(SwarmTestCase):
    """A message's way through a turn."""

    def test_answer(self) -> None:
        """A message begins a turn, whose answer comes to the operator's inbox."""
        end = self.turn("!send operator hello from bob")
        self.assertEqual(end["outcome"], "ok")
        [message] = [one for one in self.hive.inbox() if one["from"] == "bob"]
        self.assertEqual(message["body"], "hello from bob")
        self.assertEqual(self.hive.inbox("bob")[-1]["state"], "done")

    def test_two_agents(self) -> None:
        """Agents write to one another; each is woken by the send itself."""
        self.hive.do(cmd="spawn", name="alice")
        events = self.hive.events("message")
        self.addCleanup(events.close)
        self.hive.send("bob", "!send alice !send operator from bob by alice")
        arrived = events.until(
            lambda event: event["kind"] == "message_sent" and event["to"] == "operator"
        )
        self.assertEqual(
            (arrived["from"], arrived["body"]), ("alice", "from bob by alice")
        )

    def test_order(self) -> None:
        """A recipient gets its messages in the order in which they were sent."""
        self.hive.do(cmd="set_paused", name="bob", paused=True)
        for number in range(10):
            self.hive.send("bob", f"!send operator {number}")
        events = self.hive.events("message")
        self.addCleanup(events.close)
        self.hive.do(cmd="set_paused", name="bob", paused=False)
        got = [
            events.until(
                lambda event: (
                    event["kind"] == "message_sent" and event["to"] == "operator"
                )
            )["body"]
            for _ in range(10)
        ]
        self.assertEqual(got, [str(number) for number in range(10)])

    def test_cancel(self) -> None:
        """A cancelled turn's message is done: the operator meant it."""
        events = self.hive.events("turn", "stream")
        self.addCleanup(events.close)
        message = self.hive.send("bob", "!hang")
        events.until(lambda event: event["kind"] == "stream")
        self.hive.do(cmd="cancel_turn", name="bob")
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "cancelled")
        self.assertEqual(self.state_of(message), "done")

    def test_cancel_of_a_deaf_claude(self) -> None:
        """One that ignores INT and TERM is killed, and nothing of it is left."""
        events = self.hive.events("turn", "stream")
        self.addCleanup(events.close)
        self.hive.send("bob", "!fork\n!deaf")
        events.until(lambda event: event["kind"] == "stream")
        self.assertNotEqual(self.claudes(), [])
        self.hive.do(cmd="cancel_turn", name="bob")
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "cancelled")
        self.assertEqual(self.claudes(), [])

    def test_crash(self) -> None:
        """A claude that crashes is shown as crashed, and its message is tried again."""
        end = self.turn("!once a !crash SEGV\n!send operator survived")
        self.assertEqual(end["outcome"], "vanished")
        events = self.hive.events("message", since=int(str(end["seq"])))
        self.addCleanup(events.close)
        events.until(
            lambda event: (
                event["kind"] == "message_sent" and event["body"] == "survived"
            )
        )
        self.assertTrue(self.hive.inbox("bob")[-1]["redelivered"])

    def test_rate_limit(self) -> None:
        """A usage limit parks the agent until its reset; it goes on by itself."""
        end = self.turn("!once b !fail 429 reset=1\n!send operator back again")
        self.assertEqual(end["outcome"], "rate_limited")
        row = self.hive.status("bob")
        self.assertEqual(row["state"], "parked")
        self.assertIn("parked_until", row)
        events = self.hive.events("message", since=int(str(end["seq"])))
        self.addCleanup(events.close)
        events.until(
            lambda event: (
                event["kind"] == "message_sent" and event["body"] == "back again"
            )
        )

    def test_logged_out(self) -> None:
        """Without a valid login nothing is dispatched, and the operator is told once."""
        end = self.turn("!once c !fail 401\n!send operator logged in")
        self.assertEqual(end["outcome"], "auth_failed")
        row = self.hive.status("bob")
        self.assertEqual((row["state"], row["needs_login"]), ("needs login", True))
        told = [m for m in self.hive.inbox() if m["from"] == "system"]
        self.assertEqual(len(told), 1, told)
        events = self.hive.events("message", since=int(str(end["seq"])))
        self.addCleanup(events.close)
        credentials = self.hive.state / "agents" / "bob" / "claude"
        (credentials / "new").write_text("{}")
        os.replace(credentials / "new", credentials / ".credentials.json")
        events.until(
            lambda event: (
                event["kind"] == "message_sent" and event["body"] == "logged in"
            )
        )

    def test_too_long(self) -> None:
        """A prompt that does not fit has the session compacted, then goes through."""
        self.turn("!say first, so that there is a session")
        events = self.hive.events("turn")
        self.addCleanup(events.close)
        self.hive.send("bob", "!too-long\n!send operator fits")
        ends = [
            events.until(lambda event: event["kind"] == "turn_end") for _ in range(3)
        ]
        self.assertEqual(
            [(end["turn_kind"], end["outcome"]) for end in ends],
            [("message", "prompt_too_long"), ("compact", "ok"), ("message", "ok")],
        )

    def test_big_line(self) -> None:
        """A stream line of 16 MB is taken, shown shortened, and the turn ends well."""
        events = self.hive.events("turn", "stream")
        self.addCleanup(events.close)
        self.hive.send("bob", "!big 16M")
        shortened = events.until(
            lambda event: "hyperhive_shortened" in json.dumps(event)[:10_000_000]
        )
        self.assertGreater(
            shortened["event"]["hyperhive_shortened"]["bytes"], 16_000_000
        )
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "ok")

    def state_of(self, message: int) -> str:
        """A message's state."""
        return next(
            str(one["state"]) for one in self.hive.inbox("bob") if one["id"] == message
        )


class HangTests(SwarmTestCase):
    """A claude that says nothing."""

    flags = ("--silence-timeout", "4")

    def test_hang(self) -> None:
        """It is shown as stuck with since and until, then ended, then tried again."""
        events = self.hive.events("turn", "agent")
        self.addCleanup(events.close)
        self.hive.send("bob", "!once d !hang\n!send operator unstuck")
        stuck = events.until(lambda event: event.get("state") == "stuck")
        self.assertIn("state_until", stuck)
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "killed")
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "ok")


class LifeCycleTests(SwarmTestCase):
    """What the operator does to agents."""

    def test_stop_and_start(self) -> None:
        """A stopped agent keeps its messages; started again, it is told and takes them."""
        self.hive.do(cmd="stop", scope={"agent_names": ["bob"]}, graceful=True)
        self.assertEqual(self.hive.status("bob")["state"], "stopped")
        events = self.hive.events("turn")
        self.addCleanup(events.close)
        message = self.hive.send("bob", "!say awake")
        self.hive.do(cmd="start", scope={"agent_names": ["bob"]})
        first = events.until(lambda event: event["kind"] == "turn_start")
        self.assertEqual(first["id"], message)
        woken = events.until(lambda event: event["kind"] == "turn_start")
        self.assertEqual(json.loads(woken["body"])["event"], "started")

    def test_kill_gives_back(self) -> None:
        """A killed agent's message waits, marked, and costs no attempt."""
        events = self.hive.events("turn", "stream")
        self.addCleanup(events.close)
        message = self.hive.send("bob", "!hang")
        events.until(lambda event: event["kind"] == "stream")
        self.assertNotEqual(self.claudes(), [])
        self.hive.do(cmd="kill", name="bob")
        end = events.until(lambda event: event["kind"] == "turn_end")
        self.assertEqual(end["outcome"], "drained")
        [row] = [one for one in self.hive.inbox("bob") if one["id"] == message]
        self.assertEqual((row["state"], row["redelivered"]), ("queued", True))
        self.assertEqual(self.claudes(), [])

    def test_destroy_keeps_state(self) -> None:
        """A destroyed agent's notes are kept, its waiting messages dead, its name free."""
        self.turn("!tool Bash echo remembered > /state/notes.md")
        self.hive.do(cmd="set_paused", name="bob", paused=True)
        self.hive.send("bob", "!say never")
        self.hive.do(cmd="destroy", name="bob", purge=False)
        self.assertNotIn("bob", self.hive.do(cmd="list")["agents"])
        [notice] = [one for one in self.hive.inbox() if one["from"] == "system"]
        self.assertIn("bob was destroyed with 1 message waiting", notice["body"])
        self.hive.do(cmd="spawn", name="bob")
        end = self.turn("!tool Bash test $(cat /state/notes.md) = remembered\n!say ok")
        self.assertEqual(end["outcome"], "ok")
        notes = self.hive.state / "agents" / "bob" / "state" / "notes.md"
        self.assertEqual(notes.read_text(), "remembered\n")

    def test_purge(self) -> None:
        """A purge leaves nothing."""
        self.hive.do(cmd="destroy", name="bob", purge=True)
        self.assertFalse((self.hive.state / "agents" / "bob").exists())

    def test_manager_is_there(self) -> None:
        """The manager is made at the first start and can't be destroyed."""
        self.assertEqual(self.hive.do(cmd="list")["agents"], ["hm1nd", "bob"])
        answer = self.hive.ask(cmd="destroy", name="hm1nd", purge=False)
        self.assertFalse(answer["ok"])

    def test_shutdown(self) -> None:
        """A stop of the daemon ends its turns, gives back, and leaves nothing behind."""
        events = self.hive.events("stream")
        message = self.hive.send("bob", "!hang")
        events.until(lambda event: event["kind"] == "stream")
        events.close()
        self.hive.do(cmd="set_paused", name="bob", paused=True)
        self.assertEqual(self.hive.stop(), -signal.SIGTERM)
        self.assertEqual(processes_with(str(self.hive.base)), [])
        self.assertFalse((self.hive.run / "daemon.json").exists())
        self.hive.start()
        [row] = [one for one in self.hive.inbox("bob") if one["id"] == message]
        self.assertEqual((row["state"], row["redelivered"]), ("queued", True))

    flags = ("--shutdown-timeout", "1")


class DoorTests(SwarmTestCase):
    """Bad input on each surface: a clear error, and the next good request is answered."""

    def test_admin(self) -> None:
        """A malformed line, an unknown verb, a missing field, wrong names, unknown recipients."""
        bad = [
            b"{oops",
            b"[]",
            b'{"cmd":"frobnicate"}',
            b'{"cmd":"spawn"}',
            b'{"cmd":"spawn","name":"Not A Name"}',
            b'{"cmd":"spawn","name":"bob"}',
            b'{"cmd":"send","to":"nobody","body":"x"}',
            b'{"cmd":"start","scope":{"agent_names":[]}}',
        ]
        with (
            connect(self.hive.socket) as connection,
            connection.makefile("rb") as lines,
        ):
            for line in bad:
                connection.sendall(line + b"\n")
                answer = json.loads(lines.readline())
                self.assertFalse(answer["ok"], line)
                self.assertGreater(len(answer["error"]), 10)
            connection.sendall(b'{"cmd":"list"}\n')
            self.assertTrue(json.loads(lines.readline())["ok"])

    def test_admin_long_line(self) -> None:
        """A line of 5 MiB is refused, and the next connection is served."""
        with (
            connect(self.hive.socket) as connection,
            connection.makefile("rb") as lines,
        ):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"x" * (5 * 1024 * 1024) + b"\n")
            answer = json.loads(lines.readline())
            self.assertFalse(answer["ok"])
        self.assertTrue(self.hive.ask(cmd="list")["ok"])

    def test_socat(self) -> None:
        """The one-liner of the manual answers."""
        done = subprocess.run(
            ["socat", "-", f"UNIX-CONNECT:{self.hive.socket}"],
            input=b'{"cmd":"list"}\n',
            capture_output=True,
            timeout=LIMIT,
            check=True,
        )
        self.assertEqual(json.loads(done.stdout)["agents"], ["hm1nd", "bob"])

    def test_mcp(self) -> None:
        """An agent's socket survives what an agent may send."""
        path = self.hive.run / "agents" / "bob" / "mcp.sock"
        with connect(path) as connection, connection.makefile("rb") as lines:
            connection.sendall(b"{oops\n")
            self.assertEqual(json.loads(lines.readline())["error"]["code"], -32700)
            connection.sendall(
                json.dumps(
                    {
                        "jsonrpc": "2.0",
                        "id": 1,
                        "method": "initialize",
                        "params": {
                            "protocolVersion": "2025-11-25",
                            "capabilities": {},
                            "clientInfo": {"name": "test", "version": "1"},
                        },
                    }
                ).encode()
                + b"\n"
            )
            self.assertEqual(json.loads(lines.readline())["id"], 1)

    def test_web(self) -> None:
        """Nothing without the operator; with the token, the state."""
        home = self.hive.facts()["dashboard"]
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{home}api/state", timeout=LIMIT)
        self.assertEqual(refused.exception.code, 401)
        refused.exception.close()
        request = urllib.request.Request(
            f"{home}api/state",
            headers={"Authorization": f"Bearer {self.hive.token()}"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            state = json.load(answer)
        self.assertTrue(state["demo"])
        self.assertEqual([row["name"] for row in state["agents"]], ["hm1nd", "bob"])

    def test_second_daemon(self) -> None:
        """A second hive on the same folders is refused with a sentence."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("twistd")),
                *("--nodaemon", "--pidfile=", "--reactor=asyncio", "hyperhive"),
                *("--demo", "--state-dir", str(self.hive.state)),
                *("--run-dir", str(self.hive.run)),
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn(str(self.hive.pid), done.stderr)

    def test_signal(self) -> None:
        """An admin socket left by kill -9 does not hinder the next start."""
        self.hive.kill()
        self.hive.start()
        self.assertEqual(self.hive.do(cmd="list")["agents"], ["hm1nd", "bob"])

    def test_command_line(self) -> None:
        """The command line's four exit statuses."""
        self.assertEqual(self.hive.cli("list").returncode, 0)
        self.assertEqual(self.hive.cli("spawn", "bob").returncode, 1)
        self.assertEqual(self.hive.cli("frobnicate").returncode, 2)
        self.hive.stop()
        gone = self.hive.cli("list")
        self.assertEqual(gone.returncode, 3)
        self.assertIn(str(self.hive.socket), gone.stderr)
