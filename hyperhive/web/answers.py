"""How requests are answered: JSON, security headers, and errors that people can act on."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect

from hyperhive.bus import encode
from hyperhive.errors import (
    DEFECT,
    BadRequest,
    Conflict,
    NotFound,
    PublicError,
    TooLarge,
)
from hyperhive.web.encoding import compressed

_log = Logger()
T = TypeVar("T")

#: What pages may load, and from where: this origin only, and nothing inline.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not no-referrer: with it browsers send forms with the Origin "null".
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "server": "hyperhive",
}

_CODES = (
    (BadRequest, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)


def secure(request: Request) -> None:
    """Set the headers that every answer has."""
    for name, value in _HEADERS.items():
        request.setHeader(name, value)


def answer(request: Request, members: Mapping[str, Any] | None = None) -> bytes:
    """Make the JSON answer of what went well."""
    return _json(request, {"ok": True, **(members or {})})


def answer_error(request: Request, code: HTTPStatus, error: str) -> bytes:
    """Make the JSON answer of what did not, with a sentence that says why."""
    request.setResponseCode(code.value, code.phrase.encode())
    return _json(request, {"ok": False, "error": error})


def answer_text(request: Request, kind: str, text: bytes) -> bytes:
    """Make an answer that is not JSON; ``kind`` is its media type."""
    request.setHeader("content-type", f"{kind}; charset=utf-8")
    return sized(request, text)


def answer_document(request: Request, document: bytes) -> bytes:
    """Make the answer that is encoded JSON already, compressed where that is taken."""
    request.setHeader("content-type", "application/json")
    return sized(request, compressed(request, document))


def answer_page(request: Request, page: bytes) -> bytes:
    """Make the answer that is a page, compressed where the browser takes it."""
    request.setHeader("content-type", "text/html; charset=utf-8")
    return sized(request, compressed(request, page))


def redirect(request: Request, location: str) -> bytes:
    """Send the browser to another place of this origin, by GET."""
    request.setResponseCode(HTTPStatus.SEE_OTHER)
    request.setHeader("location", location)
    return sized(request, b"")


def sized(request: Request, body: bytes) -> bytes:
    """Say how long the body is, and give it unless only that was asked for."""
    request.setHeader("content-length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


def code_of(error: PublicError) -> HTTPStatus:
    """The status code of an error that may be shown."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return HTTPStatus.INTERNAL_SERVER_ERROR


def answers_errors(app: Klein) -> None:
    """Have a Klein app answer every error as JSON, defects without their insides."""
    handlers: tuple[tuple[type[Exception], Any], ...] = (
        (PublicError, _public),
        (HTTPException, _routing),
        (Exception, _defect),
    )
    for kind, handler in handlers:
        app.handle_errors(kind)(handler)


def shielded(operation: "Deferred[T]", what: str) -> "Deferred[T]":
    """Wait for an operation that goes on when whoever waits for it leaves.

    Klein cancels a handler when its client disconnects. What the operator asked
    for has to be done all the same.

    :param what: what is said in the log if it then fails with nobody to tell.
    """
    waiting: Deferred[T] = Deferred(lambda _: None)

    def ended(result: "Failure | T") -> None:
        if not waiting.called:
            waiting.callback(result)
        elif isinstance(result, Failure):
            _log.failure("{what}, whose asker has left, failed", result, what=what)

    operation.addBoth(ended)
    return waiting


def _public(_: object, request: Request, failure: Failure) -> bytes:
    error = failure.value
    assert isinstance(error, PublicError)
    return answer_error(request, code_of(error), str(error))


def _routing(_: object, request: Request, failure: Failure) -> bytes:
    error = failure.value
    assert isinstance(error, HTTPException)
    if isinstance(error, MethodNotAllowed):
        request.setHeader("allow", ", ".join(error.valid_methods or ()))
    elif isinstance(error, RequestRedirect) and request.method not in (b"GET", b"HEAD"):
        # It would be another address with a slash after it. Only pages are asked for so.
        request.setHeader("allow", "GET, HEAD")
    else:
        return answer_error(
            request, HTTPStatus.NOT_FOUND, "There is nothing at this address."
        )
    return answer_error(
        request,
        HTTPStatus.METHOD_NOT_ALLOWED,
        "This can't be done with this method.",
    )


def _defect(_: object, request: Request, failure: Failure) -> bytes:
    _log.failure("a request could not be answered", failure)
    return answer_error(request, HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)


def _json(request: Request, members: Mapping[str, Any]) -> bytes:
    request.setHeader("content-type", "application/json")
    return sized(request, encode(members))
