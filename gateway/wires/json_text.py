# SPDX-License-Identifier: Apache-2.0
"""JSON as the wires read and write it: bounded, strict for clients, and exact about text.

orjson refuses lone surrogates and bad UTF-8, which is right for a client's request. An upstream that cuts its text in
UTF-16 units sends the halves of a pair in two events; `loads_event` reads such events so that `Surrogates` can join the
halves again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

_MAX_DEPTH = 128
"""What is accepted must be written again, to its reader and into a sealed body, and orjson writes 254 levels."""

_MAX_STRINGS_DEPTH = 200


_DIGITS = bytes(48 if 48 <= code <= 57 else 32 for code in range(256))
_LONG_NUMBER = b"0" * 19
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def loads_request(data: bytes) -> Any:
    """A client's JSON. Raises `ValueError` without any part of the text in its message.

    An integer of more than 64 bits is refused: it would be read as a float, and the model would get another number.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not valid JSON at line {error.lineno}, column {error.colno}") from None
    value = _not_too_deep(value, data)
    if _LONG_NUMBER in data.translate(_DIGITS):
        json.loads(data, parse_int=_of_64_bits)  # so many digits in a row are rare, and most of them stand in a text
    return value


def _of_64_bits(digits: str) -> None:
    if len(digits) > 20 or not _SMALLEST <= int(digits) <= _LARGEST:
        raise ValueError("not accepted, because it holds an integer of more than 64 bits; send it as a string")


def _not_too_deep(value: Any, data: bytes) -> Any:
    """`value`, read from `data`. Raises `ValueError` where it could not be written again."""
    if data.count(b"[") + data.count(b"{") > _MAX_DEPTH and _is_too_deep(value):
        raise ValueError("nested too deeply")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def loads_event(data: bytes) -> Any:
    """An upstream's JSON, lone surrogates allowed. Raises `ValueError`."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise ValueError("not valid JSON") from None
    return _not_too_deep(value, data)


class _Twice(ValueError):
    """A member that an object has twice."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Twice


def says_it_once(data: bytes) -> bool:
    """Whether every object in this JSON has each of its members once. Of a member that comes twice (RFC 8259 section 4)
    one parser reads the first and another the last, so what was checked need not be what is read."""
    try:
        json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError("not a JSON number")


class Surrogates:
    """Joins surrogate pairs that were cut apart, for one lane. What never finds its half becomes U+FFFD."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def feed(self, text: str) -> str:
        """`text` with pairs joined; a high surrogate at its end waits for the next call."""
        if not self._high and text.isascii():
            return text
        text = self._high + text
        self._high = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._high = text[-1]
            text = text[:-1]
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def close(self) -> str:
        """What still waits, as U+FFFD."""
        waiting, self._high = self._high, ""
        return "\ufffd" if waiting else ""


def clean(text: str) -> str:
    """`text` with pairs joined and lone surrogates replaced: for texts that come whole."""
    surrogates = Surrogates()
    return surrogates.feed(text) + surrogates.close()


def strings(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string below `value` with our own path to it, keys of objects included: a key is text too.

    Keys do not appear in the path, because a client may choose them.
    """
    if isinstance(value, str):
        yield path, value
    elif depth >= _MAX_STRINGS_DEPTH:
        raise ValueError("nested too deeply")
    elif isinstance(value, dict):
        for position, (key, item) in enumerate(value.items()):
            yield f"{path}.{position}.key", key
            yield from strings(item, f"{path}.{position}", depth + 1)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from strings(item, f"{path}.{position}", depth + 1)
