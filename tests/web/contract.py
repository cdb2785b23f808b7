"""Hold answers of the web surface against its own OpenAPI document."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from hyperhive.web.agentpage import AgentPage
from hyperhive.web.dashboard import Dashboard
from hyperhive.web.entrance import Entrance
from hyperhive.web.openapi import describe
from hyperhive.web.openapi_events import KINDS, event_name

_JSON = "application/json"


class Broken(AssertionError):
    """An answer that the document does not have."""


@frozen
class Contract:
    """An origin's document, and what checks with it.

    :param document: as it is served.
    """

    document: dict[str, Any]
    _validators: dict[str, Validator] = field(factory=dict, init=False)

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
            # References are relative to the document: it has to be found as a whole.
            document = Resource(self.document, DRAFT202012)
            self._validators[pointer] = Draft202012Validator(
                {"$ref": f"urn:document#/{pointer}"},
                registry=Registry().with_resource("urn:document", document),
            )
        errors = [
            f"{error.json_path}: {error.message[:300]}"
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
    method: str, url: str, code: int, kind: str | None, body: bytes | None = None
) -> None:
    """Hold an answer of either origin against its document.

    Addresses that there are not, methods that an address does not take, and hosts
    that are not ours are no part of it.

    :raises Broken:
    """
    if code in (404, 405, 421) and (body is None or b"There is nothing" in body):
        return
    path = urlsplit(url).path
    media = (kind or "").partition(";")[0].strip()
    problems = [one.problem(method, path, code, media, body) for one in contracts()]
    if None not in problems:
        raise Broken(f"{method} {url}: {' / '.join(map(str, problems))}")


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    whole = [
        (r".*" if part == "{path}" else "[^/]+") if part[:1] == "{" else re.escape(part)
        for part in parts
    ]
    return re.compile("".join(whole))
