"""Check the members of a request: what is there, of which type, and nothing else."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from attrs import frozen

from hyperhive.errors import BadRequest

#: Ids are 64-bit integers.
MAX_ID = 2**63 - 1
#: How much of what was sent an error repeats (characters).
MAX_SHOWN = 40

Values = dict[str, Any]


@frozen
class Field:
    """One member of a request.

    :param check: answers the value, or raises :class:`ValueError` with what is allowed.
    :param help: what it is, for people.
    :param needed: whether it must be there; ``None`` stands for what is not.
    :param logged: whether the daemon's log may have it.
    """

    name: str
    check: Callable[[Any], Any]
    help: str
    needed: bool = True
    logged: bool = True


def text(value: Any) -> str:
    """Any text that can be encoded."""
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


def whole(low: int, high: int, allowed: str) -> Callable[[Any], int]:
    """A whole number from ``low`` to ``high``; 1.0 and true are none.

    :param allowed: how an error says that.
    """

    def check(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not low <= value <= high
        ):
            raise ValueError(allowed)
        return value

    return check


identifier = whole(-MAX_ID - 1, MAX_ID, "a whole number of 64 bits")
sequence = whole(0, MAX_ID, "a whole number, not below 0")


def one_of(choices: Iterable[str]) -> Callable[[Any], str]:
    """One of these texts."""
    known = tuple(choices)

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return value

    return check


def some_of(choices: Iterable[str]) -> Callable[[Any], tuple[str, ...]]:
    """A list of some of these texts: none at all must never mean all of them."""
    known = tuple(choices)

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"a list with some of {', '.join(known)}")
        for one in value:
            if one not in known:
                raise ValueError(
                    f"a list with some of {', '.join(known)}; {shown(one)} is none"
                )
        return tuple(dict.fromkeys(value))

    return check


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts that has at least one."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of texts that is not empty")
    try:
        return tuple(text(one) for one in value)
    except ValueError as error:
        raise ValueError(f"a list in which each is {error}") from None


def scope(value: Any) -> tuple[str, ...]:
    """``{"agent_names": [...]}`` that names somebody: nobody must never mean everybody."""
    allowed = 'an object such as {"agent_names":["bob"]} that names at least one agent'
    if not isinstance(value, dict) or set(value) != {"agent_names"}:
        raise ValueError(allowed)
    names = value["agent_names"]
    if not isinstance(names, list) or not names:
        raise ValueError(allowed)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{allowed}, each by a text")
    return tuple(dict.fromkeys(names))


def parse_request(line: bytes) -> Values:
    """Read a line.

    :raises BadRequest: if it is not a JSON object, or has a member twice.
    """
    try:
        value = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_without_repetition,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise BadRequest("The line is not JSON: it is nested too deeply.") from None
    except ValueError as error:
        raise BadRequest(f"The line is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadRequest('The line is not a JSON object such as {"cmd":"list"}.')
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> Values:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadRequest(f"The member {shown(name)} stands twice in an object.")
            seen.add(name)
    return members


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is none of its values")


def check(
    command: str, fields: tuple[Field, ...], request: Mapping[str, Any]
) -> Values:
    """The values of a request's members, ``None`` for what may be absent and is.

    :raises BadRequest: naming the member and what is allowed.
    """
    known = [field.name for field in fields]
    for name in request:
        if name not in known and name != "cmd":
            takes = f"it takes {', '.join(known)}" if known else "it takes nothing else"
            raise BadRequest(f"{command} takes no {shown(name)}; {takes}.")
    values: Values = {}
    for field in fields:
        if field.name not in request:
            if field.needed:
                raise BadRequest(f"{command} needs {field.name!r}: {field.help}.")
            values[field.name] = None
            continue
        try:
            values[field.name] = field.check(request[field.name])
        except ValueError as error:
            raise BadRequest(f"{command}: {field.name!r} must be {error}.") from None
    return values


def shown(value: Any) -> str:
    """What was sent, as an error repeats it: one line, and short."""
    if isinstance(value, str):
        return repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…")
    kinds = {dict: "an object", list: "a list", type(None): "null"}
    if type(value) in kinds:
        return kinds[type(value)]
    return json.dumps(value)[:MAX_SHOWN]
