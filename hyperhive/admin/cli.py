"""``hive-c0re``: the command line of the hive, a thin client of its admin socket."""

import os
import sys
from argparse import (
    SUPPRESS,
    ArgumentParser,
    RawDescriptionHelpFormatter,
)
from collections.abc import Sequence

from hyperhive.admin.actions import Session
from hyperhive.admin.client import Failed, Refused
from hyperhive.admin.console import Console, clean, of_this_process
from hyperhive.admin.grammar import Argument, Subcommand
from hyperhive.admin.subcommands import SUBCOMMANDS, setting_arguments

#: Exit statuses of a shell's: ended by INT, and by writing to nobody.
INTERRUPTED = 130
NOBODY_READS = 141

_DESCRIPTION = "Steer a hive of Claude Code agents on this host."
_EPILOGUE = """\
the hive's socket: --socket PATH, else $HYPERHIVE_SOCKET, else ./.hive/run/host.sock if
it is there, else host.sock in the default run directory

exit status: 0, 1 (the hive said no), 2 (usage), 3 (no hive)

examples:
"""
_SHOWN_EXAMPLES = ("spawn", "send", "watch", "inbox", "status", "events")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status.

    :param arguments: what was typed after the program's name (default: this process's).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    console = of_this_process(os.environ)
    try:
        return run(given, console)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def run(given: Sequence[str], console: Console) -> int:
    """Run a command on a console; its exit status."""
    try:
        options = make_parser(given).parse_args(given)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    session = Session(console, options.socket, options.json)
    try:
        return int(options.run(session, options))
    except Refused as refused:
        if session.raw:
            console.raw(refused.line)
        else:
            console.say(f"hive-c0re: {clean(refused)}")
        return refused.status
    except Failed as failed:
        console.say(f"hive-c0re: {clean(failed)}")
        return failed.status


def make_parser(given: Sequence[str]) -> ArgumentParser:
    """The parser for what was given.

    The settings, which take long to import, are only in it where they can be used.
    """
    parser = ArgumentParser(
        prog="hive-c0re",
        description=_DESCRIPTION,
        epilog=_EPILOGUE + "\n".join(_examples()),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_common(parser)
    parser.set_defaults(json=False, socket=None)
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for subcommand in SUBCOMMANDS:
        one = subparsers.add_parser(
            subcommand.name,
            help=subcommand.help,
            description=_sentence(subcommand.help),
            epilog=f"example: hive-c0re {subcommand.example}",
            allow_abbrev=False,
        )
        for argument in arguments_of(subcommand, given):
            _add(one, argument)
        # Both before and after the command; what is not given after must not undo
        # what was given before.
        if subcommand.asks:
            _add_common(one)
        one.set_defaults(run=subcommand.run)
    return parser


def arguments_of(subcommand: Subcommand, given: Sequence[str]) -> tuple[Argument, ...]:
    """The arguments of a subcommand, with the settings if it was given."""
    if subcommand.takes_settings and subcommand.name in given:
        return (*subcommand.arguments, *setting_arguments())
    return subcommand.arguments


def _add(parser: ArgumentParser, argument: Argument) -> None:
    text = argument.help.replace("%", "%%")
    parser.add_argument(*argument.names, help=text, **argument.options)


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        default=SUPPRESS,
        help="print what the hive answers as it came",
    )
    parser.add_argument(
        "--socket", metavar="PATH", default=SUPPRESS, help="the hive's admin socket"
    )


def _examples() -> list[str]:
    by_name = {one.name: one for one in SUBCOMMANDS}
    return [f"  hive-c0re {by_name[name].example}" for name in _SHOWN_EXAMPLES]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
