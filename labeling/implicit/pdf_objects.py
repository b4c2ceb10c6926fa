# SPDX-License-Identifier: Apache-2.0
"""As much of PDF (ISO 32000-2) as a metadata label needs: tokens, dictionaries, cross-references, object streams.

Nothing is repaired and nothing is interpreted beyond the objects asked for. Values are kept as the raw bytes that
stand in the file, so that a dictionary can be written again without changing what was not understood.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from labeling.errors import DamagedFile

_SPACE: Final = b"\x00\t\n\x0c\r "
_DELIMITERS: Final = b"()<>[]{}/%"
_MAX_DEPTH: Final = 64
_MAX_SECTIONS: Final = 1024
_MAX_UNPACKED_BYTES: Final = 64 << 20
_REFERENCE = re.compile(rb"(\d+)[\x00\t\n\x0c\r ]+(\d+)[\x00\t\n\x0c\r ]+R(?![^\x00\t\n\x0c\r ()<>\[\]{}/%])")
_OBJECT = re.compile(rb"[\x00\t\n\x0c\r ]*(\d+)[\x00\t\n\x0c\r ]+(\d+)[\x00\t\n\x0c\r ]+obj")
_START = re.compile(rb"startxref[\x00\t\n\x0c\r ]+(\d+)")

Dictionary = dict[bytes, bytes]
"""Decoded names (with the slash) and the raw bytes of their values."""


def _skip_space(data: bytes, at: int) -> int:
    while at < len(data):
        if data[at] == 0x25:
            while at < len(data) and data[at] not in b"\r\n":
                at += 1
        elif data[at] in _SPACE:
            at += 1
        else:
            break
    return at


def _skip_literal(data: bytes, at: int) -> int:
    depth = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x5C:
            at += 1
        elif byte == 0x28:
            depth += 1
        elif byte == 0x29:
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise DamagedFile("a string of the PDF does not end; ask its maker for a sound file")


def _skip_regular(data: bytes, at: int) -> int:
    while at < len(data) and data[at] not in _SPACE and data[at] not in _DELIMITERS:
        at += 1
    return at


def skip_value(data: bytes, at: int, depth: int = 0) -> int:
    """The index after the value that begins at ``at``."""
    if depth > _MAX_DEPTH or at >= len(data):
        raise DamagedFile("a value of the PDF does not end or is nested too deeply; ask its maker for a sound file")
    if data[at : at + 2] == b"<<":
        return read_dictionary(data, at, depth)[1]
    byte = data[at]
    if byte == 0x5B:
        at = _skip_space(data, at + 1)
        while data[at : at + 1] != b"]":
            at = _skip_space(data, skip_value(data, at, depth + 1))
        return at + 1
    if byte == 0x28:
        return _skip_literal(data, at)
    if byte == 0x3C:
        end = data.find(b">", at)
        if end < 0:
            raise DamagedFile("a string of the PDF does not end; ask its maker for a sound file")
        return end + 1
    if byte == 0x2F:
        return _skip_regular(data, at + 1)
    reference = _REFERENCE.match(data, at)
    if reference:
        return reference.end()
    end = _skip_regular(data, at)
    if end == at:
        raise DamagedFile("the PDF holds a stray delimiter where a value belongs; ask its maker for a sound file")
    return end


def read_dictionary(data: bytes, at: int, depth: int = 0) -> tuple[Dictionary, int]:
    """The entries of the dictionary at ``at`` and the index after it."""
    if data[at : at + 2] != b"<<":
        raise DamagedFile("the PDF holds no dictionary where one belongs; ask its maker for a sound file")
    entries: Dictionary = {}
    at = _skip_space(data, at + 2)
    while data[at : at + 2] != b">>":
        if data[at : at + 1] != b"/":
            raise DamagedFile("a dictionary of the PDF holds a key that is no name; ask its maker for a sound file")
        end = _skip_regular(data, at + 1)
        name = _decode_name(data[at:end])
        start = _skip_space(data, end)
        at = skip_value(data, start, depth + 1)
        entries[name] = data[start:at]
        at = _skip_space(data, at)
    return entries, at + 2


def _decode_name(raw: bytes) -> bytes:
    return re.sub(rb"#([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), raw)


def read_string(raw: bytes) -> bytes:
    """The bytes of a literal or hexadecimal string."""
    if raw.startswith(b"<"):
        digits = re.sub(rb"[^0-9A-Fa-f]", b"", raw)
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())
    simple = {0x6E: b"\n", 0x72: b"\r", 0x74: b"\t", 0x62: b"\b", 0x66: b"\f"}
    written = bytearray()
    body, at = raw[1:-1], 0
    while at < len(body):
        byte = body[at]
        at += 1
        if byte != 0x5C or at >= len(body):
            written.append(byte)
            continue
        octal = re.match(rb"[0-7]{1,3}", body[at : at + 3])
        if octal:
            written.append(int(octal[0], 8) & 0xFF)
            at += octal.end()
            continue
        escaped = body[at]
        at += 2 if body[at : at + 2] == b"\r\n" else 1
        if escaped not in b"\r\n":
            written += simple.get(escaped, bytes((escaped,)))
    return bytes(written)


def decode_text(content: bytes) -> str:
    """A text string (ISO 32000-2 7.9.2.2): UTF-16 or UTF-8 with a mark, else one byte a character."""
    if content.startswith(b"\xfe\xff"):
        return content[2:].decode("utf-16-be", "replace")
    if content.startswith(b"\xef\xbb\xbf"):
        return content[3:].decode("utf-8", "replace")
    return content.decode("latin-1")


def write_string(text: bytes) -> bytes:
    """A literal string."""
    return b"(" + re.sub(rb"([\\()])", rb"\\\1", text) + b")"


def reference_of(raw: bytes | None) -> tuple[int, int] | None:
    """Object and generation number where the raw value is an indirect reference."""
    match = _REFERENCE.fullmatch(raw) if raw else None
    return (int(match[1]), int(match[2])) if match else None


def integer(raw: bytes | None, default: int | None = None) -> int:
    """An integer value. Raises :class:`DamagedFile` where it is something else."""
    if raw is None and default is not None:
        return default
    if raw is None or not re.fullmatch(rb"[+-]?\d{1,12}", raw):
        raise DamagedFile("the PDF holds no number where one belongs; ask its maker for a sound file")
    return int(raw)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream object: its dictionary and its bytes as they stand in the file."""

    entries: Dictionary
    packed: bytes

    def unpack(self) -> bytes:
        """The decoded bytes, through Flate with PNG predictors or no filter at all."""
        filters = re.findall(rb"/(\w+)", self.entries.get(b"/Filter", b""))
        if not filters:
            return self.packed
        if filters != [b"FlateDecode"]:
            raise DamagedFile("a stream of the PDF's own bookkeeping is packed in a rare way; write the file anew")
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(self.packed, _MAX_UNPACKED_BYTES)
        if unpacker.unconsumed_tail:
            raise DamagedFile("a stream of the PDF's own bookkeeping unpacks beyond 64 MiB; write the file anew")
        raw = self.entries.get(b"/DecodeParms", b"").strip(b"[] ")
        parameters = read_dictionary(raw, 0)[0] if raw.startswith(b"<<") else {}
        predictor = integer(parameters.get(b"/Predictor"), 1)
        if predictor < 10:
            return content
        return _undo_predictor(content, integer(parameters.get(b"/Columns"), 1))


