"""The dashboard's routes: each verb is one call of the room below, and its answer."""

import gzip
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hyperhive.containers.interfaces import DriverError
from hyperhive.messages.interfaces import MAX_BODY, Outcome, TurnEnd
from hyperhive.testing.agents import NOW, Call
from hyperhive.times import rfc3339
from hyperhive.web.requests import HiveSite
from hyperhive.web.snapshot import MAX_SHOWN
from tests.web.support import FIRST_SEQ, Hive, WebCase, turn_ended


def embedded(page: str) -> Any:
    """The state in a page."""
    match = re.search(r'id="state" hidden data-state="([^"]*)"', page)
    assert match is not None
    return json.loads(unescape(match[1]))


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


class VerbTests(WebCase):
    """What can be done."""

    def test_verbs(self) -> None:
        """Each verb is one call, in the operator's name."""
        for path, fields, call in (
            ("/spawn", {"name": " carol "}, Call("spawn", {"name": "carol"})),
            ("/start/bob", {}, Call("start", {"name": "bob", "by": "operator"})),
            (
                "/kill/bob",
                {},
                Call("stop", {"name": "bob", "by": "operator", "graceful": False}),
            ),
            (
                "/kill/bob",
                {"graceful": True},
                Call("stop", {"name": "bob", "by": "operator", "graceful": True}),
            ),
            ("/restart/bob", {}, Call("restart", {"name": "bob", "by": "operator"})),
            (
                "/pause/bob",
                {"paused": False},
                Call("set_paused", {"name": "bob", "paused": False}),
            ),
            ("/destroy/bob", {}, Call("destroy", {"name": "bob", "purge": False})),
            (
                "/destroy/alice",
                {"purge": True},
                Call("destroy", {"name": "alice", "purge": True}),
            ),
        ):
            code, answer = self.post(path, fields)
            self.assertEqual((code, answer["ok"]), (200, True), path)
            self.assertEqual(self.hive.agents.calls[-1], call)

    def test_forms(self) -> None:
        """The same fields can come as a form."""
        response = self.ask("POST", "/pause/bob", data={"paused": "on"})
        self.assertEqual(response.code, 200)
        response = self.ask("POST", "/destroy/bob", data={"purge": "1"})
        self.assertEqual(response.code, 200)
        self.assertEqual(
            self.hive.agents.calls,
            [
                Call("set_paused", {"name": "bob", "paused": True}),
                Call("destroy", {"name": "bob", "purge": True}),
            ],
        )

    def test_only_post(self) -> None:
        """A verb is not done by a GET, and a page not by a POST."""
        for method, path in (
            ("GET", "/start/bob"),
            ("GET", "/spawn"),
            ("PUT", "/spawn"),
            ("POST", "/"),
            ("POST", "/api/state"),
        ):
            response = self.ask(method, path)
            self.assert_refused(response, 405)
            self.assertTrue(response.headers.getRawHeaders("allow"))
        self.assertEqual(self.hive.agents.calls, [])

    def test_errors(self) -> None:
        """Each kind of error has its code and its sentence."""
        self.hive.agents.failures["start"] = DriverError("bwrap: no space left")
        for path, fields, code, word in (
            ("/spawn", {}, 400, "'name'"),
            ("/spawn", {"name": 7}, 400, "'name'"),
            ("/spawn", {"name": "Bob"}, 400, "not a name"),
            ("/spawn", {"name": "system"}, 400, "reserved"),
            ("/spawn", {"name": "bob"}, 409, "bob"),
            ("/start/nobody", {}, 404, "nobody"),
            ("/start/Bob!", {}, 400, "not a name"),
            ("/start/..%2f..%2fetc", {}, 404, "nothing at this address"),
            ("/start/bob", {}, 500, "no space left"),
            ("/destroy/hm1nd", {}, 409, "manager"),
            ("/pause/bob", {}, 400, "'paused'"),
            ("/pause/bob", {"paused": "perhaps"}, 400, "true or false"),
            ("/op-send", {"to": "bob"}, 400, "'body'"),
            ("/op-send", {"to": "nobody", "body": "x"}, 404, "alice"),
            ("/op-send", {"to": "bob", "body": " "}, 400, "empty"),
            ("/op-send", {"to": "bob", "body": "\ud800"}, 400, "Unicode"),
            ("/op-send", {"to": "bob", "body": "x" * (MAX_BODY + 1)}, 413, "262144"),
            ("/op-send", {"to": "bob", "body": "x", "in_reply_to": 99}, 404, "99"),
            ("/op-send", {"to": "bob", "body": "x", "in_reply_to": "a"}, 400, "whole"),
            ("/requeue/77", {}, 404, "77"),
            ("/requeue/99999999999999999999", {}, 400, "id"),
            ("/requeue/x", {}, 404, "nothing"),
            ("/read", {}, 400, "'ids'"),
            ("/read", {"ids": []}, 400, "'ids'"),
            ("/read", {"ids": [True]}, 400, "whole"),
            ("/read", {"ids": [2**63]}, 400, "no id"),
            ("/read", {"ids": list(range(1, 202))}, 400, "200"),
            ("/approve/1", {}, 404, "no approval 1"),
            ("/no-such-verb/1", {}, 404, "nothing"),
        ):
            response = self.ask("POST", path, json=fields)
            self.assert_refused(response, code, word)

    def test_bad_bodies(self) -> None:
        """A body that is neither a form nor a JSON object is refused, and the next is not."""
        for body, kind, word in (
            (b"{", "application/json", "not JSON"),
            (b"\xff", "application/json", "not JSON"),
            (b"[" * 100_000, "application/json", "not JSON"),
            (b"[1]", "application/json", "object"),
            (b"name=%FF", "application/x-www-form-urlencoded", "UTF-8"),
            (b"a=&" * 200, "application/x-www-form-urlencoded", "100 fields"),
            (b"name=x", "multipart/mixed; boundary=x", "not 'multipart"),
            (b"name=x", "text/plain", "text/plain"),
        ):
            response = self.ask(
                "POST", "/spawn", data=body, headers={"content-type": kind}
            )
            self.assert_refused(response, 400, word)
        self.assertEqual(self.post("/spawn", {"name": "carol"})[0], 200)

    def test_defects_are_not_shown(self) -> None:
        """A defect is logged, and only that it happened is told."""
        self.hive.agents.failures["start"] = RuntimeError("secret detail")
        response = self.ask("POST", "/start/bob")
        self.assert_refused(response, 500, "log")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_send(self) -> None:
        """The operator writes, to one or to all, and gets the ids."""
        code, answer = self.post("/op-send", {"to": "bob", "body": "héllo; a=b&c"})
        self.assertEqual((code, len(answer["ids"])), (200, 1))
        reply = {"to": "*", "body": "x", "in_reply_to": answer["ids"][0]}
        code, everyone = self.post("/op-send", reply)
        self.assertEqual(len(everyone["ids"]), 3)
        messages = self.successResultOf(self.hive.broker.history("bob"))
        self.assertEqual(
            [(one.sender, one.body, one.in_reply_to) for one in messages],
            [("operator", "héllo; a=b&c", None), ("operator", "x", answer["ids"][0])],
        )

    def test_read(self) -> None:
        """Messages of the operator's inbox are marked, by list or by commas."""
        send = self.hive.broker.send
        ids = [
            self.successResultOf(send("alice", "operator", "x"))[0] for _ in range(3)
        ]
        self.assertEqual(self.post("/read", {"ids": ids[:1]})[1]["read"], 1)
        response = self.ask("POST", "/read", data={"ids": f"{ids[0]}, {ids[1]}"})
        self.assertEqual(json.loads(self.text(response)), {"ok": True, "read": 1})
        inbox = self.get("/api/state")["inbox"]
        self.assertEqual([row["read"] for row in inbox], [True, True, False])

    def test_requeue(self) -> None:
        """A dead message is queued again; one that is not dead is a conflict."""
        broker = self.hive.broker
        [number] = self.successResultOf(broker.send("operator", "alice", "x"))
        for _ in range(5):
            turn = self.successResultOf(broker.begin_turn("alice"))
            self.successResultOf(broker.end_turn(turn.id, TurnEnd(Outcome.FAILED)))
        self.assertEqual(self.post(f"/requeue/{number}")[0], 200)
        self.assertEqual(self.post(f"/requeue/{number}")[0], 409)
        message = self.successResultOf(broker.history("alice"))[0]
        self.assertEqual((message.state.value, message.attempts), ("queued", 0))

    def test_long_verbs_answer_when_done(self) -> None:
        """The answer to a spawn comes when the agent is there, or has failed."""
        self.hive.agents.hold("spawn")
        asking = self.client.post(
            "http://localhost:7000/spawn", json={"name": "carol"}, headers=self.bearer
        )
        self.client.flush()
        self.assertNoResult(asking)
        self.hive.agents.finish("spawn", DriverError("no space left"))
        self.client.flush()
        self.assert_refused(self.successResultOf(asking), 500, "no space left")


