"""Say beside a route what it takes and answers: that is checked, and it is the documentation.

A handler is given what it declares, decoded, as arguments, and nothing else of the
body or the query reaches it: what is documented can't be other than what is read.
The decorators stand under ``@app.route``::

    @app.route("/pause/<name>", methods=["POST"])
    @takes(paused=fields.FLAG)
    @gives(paused=schema.BOOLEAN)
    async def pause(self, request: Request, name: str, paused: bool) -> bytes:
        \"\"\"Give an agent no further turn, or go on.\"\"\"
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import attrs
from attrs import field, frozen
from klein import Klein
from twisted.web.server import Request

from hyperhive.web import schema
from hyperhive.web.fields import Field, Parameter
from hyperhive.web.forms import form
from hyperhive.web.schema import Schema

Handler = TypeVar("Handler", bound=Callable[..., Any])
_ATTRIBUTE = "__hyperhive_description__"


class Routes(Protocol):
    """What has routes: klein's app is the class's own."""

    app: Klein


@frozen
class Response:
    """An answer that is no error.

    :param content: schemas by media type.
    """

    description: str
    content: Mapping[str, Schema] = field(factory=dict)


@frozen
class Description:
    """What is known of a route beyond its address, its method and its docstring.

    :param fields: of the body; ``None``: nothing was said of it.
    :param responses: by status code.
    :param mounts: the class whose routes are below a branch.
    :param streams: it answers server-sent events.
    """

    fields: Mapping[str, Field] | None = None
    query: Mapping[str, Parameter] = field(factory=dict)
    responses: Mapping[str, Response] = field(factory=dict)
    mounts: type[Routes] | None = None
    streams: bool = False


def description(handler: Any) -> Description | None:
    """What was said of a handler; ``None``: nothing."""
    return getattr(handler, _ATTRIBUTE, None)


def takes(**wanted: Field) -> Callable[[Handler], Handler]:
    """Read these fields of the body, and give them to the handler.

    Without any it takes none: every POST says so, for one that looked away from its
    body would take a misspelt wish for none.
    """

    def read(request: Request) -> dict[str, Any]:
        given = form(request)
        found = {name: one.read(given, name) for name, one in wanted.items()}
        given.check_names(wanted)
        return found

    return _reading(read, fields=wanted)


def asks(**query: Parameter) -> Callable[[Handler], Handler]:
    """Read these members of the query, and give them to the handler."""

    def read(request: Request) -> dict[str, Any]:
        return {name: one.read(request, name) for name, one in query.items()}

    return _reading(read, query=query)


def gives(
    whole: Schema | None = None, /, **members: Schema
) -> Callable[[Handler], Handler]:
    """It answers a JSON object: ``ok`` and these members.

    :param whole: the schema of the object without ``ok``, instead of members.
    """
    body = schema.row(ok=schema.YES, **members)
    if whole is not None:
        body = {"allOf": [body, whole]}
    return answers("200", "It is done.", "application/json", body)


def answers(
    codes: str, words: str, kind: str | None = None, body: Schema = schema.TEXT
) -> Callable[[Handler], Handler]:
    """It answers so. Of one code there may be several media types.

    :param codes: status codes, separated by spaces.
    :param kind: the media type of the body; ``None``: there is none.
    """
    content = {} if kind is None else {kind: body}

    def change(old: Description) -> Description:
        responses = dict(old.responses)
        for code in codes.split():
            others = responses[code].content if code in responses else {}
            responses[code] = Response(words, {**others, **content})
        return attrs.evolve(old, responses=responses)

    return _saying(change)


def takes_raw(**wanted: Field) -> Callable[[Handler], Handler]:
    """It takes these fields of the body, but reads them itself: its errors are pages."""
    return _saying(lambda old: attrs.evolve(old, fields=wanted))


def streams(handler: Handler) -> Handler:
    """It answers server-sent events."""
    say = _saying(lambda old: attrs.evolve(old, streams=True))
    return say(handler)


def mounts(routes: type[Routes]) -> Callable[[Handler], Handler]:
    """Below it are the routes of another class's ``app``."""
    return _saying(lambda old: attrs.evolve(old, mounts=routes))


def _saying(
    change: Callable[[Description], Description],
) -> Callable[[Handler], Handler]:
    def say(handler: Handler) -> Handler:
        setattr(handler, _ATTRIBUTE, change(description(handler) or Description()))
        return handler

    return say


def _reading(
    read: Callable[[Request], dict[str, Any]], **said: Any
) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def handle(page: Any, request: Request, **path: Any) -> Any:
            return handler(page, request, **path, **read(request))

        say = _saying(lambda old: attrs.evolve(old, **said))
        return say(cast(Handler, handle))

    return decorate


PAGE = answers("200", "The page.", "text/html")
