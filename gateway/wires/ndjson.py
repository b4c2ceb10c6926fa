# SPDX-License-Identifier: Apache-2.0
"""Newline-delimited JSON as model APIs stream it: one document a line, framing only. Reads may cut anywhere."""

from __future__ import annotations

from gateway.wires.interfaces import BadAnswer


class LineReader:
    """Cuts a byte stream into lines. `limit` bounds what one line may hold, in bytes."""

    __slots__ = ("_buffer", "_limit", "_scanned")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._scanned = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends; empty lines are dropped. Raises `BadAnswer`."""
        buffer = self._buffer
        buffer += data
        lines: list[bytes] = []
        start = 0
        position = buffer.find(b"\n", self._scanned)
        while position >= 0:
            line = bytes(buffer[start:position]).strip()
            if line:
                lines.append(line)
            start = position + 1
            position = buffer.find(b"\n", start)
        if start:
            del buffer[:start]
        self._scanned = len(buffer)
        if len(buffer) > self._limit or any(len(line) > self._limit for line in lines):
            raise BadAnswer("event_too_large")
        return lines

    def close(self) -> list[bytes]:
        """What stands before the end of the body as a last line, where an upstream forgot the line break."""
        rest = bytes(self._buffer).strip()
        self._buffer.clear()
        self._scanned = 0
        return [rest] if rest else []
