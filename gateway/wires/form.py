# SPDX-License-Identifier: Apache-2.0
"""Reading and writing `multipart/form-data` (RFC 7578), as media APIs take it.

A form is read into its parts and written anew from them, so that what was checked is what the model gets: two parsers
that disagree about a boundary, a repeated header or an extended file name cannot be played off against each other.
Of a part's headers only name, file name and media type survive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.exchange import Prompt, PromptText
from gateway.wires.interfaces import BadRequest, Call

# The parser's own warnings say what it found in place of what it expected, and that is a client's text.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

MAX_PARTS = 128
MAX_HEADER_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. `filename` is None for a plain field."""

    name: str
    data: bytes
    filename: str | None = None
    content_type: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a file and not a field."""
        return self.filename is not None


@dataclass(slots=True)
class FormPrompt(Prompt):
    """A prompt that came as a form. `body` says of it what a record may keep."""

    parts: list[Part] = field(default_factory=list)


def read_form(body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> list[Part]:
    """The parts of a form, in order. Raises `BadRequest`; the message holds nothing of what was sent."""
    content_type, options = parse_options_header(
        next((value for name, value in headers if name == b"content-type"), b"")
    )
    boundary = options.get(b"boundary")
    if content_type != b"multipart/form-data" or not boundary:
        message = "Send the request as multipart/form-data with a boundary."
        raise BadRequest("unsupported_media_type", message, status=415)
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, callbacks=collector.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise _bad_form() from None
    if not collector.is_complete:
        raise _bad_form()
    return collector.parts


def write_form(parts: Sequence[Part]) -> tuple[bytes, str]:
    """The parts as a body, and its media type."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.data)
    boundary = digest.hexdigest()[:40].encode()
    while any(boundary in part.data for part in parts):
        boundary = hashlib.sha256(boundary).hexdigest()[:40].encode()
    out = []
    for part in parts:
        head = f'Content-Disposition: form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_quoted(part.filename)}"'
        if part.content_type:
            head += f"\r\nContent-Type: {part.content_type}"
        out.append(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, head.encode(), part.data))
    out.append(b"--%s--\r\n" % boundary)
    return b"".join(out), f"multipart/form-data; boundary={boundary.decode()}"


def form_call(path: str, prompt: Prompt) -> Call:
    """The form for the model, made from what was checked."""
    assert isinstance(prompt, FormPrompt)
    body, content_type = write_form(prompt.parts)
    return Call("POST", path, body, content_type)


def form_prompt(parts: list[Part], *, stream: bool = False) -> FormPrompt:
    """The prompt of a form: every field but `model` is a text, and so is every file's name."""
    texts: list[PromptText] = []
    model = field_of(parts, "model") or ""
    kept: dict[str, str] = {}
    for position, part in enumerate(parts):
        where = part.name if part.name in _FIELDS else f"field {position}"
        if part.is_file:
            kept[f"{position} {where}"] = f"(file, {len(part.data)} bytes)"
            if part.filename:
                texts.append(PromptText(f"{where}.filename", "user", part.filename))
            continue
        text = field_text(part)
        kept[f"{position} {where}"] = text
        if text and part.name != "model":
            texts.append(PromptText(where, "user", text))
    return FormPrompt(
        model=model,
        stream=stream,
        texts=texts,
        body=kept,
        has_media=any(part.is_file for part in parts),
        parts=parts,
    )


_FIELDS = frozenset(
    {
        "model", "prompt", "image", "image[]", "mask", "n", "size", "quality", "style", "background", "response_format",
        "output_format", "user", "stream", "file", "purpose", "language", "temperature", "instructions", "seconds",
        "input_reference", "timestamp_granularities[]", "include[]", "chunking_strategy",
    }
)  # fmt: skip
"""Names that a record may repeat; any other is a client's own."""


def field_text(part: Part) -> str:
    """A field's value. Raises `BadRequest` where it is no UTF-8."""
    try:
        return part.data.decode()
    except UnicodeDecodeError:
        raise BadRequest("invalid_value", "A field of the form is not UTF-8.") from None


def field_of(parts: Sequence[Part], name: str) -> str | None:
    """The value of the only field `name`, None where there is none. Raises `BadRequest` where it came twice."""
    found = [part for part in parts if part.name == name]
    if len(found) > 1 or any(part.is_file for part in found):
        raise BadRequest("invalid_value", f"{name} must be one plain field.", param=name)
    return field_text(found[0]) if found else None


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _bad_form() -> BadRequest:
    return BadRequest("invalid_form", "The request body is not a whole multipart/form-data form.")


class _Collector:
    """Takes the parser's calls."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._data = bytearray()

    def callbacks(self) -> dict[str, object]:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_end": self._complete,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._header_bytes = 0
        self._data = bytearray()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._count(end - start)

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _bad_form()

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in options or len(self.parts) >= MAX_PARTS:
            raise _bad_form()
        filename = options.get(b"filename")
        try:
            self.parts.append(
                Part(
                    name=options[b"name"].decode(),
                    data=bytes(self._data),
                    filename=filename.decode() if filename is not None else None,
                    content_type=self._headers.get(b"content-type", b"").decode("ascii"),
                )
            )
        except UnicodeDecodeError:
            raise _bad_form() from None

    def _complete(self) -> None:
        self.is_complete = True
