"""Which port an agent's page has: kept once chosen, never shared. Pure."""

from collections.abc import Set

from hyperhive.errors import Conflict
from hyperhive.names import FIRST_AGENT_PORT, port_hash
from hyperhive.settings import PortRange


class NoFreePort(Conflict):
    """Every port of the range belongs to an agent; the text says what to do."""


def preferred_port(name: str, ports: PortRange) -> int:
    """The port that a name hashes to, in a range of any size."""
    size = ports.last - ports.first + 1
    return ports.first + (port_hash(name) - FIRST_AGENT_PORT) % size


def plan_port(name: str, kept: int | None, claimed: Set[int], ports: PortRange) -> int:
    """Choose the port of an agent's page.

    :param kept: what was chosen before: it stays, also outside of the range.
    :param claimed: the ports of everybody else, also of agents that are gone
        and may come back.
    :raises NoFreePort: if the range is full.
    """
    if kept is not None and kept not in claimed:
        return kept
    size = ports.last - ports.first + 1
    start = preferred_port(name, ports) - ports.first
    for step in range(size):
        port = ports.first + (start + step) % size
        if port not in claimed:
            return port
    raise NoFreePort(
        f"{name} has no page of its own: all ports from {ports.first} to {ports.last} "
        "belong to agents. Widen --agent-ports, or purge agents that are gone."
    )


def parse_port(text: str) -> int | None:
    """The port that a file holds, or ``None`` if it holds none."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    port = int(text)
    return port if 1 <= port <= 65535 else None
