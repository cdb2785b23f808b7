"""The OpenAPI document: that it is one, that nothing is missing, and that it is kept."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from klein import Klein
from openapi_spec_validator import validate
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.web import fields
from hyperhive.web.agentpage import AgentPage
from hyperhive.web.claude_login import ClaudeLoginRoutes
from hyperhive.web.dashboard import Dashboard
from hyperhive.web.decide import Decide
from hyperhive.web.described import asks, gives, takes
from hyperhive.web.entrance import Entrance
from hyperhive.web.openapi import Undocumented, describe
from tests.web.contract import contracts
from tests.web.support import WebCase

#: What comes in from the pages' modules: the verb and the address.
_CALL = re.compile(r"\b(get|post)\(\s*([`\"])(.*?)\2", re.DOTALL)
_INSERTED = re.compile(r"\\\$\\\{.*?\\\}")


class DocumentTests(SynchronousTestCase):
    """What is generated."""

    def test_valid(self) -> None:
        """Both are OpenAPI 3.1, by somebody else's validator."""
        for contract in contracts():
            validate(contract.document)
            self.assertEqual(contract.document["openapi"], "3.1.0")

    def test_every_route(self) -> None:
        """Each rule of each Klein app is in the document of its origin, with its methods."""
        owners: list[tuple[type[Any], str]] = [
            (Entrance, ""),
            (Decide, "/decide"),
            (Dashboard, ""),
            (AgentPage, "/agent/{name}"),
            (ClaudeLoginRoutes, "/agent/{name}/login"),
        ]
        paths = contracts()[0].document["paths"]
        found = set()
        for owner, prefix in owners:
            for rule in owner.app.url_map.iter_rules():
                if f"{rule.endpoint}_branch" in owner.app.endpoints:
                    continue  # the same without what is below it
                whole = rule.rule.replace("<path:__rest__>", "<path>")
                path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", whole)
                # Where another app is mounted there are no methods.
                for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                    self.assertIn(method.lower(), paths.get(path, ()), path)
                    found.add((path, method.lower()))
        documented = {(path, method) for path, item in paths.items() for method in item}
        self.assertEqual(documented, found)

    def test_said_of_each(self) -> None:
        """Each operation has a name of its own, a sentence and an answer that is no error."""
        for contract in contracts():
            names = []
            for item in contract.document["paths"].values():
                for operation in item.values():
                    names.append(operation["operationId"])
                    self.assertTrue(operation["summary"].endswith("."), names[-1])
                    good = [code for code in operation["responses"] if code < "400"]
                    self.assertNotEqual(good, [], names[-1])
            self.assertEqual(len(names), len(set(names)))

    def test_undocumented(self) -> None:
        """A route of which nothing is said is an error that says what to write, and where."""

        class Forgetful:
            app: ClassVar[Klein] = Klein()

            @app.route("/said", methods=["GET"])
            @gives()
            def said(self, request: object) -> bytes:
                """Something."""
                return b""

            @app.route("/unsaid/<int:id>", methods=["POST"])
            def unsaid(self, request: object, id: int) -> bytes:
                """Nothing."""
                return b""

        error = self.assertRaises(Undocumented, describe, Forgetful)
        for words in ("test_openapi.Forgetful.unsaid", "/unsaid/{id}", "@gives"):
            self.assertIn(words, str(error))

    def test_what_is_taken(self) -> None:
        """What a handler declares is what the document says, in both forms of a body."""

        class Taking:
            app: ClassVar[Klein] = Klein()

            @app.route("/take", methods=["POST"])
            @takes(name=fields.TEXT, purge=fields.OFF)
            @asks(before=fields.query_id())
            @gives()
            def take(self, request: object, **given: object) -> bytes:
                """Take it."""
                return b""

        operation = describe(Taking)["paths"]["/take"]["post"]
        content = operation["requestBody"]["content"]
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            schema = content[kind]["schema"]
            self.assertEqual(schema["required"], ["name"])
            self.assertEqual(sorted(schema["properties"]), ["name", "purge"])
            self.assertIs(schema["additionalProperties"], False)
        [parameter] = operation["parameters"]
        self.assertEqual((parameter["name"], parameter["in"]), ("before", "query"))

    def test_what_the_pages_use(self) -> None:
        """Every address that a page's module asks for is documented, with that method."""
        used = list(_used())
        self.assertGreater(len(used), 40)
        for file, method, pattern in used:
            self.assertTrue(
                any(
                    pattern.fullmatch(path.removeprefix("/")) and method in item
                    for contract in contracts()
                    for path, item in contract.document["paths"].items()
                ),
                f"{file}: {method} {pattern.pattern}",
            )

    def test_what_the_forms_send(self) -> None:
        """Every field of a form that a page posts without a script is documented."""
        paths = contracts()[0].document["paths"]
        for file, path in (
            ("login.html", "/login"),
            ("decide.html", "/decide/{token}"),
        ):
            template = files("hyperhive.web").joinpath("templates", file).read_text()
            names = set(
                re.findall(r'<(?:input|textarea|button)[^>]* name="(\w+)', template)
            )
            self.assertIn({"login.html": "token"}.get(file, "seen"), names)
            content = paths[path]["post"]["requestBody"]["content"]
            known = content["application/x-www-form-urlencoded"]["schema"]["properties"]
            self.assertEqual(names - set(known), set(), file)


