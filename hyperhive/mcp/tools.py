"""What an agent can do in the hive. Each tool calls one room and says what came of it."""

import json
import re
from typing import Any

from twisted.logger import Logger

from hyperhive.agents.interfaces import IAgents, NotTheManager
from hyperhive.approvals.interfaces import IApprovals, IQuestions
from hyperhive.deploy.interfaces import IDeploys
from hyperhive.errors import NotFound
from hyperhive.mcp.arguments import Argument, check
from hyperhive.mcp.bridge import awaited, outlasting
from hyperhive.mcp.connection import Request
from hyperhive.mcp.inspection import inspection_tools
from hyperhive.mcp.operator import proposal_tools, question_tool
from hyperhive.mcp.tool import Tool
from hyperhive.messages.interfaces import MAX_BODY, IBroker, Message
from hyperhive.names import EVERYONE, MANAGER, MANAGER_MAILBOX, OPERATOR, mailbox
from hyperhive.times import rfc3339

#: How many messages one ``recv`` hands out at most.
MAX_MESSAGES = 20

#: A line of a body that could be taken for the beginning of another message.
_LOOKALIKE = re.compile(r"^(?=Message \d+ from )", re.MULTILINE)


class UnknownTool(NotFound):
    """No such tool for this agent; the text lists those there are."""


