"""The manager's tools to look into an agent and to build it again."""

import json

from hyperhive.names import MANAGER
from tests.mcp.support import McpCase


class InspectionTests(McpCase):
    """On the manager's socket."""

    async def test_get_logs(self) -> None:
        """The last lines of what an agent did."""
        self.agents.events["bob"] = [
            json.dumps(
                {"seq": seq, "kind": "note", "at": "2026-01-31T12:00:00Z", "text": text}
            ).encode()
            for seq, text in enumerate(("one", "two", "three"), 1)
        ]
        client = await self.greeted(MANAGER)
        text, wrong = await client.result("get_logs", name="bob", lines=2)
        self.assertFalse(wrong)
        self.assertEqual(
            text.splitlines()[:2], ["12:00:00 note: two", "12:00:00 note: three"]
        )
        text, _ = await client.result("get_logs", name="alice")
        self.assertIn("(nothing was logged)", text)

    async def test_update(self) -> None:
        """An agent is built again by the manager; the manager not by itself."""
        client = await self.greeted(MANAGER)
        _, wrong = await client.result("update", name="bob")
        self.assertFalse(wrong)
        self.assertEqual(self.deploys.calls, [("rebuild", "bob", "manager")])
        for name in ("manager", "hm1nd"):
            text, wrong = await client.result("update", name=name)
            self.assertTrue(wrong)
            self.assertIn("itself", text)

    async def test_wrong_arguments(self) -> None:
        """Each is a sentence."""
        client = await self.greeted(MANAGER)
        for arguments, words in (
            ({"name": "nobody"}, "nobody"),
            ({"name": "bob", "lines": 0}, "'lines'"),
            ({"name": "bob", "lines": 201}, "'lines'"),
            ({"name": "bob", "lines": 1.5}, "'lines'"),
        ):
            text, wrong = await client.result("get_logs", **arguments)
            self.assertTrue(wrong, arguments)
            self.assertIn(words, text)

    async def test_only_the_manager(self) -> None:
        """Another agent has neither."""
        client = await self.greeted("alice")
        for tool in ("get_logs", "update"):
            text, wrong = await client.result(tool, name="bob")
            self.assertTrue(wrong)
            self.assertIn("no tool", text)
