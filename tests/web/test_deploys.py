"""The dashboard's routes of deployments and of what destroyed agents have left."""

from hyperhive.deploy.interfaces import Deployed
from hyperhive.names import OPERATOR
from hyperhive.testing.agents import NOW, Call
from hyperhive.times import rfc3339
from tests.web.support import WebCase

SHA = "0123456789" * 4
JOB = {
    "id": 12,
    "kind": "rebuild",
    "agent": "bob",
    "by": OPERATOR,
    "state": "failed",
    "queued_at": rfc3339(NOW),
}


class DeployRouteTests(WebCase):
    """Each is one call, and its answer."""

    def setUp(self) -> None:
        super().setUp()
        self.deploys = self.hive.deploys
        self.deploys.deployed["bob"] = [Deployed(3, SHA, NOW, True)]
        self.deploys.rows = [JOB]
        self.deploys.logs[12] = ("building",)

    def test_changes(self) -> None:
        """What is asked for is done, by the operator."""
        for path, fields, call in (
            ("/rebuild/bob", {}, ("rebuild", "bob", OPERATOR)),
            ("/rollback/bob", {"id": 3}, ("rollback", "bob", 3, OPERATOR)),
            ("/run-again/12", {}, ("run_again", 12)),
        ):
            self.assertEqual(self.post(path, fields), (200, {"ok": True}))
            self.assertEqual(self.deploys.calls[-1], call)
        self.assertEqual(self.post("/update-all"), (200, {"ok": True, "count": 1}))

    def test_back_to_the_beginning(self) -> None:
        """What an agent began with is deployment 0, to which it can go back."""
        self.deploys.deployed["bob"].append(Deployed(0, SHA, NOW, False))
        for path in ("/rollback/bob", "/agent/bob/api/rollback"):
            self.assertEqual(self.post(path, {"id": 0}), (200, {"ok": True}))
            self.assertEqual(self.deploys.calls.pop(), ("rollback", "bob", 0, OPERATOR))

    def test_facts(self) -> None:
        """History and logs."""
        self.assertEqual(self.get("/api/job/12"), {"ok": True, "lines": ["building"]})
        [one] = self.get("/api/deployments/bob")["deployments"]
        self.assertEqual((one["id"], one["current"]), (3, True))

    def test_state(self) -> None:
        """The queue and what is kept are in the state."""
        self.successResultOf(self.hive.agents.destroy("bob"))
        state = self.get("/api/state")
        self.assertEqual(state["jobs"], [JOB])
        self.assertEqual([one["name"] for one in state["tombstones"]], ["bob"])

    def test_cancel(self) -> None:
        """What can be cancelled is; what can't is a conflict that says why."""
        self.assert_refused(self.ask("POST", "/cancel-job/12", json={}), 409, "12")
        self.deploys.rows = [{**JOB, "cancellable": True}]
        self.assertEqual(self.post("/cancel-job/12")[0], 200)

    def test_unknown(self) -> None:
        """What does not exist, and what can't be an id, is said so."""
        refused = self.ask("POST", "/rollback/bob", json={"id": 4})
        self.assert_refused(refused, 404, "no deployment 4")
        self.assert_refused(self.ask("POST", "/rollback/bob", json={}), 400, "id")
        self.assert_refused(self.ask("GET", "/api/job/99"), 404, "99")
        self.assert_refused(self.ask("POST", "/run-again/99", json={}), 404, "99")
        huge = self.ask("POST", f"/run-again/{2**63}", json={})
        self.assert_refused(huge, 400, "id")

    def test_purge(self) -> None:
        """Only what nobody lives under is purged."""
        self.assert_refused(
            self.ask("POST", "/purge-tombstone/bob", json={}), 409, "destroy it first"
        )
        self.assert_refused(self.ask("POST", "/purge-tombstone/..%2f", json={}), 404)
        self.successResultOf(self.hive.agents.destroy("bob"))
        self.assertEqual(self.post("/purge-tombstone/bob")[0], 200)
        self.assertEqual(self.hive.agents.calls[-1], Call("purge", {"name": "bob"}))
        self.assertEqual(self.get("/api/tombstones")["tombstones"], [])