def _undo_predictor(content: bytes, columns: int) -> bytes:
    """PNG predictors with one byte a sample, the only kind that cross-reference streams use."""
    if not 1 <= columns <= 4096:
        raise DamagedFile("a stream of the PDF states an impossible row width; ask its maker for a sound file")
    written = bytearray()
    above = bytes(columns)
    for start in range(0, len(content), columns + 1):
        kind, row = content[start], bytearray(content[start + 1 : start + 1 + columns])
        row += bytes(columns - len(row))
        for index in range(columns):
            left = row[index - 1] if index else 0
            corner = above[index - 1] if index else 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above[index]
            elif kind == 3:
                guess = (left + above[index]) // 2
            elif kind == 4:
                estimate = left + above[index] - corner
                guess = min((left, above[index], corner), key=lambda value: abs(estimate - value))
            else:
                guess = 0
            row[index] = row[index] + guess & 0xFF
        written += row
        above = bytes(row)
    return bytes(written)


class Document:
    """The newest revision of a PDF. Raises :class:`DamagedFile` where its cross-references do not hold."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        # Offsets count from the header, which may stand behind other bytes.
        self._base = max(0, data.find(b"%PDF-"))
        starts = list(_START.finditer(data, max(0, len(data) - 2048)))
        if not starts:
            raise DamagedFile("the PDF does not say where its cross-references are; ask its maker for a whole file")
        self.start = int(starts[-1][1])
        self._offsets: dict[int, tuple[int, int]] = {}
        self._packed: dict[int, tuple[int, int]] = {}
        self.trailer: Dictionary = {}
        self.has_table = False
        self._read_sections()

    def _read_sections(self) -> None:
        waiting = [self.start]
        seen: set[int] = set()
        while waiting:
            at = waiting.pop(0)
            if at in seen:
                continue
            seen.add(at)
            if len(seen) > _MAX_SECTIONS:
                raise DamagedFile("the PDF has too many revisions; write the file anew")
            position = _skip_space(self.data, self._base + at)
            is_table = self.data[position : position + 4] == b"xref"
            trailer = self._read_table(position + 4) if is_table else self._read_reference_stream(position)
            if not self.trailer:
                self.trailer, self.has_table = trailer, is_table
            # In a hybrid file the stream's entries come before those of the previous revision.
            waiting += [integer(trailer[key]) for key in (b"/XRefStm", b"/Prev") if key in trailer]

    def _read_table(self, at: int) -> Dictionary:
        data = self.data
        at = _skip_space(data, at)
        while data[at : at + 7] != b"trailer":
            head = re.compile(rb"(\d{1,10})[ \t]+(\d{1,8})[\x00\t\n\x0c\r ]*").match(data, at)
            if head is None:
                raise DamagedFile("the cross-reference table of the PDF is broken; ask its maker for a sound file")
            first, count = int(head[1]), int(head[2])
            at = head.end()
            for number in range(first, first + count):
                entry = data[at : at + 20]
                if not re.match(rb"\d{10} \d{5} [nf]", entry):
                    raise DamagedFile("the cross-reference table of the PDF is broken; ask its maker for a sound file")
                if entry[17:18] == b"n" and number not in self._packed:
                    self._offsets.setdefault(number, (int(entry[:10]), int(entry[11:16])))
                at += 20
            at = _skip_space(data, at)
        return read_dictionary(data, _skip_space(data, at + 7))[0]

    def _read_reference_stream(self, at: int) -> Dictionary:
        stream = self._stream_at(at)
        widths = [int(number) for number in re.findall(rb"\d+", stream.entries.get(b"/W", b""))]
        if len(widths) != 3 or sum(widths) == 0 or max(widths) > 8:
            raise DamagedFile("a cross-reference stream of the PDF is broken; ask its maker for a sound file")
        size = integer(stream.entries.get(b"/Size"))
        index = [int(number) for number in re.findall(rb"\d+", stream.entries.get(b"/Index", b"[0 %d]" % size))]
        content = stream.unpack()
        row_bytes = sum(widths)
        at = 0
        for first, count in zip(index[::2], index[1::2], strict=False):
            for number in range(first, first + count):
                row = content[at : at + row_bytes]
                at += row_bytes
                if len(row) < row_bytes:
                    raise DamagedFile("a cross-reference stream of the PDF is cut off; ask its maker for a whole file")
                kind = int.from_bytes(row[: widths[0]], "big") if widths[0] else 1
                second = int.from_bytes(row[widths[0] : widths[0] + widths[1]], "big")
                third = int.from_bytes(row[widths[0] + widths[1] :], "big")
                if number in self._offsets or number in self._packed:
                    continue
                if kind == 1:
                    self._offsets[number] = (second, third)
                elif kind == 2:
                    self._packed[number] = (second, third)
        return stream.entries

    def _object_at(self, at: int, number: int | None = None) -> int:
        """The index of the value of the object that is defined at ``at``."""
        match = _OBJECT.match(self.data, at)
        if match is None or (number is not None and int(match[1]) != number):
            raise DamagedFile("an object of the PDF is not where the cross-references say; ask its maker")
        return _skip_space(self.data, match.end())

    def _stream_at(self, at: int, number: int | None = None) -> Stream:
        entries, end = read_dictionary(self.data, self._object_at(at, number))
        end = _skip_space(self.data, end)
        if self.data[end : end + 6] != b"stream":
            raise DamagedFile("the PDF holds no stream where one belongs; ask its maker for a sound file")
        end += 6
        end += 2 if self.data[end : end + 2] == b"\r\n" else 1
        raw_length = entries.get(b"/Length")
        reference = reference_of(raw_length)
        length = integer(self.value(reference[0]) if reference else raw_length)
        if length < 0 or end + length > len(self.data):
            raise DamagedFile("a stream of the PDF is longer than the file; ask its maker for a whole file")
        return Stream(entries, self.data[end : end + length])

    def value(self, number: int) -> bytes:
        """The raw bytes of an object's value (of a stream, its dictionary)."""
        if number in self._offsets:
            start = self._object_at(self._base + self._offsets[number][0], number)
            return self.data[start : skip_value(self.data, start)]
        if number not in self._packed:
            return b"null"
        holder, _ = self._packed[number]
        if holder not in self._offsets:
            raise DamagedFile("an object stream of the PDF is missing; ask its maker for a sound file")
        stream = self._stream_at(self._base + self._offsets[holder][0], holder)
        content = stream.unpack()
        first = integer(stream.entries.get(b"/First"))
        numbers = [int(value) for value in content[:first].split()]
        for found, offset in zip(numbers[::2], numbers[1::2], strict=False):
            if found == number:
                start = _skip_space(content, first + offset)
                return content[start : skip_value(content, start)]
        raise DamagedFile("an object of the PDF is not in its object stream; ask its maker for a sound file")

    def stream(self, number: int) -> Stream:
        """A stream object."""
        if number not in self._offsets:
            raise DamagedFile("a stream of the PDF is missing; ask its maker for a sound file")
        return self._stream_at(self._base + self._offsets[number][0], number)

    def resolve(self, raw: bytes | None) -> bytes:
        """The raw value, through at most one reference; ``null`` where there is none."""
        reference = reference_of(raw)
        return self.value(reference[0]) if reference else raw or b"null"

    def generation(self, number: int) -> int:
        """The generation of an object, zero for one in an object stream."""
        return self._offsets.get(number, (0, 0))[1]

    def append(self, objects: dict[int, bytes], trailer: Dictionary) -> bytes:
        """The file with an incremental update: new or changed objects, and the trailer entries that change.

        All bytes of the file stay in front of it. The kind of cross-reference is the one that the file ends with.
        """
        written = bytearray(self.data)
        if not written.endswith((b"\n", b"\r")):
            written += b"\n"
        places: dict[int, tuple[int, int]] = {}
        for number, body in objects.items():
            places[number] = (len(written) - self._base, self.generation(number))
            written += b"%d %d obj\n" % (number, places[number][1]) + body + b"\nendobj\n"
        kept = {key: self.trailer[key] for key in (b"/Root", b"/Info", b"/ID") if key in self.trailer}
        entries = kept | trailer | {b"/Prev": b"%d" % self.start}
        size = max(integer(self.trailer.get(b"/Size")), max(places) + 1)
        start = len(written) - self._base
        if self.has_table:
            entries[b"/Size"] = b"%d" % size
            sections = b"".join(b"%d 1\n%010d %05d n \n" % (number, *places[number]) for number in sorted(places))
            written += b"xref\n" + sections + b"trailer\n" + write_dictionary(entries)
        else:
            places[size] = (start, 0)
            rows = b"".join(
                b"\x01" + places[number][0].to_bytes(8, "big") + places[number][1].to_bytes(2, "big")
                for number in sorted(places)
            )
            index = b" ".join(b"%d 1" % number for number in sorted(places))
            entries |= {
                b"/Type": b"/XRef",
                b"/Size": b"%d" % (size + 1),
                b"/W": b"[1 8 2]",
                b"/Index": b"[" + index + b"]",
                b"/Length": b"%d" % len(rows),
            }
            written += b"%d 0 obj\n" % size + write_dictionary(entries) + b"\nstream\n" + rows + b"\nendstream\nendobj"
        written += b"\nstartxref\n%d\n%%%%EOF\n" % start
        return bytes(written)


def write_dictionary(entries: Dictionary) -> bytes:
    """A dictionary from decoded names and raw values."""
    parts = []
    for name, value in entries.items():
        encoded = re.sub(rb"[^!-~]|[#()<>\[\]{}/%]", lambda match: b"#%02X" % match[0][0], name[1:])
        parts.append(b"/" + encoded + b" " + value)
    return b"<< " + b" ".join(parts) + b" >>"
