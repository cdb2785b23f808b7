"""MCP's framing for byte streams: one JSON-RPC 2.0 message a line, in UTF-8."""

import json
from typing import Any

from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCMessage,
    JSONRPCRequest,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import from_json

#: A request's id as JSON-RPC allows it.
RequestId = int | str


class Malformed(Exception):
    """A line that can't be taken as a message.

    :ivar reply: the line to answer with.
    """

    def __init__(self, code: int, text: str, id: RequestId | None = None) -> None:
        super().__init__(text)
        error = {"code": code, "message": text}
        answer = {"jsonrpc": "2.0", "id": id, "error": error}
        self.reply = json.dumps(answer, ensure_ascii=False).encode() + b"\n"


def not_json(text: str) -> Malformed:
    """The error for bytes that hold no JSON."""
    return Malformed(PARSE_ERROR, text)


def not_a_message(text: str, id: RequestId | None = None) -> Malformed:
    """The error for JSON that is no message, or one that can't be taken now."""
    return Malformed(INVALID_REQUEST, text, id)


def decode(line: bytes) -> JSONRPCMessage:
    """Read one line.

    :raises Malformed:
    """
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise not_json(f"This line is not JSON: {error}.") from None
    if isinstance(value, list):
        raise not_a_message("Batches are not taken: send one message a line.")
    if not isinstance(value, dict):
        raise not_a_message("A message must be a JSON object.")
    try:
        message = jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        raise not_a_message(_complaint(value), _id_of(value)) from None
    if "id" in value and "method" in value and not isinstance(message, JSONRPCRequest):
        # The SDK's model of a notification lets an unusable id pass: the client
        # would wait for an answer in vain.
        raise not_a_message(_complaint(value))
    return message


def encode(message: JSONRPCMessage) -> bytes:
    """Spell one message as a line, with its newline."""
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _id_of(value: dict[str, Any]) -> RequestId | None:
    id = value.get("id")
    return id if isinstance(id, int | str) and not isinstance(id, bool) else None


def _complaint(value: dict[str, Any]) -> str:
    if value.get("jsonrpc") != "2.0":
        return 'A message needs "jsonrpc": "2.0".'
    if "id" in value and _id_of(value) is None:
        return "A request's id must be a text or a whole number."
    if not isinstance(value.get("method"), str):
        return "A request needs a method, which is a text."
    if not isinstance(value.get("params", {}), dict):
        return "A request's params must be an object."
    return "This is not a JSON-RPC 2.0 message."
