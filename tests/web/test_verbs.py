"""The dashboard's verbs: each is one call of the room below, and its answer."""

import json

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hyperhive.containers.interfaces import DriverError
from hyperhive.messages.interfaces import MAX_BODY, Outcome, TurnEnd
from hyperhive.testing.agents import Call
from hyperhive.web.requests import HiveSite
from tests.web.support import WebCase


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
