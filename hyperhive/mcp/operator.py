"""The tools by which agents turn to the operator: questions of all, proposals of the manager."""

from typing import Any

from hyperhive.approvals.interfaces import (
    MAX_DESCRIPTION,
    MAX_OPTION,
    MAX_OPTIONS,
    MAX_QUESTION,
    MAX_TTL,
    IApprovals,
    IQuestions,
)
from hyperhive.mcp.arguments import Argument
from hyperhive.mcp.bridge import outlasting
from hyperhive.mcp.connection import Request
from hyperhive.mcp.tool import Run, Tool
from hyperhive.names import MAX_LENGTH


def question_tool(agent: str, questions: IQuestions) -> Tool:
    """``ask_operator``, for every agent."""

    async def ask(request: Request, given: dict[str, Any]) -> str:
        id = await outlasting(
            questions.ask(
                agent,
                given["question"],
                given.get("options", ()),
                given.get("multi", False),
                given.get("ttl_seconds"),
            )
        )
        return (
            f"Asked: question {id}. The answer comes as a message from system with "
            "this id; go on with what does not need it, or end your turn."
        )

    return Tool(
        "ask_operator",
        "Ask the operator (the human) a question. This answers at once with the "
        "question's id; the operator's answer arrives later, as a message from "
        "'system' with the event 'operator_answered' and that id, and wakes you if "
        "you are idle by then. Ask only what you can't find out or decide yourself, "
        "and one thing at a time.",
        (
            Argument(
                "question",
                "string",
                "The question, with all that is needed to answer it without reading "
                f"anything else; at most {MAX_QUESTION} bytes.",
            ),
            Argument(
                "options",
                "strings",
                f"Answers to choose from, at most {MAX_OPTIONS}, each one line of at "
                f"most {MAX_OPTION} characters. The operator may answer in other words "
                "all the same.",
                required=False,
            ),
            Argument(
                "multi",
                "boolean",
                "Whether several of the options may be chosen; each is then a line of "
                "the answer.",
                required=False,
            ),
            Argument(
                "ttl_seconds",
                "integer",
                "After so many seconds the question is withdrawn, and you are told "
                "with the event 'question_expired'. Without it, it waits for ever.",
                required=False,
                minimum=1,
                maximum=MAX_TTL,
            ),
        ),
        ask,
    )


def proposal_tools(agent: str, approvals: IApprovals) -> list[Tool]:
    """``request_spawn`` and ``request_apply_commit``, for the manager.

    :param agent: the manager's name.
    """
    description = Argument(
        "description",
        "string",
        "Why: what it is for, which cheaper ways there are, and what could go wrong "
        f"with it. The operator decides by it. At most {MAX_DESCRIPTION} bytes.",
        required=False,
    )
    return [
        Tool(
            "request_spawn",
            "Propose a new agent to the operator. Nothing is made before it is "
            "approved. Answers at once with the approval's id; what was decided "
            "arrives as a message from 'system' with the event 'approval_resolved', "
            "and then 'spawned' when it is done.",
            (
                Argument(
                    "name",
                    "string",
                    f"The new agent's name: 1 to {MAX_LENGTH} of a-z, 0-9 and '-', "
                    "starting with a letter. The name of a destroyed agent whose state "
                    "was kept brings it back with that state.",
                ),
                description,
            ),
            _request_spawn(agent, approvals),
        ),
        Tool(
            "request_apply_commit",
            "Propose a commit of an agent's configuration, which you have made in its "
            "proposed repo, to the operator. The commit is fetched, checked and pinned "
            "before this answers: what you change afterwards needs a proposal of its "
            "own. Answers with the approval's id; what was decided arrives as a "
            "message from 'system' with the event 'approval_resolved', and then "
            "'rebuilt' when it is deployed or has failed.",
            (
                Argument(
                    "agent",
                    "string",
                    "Whose configuration it is; your own too, by your name.",
                ),
                Argument(
                    "commit_ref",
                    "string",
                    "The commit: 7 to 40 hexadecimal digits of its hash.",
                ),
                description,
            ),
            _request_apply_commit(agent, approvals),
        ),
    ]


def _request_spawn(agent: str, approvals: IApprovals) -> Run:
    async def run(request: Request, given: dict[str, Any]) -> str:
        id = await outlasting(
            approvals.request_spawn(given["name"], agent, given.get("description"))
        )
        return f"Asked for: approval {id}. The operator decides."

    return run


def _request_apply_commit(agent: str, approvals: IApprovals) -> Run:
    async def run(request: Request, given: dict[str, Any]) -> str:
        id = await outlasting(
            approvals.request_apply_commit(
                given["agent"], given["commit_ref"], agent, given.get("description")
            )
        )
        return f"Asked for: approval {id}. The operator decides."

    return run
