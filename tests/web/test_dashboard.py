"""What the dashboard shows: its page and its state, messages by pages, and metrics."""

import gzip
import re
from pathlib import Path

from treq.testing import StubTreq

from hyperhive.messages.interfaces import MAX_BODY, Outcome, TurnEnd
from hyperhive.web.snapshot import MAX_SHOWN
from tests.web.support import FIRST_SEQ, Hive, WebCase, embedded, turn_ended


class StateTests(WebCase):
    """What the dashboard shows."""

    def send(self, sender: str, to: str, body: str) -> int:
        """Send a message."""
        return self.successResultOf(self.hive.broker.send(sender, to, body))[0]

    def test_everything(self) -> None:
        """The state holds agents, messages, inbox, facts and the newest event's number."""
        first = self.send("operator", "alice", "hello")
        second = self.send("alice", "operator", "hello yourself")
        self.hive.notices.add("Something is odd.")
        state = self.get("/api/state")
        self.assertEqual(
            [agent["name"] for agent in state["agents"]], ["hm1nd", "alice", "bob"]
        )
        self.assertEqual([row["id"] for row in state["messages"]], [first, second])
        self.assertEqual([row["id"] for row in state["inbox"]], [second])
        self.assertIs(state["inbox"][0]["read"], False)
        self.assertEqual(state["seq"], self.hive.bus.seq)
        self.assertGreater(state["seq"], FIRST_SEQ)
        self.assertEqual(state["notices"], ["Something is odd."])
        self.assertEqual(state["now"], "2026-01-31T12:00:00.000Z")
        facts = ("version", "demo", "driver", "isolated", "weaknesses")
        self.assertEqual(
            [state[name] for name in facts],
            ["0.1.0", False, "bubblewrap", True, ["The network is the host's."]],
        )

    def test_long_bodies(self) -> None:
        """The state holds the beginning of a long body; the page of messages all of it."""
        body = "x" * (MAX_SHOWN + 1)
        number = self.send("operator", "alice", body)
        [row] = self.get("/api/state")["messages"]
        self.assertEqual((len(row["body"]), row["body_chars"]), (MAX_SHOWN, len(body)))
        found = self.get(f"/api/messages?before={number + 1}&limit=1")["messages"]
        self.assertEqual([one["body"] for one in found], [body])

    def test_page(self) -> None:
        """The page holds the state, and whatever is in it is text."""
        self.send("operator", "alice", "<script>alert(1)</script>\"'&")
        self.hive.agents.change("alice", status_text='"><img src=x onerror=alert(1)>')
        response = self.ask("GET", "/")
        self.assertEqual(
            response.headers.getRawHeaders("content-type"),
            ["text/html; charset=utf-8"],
        )
        page = self.text(response)
        self.assertNotIn("<script>alert", page)
        self.assertNotIn("<img", page)
        state = embedded(page)
        self.assertEqual(state["messages"][0]["body"], "<script>alert(1)</script>\"'&")

    def test_nothing_inline(self) -> None:
        """The pages have no inline script, style or handler, and name no other host."""
        for path in ("/", "/agent/alice/", "/login"):
            page = re.sub(r'data-state="[^"]*"', "", self.text(self.ask("GET", path)))
            self.assertNotRegex(page, r"<script(?![^>]*\bsrc=)")
            self.assertNotRegex(page, r"<style|\sstyle=|\son[a-z]+=|javascript:")
            self.assertNotRegex(page, r'(?:src|href|action)="(?!/|#)')

    def test_head(self) -> None:
        """HEAD works for pages and state, without a body."""
        for path in ("/", "/agent/alice/", "/api/state", "/events/stream"):
            response = self.ask("HEAD", path)
            self.assertEqual((response.code, self.text(response)), (200, ""), path)
            if "stream" not in path:
                length = response.headers.getRawHeaders("content-length")
                whole = self.text(self.ask("GET", path)).encode()
                # Pages are compressed on their way to this client.
                packed = (
                    gzip.compress(whole, 1, mtime=0) if path[1:4] != "api" else whole
                )
                self.assertEqual(length, [str(len(packed))], path)

    def test_banners(self) -> None:
        """Demo and no isolation are said on every page, the login's included."""
        hive = Hive(
            self.clock, Path(self.mktemp()), self._now, demo=True, isolated=False
        )
        client = StubTreq(hive.web.root())
        headers = {"authorization": f"Bearer {hive.token}"}
        for path in ("/", "/agent/hm1nd/", "/login"):
            response = self.ask("GET", path, client=client, headers=headers)
            page = self.text(response)
            self.assertIn("DEM0", page)
            self.assertIn("“process” keeps agents apart from nothing", page)
        self.assertNotIn("DEM0", self.text(self.ask("GET", "/")))
        self.assertNotIn("apart from nothing", self.text(self.ask("GET", "/")))

    def test_weaknesses(self) -> None:
        """What the driver can't do here is on the page."""
        self.assertIn("The network is the host", self.text(self.ask("GET", "/")))

    def test_metrics(self) -> None:
        """Prometheus gets figures that are true."""
        self.successResultOf(self.hive.web.start())
        self.send("operator", "alice", "one")
        self.send("operator", "*", "to three")
        turn = self.successResultOf(self.hive.broker.begin_turn("alice"))
        end = TurnEnd(Outcome.OK)
        self.successResultOf(self.hive.broker.end_turn(turn.id, end))
        self.hive.bus.publish("turn_end", turn_ended(), "alice")
        self.hive.bus.publish("turn_end", turn_ended("failed"), "alice")
        self.hive.agents.change("bob", working=True, unread=3)
        self.clock.advance(90)
        response = self.ask("GET", "/metrics")
        self.assertIn(
            "text/plain; version=0.0.4",
            response.headers.getRawHeaders("content-type")[0],
        )
        lines = self.text(response).splitlines()
        for line in (
            'hyperhive_info{version="0.1.0",driver="bubblewrap"} 1',
            "hyperhive_uptime_seconds 90.0",
            'hyperhive_agents{state="idle"} 2',
            'hyperhive_agents{state="working"} 1',
            "hyperhive_turns_running 1",
            'hyperhive_messages_queued{agent="bob"} 3',
            'hyperhive_context_tokens{agent="alice"} 12345',
            'hyperhive_message_events_total{event="sent"} 4',
            'hyperhive_message_events_total{event="done"} 1',
            'hyperhive_turns_total{outcome="ok"} 1',
            'hyperhive_turns_total{outcome="failed"} 1',
            "hyperhive_event_streams 0",
            "# TYPE hyperhive_turns_total counter",
        ):
            self.assertIn(line, lines)


