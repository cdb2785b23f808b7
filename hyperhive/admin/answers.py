"""How the daemon spells its answers: one JSON object a line."""

from collections.abc import Mapping
from typing import Any

from hyperhive.bus import encode

#: The wire's version; raised only for a breaking change.
VERSION = 1


def success(members: Mapping[str, Any]) -> bytes:
    """A good answer as a line."""
    return encode({"version": VERSION, "ok": True, **members}) + b"\n"


def refusal(reason: str) -> bytes:
    """An error as a line."""
    return encode({"version": VERSION, "ok": False, "error": reason}) + b"\n"
