"""The page of a one-time link: it shows one thing in full, and takes one decision on it.

It needs no login: the link's token is in the path, and what the page has shown is
proven in its form. To GET it changes nothing, whoever does that and how often. There is
no script on it.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from hyperhive.approvals.interfaces import MAX_OPTIONS, NotDone
from hyperhive.errors import BadRequest, Conflict, NotFound, PublicError, TooLarge
from hyperhive.notify.interfaces import LinkExpired, NoSuchLink
from hyperhive.notify.links import Links, Shown
from hyperhive.web import fields
from hyperhive.web.answers import (
    answer_text,
    answers_errors,
    code_of,
    redirect,
    shielded,
)
from hyperhive.web.context import WebContext
from hyperhive.web.described import PAGE, answers, takes_raw
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
    ("@@", "hunk"),
    ("+", "added"),
    ("-", "deleted"),
    (" ", ""),
)
_NOTHING_TYPED = Form({})
#: What its form posts. Of several options each has a field of its own.
_CHOICES = ("choice", *(f"choice{n}" for n in range(1, MAX_OPTIONS + 1)))
_FIELDS = {
    "seen": fields.TEXT,
    "do": fields.TEXT,
    **dict.fromkeys(("note", "answer", *_CHOICES), fields.OPTIONAL_TEXT),
}


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
    @PAGE
    @answers("404 410 429", "The page says why.", "text/html")
    async def page(self, request: Request, token: str) -> bytes:
        """Show what the link decides, or what was decided. It changes nothing."""
        _private(request)
        try:
            return self._shown(request, await self._links.look(token))
        except PublicError as error:
            return self._refused(request, error)

    @app.route("/<token>", methods=["POST"])
    @takes_raw(**_FIELDS)
    @answers("303", "Decided: to the page.")
    @answers("400 404 409 410 413 429", "The page says why.", "text/html")
    async def decide(self, request: Request, token: str) -> bytes:
        """Decide, then show what was decided."""
        _private(request)
        typed = _NOTHING_TYPED
        try:
            # Whoever has no link has nothing taken apart.
            self._links.check(token)
            typed = form(request)
            typed.check_names(_FIELDS)
            await self._done(self._decision(token, typed))
        except (BadRequest, Conflict, TooLarge) as error:
            return await self._again(request, token, typed, error)
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

    def _decision(self, token: str, typed: Form) -> Deferred[None]:
        links, seen, do = self._links, typed.text("seen"), typed.text("do")
        if do == "approve":
            return links.approve(token, seen)
        if do == "deny":
            return links.deny(token, seen, _typed(typed, "note"))
        if do == "answer":
            return self._answered(token, seen, typed)
        raise BadRequest("The field 'do' must be approve, deny or answer.")

    def _answered(self, token: str, seen: str, typed: Form) -> Deferred[None]:
        chosen = [typed.text(name) for name in _CHOICES if name in typed.values]
        own = _typed(typed, "answer")
        # As on the dashboard: words of one's own go with what was ticked.
        given = "\n".join([*chosen, own]) if own.strip() or not chosen else chosen
        return self._links.answer(token, seen, given)

    async def _done(self, deciding: Deferred[None]) -> None:
        """Wait until it is done, or has gone on for a while."""
        waiting = shielded(deciding, "a decision by a link")
        # What takes longer goes on by itself, and the page says so.
        with suppress(DeferredTimeout):
            await waiting.addTimeout(CARRY_OUT_SECONDS, self._clock)

    async def _again(
        self, request: Request, token: str, typed: Form, error: PublicError
    ) -> bytes:
        """The page as it is now, what was wrong, and what was typed."""
        try:
            shown = await self._links.look(token)
        except PublicError as refusal:
            return self._refused(request, refusal)
        request.setResponseCode(code_of(error))
        return self._shown(request, shown, str(error), typed)

    def _refused(self, request: Request, error: PublicError) -> bytes:
        """A page that shows nothing but why."""
        code, text = code_of(error), str(error)
        if isinstance(error, NoSuchLink):
            if self._wrongs.again(address(request)):
                code = HTTPStatus.TOO_MANY_REQUESTS
                text = "Too many wrong links: wait a minute."
        elif isinstance(error, LinkExpired):
            code = HTTPStatus.GONE
        request.setResponseCode(code)
        return self._render(request, error=text, shown=None)

    def _shown(
        self,
        request: Request,
        shown: Shown,
        error: str = "",
        typed: Form = _NOTHING_TYPED,
    ) -> bytes:
        left = int(shown.expires_at - self._context.now())
        return self._render(
            request,
            error=error,
            shown=shown,
            minutes=max(1, round(left / 60)),
            note=_typed(typed, "note"),
            answer=_typed(typed, "answer"),
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


def _typed(typed: Form, name: str) -> str:
    """What was typed into a field; browsers end lines as the network does."""
    return (typed.optional_text(name) or "").replace("\r\n", "\n")


def _marked(diff: str) -> Iterator[tuple[str, str]]:
    """Each line of a diff, with the class that it is shown by.

    Before a file's first hunk there are names and modes; within one ``+++`` is a line
    that was added, and looks so.
    """
    in_hunk = False
    for line in diff.removesuffix("\n").split("\n"):
        mark = next((mark for start, mark in _LINES if line.startswith(start)), "meta")
        if mark in ("file", "hunk"):
            in_hunk = mark == "hunk"
        elif not in_hunk:
            mark = "meta"
        yield mark, line


answers_errors(Decide.app)
