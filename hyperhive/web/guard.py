"""Stand before every page and verb: ours is the host, ours the origin, and the operator asks.

The order matters. A foreign ``Host`` (a rebound DNS name) gets nothing at all. A
foreign ``Origin`` may change nothing, whatever the browser sends along. Then
comes the login.
"""

import ipaddress
import re
import socket
from http import HTTPStatus
from io import SEEK_END
from typing import Any
from urllib.parse import quote, urlsplit

from twisted.logger import Logger
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from hyperhive.web.answers import answer_error, redirect, secure
from hyperhive.web.headers import header
from hyperhive.web.login import Doorman

#: The session's cookie.
COOKIE = b"hyperhive"
#: First path segments that need no login.
PUBLIC = frozenset({b"login", b"decide", b"static", b"healthz"})
#: The longest login in bytes: a stranger must not have more taken apart.
LOGIN_BODY = 16 * 1024
#: Methods that change nothing.
SAFE = frozenset({b"GET", b"HEAD"})

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PAGE = re.compile(rb"/(?:stats|agent/[^/]+/?)?")


def our_names() -> frozenset[str]:
    """The names by which this machine is known to itself."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, name.partition(".")[0]})


class Guard(Resource):
    """Lets the operator's requests through to what it guards.

    :param entrance: what is shown without a login (:data:`PUBLIC`).
    :param inside: everything else.
    :param names: host names that are ours; IP addresses are always taken,
        because a page of somebody else's has a name.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        doorman: Doorman,
        entrance: IResource,
        inside: IResource,
        names: frozenset[str],
    ) -> None:
        super().__init__()
        self._doorman = doorman
        self._entrance = entrance
        self._inside = inside
        self._names = names

    def render(self, request: Request) -> int | bytes:
        """Answer what may not pass; hand on what may."""
        secure(request)
        for refuse in (self._refuse_host, _refuse_bytes, self._refuse_origin):
            refusal = refuse(request)
            # Of HEAD it is empty, and a refusal all the same.
            if refusal is not None:
                return refusal
        if _is_public(request):
            if _is_login(request) and _length(request) > LOGIN_BODY:
                return _refuse_length(request)
            return _handed_on(request, self._entrance)
        refusal = self._refuse_stranger(request)
        if refusal is not None:
            return refusal
        if request.method not in SAFE:
            self._log.info(
                "operator: {method} {path}",
                method=request.method.decode("ascii", "replace"),
                path=request.path.decode("ascii", "replace"),
            )
        leaving = _first(request) == b"logout"
        return _handed_on(request, self._entrance if leaving else self._inside)

    def _refuse_host(self, request: Request) -> bytes | None:
        hosts = request.requestHeaders.getRawHeaders(b"host") or []
        if len(hosts) == 1 and self._is_ours(bytes(hosts[0]).decode("latin-1")):
            return None
        return answer_error(
            request,
            HTTPStatus.MISDIRECTED_REQUEST,
            "This host name is not one of the hive's: use localhost, an IP address, "
            f"or this machine's name ({', '.join(sorted(self._names))}).",
        )

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _refuse_origin(self, request: Request) -> bytes | None:
        """Refuse a change that another page asks for with our cookie.

        No ``Origin`` is fine with a bearer, for a login and for a one-time link:
        there the token is in the request itself, and no page but ours knows it. A
        link's page sends no referrer, and therefore the Origin ``null``.
        """
        if request.method in SAFE:
            return None
        site = header(request, b"sec-fetch-site")
        origin = header(request, b"origin")
        if origin == "null" and _first(request) == b"decide":
            origin = None
        if site not in (None, "same-origin", "none"):
            foreign = True
        elif origin is not None:
            foreign = _netloc(origin) != (header(request, b"host") or "").lower()
        else:
            foreign = bearer(request) is None and not _proves_itself(request)
        if not foreign:
            return None
        return answer_error(
            request,
            HTTPStatus.FORBIDDEN,
            "This request does not come from the hive's own page. A script sends "
            "the operator's token as a bearer and no Origin.",
        )

    def _refuse_stranger(self, request: Request) -> bytes | None:
        token = bearer(request)
        if token is not None:
            if self._doorman.knows(token):
                return None
            return self._wrong_token(request)
        if any(self._doorman.sessions.check(session) for session in sessions(request)):
            return None
        if request.method in SAFE and _PAGE.fullmatch(request.path):
            after = quote(request.uri, safe="/")
            return redirect(
                request, "/login" if after == "/" else f"/login?next={after}"
            )
        request.setHeader("www-authenticate", 'Bearer realm="hyperhive"')
        return answer_error(
            request,
            HTTPStatus.UNAUTHORIZED,
            "Log in first: open the link that `hive-c0re login-url` prints, or send "
            "the operator's token as a bearer.",
        )

    def _wrong_token(self, request: Request) -> bytes:
        if self._doorman.wrongs.again(address(request)):
            return answer_error(
                request,
                HTTPStatus.TOO_MANY_REQUESTS,
                "Too many wrong tokens: wait a minute.",
            )
        request.setHeader("www-authenticate", 'Bearer realm="hyperhive"')
        return answer_error(
            request, HTTPStatus.UNAUTHORIZED, "This is not the operator's token."
        )


def _refuse_bytes(request: Request) -> bytes | None:
    """Routes are texts: an address that is none is nobody's."""
    try:
        for segment in request.postpath or []:
            segment.decode()
    except UnicodeDecodeError:
        return answer_error(
            request, HTTPStatus.BAD_REQUEST, "The address is not UTF-8."
        )
    return None


def _length(request: Request) -> int:
    content: Any = request.content
    return int(content.seek(0, SEEK_END))


def _refuse_length(request: Request) -> bytes:
    return answer_error(
        request,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"A login is at most {LOGIN_BODY} bytes.",
    )


def host_name(request: Request) -> str:
    """The host that a request was sent to, without its port; brackets stay."""
    match = _HOST.fullmatch(header(request, b"host") or "")
    return "localhost" if match is None else match[1]


def bearer(request: Request) -> str | None:
    """The token of an ``Authorization: Bearer`` header."""
    scheme, _, token = (header(request, b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def sessions(request: Request) -> list[str]:
    """The values of our cookie, the first few: one browser sends one."""
    found: list[str] = []
    for line in request.requestHeaders.getRawHeaders(b"cookie") or []:
        for pair in line.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == COOKIE and len(found) < 4:
                found.append(value.decode("ascii", "replace"))
    return found


def address(request: Request) -> str:
    """Where a request comes from, as far as it is known."""
    return str(getattr(request.getClientAddress(), "host", "a socket"))


def _first(request: Request) -> bytes:
    """The path's first segment."""
    return (request.postpath or [b""])[0]


def _is_public(request: Request) -> bool:
    """Whether it is for the entrance. On an agent's port ``/login/…`` is claude's login."""
    first = _first(request)
    return first in PUBLIC and (first != b"login" or _is_login(request))


def _is_login(request: Request) -> bool:
    """Whether it is the operator's own login."""
    return (request.postpath or []) == [b"login"]


def _proves_itself(request: Request) -> bool:
    """Whether what is posted holds a secret that no other page knows."""
    return _is_login(request) or _first(request) == b"decide"


def _handed_on(request: Request, resource: IResource) -> int | bytes:
    result: int | bytes = resource.render(request)
    return result


def _netloc(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets without an address
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
