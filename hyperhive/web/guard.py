"""Stand before every page and verb: ours is the host, ours the origin, and the operator asks.

The order matters. A foreign ``Host`` (a rebound DNS name) gets nothing at all. A
foreign ``Origin`` may change nothing, whatever the browser sends along. Then
comes the login.
"""

import ipaddress
import re
import socket
from urllib.parse import quote, urlsplit

from twisted.logger import Logger
from twisted.web import http
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from hyperhive.web.answers import answer_error, redirect, secure
from hyperhive.web.login import Doorman

#: The session's cookie.
COOKIE = b"hyperhive"
#: First path segments that need no login.
PUBLIC = frozenset({b"login", b"static", b"healthz"})
#: Methods that change nothing.
SAFE = frozenset({b"GET", b"HEAD"})

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PAGE = re.compile(rb"/(?:agent/[^/]+/?)?")


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

    isLeaf = True  # noqa: N815  # Twisted's name
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

    def render(self, request: IRequest) -> int | bytes:
        """Answer what may not pass; hand on what may."""
        secure(request)
        refusal = self._refuse_host(request) or self._refuse_origin(request)
        if refusal is not None:
            return refusal
        if request.postpath[:1] and request.postpath[0] in PUBLIC:
            return self._entrance.render(request)
        refusal = self._refuse_stranger(request)
        if refusal is not None:
            return refusal
        if request.method not in SAFE:
            self._log.info(
                "operator: {method} {path}",
                method=request.method.decode("ascii", "replace"),
                path=request.path.decode("ascii", "replace"),
            )
        if request.postpath[:1] == [b"logout"]:
            return self._entrance.render(request)
        return self._inside.render(request)

    def _refuse_host(self, request: IRequest) -> bytes | None:
        hosts = request.requestHeaders.getRawHeaders("host") or []
        if len(hosts) == 1 and self._is_ours(hosts[0]):
            return None
        return answer_error(
            request,
            http.MISDIRECTED_REQUEST,
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

    def _refuse_origin(self, request: IRequest) -> bytes | None:
        """Refuse a change that another page asks for with our cookie.

        No ``Origin`` is fine with a bearer, and for a login: there the token is
        in the request itself, and no page but ours knows it.
        """
        if request.method in SAFE:
            return None
        site = request.getHeader("sec-fetch-site")
        origin = request.getHeader("origin")
        if site not in (None, "same-origin", "none"):
            foreign = True
        elif origin is not None:
            foreign = _netloc(origin) != (request.getHeader("host") or "").lower()
        else:
            foreign = bearer(request) is None and request.postpath[:1] != [b"login"]
        if not foreign:
            return None
        return answer_error(
            request,
            http.FORBIDDEN,
            "This request does not come from the hive's own page. A script sends "
            "the operator's token as a bearer and no Origin.",
        )

    def _refuse_stranger(self, request: IRequest) -> bytes | None:
        token = bearer(request)
        if token is not None:
            if self._doorman.knows(token):
                return None
            return self._wrong_token(request)
        if any(self._doorman.sessions.check(session) for session in sessions(request)):
            return None
        if request.method in SAFE and _PAGE.fullmatch(request.path):
            after = quote(request.uri.decode("ascii", "replace"), safe="/")
            return redirect(
                request, "/login" if after == "/" else f"/login?next={after}"
            )
        request.setHeader("www-authenticate", 'Bearer realm="hyperhive"')
        return answer_error(
            request,
            http.UNAUTHORIZED,
            "Log in first: open the link that `hive-c0re login-url` prints, or send "
            "the operator's token as a bearer.",
        )

    def _wrong_token(self, request: IRequest) -> bytes:
        if self._doorman.wrongs.again(address(request)):
            return answer_error(
                request, http.TOO_MANY_REQUESTS, "Too many wrong tokens: wait a minute."
            )
        request.setHeader("www-authenticate", 'Bearer realm="hyperhive"')
        return answer_error(
            request, http.UNAUTHORIZED, "This is not the operator's token."
        )


def bearer(request: IRequest) -> str | None:
    """The token of an ``Authorization: Bearer`` header."""
    scheme, _, token = (request.getHeader("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def sessions(request: IRequest) -> list[str]:
    """The values of our cookie, the first few: one browser sends one."""
    found = []
    for header in request.requestHeaders.getRawHeaders(b"cookie") or []:
        for pair in header.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == COOKIE and len(found) < 4:
                found.append(value.decode("ascii", "replace"))
    return found


def address(request: IRequest) -> str:
    """Where a request comes from, as far as it is known."""
    return str(getattr(request.getClientAddress(), "host", "a socket"))


def _netloc(origin: str) -> str | None:
    parts = urlsplit(origin)
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
