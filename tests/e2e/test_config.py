"""What an agent's configuration says is what its real claude has, may, and is asked with."""

import json
from typing import Any

from tests.e2e.test_governed import GovernedTestCase

CONFIGURATION = """\
model = "sonnet"
recipients = []
[tools]
built_in = ["Bash", "Read"]
bash = ["git *"]
[environment]
EMAIL = "bob@shop.example"
[mcp_servers.clock]
command = "/usr/bin/python3"
args = ["/state/clock.py"]
env = { HOUR = "noon" }
"""
#: An MCP server on its standard streams, with one tool.
CLOCK = """\
import json, os, sys

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = {}
    if asked["method"] == "initialize":
        result = {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "clock", "version": "1"},
        }
    elif asked["method"] == "tools/list":
        schema = {"type": "object", "properties": {}}
        result = {"tools": [{"name": "tell", "inputSchema": schema}]}
    elif asked["method"] == "tools/call":
        text = "It is " + os.environ["HOUR"]
        result = {"content": [{"type": "text", "text": text}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


class ConfigTests(GovernedTestCase):
    """One configuration with everything in it."""

    def results(self, *calls: tuple[str, dict[str, Any]]) -> list[tuple[bool, str]]:
        """What bob's calls of tools come to: whether they were refused, and the text."""
        script = " ".join(
            f"[[tool {name} {json.dumps(given)}]]" for name, given in calls
        )
        self.turn_of_bob(f"{script} [[say done]]")
        last = self.asked_by_bob()["messages"]
        found = [
            block
            for message in last
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        ]
        return [
            (bool(one.get("is_error")), json.dumps(one["content"]))
            for one in found[-len(calls) :]
        ]

    def test_everything(self) -> None:
        """Model, tools, commands, environment and servers are those of the file."""
        state = self.hive.state / "agents" / "bob" / "state"
        (state / "clock.py").write_text(CLOCK)
        approval = self.propose(CONFIGURATION)
        self.hive.do(cmd="approve", id=approval["id"])

        allowed, outside, made, own, clock = self.results(
            ("Bash", {"command": "git --version"}),
            ("Bash", {"command": "ls /"}),
            ("Bash", {"command": "touch /state/made"}),
            ("Bash", {"command": "ls /state"}),
            ("mcp__clock__tell", {}),
        )
        self.assertEqual(allowed[0], False, allowed)
        self.assertIn("git version", allowed[1])
        self.assertEqual((outside[0], made[0]), (True, True), (outside, made))
        self.assertFalse((state / "made").exists())
        # Claude's own exception: it lets an agent look at its own notes.
        self.assertEqual(own, (False, json.dumps("clock.py")))
        self.assertIn("It is noon", clock[1])

        asked = self.asked_by_bob()
        self.assertIn("sonnet", asked["model"])
        tools = {tool["name"] for tool in asked["tools"]}
        self.assertLessEqual({"Bash", "Read", "mcp__clock__tell"}, tools)
        self.assertEqual(tools & {"Write", "Edit", "Glob", "Grep"}, set())

        author, hidden = self.results(
            ("Bash", {"command": "git var GIT_AUTHOR_IDENT"}),
            ("Bash", {"command": "git --version && touch /state/made"}),
        )
        self.assertEqual(author[0], False, author)
        self.assertIn("<bob@shop.example>", author[1])
        self.assertEqual(hidden[0], True, hidden)
        self.assertFalse((state / "made").exists())

    def test_asks_although_it_may_write_to_nobody(self) -> None:
        """Recipients are about messages; the operator can always be asked."""
        approval = self.propose("recipients = []\n")
        self.hive.do(cmd="approve", id=approval["id"])
        sent, asked = self.results(
            ("mcp__hyperhive__send", {"to": "operator", "body": "Hello"}),
            ("mcp__hyperhive__ask_operator", {"question": "Which one?"}),
        )
        self.assertEqual((sent[0], asked[0]), (True, False), (sent, asked))
        [question] = self.hive.do(cmd="questions")["questions"]
        self.assertEqual(question["question"], "Which one?")
