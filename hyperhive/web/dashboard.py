"""The dashboard's origin: its page, its state, and the operator's verbs on agents."""

from typing import Any

from klein import Klein
from twisted.web.resource import IResource
from twisted.web.server import Request

from hyperhive.agents.windows import WINDOWS
from hyperhive.approvals.interfaces import diff_as_wire
from hyperhive.deploy.interfaces import AGAINST
from hyperhive.errors import BadRequest
from hyperhive.names import MAILBOXES, OPERATOR, check_agent_name
from hyperhive.web import fields, schema
from hyperhive.web.agentpage import AgentPage
from hyperhive.web.answers import (
    answer,
    answer_document,
    answer_page,
    answer_text,
    answers_errors,
    redirect,
    shielded,
)
from hyperhive.web.context import WebContext
from hyperhive.web.described import PAGE, answers, asks, gives, mounts, streams, takes
from hyperhive.web.entrance import Entrance
from hyperhive.web.markdown import Markdown
from hyperhive.web.messages import MESSAGE_PAGE, PAGE_QUERY, message_page
from hyperhive.web.metrics import Metrics
from hyperhive.web.openapi import DOCUMENT, document
from hyperhive.web.schema import BOOLEAN, COUNT, array, ref, row
from hyperhive.web.snapshot import dashboard_state, tombstones
from hyperhive.web.sse import EventStream, Streams
from hyperhive.web.stats import stats_state
from hyperhive.web.templates import Templates

#: How many rows can be marked as read at once.
MAX_READ = 200
#: How many topics a stream can be narrowed to.
MAX_TOPICS = 20


