# SPDX-License-Identifier: Apache-2.0
"""A stream that is one JSON array, an element an event, as Google's APIs send where no `alt=sse` is asked for.

Framing only: the elements are cut out as the bytes that they are, whatever reads the body was cut into. RFC 8259
section 5: `[`, elements with commas between them, `]`, white space anywhere around them.
"""

from __future__ import annotations

import re

from gateway.wires.interfaces import BadAnswer

_STRUCTURE = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_BETWEEN = re.compile(rb"[ \t\r\n]+")


class ArrayReader:
    """Cuts a byte stream into the objects of one array. `limit` bounds what one element may hold, in bytes."""

    __slots__ = ("_buffer", "_depth", "_expects", "_in_string", "_limit", "_position", "is_done")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._position = 0
        """Where to read on; what stands before it in the buffer belongs to the element that is open."""
        self._depth = 0
        self._in_string = False
        self._expects = b"["
        """The characters that may stand here between elements."""
        self.is_done = False

    def feed(self, data: bytes) -> list[bytes]:
        """The elements that `data` completes. Raises `BadAnswer` for anything that is not an array of objects."""
        buffer = self._buffer
        buffer += data
        elements: list[bytes] = []
        while self._position < len(buffer):
            if self._depth:
                if not self._inside():
                    break
                if not self._depth:
                    elements.append(bytes(buffer[: self._position]))
                    del buffer[: self._position]
                    self._position = 0
                    self._expects = b",]"
                continue
            space = _BETWEEN.match(buffer)
            if space is not None:
                del buffer[: space.end()]
                continue
            self._between(buffer[0])
        if len(buffer) > self._limit or any(len(element) > self._limit for element in elements):
            raise BadAnswer("event_too_large")
        return elements

    def close(self) -> None:
        """The end of the body: `BadAnswer` where the array is not closed."""
        if not self.is_done:
            raise BadAnswer("incomplete")

    def _between(self, character: int) -> None:
        """One character outside of elements."""
        if character not in self._expects:
            raise BadAnswer("not_an_array")
        if character == 0x7B:  # {
            self._depth = 1
            self._position = 1
            return
        del self._buffer[:1]
        if character == 0x5B:  # [
            self._expects = b"{]"
        elif character == 0x2C:  # ,
            self._expects = b"{"
        else:
            self._expects = b""
            self.is_done = True

    def _inside(self) -> bool:
        """One step inside an element; False where the next read must decide."""
        if self._in_string:
            found = _STRING_END.search(self._buffer, self._position)
            if found is None:
                self._position = len(self._buffer)
                return False
            if found.group() == b"\\":
                if found.end() == len(self._buffer):
                    self._position = found.start()
                    return False
                self._position = found.end() + 1
                return True
            self._in_string = False
            self._position = found.end()
            return True
        found = _STRUCTURE.search(self._buffer, self._position)
        if found is None:
            self._position = len(self._buffer)
            return False
        self._position = found.end()
        character = found.group()
        if character == b'"':
            self._in_string = True
        else:
            self._depth += 1 if character in b"{[" else -1
        return True
