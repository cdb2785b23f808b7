"""The login of one agent's claude, on its page: begin it, give it its code, cancel it."""

from klein import Klein
from twisted.web.server import Request

from hyperhive.agents.login_interfaces import IClaudeLogins
from hyperhive.web import fields
from hyperhive.web.answers import answer, answers_errors, shielded
from hyperhive.web.described import gives, takes
from hyperhive.web.schema import ref

_LOGIN = gives(login=ref("ClaudeLogin"))


class ClaudeLoginRoutes:
    """Serves ``login/…`` below an agent's page. Each answer has the login as it is then.

    A request's body holds the code: nothing here shows, logs or keeps it.
    """

    app = Klein()

    def __init__(self, logins: IClaudeLogins, name: str) -> None:
        self._logins = logins
        self._name = name

    @app.route("/state", methods=["GET"])
    @_LOGIN
    def state(self, request: Request) -> bytes:
        """How it is, or how the last one ended."""
        return self._answer(request)

    @app.route("/start", methods=["POST"])
    @takes()
    @_LOGIN
    def start(self, request: Request) -> bytes:
        """Begin it, or join the one that is under way."""
        self._logins.start(self._name)
        return self._answer(request)

    @app.route("/code", methods=["POST"])
    @takes(code=fields.TEXT)
    @_LOGIN
    def code(self, request: Request, code: str) -> bytes:
        """Take the code that was pasted."""
        self._logins.give_code(self._name, code)
        return self._answer(request)

    @app.route("/cancel", methods=["POST"])
    @takes()
    @_LOGIN
    async def cancel(self, request: Request) -> bytes:
        """End it; answers when nothing of it runs any more."""
        cancelling = self._logins.cancel(self._name)
        await shielded(cancelling, f"cancel the login of {self._name}")
        return self._answer(request)

    def _answer(self, request: Request) -> bytes:
        return answer(request, {"login": self._logins.view(self._name).as_wire()})


answers_errors(ClaudeLoginRoutes.app)