class MessagesTests(WebCase):
    """Pages of messages."""

    def setUp(self) -> None:
        """Five messages."""
        super().setUp()
        self.ids = [
            self.successResultOf(self.hive.broker.send(sender, to, f"body {number}"))[0]
            for number, (sender, to) in enumerate(
                [
                    ("operator", "alice"),
                    ("alice", "manager"),
                    ("manager", "bob"),
                    ("bob", "operator"),
                    ("operator", "manager"),
                ]
            )
        ]

    def found(self, query: str) -> list[int]:
        """Ids that a query finds."""
        answer = self.get(f"/api/messages{query}")
        return [row["id"] for row in answer["messages"]]

    def test_pages(self) -> None:
        """Pages go back in time, oldest first in each, until there is no more."""
        first = self.get("/api/messages?limit=2")
        self.assertEqual([row["id"] for row in first["messages"]], self.ids[3:])
        self.assertEqual(first["before"], self.ids[3])
        self.assertEqual(
            self.found(f"?limit=2&before={first['before']}"), self.ids[1:3]
        )
        last = self.get(f"/api/messages?limit=2&before={self.ids[1]}")
        self.assertEqual([row["id"] for row in last["messages"]], self.ids[:1])
        self.assertNotIn("before", last)

    def test_of_one(self) -> None:
        """They can be narrowed to one mailbox, the manager's by both of its names."""
        self.assertEqual(self.found("?agent=alice"), self.ids[:2])
        manager = [self.ids[1], self.ids[2], self.ids[4]]
        self.assertEqual(self.found("?agent=manager"), manager)
        self.assertEqual(self.found("?agent=hm1nd"), manager)
        self.assertEqual(self.found("?agent=operator"), [self.ids[0], *self.ids[3:]])
        self.assertEqual(self.found("?agent=gone"), [])

    def test_search(self) -> None:
        """By text, in capitals or not, and by state, for all or one mailbox."""
        bob = self.successResultOf(self.hive.broker.send("alice", "bob", "Größe 48"))[0]
        self.assertEqual(self.found("?q=gr%C3%96SSE"), [bob])
        self.assertEqual(self.found("?q=48&agent=bob"), [bob])
        self.assertEqual(self.found("?q=48&agent=manager"), [])
        self.successResultOf(self.hive.broker.begin_turn("bob"))
        self.assertEqual(self.found("?state=leased"), [self.ids[2]])
        self.assertEqual(self.found("?state=dead"), [])

    def test_search_goes_on(self) -> None:
        """A page of what was found says where to look on."""
        for number in range(3):
            self.successResultOf(self.hive.broker.send("alice", "bob", f"n {number}"))
        answer = self.get("/api/messages?q=n&agent=bob&limit=2")
        self.assertEqual([row["body"] for row in answer["messages"]], ["n 1", "n 2"])
        query = f"/api/messages?q=n&agent=bob&before={answer['before']}"
        self.assertEqual([row["body"] for row in self.get(query)["messages"]], ["n 0"])

    def test_large(self) -> None:
        """A page is bounded in size too: what is left is asked for with ``before``."""
        ids = [
            self.successResultOf(self.hive.broker.send("alice", "bob", "x" * MAX_BODY))[
                0
            ]
            for _ in range(4)
        ]
        answer = self.get("/api/messages?limit=9")
        self.assertEqual([row["id"] for row in answer["messages"]], ids[2:])
        self.assertEqual(answer["before"], ids[2])
        self.assertEqual(self.found(f"?before={ids[2]}&limit=2"), ids[:2])

    def test_bad_queries(self) -> None:
        """What can't be understood is said by name."""
        for query, word in (
            ("?limit=0", "limit"),
            ("?limit=101", "limit"),
            ("?limit=x", "limit"),
            ("?before=-1", "before"),
            ("?before=99999999999999999999", "before"),
            ("?before=%C2%B2", "before"),
            ("?agent=%FF", "agent"),
            ("?agent=Bob!", "Bob!"),
            ("?q=" + "x" * 201, "200"),
            ("?state=lost", "leased"),
        ):
            self.assert_refused(self.ask("GET", f"/api/messages{query}"), 400, word)
