"""The dashboard's origin: its page, its state, and the operator's verbs on agents."""

from klein import Klein
from twisted.web.resource import IResource
from twisted.web.server import Request

from hyperhive.approvals.interfaces import diff_as_wire
from hyperhive.errors import BadRequest
from hyperhive.names import MANAGER_MAILBOX, OPERATOR, SYSTEM, check_agent_name
from hyperhive.web.agentpage import AgentPage
from hyperhive.web.answers import (
    answer,
    answer_page,
    answer_text,
    answers_errors,
    redirect,
    shielded,
)
from hyperhive.web.context import WebContext
from hyperhive.web.forms import form, query_text
from hyperhive.web.markdown import Markdown
from hyperhive.web.messages import message_page
from hyperhive.web.metrics import Metrics
from hyperhive.web.snapshot import dashboard_state, tombstones
from hyperhive.web.sse import EventStream, Streams
from hyperhive.web.stats import stats_state
from hyperhive.web.templates import Templates

#: How many rows can be marked as read at once.
MAX_READ = 200
#: How many topics a stream can be narrowed to.
MAX_TOPICS = 20
_MAX_ID = 2**63 - 1
_MAILBOXES = frozenset({MANAGER_MAILBOX, OPERATOR, SYSTEM})


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
    async def page(self, request: Request) -> bytes:
        """The dashboard, with its first state in it."""
        state = await dashboard_state(self._context)
        page = self._templates.render(
            "dashboard.html", facts=self._context.facts, state=state
        )
        return answer_page(request, page)

    @app.route("/agent/<name>", methods=["GET"])
    def agent_page_without_slash(self, request: Request, name: str) -> bytes:
        """The page's own addresses are relative: it must end in a slash."""
        return redirect(request, f"/agent/{self._context.agents.status(name).name}/")

    @app.route("/agent/<name>/", branch=True)
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
    async def state(self, request: Request) -> bytes:
        """Everything that the dashboard shows."""
        return answer(request, await dashboard_state(self._context))

    @app.route("/stats", methods=["GET"])
    def stats_page(self, request: Request) -> bytes:
        """The charts. Which ones is in the query, which the page itself reads."""
        page = self._templates.render("stats.html", facts=self._context.facts)
        return answer_page(request, page)

    @app.route("/api/stats", methods=["GET"])
    async def stats(self, request: Request) -> bytes:
        """What turns came to in a ``window``, of an ``agent`` or of all."""
        return answer(request, await stats_state(self._context, request))

    @app.route("/api/messages", methods=["GET"])
    async def messages(self, request: Request) -> bytes:
        """A page of messages, whole, oldest first; ``before`` asks for the page before."""
        agent = _mailbox(query_text(request, "agent"))
        return answer(request, await message_page(request, self._context.broker, agent))

    @app.route("/events/stream", methods=["GET"])
    def events(self, request: Request) -> IResource:
        """Everything that happens, or what ``topics`` names."""
        text = query_text(request, "topics")
        topics = None if text is None else {one.strip() for one in text.split(",")}
        if topics is not None and len(topics) > MAX_TOPICS:
            raise BadRequest(f"A stream has at most {MAX_TOPICS} topics.")
        return EventStream(self._streams, self._context.bus, topics)

    @app.route("/messages/stream", methods=["GET"])
    def message_events(self, request: Request) -> IResource:
        """What happens to messages."""
        return EventStream(self._streams, self._context.bus, {"message"})

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: Request) -> bytes:
        """For Prometheus."""
        return answer_text(
            request, "text/plain; version=0.0.4", self._metrics.render().encode()
        )

    @app.route("/spawn", methods=["POST"])
    async def spawn(self, request: Request) -> bytes:
        """Make an agent."""
        name = form(request).text("name").strip()
        await shielded(self._context.agents.spawn(name), f"spawn {name[:40]}")
        return answer(request, {"name": name})

    @app.route("/start/<name>", methods=["POST"])
    async def start(self, request: Request, name: str) -> bytes:
        """Start an agent."""
        await shielded(self._context.agents.start(name, OPERATOR), f"start {name}")
        return answer(request)

    @app.route("/kill/<name>", methods=["POST"])
    async def kill(self, request: Request, name: str) -> bytes:
        """Stop an agent: at once, or ``graceful``, when its turn has ended."""
        graceful = form(request).flag("graceful", False)
        await shielded(
            self._context.agents.stop(name, OPERATOR, graceful), f"stop {name}"
        )
        return answer(request)

    @app.route("/restart/<name>", methods=["POST"])
    async def restart(self, request: Request, name: str) -> bytes:
        """Stop an agent and start it again."""
        await shielded(self._context.agents.restart(name, OPERATOR), f"restart {name}")
        return answer(request)

    @app.route("/destroy/<name>", methods=["POST"])
    async def destroy(self, request: Request, name: str) -> bytes:
        """Remove an agent, with ``purge`` also what it kept."""
        purge = form(request).flag("purge", False)
        await shielded(self._context.agents.destroy(name, purge), f"destroy {name}")
        return answer(request)

    @app.route("/pause/<name>", methods=["POST"])
    async def pause(self, request: Request, name: str) -> bytes:
        """Give an agent no further turn, or go on."""
        paused = form(request).flag("paused")
        await shielded(self._context.agents.set_paused(name, paused), f"pause {name}")
        return answer(request, {"paused": paused})

    @app.route("/request-spawn", methods=["POST"])
    async def request_spawn(self, request: Request) -> bytes:
        """Propose an agent, which is made when it is approved."""
        fields = form(request)
        asking = self._context.approvals.request_spawn(
            fields.text("name").strip(), OPERATOR, fields.optional_text("description")
        )
        return answer(request, {"id": await asking})

    @app.route("/api/approval/<int:approval>", methods=["GET"])
    async def approval(self, request: Request, approval: int) -> bytes:
        """One approval, and what its commit changes of what ``against`` names."""
        id, approvals = _row(approval), self._context.approvals
        members = {"approval": (await approvals.get(id)).as_wire()}
        against = query_text(request, "against")
        if against:
            members["diff"] = diff_as_wire(await approvals.diff(id, against))
        return answer(request, members)

    @app.route("/approve/<int:approval>", methods=["POST"])
    async def approve(self, request: Request, approval: int) -> bytes:
        """Approve; answers when it is done, or has failed."""
        deciding = self._context.approvals.approve(_row(approval), OPERATOR)
        await shielded(deciding, f"approve {approval}")
        return answer(request)

    @app.route("/deny/<int:approval>", methods=["POST"])
    async def deny(self, request: Request, approval: int) -> bytes:
        """Deny, with a ``note`` for whoever asked."""
        note = form(request).optional_text("note")
        await self._context.approvals.deny(_row(approval), OPERATOR, note)
        return answer(request)

    @app.route("/answer-question/<int:question>", methods=["POST"])
    async def answer_question(self, request: Request, question: int) -> bytes:
        """Answer, with a text or with a list of options."""
        given = form(request).text_or_texts("answer")
        await self._context.questions.answer(_row(question), given, OPERATOR)
        return answer(request)

    @app.route("/cancel-question/<int:question>", methods=["POST"])
    async def cancel_question(self, request: Request, question: int) -> bytes:
        """Leave a question unanswered."""
        await self._context.questions.cancel(_row(question), OPERATOR)
        return answer(request)

    @app.route("/rebuild/<name>", methods=["POST"])
    async def rebuild(self, request: Request, name: str) -> bytes:
        """Build again what an agent runs, and run that."""
        await shielded(self._context.deploys.rebuild(name, OPERATOR), f"rebuild {name}")
        return answer(request)

    @app.route("/update-all", methods=["POST"])
    async def update_all(self, request: Request) -> bytes:
        """Rebuild every agent that another hyperhive has built."""
        updating = self._context.deploys.update_all(OPERATOR)
        return answer(request, {"count": await shielded(updating, "update all")})

    @app.route("/api/deployments/<name>", methods=["GET"])
    async def deployments(self, request: Request, name: str) -> bytes:
        """What was deployed for an agent."""
        found = await self._context.deploys.deployments(name)
        return answer(request, {"deployments": [one.as_wire() for one in found]})

    @app.route("/rollback/<name>", methods=["POST"])
    async def rollback(self, request: Request, name: str) -> bytes:
        """Go back to an earlier deployment, by its ``id``."""
        id = form(request).number("id")
        if id is None:
            raise BadRequest("The field 'id' is missing.")
        going = self._context.deploys.rollback(name, id, OPERATOR)
        await shielded(going, f"rollback {name}")
        return answer(request)

    @app.route("/api/job/<int:job>", methods=["GET"])
    def job(self, request: Request, job: int) -> bytes:
        """The log of a job of the deploy queue."""
        return answer(request, {"lines": self._context.deploys.lines(job)})

    @app.route("/cancel-job/<int:job>", methods=["POST"])
    def cancel_job(self, request: Request, job: int) -> bytes:
        """Cancel a job that waits or builds."""
        self._context.deploys.cancel(job)
        return answer(request)

    @app.route("/run-again/<int:job>", methods=["POST"])
    async def run_again(self, request: Request, job: int) -> bytes:
        """Run a job again that failed or was interrupted."""
        if job > _MAX_ID:
            raise BadRequest("No job has such an id.")
        await shielded(self._context.deploys.run_again(job), f"job {job} again")
        return answer(request)

    @app.route("/api/tombstones", methods=["GET"])
    async def tombstones(self, request: Request) -> bytes:
        """What is kept of destroyed agents."""
        return answer(request, {"tombstones": await tombstones(self._context)})

    @app.route("/purge-tombstone/<name>", methods=["POST"])
    async def purge(self, request: Request, name: str) -> bytes:
        """Remove what is kept of a destroyed agent."""
        await shielded(self._context.agents.purge(name), f"purge {name}")
        return answer(request)

    @app.route("/requeue/<int:message>", methods=["POST"])
    async def requeue(self, request: Request, message: int) -> bytes:
        """Queue a dead message again."""
        if message > _MAX_ID:
            raise BadRequest("No message has such an id.")
        await self._context.broker.requeue(message)
        return answer(request)

    @app.route("/op-send", methods=["POST"])
    async def send(self, request: Request) -> bytes:
        """Write to an agent, or to ``*``, as the operator."""
        fields = form(request)
        ids = await self._context.broker.send(
            OPERATOR,
            fields.text("to").strip(),
            fields.text("body"),
            fields.number("in_reply_to"),
        )
        return answer(request, {"ids": ids})

    @app.route("/notify-test", methods=["POST"])
    async def notify_test(self, request: Request) -> bytes:
        """Tell every target outside the house a test, and say what came of it."""
        return answer(request, {"targets": await self._context.notifier.test()})

    @app.route("/read", methods=["POST"])
    async def read(self, request: Request) -> bytes:
        """Mark messages of the operator's inbox as read."""
        ids = form(request).numbers("ids", MAX_READ)
        return answer(request, {"read": await self._context.broker.mark_read(ids)})


def _row(id: int) -> int:
    """An id that a row can have."""
    if id > _MAX_ID:
        raise BadRequest("Nothing has such an id.")
    return id


def _mailbox(name: str | None) -> str | None:
    """A mailbox or an agent's name, also of an agent that is gone: its messages are not."""
    if name is None or name == "" or name in _MAILBOXES:
        return name or None
    return check_agent_name(name)


answers_errors(Dashboard.app)
