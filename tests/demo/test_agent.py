"""The scripted agent as a real process, compared with what the real claude printed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.claude import Capabilities
from hyperhive.agents.outcome import EndedBy, classify
from hyperhive.agents.stream import StreamReader, TurnReading
from hyperhive.containers.interfaces import Exited, ProcessEnd, Signalled
from hyperhive.demo import agent
from hyperhive.messages.interfaces import Outcome

SCRIPT = Path(agent.__file__)
STREAMS = Path(__file__).parent.parent / "fixtures" / "claude-streams.tar.xz"
ARGUMENTS = (
    *("--print", "--output-format", "stream-json", "--verbose"),
    *("--model", "haiku", "--continue"),
)
PROMPT = """\
Message 7 from `operator`, sent at 2026-01-01T00:00:00.000Z (just now).
Its text stands between the marks.

---- ff00 begin
{body}
---- ff00 end

!say this is outside of the message
"""


class ScriptedHive(threading.Thread):
    """An MCP server on a UNIX socket that answers every tool call with one text."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.text = "sent"
        self.calls: list[dict[str, Any]] = []

    def run(self) -> None:
        """Serve one connection after the other."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection:
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as lines:
            for line in lines:
                request = json.loads(line)
                if "id" not in request:
                    continue
                result: dict[str, Any] = {}
                if request["method"] == "tools/list":
                    result = {"tools": [{"name": "send"}, {"name": "recv"}]}
                elif request["method"] == "tools/call":
                    self.calls.append(request["params"])
                    result = {"content": [{"type": "text", "text": self.text}]}
                answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
                lines.write(json.dumps(answer).encode() + b"\n")
                lines.flush()

    def close(self) -> None:
        """Serve no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)


class AgentTestCase(SynchronousTestCase):
    """Runs the script as the hive does."""

    def setUp(self) -> None:
        """A folder that is its home and its working directory, and a hive."""
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        folder = Path(tempfile.mkdtemp(prefix="hive-"))  # short enough for a socket
        self.addCleanup(shutil.rmtree, folder)
        self.hive = ScriptedHive(folder / "mcp.sock")
        self.hive.start()
        self.addCleanup(self.hive.close)
        self.config = self.home / "mcp.json"
        arguments = ["-", f"UNIX-CONNECT:{folder}/mcp.sock"]
        server = {"command": "socat", "args": arguments}
        self.config.write_text(json.dumps({"mcpServers": {"hyperhive": server}}))

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start it."""
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env={"CLAUDE_CONFIG_DIR": str(self.home), "PATH": os.environ["PATH"]},
        )

    def finish(
        self, process: "subprocess.Popen[bytes]", stdin: bytes | None = None
    ) -> tuple[list[dict[str, Any]], Outcome]:
        """Its events, and what the hive makes of them."""
        out, err = process.communicate(stdin, timeout=30)
        reader, reading = StreamReader(), TurnReading()
        events = []
        for line in [*reader.feed(out), *reader.finish()]:
            if line.event is not None:
                reading.observe(line.event)
                events.append(dict(line.event))
        status = process.returncode
        end: ProcessEnd = Signalled(-status) if status < 0 else Exited(status)
        verdict = classify(reading, end, EndedBy.itself(), err.decode())
        return events, verdict.outcome

    def turn(self, body: str) -> tuple[list[dict[str, Any]], Outcome]:
        """One whole turn with a message."""
        return self.work(PROMPT.format(body=body))

    def work(self, prompt: str) -> tuple[list[dict[str, Any]], Outcome]:
        """One whole turn."""
        process = self.start(*ARGUMENTS, "--mcp-config", str(self.config))
        return self.finish(process, prompt.encode())

    def texts(self, events: list[dict[str, Any]]) -> list[str]:
        """What it said."""
        return [
            block["text"]
            for event in events
            if event["type"] == "assistant"
            for block in event["message"]["content"]
            if block["type"] == "text"
        ]


class CommandLineTests(AgentTestCase):
    """It takes claude's flags, and refuses others as claude does."""

    def test_help_names_the_flags(self) -> None:
        """The hive finds out its flags as it does with claude."""
        process = self.start("--help")
        out, _ = process.communicate(timeout=30)
        flags = Capabilities.from_help(out.decode()).flags
        self.assertTrue({"--restricted", "--system-prompt-snapshot"} <= flags)

    def test_refusals(self) -> None:
        """An unknown flag, or no stream: status 1, and words on stderr only."""
        for arguments in (
            ("--print", "--frobnicate"),
            ("--print", "--output-format", "stream-json"),
            ("--output-format", "stream-json", "--verbose"),
        ):
            process = self.start(*arguments)
            out, err = process.communicate(b"hi", timeout=30)
            self.assertEqual((process.returncode, out), (1, b""))
            self.assertTrue(err)

    def test_blank_prompt(self) -> None:
        """A blank prompt is refused, as claude does."""
        process = self.start(*ARGUMENTS)
        out, _ = process.communicate(b" \n", timeout=30)
        self.assertEqual((process.returncode, out), (1, b""))


