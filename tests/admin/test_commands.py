"""Each verb of the admin protocol by bytes, and what each refuses."""

import json
import re
from pathlib import Path
from typing import Any

from hyperhive.admin.commands import HANDLERS, MAX_INBOX_BYTES
from hyperhive.admin.fields import MAX_ID
from hyperhive.admin.verbs import DEFAULT_INBOX, MAX_INBOX, VERBS
from hyperhive.errors import PublicError
from hyperhive.messages.interfaces import Outcome, TurnEnd
from hyperhive.testing.agents import Call
from tests.admin.support import LOGIN_URL, AdminCase

DONE = b'{"version":1,"ok":true}'


class FactTests(AdminCase):
    """Verbs that change nothing."""

    def test_list(self) -> None:
        """The names, the manager first."""
        self.client.send(b'{"cmd":"list"}\n')
        self.assertEqual(
            self.client.lines(),
            [b'{"version":1,"ok":true,"agents":["hm1nd","alice","bob"]}'],
        )

    def test_urls(self) -> None:
        """Where pages are."""
        self.client.send(b'{"cmd":"urls"}\n')
        self.assertEqual(
            self.client.lines(),
            [b'{"version":1,"ok":true,"urls":{"home":"http://127.0.0.1:7000/"}}'],
        )

    def test_info(self) -> None:
        """What the hive tells of itself."""
        self.client.send(b'{"cmd":"info"}\n')
        self.assertEqual(
            self.client.lines(),
            [
                b'{"version":1,"ok":true,"info":{"hyperhive":"0.1.0","uptime_s":3725.5,'
                b'"demo":true,"weaknesses":["a","b"]}}'
            ],
        )

    def test_agent_status(self) -> None:
        """A row an agent; what is absent is left out."""
        self.client.send(b'{"cmd":"agent_status"}\n')
        [line] = self.client.lines()
        rows = json.loads(line)["agent_statuses"]
        self.assertEqual([row["name"] for row in rows], ["hm1nd", "alice", "bob"])
        self.assertIn(
            b'{"name":"bob","role":"agent","running":true,"failed":false,'
            b'"needs_update":false,"needs_login":false,"paused":false,"working":false,'
            b'"unread":0,"model":"haiku","state":"idle",'
            b'"state_since":"2026-01-31T12:00:00',
            line,
        )
        self.assertNotIn(b"null", line)

    def test_agent_status_of_one(self) -> None:
        """With a name, that agent's row only."""
        answer = self.client.ask({"cmd": "agent_status", "name": "bob"})
        self.assertEqual([row["name"] for row in answer["agent_statuses"]], ["bob"])

    def test_last_turn(self) -> None:
        """A row has the last turn, with its outcome."""
        self.agents.end_turn("bob", Outcome.RATE_LIMITED)
        answer = self.client.ask({"cmd": "agent_status", "name": "bob"})
        [row] = answer["agent_statuses"]
        self.assertEqual(row["last_turn"]["outcome"], "rate_limited")

    def test_login_url(self) -> None:
        """A link."""
        answer = self.client.ask({"cmd": "login_url"})
        self.assertEqual(answer, {"version": 1, "ok": True, "url": LOGIN_URL})

    def test_notify_test(self) -> None:
        """Who was told; or an error that says who was not, and why."""
        answer = self.client.ask({"cmd": "notify_test"})
        self.assertEqual(
            answer["targets"], [{"target": "ntfy", "host": "ntfy.example"}]
        )
        self.hive.untold = PublicError("ntfy (ntfy.example) could not be told: …")
        self.assert_refused(self.client.ask({"cmd": "notify_test"}), "could not")


