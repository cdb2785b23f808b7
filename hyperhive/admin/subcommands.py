"""What can be typed after ``hive-c0re``: a table of subcommands and their arguments."""

from argparse import Namespace

from hyperhive.admin import actions, verbs
from hyperhive.admin.actions import Session
from hyperhive.admin.claude_logins import LOGIN_SUBCOMMAND
from hyperhive.admin.decisions import DECISION_SUBCOMMANDS
from hyperhive.admin.deploys import DEPLOY_SUBCOMMANDS
from hyperhive.admin.grammar import (
    AGENTS,
    FILES,
    MAILBOXES,
    NAME,
    Argument,
    Subcommand,
)
from hyperhive.admin.stats import STATS_SUBCOMMAND


def _serve(session: Session, options: Namespace) -> int:
    from hyperhive.admin.serve import serve

    return serve(session.console, options)


def _doctor(session: Session, options: Namespace) -> int:
    from hyperhive.admin.doctor import doctor

    return doctor(session.console, options, session.socket, session.raw)


def _completion(session: Session, options: Namespace) -> int:
    from hyperhive.admin.completion import script

    session.console.out(script(options.shell))
    return 0


def setting_arguments() -> tuple[Argument, ...]:
    """The hive's settings as flags, the same as those of ``twistd hyperhive``."""
    # Only here, since it takes as long to import as all the rest.
    from hyperhive.settings import flag_fields, spelled

    config = Argument(("--config", "-c"), "hive.toml", {"metavar": "FILE"}, FILES)
    return (
        config,
        *(
            Argument(
                (f"--{spelled(one.name)}",),
                one.metadata["help"],
                {"dest": one.name, "action": "store_true"}
                if one.metadata["meta"] is None
                else {"dest": one.name, "metavar": one.metadata["meta"]},
                FILES if one.metadata["meta"] in ("DIR", "PATH") else None,
            )
            for one in flag_fields()
        ),
    )


_NAMES = Argument(
    ("names",), "the agents' names", {"metavar": "NAME", "nargs": "+"}, AGENTS
)

