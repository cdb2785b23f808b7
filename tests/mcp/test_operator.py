"""The tools by which agents turn to the operator, as an agent meets them on its socket."""

from hyperhive.deploy.fetch import UnknownCommit
from hyperhive.names import MANAGER, OPERATOR
from hyperhive.store.approvals import ApprovalRow, ApprovalTable
from hyperhive.store.questions import QuestionRow, QuestionTable
from tests.mcp.support import McpCase

SHA = "0123456789" * 4


class QuestionTests(McpCase):
    """``ask_operator``."""

    def question(self, id: int) -> QuestionRow:
        row = self.database.read(lambda connection: QuestionTable.get(connection, id))
        assert row is not None
        return row

    async def test_ask(self) -> None:
        """It answers at once; who asks is known by the socket."""
        client = await self.greeted("alice")
        text, wrong = await client.result("ask_operator", question="Why?")
        self.assertFalse(wrong)
        self.assertIn("question 1", text)
        row = self.question(1)
        self.assertEqual((row.asker, row.question, row.options), ("alice", "Why?", ()))
        manager = await self.greeted(MANAGER)
        await manager.result("ask_operator", question="Why not?")
        self.assertEqual(self.question(2).asker, "manager")

    async def test_options(self) -> None:
        """Options, whether several may be chosen, and how long it waits."""
        client = await self.greeted("alice")
        _, wrong = await client.result(
            "ask_operator",
            question="Which?",
            options=["red", "blue"],
            multi=True,
            ttl_seconds=60.0,
        )
        self.assertFalse(wrong)
        row = self.question(1)
        self.assertEqual((row.options, row.multi), (("red", "blue"), True))
        self.assertEqual(row.expires_at, row.asked_at + 60)

    async def test_the_answer(self) -> None:
        """It is a message, which the next answer of any tool tells of."""
        client = await self.greeted("bob")
        await client.result("ask_operator", question="Why?")
        await self.decisions.questions.answer(1, "because", OPERATOR)
        text, _ = await client.result("whoami")
        self.assertIn("(1 message waits for you", text)
        text, _ = await client.result("recv")
        self.assertIn("from system", text)
        self.assertIn('"event": "operator_answered"', text)
        self.assertIn('"answer": "because"', text)

    async def test_wrong_arguments(self) -> None:
        """Each is a sentence, and the connection goes on."""
        client = await self.greeted("alice")
        for arguments, words in (
            ({}, "needs 'question'"),
            ({"question": " "}, "empty"),
            ({"question": "?", "options": "red"}, "'options' must be a list of texts"),
            ({"question": "?", "options": [1]}, "'options' must be a list of texts"),
            ({"question": "?", "options": ["a", "a"]}, "same"),
            ({"question": "?", "multi": "yes"}, "'multi' must be true or false"),
            ({"question": "?", "multi": 1}, "'multi' must be true or false"),
            ({"question": "?", "ttl_seconds": 0}, "'ttl_seconds' must be"),
            ({"question": "?", "ttl_seconds": 1.5}, "'ttl_seconds' must be"),
            ({"question": "?", "ttl_seconds": 10**9}, "'ttl_seconds' must be"),
        ):
            text, wrong = await client.result("ask_operator", **arguments)
            self.assertTrue(wrong, arguments)
            self.assertIn(words, text)
        self.assertEqual(self.database.read(QuestionTable.pending), [])

    async def test_schema(self) -> None:
        """Options are a list of texts for a model too."""
        client = await self.greeted("alice")
        client.ask("tools/list")
        answer = await client.lines.get()
        [tool] = [
            one for one in answer["result"]["tools"] if one["name"] == "ask_operator"
        ]
        properties = tool["inputSchema"]["properties"]
        self.assertEqual(
            (properties["options"]["type"], properties["options"]["items"]),
            ("array", {"type": "string"}),
        )
        self.assertEqual(properties["multi"]["type"], "boolean")
        self.assertEqual(tool["inputSchema"]["required"], ["question"])


class ProposalTests(McpCase):
    """``request_spawn`` and ``request_apply_commit``."""

    def approval(self, id: int) -> ApprovalRow:
        row = self.database.read(lambda connection: ApprovalTable.get(connection, id))
        assert row is not None
        return row

    async def test_spawn(self) -> None:
        """It waits for the operator; nothing is made."""
        client = await self.greeted(MANAGER)
        text, wrong = await client.result(
            "request_spawn", name="carol", description="keeps the books"
        )
        self.assertFalse(wrong)
        self.assertIn("approval 1", text)
        row = self.approval(1)
        self.assertEqual(
            (row.agent, row.kind, row.asker, row.description),
            ("carol", "spawn", "manager", "keeps the books"),
        )
        self.assertEqual(self.agents.calls, [])
        for name, words in (
            ("carol", "approval 1"),
            ("bob", "already"),
            ("../", "a-z"),
        ):
            text, wrong = await client.result("request_spawn", name=name)
            self.assertTrue(wrong)
            self.assertIn(words, text)

    async def test_apply_commit(self) -> None:
        """The commit is pinned when it answers; one that can't be had is an error now."""
        client = await self.greeted(MANAGER)
        text, wrong = await client.result(
            "request_apply_commit", agent="bob", commit_ref=SHA
        )
        self.assertFalse(wrong)
        self.assertIn("approval 1", text)
        row = self.approval(1)
        self.assertEqual(
            (row.agent, row.kind, row.asker, row.sha),
            ("bob", "apply_commit", "manager", SHA),
        )
        self.decisions.deployer.failures["propose"] = UnknownCommit("No such commit.")
        text, wrong = await client.result(
            "request_apply_commit", agent="bob", commit_ref="abcdef0"
        )
        self.assertTrue(wrong)
        self.assertIn("No such commit.", text)

    async def test_what_was_decided(self) -> None:
        """The manager hears it as a message."""
        client = await self.greeted(MANAGER)
        await client.result("request_spawn", name="carol")
        await self.decisions.approvals.deny(1, OPERATOR, "bob can do it")
        [message] = await self.broker.inbox(MANAGER)
        self.assertIn('"note": "bob can do it"', message.body)
        text, _ = await client.result("list_agents")
        self.assertIn("(1 message waits for you", text)

    async def test_only_the_manager(self) -> None:
        """Others propose nothing."""
        client = await self.greeted("alice")
        for tool in ("request_spawn", "request_apply_commit"):
            text, wrong = await client.result(tool, name="carol")
            self.assertTrue(wrong)
            self.assertIn("There is no tool", text)
        self.assertEqual(self.database.read(ApprovalTable.pending), [])
