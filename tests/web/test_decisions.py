"""The dashboard's routes of approvals and questions."""

from hyperhive.names import MANAGER, OPERATOR
from tests.web.support import WebCase

SHA = "0123456789" * 4
DONE = (200, {"ok": True})


class ApprovalRouteTests(WebCase):
    """A commit for bob waits."""

    def setUp(self) -> None:
        super().setUp()
        self.approvals = self.hive.decisions.approvals
        self.deployer = self.hive.decisions.deployer
        if MANAGER not in self.hive.agents.names():
            self.hive.agents.add(MANAGER)
        self.successResultOf(
            self.approvals.request_apply_commit("bob", SHA, MANAGER, "more memory")
        )

    def test_state(self) -> None:
        """It is in the state, and then what was decided too."""
        [row] = self.get("/api/state")["approvals"]
        self.assertEqual(
            (row["id"], row["agent"], row["status"], row["fetched_sha"]),
            (1, "bob", "pending", SHA),
        )
        self.assertEqual(self.post("/deny/1", {"note": "too much"}), DONE)
        [row] = self.get("/api/state")["approvals"]
        self.assertEqual((row["status"], row["note"]), ("denied", "too much"))

    def test_diff(self) -> None:
        """What it changes, of what is asked for."""
        answer = self.get("/api/approval/1")
        self.assertEqual(set(answer), {"ok", "approval"})
        answer = self.get("/api/approval/1?against=approved")
        self.assertEqual(self.deployer.calls[-1], ("diff", "bob", SHA, "approved", 1))
        self.assertEqual(answer["approval"]["id"], 1)
        self.assertEqual(answer["diff"]["text"], self.deployer.text)
        self.assertEqual(
            answer["diff"]["files"],
            [
                {"path": "agent.toml", "binary": False, "added": 1, "deleted": 1},
                {"path": "logo.png", "binary": True},
            ],
        )
        self.post("/request-spawn", {"name": "carol"})
        refused = self.ask("GET", "/api/approval/2?against=running")
        self.assert_refused(refused, 404, "carol")

    def test_approve(self) -> None:
        """It is carried out; doing it again is a conflict that says who was first."""
        self.assertEqual(self.post("/approve/1"), DONE)
        self.assertIn(("carry_out", 1), self.deployer.calls)
        for path in ("/approve/1", "/deny/1"):
            refused = self.ask("POST", path, json={})
            self.assert_refused(
                refused, 409, "approved by operator at 2026-01-31T12:00:00.000Z"
            )

    def test_one_that_fails(self) -> None:
        """The error says why."""
        self.deployer.failing["bob"] = "agent.toml, line 3: no"
        refused = self.ask("POST", "/approve/1", json={})
        self.assert_refused(refused, 500, "agent.toml, line 3: no")
        [row] = self.get("/api/state")["approvals"]
        self.assertEqual(
            (row["status"], row["note"]), ("failed", "agent.toml, line 3: no")
        )

    def test_request_spawn(self) -> None:
        """It waits as everything else does."""
        fields = {"name": " carol ", "description": "keeps the books"}
        self.assertEqual(
            self.post("/request-spawn", fields), (200, {"ok": True, "id": 2})
        )
        approval = self.successResultOf(self.approvals.get(2))
        self.assertEqual(
            (approval.agent, approval.asker, approval.description),
            ("carol", OPERATOR, "keeps the books"),
        )
        for name, code in (("carol", 409), ("bob", 409), ("../up", 400)):
            refused = self.ask("POST", "/request-spawn", json={"name": name})
            self.assert_refused(refused, code)
        self.assert_refused(self.ask("POST", "/request-spawn", json={}), 400, "name")

    def test_unknown(self) -> None:
        """What there is not, and what can't be an id."""
        for path, fields in (
            ("/approve/9", {}),
            ("/deny/9", {"note": "no"}),
            ("/answer-question/9", {"answer": "yes"}),
            ("/cancel-question/9", {}),
        ):
            refused = self.ask("POST", path, json=fields)
            self.assert_refused(refused, 404, "9")
        self.assert_refused(self.ask("GET", "/api/approval/9"), 404, "9")
        for path in (f"/approve/{2**63}", f"/cancel-question/{2**70}"):
            self.assert_refused(self.ask("POST", path, json={}), 400, "id")
        self.assert_refused(self.ask("GET", f"/api/approval/{2**63}"), 400, "id")

    def test_only_the_operator(self) -> None:
        """Nobody else gets at any of it."""
        for path in (
            "/approve/1",
            "/deny/1",
            "/request-spawn",
            "/answer-question/1",
            "/cancel-question/1",
        ):
            response = self.ask("POST", path, login=False)
            self.assertEqual(response.code, 403, path)
            own = {"origin": "http://localhost:7000"}
            response = self.ask("POST", path, login=False, headers=own)
            self.assertEqual(response.code, 401, path)
        response = self.ask("GET", "/api/approval/1?against=running", login=False)
        self.assertEqual(response.code, 401)
        approval = self.successResultOf(self.approvals.get(1))
        self.assertEqual(approval.status, "pending")


class QuestionRouteTests(WebCase):
    """Bob asks something."""

    def setUp(self) -> None:
        super().setUp()
        self.questions = self.hive.decisions.questions
        self.successResultOf(self.questions.ask("bob", "Which?", ("red", "blue"), True))

    def told(self) -> str:
        """What bob heard last."""
        return self.successResultOf(self.hive.broker.inbox("bob"))[-1].body

    def test_state(self) -> None:
        """It is in the state while it waits."""
        [row] = self.get("/api/state")["questions"]
        self.assertEqual(
            (row["id"], row["asker"], row["question"], row["options"], row["multi"]),
            (1, "bob", "Which?", ["red", "blue"], True),
        )
        self.assertEqual(self.post("/cancel-question/1"), DONE)
        self.assertEqual(self.get("/api/state")["questions"], [])
        self.assertIn("question_cancelled", self.told())

    def test_answer(self) -> None:
        """In words or by options, from JSON or from a form."""
        self.assertEqual(self.post("/answer-question/1", {"answer": "green"}), DONE)
        self.assertIn('"answer": "green"', self.told())
        self.successResultOf(self.questions.ask("bob", "Which?", ("red", "blue"), True))
        given = {"answer": ["blue", "red"]}
        self.assertEqual(self.post("/answer-question/2", given), DONE)
        self.assertIn('"answer": "blue\\nred"', self.told())
        self.successResultOf(self.questions.ask("bob", "Why?"))
        response = self.ask("POST", "/answer-question/3", data={"answer": "because"})
        self.assertEqual(response.code, 200)
        self.assertIn('"answer": "because"', self.told())

    def test_refusals(self) -> None:
        """What is no answer, and what was answered."""
        for answer in ("", " ", [], [7], ["green"], 7, None):
            refused = self.ask("POST", "/answer-question/1", json={"answer": answer})
            self.assert_refused(refused, 400)
        self.post("/answer-question/1", {"answer": "red"})
        refused = self.ask("POST", "/answer-question/1", json={"answer": "blue"})
        self.assert_refused(refused, 409, "answered by operator at 2026-01-31T12:00")