class LeavingTests(WebCase):
    """A client that leaves."""

    def leave(self, method: str, path: bytes) -> None:
        """Ask, and be gone before the answer."""
        self.hive.agents.hold(method)
        site = HiveSite(self.hive.web.root(), self.clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        protocol = site.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: 0\r\n\r\n" % (path, self.hive.token.encode())
        )
        self.assertEqual(self.hive.agents.held(method), 1)
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_operation_goes_on(self) -> None:
        """What the operator asked for is done though the tab was closed."""
        self.leave("restart", b"/restart/bob")
        self.hive.agents.change("bob", running=False)
        self.hive.agents.finish("restart")
        self.assertTrue(self.hive.agents.status("bob").running)

    def test_its_failure_is_logged(self) -> None:
        """If it then fails, the log says what failed."""
        self.leave("destroy", b"/destroy/bob")
        self.hive.agents.finish("destroy", DriverError("busy"))
        self.assertEqual(len(self.flushLoggedErrors(DriverError)), 1)

    def test_fake_is_cancellable(self) -> None:
        """Without our shield the leaving would cancel it: so the tests above mean something."""
        self.hive.agents.hold("start")
        starting: Deferred[None] = self.hive.agents.start("bob", "operator")
        starting.cancel()
        self.failureResultOf(starting, CancelledError)


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
