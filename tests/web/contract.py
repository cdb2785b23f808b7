"""Hold answers of the web surface against its own OpenAPI document."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from attrs import field, frozen
from jsonschema_rs import Draft202012Validator

from hyperhive.web.agentpage import AgentPage
from hyperhive.web.dashboard import Dashboard
from hyperhive.web.entrance import Entrance
from hyperhive.web.openapi import describe
from hyperhive.web.openapi_events import KINDS, event_name

_JSON = "application/json"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Broken(AssertionError):
    """An answer that the document does not have."""


def _is_time(value: str) -> bool:
    """Times are RFC 3339 in UTC, as the wire page says."""
    return _TIME.fullmatch(value) is not None


def closed(schema: Any, shared: bool = False) -> Any:
    """The same schema, in which no object has members that are not documented.

    A client has to take more of them; a test does not.

    :param shared: it is a part of an object, whose other members stand elsewhere.
    """
    if isinstance(schema, list):
        return [closed(one, shared) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {
        key: closed(value, key == "allOf" or (shared and key == "anyOf"))
        for key, value in schema.items()
    }
    if shared or not {"properties", "allOf", "$ref"} & schema.keys():
        return inner
    if "$ref" in schema:
        inner = {"allOf": [schema]}
    return {**inner, "unevaluatedProperties": False}


@frozen
class Contract:
    """An origin's document, and what checks with it.

    :param document: as it is served.
    """

    document: dict[str, Any]
    _closed: dict[str, Any] = field(init=False)
    _validators: dict[str, Draft202012Validator] = field(factory=dict, init=False)

    @_closed.default
    def _close(self) -> dict[str, Any]:
        components = self.document["components"]
        # A row may be a part of another one: it is closed where it is referred to.
        rows = {key: closed(one, True) for key, one in components["schemas"].items()}
        return {
            "paths": closed(self.document["paths"]),
            "components": {
                "schemas": rows,
                "responses": closed(components["responses"]),
            },
        }

    def operations(self, method: str, path: str) -> Iterator[tuple[str, Any]]:
        """What may describe a request: the templates of paths, and operations."""
        for template, item in self.document["paths"].items():
            operation = item.get(method.lower().replace("head", "get"))
            if operation is not None and _pattern(template).fullmatch(path):
                yield template, operation

    def problem(
        self, method: str, path: str, code: int, kind: str, body: bytes | None
    ) -> str | None:
        """What is wrong with an answer; ``None``: nothing.

        :param kind: its media type, without parameters; empty: it has none.
        :param body: what it holds; ``None``: that is not looked at.
        """
        found = list(self.operations(method, path))
        if not found and code in (401, 403):
            return None  # it is refused before anybody asks what is there
        if not found:
            return f"{method} {path} is not documented"
        # A literal segment goes before a parameter, as it does in the routing.
        template, operation = min(found, key=lambda one: one[0].count("{"))
        if str(code) not in operation["responses"]:
            return f"{method} {path} answered {code}, which is not documented"
        place = self._place(template, method, code, operation)
        response = self._at(place)
        content = response.get("content", {})
        if not content:
            return f"{code} has no body" if body else None
        if kind not in content and "*/*" not in content:
            return f"{method} {path} answered {code} as {kind}, not {list(content)}"
        if kind != _JSON or body is None:
            return None
        return self._broken([*place, "content", kind, "schema"], json.loads(body))

    def event_problem(self, event: dict[str, Any]) -> str | None:
        """What is wrong with an event of a stream; ``None``: nothing."""
        if event["kind"] not in KINDS:
            return f"the kind {event['kind']!r} is not documented"
        place = ["components", "schemas", event_name(event["kind"])]
        return self._broken(place, event)

    def _place(
        self, template: str, method: str, code: int, operation: dict[str, Any]
    ) -> list[str]:
        reference = operation["responses"][str(code)].get("$ref")
        if reference is not None:
            return str(reference).removeprefix("#/").split("/")
        verb = method.lower().replace("head", "get")
        return ["paths", template, verb, "responses", str(code)]

    def _at(self, place: list[str]) -> dict[str, Any]:
        found = self.document
        for name in place:
            found = found[name]
        return found

    def _broken(self, place: list[str], value: Any) -> str | None:
        pointer = "/".join(one.replace("~", "~0").replace("/", "~1") for one in place)
        if pointer not in self._validators:
            # References are relative to the document: it has to be there as a whole.
            whole = {"$ref": f"#/{quote(pointer)}", "unevaluatedProperties": False}
            self._validators[pointer] = Draft202012Validator(
                {**self._closed, **whole},
                validate_formats=True,
                formats={"date-time": _is_time},
            )
        errors = [
            f"{error.instance_path}: {error.message[:300]}"
            for error in self._validators[pointer].iter_errors(value)
        ]
        return "; ".join(errors[:3]) or None


@cache
def contracts() -> tuple[Contract, Contract]:
    """The dashboard's origin, and an agent's own port."""
    return (
        Contract(describe(Entrance, Dashboard)),
        Contract(describe(Entrance, AgentPage)),
    )


def check_answer(
    contract: Contract,
    method: str,
    url: str,
    code: int,
    kind: str | None,
    body: bytes | None = None,
) -> None:
    """Hold an answer of an origin against its document.

    Addresses that there are not, methods that an address does not take, and hosts
    that are not ours are no part of it.

    :raises Broken:
    """
    if code in (404, 405, 421) and (body is None or b"There is nothing" in body):
        return
    path = urlsplit(url).path
    media = (kind or "").partition(";")[0].strip()
    problem = contract.problem(method, path, code, media, body)
    if problem is not None:
        raise Broken(f"{method} {url}: {problem}")


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    whole = [
        (r".*" if part == "{path}" else "[^/]+") if part[:1] == "{" else re.escape(part)
        for part in parts
    ]
    return re.compile("".join(whole))
