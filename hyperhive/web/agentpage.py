"""One agent's page: its state, its stream with its past, and the prompt."""

import json
from collections.abc import Callable
from typing import Any

from klein import Klein
from twisted.web.resource import IResource
from twisted.web.server import Request

from hyperhive.agents.config import AgentConfig
from hyperhive.agents.interfaces import HistoryPage
from hyperhive.names import OPERATOR
from hyperhive.web import fields, schema
from hyperhive.web.answers import (
    answer,
    answer_document,
    answer_page,
    answer_text,
    answers_errors,
    shielded,
)
from hyperhive.web.claude_login import ClaudeLoginRoutes
from hyperhive.web.context import WebContext
from hyperhive.web.described import PAGE, asks, gives, mounts, streams, takes
from hyperhive.web.entrance import Entrance
from hyperhive.web.markdown import MAX_TEXTS, Markdown
from hyperhive.web.messages import MESSAGE_PAGE, PAGE_QUERY, message_page
from hyperhive.web.openapi import DOCUMENT, document
from hyperhive.web.schema import BOOLEAN, array, nullable, ref
from hyperhive.web.snapshot import agent_state
from hyperhive.web.sse import EventStream, Streams
from hyperhive.web.templates import Templates

#: How many events a page of history has, at most and where nothing is said.
MAX_EVENTS = 1000
EVENTS = 200
#: The same of its turns, and lines of its container's journal.
MAX_TURNS = 200
TURNS = 50
MAX_JOURNAL = 500
JOURNAL = 200
#: The most bytes of events in such a page.
MAX_EVENT_BYTES = 1024 * 1024
_NEXT = nullable(schema.ID)
_TOPICS = frozenset({"turn", "stream", "note", "agent", "message", "claude"})


