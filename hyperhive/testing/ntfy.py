"""A stand-in for ntfy: it takes what ntfy takes, and refuses what ntfy refuses.

After https://docs.ntfy.sh/publish/ and the limits of its default configuration.
"""

import json
import re
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

#: The longest message that is not made a file (bytes), and the longest JSON.
MESSAGE_LIMIT = 4096
#: How many buttons a message may have.
MAX_ACTIONS = 3

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_KNOWN = frozenset(
    {
        *("topic", "message", "title", "tags", "priority", "actions", "click"),
        *("attach", "markdown", "icon", "filename", "delay", "email", "call"),
    }
)


class FakeNtfy(Resource):
    """The root of a server with one protected topic, or with open ones.

    :param token: the access token that is needed; ``None``: none is.
    :ivar published: what was published, as it came.
    :ivar requests: every request's headers, also of those that were refused.
    :ivar failing: status codes to answer the next requests with, one each.
    :ivar retry_after: the header that such answers have.
    """

    isLeaf = True

    def __init__(self, token: str | None = None) -> None:
        super().__init__()
        self._token = token
        self.published: list[dict[str, Any]] = []
        self.requests: list[dict[str, str]] = []
        self.failing: list[int] = []
        self.retry_after: str | None = None

    def render_POST(self, request: Request) -> bytes:  # Twisted's name for it
        """Publish."""
        headers = {
            name.decode().lower(): values[-1].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        self.requests.append(headers)
        if self.failing:
            return self._refused(request, self.failing.pop(0), 0, "as you wish")
        if request.path != b"/":
            # A body that is posted to a topic is the message itself, JSON or not.
            return self._refused(request, 404, 40401, "page not found")
        given = headers.get("authorization")
        if self._token is not None and given != f"Bearer {self._token}":
            code = (401, 40101, "unauthorized") if given else (403, 40301, "forbidden")
            return self._refused(request, *code)
        content: Any = request.content
        problem, said = _read(content.read())
        if problem is not None:
            return self._refused(request, *problem)
        self.published.append(said)
        answer = {"id": "pq7xQ2", "time": 1, "event": "message", **said}
        return self._json(request, 200, answer)

    def _refused(self, request: Request, status: int, code: int, error: str) -> bytes:
        if self.retry_after is not None:
            request.setHeader("retry-after", self.retry_after)
        answer = {"code": code, "http": status, "error": error}
        return self._json(request, status, answer)

    def _json(self, request: Request, status: int, answer: dict[str, Any]) -> bytes:
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        return json.dumps(answer).encode()


_Problem = tuple[int, int, str]


def _read(body: bytes) -> tuple[_Problem | None, dict[str, Any]]:
    """What a JSON body says, or why ntfy would refuse it."""
    if len(body) > MESSAGE_LIMIT:
        return (413, 41301, "message or attachment too large"), {}
    try:
        said = json.loads(body)
    except ValueError:
        return (400, 40024, "request body must be valid JSON"), {}
    if not isinstance(said, dict) or not set(said) <= _KNOWN:
        return (400, 40024, "request body must be valid JSON"), {}
    if not _TOPIC.fullmatch(str(said.get("topic", ""))):
        return (400, 40009, "topic invalid"), {}
    if said.get("priority", 3) not in (1, 2, 3, 4, 5):
        return (400, 40007, "priority invalid"), {}
    if not _good_actions(said.get("actions", [])):
        return (400, 40018, "actions invalid"), {}
    return None, said


def _good_actions(actions: Any) -> bool:
    return len(actions) <= MAX_ACTIONS and all(
        one.get("action") in ("view", "broadcast", "http")
        and one.get("label")
        and (one["action"] == "broadcast" or one.get("url"))
        for one in actions
    )
