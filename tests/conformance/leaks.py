# SPDX-License-Identifier: Apache-2.0
"""Finds a forbidden word anywhere in an answer, whatever the wire: in each string of its JSON, in what the strings of
one place say together over all events, in the bytes as text, in the headers, and in what the SDK made of it.

Searching more than the SDK shows is the point: a word in a field that the SDK ignores has left the house too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.model import Got
from tests.conformance.terms import holds_beginning, holds_term


def leaks(got: Got, holds: Callable[[str], bool] = holds_term) -> list[str]:
    """The places of `got` that hold a forbidden word; empty where none does. Never the word itself."""
    places = _places(got)
    # Nearly always there is nothing to find, and one search of everything says so.
    if not holds("\n".join(text for _, text in places)):
        return []
    return list(dict.fromkeys(place for place, text in places if holds(text)))


def _places(got: Got) -> list[tuple[str, str]]:
    """Every text of the answer with its place."""
    text = got.body.decode("utf-8", "replace")
    places = [(f"header {name}", f"{name}: {value}") for name, value in got.headers.items()]
    places.append(("the body's bytes", text))
    together: dict[str, list[str]] = {}
    for document in documents(text):
        for path, value in strings(document):
            together.setdefault(path, []).append(value)
    for path, values in together.items():
        places.append((f"{path} over all events", "".join(values)))
        places += [(f"{path} in one event", value) for value in dict.fromkeys(values)]
    for (choice, channel), value in got.answer.texts.items():
        places.append((f"the SDK's {channel.value} of choice {choice}", value))
    return [*places, ("the SDK's error", got.answer.error)]


def beginnings(got: Got) -> list[str]:
    """The places that hold the first characters of a forbidden word."""
    return leaks(got, holds_beginning)


def documents(text: str) -> Iterator[Any]:
    """The JSON documents of a body in any framing: one document, lines, server-sent events."""
    try:
        yield json.loads(text)
        return
    except (ValueError, RecursionError):
        pass
    for block in text.replace("\r\n", "\n").split("\n"):
        line = block.removeprefix("data:").strip().removeprefix("[").removeprefix(",").rstrip(",")
        if line:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield line


def strings(document: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a document with its place, names of members too, in the document's order."""
    waiting: list[tuple[Any, str]] = [(document, path)]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, str):
            yield place or "(text)", value
        elif isinstance(value, list):
            waiting += [(item, f"{place}[{index}]") for index, item in reversed(list(enumerate(value)))]
        elif isinstance(value, dict):
            for key, item in reversed(value.items()):
                waiting += [(item, f"{place}.{key}"), (key, f"{place}.(names)")]
