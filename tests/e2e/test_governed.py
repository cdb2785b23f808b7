"""A change from the manager's own shell to an agent that runs with it, and back."""

import json
import subprocess
from contextlib import closing
from typing import Any

from tests.daemon import LIMIT
from tests.e2e.test_claude import ClaudeTestCase

#: What the manager types to change bob's configuration; the file comes first.
PROPOSE = (
    "cd /agents/bob && git fetch -q applied && git checkout -q -B main applied/main && "
    "printf '%s' '{text}' > agent.toml && git add agent.toml && "
    "git commit -qm 'Change how bob works'"
)


class GovernedTestCase(ClaudeTestCase):
    """The manager's claude is real too."""

    def setUp(self) -> None:
        super().setUp()
        self.hive.do(cmd="set_paused", name="hm1nd", paused=False)

    def manage(self, body: str) -> None:
        """Write to the manager, and wait until its turn is over."""
        with_events = self.hive.events("turn")
        self.addCleanup(with_events.close)
        message = self.hive.send("manager", body)
        start = with_events.until(
            lambda event: event["kind"] == "turn_start" and event.get("id") == message
        )
        end = with_events.until(
            lambda event: event["kind"] == "turn_end" and event["turn"] == start["turn"]
        )
        self.assertEqual(end["outcome"], "ok", end)

    def bash(self, command: str) -> None:
        """Let the manager type a command."""
        call = json.dumps({"command": command})
        self.manage(f"[[tool Bash {call}]] [[say done]]")

    def head(self) -> str:
        """The commit that the manager has made last."""
        return subprocess.run(
            [
                "git",
                "-C",
                str(self.hive.state / "proposed" / "bob"),
                "rev-parse",
                "HEAD",
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        ).stdout.strip()

    def propose(self, text: str) -> dict[str, Any]:
        """Let the manager write, commit and propose; the approval that then waits."""
        self.bash(PROPOSE.format(text=text))
        arguments = {
            "agent": "bob",
            "commit_ref": self.head(),
            "description": "bob has hard problems",
        }
        self.manage(
            f"[[tool mcp__hyperhive__request_apply_commit {json.dumps(arguments)}]] "
            "[[say proposed]]"
        )
        approvals = self.hive.do(cmd="pending")["approvals"]
        [pending] = [one for one in approvals if one["status"] == "pending"]
        return dict(pending)

    def asked_by_bob(self) -> dict[str, Any]:
        """What bob's claude has asked the API for last."""
        bodies = [one["body"] for one in self.api.inferences()]
        own = [
            one for one in bodies if "You are `bob`" in json.dumps(one.get("system"))
        ]
        return dict(own[-1])

    def turn_of_bob(self, body: str) -> None:
        """Write to bob, and wait until that turn is over."""
        with_events = self.hive.events("message")
        self.addCleanup(with_events.close)
        message = self.hive.send("bob", body)
        with_events.until(
            lambda event: event["kind"] == "message_done" and event.get("id") == message
        )


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """What the messages of a request say, a block each."""
    return [
        block.get("text", "")
        for message in messages
        for block in (
            [{"text": message["content"]}]
            if isinstance(message["content"], str)
            else message["content"]
        )
    ]


class GovernedTests(GovernedTestCase):
    """From a proposal to what runs, and back."""

    def model(self) -> str:
        """Which model bob's next turn asks."""
        self.turn_of_bob("[[say Hello]]")
        return str(self.asked_by_bob()["model"])

    def told(self) -> list[dict[str, Any]]:
        """What the hive told the manager."""
        return [
            json.loads(one["body"])
            for one in self.hive.inbox("manager")
            if one["from"] == "system"
        ]

    def decide(self, approval: int) -> "subprocess.CompletedProcess[str]":
        """Approve by the CLI, and wait until the manager's claude has heard all of it."""
        with closing(self.hive.events("message")) as events:
            done = self.hive.cli("approve", str(approval))
            waiting = {
                one["id"]
                for one in self.hive.inbox("manager")
                if one["state"] != "done"
            }
            while waiting:
                event = events.next()
                if event["kind"] == "message_done":
                    waiting.discard(event["id"])
        return done

    def heard(self, *words: str) -> bool:
        """Whether the manager's claude was given a message with all these words in it."""
        return any(
            all(word in text for word in words)
            for one in self.api.inferences()
            if "You are `hm1nd`" in json.dumps(one["body"].get("system"))
            for text in texts(one["body"]["messages"])
        )

    def test_a_change(self) -> None:
        """Proposed, shown, approved, built, running; then a bad one; then back."""
        self.assertIn("haiku", self.model())
        approval = self.propose('model = "sonnet"\n')
        self.assertEqual((approval["agent"], approval["kind"]), ("bob", "apply_commit"))
        shown = self.hive.do(cmd="approval", id=approval["id"], against="running")
        self.assertIn('+model = "sonnet"', shown["diff"]["text"])
        self.assertIn("haiku", self.model())

        done = self.decide(approval["id"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.heard('"event": "approval_resolved"', '"approved"'))
        self.assertTrue(
            self.heard('"event": "rebuilt"', '"ok": true', approval["fetched_sha"])
        )
        self.assertIn("sonnet", self.model())
        self.assertEqual(
            self.hive.status("bob")["deployed_sha"], approval["fetched_sha"]
        )
        events = [one["event"] for one in self.told()]
        self.assertLess(events.index("approval_resolved"), events.index("rebuilt"))
        rebuilt = next(one for one in self.told() if one["event"] == "rebuilt")
        self.assertEqual(
            (rebuilt["agent"], rebuilt["ok"], rebuilt["sha"]),
            ("bob", True, approval["fetched_sha"]),
        )

        bad = self.propose('modle = "opus"\n')
        refused = self.decide(bad["id"])
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertTrue(self.heard('"event": "rebuilt"', '"ok": false', "modle"))
        self.assertIn("modle", refused.stderr)
        failed = self.told()[-1]
        self.assertEqual((failed["event"], failed["ok"]), ("rebuilt", False))
        self.assertIn("modle", failed["note"])
        self.assertIn("sonnet", self.model())

        [_, first] = self.hive.do(cmd="deployments", name="bob")["deployments"]
        back = self.hive.cli("rollback", "bob", str(first["id"]))
        self.assertEqual(back.returncode, 0, back.stderr)
        self.assertIn("haiku", self.model())

    def test_what_was_shown_is_deployed(self) -> None:
        """The manager amends after it has asked; what was pinned is what runs."""
        approval = self.propose('model = "sonnet"\n')
        self.bash(
            "cd /agents/bob && printf 'model = \"opus\"' > agent.toml && "
            "git commit -qam swap --amend && git reflog expire --expire=now --all && "
            "git gc -q --prune=now"
        )
        self.assertNotEqual(self.head(), approval["fetched_sha"])
        self.hive.do(cmd="approve", id=approval["id"])
        self.assertEqual(
            self.hive.status("bob")["deployed_sha"], approval["fetched_sha"]
        )
        self.assertIn("sonnet", self.model())
