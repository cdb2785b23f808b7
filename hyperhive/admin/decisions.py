"""The subcommands of approvals and questions: what waits for the operator, and deciding it."""

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from hyperhive.admin import verbs
from hyperhive.admin.actions import Session, asking
from hyperhive.admin.client import REFUSED, Failed
from hyperhive.admin.console import Console, clean, one_line
from hyperhive.admin.grammar import Argument, Subcommand
from hyperhive.admin.words import clock

Row = Mapping[str, Any]

_STYLES = {"pending": "yellow", "approved": "green", "denied": "red", "failed": "red"}
_KINDS = {"spawn": "new agent", "apply_commit": "new configuration"}
#: How a line of a diff is shown, by how it begins; the first that fits.
_DIFF_STYLES = (
    ("diff ", "bold"),
    ("+++", "bold"),
    ("---", "bold"),
    ("index ", "dim"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)


def _pending(session: Session, options: Namespace) -> int:
    """Print what waits last, so that it is beside the prompt."""

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        waiting = [one for one in answer["approvals"] if one["status"] == "pending"]
        if options.all:
            for one in reversed(answer["approvals"][len(waiting) :]):
                _tell_approval(console, one)
        for one in waiting:
            _tell_approval(console, one)
        if not waiting:
            console.say("(nothing waits for a decision)")

    return session.ask(verbs.PENDING, {}, tell)


def _tell_approval(console: Console, row: Row) -> None:
    now, status = time.time(), clean(row.get("status"))
    kind = clean(row.get("kind"))
    head = (
        f"#{row.get('id')}  {_KINDS.get(kind, kind)}: {clean(row.get('agent'))}  "
        f"{status}  {clock(row.get('requested_at'), now)}  by {clean(row.get('asker'))}"
    )
    if "fetched_sha" in row:
        head += f"  {clean(row['fetched_sha'])[:10]}"
    console.out(console.paint(head, _STYLES.get(status, "dim")))
    for line in clean(row.get("description", "")).splitlines():
        console.out(f"    {line}")
    if "expires_at" in row and status == "pending":
        console.out(f"    expires {clock(row['expires_at'], now)}")
    if "resolved_at" in row:
        note = f": {one_line(row['note'], 300)}" if row.get("note") else ""
        console.out(
            f"    {status} {clock(row['resolved_at'], now)} by "
            f"{clean(row.get('resolved_by'))}{note}"
        )


def _diff(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        _tell_approval(console, answer["approval"])
        diff = answer["diff"]
        console.out()
        if not diff["files"]:
            console.say("(nothing differs)")
        for file in diff["files"]:
            console.out(f"{clean(file['path'])}  {_size(console, file)}")
        console.out()
        for line in clean(diff["text"]).splitlines():
            console.out(_painted(console, line))
        if diff["truncated"]:
            console.say("(it is longer: look at the rest with git before you decide)")

    return session.ask(
        verbs.APPROVAL, {"id": options.id, "against": options.against}, tell
    )


def _size(console: Console, file: Row) -> str:
    if file.get("binary"):
        return console.paint("binary", "dim")
    added = console.paint(f"+{file['added']}", "green")
    return f"{added} {console.paint('-' + str(file['deleted']), 'red')}"


def _painted(console: Console, line: str) -> str:
    for beginning, style in _DIFF_STYLES:
        if line.startswith(beginning):
            return console.paint(line, style)
    return line


def _request_spawn(session: Session, options: Namespace) -> int:
    return session.ask(
        verbs.REQUEST_SPAWN,
        {"name": options.name, "description": options.description},
        lambda console, answer: console.out(f"Asked for as approval {answer['id']}."),
    )


def _questions(session: Session, options: Namespace) -> int:
    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if not answer["questions"]:
            console.say("(nobody asks anything)")
        for one in answer["questions"]:
            _tell_question(console, one)

    return session.ask(verbs.QUESTIONS, {}, tell)


def _tell_question(console: Console, row: Row) -> None:
    now = time.time()
    head = f"#{row['id']}  {clean(row['asker'])} asks  {clock(row['asked_at'], now)}"
    if "expires_at" in row:
        head += f"  expires {clock(row['expires_at'], now)}"
    console.out(console.paint(head, "cyan"))
    for line in clean(row["question"]).splitlines():
        console.out(f"    {line}")
    mark = "[ ]" if row.get("multi") else "( )"
    for option in row.get("options", ()):
        console.out(f"    {mark} {one_line(option, 500)}")


def _answer(session: Session, options: Namespace) -> int:
    """Answer with what was typed, or with chosen options."""
    text = " ".join(options.answer)
    if bool(text) == bool(options.choose):
        raise Failed(
            "Give an answer in your own words, or options with --choose, not both.",
            REFUSED,
        )
    return session.ask(
        verbs.ANSWER,
        {"id": options.id, "answer": text or None, "choices": options.choose},
        lambda console, answer: console.out(f"Question {options.id} is answered."),
    )


_APPROVAL = Argument(
    ("id",), verbs.APPROVE.takes("id").help, {"metavar": "ID", "type": int}
)
_QUESTION = Argument(
    ("id",), verbs.ANSWER.takes("id").help, {"metavar": "ID", "type": int}
)

DECISION_SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand(
        "pending",
        "show what waits for your decision",
        (
            Argument(
                ("--all", "-a"),
                "also what was decided last",
                {"action": "store_true"},
            ),
        ),
        _pending,
        "pending",
    ),
    Subcommand(
        "diff",
        "show what the commit of an approval changes",
        (
            _APPROVAL,
            Argument(
                ("--against",),
                "compare it with what runs (default), with what was approved last, or "
                "with what waits before it",
                {"choices": list(verbs.AGAINST), "default": verbs.AGAINST[0]},
            ),
        ),
        _diff,
        "diff 42 --against approved",
    ),
    Subcommand(
        "approve",
        verbs.APPROVE.help,
        (_APPROVAL,),
        asking(
            verbs.APPROVE,
            lambda options: {"id": options.id},
            lambda options: f"{options.id} is approved, and done.",
        ),
        "approve 42",
    ),
    Subcommand(
        "deny",
        verbs.DENY.help,
        (
            _APPROVAL,
            Argument(
                ("--note", "-n"), verbs.DENY.takes("note").help, {"metavar": "WHY"}
            ),
        ),
        asking(
            verbs.DENY,
            lambda options: {"id": options.id, "note": options.note},
            lambda options: f"{options.id} is denied.",
        ),
        "deny 42 --note 'use the tools that it has'",
    ),
    Subcommand(
        "request-spawn",
        verbs.REQUEST_SPAWN.help,
        (
            Argument(("name",), "a new name", {"metavar": "NAME"}),
            Argument(
                ("--description", "-d"),
                verbs.REQUEST_SPAWN.takes("description").help,
                {"metavar": "TEXT"},
            ),
        ),
        _request_spawn,
        "request-spawn bob -d 'keeps the books'",
    ),
    Subcommand("questions", verbs.QUESTIONS.help, (), _questions, "questions"),
    Subcommand(
        "answer",
        verbs.ANSWER.help,
        (
            _QUESTION,
            Argument(
                ("answer",),
                "the answer in your own words",
                {"metavar": "ANSWER", "nargs": "*"},
            ),
            Argument(
                ("--choose", "-c"),
                "choose this option; can be repeated where several may be chosen",
                {"metavar": "OPTION", "action": "append"},
            ),
        ),
        _answer,
        "answer 7 yes",
    ),
    Subcommand(
        "cancel-question",
        verbs.CANCEL_QUESTION.help,
        (_QUESTION,),
        asking(
            verbs.CANCEL_QUESTION,
            lambda options: {"id": options.id},
            lambda options: f"Question {options.id} is left unanswered.",
        ),
        "cancel-question 7",
    ),
)
