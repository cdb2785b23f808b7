"""The page of a one-time link: it shows one thing in full, and takes one decision on it.

It needs no login: the link's token is in the path, and what the page has shown is
proven in its form. To GET it changes nothing, whoever does that and how often. There is
no script on it.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from hyperhive.approvals.interfaces import AlreadyDecided, NotDone
from hyperhive.errors import BadRequest, NotFound, PublicError
from hyperhive.notify.interfaces import LinkExpired, LinkUsed, NoSuchLink, ShownChanged
from hyperhive.notify.links import Links, Shown
from hyperhive.web.answers import (
    answer_text,
    answers_errors,
    code_of,
    redirect,
    shielded,
)
from hyperhive.web.context import WebContext
from hyperhive.web.forms import Form, form
from hyperhive.web.guard import address
from hyperhive.web.login import Wrongs
from hyperhive.web.templates import Templates

#: How long an approval may take before the page says that it goes on (seconds).
CARRY_OUT_SECONDS = 2.0

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
#: How each line of a diff is shown, by how it begins; the first that fits.
_LINES = (
    ("diff ", "file"),
    ("+++", "meta"),
    ("---", "meta"),
    ("index ", "meta"),
    ("@@", "hunk"),
    ("+", "added"),
    ("-", "deleted"),
)


class Decide:
    """Serves ``/decide/<token>``.

    :param clock: for the wait for what an approval brings about.
    """

    app = Klein()

    def __init__(
        self, clock: IReactorTime, context: WebContext, templates: Templates
    ) -> None:
        self._clock = clock
        self._context = context
        self._templates = templates
        self._wrongs = Wrongs(clock)

    @app.route("/<token>", methods=["GET"])
    async def page(self, request: Request, token: str) -> bytes:
        """Show what the link decides, or what was decided. It changes nothing."""
        _private(request)
        try:
            return self._shown(request, await self._links.look(token))
        except PublicError as error:
            return self._refused(request, error)

    @app.route("/<token>", methods=["POST"])
    async def decide(self, request: Request, token: str) -> bytes:
        """Decide, then show what was decided."""
        _private(request)
        try:
            fields = form(request)
            await self._done(self._decision(token, fields))
        except (BadRequest, ShownChanged, AlreadyDecided) as error:
            return await self._again(request, token, error)
        except NotDone:
            pass  # the page says what came of it
        except PublicError as error:
            return self._refused(request, error)
        return redirect(request, f"/decide/{token}")

    @property
    def _links(self) -> Links:
        links = self._context.links
        if links is None:
            raise NotFound("Nothing is decided by links here: they are not turned on.")
        return links

    def _decision(self, token: str, fields: Form) -> Deferred[None]:
        links, seen, do = self._links, fields.text("seen"), fields.text("do")
        if do == "approve":
            return links.approve(token, seen)
        if do == "deny":
            return links.deny(token, seen, fields.optional_text("note"))
        if do == "answer":
            return self._answered(token, seen, fields)
        raise BadRequest("The field 'do' must be approve, deny or answer.")

    def _answered(self, token: str, seen: str, fields: Form) -> Deferred[None]:
        # Browsers end lines as the network does.
        text = (fields.optional_text("answer") or "").replace("\r\n", "\n")
        chosen = [
            fields.text(name) for name in fields.values if name.startswith("choice")
        ]
        given = text if text.strip() or not chosen else chosen
        return self._links.answer(token, seen, given)

    async def _done(self, deciding: Deferred[None]) -> None:
        """Wait until it is done, or has gone on for a while."""
        waiting = shielded(deciding, "a decision by a link")
        # What takes longer goes on by itself, and the page says so.
        with suppress(DeferredTimeout):
            await waiting.addTimeout(CARRY_OUT_SECONDS, self._clock)

    async def _again(self, request: Request, token: str, error: PublicError) -> bytes:
        """The page as it is now, and what was wrong."""
        try:
            shown = await self._links.look(token)
        except PublicError as refusal:
            return self._refused(request, refusal)
        request.setResponseCode(code_of(error))
        return self._shown(request, shown, str(error))

    def _refused(self, request: Request, error: PublicError) -> bytes:
        """A page that shows nothing but why."""
        code, text = code_of(error), str(error)
        if isinstance(error, NoSuchLink):
            if self._wrongs.again(address(request)):
                code = HTTPStatus.TOO_MANY_REQUESTS
                text = "Too many wrong links: wait a minute."
        elif isinstance(error, LinkExpired | LinkUsed):
            code = HTTPStatus.GONE
        request.setResponseCode(code)
        return self._render(request, error=text, shown=None)

    def _shown(self, request: Request, shown: Shown, error: str = "") -> bytes:
        left = int(shown.expires_at - self._context.now())
        return self._render(
            request,
            error=error,
            shown=shown,
            minutes=max(1, round(left / 60)),
            when=_when,
            lines=_marked(shown.diff.text) if shown.diff else (),
        )

    def _render(self, request: Request, **values: Any) -> bytes:
        page = self._templates.render(
            "decide.html", facts=self._context.facts, **values
        )
        return answer_text(request, "text/html", page)


def _private(request: Request) -> None:
    """Nothing of the page goes elsewhere: no script, no referrer, no index."""
    request.setHeader("content-security-policy", _POLICY)
    request.setHeader("referrer-policy", "no-referrer")
    request.setHeader("x-robots-tag", "noindex, nofollow")


def _when(moment: float) -> str:
    """A moment for people; the page has no script that knows their time zone."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M UTC on %d %b}"


def _marked(diff: str) -> Sequence[tuple[str, str]]:
    """Each line of a diff, with the class that it is shown by."""
    return [
        (next((mark for start, mark in _LINES if line.startswith(start)), ""), line)
        for line in diff.splitlines()
    ]


answers_errors(Decide.app)
