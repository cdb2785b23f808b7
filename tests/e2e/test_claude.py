"""The real claude in real sandboxes under a running hive, against a scripted Messages API."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from hyperhive.agents.executable import CLAUDE_INSIDE
from hyperhive.testing.claude_cli import (
    OLDER_VERSION,
    VERSION,
    NoClaudeHere,
    installed,
)
from tests.daemon import LIMIT, Daemon, EventStream
from tests.e2e.stand_in import StandIn

#: What the stand-in takes for a login.
KEY = "a-key-that-is-none"


class ClaudeTestCase(SynchronousTestCase):
    """A hive with bob, whose claude is real and whose API is not."""

    version = VERSION
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = {"ANTHROPIC_API_KEY": KEY}  # noqa: RUF012

    def setUp(self) -> None:
        """Start both."""
        if refusal := bubblewrap_refusal():
            raise SkipTest(refusal)
        try:
            claude = installed(self.version)
        except NoClaudeHere as error:
            raise SkipTest(str(error)) from None
        self.api = StandIn()
        self.addCleanup(self.api.stop)
        self.hive = Daemon(
            *("--containers", "bubblewrap", "--claude", str(claude)),
            *self.flags,
            environment={"ANTHROPIC_BASE_URL": self.api.url, **self.environment},
        )
        self.addCleanup(self.hive.remove)
        self.hive.start()
        self.hive.quiet()
        self.hive.do(cmd="spawn", name="bob")
        self.events = self.hive.events("turn", "stream", "message", "agent")
        self.addCleanup(self.events.close)

    def end(self) -> dict[str, Any]:
        """The end of the next turn."""
        return self.events.until(lambda event: event["kind"] == "turn_end")

    def ends(self, count: int) -> list[tuple[str, str]]:
        """Kinds and outcomes of the next turns."""
        found = [self.end() for _ in range(count)]
        return [(one["turn_kind"], one["outcome"]) for one in found]

    def turn(self, body: str) -> dict[str, Any]:
        """Send a message and give the end of the next turn."""
        self.hive.send("bob", body)
        return self.end()

    def streamed(self, kind: str) -> dict[str, Any]:
        """The next event of claude's stream that is of a type."""
        event = self.events.until(
            lambda event: event["kind"] == "stream" and event["event"]["type"] == kind
        )
        return dict(event["event"])

    def message(self, number: int) -> dict[str, Any]:
        """A message to bob."""
        return next(one for one in self.hive.inbox("bob") if one["id"] == number)

    def notices(self) -> list[str]:
        """What the hive told the operator."""
        return [one["body"] for one in self.hive.inbox() if one["from"] == "system"]

    def log_in(self, token: str) -> None:
        """Write a login as claude writes it."""
        login = {
            "accessToken": token,
            "expiresAt": 4102444800000,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
        }
        folder = self.hive.state / "agents" / "bob" / "claude"
        (folder / "new").write_text(json.dumps({"claudeAiOauth": login}))
        os.replace(folder / "new", folder / ".credentials.json")


class TurnTests:
    """What every version does."""

    def test_turn(self: Any) -> None:
        """A message becomes claude's prompt, and is done when claude is."""
        end = self.turn("[[say Done and dusted.]]")
        self.assertEqual((end["outcome"], end.get("note")), ("ok", None))
        self.assertGreater(end["tokens"]["output"], 0)
        [message] = self.hive.inbox("bob")
        self.assertEqual(message["state"], "done")
        [asked] = self.api.inferences()
        self.assertEqual(asked["headers"]["x-api-key"], KEY)
        self.assertIn(self.version, asked["headers"]["user-agent"])
        self.assertIn("You are `bob`", said(asked["body"]["system"]))
        self.assertIn(" from `operator`, sent at ", said(asked["body"]["messages"]))

    def test_tool(self: Any) -> None:
        """A call of send is a message in the operator's inbox, stamped by the hive."""
        call = json.dumps({"to": "operator", "body": "Good morning"})
        self.hive.send(
            "bob", f"[[say Writing]] [[tool mcp__hyperhive__send {call}]] [[say Sent]]"
        )
        events = list(until_end(self.events))
        self.assertEqual(events[-1]["outcome"], "ok")
        self.assertEqual(
            [
                (one["event"]["type"], block)
                for one in events
                if one["kind"] == "stream"
                and one["event"]["type"] in ("assistant", "user")
                for block in blocks(one["event"])
            ],
            [
                ("assistant", "text"),
                ("assistant", "tool_use"),
                ("user", "tool_result"),
                ("assistant", "text"),
            ],
        )
        [message] = self.hive.inbox()
        self.assertEqual((message["from"], message["body"]), ("bob", "Good morning"))
        shown = self.hive.cli("inbox", "operator")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("Good morning", shown.stdout)