class Toolbox:
    """The tools of one agent. Who calls is known by the socket, never by an argument.

    :param role: ``manager`` has more tools.
    :param recv_wait: the longest wait of a ``recv`` in seconds; the broker caps it,
        here it is only told.
    """

    _log = Logger()

    def __init__(
        self,
        agent: str,
        role: str,
        agents: IAgents,
        broker: IBroker,
        deploys: IDeploys,
        approvals: IApprovals,
        questions: IQuestions,
        recv_wait: float,
    ) -> None:
        self._agent = agent
        self._role = role
        self._agents = agents
        self._broker = broker
        self._recv_wait = recv_wait
        # Connections on which a recv has not been settled yet, once for each.
        self._receiving: list[str] = []
        tools = [*self._for_all(), question_tool(agent, questions)]
        if role == "manager":
            tools += [
                *self._for_the_manager(),
                *inspection_tools(agents, deploys),
                *proposal_tools(agent, approvals),
            ]
        self.tools = {tool.name: tool for tool in tools}

    async def call(
        self, request: Request, name: str, arguments: dict[str, object]
    ) -> str:
        """Run a tool.

        That a connection makes a call says that it got what it received before:
        that is acknowledged first.

        :raises PublicError: a sentence for the model.
        """
        if request.connection not in self._receiving:
            await outlasting(self._broker.acknowledge(request.connection))
        tool = self.tools.get(name)
        if tool is None:
            raise UnknownTool(
                f"There is no tool {name[:40]!r} here; "
                f"there are {', '.join(self.tools)}."
            )
        return await tool.run(request, check(name, tool.arguments, arguments))

    def waiting(self) -> str:
        """How many messages wait for the agent, as a sentence; empty if none does."""
        count = self._broker.unread(self._agent)
        if not count:
            return ""
        if count == 1:
            return "(1 message waits for you: recv takes it.)"
        return f"({count} messages wait for you: recv takes them.)"

    def _for_all(self) -> list[Tool]:
        return [
            Tool(
                "send",
                "Send a message to another agent, to the manager, to the operator "
                "(the human) or to everyone. It is stored durably before this "
                "answers, and wakes the recipient if it is idle. The answer is the "
                "message's id; it is not the recipient's reply, which arrives later "
                "as a message to you.",
                (
                    Argument(
                        "to",
                        "string",
                        "Who gets it: an agent's name, 'manager', 'operator', or '*' "
                        "for every agent but you. whoami lists who exists.",
                    ),
                    Argument(
                        "body",
                        "string",
                        f"The message as plain text, at most {MAX_BODY} bytes. For "
                        "more, write a file where the recipient can read it, or send "
                        "several messages.",
                    ),
                    Argument(
                        "in_reply_to",
                        "integer",
                        "The id of the message that this one answers.",
                        required=False,
                        minimum=1,
                    ),
                ),
                self._send,
            ),
            Tool(
                "recv",
                "Take the oldest messages that wait for you, in the order in which "
                "they were sent. Answers '(empty)' if there are none. Messages are "
                "also given to you one by one at the beginning of your turns, so "
                "that you need this only to take more of them now, or to wait for an "
                "answer within this turn. One marked [redelivered] was handed to you "
                "before: you may have dealt with a part of it.",
                (
                    Argument(
                        "wait_seconds",
                        "number",
                        "Wait so long for a message if none is there; without it, "
                        f"answer at once. At most {self._recv_wait:g} seconds are "
                        "waited; ask again to wait longer.",
                        required=False,
                        minimum=0,
                    ),
                    Argument(
                        "max",
                        "integer",
                        "How many messages to take at most; 1 if not given.",
                        required=False,
                        minimum=1,
                        maximum=MAX_MESSAGES,
                    ),
                ),
                self._recv,
            ),
            Tool(
                "set_status",
                "Say in a few words what you are doing. The operator sees it beside "
                "your name until you set another.",
                (
                    Argument(
                        "text",
                        "string",
                        "The status, one short line; an empty text removes it.",
                    ),
                ),
                self._set_status,
            ),
            Tool(
                "whoami",
                "Say who you are in this hive: your name and role, who else exists "
                "and how they are written to, your model, and the limits of messages.",
                (),
                self._whoami,
            ),
        ]

    def _for_the_manager(self) -> list[Tool]:
        name = Argument(
            "name",
            "string",
            "The agent's name, as list_agents shows it; never your own.",
        )
        return [
            Tool(
                "list_agents",
                "List all agents with their state: whether they run, work, are paused "
                "or need a login, how many messages wait for each, its model and its "
                "last turn. One JSON object a line.",
                (),
                self._list_agents,
            ),
            Tool(
                "start",
                "Start a stopped agent and wake it. Answers when it runs; it is no "
                "error if it runs already.",
                (name,),
                self._start,
            ),
            Tool(
                "kill",
                "Stop an agent at once. A turn that it is in is ended, and the "
                "messages of that turn wait for its next start. Answers when it is "
                "stopped.",
                (name,),
                self._kill,
            ),
            Tool(
                "restart",
                "Restart an agent: its turn may end first, which can take minutes, "
                "then it is stopped, started and woken. Answers when it runs again.",
                (name,),
                self._restart,
            ),
        ]

    async def _send(self, request: Request, given: dict[str, Any]) -> str:
        self._agents.check_recipient(self._agent, given["to"])
        ids = await outlasting(
            self._broker.send(
                self._agent, given["to"], given["body"], given.get("in_reply_to")
            )
        )
        if given["to"] != EVERYONE:
            return f"Sent: message {ids[0]}."
        listed = ", ".join(str(id) for id in ids)
        count = "1 agent: message" if len(ids) == 1 else f"{len(ids)} agents: messages"
        return f"Sent to {count} {listed}."

    async def _recv(self, request: Request, given: dict[str, Any]) -> str:
        self._receiving.append(request.connection)
        request.when_settled(lambda _: self._receiving.remove(request.connection))

        def leased(messages: list[Message]) -> list[Message]:
            # Noted as the Deferred fires, not when it has been awaited: the request
            # may be cancelled in between.
            if messages:
                ids = tuple(message.id for message in messages)
                request.when_settled(lambda answered: self._settled(ids, answered))
            return messages

        receiving = self._broker.receive(
            self._agent,
            request.connection,
            given.get("max", 1),
            given.get("wait_seconds"),
        )
        messages = await awaited(receiving.addCallback(leased))
        return "\n\n".join(map(_shown, messages)) if messages else "(empty)"

    def _settled(self, ids: tuple[int, ...], answered: bool) -> None:
        if not answered:
            self._broker.give_back(ids).addErrback(
                lambda failure: self._log.failure(
                    "Messages {ids} were not given back", failure, ids=ids
                )
            )

    async def _set_status(self, request: Request, given: dict[str, Any]) -> str:
        await outlasting(self._agents.set_status(self._agent, given["text"]))
        return "The status is set." if given["text"] else "The status is removed."

    async def _whoami(self, request: Request, given: dict[str, Any]) -> str:
        others = [mailbox(name) for name in self._agents.names()]
        return "\n".join(
            (
                f"name: {self._agent}",
                f"role: {self._role}",
                f"others write to you as: {mailbox(self._agent)}",
                f"agents: {', '.join(others)}",
                f"also: {OPERATOR} (the human), {EVERYONE} (every agent but you)",
                f"model: {self._agents.status(self._agent).model}",
                f"limits: a message has at most {MAX_BODY} bytes; recv waits at most "
                f"{self._recv_wait:g} seconds and takes at most {MAX_MESSAGES} messages",
            )
        )

    async def _list_agents(self, request: Request, given: dict[str, Any]) -> str:
        return "\n".join(
            json.dumps(status.as_wire(), ensure_ascii=False)
            for status in self._agents.statuses()
        )

    async def _start(self, request: Request, given: dict[str, Any]) -> str:
        name = _not_the_manager(given["name"])
        await outlasting(self._agents.start(name, by="manager"))
        return f"{name} runs."

    async def _kill(self, request: Request, given: dict[str, Any]) -> str:
        name = _not_the_manager(given["name"])
        await outlasting(self._agents.stop(name, by="manager", graceful=False))
        return f"{name} is stopped."

    async def _restart(self, request: Request, given: dict[str, Any]) -> str:
        name = _not_the_manager(given["name"])
        await outlasting(self._agents.restart(name, by="manager"))
        return f"{name} was restarted and runs."


def _not_the_manager(name: str) -> str:
    if name in (MANAGER, MANAGER_MAILBOX):
        raise NotTheManager(
            "The manager can't start, kill or restart itself; the operator can."
        )
    return name


def _shown(message: Message) -> str:
    """A message for a model; no body can pass for a further message."""
    marks = " [redelivered]" if message.redelivered else ""
    if message.in_reply_to is not None:
        marks += f" [in reply to {message.in_reply_to}]"
    return (
        f"Message {message.id} from {message.sender}, {rfc3339(message.sent_at)}"
        f"{marks}:\n{_LOOKALIKE.sub('> ', message.body)}"
    )
