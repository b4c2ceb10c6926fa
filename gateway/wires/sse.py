# SPDX-License-Identifier: Apache-2.0
"""Server-sent events (WHATWG HTML section 9.2) as model APIs use them: framing only, no meaning.

Lines end with LF, CR LF or CR; an event ends with an empty line. Reads may cut anywhere, also inside UTF-8. Only the
`data` and `event` fields matter to the wires; comments and other fields are dropped, as the specification allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.wires.interfaces import BadAnswer

_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its `data` lines joined by LF, and its type (empty where none was given)."""

    data: bytes
    type: bytes = b""


class EventReader:
    """Cuts a byte stream into events. `limit` bounds what one event may hold, in bytes."""

    __slots__ = ("_buffer", "_is_begun", "_limit", "_scanned")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._is_begun = False
        self._limit = limit
        self._scanned = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that `data` completes. Raises `BadAnswer` beyond the limit."""
        buffer = self._buffer
        buffer += data
        if not self._is_begun:
            if len(buffer) < 3 and _BYTE_ORDER_MARK.startswith(buffer):
                return []
            self._is_begun = True
            if buffer.startswith(_BYTE_ORDER_MARK):
                del buffer[:3]
        events: list[ServerEvent] = []
        start = 0
        if b"\r" not in buffer:
            # The common case: LF only, found by memchr.
            position = buffer.find(b"\n\n", self._scanned)
            while position >= 0:
                if position > start:
                    self._check(position - start)
                    event = _parse(bytes(buffer[start:position]))
                    if event is not None:
                        events.append(event)
                start = position + 2
                position = buffer.find(b"\n\n", start)
        else:
            for match in _EVENT_END.finditer(buffer, self._scanned):
                if match.end() == len(buffer) and match.group().endswith(b"\r"):
                    break  # the LF of this CR may be in the next read
                self._check(match.start() - start)
                event = _parse(bytes(buffer[start : match.start()]))
                if event is not None:
                    events.append(event)
                start = match.end()
        if start:
            del buffer[:start]
        self._scanned = max(0, len(buffer) - 3)
        self._check(len(buffer))
        return events

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise BadAnswer("event_too_large")

    def close(self) -> list[ServerEvent]:
        """What stands before the end of the body as a last event, where an upstream forgot the empty line."""
        rest = bytes(self._buffer).strip(b"\r\n")
        self._buffer.clear()
        event = _parse(rest) if rest else None
        return [] if event is None else [event]


def _parse(block: bytes) -> ServerEvent | None:
    if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:
        return ServerEvent(block[6:])
    data: list[bytes] = []
    kind = b""
    for line in _LINE_END.split(block):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
    return ServerEvent(b"\n".join(data), kind) if data else None
