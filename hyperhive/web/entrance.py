"""What is shown without a login: the login itself, one-time links, files, that we live."""

import re
from http import HTTPStatus

from klein import Klein
from twisted.web.resource import IResource
from twisted.web.server import Request

from hyperhive.web import fields
from hyperhive.web.answers import (
    answer,
    answer_error,
    answer_page,
    answer_text,
    answers_errors,
)
from hyperhive.web.answers import redirect as redirected
from hyperhive.web.context import WebContext
from hyperhive.web.decide import Decide
from hyperhive.web.described import PAGE, answers, asks, gives, mounts, takes
from hyperhive.web.guard import COOKIE, address, sessions
from hyperhive.web.headers import header
from hyperhive.web.login import SESSION_LIFE, Doorman
from hyperhive.web.schema import ref
from hyperhive.web.sse import Streams
from hyperhive.web.static import Assets
from hyperhive.web.templates import Templates

# A path on this origin, and a query: no scheme, no host, nothing that a browser reads
# as either.
_LOCAL = re.compile(
    r"/(?:[A-Za-z0-9._~%-][A-Za-z0-9._~%/-]*)?(?:\?[A-Za-z0-9._~%=&/-]*)?"
)
_WRONG = "This is not the operator's token."


class Entrance:
    """Serves ``/login``, ``/logout``, ``/decide/``, ``/static/`` and ``/healthz``."""

    app = Klein()

    def __init__(
        self,
        context: WebContext,
        doorman: Doorman,
        templates: Templates,
        assets: Assets,
        streams: Streams,
        decide: Decide,
    ) -> None:
        self._context = context
        self._doorman = doorman
        self._templates = templates
        self._assets = assets
        self._streams = streams
        self._decide = decide

    @app.route("/healthz", methods=["GET"])
    @answers("200", "It answers.", "text/plain")
    def healthz(self, request: Request) -> bytes:
        """The daemon answers."""
        return answer_text(request, "text/plain", b"ok\n")

    @app.route("/static/", branch=True, methods=["GET"])
    @answers("200", "Style, script or picture.", "*/*")
    @answers("304", "It has not changed.")
    def static(self, request: Request) -> IResource:
        """Style, scripts, icon."""
        return self._assets

    @app.route("/decide/", branch=True)
    @mounts(Decide)
    def decide(self, request: Request) -> IResource:
        """The pages of one-time links."""
        return self._decide.app.resource()

    @app.route("/login", methods=["GET"])
    @asks(next=fields.QUERY_TEXT, ticket=fields.QUERY_TEXT)
    @PAGE
    @answers("303", "Logged in: to the page that was wanted.")
    @answers("401", "The ticket is used up or too old.", "text/html")
    def login_page(
        self, request: Request, ticket: str | None, **query: str | None
    ) -> bytes:
        """Take a ticket, or show where to type the token."""
        after = _after(query["next"])
        if ticket is None or request.method == b"HEAD":
            return self._page(request, after)
        if not self._doorman.tickets.redeem(ticket):
            request.setResponseCode(HTTPStatus.UNAUTHORIZED)
            return self._page(
                request,
                after,
                "This link was used already, or is older than 10 minutes. "
                "`hive-c0re login-url` prints a new one.",
            )
        self._begin_session(request)
        return redirected(request, after)

    @app.route("/login", methods=["POST"])
    # The name is there for what keeps passwords; there is one operator.
    @takes(token=fields.TEXT, next=fields.OPTIONAL_TEXT, username=fields.OPTIONAL_TEXT)
    @gives()
    @answers("303", "Logged in: what a browser gets.")
    @answers("401 429", _WRONG, "application/json", ref("Error"))
    @answers("401 429", _WRONG, "text/html")
    def log_in(self, request: Request, token: str, **given: str | None) -> bytes:
        """Take the token, from the page or from a script."""
        wants_page = "text/html" in (header(request, b"accept") or "")
        after = _after(given["next"])
        if self._doorman.knows(token.strip()):
            self._begin_session(request)
            return redirected(request, after) if wants_page else answer(request)
        code, error = HTTPStatus.UNAUTHORIZED, _WRONG
        if self._doorman.wrongs.again(address(request)):
            code, error = HTTPStatus.TOO_MANY_REQUESTS, f"{_WRONG} Wait a minute."
        if not wants_page:
            return answer_error(request, code, error)
        request.setResponseCode(code)
        return self._page(request, after, error)

    @app.route("/logout", methods=["POST"])
    @takes()
    @answers("303", "Logged out.")
    def log_out(self, request: Request) -> bytes:
        """End the session, and the streams that it may hold open."""
        for session in sessions(request):
            self._doorman.sessions.close(session)
        # Streams of other sessions come back by themselves.
        self._streams.close()
        request.addCookie(
            COOKIE, b"", path=b"/", max_age=b"0", httpOnly=True, sameSite=b"strict"
        )
        return redirected(request, "/login")

    def _begin_session(self, request: Request) -> None:
        request.addCookie(
            COOKIE,
            self._doorman.sessions.open().encode(),
            path=b"/",
            max_age=str(int(SESSION_LIFE)).encode(),
            httpOnly=True,
            sameSite=b"strict",
        )

    def _page(self, request: Request, after: str, error: str = "") -> bytes:
        page = self._templates.render(
            "login.html", facts=self._context.facts, after=after, error=error
        )
        return answer_page(request, page)


def _after(path: str | None) -> str:
    """Where to go after the login: only to a place of our own."""
    return path if path is not None and _LOCAL.fullmatch(path) else "/"


answers_errors(Entrance.app)