SUBCOMMANDS: tuple[Subcommand, ...] = (
    Subcommand("list", verbs.LIST.help, (), actions.list_agents, "list"),
    Subcommand(
        "status",
        verbs.AGENT_STATUS.help,
        (
            Argument(
                ("name",),
                "one agent, with all that is known of it (default: a table of all)",
                {"metavar": "NAME", "nargs": "?"},
                AGENTS,
            ),
        ),
        actions.status,
        "status bob",
    ),
    Subcommand(
        "spawn",
        verbs.SPAWN.help,
        (
            Argument(
                ("name",),
                "a new name: 1 to 9 of a-z, 0-9 and '-', starting with a letter",
                {"metavar": "NAME"},
            ),
        ),
        actions.of_one(verbs.SPAWN, "{} is there and runs."),
        "spawn bob",
    ),
    Subcommand(
        "start",
        verbs.START.help,
        (_NAMES,),
        actions.of_some(verbs.START, "Started: {}."),
        "start bob alice",
    ),
    Subcommand(
        "stop",
        verbs.STOP.help,
        (
            _NAMES,
            Argument(
                ("--now",),
                "do not let running turns end; their messages are given back",
                {"action": "store_true"},
            ),
        ),
        actions.of_some(verbs.STOP, "Stopped: {}."),
        "stop bob",
    ),
    Subcommand(
        "kill",
        verbs.KILL.help,
        (NAME,),
        actions.of_one(verbs.KILL, "{} is stopped."),
        "kill bob",
    ),
    Subcommand(
        "restart",
        verbs.RESTART.help,
        (NAME,),
        actions.of_one(verbs.RESTART, "{} is restarted."),
        "restart bob",
    ),
    Subcommand(
        "destroy",
        verbs.DESTROY.help,
        (
            NAME,
            Argument(
                ("--purge",),
                verbs.DESTROY.takes("purge").help,
                {"action": "store_true"},
            ),
            Argument(
                ("--yes", "-y"), "do not ask before a purge", {"action": "store_true"}
            ),
        ),
        actions.destroy,
        "destroy bob --purge",
    ),
    Subcommand(
        "pause",
        "let an agent begin no more turns",
        (NAME,),
        actions.of_one(
            verbs.SET_PAUSED, "{} is paused; its messages wait.", paused=True
        ),
        "pause bob",
    ),
    Subcommand(
        "resume",
        "let a paused agent go on",
        (NAME,),
        actions.of_one(verbs.SET_PAUSED, "{} goes on.", paused=False),
        "resume bob",
    ),
    Subcommand(
        "model",
        verbs.SET_MODEL.help,
        (
            NAME,
            Argument(
                ("model",), verbs.SET_MODEL.takes("model").help, {"metavar": "MODEL"}
            ),
        ),
        actions.set_model,
        "model bob sonnet",
    ),
    Subcommand(
        "send",
        verbs.SEND.help,
        (
            Argument(
                ("to",), verbs.SEND.takes("to").help, {"metavar": "TO"}, MAILBOXES
            ),
            Argument(
                ("body",),
                "the message; '-' reads it from standard input",
                {"metavar": "BODY"},
            ),
            Argument(
                ("--reply-to",),
                verbs.SEND.takes("in_reply_to").help,
                {"metavar": "ID", "type": int},
            ),
        ),
        actions.send,
        "send bob 'How is it going?'",
    ),
    Subcommand(
        "inbox",
        verbs.INBOX.help,
        (
            Argument(
                ("name",),
                verbs.INBOX.takes("name").help,
                {"metavar": "NAME", "nargs": "?"},
                MAILBOXES,
            ),
            Argument(
                ("--limit",),
                verbs.INBOX.takes("limit").help,
                {"metavar": "N", "type": int},
            ),
        ),
        actions.inbox,
        "inbox --limit 5",
    ),
    Subcommand(
        "requeue",
        verbs.REQUEUE.help,
        (
            Argument(
                ("id",), verbs.REQUEUE.takes("id").help, {"metavar": "ID", "type": int}
            ),
        ),
        actions.asking(
            verbs.REQUEUE,
            lambda options: {"id": options.id},
            lambda options: f"#{options.id} is queued again.",
        ),
        "requeue 123",
    ),
    Subcommand(
        "cancel",
        verbs.CANCEL_TURN.help,
        (NAME,),
        actions.of_one(verbs.CANCEL_TURN, "{}'s turn is cancelled."),
        "cancel bob",
    ),
    Subcommand(
        "compact",
        verbs.COMPACT.help,
        (NAME,),
        actions.of_one(verbs.COMPACT, "{}'s session will be compacted."),
        "compact bob",
    ),
    Subcommand(
        "new-session",
        verbs.NEW_SESSION.help,
        (NAME,),
        actions.of_one(verbs.NEW_SESSION, "{}'s next turn begins a new session."),
        "new-session bob",
    ),
    *DECISION_SUBCOMMANDS,
    *DEPLOY_SUBCOMMANDS,
    STATS_SUBCOMMAND,
    LOGIN_SUBCOMMAND,
    Subcommand("login-url", verbs.LOGIN_URL.help, (), actions.login_url, "login-url"),
    Subcommand(
        "notify-test", verbs.NOTIFY_TEST.help, (), actions.notify_test, "notify-test"
    ),
    Subcommand("urls", verbs.URLS.help, (), actions.urls, "urls"),
    Subcommand("info", verbs.INFO.help, (), actions.info, "info --json"),
    Subcommand(
        "events",
        "follow what happens in the hive",
        (
            Argument(
                ("--kind", "--topic"),
                verbs.SUBSCRIBE.takes("kinds").help + "; can be repeated",
                {
                    "metavar": "KIND",
                    "action": "append",
                    "choices": list(dict.fromkeys((*verbs.TOPICS, *verbs.KINDS))),
                },
            ),
            Argument(
                ("--since",),
                verbs.SUBSCRIBE.takes("since").help,
                {"metavar": "SEQ", "type": int},
            ),
            Argument(
                ("--agent",),
                verbs.SUBSCRIBE.takes("agent").help,
                {"metavar": "NAME"},
                AGENTS,
            ),
        ),
        actions.events,
        "events --kind message --json",
    ),
    Subcommand(
        "watch",
        "follow what an agent does, as it does it",
        (NAME,),
        actions.watch,
        "watch bob",
    ),
    Subcommand(
        "serve",
        "run the hive; every setting can also be in hive.toml (--config)",
        (
            Argument(
                ("--logfile",),
                "where the log goes (default: standard output)",
                {"metavar": "FILE"},
                FILES,
            ),
            Argument(
                ("--no-login-link",),
                "do not print a login link (it is never printed to the journal)",
                {"action": "store_true"},
            ),
        ),
        _serve,
        "serve --demo --state-dir .hive/state --run-dir .hive/run",
        takes_settings=True,
        asks=False,
    ),
    Subcommand(
        "doctor",
        "check whether this host can run a hive, and say what is missing",
        (),
        _doctor,
        "doctor",
        takes_settings=True,
    ),
    Subcommand(
        "completion",
        "print what a shell needs to complete commands, flags and names",
        (
            Argument(
                ("shell",),
                "which shell",
                {"metavar": "SHELL", "choices": ["bash", "zsh", "fish"]},
            ),
        ),
        _completion,
        "completion bash > ~/.local/share/bash-completion/completions/hive-c0re",
        asks=False,
    ),
)
