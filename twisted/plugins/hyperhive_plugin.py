"""Name the ``hyperhive`` service maker to twistd."""

from twisted.application.service import ServiceMaker

hyperhive = ServiceMaker(
    "hyperhive",
    "hyperhive.tap",
    "Run a swarm of Claude Code agents, watched and steered by one operator.",
    "hyperhive",
)
