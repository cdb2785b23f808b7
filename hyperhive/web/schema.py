"""JSON Schema in few words, and what names, ids, times and errors look like."""

from typing import Any

Schema = dict[str, Any]

#: Ids and numbers of events are 64-bit integers.
MAX_ID = 2**63 - 1

TEXT: Schema = {"type": "string"}
#: A text with something in it that is not a space.
SOME_TEXT: Schema = {"type": "string", "pattern": r"\S"}
BOOLEAN: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
#: An object that is described elsewhere.
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
YES: Schema = {"const": True}
NO: Schema = {"const": False}
ID: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
#: The id of a deployment is that of its approval; an agent begins with 0.
DEPLOYMENT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
SEQ: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
TIME: Schema = {"type": "string", "format": "date-time"}
SHA: Schema = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
#: A flag in a form, where there are only texts.
FORM_BOOLEAN: Schema = {
    "type": "string",
    "enum": ["true", "false", "1", "0", "on", "off", "yes", "no", ""],
}


def ref(name: str) -> Schema:
    """One of the document's named schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def one_of(*choices: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(choices)}


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def row(optional: dict[str, Schema] | None = None, /, **needed: Schema) -> Schema:
    """An object. More members may come with a later version: clients ignore them.

    :param optional: members that are left out where they do not apply.
    """
    return {
        "type": "object",
        "properties": {**needed, **(optional or {})},
        "required": list(needed),
    }
