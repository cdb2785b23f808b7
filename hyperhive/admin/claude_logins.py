"""The subcommand that logs an agent's claude in: a link, then a code that is not shown."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from hyperhive.admin import verbs
from hyperhive.admin.actions import Session
from hyperhive.admin.client import REFUSED, Answer, Failed, Refused
from hyperhive.admin.console import clean, one_line
from hyperhive.admin.grammar import NAME, Subcommand

_WORDS = {
    "waiting": "Waiting for its turn to end …",
    "starting": "Claude starts …",
    "checking": "Claude exchanges the code …",
}
_OVER = ("done", "failed", "cancelled", "timed_out")


def _login(session: Session, options: Namespace) -> int:
    name = {"name": options.name}
    begun = session.hive.ask(verbs.CLAUDE_LOGIN_START.name, name)
    try:
        for answer, view in _views(session, options.name, begun):
            if session.raw:
                session.console.raw(answer.line)
            else:
                _tell(session, view)
            if view["state"] == "link":
                _give_code(session, options.name)
            elif view["state"] == "done":
                return 0
            elif view["state"] in _OVER:
                raise Failed(clean(view.get("note", "It did not work.")), REFUSED)
    except KeyboardInterrupt:
        _cancel(session, options.name)
        raise
    raise AssertionError("the hive's events never end by themselves")


def _views(
    session: Session, name: str, begun: Answer
) -> Iterator[tuple[Answer, Mapping[str, Any]]]:
    """How the login is, from now on."""
    yield begun, begun.members["login"]
    since = begun.members["seq"]
    wanted = {"kinds": ["claude_login"], "agent": name, "since": since}
    for event in session.hive.follow(wanted):
        yield event, event.members


def _tell(session: Session, view: Mapping[str, Any]) -> None:
    console, state = session.console, view["state"]
    if state == "link":
        console.say("Open this link, sign in, and copy the code that you are shown:")
        console.out(clean(view["link"]))
    elif state == "done":
        facts = view.get("account", {})
        known = [
            one_line(facts[key])
            for key in ("email", "organisation", "plan")
            if key in facts
        ]
        of = f" ({', '.join(known)})" if known else ""
        console.out(f"{clean(view['name'])} is logged in{of}.")
    elif state in _WORDS:
        console.say(_WORDS[state])


def _give_code(session: Session, name: str) -> None:
    """Ask for the code until it has the shape of one, or the login is over."""
    while True:
        code = session.console.secret("Paste the code (it is not shown): ")
        if code is None:
            _cancel(session, name)
            return
        try:
            session.hive.ask(verbs.CLAUDE_LOGIN_CODE.name, {"name": name, "code": code})
        except Refused as refusal:
            view = session.hive.ask(verbs.CLAUDE_LOGIN.name, {"name": name})
            if view.members["login"]["state"] != "link":
                return  # what became of it is told by its events
            session.console.say(clean(refusal))
        else:
            return


def _cancel(session: Session, name: str) -> None:
    try:
        session.hive.ask(
            verbs.CLAUDE_LOGIN_CANCEL.name, {"name": name}, takes_long=True
        )
    except Refused:
        return  # it is over already


LOGIN_SUBCOMMAND = Subcommand(
    "login", verbs.CLAUDE_LOGIN_START.help, (NAME,), _login, "login bob"
)