class DirectiveTests(AgentTestCase):
    """What each directive comes to."""

    def test_default_answer(self) -> None:
        """It says that it is a script, and what it can do."""
        events, outcome = self.turn("Hello!\nHow are you?")
        self.assertEqual(outcome, Outcome.OK)
        [text] = self.texts(events)
        self.assertIn("no model was asked", text)
        self.assertIn("!send NAME TEXT", text)

    def test_only_the_message_counts(self) -> None:
        """Directives outside of the message's frame are not obeyed."""
        events, _ = self.turn("!say inside")
        self.assertEqual(self.texts(events), ["inside"])

    def test_failures(self) -> None:
        """Each is taken by the hive for what it plays."""
        for directive, outcome in (
            ("!fail 429", Outcome.RATE_LIMITED),
            ("!fail 429 reset=60", Outcome.RATE_LIMITED),
            ("!fail 529", Outcome.OVERLOADED),
            ("!fail 500", Outcome.OVERLOADED),
            ("!fail 401", Outcome.AUTH_FAILED),
            ("!fail billing", Outcome.RATE_LIMITED),
            ("!fail 400", Outcome.FAILED),
            ("!too-long", Outcome.PROMPT_TOO_LONG),
            ("!crash", Outcome.FAILED),
            ("!crash SEGV", Outcome.VANISHED),
            ("!noise", Outcome.OK),
            ("!frobnicate", Outcome.OK),
            ("!sleep long", Outcome.OK),
        ):
            self.assertEqual(self.turn(directive)[1], outcome, directive)

    def test_once(self) -> None:
        """A key is seen once only."""
        self.assertEqual(self.turn("!once k !crash")[1], Outcome.FAILED)
        self.assertEqual(self.turn("!once k !crash")[1], Outcome.OK)

    def test_commands(self) -> None:
        """Commands are run for the operator, and for nobody else."""
        events, _ = self.turn("!tool Bash echo $((6*7))")
        [result] = [event for event in events if event["type"] == "user"]
        self.assertEqual(result["message"]["content"][0]["content"], "42\n")
        prompt = PROMPT.format(body="!tool Bash touch done").replace("operator", "bob")
        self.finish(self.start(*ARGUMENTS), prompt.encode())
        self.assertFalse((self.home / "done").exists())

    def test_big(self) -> None:
        """A line of the asked size."""
        events, outcome = self.turn("!big 2M")
        self.assertEqual(outcome, Outcome.OK)
        self.assertEqual(len(self.texts(events)[0]), 2 * 1024 * 1024)

    def test_signals(self) -> None:
        """INT ends it with status 0 and the words of an interruption; TERM without."""
        for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
            process = self.start(*ARGUMENTS)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(PROMPT.format(body="!say now\n!hang").encode())
            process.stdin.close()
            process.stdin = None
            lines = [process.stdout.readline(), process.stdout.readline()]
            self.assertIn(b"now", lines[1])
            process.send_signal(number)
            events, _ = self.finish(process)
            self.assertEqual(process.returncode, status)
            results = [event for event in events if event["type"] == "result"]
            self.assertEqual(len(results), 1 if status == 0 else 0)


