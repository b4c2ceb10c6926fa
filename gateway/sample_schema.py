# SPDX-License-Identifier: Apache-2.0
"""An instance that fits a simple JSON Schema (2020-12), so that the sample model can keep what it was asked for.

It covers what structured output and tool parameters use in practice: objects, arrays, strings with lengths and common
formats, bounded numbers, enumerations, constants, local references, `anyOf`, `oneOf` and `allOf`. What it cannot fit it
refuses: an instance that quietly breaks the schema would be worse than none. The same schema gives the same instance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 4
"""Nesting beyond which only required members and the shortest way out are followed, so that recursive schemas end."""
HARD_DEPTH = 128
"""Nesting beyond which a schema counts as having no finite instance."""
MAX_VALUES = 2_000
"""Values that one instance may hold: a schema that branches and recurses must not keep us busy."""
MAX_MERGES = 64
"""Parts, referred to or in `allOf`, that may make up one schema before it counts as a circle."""
MAX_LENGTH = 4_096
"""Longest string and array that is made up for a lower bound."""

_WORD = "sample"
_FOLDED_APART = frozenset(("$ref", "allOf"))
_ANNOTATIONS = frozenset(("$schema", "$id", "$defs", "definitions", "title", "description", "default", "examples"))
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "sample@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class UnfitSchema(ValueError):
    """The schema is broken, or asks for something that only a real model could give."""


def instance(schema: object) -> Any:
    """A value that fits `schema`, as plain Python objects. Raises `UnfitSchema`."""
    return _Fitting(schema).value(schema, 0)


class _Fitting:
    """One walk through one schema; `root` is where `#/...` references start."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._values = 0

    def value(self, schema: object, depth: int) -> Any:
        self._values += 1
        if depth > HARD_DEPTH or self._values > MAX_VALUES:
            raise UnfitSchema("the schema has no instance of reasonable size")
        if schema is True:
            return _WORD
        if not isinstance(schema, Mapping):
            raise UnfitSchema("expected a schema to be an object")
        schema = self._merged(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            options = schema["enum"]
            if not isinstance(options, Sequence) or isinstance(options, str) or not options:
                raise UnfitSchema("expected enum to be a list with at least one value")
            return options[0]
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._first_of(schema, word, depth)
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema)
        if kind in ("number", "integer"):
            return _number(schema, kind == "integer")
        if kind == "boolean":
            return True
        if kind == "null":
            return None
        raise UnfitSchema("the schema names a type that JSON does not have")

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema with its references and `allOf` parts folded in. Refuses parts that contradict each other."""
        merged: dict[str, Any] = {}
        waiting: list[Any] = [schema]
        for _ in range(MAX_MERGES):
            if not waiting:
                return merged
            part = waiting.pop(0)
            if part is True:
                continue
            if not isinstance(part, Mapping):
                raise UnfitSchema("expected a schema to be an object")
            if "$ref" in part:
                waiting.append(self._target(part["$ref"]))
            more = part.get("allOf", [])
            if not isinstance(more, list):
                raise UnfitSchema("expected allOf to be a list")
            waiting.extend(more)
            _fold(merged, part)
        raise UnfitSchema("the schema's references go round in a circle")

    def _target(self, reference: object) -> object:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise UnfitSchema("expected a reference inside the schema, such as #/$defs/name")
        place: Any = self._root
        for step in reference[2:].split("/") if len(reference) > 1 else ():
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(place, Mapping) or key not in place:
                raise UnfitSchema("a reference points nowhere in the schema")
            place = place[key]
        return place

    def _first_of(self, schema: dict[str, Any], word: str, depth: int) -> Any:
        options = schema.pop(word)
        if not isinstance(options, list) or not options:
            raise UnfitSchema(f"expected {word} to be a list with at least one schema")
        if depth > MAX_DEPTH:
            options = sorted(options, key=lambda option: option != {"type": "null"} and 1 + ("$ref" in option))
        reason = UnfitSchema("no alternative of the schema can be fitted")
        for option in options:
            try:
                return self.value({**schema, "allOf": [option]}, depth + 1)
            except UnfitSchema as error:
                reason = error
        raise reason

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            kind = "null" if depth > MAX_DEPTH and "null" in kind else kind[0]
        if isinstance(kind, str):
            return kind
        if kind is not None:
            raise UnfitSchema("expected type to be a name or a list of names")
        if "properties" in schema or "required" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise UnfitSchema("expected properties to be an object and required to be a list")
        if any(word in schema for word in ("minProperties", "dependentRequired", "if", "not")):
            raise UnfitSchema("the sample model does not fit conditional objects")
        names = [name for name in properties if name in required or depth <= MAX_DEPTH]
        filled: dict[str, Any] = {}
        for name in [*names, *(name for name in required if name not in properties)]:
            if not isinstance(name, str):
                raise UnfitSchema("expected required to hold names")
            try:
                filled[name] = self.value(properties.get(name, True), depth + 1)
            except UnfitSchema:
                # An optional member that cannot be fitted is left out: the object is valid without it.
                if name in required:
                    raise
        return filled

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least, most = _length(schema, "minItems"), schema.get("maxItems")
        prefix = schema.get("prefixItems", [])
        if not isinstance(prefix, list):
            raise UnfitSchema("expected prefixItems to be a list")
        wanted = max(least, len(prefix), 1) if depth <= MAX_DEPTH else least
        if isinstance(most, int):
            wanted = min(wanted, most)
        if wanted < least or (wanted > 1 and schema.get("uniqueItems") is True):
            raise UnfitSchema("the sample model does not fit this array")
        items = schema.get("items", True)
        if items is False:
            wanted = min(wanted, len(prefix))
            if wanted < least:
                raise UnfitSchema("the sample model does not fit this array")
        return [self.value(prefix[at] if at < len(prefix) else items, depth + 1) for at in range(wanted)]


def _fold(merged: dict[str, Any], part: Mapping[str, Any]) -> None:
    for key, value in part.items():
        if key in _FOLDED_APART:
            continue
        if key not in merged or merged[key] == value or key in _ANNOTATIONS:
            merged.setdefault(key, value)
        elif key == "properties" and isinstance(merged[key], Mapping) and isinstance(value, Mapping):
            # A property that both parts describe has to fit both descriptions.
            both = {name: {"allOf": [merged[key][name], value[name]]} for name in merged[key].keys() & value.keys()}
            merged[key] = {**merged[key], **value, **both}
        elif key == "required" and isinstance(merged[key], list) and isinstance(value, list):
            merged[key] = [*merged[key], *(name for name in value if name not in merged[key])]
        else:
            raise UnfitSchema("the sample model does not fit parts of a schema that say different things")


def _length(schema: Mapping[str, Any], key: str) -> int:
    value = schema.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_LENGTH:
        raise UnfitSchema(f"expected {key} to be a number from 0 to {MAX_LENGTH}")
    return value


def _string(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        raise UnfitSchema("the sample model does not fit a string to a pattern")
    least, most = _length(schema, "minLength"), schema.get("maxLength", MAX_LENGTH)
    if not isinstance(most, int) or isinstance(most, bool) or most < least:
        raise UnfitSchema("expected maxLength to be a number not below minLength")
    if (form := schema.get("format")) is not None:
        text = _FORMATS.get(form) if isinstance(form, str) else None
        if text is None or not least <= len(text) <= most:
            raise UnfitSchema("the sample model does not know this string format")
        return text
    return (_WORD * (max(least, 1) // len(_WORD) + 1))[: max(least, min(len(_WORD), most))]


def _number(schema: Mapping[str, Any], whole: bool) -> int | float:
    low, high = -math.inf, math.inf
    step: int | float | None = None
    above, below = False, False
    for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"):
        bound = schema.get(key)
        if bound is None:
            continue
        if not isinstance(bound, int | float) or isinstance(bound, bool):
            raise UnfitSchema(f"expected {key} to be a number")
        if key == "multipleOf":
            step = bound
        elif key.endswith("inimum") and bound >= low:
            low, above = bound, key.startswith("exclusive") or (above and bound == low)
        elif key.endswith("aximum") and bound <= high:
            high, below = bound, key.startswith("exclusive") or (below and bound == high)
    if step is not None and step <= 0:
        raise UnfitSchema("expected multipleOf to be greater than 0")
    for candidate in _candidates(low, high, step, whole):
        fits = (candidate > low if above else candidate >= low) and (candidate < high if below else candidate <= high)
        if fits and (not whole or candidate == int(candidate)) and (step is None or candidate % step == 0):
            return int(candidate) if whole else candidate
    raise UnfitSchema("no number fits the schema's bounds")


def _candidates(low: float, high: float, step: int | float | None, whole: bool) -> list[int | float]:
    """Numbers worth trying: the kindest first, then those beside each bound."""
    tries: list[int | float] = [1, 0]
    unit: int | float = step if step is not None else 1
    for bound in (low, high):
        if math.isfinite(bound):
            nearest = math.floor(bound / unit)
            tries += [(nearest + away) * unit for away in (0, 1, -1, 2)]
            tries.append(bound)
    if not whole and math.isfinite(low) and math.isfinite(high):
        tries.append((low + high) / 2)
    return tries
