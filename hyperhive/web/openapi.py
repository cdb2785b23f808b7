"""The OpenAPI document, made from the Klein apps and from what stands beside their routes."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from attrs import frozen

from hyperhive import __version__
from hyperhive.bus import encode
from hyperhive.web.described import Description, Response, Routes, answers, description
from hyperhive.web.guard import PUBLIC
from hyperhive.web.openapi_events import EVENTS
from hyperhive.web.openapi_rows import ROWS
from hyperhive.web.schema import ANYTHING, ID, SEQ, TEXT, Schema, ref

_ABOUT = """\
What the pages use, and any program may. docs/api.md says how to log in, what errors
look like and how the streams work. HEAD works where GET does. What is below
`/agent/{name}/` is also at the root of the agent's own port.
"""
_SEGMENT = re.compile(r"<(?:(?P<kind>[a-z]+):)?(?P<name>\w+)>")
#: What a path's parameters are that are not numbers.
_PATH = {"name": ref("AgentName"), "gone": ref("NewName")}
_RESUMING = [
    {
        "name": "since",
        "in": "query",
        "schema": SEQ,
        "description": "Only what came after this event: the `seq` of a state.",
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": SEQ,
        "description": "The same, as browsers say it when they come back.",
    },
]
_JSON = "application/json"
_NONE = Response("There is no such answer.")
_FORM = "application/x-www-form-urlencoded"
#: What an operation says that answers with such a document.
DOCUMENT = answers("200", "The document.", _JSON, ANYTHING)
#: What each error is for; all have the same body.
_ERRORS = {
    "400": "A field is missing, or is not what is allowed: the sentence names it.",
    "401": "Nobody is logged in, or the token is wrong.",
    "403": "It comes from a foreign page.",
    "404": "There is no such thing.",
    "409": "It contradicts the present state: done already, or not possible now.",
    "413": "The body is too large.",
    "421": "The host name is not one of the hive's.",
    "429": "Too many wrong tokens.",
    "500": "It could not be carried out.",
    "503": "Too many streams are open.",
}


class Undocumented(Exception):
    """A route of which nothing is said; the text says what to do."""


@frozen
class _Route:
    """One method at one path.

    :param path: as OpenAPI spells it.
    """

    owner: type[Routes]
    handler: Any
    method: str
    path: str
    parameters: tuple[Schema, ...]
    said: Description

    @property
    def is_public(self) -> bool:
        """Whether it needs no login."""
        first = self.path.split("/")[1]
        return first.encode() in PUBLIC and (first != "login" or self.path == "/login")


@cache
def document(*owners: type[Routes]) -> bytes:
    """What :func:`describe` says of them, as it is served."""
    return encode(describe(*owners))


def describe(*owners: type[Routes]) -> dict[str, Any]:
    """Describe an origin: the routes of these classes' apps.

    :raises Undocumented: naming the first route of which nothing is said.
    """
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, str] = {}
    for owner in owners:
        for route in _routes(owner, "/"):
            tags.setdefault(route.owner.__name__, _words(route.owner))
            paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hyperhive", "version": __version__, "description": _ABOUT},
        "security": [{"bearer": []}, {"session": []}],
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "schemas": ROWS | EVENTS,
            "responses": {
                code: _response(Response(text, {_JSON: ref("Error")}))
                for code, text in _ERRORS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "hyperhive"},
            },
        },
    }


def _routes(
    owner: type[Routes], prefix: str, parameters: tuple[Schema, ...] = ()
) -> Iterator[_Route]:
    app = owner.app
    for rule in app.url_map.iter_rules():
        handler = inspect.unwrap(app.endpoints[rule.endpoint], stop=_is_described)
        said = description(handler)
        path = prefix + _SEGMENT.sub(_template, rule.rule.removeprefix("/"))
        if said is None:
            raise Undocumented(_remedy(owner, handler, path))
        if said.fields is None and "POST" in (rule.methods or ()):
            raise Undocumented(_remedy(owner, handler, path))
        # Klein has two rules for a branch: itself, and all that is below it.
        is_branch = f"{rule.endpoint}_branch" in app.endpoints
        is_below = "__rest__" in rule.arguments
        if is_below if said.mounts is not None else is_branch:
            continue
        below = parameters + tuple(map(_path_parameter, _SEGMENT.finditer(rule.rule)))
        if said.mounts is not None:
            yield from _routes(said.mounts, path, below)
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield _Route(owner, handler, method.lower(), path, below, said)


def _is_described(handler: Any) -> bool:
    return description(handler) is not None


def _remedy(owner: type[Routes], handler: Any, path: str) -> str:
    return (
        f"{owner.__module__}.{owner.__name__}.{handler.__name__} ({path}) is not "
        "documented: put @gives(…) under its @app.route, and @takes(…) with the "
        "fields of the body that it reads, none if it is a POST without, or @asks(…). hyperhive/web/described.py has an example."
    )


def _operation(route: _Route) -> dict[str, Any]:
    said = route.said
    operation: dict[str, Any] = {
        "tags": [route.owner.__name__],
        "operationId": f"{route.owner.__name__}.{route.handler.__name__}",
        "summary": _words(route.handler),
        "parameters": [*route.parameters, *_query(said)],
        "responses": _responses(route),
    }
    if said.fields:
        operation["requestBody"] = _body(said)
    if route.is_public:
        operation["security"] = []
    return operation


def _words(documented: Any) -> str:
    """The first sentence of a docstring, without reStructuredText's quotes."""
    text = inspect.getdoc(documented) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")