class ServedTests(WebCase):
    """The document over HTTP, and what it says of who may do what."""

    def test_served(self) -> None:
        """Each origin answers its own; the agent's also below the dashboard."""
        dashboard, agent = (contract.document for contract in contracts())
        for path, document in (
            ("/api/openapi.json", dashboard),
            ("/agent/alice/api/openapi.json", agent),
        ):
            self.assertEqual(self.get(path), document)

    def test_strangers(self) -> None:
        """Of all that is documented nobody gets or does anything without the login."""
        before = self.hive.bus.seq
        for path, method, operation in self.operations():
            if operation.get("security") == []:
                continue
            own = {"origin": "http://localhost:7000"}
            response = self.ask(method, path, login=False, headers=own)
            self.assertIn(response.code, (303, 401), path)
            if response.code == 303:
                location = response.headers.getRawHeaders("location")[0]
                self.assertTrue(location.startswith("/login"), path)
        self.assertEqual(self.hive.agents.calls, [])
        self.assertEqual(self.hive.bus.seq, before)

    def test_foreign_pages(self) -> None:
        """Of all that changes something nothing is done for another origin's page."""
        before = self.hive.bus.seq
        for path, method, _ in self.operations():
            if method != "POST":
                continue
            response = self.ask(method, path, headers={"origin": "http://evil.example"})
            self.assert_refused(response, 403, "the hive's own page")
        self.assertEqual(self.hive.agents.calls, [])
        self.assertEqual(self.hive.bus.seq, before)

    def test_foreign_hosts(self) -> None:
        """A rebound name gets nothing at all, whatever it asks for."""
        for path, method, _ in self.operations():
            response = self.ask(method, path, base="http://evil.example:7000")
            self.assert_refused(response, 421, "host name")

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Every documented operation, at an address that there is."""
        values = {"name": "alice", "path": "x.js", "token": "x", "gone": "carol"}
        for path, item in contracts()[0].document["paths"].items():
            address = re.sub(
                r"\{(\w+)\}", lambda found: values.get(found[1], "1"), path
            )
            for method, operation in item.items():
                yield address, method.upper(), operation


class ReadingTests(WebCase):
    """What a body and a query may hold."""

    def test_misspelt(self) -> None:
        """A field that there is not is refused, for it would be as if it were not there."""
        for kind in ("json", "data"):
            misspelt: dict[str, Any] = {kind: {"gracefull": "true"}}
            response = self.ask("POST", "/kill/alice", **misspelt)
            self.assert_refused(response, 400, "'gracefull'", "only graceful")
        self.assertEqual(self.hive.agents.calls, [])

    def test_no_fields_at_all(self) -> None:
        """A verb without fields takes none: a wish that it can't grant is refused."""
        for path in ("/restart/alice", "/start/alice", "/update-all", "/rebuild/bob"):
            response = self.ask("POST", path, json={"graceful": True})
            self.assert_refused(response, 400, "'graceful'", "no fields")
        for body in (b"x", b"[]"):
            headers = {"content-type": "application/json"}
            response = self.ask("POST", "/start/alice", data=body, headers=headers)
            self.assert_refused(response, 400)
        self.assertEqual(self.hive.agents.calls, [])

    def test_twice(self) -> None:
        """What is given twice is refused: which of them would hold?"""
        for kind, body in (
            ("application/json", b'{"to": "bob", "to": "alice", "body": "x"}'),
            ("application/x-www-form-urlencoded", b"to=bob&to=alice&body=x"),
        ):
            response = self.ask(
                "POST", "/op-send", data=body, headers={"content-type": kind}
            )
            self.assert_refused(response, 400, "'to'", "more than once")
        response = self.ask("GET", "/api/messages?agent=bob&agent=alice")
        self.assert_refused(response, 400, "'agent'", "more than once")

    def test_types(self) -> None:
        """In JSON a number is a number and a flag is a flag; a form has only texts."""
        for value in ("1", 0, -1, 1.5, True, 2**63, "x", [1], {}):
            message = {"to": "bob", "body": "x", "in_reply_to": value}
            response = self.ask("POST", "/op-send", json=message)
            self.assert_refused(response, 400, "in_reply_to")
        for flag in ("true", 1, None, []):
            response = self.ask("POST", "/pause/alice", json={"paused": flag})
            self.assert_refused(response, 400, "'paused' must be true or false")
        self.assertEqual(self.hive.agents.calls, [])
        sent = self.post("/op-send", {"to": "bob", "body": "x"})[1]["ids"][0]
        for replied in (float(sent), None):
            reply = {"to": "bob", "body": "x", "in_reply_to": replied}
            self.assertEqual(self.post("/op-send", reply)[0], 200)
        response = self.ask("POST", "/pause/alice", data={"paused": "On"})
        self.assertEqual(response.code, 200)

    def test_no_fields(self) -> None:
        """A body that is no object, or of no known kind, is refused with what is taken."""
        for body in (b"[]", b"1", b'"x"', b"null", b"{", b"\xff", b"[" * 100_000):
            response = self.ask(
                "POST",
                "/op-send",
                data=body,
                headers={"content-type": "application/json"},
            )
            self.assert_refused(response, 400)
        response = self.ask(
            "POST", "/op-send", data=b"<a/>", headers={"content-type": "text/xml"}
        )
        self.assert_refused(response, 400, "application/json", "text/xml")

    def test_methods(self) -> None:
        """What an address does not take says what it takes."""
        for path, method, allowed in (
            ("/api/state", "DELETE", "GET"),
            ("/spawn", "PUT", "POST"),
            ("/agent/alice", "POST", "GET"),
        ):
            response = self.ask(method, path)
            self.assert_refused(response, 405, "this method")
            [allow] = response.headers.getRawHeaders("allow")
            self.assertIn(allowed, allow)


def _used() -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """What the pages' modules ask for: the file, the method and the address."""
    folder = Path(str(files("hyperhive.web").joinpath("static")))
    for file in sorted(folder.glob("*.js")):
        for verb, _, address in _CALL.findall(file.read_text()):
            path = address.partition("?")[0].removeprefix("${path}")
            if not re.match(r"[a-z-]+(/|$)", path) or (
                verb == "get" and "/" not in path
            ):
                continue  # a key of a map or of the browser's memory
            pattern = _INSERTED.sub("[^/]+", re.escape(path))
            yield file.name, verb, re.compile(pattern)
