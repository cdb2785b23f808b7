"""An agent's own page: what it shows, its history, and its verbs."""

import json

from hyperhive.messages.interfaces import Outcome, TurnEnd
from hyperhive.testing.agents import NOW, Call
from hyperhive.times import rfc3339
from tests.web.support import WebCase, embedded


class AgentPageTests(WebCase):
    """An agent's own page, under the dashboard's origin and at its own port."""

    def test_page(self) -> None:
        """The page holds the agent's state, inbox and turns."""
        broker = self.hive.broker
        self.successResultOf(broker.send("bob", "alice", "</div><script>x</script>"))
        turn = self.successResultOf(broker.begin_turn("alice"))
        self.successResultOf(broker.end_turn(turn.id, TurnEnd(Outcome.OK)))
        self.successResultOf(broker.send("bob", "manager", "not for alice"))
        page = self.text(self.ask("GET", "/agent/alice/"))
        self.assertNotIn("<script>x", page)
        self.assertIn('href="/"', page)
        state = embedded(page)
        self.assertEqual(state["agent"]["name"], "alice")
        self.assertEqual(state["seq"], self.hive.bus.seq)
        self.assertEqual(
            [(row["from"], row["state"]) for row in state["inbox"]], [("bob", "done")]
        )
        self.assertEqual([row["outcome"] for row in state["turns"]], ["ok"])
        again = self.get("/agent/alice/api/state")
        self.assertEqual({**again, "ok": None}, {**state, "ok": None})

    def test_manager(self) -> None:
        """The manager's page shows its mailbox, and its turns."""
        self.successResultOf(self.hive.broker.send("bob", "manager", "hello"))
        self.successResultOf(self.hive.broker.begin_turn("hm1nd"))
        state = self.get("/agent/hm1nd/api/state")
        self.assertEqual([row["to"] for row in state["inbox"]], ["manager"])
        self.assertEqual(len(state["turns"]), 1)

    def test_slash(self) -> None:
        """Without its last slash the address leads to it: the page's own are relative."""
        response = self.ask("GET", "/agent/alice")
        self.assertEqual(response.code, 303)
        self.assertEqual(response.headers.getRawHeaders("location"), ["/agent/alice/"])

    def test_nobody(self) -> None:
        """There is no page of nobody, nor of a name that can't be one."""
        self.assert_refused(self.ask("GET", "/agent/nobody/"), 404, "alice")
        self.assert_refused(self.ask("GET", "/agent/nobody"), 404, "alice")
        self.assert_refused(self.ask("GET", "/agent/operator/"), 400, "reserved")
        self.assert_refused(self.ask("GET", "/agent/nobody/events/stream"), 404)
        self.assert_refused(self.ask("POST", "/agent/nobody/send"), 404)
        self.assert_refused(self.ask("GET", "/agent/alice/nothing"), 404)

    def note(self, seq: int, text: str) -> bytes:
        """An event of alice, as it is stored."""
        event = {"seq": seq, "kind": "note", "at": rfc3339(NOW), "agent": "alice"}
        return json.dumps({**event, "text": text}, ensure_ascii=False).encode()

    def test_history(self) -> None:
        """Stored events come in pages, as they are stored."""
        self.hive.agents.events["alice"] = [
            self.note(number, "é") for number in range(1, 6)
        ]
        page = self.get("/agent/alice/events/history?limit=2")
        self.assertEqual([event["seq"] for event in page["events"]], [4, 5])
        self.assertEqual(page["before"], 4)
        page = self.get("/agent/alice/events/history?limit=3&before=4")
        self.assertEqual([event["seq"] for event in page["events"]], [1, 2, 3])
        self.assertIsNone(page["before"])
        response = self.ask("GET", "/agent/alice/events/history?limit=1001")
        self.assert_refused(response, 400, "1000")

    def test_large_history(self) -> None:
        """A page of large events is bounded in bytes, and the next begins where it ends."""
        self.hive.agents.events["alice"] = [
            self.note(number, "x" * 300_000) for number in range(1, 6)
        ]
        page = self.get("/agent/alice/events/history")
        self.assertEqual([event["seq"] for event in page["events"]], [3, 4, 5])
        self.assertEqual(page["before"], 3)
        page = self.get("/agent/alice/events/history?before=3")
        self.assertEqual([event["seq"] for event in page["events"]], [1, 2])
        self.assertIsNone(page["before"])

    def test_one_huge_event(self) -> None:
        """An event that is larger than a page is a page of its own."""
        self.hive.agents.events["alice"] = [
            self.note(number, "x" * 2_000_000) for number in range(1, 3)
        ]
        page = self.get("/agent/alice/events/history")
        self.assertEqual([event["seq"] for event in page["events"]], [2])
        self.assertEqual(page["before"], 2)

    def test_messages(self) -> None:
        """Its messages are there whole, and only its own."""
        for to in ("alice", "bob"):
            self.successResultOf(self.hive.broker.send("operator", to, "x"))
        rows = self.get("/agent/alice/api/messages")["messages"]
        self.assertEqual([row["to"] for row in rows], ["alice"])

    def test_verbs(self) -> None:
        """Each verb is one call."""
        self.hive.agents.work("alice")
        for path, fields, call in (
            ("api/cancel", {}, Call("cancel_turn", {"name": "alice"})),
            ("api/compact", {}, Call("compact", {"name": "alice"})),
            ("api/new-session", {}, Call("new_session", {"name": "alice"})),
            (
                "api/model",
                {"model": "opus"},
                Call("set_model", {"name": "alice", "model": "opus"}),
            ),
        ):
            code, answer = self.post(f"/agent/alice/{path}", fields)
            self.assertEqual((code, answer["ok"]), (200, True), path)
            self.assertEqual(self.hive.agents.calls[-1], call)
        self.assertEqual(answer["model"], "opus")
        code, answer = self.post("/agent/alice/api/model", {"model": ""})
        self.assertEqual((code, answer["model"]), (200, "haiku"))

    def test_errors(self) -> None:
        """No turn to cancel is a conflict; a model that can't be one is malformed."""
        self.assert_refused(self.ask("POST", "/agent/alice/api/cancel"), 409, "alice")
        response = self.ask("POST", "/agent/alice/api/model", json={"model": "--x"})
        self.assert_refused(response, 400, "--x")

    def test_send(self) -> None:
        """The prompt writes to this agent, and to no other."""
        refused = self.post("/agent/alice/send", {"to": "bob", "body": "hi"})
        self.assertEqual((refused[0], "'to'" in refused[1]["error"]), (400, True))
        code, answer = self.post("/agent/alice/send", {"body": "hi"})
        self.assertEqual((code, len(answer["ids"])), (200, 1))
        [message] = self.successResultOf(self.hive.broker.history())
        self.assertEqual(
            (message.sender, message.recipient, message.sent_at),
            ("operator", "alice", NOW),
        )

    def test_own_port(self) -> None:
        """At its own port the page is the same, and leads back to the dashboard's."""
        self.successResultOf(self.hive.web.start())
        client = self.agent_client("alice")
        base = "http://127.0.0.1:8945"
        page = self.text(self.ask("GET", "/", base=base, client=client))
        self.assertIn('href="http://127.0.0.1:7000/"', page)
        self.assertEqual(embedded(page)["agent"]["name"], "alice")
        response = self.ask(
            "POST", "/send", base=base, client=client, json={"body": "hi"}
        )
        self.assertEqual(response.code, 200)
        for path in ("/agent/alice/", "/api/nothing", "/metrics", "/events"):
            response = self.ask("GET", path, base=base, client=client)
            self.assert_refused(response, 404)

    def test_agent_gone(self) -> None:
        """The page of an agent that is destroyed meanwhile answers that it is gone."""
        client = self.agent_client("alice")
        self.successResultOf(self.hive.agents.destroy("alice"))
        for path in ("/", "/api/state", "/events/stream", "/events/history"):
            response = self.ask("GET", path, client=client)
            self.assert_refused(response, 404, "alice")
