"""Statistics over HTTP: what is answered, what is refused, and what other pages show of them."""

from typing import Any

from hyperhive.store.turns import TurnEnding, TurnTable
from hyperhive.testing.agents import NOW
from tests.web.support import Hive, WebCase


def store(hive: Hive, agent: str, ended_at: float = NOW, **more: Any) -> None:
    """Store a turn of two seconds."""

    def work(connection: Any) -> None:
        row = TurnTable.begin(connection, agent, "message", ended_at - 2)
        ending = TurnEnding(ended_at=ended_at, **{"outcome": "ok", **more})
        TurnTable.end(connection, row.id, ending)

    hive.database.write(work)


class StatsTests(WebCase):
    """``/api/stats`` and the page."""

    def test_default(self) -> None:
        """A day by hours, of everybody, with the number of the event that it includes."""
        store(self.hive, "bob", cost_usd=0.5)
        answer = self.get("/api/stats")
        self.assertEqual(answer["seq"], self.hive.bus.seq)
        self.assertEqual(answer["version"], "0.1.0")
        stats = answer["stats"]
        self.assertNotIn("agent", stats)
        self.assertEqual((stats["window"], len(stats["buckets"])), ("24h", 24))
        self.assertEqual(stats["buckets"][-1]["cost_usd"], 0.5)
        self.assertEqual(stats["total"]["turns"], 1)
        names = [row["name"] for row in stats["agents"]]
        self.assertEqual(names, ["alice", "bob", "hm1nd"])

    def test_windows(self) -> None:
        """Each window has its own buckets, which meet."""
        for name, bucket, number in (
            ("24h", "hour", 24),
            ("7d", "6h", 28),
            ("30d", "day", 30),
        ):
            stats = self.get(f"/api/stats?window={name}")["stats"]
            self.assertEqual((stats["window"], stats["bucket"]), (name, bucket))
            buckets = stats["buckets"]
            self.assertEqual(len(buckets), number)
            ends = [one["end"] for one in buckets]
            self.assertEqual([one["start"] for one in buckets[1:]], ends[:-1])

    def test_agent(self) -> None:
        """One agent's, by its name or its mailbox; an empty one is everybody's."""
        store(self.hive, "bob")
        store(self.hive, "hm1nd")
        for given, whose, turns in (
            ("bob", "bob", 1),
            ("manager", "hm1nd", 1),
            ("", None, 2),
        ):
            stats = self.get(f"/api/stats?agent={given}")["stats"]
            self.assertEqual(stats.get("agent"), whose)
            self.assertEqual(stats["total"]["turns"], turns)

    def test_refusals(self) -> None:
        """What is not there is refused with what is; nobody else is told anything."""
        for query, code, words in (
            ("window=1y", 400, "24h, 7d, 30d"),
            ("agent=%2e%2e", 400, ".."),
            ("agent=%ff", 400, "UTF-8"),
            ("agent=zed", 404, "bob"),
        ):
            response = self.ask("GET", f"/api/stats?{query}")
            self.assert_refused(response, code, words)
        self.assert_refused(self.ask("GET", "/api/stats", login=False), 401, "Log in")

    def test_page(self) -> None:
        """The page is there for the operator; everybody else goes to the login first."""
        self.assertIn("ST4TS", self.text(self.ask("GET", "/stats?window=7d")))
        response = self.ask("GET", "/stats", login=False)
        self.assertEqual(response.code, 303)
        [location] = response.headers.getRawHeaders("location")
        self.assertEqual(location, "/login?next=/stats")

    def test_today(self) -> None:
        """The dashboard's state says what today cost, once that is known."""
        state = self.get("/api/state")
        self.assertNotIn("cost_today", state)
        store(self.hive, "bob", cost_usd=0.5)
        store(self.hive, "gone", cost_usd=0.25)
        self.successResultOf(self.hive.today.load())
        state = self.get("/api/state")
        self.assertEqual((state["turns_today"], state["cost_today"]), (2, 0.75))

    def test_today_of_an_agent(self) -> None:
        """An agent's row has its own, and leaves out a cost that is not known."""
        self.hive.agents.change("bob", turns_today=2, cost_today=0.5)
        self.hive.agents.change("alice", turns_today=1)
        rows = {row["name"]: row for row in self.get("/api/state")["agents"]}
        self.assertEqual(rows["bob"]["cost_today"], 0.5)
        self.assertEqual(rows["alice"]["turns_today"], 1)
        self.assertNotIn("cost_today", rows["alice"])
        self.assertNotIn("turns_today", rows["hm1nd"])