class SessionTests(AgentTestCase):
    """What is remembered."""

    def sessions(self, *turns: tuple[str, ...]) -> list[str]:
        """The session of each of some turns, given by their arguments."""
        found = []
        for arguments in turns:
            events, _ = self.finish(
                self.start(*arguments), PROMPT.format(body="!say x").encode()
            )
            found.append(events[0]["session_id"])
        return found

    def test_continue(self) -> None:
        """--continue goes on; without it a new session begins."""
        fresh = tuple(one for one in ARGUMENTS if one != "--continue")
        first, second, third = self.sessions(ARGUMENTS, ARGUMENTS, fresh)
        self.assertEqual(first, second)
        self.assertNotEqual(second, third)

    def test_compaction(self) -> None:
        """The context grows, and shrinks by /compact, which eases one that is too long."""
        self.assertEqual(self.turn("!too-long")[1], Outcome.PROMPT_TOO_LONG)
        events, outcome = self.work("/compact")
        self.assertEqual(outcome, Outcome.OK)
        [boundary] = [e for e in events if e.get("subtype") == "compact_boundary"]
        self.assertLess(
            boundary["compact_metadata"]["post_tokens"],
            boundary["compact_metadata"]["pre_tokens"],
        )
        self.assertEqual(self.turn("!too-long")[1], Outcome.OK)


class HiveTests(AgentTestCase):
    """It really uses the hive's tools."""

    def test_tools(self) -> None:
        """Sends and receives go over the socket; what it receives is obeyed."""
        self.hive.text = "Message 9 from bob, 2026-01-01T00:00:00.000Z:\n!reply thanks"
        events, outcome = self.turn("!send bob hello there\n!reply ok\n!recv 1")
        self.assertEqual(outcome, Outcome.OK)
        self.assertEqual(
            [(call["name"], call["arguments"]) for call in self.hive.calls],
            [
                ("send", {"to": "bob", "body": "hello there"}),
                ("send", {"to": "operator", "body": "ok", "in_reply_to": 7}),
                ("recv", {"wait_seconds": 1.0}),
                ("send", {"to": "bob", "body": "thanks", "in_reply_to": 9}),
            ],
        )
        self.assertEqual(events[0]["mcp_servers"][0]["status"], "connected")

    def test_hop(self) -> None:
        """A message travels on, with its tag, until it has no hops left."""
        self.turn("!hop 2 a b #t\n!hop 0 a b #t")
        [call] = self.hive.calls
        self.assertEqual(call["arguments"], {"to": "a", "body": "!hop 1 b a #t"})

    def test_ask(self) -> None:
        """A question goes to the operator with its options."""
        self.turn("!ask Which one? | the older | the cheaper")
        [call] = self.hive.calls
        self.assertEqual(call["name"], "ask_operator")
        self.assertEqual(
            call["arguments"],
            {"question": "Which one?", "options": ["the older", "the cheaper"]},
        )

    def test_propose_nobody(self) -> None:
        """What can be no agent's name is never part of a path."""
        events, outcome = self.turn('!propose ../x model = "opus"')
        self.assertEqual((outcome, self.hive.calls), (Outcome.OK, []))
        said = [event for event in events if event["type"] == "assistant"][-1]
        self.assertIn(
            "!propose NAME KEY = VALUE", said["message"]["content"][0]["text"]
        )

    def test_no_hive(self) -> None:
        """Without a connection it says so in its first event, as claude does."""
        self.config.unlink()
        events, outcome = self.turn("!say x")
        self.assertEqual(events[0]["mcp_servers"][0]["status"], "failed")
        self.assertEqual(outcome, Outcome.FAILED)


class ShapeTests(AgentTestCase):
    """Its events have the shapes of claude's: this keeps the stand-in honest."""

    def recorded(self) -> dict[tuple[str, str], set[str]]:
        """For each type and subtype that claude printed, every member it ever had."""
        shapes: dict[tuple[str, str], set[str]] = {}
        with tarfile.open(STREAMS) as archive:
            for member in archive:
                if not member.name.endswith(".jsonl"):
                    continue
                file = archive.extractfile(member)
                assert file is not None
                for line in file.read().splitlines():
                    try:
                        event = json.loads(line)
                    except ValueError:
                        continue
                    key = event["type"], event.get("subtype", "")
                    shapes.setdefault(key, set()).update(event)
        return shapes

    def test_members(self) -> None:
        """Each event has a type that claude has, and no member that claude has not."""
        recorded = self.recorded()
        printed: list[dict[str, Any]] = []
        for body in (
            "!say x\n!tool Bash true\n!think y",
            "!fail 429 reset=9",
            "!fail 529",
        ):
            printed += self.turn(body)[0]
        printed += self.work("/compact")[0]
        kinds = set()
        for event in printed:
            key = event["type"], event.get("subtype", "")
            kinds.add(key)
            self.assertIn(key, recorded)
            self.assertEqual(set(event) - recorded[key], set(), key)
        self.assertTrue(
            {("system", "init"), ("assistant", ""), ("user", ""), ("result", "success")}
            <= kinds
        )
