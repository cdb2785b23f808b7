"""A tool's arguments: told to a model as a schema, and checked with sentences."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from hyperhive.errors import BadRequest


class InvalidArguments(BadRequest):
    """A tool was called wrongly; the text says how to call it."""


@frozen
class Argument:
    """One argument of a tool.

    :param kind: ``string``, ``integer``, ``number`` or ``boolean``, as JSON Schema
        calls them; or ``strings``, an array of them.
    :param description: for the model, in full sentences.
    :param minimum: the least number that is allowed; for numbers only.
    :param maximum: the greatest.
    """

    name: str
    kind: str
    description: str
    required: bool = True
    minimum: int | None = None
    maximum: int | None = None

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its value."""
        if self.kind == "strings":
            return {
                "type": "array",
                "items": {"type": "string"},
                "description": self.description,
            }
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {
            "type": self.kind,
            "description": self.description,
            **{key: value for key, value in limits.items() if value is not None},
        }

    def checked(self, value: object) -> str | int | float | tuple[str, ...]:
        """Answer ``value`` if it is allowed.

        :raises InvalidArguments:
        """
        if self.kind == "string":
            if isinstance(value, str):
                return value
        elif self.kind == "strings":
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                return tuple(value)
        elif self.kind == "boolean":
            if isinstance(value, bool):
                return value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = self._number(value)
            if number is not None:
                return number
        raise InvalidArguments(f"{self.name!r} must be {self._allowed()}.")

    def _number(self, value: int | float) -> int | float | None:
        if self.minimum is not None and value < self.minimum:
            return None
        if self.maximum is not None and value > self.maximum:
            return None
        if self.kind == "number":
            return value
        # JSON knows one kind of number, and some clients write 1 as 1.0.
        if isinstance(value, float) and not value.is_integer():
            return None
        return int(value)

    def _allowed(self) -> str:
        what = {
            "string": "a text",
            "strings": "a list of texts",
            "boolean": "true or false",
            "integer": "a whole number",
            "number": "a number",
        }
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            return f"{what[self.kind]} from {low} to {high}"
        return what[self.kind] if low is None else f"{what[self.kind]}, at least {low}"


def schema(arguments: Iterable[Argument]) -> dict[str, Any]:
    """The JSON Schema of an object with these members and no others."""
    listed = tuple(arguments)
    return {
        "type": "object",
        "properties": {one.name: one.schema() for one in listed},
        "required": [one.name for one in listed if one.required],
        "additionalProperties": False,
    }


def check(
    tool: str, arguments: tuple[Argument, ...], given: Mapping[str, object]
) -> dict[str, Any]:
    """Answer what was given, checked. Null is the same as not given.

    :raises InvalidArguments: naming all that is missing or unknown.
    """
    known = {one.name: one for one in arguments}
    present = {name: value for name, value in given.items() if value is not None}
    unknown = [name for name in given if name not in known]
    missing = [
        one.name for one in arguments if one.required and one.name not in present
    ]
    if unknown or missing:
        wrong = []
        if missing:
            wrong.append(f"needs {_listed(missing)}")
        if unknown:
            wrong.append(f"takes no {_listed(unknown)}")
        raise InvalidArguments(
            f"{tool} {' and '.join(wrong)}. {_usage(tool, arguments)}"
        )
    return {name: known[name].checked(value) for name, value in present.items()}


def _usage(tool: str, arguments: tuple[Argument, ...]) -> str:
    if not arguments:
        return f"{tool} has no arguments."
    listed = (
        one.name if one.required else f"{one.name} (optional)" for one in arguments
    )
    return f"The arguments of {tool} are: {', '.join(listed)}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
