"""``hive-c0re serve``: the daemon, as ``twistd hyperhive`` runs it."""

import sys
from argparse import Namespace

from hyperhive.admin.console import Console
from hyperhive.settings import flag_fields, spelled


def twistd_arguments(console: Console, options: Namespace) -> list[str]:
    """What ``twistd`` is given for what ``serve`` was given."""
    arguments = ["--nodaemon", "--pidfile=", "--reactor=asyncio"]
    if options.logfile is not None:
        arguments.append(f"--logfile={options.logfile}")
    arguments.append("hyperhive")
    if options.config is not None:
        arguments.append(f"--config={options.config}")
    for one in flag_fields():
        flag, value = f"--{spelled(one.name)}", getattr(options, one.name)
        if one.metadata["meta"] is None:
            arguments += [flag] if value else []
        elif value is not None:
            arguments.append(f"{flag}={value}")
    # The link logs whoever reads it in: it is for a person, not for a journal, which
    # systemd says standard output is.
    if not options.no_login_link and "JOURNAL_STREAM" not in console.environ:
        arguments.append("--print-login")
    return arguments


def serve(console: Console, options: Namespace) -> int:
    """Become the daemon; its exit status."""
    from twisted.scripts.twistd import run

    sys.argv = ["twistd", *twistd_arguments(console, options)]
    run()
    return 0
