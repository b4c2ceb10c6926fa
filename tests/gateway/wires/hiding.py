# SPDX-License-Identifier: Apache-2.0
"""Puts a text into every place of a wire's documents, known and unknown, and says where it came through."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from gateway.exchange import Exchange
from gateway.wires.interfaces import BadAnswer, Wire
from tests.gateway.wires.driver import TERM, answer

Path = tuple[str | int, ...]
_ADDED = (
    "x_new", "text", "thinking", "partial_json", "citation", "delta", "content_block", "message", "content", "thought",
    "data", "parts", "args", "input", "name", "id", "index", "language", "outcome", "stop_reason", "finishReason",
)  # fmt: skip


def places(node: Any, passed: Collection[str], own: Collection[str], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every member that can be written or added below `node`. Members named in `passed` are documented to go through
    unread; below a member named in `own` those names are the model's own, and nothing goes through."""
    if isinstance(node, dict):
        for key in (*node, *_ADDED):
            if key in passed and not any(step in own for step in path):
                continue
            yield path, key
            if key in node:
                yield from places(node[key], passed, own, (*path, key))
    elif isinstance(node, list):
        for position, item in enumerate(node):
            yield from places(item, passed, own, (*path, position))


def _at(node: Any, path: Path) -> Any:
    for step in path:
        node = node[step]
    return node


def came_through(
    wire: Wire,
    asked: Callable[[], Exchange],
    documents: Sequence[dict[str, Any]],
    framed: Callable[[Sequence[dict[str, Any]]], bytes],
    passed: Collection[str],
    own: Collection[str],
) -> tuple[int, list[tuple[int, Path, str]]]:
    """How many places were tried, and those where the term left: document, path and member."""
    found: list[tuple[int, Path, str]] = []
    tried = 0
    for number, document in enumerate(documents):
        for place, (path, key) in enumerate(places(document, passed, own)):
            # Keys are text where a model writes them; elsewhere they are the API's own.
            is_own = any(step in own for step in path) or (key in own and key in _at(document, path))
            keyed = [{TERM: 1}] if is_own else []
            shapes: list[Any] = [TERM, [TERM], {"x": TERM}]
            if key not in _at(document, path):
                shapes = [shapes[place % 3]]  # in turn: every member is added in many places
            for value in (*shapes, *keyed):
                changed = copy.deepcopy(document)
                _at(changed, path)[key] = value
                tried += 1
                try:
                    body = framed([*documents[:number], changed, *documents[number + 1 :]])
                    out = answer(wire, asked(), [body]).body.decode()
                except BadAnswer:
                    continue
                if TERM in out or json.dumps(TERM)[1:-1] in out:
                    found.append((number, path, key))
    return tried, found
