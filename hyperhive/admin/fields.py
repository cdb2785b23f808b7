"""Check the members of a request: what is there, of which type, and nothing else."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from hyperhive.errors import BadRequest

#: Ids are 64-bit integers.
MAX_ID = 2**63 - 1


@frozen
class Field:
    """One member of a request.

    :param check: answers the value, or raises :class:`ValueError` with what is allowed.
    :param needed: whether it must be there; ``None`` stands for what is not.
    """

    name: str
    check: Callable[[Any], Any]
    needed: bool = True


def text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text without lone surrogates") from None
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def number(value: Any) -> int:
    """An id, or a count: a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_ID:
        raise ValueError("a whole number above 0")
    return value


def sequence(value: Any) -> int:
    """The number of an event: a whole number, also 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not 0 <= value <= MAX_ID
    ):
        raise ValueError("a whole number, not below 0")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise ValueError("a list of texts")
    return tuple(text(one) for one in value)


def scope(value: Any) -> tuple[str, ...]:
    """``{"agent_names": [...]}`` that names somebody: nobody must never mean everybody."""
    allowed = 'an object such as {"agent_names": ["bob"]} that names somebody'
    if not isinstance(value, dict) or set(value) != {"agent_names"}:
        raise ValueError(allowed)
    names = texts(value["agent_names"])
    if not names:
        raise ValueError(allowed)
    return tuple(dict.fromkeys(names))


def parse_request(line: bytes) -> dict[str, Any]:
    """Read a line.

    :raises BadRequest: if it is not a JSON object, or has a member twice.
    """
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The line is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadRequest('The line is not a JSON object such as {"cmd":"list"}.')
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members


def check(
    command: str, fields: tuple[Field, ...], request: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of a request's members, ``None`` for what may be absent and is.

    :raises BadRequest: naming the member and what is allowed.
    """
    known = {field.name for field in fields}
    for name in request:
        if name not in known and name != "cmd":
            allowed = ", ".join(sorted(known)) or "nothing else"
            raise BadRequest(f"{command} takes no {name[:40]!r}; it takes {allowed}.")
    values: dict[str, Any] = {}
    for field in fields:
        if field.name not in request:
            if field.needed:
                raise BadRequest(f"{command} needs {field.name!r}.")
            values[field.name] = None
            continue
        try:
            values[field.name] = field.check(request[field.name])
        except ValueError as error:
            raise BadRequest(f"{command}: {field.name!r} must be {error}.") from None
    return values