class NewestTests(TurnTests, ClaudeTestCase):
    """The pinned version."""


class OlderTests(TurnTests, ClaudeTestCase):
    """One that lacks flags of the pinned one."""

    version = OLDER_VERSION


class SessionTests(ClaudeTestCase):
    """What goes on from turn to turn."""

    def test_goes_on(self) -> None:
        """The second turn is the same session, and claude sends what was before."""
        self.hive.send("bob", "[[say The password is swordfish.]]")
        first = self.streamed("system")
        self.end()
        self.hive.send("bob", "[[say As I said.]]")
        second = self.streamed("system")
        self.end()
        self.assertEqual(first["session_id"], second["session_id"])
        words = said(self.api.inferences()[-1]["body"]["messages"])
        self.assertIn(" from `operator`, sent at ", words)
        self.assertIn("The password is swordfish.", words)

    def test_survives(self) -> None:
        """A kill of the daemon costs the session nothing."""
        self.turn("[[say The password is swordfish.]]")
        self.events.close()
        self.hive.kill()
        self.hive.start()
        self.events = self.hive.events("turn")
        self.assertEqual(self.turn("[[say As I said.]]")["outcome"], "ok")
        words = said(self.api.inferences()[-1]["body"]["messages"])
        self.assertIn("The password is swordfish.", words)

    def test_compact(self) -> None:
        """A compaction is a turn of its own; what follows begins with its summary."""
        self.hive.send("bob", "[[say A long story.]]")
        before = self.streamed("system")["session_id"]
        self.end()
        self.hive.do(cmd="compact", name="bob")
        self.assertEqual(self.ends(1), [("compact", "ok")])
        self.hive.send("bob", "[[say On.]]")
        self.assertEqual(self.streamed("system")["session_id"], before)
        self.assertEqual(self.ends(1), [("message", "ok")])
        words = said(self.api.inferences()[-1]["body"]["messages"])
        self.assertIn("The stand-in's summary of the conversation.", words)

    def test_full(self) -> None:
        """A session that fills most of the window is compacted before the next turn."""
        self.turn("[[usage input=800000]] [[say A very long story.]]")
        self.assertEqual(self.hive.status("bob")["ctx_tokens"], 800000)
        self.hive.send("bob", "[[say On.]]")
        self.assertEqual(self.ends(2), [("compact", "ok"), ("message", "ok")])
        self.assertLess(self.hive.status("bob")["ctx_tokens"], 100000)