class Dashboard:
    """Serves everything behind the login but the static files."""

    app = Klein()

    def __init__(
        self,
        context: WebContext,
        templates: Templates,
        streams: Streams,
        markdown: Markdown,
        metrics: Metrics,
    ) -> None:
        self._context = context
        self._templates = templates
        self._streams = streams
        self._markdown = markdown
        self._metrics = metrics

    @app.route("/", methods=["GET"])
    @PAGE
    async def page(self, request: Request) -> bytes:
        """The dashboard, with its first state in it."""
        state = await dashboard_state(self._context)
        page = self._templates.render(
            "dashboard.html", facts=self._context.facts, state=state
        )
        return answer_page(request, page)

    @app.route("/agent/<name>", methods=["GET"])
    @answers("303", "To the page.")
    def agent_page_without_slash(self, request: Request, name: str) -> bytes:
        """The page's own addresses are relative: it must end in a slash."""
        return redirect(request, f"/agent/{self._context.agents.status(name).name}/")

    @app.route("/agent/<name>/", branch=True)
    @mounts(AgentPage)
    def agent_page(self, request: Request, name: str) -> IResource:
        """Everything of one agent's page."""
        self._context.agents.status(name)
        page = AgentPage(
            self._context,
            self._templates,
            self._streams,
            self._markdown,
            name,
            lambda request: "/",
        )
        return page.app.resource()

    @app.route("/api/state", methods=["GET"])
    @gives(ref("DashboardState"))
    async def state(self, request: Request) -> bytes:
        """Everything that the dashboard shows."""
        return answer(request, await dashboard_state(self._context))

    @app.route("/stats", methods=["GET"])
    @PAGE
    def stats_page(self, request: Request) -> bytes:
        """The charts. Which ones is in the query, which the page itself reads."""
        page = self._templates.render("stats.html", facts=self._context.facts)
        return answer_page(request, page)

    @app.route("/api/stats", methods=["GET"])
    @asks(window=fields.choice(*WINDOWS), agent=fields.AGENT)
    @gives(ref("StatsState"))
    async def stats(
        self, request: Request, window: str | None, agent: str | None
    ) -> bytes:
        """What turns came to in a ``window``, of an ``agent`` or of all."""
        return answer(request, await stats_state(self._context, window, agent))

    @app.route("/api/messages", methods=["GET"])
    @asks(agent=fields.MAILBOX, **PAGE_QUERY)
    @gives(MESSAGE_PAGE)
    async def messages(self, request: Request, agent: str | None, **page: Any) -> bytes:
        """A page of messages, whole, oldest first; ``before`` asks for the page before."""
        members = await message_page(self._context.broker, _mailbox(agent), **page)
        return answer(request, members)

    @app.route("/events/stream", methods=["GET"])
    @asks(topics=fields.QUERY_TEXT)
    @streams
    def events(self, request: Request, topics: str | None) -> IResource:
        """Everything that happens, or what ``topics`` names."""
        chosen = None if topics is None else {one.strip() for one in topics.split(",")}
        if chosen is not None and len(chosen) > MAX_TOPICS:
            raise BadRequest(f"A stream has at most {MAX_TOPICS} topics.")
        return EventStream(self._streams, self._context.bus, chosen)

    @app.route("/messages/stream", methods=["GET"])
    @streams
    def message_events(self, request: Request) -> IResource:
        """What happens to messages."""
        return EventStream(self._streams, self._context.bus, {"message"})

    @app.route("/api/openapi.json", methods=["GET"])
    @DOCUMENT
    def openapi(self, request: Request) -> bytes:
        """What this origin takes and answers, by OpenAPI 3.1."""
        return answer_document(request, document(Entrance, Dashboard))

    @app.route("/metrics", methods=["GET"])
    @answers("200", "Figures.", "text/plain")
    def metrics(self, request: Request) -> bytes:
        """For Prometheus."""
        return answer_text(
            request, "text/plain; version=0.0.4", self._metrics.render().encode()
        )

    @app.route("/spawn", methods=["POST"])
    @takes(name=fields.NEW_NAME)
    @gives(name=ref("AgentName"))
    async def spawn(self, request: Request, name: str) -> bytes:
        """Make an agent."""
        name = name.strip()
        await shielded(self._context.agents.spawn(name), f"spawn {name[:40]}")
        return answer(request, {"name": name})

    @app.route("/start/<name>", methods=["POST"])
    @takes()
    @gives()
    async def start(self, request: Request, name: str) -> bytes:
        """Start an agent."""
        await shielded(self._context.agents.start(name, OPERATOR), f"start {name}")
        return answer(request)

    @app.route("/kill/<name>", methods=["POST"])
    @takes(graceful=fields.OFF)
    @gives()
    async def kill(self, request: Request, name: str, graceful: bool) -> bytes:
        """Stop an agent: at once, or ``graceful``, when its turn has ended."""
        await shielded(
            self._context.agents.stop(name, OPERATOR, graceful), f"stop {name}"
        )
        return answer(request)

    @app.route("/restart/<name>", methods=["POST"])
    @takes()
    @gives()
    async def restart(self, request: Request, name: str) -> bytes:
        """Stop an agent and start it again."""
        await shielded(self._context.agents.restart(name, OPERATOR), f"restart {name}")
        return answer(request)

    @app.route("/destroy/<name>", methods=["POST"])
    @takes(purge=fields.OFF)
    @gives()
    async def destroy(self, request: Request, name: str, purge: bool) -> bytes:
        """Remove an agent, with ``purge`` also what it kept."""
        await shielded(self._context.agents.destroy(name, purge), f"destroy {name}")
        return answer(request)

    @app.route("/pause/<name>", methods=["POST"])
    @takes(paused=fields.FLAG)
    @gives(paused=BOOLEAN)
    async def pause(self, request: Request, name: str, paused: bool) -> bytes:
        """Give an agent no further turn, or go on."""
        await shielded(self._context.agents.set_paused(name, paused), f"pause {name}")
        return answer(request, {"paused": paused})

    @app.route("/request-spawn", methods=["POST"])
    @takes(name=fields.NEW_NAME, description=fields.OPTIONAL_TEXT)
    @gives(id=schema.ID)
    async def request_spawn(
        self, request: Request, name: str, description: str | None
    ) -> bytes:
        """Propose an agent, which is made when it is approved."""
        asking = self._context.approvals.request_spawn(
            name.strip(), OPERATOR, description
        )
        return answer(request, {"id": await asking})

    @app.route("/api/approval/<int:approval>", methods=["GET"])
    @asks(against=fields.choice(*AGAINST))
    @gives(row({"diff": ref("Diff")}, approval=ref("Approval")))
    async def approval(
        self, request: Request, approval: int, against: str | None
    ) -> bytes:
        """One approval, and what its commit changes of what ``against`` names."""
        id, approvals = _row(approval), self._context.approvals
        members = {"approval": (await approvals.get(id)).as_wire()}
        if against:
            members["diff"] = diff_as_wire(await approvals.diff(id, against))
        return answer(request, members)

    @app.route("/approve/<int:approval>", methods=["POST"])
    @takes()
    @gives()
    async def approve(self, request: Request, approval: int) -> bytes:
        """Approve; answers when it is done, or has failed."""
        deciding = self._context.approvals.approve(_row(approval), OPERATOR)
        await shielded(deciding, f"approve {approval}")
        return answer(request)

    @app.route("/deny/<int:approval>", methods=["POST"])
    @takes(note=fields.OPTIONAL_TEXT)
    @gives()
    async def deny(self, request: Request, approval: int, note: str | None) -> bytes:
        """Deny, with a ``note`` for whoever asked."""
        await self._context.approvals.deny(_row(approval), OPERATOR, note)
        return answer(request)

    @app.route("/answer-question/<int:question>", methods=["POST"])
    @takes(answer=fields.TEXT_OR_TEXTS)
    @gives()
    async def answer_question(
        self, request: Request, question: int, **given: str | tuple[str, ...]
    ) -> bytes:
        """Answer, with a text or with a list of options."""
        await self._context.questions.answer(_row(question), given["answer"], OPERATOR)
        return answer(request)

    @app.route("/cancel-question/<int:question>", methods=["POST"])
    @takes()
    @gives()
    async def cancel_question(self, request: Request, question: int) -> bytes:
        """Leave a question unanswered."""
        await self._context.questions.cancel(_row(question), OPERATOR)
        return answer(request)

    @app.route("/rebuild/<name>", methods=["POST"])
    @takes()
    @gives()
    async def rebuild(self, request: Request, name: str) -> bytes:
        """Build again what an agent runs, and run that."""
        await shielded(self._context.deploys.rebuild(name, OPERATOR), f"rebuild {name}")
        return answer(request)

    @app.route("/update-all", methods=["POST"])
    @takes()
    @gives(count=COUNT)
    async def update_all(self, request: Request) -> bytes:
        """Rebuild every agent that another hyperhive has built."""
        updating = self._context.deploys.update_all(OPERATOR)
        return answer(request, {"count": await shielded(updating, "update all")})

    @app.route("/api/deployments/<name>", methods=["GET"])
    @gives(deployments=array(ref("Deployment")))
    async def deployments(self, request: Request, name: str) -> bytes:
        """What was deployed for an agent."""
        found = await self._context.deploys.deployments(name)
        return answer(request, {"deployments": [one.as_wire() for one in found]})

    @app.route("/rollback/<name>", methods=["POST"])
    @takes(id=fields.DEPLOYMENT)
    @gives()
    async def rollback(self, request: Request, name: str, id: int) -> bytes:
        """Go back to an earlier deployment, by its ``id``."""
        going = self._context.deploys.rollback(name, id, OPERATOR)
        await shielded(going, f"rollback {name}")
        return answer(request)

    @app.route("/api/job/<int:job>", methods=["GET"])
    @gives(lines=array(schema.TEXT))
    def job(self, request: Request, job: int) -> bytes:
        """The log of a job of the deploy queue."""
        return answer(request, {"lines": self._context.deploys.lines(job)})

    @app.route("/cancel-job/<int:job>", methods=["POST"])
    @takes()
    @gives()
    def cancel_job(self, request: Request, job: int) -> bytes:
        """Cancel a job that waits or builds."""
        self._context.deploys.cancel(job)
        return answer(request)

    @app.route("/run-again/<int:job>", methods=["POST"])
    @takes()
    @gives()
    async def run_again(self, request: Request, job: int) -> bytes:
        """Run a job again that failed or was interrupted."""
        going = self._context.deploys.run_again(_row(job))
        await shielded(going, f"job {job} again")
        return answer(request)

    @app.route("/api/tombstones", methods=["GET"])
    @gives(tombstones=array(ref("Tombstone")))
    async def tombstones(self, request: Request) -> bytes:
        """What is kept of destroyed agents."""
        return answer(request, {"tombstones": await tombstones(self._context)})

    @app.route("/purge-tombstone/<gone>", methods=["POST"])
    @takes()
    @gives()
    async def purge(self, request: Request, gone: str) -> bytes:
        """Remove what is kept of a destroyed agent."""
        await shielded(self._context.agents.purge(gone), f"purge {gone}")
        return answer(request)

    @app.route("/requeue/<int:message>", methods=["POST"])
    @takes()
    @gives()
    async def requeue(self, request: Request, message: int) -> bytes:
        """Queue a dead message again."""
        await self._context.broker.requeue(_row(message))
        return answer(request)

    @app.route("/op-send", methods=["POST"])
    @takes(to=fields.RECIPIENT, body=fields.BODY, in_reply_to=fields.OPTIONAL_ID)
    @gives(ids=array(schema.ID))
    async def send(
        self, request: Request, to: str, body: str, in_reply_to: int | None
    ) -> bytes:
        """Write to an agent, or to ``*``, as the operator."""
        ids = await self._context.broker.send(OPERATOR, to.strip(), body, in_reply_to)
        return answer(request, {"ids": ids})

    @app.route("/notify-test", methods=["POST"])
    @takes()
    @gives(targets=array(row(target=schema.TEXT, host=schema.TEXT)))
    async def notify_test(self, request: Request) -> bytes:
        """Tell every target outside the house a test, and say what came of it."""
        return answer(request, {"targets": await self._context.notifier.test()})

    @app.route("/read", methods=["POST"])
    @takes(ids=fields.ids(MAX_READ))
    @gives(read=COUNT)
    async def read(self, request: Request, ids: tuple[int, ...]) -> bytes:
        """Mark messages of the operator's inbox as read."""
        return answer(request, {"read": await self._context.broker.mark_read(ids)})


def _row(id: int) -> int:
    """An id that a row can have."""
    if id > schema.MAX_ID:
        raise BadRequest("Nothing has such an id.")
    return id


def _mailbox(name: str | None) -> str | None:
    """A mailbox or an agent's name, also of an agent that is gone: its messages are not."""
    if name is None or name == "" or name in MAILBOXES:
        return name or None
    return check_agent_name(name)


answers_errors(Dashboard.app)
