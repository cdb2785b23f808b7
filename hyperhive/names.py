"""Which names agents may have, and what is derived from a name.

A name is checked here once, at the edge, and a path is never built from a name
that was not: see :func:`check_new_agent_name` and :func:`check_agent_name`.
"""

import re

from hyperhive.errors import BadRequest

#: The manager's agent and container name. Its mailbox is :data:`MANAGER_MAILBOX`.
MANAGER = "hm1nd"
#: How the manager is written to.
MANAGER_MAILBOX = "manager"
#: The human's mailbox.
OPERATOR = "operator"
#: By whom something was decided that was decided through a one-time link: whoever had it.
BY_LINK = "operator (link)"
#: The sender of what the hive itself says.
SYSTEM = "system"
#: By whom a job was asked for that nobody asked for: the hive itself.
HIVE = "hive"
#: Every agent but the sender.
EVERYONE = "*"

#: Mailboxes that are not called as their owner is.
MAILBOXES = frozenset({MANAGER_MAILBOX, OPERATOR, SYSTEM})

#: Names that no agent may take.
RESERVED = frozenset({MANAGER, MANAGER_MAILBOX, OPERATOR, SYSTEM, "host"})

#: nixos-container allows 11 characters, and the prefix ``h-`` takes two.
MAX_LENGTH = 9

#: What a name looks like, as a regular expression for the whole of it.
PATTERN = "[a-z](?:[a-z0-9-]{0,7}[a-z0-9])?"
_NAME = re.compile(PATTERN)

FIRST_AGENT_PORT = 8100
AGENT_PORTS = 900


class InvalidName(BadRequest):
    """A name that no agent can have, and why."""


def check_new_agent_name(name: str) -> str:
    """Answer ``name`` if a new agent may be called so.

    :raises InvalidName: with what is allowed, or that the name is reserved.
    """
    if name in RESERVED:
        raise InvalidName(
            f"The name {name!r} is reserved; reserved names are "
            f"{', '.join(sorted(RESERVED))}."
        )
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name[:40]!r} is not a name for an agent: use 1 to {MAX_LENGTH} of "
            "a-z, 0-9 and '-', starting with a letter and not ending in '-'."
        )
    return name


def check_agent_name(name: str) -> str:
    """Answer ``name`` if it has the form of an agent's name, the manager's included.

    :raises InvalidName: as :func:`check_new_agent_name`.
    """
    return name if name == MANAGER else check_new_agent_name(name)


def container_name(agent: str) -> str:
    """The container of an agent: ``hm1nd`` for the manager, else ``h-<name>``."""
    return MANAGER if agent == MANAGER else f"h-{agent}"


def mailbox(name: str) -> str:
    """The mailbox of an agent or of ``operator``: the manager's is ``manager``."""
    return MANAGER_MAILBOX if name == MANAGER else name


def mailbox_owner(box: str) -> str:
    """The agent whose mailbox this is; the reverse of :func:`mailbox`."""
    return MANAGER if box == MANAGER_MAILBOX else box


def port_hash(agent: str) -> int:
    """The port that an agent's page prefers: 8100 + FNV-1a-32(name) mod 900.

    FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/
    """
    value = 0x811C9DC5
    for byte in agent.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return FIRST_AGENT_PORT + value % AGENT_PORTS
