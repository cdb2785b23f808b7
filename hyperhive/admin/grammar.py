"""What a subcommand of ``hive-c0re`` is: its name, its arguments, what it does."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from hyperhive.admin.actions import Run

#: What a subcommand's argument can be completed with.
AGENTS = "agents"
MAILBOXES = "mailboxes"
FILES = "files"


@frozen
class Argument:
    """One argument: its names, and the rest of what argparse takes.

    :param completes: :data:`AGENTS`, :data:`MAILBOXES`, :data:`FILES` or nothing.
    """

    names: tuple[str, ...]
    help: str
    options: Mapping[str, Any] = {}
    completes: str | None = None


@frozen
class Subcommand:
    """One of them.

    :param example: what can be typed, without the program's name.
    :param takes_settings: whether it takes the hive's settings as flags too.
    :param asks: whether it asks a running hive.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...]
    run: Run
    example: str
    takes_settings: bool = False
    asks: bool = True


#: An agent that there is.
NAME = Argument(("name",), "the agent's name", {"metavar": "NAME"}, AGENTS)
