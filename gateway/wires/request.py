# SPDX-License-Identifier: Apache-2.0
"""Reading a client's JSON request: typed members and the texts that a model will read.

An error names our own path of the field and never a word of the client's. Texts are collected whole; only members that
a wire knows to be media are left out, so that a long word without spaces is not mistaken for a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.exchange import PromptText
from gateway.wires.interfaces import BadRequest
from gateway.wires.json_text import loads_request, strings

_NAMES: Mapping[type, str] = {
    str: "a string", bool: "a boolean", int: "an integer", list: "an array", dict: "an object",
}  # fmt: skip


def read_object(body: bytes) -> dict[str, Any]:
    """The request's JSON object. Raises `BadRequest`."""
    try:
        document = loads_request(body)
    except ValueError as error:
        raise BadRequest("invalid_json", f"The request body is {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest("invalid_type", "The request body must be a JSON object.")
    return document


def typed(document: Mapping[str, Any], key: str, kind: type, *, where: str = "", required: bool = False) -> Any:
    """The member `key`; None where it is absent and may be. Raises `BadRequest` where it is of another type."""
    value = document.get(key)
    path = f"{where}.{key}" if where else key
    if value is None:
        if required:
            raise BadRequest("missing_required_parameter", f"{path} is required.", param=path)
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadRequest("invalid_type", f"{path} must be {_NAMES[kind]}.", param=path)
    return value


def add_strings(value: Any, where: str, role: str, texts: list[PromptText]) -> None:
    """Collect every string below `value`, keys of objects included. Raises `BadRequest` where it is nested too deep."""
    try:
        texts += (PromptText(at, role, text) for at, text in strings(value, where) if text)
    except ValueError as error:
        raise BadRequest("invalid_value", f"{where} is {error}.", param=where) from None


def add_members(
    document: Mapping[str, Any], where: str, role: str, texts: list[PromptText], skipped: Iterable[str]
) -> None:
    """Collect the strings of all members but `skipped`. Their names stay out of the path: a client may choose them."""
    skipped = frozenset(skipped)
    for position, (key, value) in enumerate(document.items()):
        if key not in skipped and value is not None:
            add_strings(value, f"{where}.{position}" if where else f"(field {position})", role, texts)
