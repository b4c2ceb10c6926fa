# SPDX-License-Identifier: Apache-2.0
"""RIFF, the container of WAV, AVI and WebP: chunks of a four-character name, a little-endian size and padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labeling.errors import DamagedFile

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. ``start`` is the index of its name, ``content`` and ``end`` delimit its bytes, padding excluded."""

    name: bytes
    start: int
    content: int
    end: int


def walk(data: bytes, start: int, stop: int, *, open_ended: bytes = b"") -> Iterator[Chunk]:
    """The chunks between two indices.

    ``open_ended`` names the chunk that a streaming writer leaves without a valid size: it then reaches to the end of
    the file. Raises :class:`DamagedFile` where any other chunk leaves the span.
    """
    at = start
    while at + 8 <= stop:
        name = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if name == open_ended and (end > stop or (size in _UNKNOWN_SIZES and end < stop)):
            end = stop
        if end > stop:
            raise DamagedFile("a RIFF chunk is longer than the file; ask its maker for a whole file")
        yield Chunk(name, at, at + 8, end)
        at = end + (end - at & 1)


def make(name: bytes, content: bytes) -> bytes:
    """A chunk with its size and padding."""
    return name + len(content).to_bytes(4, "little") + content + b"\x00" * (len(content) & 1)


def make_text(name: bytes, text: str) -> bytes:
    """A chunk of ASCII text, brought to even length with a space: some readers take the padding for content."""
    return make(name, text.encode("ascii") + b" " * (len(text) & 1))


def form(kind: bytes, body: bytes) -> bytes:
    """A whole RIFF file of the given form."""
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + kind + body
