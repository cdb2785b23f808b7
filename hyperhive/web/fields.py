"""What handlers can take: fields of a body and members of the query, read and described alike."""

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.web.server import Request

from hyperhive.errors import BadRequest
from hyperhive.web import schema
from hyperhive.web.forms import Form, query_number, query_text
from hyperhive.web.schema import Schema, ref


@frozen
class Field:
    """A field of a body.

    :param read: decodes it, or raises ``BadRequest`` with its name and what is allowed.
    :param json: its schema in JSON.
    :param form: its schema in an urlencoded form; ``None``: the same.
    """

    read: Callable[[Form, str], Any]
    json: Schema
    form: Schema | None = None
    needed: bool = True


@frozen
class Parameter:
    """A member of the query, which is never needed; where it is missing it is ``None``."""

    read: Callable[[Request, str], Any]
    schema: Schema


TEXT = Field(Form.text, schema.TEXT)
NEW_NAME = Field(Form.text, ref("NewName"))
RECIPIENT = Field(Form.text, ref("Recipient"))
MODEL = Field(Form.text, ref("Model"))
#: The body of a message.
BODY = Field(Form.text, schema.SOME_TEXT)
OPTIONAL_TEXT = Field(Form.optional_text, schema.TEXT, needed=False)
FLAG = Field(Form.flag, schema.BOOLEAN, schema.FORM_BOOLEAN)
OFF = Field(
    lambda form, name: form.flag(name, False),
    schema.BOOLEAN,
    schema.FORM_BOOLEAN,
    needed=False,
)
DEPLOYMENT = Field(lambda form, name: form.id(name, 0), schema.DEPLOYMENT)
OPTIONAL_ID = Field(
    Form.optional_id, schema.nullable(schema.ID), schema.ID, needed=False
)
TEXT_OR_TEXTS = Field(
    Form.text_or_texts,
    {"anyOf": [schema.SOME_TEXT, {**schema.array(schema.SOME_TEXT), "minItems": 1}]},
    schema.SOME_TEXT,
)


def ids(most: int) -> Field:
    """Some ids, in a form separated by commas."""
    return Field(
        lambda form, name: form.ids(name, most),
        {**schema.array(schema.ID), "minItems": 1, "maxItems": most},
        {**schema.TEXT, "pattern": "^ *[1-9][0-9]{0,17} *(, *[1-9][0-9]{0,17} *)*$"},
    )


def texts(most: int) -> Field:
    """A list of texts, in a form one."""
    return Field(
        Form.texts, {**schema.array(schema.TEXT), "maxItems": most}, schema.TEXT
    )


def _filter(allowed: Schema) -> Parameter:
    """A text by which something is chosen; an empty one chooses everything."""
    return Parameter(
        lambda request, name: query_text(request, name) or None,
        {"anyOf": [allowed, {"const": ""}]},
    )


QUERY_TEXT = Parameter(query_text, schema.TEXT)
MAILBOX = _filter(ref("Mailbox"))
AGENT = _filter(ref("AgentName"))


def query_id(low: int = 1) -> Parameter:
    """An id of a row, or the number of an event."""
    return whole(low, schema.MAX_ID)


def whole(low: int, high: int) -> Parameter:
    """A whole number."""
    return Parameter(
        lambda request, name: query_number(request, name, low, high),
        {"type": "integer", "minimum": low, "maximum": high},
    )


def short(most: int) -> Parameter:
    """A text of so many characters at most; an empty one is ``None``."""

    def read(request: Request, name: str) -> str | None:
        text = query_text(request, name) or None
        if text is not None and len(text) > most:
            raise BadRequest(f"{name!r} in the query has at most {most} characters.")
        return text

    return Parameter(read, {**schema.TEXT, "maxLength": most})


def choice(*choices: str) -> Parameter:
    """One of some texts; an empty one is ``None``."""

    def read(request: Request, name: str) -> str | None:
        text = query_text(request, name) or None
        if text is not None and text not in choices:
            raise BadRequest(
                f"{name!r} in the query must be one of {', '.join(choices)}."
            )
        return text

    return Parameter(read, schema.one_of(*choices, ""))
