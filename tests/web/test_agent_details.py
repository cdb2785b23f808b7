"""What an agent's page shows beside its stream: turns, configuration, deployments, journal."""

import json

from hyperhive.agents.config import AgentConfig
from hyperhive.agents.interfaces import Deployment
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Deployed
from hyperhive.messages.interfaces import Outcome, TurnEnd
from tests.web.support import WebCase


class DetailTests(WebCase):
    """Each is asked for when it is looked at."""

    def details(self, path: str) -> dict[str, object]:
        """What the page asks of alice's server."""
        return dict(self.get(f"/agent/alice/api/{path}"))

    @deferred
    async def turn(self) -> int:
        """A turn of alice that ends well; its id."""
        await self.hive.broker.send("operator", "alice", "Hello")
        turn = await self.hive.broker.begin_turn("alice")
        assert turn is not None
        await self.hive.broker.end_turn(turn.id, TurnEnd(Outcome.OK))
        return turn.id

    def test_turns(self) -> None:
        """They come in pages, newest first, and the last page says that it is."""
        first, second, third = (self.successResultOf(self.turn()) for _ in range(3))
        page = self.get("/agent/alice/api/turns?limit=2")
        self.assertEqual([one["id"] for one in page["turns"]], [third, second])
        self.assertEqual(page["before"], second)
        page = self.get(f"/agent/alice/api/turns?limit=2&before={second}")
        self.assertEqual([one["id"] for one in page["turns"]], [first])
        self.assertIsNone(page["before"])

    def test_turns_of_nobody(self) -> None:
        """Who is not there has none."""
        self.assert_refused(
            self.ask("GET", "/agent/nobody/api/turns"), 404, "nobody", "alice"
        )

    def test_config(self) -> None:
        """What it runs with; of one that was never configured, what holds then."""
        self.assertEqual(
            self.details("config")["config"], json.loads(AgentConfig().to_json())
        )
        self.hive.agents.deployments["alice"] = Deployment(
            "4f1c", "deployed/3", AgentConfig(model="opus").to_json(), None, "0.1.0"
        )
        found = self.details("config")
        self.assertEqual(found["config"]["model"], "opus")
        self.assertEqual((found["sha"], found["tag"]), ("4f1c", "deployed/3"))

    def test_journal(self) -> None:
        """The newest lines; a container that keeps no journal has none."""
        self.assertIsNone(self.details("journal")["lines"])
        self.hive.agents.journals["alice"] = ("one", "two", "<three>")
        self.assertEqual(self.details("journal?lines=2")["lines"], ["two", "<three>"])
        self.assert_refused(
            self.ask("GET", "/agent/alice/api/journal?lines=9999"), 400, "lines", "500"
        )

    def test_rollback(self) -> None:
        """As on the dashboard, for this agent."""
        self.assertIn("deployments", self.details("deployments"))
        self.hive.deploys.deployed["alice"] = [Deployed(1, "4f1c", 0.0, False)]
        code, _ = self.post("/agent/alice/api/rollback", {"id": 1})
        self.assertEqual(code, 200)
        self.assertIn(("rollback", "alice", 1, "operator"), self.hive.deploys.calls)
        code, answer = self.post("/agent/alice/api/rollback")
        self.assertEqual(code, 400)
        self.assertIn("'id'", answer["error"])
