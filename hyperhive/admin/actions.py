"""What subcommands do: ask the hive, and show the answer."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from hyperhive.admin import show, verbs
from hyperhive.admin.client import REFUSED, Failed, Hive, find_socket
from hyperhive.admin.console import Console, Progress, clean
from hyperhive.admin.verbs import Verb
from hyperhive.admin.watch import Watcher, summary

#: The longest message that is read from standard input (characters).
MAX_STDIN = 1024 * 1024


@frozen
class Session:
    """One run of the command line.

    :param socket: of the flag ``--socket``.
    :param raw: print what the hive answers as it came.
    """

    console: Console
    socket: str | None
    raw: bool

    @property
    def hive(self) -> Hive:
        """The hive that is meant."""
        return Hive(find_socket(self.socket, self.console.environ))

    def ask(
        self,
        verb: Verb,
        members: Mapping[str, Any],
        tell: Callable[[Console, Mapping[str, Any]], None],
    ) -> int:
        """Ask, then show the answer with ``tell``, or as it came."""
        what = " ".join([verb.name.replace("_", " "), *_named(members)])
        with Progress(self.console, what) as progress:
            answer = self.hive.ask(
                verb.name,
                {name: value for name, value in members.items() if value is not None},
                verb.takes_long,
                progress,
            )
        if self.raw:
            self.console.raw(answer.line)
        else:
            tell(self.console, answer.members)
        return 0


Run = Callable[[Session, Namespace], int]


def _named(members: Mapping[str, Any]) -> list[str]:
    scope = members.get("scope")
    names = scope["agent_names"] if scope else [members.get("name")]
    return [str(name) for name in names if name]


def asking(
    verb: Verb,
    members: Callable[[Namespace], dict[str, Any]],
    done: Callable[[Namespace], str],
) -> Run:
    """Ask for a change; say in a sentence that it is done."""

    def run(session: Session, options: Namespace) -> int:
        return session.ask(
            verb, members(options), lambda console, answer: console.out(done(options))
        )

    return run


def of_one(verb: Verb, done: str, **also: Any) -> Run:
    """Ask for a change of one agent.

    :param done: a sentence in which ``{}`` is the agent's name.
    """
    return asking(
        verb,
        lambda options: {"name": options.name, **also},
        lambda options: done.format(options.name),
    )


def of_some(verb: Verb, done: str) -> Run:
    """Ask for a change of several agents."""

    def members(options: Namespace) -> dict[str, Any]:
        given: dict[str, Any] = {"scope": {"agent_names": options.names}}
        if getattr(options, "now", False):
            given["graceful"] = False
        return given

    return asking(verb, members, lambda options: done.format(", ".join(options.names)))


def list_agents(session: Session, options: Namespace) -> int:
    """Print the names."""

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        for name in answer["agents"]:
            console.out(clean(name))

    return session.ask(verbs.LIST, {}, tell)


def status(session: Session, options: Namespace) -> int:
    """Print one agent, or a table of all."""

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if options.name is None:
            show.agents(console, answer["agent_statuses"])
        else:
            show.agent(console, answer["agent_statuses"][0])

    return session.ask(verbs.AGENT_STATUS, {"name": options.name}, tell)


def destroy(session: Session, options: Namespace) -> int:
    """Destroy an agent; a purge only after asking."""
    name = options.name
    if options.purge and not options.yes:
        question = (
            f"This removes {name} with its login, its sessions and its notes, for good.\n"
            f"Type its name to go on: "
        )
        if not session.console.confirm(question, name):
            raise Failed("Nothing was done.", REFUSED)
    kept = "nothing of it is kept" if options.purge else "its login and notes are kept"
    return session.ask(
        verbs.DESTROY,
        {"name": name, "purge": options.purge},
        lambda console, answer: console.out(f"{name} is destroyed; {kept}."),
    )


def set_model(session: Session, options: Namespace) -> int:
    """Set an agent's model."""
    model = options.model or "the hive's own setting"
    return session.ask(
        verbs.SET_MODEL,
        {"name": options.name, "model": options.model},
        lambda console, answer: console.out(
            f"{options.name}'s next turns have the model {model}."
        ),
    )


def send(session: Session, options: Namespace) -> int:
    """Send a message, from the command line or standard input."""
    body = options.body
    if body == "-":
        body = session.console.stdin.read(MAX_STDIN + 1)
        if len(body) > MAX_STDIN:
            raise Failed(
                "The message is over 1 MiB; a message has at most 256 KiB.", REFUSED
            )

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        if "count" in answer:
            console.out(f"Sent to {answer['count']} agents.")
        else:
            console.out(f"Sent as #{answer['id']}.")

    members = {"to": options.to, "body": body, "in_reply_to": options.reply_to}
    return session.ask(verbs.SEND, members, tell)


def inbox(session: Session, options: Namespace) -> int:
    """Print a mailbox."""
    return session.ask(
        verbs.INBOX,
        {"name": options.name, "limit": options.limit},
        lambda console, answer: show.messages(
            console, answer["messages"], answer.get("left_out", 0)
        ),
    )


def login_url(session: Session, options: Namespace) -> int:
    """Print a link to log in by."""
    return session.ask(
        verbs.LOGIN_URL,
        {},
        lambda console, answer: console.out(clean(answer["url"])),
    )


def notify_test(session: Session, options: Namespace) -> int:
    """Print whom a test has reached, which is all of them: otherwise it is an error."""

    def tell(console: Console, answer: Mapping[str, Any]) -> None:
        for one in answer["targets"]:
            where = f"{clean(one['target'])} ({clean(one['host'])})"
            console.out(f"{where} has taken a test.")

    return session.ask(verbs.NOTIFY_TEST, {}, tell)


def urls(session: Session, options: Namespace) -> int:
    """Print where pages are."""
    return session.ask(
        verbs.URLS, {}, lambda console, answer: show.links(console, answer["urls"])
    )


def info(session: Session, options: Namespace) -> int:
    """Print versions and counts."""
    return session.ask(
        verbs.INFO,
        {},
        lambda console, answer: show.information(console, answer["info"]),
    )


def events(session: Session, options: Namespace) -> int:
    """Print events until the hive or the reader ends."""
    wanted = {"kinds": options.kind, "since": options.since, "agent": options.agent}
    given = {name: value for name, value in wanted.items() if value is not None}
    for event in session.hive.follow(given):
        if session.raw:
            session.console.raw(event.line)
        else:
            session.console.out(summary(event.members))
    return 0


def watch(session: Session, options: Namespace) -> int:
    """Tell what an agent does, until it is gone."""
    watcher = Watcher(session.console)
    if session.console.stdout.isatty() and not session.raw:
        session.console.say(f"Watching {clean(options.name)} from now on; Ctrl-C ends.")
    given = {"kinds": ["turn", "stream", "note", "agent"], "agent": options.name}
    for event in session.hive.follow(given):
        if session.raw:
            session.console.raw(event.line)
        else:
            for line in watcher.lines(event.members):
                session.console.out(line)
        if event.members.get("gone"):
            break
    return 0
