"""hyperhive: a swarm of Claude Code agents that a person can trust overnight."""

__version__ = "0.1.0"