def _template(segment: re.Match[str]) -> str:
    return f"{{{_name(segment)}}}"


def _name(segment: re.Match[str]) -> str:
    """How a parameter is called; Klein calls everything below a branch ``__rest__``."""
    return "path" if segment["name"] == "__rest__" else segment["name"]


def _path_parameter(segment: re.Match[str]) -> dict[str, Any]:
    name = _name(segment)
    schema = ID if segment["kind"] == "int" else _PATH.get(name, TEXT)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(said: Description) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "query", "schema": one.schema}
        for name, one in said.query.items()
    ]
    if said.streams:
        found += _RESUMING
    return found


def _body(said: Description) -> dict[str, Any]:
    fields = said.fields or {}
    needed = [name for name, one in fields.items() if one.needed]

    def schema(fields: dict[str, Schema]) -> Schema:
        return {
            "type": "object",
            "properties": fields,
            "required": needed,
            "additionalProperties": False,
        }

    return {
        "required": bool(needed),
        "content": {
            _JSON: {"schema": schema({name: one.json for name, one in fields.items()})},
            _FORM: {
                "schema": schema(
                    {name: one.form or one.json for name, one in fields.items()}
                )
            },
        },
    }


def _responses(route: _Route) -> dict[str, Any]:
    said = route.said
    found = {code: _response(one) for code, one in said.responses.items()}
    if said.streams:
        found["200"] = _response(Response("Events.", {"text/event-stream": TEXT}))
    if not route.is_public and "text/html" in said.responses.get("200", _NONE).content:
        found["303"] = _response(Response("Nobody is logged in: to the login."))
    for code in _errors(route):
        if code not in found:
            found[code] = {"$ref": f"#/components/responses/{code}"}
    return dict(sorted(found.items()))


def _response(response: Response) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": response.description}
    if response.content:
        shown["content"] = {
            kind: {"schema": schema} for kind, schema in response.content.items()
        }
    return shown


def _errors(route: _Route) -> Iterator[str]:
    """Which errors a route may answer: each in the order of what is checked."""
    yield from ("421", "500")
    if route.method != "get":
        yield from ("400", "403", "409", "413")
    if not route.is_public:
        yield from ("401", "429")
    if route.said.query or route.said.streams or route.parameters:
        yield "400"
    if route.parameters or route.said.fields or route.said.query:
        yield "404"
    if route.said.streams:
        yield "503"