class ChangeTests(AdminCase):
    """Verbs that change agents: each calls one method and says that it is done."""

    def assert_does(self, request: bytes, method: str, **arguments: Any) -> None:
        """The request is done by one call."""
        before = len(self.agents.calls)
        self.client.send(request + b"\n")
        self.assertEqual(self.client.lines(), [DONE])
        self.assertEqual(self.agents.calls[before:], [Call(method, arguments)])

    def test_spawn(self) -> None:
        """The operator on the host needs no approval."""
        self.assert_does(b'{"cmd":"spawn","name":"carol"}', "spawn", name="carol")

    def test_kill(self) -> None:
        """It doesn't wait for a turn."""
        self.assert_does(
            b'{"cmd":"kill","name":"bob"}',
            "stop",
            name="bob",
            by="operator",
            graceful=False,
        )

    def test_restart(self) -> None:
        """By the operator."""
        self.assert_does(
            b'{"cmd":"restart","name":"bob"}', "restart", name="bob", by="operator"
        )

    def test_destroy(self) -> None:
        """The state is kept unless a purge is asked for."""
        self.assert_does(
            b'{"cmd":"destroy","name":"bob"}', "destroy", name="bob", purge=False
        )
        self.assert_does(
            b'{"cmd":"destroy","name":"alice","purge":true}',
            "destroy",
            name="alice",
            purge=True,
        )

    def test_set_paused(self) -> None:
        """Both ways."""
        for paused in (True, True, False):
            text = json.dumps(paused).encode()
            self.assert_does(
                b'{"cmd":"set_paused","name":"bob","paused":%s}' % text,
                "set_paused",
                name="bob",
                paused=paused,
            )

    def test_set_model(self) -> None:
        """An empty one is the hive's own setting."""
        for model in ("sonnet", ""):
            self.assert_does(
                b'{"cmd":"set_model","name":"bob","model":"%s"}' % model.encode(),
                "set_model",
                name="bob",
                model=model,
            )

    def test_cancel_turn(self) -> None:
        """The turn that runs."""
        self.agents.work("bob")
        self.assert_does(
            b'{"cmd":"cancel_turn","name":"bob"}', "cancel_turn", name="bob"
        )

    def test_compact(self) -> None:
        """Its session."""
        self.assert_does(b'{"cmd":"compact","name":"bob"}', "compact", name="bob")

    def test_new_session(self) -> None:
        """In its place."""
        self.assert_does(
            b'{"cmd":"new_session","name":"bob"}', "new_session", name="bob"
        )

    def test_start(self) -> None:
        """Those of the scope."""
        self.assert_does(
            b'{"cmd":"start","scope":{"agent_names":["bob"]}}',
            "start",
            name="bob",
            by="operator",
        )

    def test_stop(self) -> None:
        """Graceful unless it is said not to be."""
        for text, graceful in (
            (b"", True),
            (b',"graceful":true', True),
            (b',"graceful":false', False),
        ):
            self.assert_does(
                b'{"cmd":"stop","scope":{"agent_names":["bob"]}%s}' % text,
                "stop",
                name="bob",
                by="operator",
                graceful=graceful,
            )

    def test_scope_at_once(self) -> None:
        """All of a scope are stopped at the same time, each once, and waited for."""
        self.agents.hold("stop")
        scope = {"agent_names": ["bob", "alice", "bob"]}
        self.client.send({"cmd": "stop", "scope": scope})
        self.assertEqual(self.agents.held("stop"), 2)
        self.agents.finish("stop")
        self.assertEqual(self.client.lines(), [])
        self.agents.finish("stop")
        self.assertEqual(self.client.lines(), [DONE])

    def test_scope_fails_in_part(self) -> None:
        """It is said for whom it did not work, after all have ended."""
        self.agents.hold("stop")
        scope = {"agent_names": ["bob", "alice"]}
        self.client.send({"cmd": "stop", "scope": scope})
        self.agents.finish("stop", PublicError("It is stuck."))
        self.assertEqual(self.client.lines(), [])
        self.agents.finish("stop")
        self.assert_refused(*self.client.answers(), "bob: It is stuck.")

    def test_scope_with_a_stranger(self) -> None:
        """Half of a scope is never done."""
        scope = {"agent_names": ["bob", "zoe"]}
        answer = self.client.ask({"cmd": "stop", "scope": scope})
        self.assert_refused(answer, "no agent 'zoe'", "hm1nd, alice, bob")
        self.assertEqual(self.agents.calls, [])

    def test_logged(self) -> None:
        """Who changes what is logged, but not what is written in messages."""
        self.client.connection._uid = 1234
        logged: list[Any] = []
        self.patch(self.client.connection, "_log", Recorder(logged))
        self.client.send(
            {"cmd": "list"},
            {"cmd": "kill", "name": "bob"},
            {"cmd": "send", "to": "bob", "body": "secret"},
        )
        self.assertEqual(
            [(one["uid"], one["verb"], one["what"]) for one in logged],
            [(1234, "kill", {"name": "bob"}), (1234, "send", {"to": "bob"})],
        )


class Recorder:
    """In the place of a logger."""

    def __init__(self, logged: list[Any]) -> None:
        self._logged = logged

    def info(self, text: str, **members: Any) -> None:
        """Take note."""
        self._logged.append(members)


