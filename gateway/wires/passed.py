# SPDX-License-Identifier: Apache-2.0
"""Answers that no model generates (token counts, lists of models): read as one JSON object, written as it came."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.events import End, Event
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event


class PassedReader:
    """One JSON object. Raises `BadAnswer` for anything else."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """The document, as it came."""
        raw = bytes(self._body)
        try:
            tree = loads_event(raw)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        return [End(raw)]


class PassedWriter:
    """The same document."""

    content_type = b"application/json"

    def write(self, events: Sequence[Event]) -> bytes:
        """The document, as it came."""
        return b"".join(
            event.carrier for event in events if isinstance(event, End) and isinstance(event.carrier, bytes)
        )

    def broken(self, code: str, message: str) -> bytes:
        """Nothing: such an answer is whole or not there, and the wire's own error says so."""
        return b""

    def keep_alive(self) -> bytes:
        """White space before a JSON document means nothing (RFC 8259 section 2)."""
        return b" "