class EndTests(ClaudeTestCase):
    """Turns that somebody ends."""

    def test_cancel(self) -> None:
        """What claude says is seen while it says it; a cancel ends the turn, not the session."""
        number = self.hive.send("bob", "[[say I begin.]] [[slow 0.1 600]]")
        self.assertEqual(blocks(self.streamed("assistant")), ["text"])
        self.hive.do(cmd="cancel_turn", name="bob")
        self.assertEqual(self.end()["outcome"], "cancelled")
        self.assertEqual(self.message(number)["state"], "done")
        self.assertEqual(claudes(self.hive), [])
        self.assertEqual(self.turn("[[say On.]]")["outcome"], "ok")
        words = said(self.api.inferences()[-1]["body"]["messages"])
        self.assertIn("I begin.", words)

    def test_kill(self) -> None:
        """A killed agent's message waits for its next start, marked."""
        number = self.hive.send("bob", "[[hang times=1]] [[say On.]]")
        self.api.inferences(wait=1)
        self.hive.do(cmd="kill", name="bob")
        self.assertEqual(self.end()["outcome"], "drained")
        self.assertEqual(claudes(self.hive), [])
        self.assertEqual(self.message(number)["state"], "queued")
        self.hive.do(cmd="start", scope={"agent_names": ["bob"]})
        self.assertEqual(self.end()["outcome"], "ok")
        self.assertTrue(self.message(number)["redelivered"])

    def test_vanished(self) -> None:
        """A claude that is killed from outside has vanished, and its message is tried again."""
        number = self.hive.send("bob", "[[hang times=1]] [[say On.]]")
        self.api.inferences(wait=1)
        [claude] = claudes(self.hive)
        os.kill(claude, signal.SIGKILL)
        self.assertEqual(self.ends(2), [("message", "vanished"), ("message", "ok")])
        message = self.message(number)
        self.assertEqual((message["state"], message["redelivered"]), ("done", True))


class SilenceTests(ClaudeTestCase):
    """An API that never answers."""

    flags = ("--silence-timeout", "6")

    def test_hang(self) -> None:
        """A silent claude is ended by the watchdog, and its message is tried again."""
        number = self.hive.send("bob", "[[hang times=1]] [[say On.]]")
        self.events.until(lambda event: event.get("state") == "stuck")
        end = self.end()
        self.assertEqual(end["outcome"], "killed")
        self.assertIn("printed nothing for 6 s", end["note"])
        self.assertEqual(self.end()["outcome"], "ok")
        self.assertTrue(self.message(number)["redelivered"])


class FailureTests(ClaudeTestCase):
    """What the API refuses, with a key."""

    def test_retry(self) -> None:
        """What claude tries again by itself is shown, and is no failure."""
        self.hive.send("bob", "[[429 retry-after=1 times=1]] [[say On.]]")
        self.events.until(
            lambda event: (
                event["kind"] == "stream"
                and event["event"].get("subtype") == "api_retry"
            )
        )
        self.assertEqual(self.end()["outcome"], "ok")

    def test_cut(self) -> None:
        """A connection that breaks within an answer is tried again by claude."""
        self.assertEqual(self.turn("[[cut times=1]] [[say On.]]")["outcome"], "ok")
        self.assertEqual(len(self.api.inferences()), 2)

    def test_limit_without_reset(self) -> None:
        """Without a reset time an agent is parked for a minute; a start takes that back."""
        number = self.hive.send("bob", "[[429 no-retry times=1]] [[say On.]]")
        self.assertEqual(self.end()["outcome"], "rate_limited")
        row = self.hive.status("bob")
        self.assertEqual(row["state"], "parked")
        self.assertIn("parked_until", row)
        self.assertEqual(self.message(number)["state"], "queued")
        self.hive.do(cmd="start", scope={"agent_names": ["bob"]})
        self.assertEqual(self.end()["outcome"], "ok")
        self.assertEqual(self.message(number)["state"], "done")

    def test_overloaded(self) -> None:
        """An overloaded API parks the agent for seconds; it tries again by itself."""
        self.hive.send("bob", "[[529 no-retry times=1]] [[say On.]]")
        self.assertEqual(self.end()["outcome"], "overloaded")
        row = self.hive.status("bob")
        self.assertEqual(row["state"], "parked")
        self.assertIn("overloaded", row["state_note"])
        self.assertEqual(self.end()["outcome"], "ok")

    def test_broken(self) -> None:
        """A broken API is tried four times by claude, then by the hive."""
        self.hive.send("bob", "[[500 times=4]] [[say On.]]")
        self.assertEqual(self.end()["outcome"], "overloaded")
        self.assertEqual(len(self.api.inferences()), 4)
        self.assertEqual(self.end()["outcome"], "ok")

    def test_refused(self) -> None:
        """A request that the API refuses has failed; the message is given back, marked."""
        number = self.hive.send("bob", "[[400]]")
        end = self.end()
        self.assertEqual(end["outcome"], "failed")
        self.assertIn("The script has it refused", end["note"])
        message = self.message(number)
        self.assertEqual((message["state"], message["redelivered"]), ("queued", True))
        self.assertEqual(self.end()["outcome"], "failed")

    def test_too_long(self) -> None:
        """A prompt that does not fit has the session compacted once, and is tried again."""
        self.turn("[[say A session.]]")
        self.hive.send("bob", "[[too-long]] [[say It fits.]]")
        self.assertEqual(
            self.ends(3),
            [("message", "prompt_too_long"), ("compact", "ok"), ("message", "ok")],
        )


