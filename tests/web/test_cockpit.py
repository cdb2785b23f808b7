"""Decisions and deployments on the dashboard, in a real browser."""

import json

from hyperhive.deferreds import deferred
from hyperhive.testing.deploys import FakeDeploys
from tests.web.test_browser import BrowserCase

JOB = {
    "id": 12,
    "kind": "rebuild",
    "agent": "alice",
    "by": "operator",
    "state": "running",
    "step": "builds",
    "queued_at": "2026-01-31T12:00:00.000Z",
    "started_at": "2026-01-31T12:00:00.000Z",
    "cancellable": True,
}


class DecisionTests(BrowserCase):
    """What waits for the operator."""

    async def propose(self) -> int:
        """The manager asks for a change of alice."""
        return await self.hive.decisions.approvals.request_apply_commit(
            "alice", "0123456789", "manager", "alice has <b>hard</b> problems"
        )

    @deferred
    async def test_approve(self) -> None:
        """A proposal comes by itself; its diff is opened, and it is approved."""
        self.hive.decisions.deployer.text += "+<script>alert(1)</script>\n"
        await self.propose()
        await self.sees("#approvals", "alice has <b>hard</b> problems")
        await self.sees("#approvals-count", "1")
        await self.click("#approvals summary", "what changes")
        await self.sees("#approvals .patch .added", "+new")
        await self.sees("#approvals .patch", "<script>alert(1)</script>")
        await self.sees("#approvals .files", "logo.png")
        await self.click("#approvals button", "4PPR0VE")
        await self.browser.until("document.getElementById('confirm').open")
        await self.click("#confirm-yes")
        await self.sees("#approvals .outcome", "approved by operator")
        called = [call[0] for call in self.hive.decisions.deployer.calls]
        self.assertIn("carry_out", called)
        # The diff that was open still is.
        await self.sees("#approvals .patch .added", "+new")

    @deferred
    async def test_deny(self) -> None:
        """By keyboard alone, with a note, which is told."""
        id = await self.propose()
        await self.sees("#approvals", "alice has")
        await self.browser.type("#approvals .decide input", "too much", "Enter")
        await self.sees("#approvals .outcome", "denied by operator")
        await self.sees("#approvals .outcome", "too much")
        approval = await self.hive.decisions.approvals.get(id)
        self.assertEqual((approval.status, approval.note), ("denied", "too much"))

    @deferred
    async def test_somebody_else_was_first(self) -> None:
        """What was decided elsewhere is shown so, and typed text does not bring it back."""
        id = await self.propose()
        await self.sees("#approvals", "alice has")
        await self.browser.type("#approvals .decide input", "half a")
        await self.hive.decisions.approvals.deny(id, "operator", "elsewhere")
        await self.sees("#approvals .outcome", "elsewhere")
        await self.browser.until("document.querySelector('#approvals .decide').hidden")

    @deferred
    async def test_question(self) -> None:
        """An option is chosen, and the question goes."""
        await self.hive.decisions.questions.ask(
            "alice", "Which colour?", ("red", "blue")
        )
        await self.sees("#questions", "Which colour?")
        await self.click("#questions label", "blue")
        await self.click("#questions button", "4NSWER")
        await self.browser.until(
            "!document.querySelector('#questions').childElementCount"
        )
        [message] = await self.hive.broker.inbox("alice")
        self.assertEqual(json.loads(message.body)["answer"], "blue")

    @deferred
    async def test_multiple_choice(self) -> None:
        """Several options and words of one's own are one answer; a ttl runs down in sight."""
        ask = self.hive.decisions.questions.ask
        await ask("alice", "Which?", ("red", "blue", "green"), True, 7200)
        await self.sees("#questions .until", "left")
        await self.click("#questions label", "red")
        await self.click("#questions label", "green")
        await self.browser.type("#questions textarea", "or none", "Ctrl+Enter")
        await self.sees(".toast", "Answered.")
        [message] = await self.hive.broker.inbox("alice")
        self.assertEqual(json.loads(message.body)["answer"], "red\ngreen\nor none")

    @deferred
    async def test_half_an_answer(self) -> None:
        """What is typed into an answer outlives other questions, and a reload."""
        ask = self.hive.decisions.questions.ask
        await ask("alice", "Which?", ())
        await self.sees("#questions", "Which?")
        await self.browser.type("#questions textarea", "half")
        await ask("alice", "And where?", ())
        await self.sees("#questions", "And where?")
        focused = "document.activeElement.matches('#question-1 textarea')"
        self.assertTrue(await self.browser.run(focused))
        await self.open("")
        value = "document.querySelector('#question-1 textarea').value"
        self.assertEqual(await self.browser.run(value), "half")
        await self.click("#question-1 button", "don't answer")
        await self.browser.until("!document.querySelector('#question-1')")