class AgentPage:
    """Serves an agent under any base: its addresses are all relative.

    :param home: where the dashboard is for whoever asks, as a URL or path.
    """

    app = Klein()

    def __init__(
        self,
        context: WebContext,
        templates: Templates,
        streams: Streams,
        markdown: Markdown,
        name: str,
        home: Callable[[Request], str | None],
    ) -> None:
        self._context = context
        self._templates = templates
        self._streams = streams
        self._markdown = markdown
        self._name = name
        self._home = home

    @app.route("/", methods=["GET"])
    @PAGE
    async def page(self, request: Request) -> bytes:
        """The page, with its first state in it."""
        state = await agent_state(self._context, self._name)
        page = self._templates.render(
            "agent.html",
            facts=self._context.facts,
            state=state,
            home=self._home(request),
        )
        return answer_page(request, page)

    @app.route("/api/openapi.json", methods=["GET"])
    @DOCUMENT
    def openapi(self, request: Request) -> bytes:
        """What an agent's own port takes and answers, by OpenAPI 3.1."""
        return answer_document(request, document(Entrance, AgentPage))

    @app.route("/api/state", methods=["GET"])
    @gives(ref("AgentState"))
    async def state(self, request: Request) -> bytes:
        """Everything that the page shows, but for the stream."""
        return answer(request, await agent_state(self._context, self._name))

    @app.route("/api/messages", methods=["GET"])
    @asks(**PAGE_QUERY)
    @gives(MESSAGE_PAGE)
    async def messages(self, request: Request, **page: Any) -> bytes:
        """A page of its messages, whole, oldest first."""
        self._context.agents.status(self._name)
        members = await message_page(self._context.broker, self._name, **page)
        return answer(request, members)

    @app.route("/events/history", methods=["GET"])
    @asks(
        before=fields.query_id(),
        after=fields.query_id(0),
        limit=fields.whole(1, MAX_EVENTS),
    )
    @gives(events=array(ref("Event")), before=_NEXT, after=_NEXT)
    async def history(
        self,
        request: Request,
        before: int | None,
        after: int | None,
        limit: int | None,
    ) -> bytes:
        """A page of stored events, oldest first: the newest, or what is ``before`` or ``after`` one."""
        found = await self._context.agents.history(
            self._name, before, limit or EVENTS, after
        )
        page = _newest_that_fit(found) if after is None else _oldest_that_fit(found)
        # The events are JSON already, and may be many: they are not parsed again.
        return answer_text(
            request,
            "application/json",
            b'{"ok":true,"before":%s,"after":%s,"events":[%s]}'
            % (
                json.dumps(page.before).encode(),
                json.dumps(page.after).encode(),
                b",".join(page.events),
            ),
        )

    @app.route("/events/stream", methods=["GET"])
    @streams
    def events(self, request: Request) -> IResource:
        """What happens to this agent."""
        self._context.agents.status(self._name)
        return EventStream(self._streams, self._context.bus, _TOPICS, self._name)

    @app.route("/login/", branch=True)
    @mounts(ClaudeLoginRoutes)
    def login(self, request: Request) -> IResource:
        """The login of its claude."""
        return ClaudeLoginRoutes(self._context.logins, self._name).app.resource()

    @app.route("/api/turns", methods=["GET"])
    @asks(before=fields.query_id(), limit=fields.whole(1, MAX_TURNS))
    @gives(turns=array(ref("Turn")), before=_NEXT)
    async def turns(
        self, request: Request, before: int | None, limit: int | None
    ) -> bytes:
        """A page of its turns, newest first; ``before`` asks for the page before."""
        self._context.agents.status(self._name)
        limit = limit or TURNS
        turns = await self._context.broker.turns(self._name, limit, before)
        older = turns[-1].id if len(turns) == limit else None
        return answer(
            request, {"turns": [turn.as_wire() for turn in turns], "before": older}
        )

    @app.route("/api/config", methods=["GET"])
    @gives(
        config=ref("Config"),
        sha=nullable(schema.TEXT),
        tag=nullable(schema.TEXT),
        system=nullable(schema.TEXT),
        built_with=nullable(schema.TEXT),
    )
    def config(self, request: Request) -> bytes:
        """What it runs with, and where that came from."""
        deployment = self._context.agents.deployment(self._name)
        config = deployment.config or AgentConfig().to_json()
        return answer(
            request,
            {
                "config": json.loads(config),
                "sha": deployment.sha,
                "tag": deployment.tag,
                "system": deployment.system,
                "built_with": deployment.built_with,
            },
        )

    @app.route("/api/deployments", methods=["GET"])
    @gives(deployments=array(ref("Deployment")))
    async def deployments(self, request: Request) -> bytes:
        """What was deployed for it, newest first."""
        found = await self._context.deploys.deployments(self._name)
        return answer(request, {"deployments": [one.as_wire() for one in found]})

    @app.route("/api/rollback", methods=["POST"])
    @takes(id=fields.DEPLOYMENT)
    @gives()
    async def rollback(self, request: Request, id: int) -> bytes:
        """Go back to an earlier deployment, by its ``id``."""
        going = self._context.deploys.rollback(self._name, id, OPERATOR)
        await shielded(going, f"rollback {self._name}")
        return answer(request)

    @app.route("/api/journal", methods=["GET"])
    @asks(lines=fields.whole(1, MAX_JOURNAL))
    @gives(lines=nullable(array(schema.TEXT)))
    async def journal(self, request: Request, lines: int | None) -> bytes:
        """The newest lines of its container's journal; ``null`` where there is none."""
        found = await self._context.agents.journal(self._name, lines or JOURNAL)
        return answer(request, {"lines": None if found is None else list(found)})

    @app.route("/api/markdown", methods=["POST"])
    @takes(texts=fields.texts(MAX_TEXTS))
    @gives(html=array(nullable(schema.TEXT)))
    async def markdown(self, request: Request, texts: tuple[str, ...]) -> bytes:
        """``texts`` as HTML that is safe to show; ``null`` for one that is too long."""
        return answer(request, {"html": await self._markdown.render(texts)})

    @app.route("/send", methods=["POST"])
    @takes(body=fields.BODY, in_reply_to=fields.OPTIONAL_ID)
    @gives(ids=array(schema.ID))
    async def send(self, request: Request, body: str, in_reply_to: int | None) -> bytes:
        """Write to the agent as the operator."""
        self._context.agents.status(self._name)
        ids = await self._context.broker.send(OPERATOR, self._name, body, in_reply_to)
        return answer(request, {"ids": ids})

    @app.route("/api/cancel", methods=["POST"])
    @takes()
    @gives()
    async def cancel(self, request: Request) -> bytes:
        """Interrupt its turn."""
        await shielded(
            self._context.agents.cancel_turn(self._name), f"cancel {self._name}"
        )
        return answer(request)

    @app.route("/api/pause", methods=["POST"])
    @takes(paused=fields.FLAG)
    @gives(paused=BOOLEAN)
    async def pause(self, request: Request, paused: bool) -> bytes:
        """Give it no further turn, or go on."""
        await shielded(
            self._context.agents.set_paused(self._name, paused), f"pause {self._name}"
        )
        return answer(request, {"paused": paused})

    @app.route("/api/compact", methods=["POST"])
    @takes()
    @gives()
    async def compact(self, request: Request) -> bytes:
        """Have it compact its session."""
        await shielded(
            self._context.agents.compact(self._name), f"compact {self._name}"
        )
        return answer(request)

    @app.route("/api/new-session", methods=["POST"])
    @takes()
    @gives()
    async def new_session(self, request: Request) -> bytes:
        """Have its next turn begin a new session."""
        await shielded(
            self._context.agents.new_session(self._name), f"new session {self._name}"
        )
        return answer(request)

    @app.route("/api/model", methods=["POST"])
    @takes(model=fields.MODEL)
    @gives(model=schema.TEXT)
    async def model(self, request: Request, model: str) -> bytes:
        """Choose the model of its next turns; an empty one goes back to the hive's."""
        await shielded(
            self._context.agents.set_model(self._name, model.strip()),
            f"model {self._name}",
        )
        return answer(request, {"model": self._context.agents.status(self._name).model})


def _oldest_that_fit(page: HistoryPage) -> HistoryPage:
    size = 0
    for place, event in enumerate(page.events):
        size += len(event)
        if place and size > MAX_EVENT_BYTES:
            last = page.events[place - 1]
            return HistoryPage(page.events[:place], None, json.loads(last)["seq"])
    return page


def _newest_that_fit(page: HistoryPage) -> HistoryPage:
    fitting: list[bytes] = []
    size = 0
    for event in reversed(page.events):
        size += len(event)
        if fitting and size > MAX_EVENT_BYTES:
            # The event at which the next page ends is the first of this one.
            return HistoryPage(tuple(fitting[::-1]), json.loads(fitting[-1])["seq"])
        fitting.append(event)
    return page


answers_errors(AgentPage.app)