class MessageTests(AdminCase):
    """Mail."""

    def send(self, body: str, to: str = "bob", **more: Any) -> Any:
        """A message, which must be taken."""
        answer = self.client.ask({"cmd": "send", "to": to, "body": body, **more})
        self.assertTrue(answer["ok"], answer)
        return answer

    def inbox(self, **members: Any) -> Any:
        """A mailbox's answer."""
        return self.client.ask({"cmd": "inbox", **members})

    def test_send(self) -> None:
        """The answer is the id; the row says whom it is from."""
        self.client.send(b'{"cmd":"send","to":"bob","body":"hello \\u00e9"}\n')
        self.assertEqual(self.client.lines(), [b'{"version":1,"ok":true,"id":1}'])
        self.client.send(b'{"cmd":"inbox","name":"bob"}\n')
        [line] = self.client.lines()
        self.assertTrue(
            line.startswith(
                b'{"version":1,"ok":true,"messages":[{"id":1,"from":"operator",'
                b'"to":"bob","body":"hello \xc3\xa9","sent_at":"2026-01-31T12:00:00'
            ),
            line,
        )
        self.assertIn(b'"state":"queued"', line)
        self.assertNotIn(b"null", line)

    def test_reply(self) -> None:
        """A message may answer another."""
        first = self.send("question")["id"]
        self.send("answer", in_reply_to=first)
        self.assertEqual(self.inbox(name="bob")["messages"][1]["in_reply_to"], first)

    def test_everyone(self) -> None:
        """One row a recipient; the answer says how many."""
        answer = self.send("all", to="*")
        self.assertEqual(answer["count"], 3)
        self.assertEqual(answer["ids"], [1, 2, 3])

    def test_inbox_of_operator(self) -> None:
        """Without a name it is the operator's, in which rows say whether they are read."""
        self.successResultOf(self.hive.broker.send("bob", "operator", "hi"))
        [row] = self.inbox()["messages"]
        self.assertEqual((row["from"], row["read"]), ("bob", False))

    def test_inbox_limit(self) -> None:
        """The newest so many, oldest first."""
        for number in range(DEFAULT_INBOX + 5):
            self.send(str(number))
        bodies = [row["body"] for row in self.inbox(name="bob")["messages"]]
        self.assertEqual(
            bodies, [str(number) for number in range(5, DEFAULT_INBOX + 5)]
        )
        bodies = [row["body"] for row in self.inbox(name="bob", limit=2)["messages"]]
        self.assertEqual(bodies, ["53", "54"])

    def test_inbox_too_large(self) -> None:
        """What would be too much for one answer is left out and counted, the newest stay."""
        size = 200 * 1024
        for number in range(10):
            self.send(f"{number}{'x' * size}")
        answer = self.inbox(name="bob")
        fit = MAX_INBOX_BYTES // size
        self.assertEqual(len(answer["messages"]), fit)
        self.assertEqual(answer["left_out"], 10 - fit)
        self.assertTrue(answer["messages"][-1]["body"].startswith("9"))

    def test_requeue(self) -> None:
        """A dead message is queued again; one that is not dead, or not there, is refused."""
        message = self.send("poison")["id"]
        self.assert_refused(self.client.ask({"cmd": "requeue", "id": message}))
        self.assert_refused(self.client.ask({"cmd": "requeue", "id": 999}), "999")
        for _ in range(5):
            turn = self.successResultOf(self.hive.broker.begin_turn("bob"))
            end = TurnEnd(Outcome.FAILED)
            self.successResultOf(self.hive.broker.end_turn(turn.id, end))
        [row] = self.inbox(name="bob")["messages"]
        self.assertEqual(row["state"], "dead")
        self.client.send(b'{"cmd":"requeue","id":%d}\n' % message)
        self.assertEqual(self.client.lines(), [DONE])
        [row] = self.inbox(name="bob")["messages"]
        self.assertEqual(row["state"], "queued")

    def test_refused(self) -> None:
        """Unknown recipients, and bodies that are empty or too large, are refused in words."""
        for to, body, words in (
            ("zoe", "x", ("zoe", "bob")),
            ("", "x", ()),
            ("bob", "x" * (256 * 1024 + 1), ("262144", "262145")),
        ):
            answer = self.client.ask({"cmd": "send", "to": to, "body": body})
            self.assert_refused(answer, *words)
        self.assert_refused(self.inbox(name="zoe"), "zoe")


