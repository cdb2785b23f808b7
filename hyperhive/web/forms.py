"""Decode what a request carries: a form or a JSON object, and the query."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen
from twisted.web.server import Request

from hyperhive.errors import BadRequest
from hyperhive.web.headers import header
from hyperhive.web.schema import MAX_ID

#: How many fields a form may have.
MAX_FIELDS = 100
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_TRUE = frozenset({"1", "true", "on", "yes"})
_FALSE = frozenset({"0", "false", "off", "no", ""})
_DIGITS = re.compile("[0-9]{1,20}")
_MISSING = object()


@frozen
class Form:
    """The fields of a request's body.

    :param values: texts from a form, any JSON values from JSON.
    :param typed: they are from JSON: a number is a number there, not a text.
    """

    values: Mapping[str, Any]
    typed: bool = False

    def check_names(self, names: Collection[str]) -> None:
        """Refuse fields of other names: a misspelt one would be as if it were not there.

        :raises BadRequest: naming one, and what there is.
        """
        for name in self.values:
            if name not in names:
                there = f"only {', '.join(names)}" if names else "there are no fields"
                raise BadRequest(f"There is no field {name[:80]!r} here, {there}.")

    def text(self, name: str) -> str:
        """A text that must be there.

        :raises BadRequest: naming the field.
        """
        value = self.values.get(name, _MISSING)
        if value is _MISSING:
            raise BadRequest(f"The field {name!r} is missing.")
        if not isinstance(value, str):
            raise BadRequest(f"The field {name!r} must be a text.")
        if not _encodes(value):
            raise BadRequest(f"The field {name!r} is not valid Unicode.")
        return value

    def text_or_texts(self, name: str) -> str | tuple[str, ...]:
        """A text that must be there, or in JSON a list of texts.

        :raises BadRequest: naming the field.
        """
        value = self.values.get(name)
        if not isinstance(value, list):
            return self.text(name)
        if not all(isinstance(one, str) and _encodes(one) for one in value):
            raise BadRequest(f"The field {name!r} must be a text, or a list of texts.")
        return tuple(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts that must be there; a form has one.

        :raises BadRequest: naming the field.
        """
        value = self.text_or_texts(name)
        if not isinstance(value, str):
            return value
        if self.typed:
            raise BadRequest(f"The field {name!r} must be a list of texts.")
        return (value,)

    def optional_text(self, name: str) -> str | None:
        """A text, or ``None`` where it is missing.

        :raises BadRequest: naming the field.
        """
        return self.text(name) if name in self.values else None

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Yes or no.

        :param default: what holds where it is missing; ``None``: it must be there.
        :raises BadRequest: naming the field and what is allowed.
        """
        value = self.values.get(name, default)
        if isinstance(value, bool):
            return value
        if not self.typed and value is not None and value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        missing = name not in self.values
        raise BadRequest(
            f"The field {name!r} is missing."
            if missing
            else f"The field {name!r} must be true or false."
        )

    def id(self, name: str, least: int = 1) -> int:
        """An id that must be there.

        :param least: the lowest that there can be.
        :raises BadRequest: naming the field.
        """
        if self.values.get(name) is None:
            raise BadRequest(f"The field {name!r} is missing.")
        return self._id(name, self.values[name], least)

    def optional_id(self, name: str) -> int | None:
        """An id, or ``None`` where it is missing, null in JSON or empty in a form.

        :raises BadRequest: naming the field.
        """
        value = self.values.get(name)
        empty = value is None or (value == "" and not self.typed)
        return None if empty else self._id(name, value)

    def ids(self, name: str, most: int) -> tuple[int, ...]:
        """Ids: a list in JSON, separated by commas in a form.

        :raises BadRequest: naming the field, and how many are allowed.
        """
        value = self.values.get(name, [])
        if isinstance(value, str) and value and not self.typed:
            parts: Any = [part.strip() for part in value.split(",")]
        else:
            parts = value
        if not isinstance(parts, list) or not 1 <= len(parts) <= most:
            raise BadRequest(f"The field {name!r} must hold 1 to {most} ids.")
        return tuple(self._id(name, part) for part in parts)

    def _id(self, name: str, value: object, least: int = 1) -> int:
        if not self.typed and isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadRequest(f"The field {name!r} must hold whole numbers.")
        if not least <= value <= MAX_ID:
            raise BadRequest(f"The field {name!r} holds a number that is no id.")
        return value


def form(request: Request) -> Form:
    """Read the body. No body is a form without fields.

    :raises BadRequest: with what is wrong, or which media types are taken.
    """
    content: Any = request.content
    content.seek(0)
    body: bytes = content.read()
    kind = (header(request, b"content-type") or "").partition(";")[0].strip().lower()
    if not body:
        return Form({})
    if kind == _JSON:
        return Form(_object(body), typed=True)
    if kind == _FORM:
        return Form(_fields(body))
    raise BadRequest(f"Send the fields as {_FORM} or {_JSON}, not {kind[:80]!r}.")


def query_text(request: Request, name: str) -> str | None:
    """A field of the query, or ``None``.

    :raises BadRequest: if it is not UTF-8, or is there twice.
    """
    values = (request.args or {}).get(name.encode())
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest(f"{name!r} is given more than once in the query.")
    try:
        return bytes(values[-1]).decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{name!r} in the query is not UTF-8.") from None


def query_number(request: Request, name: str, low: int, high: int) -> int | None:
    """A number of the query, or ``None``.

    :raises BadRequest: naming it and what is allowed.
    """
    text = query_text(request, name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise BadRequest(f"{name!r} in the query must be a whole number.")
    number = int(text)
    if not low <= number <= high:
        raise BadRequest(f"{name!r} in the query must be from {low} to {high}.")
    return number


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadRequest(
            f"The body is not a form in UTF-8 of at most {MAX_FIELDS} fields."
        ) from None
    return _once(pairs)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members, none of which may be there twice: which of them would hold?"""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest(f"The field {name[:80]!r} is given more than once.")
        found[name] = value
    return found


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
