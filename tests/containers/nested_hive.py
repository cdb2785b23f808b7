"""A whole hive on a real systemd: what :mod:`tests.containers.test_nspawn` runs inside its host, too."""

import json
import os
from contextlib import closing
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.containers.nested import NestedDriver
from tests.containers.nested_root import world
from tests.containers.nixos_daemon import NixosDaemon
from tests.nixos.support import Nix, missing

#: What asks the hive for its name as claude does: through the container's own socat.
INITIALIZE = json.dumps(
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
)


class HiveTests(SynchronousTestCase):
    """A system that nix has built, booted by systemd-nspawn, and claude as a unit of it."""

    skip = missing()

    def setUp(self) -> None:
        """A hive with bob, whose claude is the one of his own system."""
        nix = Nix()
        self.addCleanup(nix.remove)
        # Containers see this store and no other.
        nix.environment["NIX_STORE_DIR"] = "/nix/store"
        self.hive = NixosDaemon(NestedDriver, nix)
        self.addCleanup(self.hive.remove)
        self.hive.environment["PATH"] = f"{world().bin}:{os.environ['PATH']}"
        self.hive.start()
        self.hive.quiet()
        self.hive.do(cmd="spawn", name="bob")
        self.addCleanup(self.hive.ask, cmd="destroy", name="bob", purge=True)

    def turn(self, body: str) -> tuple[dict[str, Any], str]:
        """Write to bob; how that turn ended, and all that his claude said in it."""
        said = []
        with closing(self.hive.events("turn", "stream")) as events:
            message = self.hive.send("bob", body)
            start = events.until(
                lambda event: (
                    event["kind"] == "turn_start" and event.get("id") == message
                )
            )
            of_bob = (one for one in iter(events.next, None) if one["agent"] == "bob")
            for event in of_bob:
                if event["kind"] == "turn_end":
                    break
                said.append(json.dumps(event))
        self.assertEqual(event["turn"], start["turn"])
        return event, "\n".join(said)

    def test_hive_turns(self) -> None:
        """A message comes in, the claude of the built system takes it, its answer goes out."""
        end, said = self.turn(
            "!reply Hello\n!tool Bash tr '\\0' ' ' </proc/$PPID/cmdline; ls /run/hive; "
            f"echo '{INITIALIZE}' | socat - UNIX-CONNECT:/run/hive/mcp.sock"
        )
        self.assertEqual(end["outcome"], "ok", end)
        answer = self.hive.inbox()[-1]
        self.assertEqual((answer["from"], answer["body"]), ("bob", "Hello"))
        self.assertIn("/run/current-system/sw/bin/claude --print", said)
        self.assertIn("serverInfo", said)

    def test_hive_stops_in_a_turn(self) -> None:
        """A container that is stopped in the middle gives its message back, for the next start."""
        with closing(self.hive.events("stream", "message")) as events:
            message = self.hive.send("bob", "!say here\n!once x !hang\n!reply again")
            events.until(
                lambda event: event["kind"] == "stream" and "here" in str(event)
            )
            self.hive.do(cmd="kill", name="bob")
            [row] = [one for one in self.hive.inbox("bob") if one["id"] == message]
            self.assertEqual(row["state"], "queued")
            self.hive.spend_once("bob", "x")
            self.hive.do(cmd="start", scope={"agent_names": ["bob"]})
            events.until(
                lambda event: (
                    event["kind"] == "message_done" and event.get("id") == message
                )
            )
        self.assertEqual(self.hive.inbox()[-1]["body"], "again")

    def model(self) -> str:
        """Which model bob's claude was started with."""
        _, said = self.turn("!tool Bash tr '\\0' ' ' </proc/$PPID/cmdline")
        return said.partition("--model ")[2].partition(" ")[0]

    def proposed(self, line: str) -> dict[str, Any]:
        """The approval that waits when the manager has proposed a change of bob."""
        with closing(self.hive.events("approval")) as events:
            self.hive.send("manager", f"!propose bob {line}")
            event = events.until(lambda event: event["kind"] == "approval_added")
        return dict(event["approval"])

    def test_hive_governed(self) -> None:
        """A module is proposed, shown, approved, built, and booted; and so is the way back."""
        self.hive.do(cmd="set_paused", name="hm1nd", paused=False)
        before = self.model()
        approval = self.proposed('model = "opus"')
        shown = self.hive.do(cmd="approval", id=approval["id"], against="running")
        self.assertIn('+  hyperhive.model = "opus";', shown["diff"]["text"])
        self.assertEqual(self.model(), before)
        self.hive.do(cmd="approve", id=approval["id"])
        self.assertEqual(self.model(), "opus")
        bad = self.proposed('modle = "sonnet"')
        said = self.hive.ask(cmd="approve", id=bad["id"])
        self.assertFalse(said["ok"])
        self.assertIn("modle", said["error"])
        self.assertEqual(self.model(), "opus")
        self.hive.do(cmd="rebuild", name="bob")
        self.assertEqual(self.model(), "opus")
        first = self.hive.do(cmd="deployments", name="bob")["deployments"][-1]
        self.hive.do(cmd="rollback", name="bob", id=first["id"])
        self.assertEqual(self.model(), before)