class RefusalTests(AdminCase):
    """What is missing, mistyped or unknown is named, and nothing is done."""

    def test_verbs(self) -> None:
        """Every verb but those that subscribe has a handler."""
        self.assertEqual(
            set(VERBS) - set(HANDLERS), {"subscribe", "subscribe_agent_status"}
        )

    def test_documented(self) -> None:
        """The wire page has an example of each verb, with fields that it has."""
        page = Path(__file__).parents[2] / "docs" / "wire.md"
        examples = re.findall(
            r"\{\"cmd\":[^{}]*(?:\{[^{}]*\})?[^{}]*\}", page.read_text()
        )
        shown = set()
        for example in map(json.loads, examples):
            verb = VERBS[example.pop("cmd")]
            self.assertLessEqual(set(example), {field.name for field in verb.fields})
            shown.add(verb.name)
        self.assertEqual(shown, set(VERBS))

    def test_missing(self) -> None:
        """Every field that a verb needs is asked for by its name."""
        for verb in VERBS.values():
            for missing in (field for field in verb.fields if field.needed):
                given = {
                    field.name: EXAMPLES[field.name]
                    for field in verb.fields
                    if field is not missing
                }
                answer = self.client.ask({"cmd": verb.name, **given})
                self.assert_refused(answer, f"{verb.name} needs {missing.name!r}")
        self.assertEqual(self.agents.calls, [])

    def test_mistyped(self) -> None:
        """Every field of every verb refuses every other type of value, ``null`` too."""
        for verb in VERBS.values():
            for wrong in verb.fields:
                good = type(EXAMPLES[wrong.name])
                for value in ("x", 5, 1.5, True, None, ["x"], {"x": 1}):
                    fits_any = good not in (list, dict) or wrong.name == "choices"
                    if type(value) is good and fits_any:
                        continue
                    given = {field.name: EXAMPLES[field.name] for field in verb.fields}
                    given[wrong.name] = value
                    answer = self.client.ask({"cmd": verb.name, **given})
                    self.assert_refused(answer, f"{verb.name}: {wrong.name!r} must be ")
        self.assertEqual(self.agents.calls, [])

    def test_unknown(self) -> None:
        """A field that a verb does not take may be a mistake in the spelling of one."""
        scope = {"agent_names": ["bob"]}
        answer = self.client.ask({"cmd": "stop", "scope": scope, "gracefull": False})
        self.assert_refused(answer, "'gracefull'", "scope, graceful")
        answer = self.client.ask({"cmd": "list", "name": "bob"})
        self.assert_refused(answer, "list takes no 'name'")
        self.assertEqual(self.agents.calls, [])

    def test_scope_names_nobody(self) -> None:
        """Nobody never means everybody."""
        for scope in (
            {},
            {"agent_names": []},
            {"agent_names": "bob"},
            {"agent_names": [7]},
            {"agent_names": [None]},
            {"agents": ["bob"]},
            {"agent_names": ["bob"], "all": True},
        ):
            for cmd in ("start", "stop"):
                answer = self.client.ask({"cmd": cmd, "scope": scope})
                self.assert_refused(answer, f"{cmd}: 'scope' must be", "agent_names")
        self.assertEqual(self.agents.calls, [])

    def test_numbers(self) -> None:
        """Whole numbers have bounds; the error says them."""
        for limit in (0, -1, MAX_INBOX + 1, 10**30):
            answer = self.client.ask({"cmd": "inbox", "limit": limit})
            self.assert_refused(answer, f"from 1 to {MAX_INBOX}")
        answer = self.client.ask({"cmd": "requeue", "id": MAX_ID + 1})
        self.assert_refused(answer, "64 bits")
        answer = self.client.ask({"cmd": "requeue", "id": MAX_ID})
        self.assert_refused(answer, str(MAX_ID))

    def test_names(self) -> None:
        """Wrong, reserved, taken and unknown names."""
        for request, *words in (
            ({"cmd": "spawn", "name": "Not A Name"}, "Not A Name"),
            ({"cmd": "spawn", "name": "../x"},),
            ({"cmd": "spawn", "name": ""},),
            ({"cmd": "spawn", "name": "operator"}, "operator"),
            ({"cmd": "spawn", "name": "bob"}, "already"),
            ({"cmd": "destroy", "name": "hm1nd"}, "manager"),
            ({"cmd": "kill", "name": "zoe"}, "zoe", "hm1nd, alice, bob"),
            ({"cmd": "agent_status", "name": "zoe"}, "zoe"),
            ({"cmd": "cancel_turn", "name": "bob"}, "No turn"),
            ({"cmd": "set_model", "name": "bob", "model": "--help"}, "--help"),
        ):
            self.assert_refused(self.client.ask(request), *words)
        self.assertEqual(self.agents.calls, [])

    def test_half_a_character(self) -> None:
        """Half of a surrogate pair is no text."""
        self.client.send(b'{"cmd":"send","to":"bob","body":"\\ud83d"}\n')
        self.assert_refused(*self.client.answers(), "surrogate")


#: A good value of each field.
EXAMPLES: dict[str, Any] = {
    "window": "7d",
    "code": "a#b",
    "name": "bob",
    "scope": {"agent_names": ["bob"]},
    "graceful": True,
    "purge": False,
    "paused": True,
    "model": "sonnet",
    "to": "bob",
    "body": "hello",
    "in_reply_to": 1,
    "limit": 10,
    "id": 1,
    "description": "keeps the books",
    "note": "why",
    "against": "running",
    "answer": "yes",
    "choices": ["yes"],
    "kinds": ["message"],
    "since": 1,
    "agent": "bob",
}