class QueueTests(BrowserCase):
    """What is done about it."""

    @deferred
    async def test_live_log(self) -> None:
        """A job is shown as it goes; its open log grows; it can be cancelled."""
        deploys: FakeDeploys = self.hive.deploys
        deploys.rows, deploys.logs[12] = [JOB], ("first line",)
        self.hive.bus.publish("deploy", {"job": JOB}, "alice")
        await self.sees("#jobs", "builds")
        await self.click("#jobs summary", "log")
        await self.sees("#jobs .log", "first line")
        self.hive.bus.publish("deploy_log", {"job": 12, "line": "second line"}, "alice")
        await self.sees("#jobs .log", "second line")
        await self.click("#jobs button", "cancel")
        await self.sees(".toast", "Job 12 is cancelled.")
        self.assertEqual(deploys.calls, [("cancel", 12)])
        ended = {**JOB, "state": "failed", "note": "line 3: no", "cancellable": False}
        ended["ended_at"] = "2026-01-31T12:00:05.000Z"
        self.hive.bus.publish("deploy", {"job": ended}, "alice")
        await self.sees("#jobs .step", "line 3: no")
        await self.sees("#jobs .log", "second line")

    @deferred
    async def test_log_follows(self) -> None:
        """A log follows its end, but not while somebody reads further up."""
        deploys: FakeDeploys = self.hive.deploys
        deploys.rows, deploys.logs[12] = [JOB], tuple(f"line {n}" for n in range(200))
        self.hive.bus.publish("deploy", {"job": JOB}, "alice")
        await self.sees("#jobs", "builds")
        await self.click("#jobs summary", "log")
        await self.sees("#jobs .log", "line 199")
        log = "document.querySelector('#jobs .log')"
        at_end = f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 2"
        await self.browser.until(at_end)
        self.hive.bus.publish("deploy_log", {"job": 12, "line": "line 200"}, "alice")
        await self.sees("#jobs .log", "line 200")
        await self.browser.until(at_end)
        await self.browser.run(f"void ({log}.scrollTop = 0)")
        self.hive.bus.publish("deploy_log", {"job": 12, "line": "line 201"}, "alice")
        await self.sees("#jobs .pill", "1 new line")
        self.assertEqual(await self.browser.run(f"{log}.scrollTop"), 0)
        await self.click("#jobs .pill")
        await self.browser.until(at_end)

    @deferred
    async def test_revive(self) -> None:
        """What was destroyed comes back through an approval."""
        await self.hive.agents.destroy("alice")
        self.hive.bus.publish("tombstone", {"name": "alice", "kept": True})
        await self.sees("#tombstones", "has a login")
        await self.click("#tombstones button", "revive")
        await self.sees("#approvals", "new agent")
        [approval] = await self.hive.decisions.approvals.pending()
        self.assertEqual((approval.agent, approval.kind), ("alice", "spawn"))

    @deferred
    async def test_tombstone(self) -> None:
        """What a destroyed agent left is shown, and purged after a question."""
        await self.hive.agents.destroy("alice")
        self.hive.bus.publish("tombstone", {"name": "alice", "kept": True})
        await self.sees("#tombstones", "has a login")
        await self.click("#tombstones button", "purge")
        await self.browser.until("document.querySelector('dialog.by-name[open]')")
        self.assertTrue(
            await self.browser.run(
                "document.querySelector('.by-name .danger').disabled"
            )
        )
        await self.browser.type(".by-name input", "alice", "Enter")
        await self.sees(".toast", "alice is gone.")
        self.hive.bus.publish("tombstone", {"name": "alice", "kept": False})
        await self.sees("#no-tombstones", "Nothing is kept")