class LoginTests(ClaudeTestCase):
    """What the API refuses to one that logged in with a subscription."""

    environment: dict[str, str] = {}  # noqa: RUF012

    def test_usage_limit(self) -> None:
        """A usage limit parks the agent until the reset that claude gave; it goes on by itself."""
        self.log_in("good")
        number = self.hive.send("bob", "[[usage-limit reset=2]] [[say On.]]")
        self.assertEqual(self.end()["outcome"], "rate_limited")
        row = self.hive.status("bob")
        self.assertEqual(row["state"], "parked")
        self.assertEqual(self.message(number)["state"], "queued")
        self.assertEqual(self.end()["outcome"], "ok")
        self.assertEqual(self.hive.status("bob").get("parked_until"), None)

    def test_logged_out(self) -> None:
        """A refused login stops the agent and tells the operator once; a new one goes on."""
        self.log_in("bad")
        first = self.hive.send("bob", "[[401 unless=good]] [[say On.]]")
        self.assertEqual(self.end()["outcome"], "auth_failed")
        second = self.hive.send("bob", "[[say And on.]]")
        row = self.hive.status("bob")
        self.assertEqual((row["state"], row["needs_login"]), ("needs login", True))
        [notice] = self.notices()
        self.assertIn("bob has no valid login", notice)
        self.log_in("good")
        self.assertEqual(self.ends(2), [("message", "ok"), ("message", "ok")])
        states = [self.message(number)["state"] for number in (first, second)]
        self.assertEqual(states, ["done", "done"])
        asked = self.api.inferences()[-1]
        self.assertEqual(asked["headers"]["authorization"], "Bearer good")
        self.assertEqual(len(self.notices()), 1)

    def test_never_logged_in(self) -> None:
        """Without any login nothing is dispatched until there is one."""
        number = self.hive.send("bob", "[[say At last.]]")
        self.assertEqual(self.hive.status("bob")["state"], "needs login")
        self.assertEqual(self.message(number)["state"], "queued")
        self.log_in("good")
        self.assertEqual(self.end()["outcome"], "ok")
        self.assertEqual(len(self.api.inferences()), 1)


def bubblewrap_refusal() -> str | None:
    """Why there can be no sandbox here, if so."""
    command = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except FileNotFoundError:
        return "bubblewrap is not installed"
    return f"bubblewrap does not work: {done.stderr}" if done.returncode else None


def said(value: Any) -> str:
    """All texts in a piece of JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    return "\n".join(map(said, value)) if isinstance(value, list) else ""


def blocks(event: dict[str, Any]) -> list[str]:
    """The types of the blocks in an event of claude's stream."""
    return [one["type"] for one in event["message"]["content"]]


def until_end(events: EventStream) -> Iterator[dict[str, Any]]:
    """All events up to the end of a turn."""
    while True:
        event = events.next()
        yield event
        if event["kind"] == "turn_end":
            return


def claudes(hive: Daemon) -> list[int]:
    """The claudes that a hive has running."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (folder / "cmdline").read_bytes().split(b"\0")[0]
            if program == CLAUDE_INSIDE.encode() and hive.pid in ancestors(folder):
                found.append(int(folder.name))
    return found


def ancestors(folder: Path) -> Iterator[int]:
    """The processes that a process descends from; ``folder`` is its place in /proc."""
    while parent := int((folder / "stat").read_text().rpartition(")")[2].split()[1]):
        yield parent
        folder = Path(f"/proc/{parent}")
