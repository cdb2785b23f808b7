"""The verbs of approvals and questions, by bytes, and their subcommands in a terminal."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin.client import REFUSED
from hyperhive.admin.watch import summary
from hyperhive.deferreds import deferred
from hyperhive.names import MANAGER, OPERATOR
from tests.admin.support import AdminCase, Hive
from tests.admin.terminal import console, printed, said
from tests.admin.test_cli import CliCase

DONE = b'{"version":1,"ok":true}'
SHA = "0123456789" * 4
TIME = "2026-01-31T12:00:00.000Z"


def told(hive: Hive, name: str) -> Any:
    """Fires with what is in a mailbox."""
    return hive.broker.inbox(name).addCallback(
        lambda messages: [message.body for message in messages]
    )


class ApprovalVerbTests(AdminCase):
    """What each asks for, and what it answers."""

    def setUp(self) -> None:
        super().setUp()
        self.approvals = self.hive.decisions.approvals
        self.deployer = self.hive.decisions.deployer
        self.successResultOf(
            self.approvals.request_apply_commit("bob", SHA, MANAGER, "more memory")
        )

    def test_request_spawn(self) -> None:
        """It is asked for by the operator; the answer has its id."""
        self.client.send(b'{"cmd":"request_spawn","name":"carol"}\n')
        self.assertEqual(self.client.lines(), [b'{"version":1,"ok":true,"id":2}'])
        approval = self.successResultOf(self.approvals.get(2))
        self.assertEqual((approval.asker, approval.description), (OPERATOR, None))
        request = {"cmd": "request_spawn", "name": "dave", "description": "books"}
        self.assertEqual(self.client.ask(request)["id"], 3)
        approval = self.successResultOf(self.approvals.get(3))
        self.assertEqual(approval.description, "books")

    def test_pending(self) -> None:
        """The rows of the wire page."""
        self.client.send(b'{"cmd":"pending"}\n')
        [line] = self.client.lines()
        self.assertEqual(
            line,
            b'{"version":1,"ok":true,"approvals":[{"id":1,"agent":"bob",'
            b'"kind":"apply_commit","asker":"manager","commit_ref":"%b",'
            b'"fetched_sha":"%b","base_sha":"%b","description":"more memory",'
            b'"requested_at":"2026-01-31T12:00:00.000Z","status":"pending"}]}'
            % (SHA.encode(), SHA.encode(), b"b" * 40),
        )

    def test_approval(self) -> None:
        """One, and its diff if that is asked for."""
        answer = self.client.ask({"cmd": "approval", "id": 1})
        self.assertEqual(answer["approval"]["id"], 1)
        self.assertNotIn("diff", answer)
        answer = self.client.ask({"cmd": "approval", "id": 1, "against": "approved"})
        self.assertEqual(self.deployer.calls[-1], ("diff", "bob", SHA, "approved", 1))
        self.assertEqual(answer["diff"]["text"], self.deployer.text)
        self.assertEqual(answer["diff"]["files"][0]["path"], "agent.toml")

    def test_approve_takes_long(self) -> None:
        """The answer comes when it is done, and others need not wait for it."""
        self.deployer.holding = True
        self.client.send(b'{"cmd":"approve","id":1}\n')
        self.assertEqual(self.client.lines(), [])
        self.assertTrue(self.connect().ask({"cmd": "list"})["ok"])
        self.deployer.finish()
        self.assertEqual(self.client.lines(), [DONE])

    def test_a_client_that_leaves(self) -> None:
        """What it approved is done all the same."""
        self.deployer.holding = True
        self.client.send(b'{"cmd":"approve","id":1}\n')
        self.client.connection.connectionLost()
        self.deployer.finish()
        self.assertIn(("carry_out", 1), self.deployer.calls)
        approval = self.successResultOf(self.approvals.get(1))
        self.assertEqual(approval.status, "approved")

    def test_one_that_fails(self) -> None:
        """Why it could not be done is the error."""
        self.deployer.failing["bob"] = "agent.toml, line 3: no"
        refused = self.client.ask({"cmd": "approve", "id": 1})
        self.assert_refused(refused, "agent.toml, line 3: no")

    def test_deny(self) -> None:
        """With why, or without."""
        self.client.send(b'{"cmd":"deny","id":1,"note":"too much"}\n')
        self.assertEqual(self.client.lines(), [DONE])
        approval = self.successResultOf(self.approvals.get(1))
        self.assertEqual((approval.status, approval.note), ("denied", "too much"))
        self.client.ask({"cmd": "request_spawn", "name": "carol"})
        self.client.send(b'{"cmd":"deny","id":2}\n')
        self.assertEqual(self.client.lines(), [DONE])

    def test_two_clients(self) -> None:
        """One decides, the other hears who has, and when."""
        self.deployer.holding = True
        self.client.send({"cmd": "approve", "id": 1})
        other = self.connect()
        refused = other.ask({"cmd": "deny", "id": 1})
        self.assert_refused(refused, "approved by operator", TIME)
        self.deployer.finish()
        self.assertTrue(self.client.answers()[0]["ok"])

    def test_unknown(self) -> None:
        """What there is not."""
        for request in (
            {"cmd": "approve", "id": 9},
            {"cmd": "deny", "id": 9},
            {"cmd": "approval", "id": 9},
            {"cmd": "approve", "id": -1},
        ):
            self.assert_refused(self.client.ask(request), str(request["id"]))

    def test_followed(self) -> None:
        """Who subscribes sees it come and go."""
        self.client.ask({"cmd": "subscribe", "kinds": ["approval", "question_added"]})
        other = self.connect()
        other.ask({"cmd": "deny", "id": 1})
        self.successResultOf(self.hive.decisions.questions.ask("bob", "Why?"))
        self.assertEqual(
            [event["kind"] for event in self.client.answers()],
            ["approval_resolved", "question_added"],
        )


class QuestionVerbTests(AdminCase):
    """What each asks for, and what it answers."""

    def setUp(self) -> None:
        super().setUp()
        self.questions = self.hive.decisions.questions
        self.successResultOf(self.questions.ask("bob", "Which?", ("red", "blue"), True))

    def test_questions(self) -> None:
        """The rows of the wire page."""
        self.client.send(b'{"cmd":"questions"}\n')
        self.assertEqual(
            self.client.lines(),
            [
                b'{"version":1,"ok":true,"questions":[{"id":1,"asker":"bob",'
                b'"question":"Which?","options":["red","blue"],"multi":true,'
                b'"asked_at":"2026-01-31T12:00:00.000Z","status":"pending"}]}'
            ],
        )

    def test_answer(self) -> None:
        """In words, or by options; the asker is told."""
        self.client.send(b'{"cmd":"answer","id":1,"answer":"green"}\n')
        self.assertEqual(self.client.lines(), [DONE])
        [body] = self.successResultOf(told(self.hive, "bob"))
        self.assertIn('"answer": "green"', body)
        self.successResultOf(self.questions.ask("bob", "Which?", ("red", "blue"), True))
        request = {"cmd": "answer", "id": 2, "choices": ["red", "blue"]}
        self.assertTrue(self.client.ask(request)["ok"])
        refused = self.client.ask({"cmd": "answer", "id": 2, "answer": "again"})
        self.assert_refused(refused, "answered by operator", TIME)

    def test_neither_or_both(self) -> None:
        """An answer is one of them."""
        for more in ({}, {"answer": "red", "choices": ["red"]}):
            refused = self.client.ask({"cmd": "answer", "id": 1, **more})
            self.assert_refused(refused, "'answer'", "'choices'")
        refused = self.client.ask({"cmd": "answer", "id": 1, "choices": []})
        self.assert_refused(refused, "'choices' must be")
        refused = self.client.ask({"cmd": "answer", "id": 1, "choices": ["green"]})
        self.assert_refused(refused, "red; blue")

    def test_cancel(self) -> None:
        """Nothing is left to be answered."""
        self.client.send(b'{"cmd":"cancel_question","id":1}\n')
        self.assertEqual(self.client.lines(), [DONE])
        self.assertEqual(self.client.ask({"cmd": "questions"})["questions"], [])
        refused = self.client.ask({"cmd": "cancel_question", "id": 7})
        self.assert_refused(refused, "7")


class SummaryTests(SynchronousTestCase):
    """Their events in one line, for who follows all of them."""

    def test_lines(self) -> None:
        """Which, about whom, and what became of it."""
        approval = {"id": 4, "kind": "spawn", "status": "denied"}
        line = summary(
            {"kind": "approval_resolved", "agent": "bob", "approval": approval}
        )
        self.assertTrue(line.endswith("bob       #4 spawn denied"), line)
        question = {"id": 7, "status": "pending", "question": "Why?\n\x1b[2J"}
        line = summary({"kind": "question_added", "agent": "bob", "question": question})
        self.assertTrue(line.endswith("bob       #7 pending: Why?"), line)
        for odd in ({}, {"approval": 3}, {"question": None}):
            for kind in ("approval_added", "question_resolved"):
                self.assertIn(kind, summary({"kind": kind, **odd}))


class DecisionSubcommandTests(CliCase):
    """What is typed and printed."""

    @deferred
    async def setUp(self) -> None:
        await super().setUp()
        self.approvals = self.hive.decisions.approvals
        self.deployer = self.hive.decisions.deployer
        await self.approvals.request_apply_commit(
            "bob", SHA, MANAGER, "more memory\n\x1b[31mat once"
        )

    @deferred
    async def test_pending(self) -> None:
        """What waits, with why; what would steer the terminal is spelled out."""
        text = await self.ask("pending")
        head, *why = text.splitlines()
        self.assertTrue(head.startswith("#1  new configuration: bob  pending"), head)
        self.assertTrue(head.endswith("by manager  0123456789"), head)
        self.assertEqual(why, ["    more memory", "    \\x1b[31mat once"])

    @deferred
    async def test_decided(self) -> None:
        """They are printed where they are asked for, before what waits."""
        await self.approvals.deny(1, OPERATOR, "too much")
        answer = await self.ask("request-spawn", "carol", "-d", "keeps the books")
        self.assertEqual(answer, "Asked for as approval 2.\n")
        text = await self.ask("pending")
        self.assertNotIn("bob", text)
        self.assertIn("#2  new agent: carol  pending", text)
        lines = (await self.ask("pending", "--all")).splitlines()
        self.assertTrue(lines[0].startswith("#1  new configuration: bob  denied"))
        self.assertTrue(lines[3].endswith("by operator: too much"), lines)
        self.assertTrue(lines[4].startswith("#2"), lines)

    @deferred
    async def test_nothing_waits(self) -> None:
        """It is said so, beside what was asked for."""
        await self.approvals.deny(1, OPERATOR)
        one = console()
        self.assertEqual(await self.run_on(one, "pending"), 0)
        self.assertEqual(printed(one), "")
        self.assertIn("nothing waits", said(one))

    @deferred
    async def test_decide(self) -> None:
        """Approving, denying, and being too late."""
        self.assertEqual(await self.ask("approve", "1"), "1 is approved, and done.\n")
        self.assertIn("was approved by operator", await self.refused("deny", "1"))
        await self.approvals.request_spawn("carol", MANAGER)
        denied = await self.ask("deny", "2", "--note", "no")
        self.assertEqual(denied, "2 is denied.\n")
        approval = await self.approvals.get(2)
        self.assertEqual(approval.note, "no")

    @deferred
    async def test_diff(self) -> None:
        """Without colours where nobody looks; what an agent wrote steers nothing."""
        self.deployer.text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+\x1b[2J\n c\n"
        text = await self.ask("diff", "1")
        self.assertEqual(self.deployer.calls[-1], ("diff", "bob", SHA, "running", 1))
        self.assertNotIn("\x1b", text)
        self.assertIn("agent.toml  +1 -1\nlogo.png  binary\n", text)
        self.assertTrue(
            text.endswith("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+\\x1b[2J\n c\n"), text
        )
        await self.ask("diff", "1", "--against", "queued")
        self.assertEqual(self.deployer.calls[-1][3], "queued")
        await self.refused("diff", "9")

    @deferred
    async def test_colours(self) -> None:
        """On a terminal a diff has its colours."""
        one = console(terminal=True)
        self.assertEqual(await self.run_on(one, "diff", "1"), 0)
        lines = printed(one).splitlines()
        self.assertEqual(
            lines[-5:],
            [
                "\x1b[1m--- a/agent.toml\x1b[0m",
                "\x1b[1m+++ b/agent.toml\x1b[0m",
                "\x1b[36m@@ -1 +1 @@\x1b[0m",
                "\x1b[31m-old\x1b[0m",
                "\x1b[32m+new\x1b[0m",
            ],
        )

    @deferred
    async def test_questions(self) -> None:
        """They are listed, answered in words or by options, or left alone."""
        ask = self.hive.decisions.questions.ask
        for _ in range(3):
            await ask("bob", "Which?", ("red", "blue"), True)
        text = await self.ask("questions")
        self.assertIn("#1  bob asks", text)
        self.assertIn("    Which?\n    [ ] red\n    [ ] blue\n", text)
        answered = await self.ask("answer", "1", "go", "on")
        self.assertEqual(answered, "Question 1 is answered.\n")
        await self.ask("answer", "2", "--choose", "red", "--choose", "blue")
        left = await self.ask("cancel-question", "3")
        self.assertEqual(left, "Question 3 is left unanswered.\n")
        bodies = await told(self.hive, "bob")
        for body, words in zip(
            bodies, ('"go on"', '"red\\nblue"', "question_cancelled"), strict=True
        ):
            self.assertIn(words, body)
        one = console()
        self.assertEqual(await self.run_on(one, "questions"), 0)
        self.assertIn("nobody asks", said(one))

    @deferred
    async def test_no_answer(self) -> None:
        """Words or options, and not both."""
        for words in (("answer", "1"), ("answer", "1", "x", "--choose", "red")):
            text = await self.refused(*words, status=REFUSED)
            self.assertIn("--choose", text)
