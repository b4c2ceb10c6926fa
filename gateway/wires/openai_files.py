# SPDX-License-Identifier: Apache-2.0
"""OpenAI files and batches, as far as they carry what a model reads or says.

An uploaded batch is a list of requests to the other wires: each line is read by the wire of its `url`, so nothing is
asked in a batch that could not be asked directly, and the lines are written anew from what was read. Files for
fine-tuning and evaluation hold texts in every line; other files are texts where they are UTF-8. A batch's output is
guarded and labelled line by line; a forbidden text in one line withholds the whole file, because a file is one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.form import Part, field_of, form_call, form_prompt, read_form
from gateway.wires.framing import encoded
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call, Wire
from gateway.wires.json_text import loads_request
from gateway.wires.openai_errors import error_body
from gateway.wires.openai_file_content import FileContent, FileContentWriter
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, add_strings, read_object, typed

FILES_PATH = "/v1/files"
FILE_PATH = r"/v1/files/[A-Za-z0-9._-]{1,128}"
CONTENT_PATH = r"/v1/files/[A-Za-z0-9._-]{1,128}/content"
BATCHES_PATH = "/v1/batches"
BATCH_PATH = r"/v1/batches/[A-Za-z0-9._-]{1,128}"
CANCEL_PATH = r"/v1/batches/[A-Za-z0-9._-]{1,128}/cancel"

_LINES = frozenset({"fine-tune", "evals"})
"""Purposes whose files are lines of JSON that a model reads."""


class _Passed:
    """What the file wires share: no model answers here, so a document goes out as it came."""

    name = ""
    is_generative = False
    FIELDS: tuple[Field, ...] = ()

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return PassedWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class OpenAIFileUpload(_Passed):
    """The wire of uploading a file. `wires` are those that a batch may ask, by their path."""

    name = "openai_file_upload"
    FIELDS: tuple[Field, ...] = (
        Field("file (purpose batch)", "looked_at", "each line as its own wire looks at it; other paths are refused"),
        Field("file (purpose fine-tune, evals)", "looked_at", "every string of every line"),
        Field("file (other purposes)", "looked_at", "where it is UTF-8; what is none passes as media"),
        Field("purpose, (every field), name of the file", "looked_at"),
        Field("< (all)", "passed", "what the server says of the file"),
    )

    def __init__(self, wires: Mapping[str, Wire]) -> None:
        self._wires = wires

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """Without headers there is no boundary, so nothing can be read."""
        return self.read_request_with_headers(path, query, body, ())

    def read_request_with_headers(
        self, path: str, query: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Prompt:
        """The file's texts; see `Wire`."""
        parts = read_form(body, headers)
        purpose = field_of(parts, "purpose")
        files = [position for position, part in enumerate(parts) if part.name == "file"]
        if purpose is None or len(files) != 1:
            raise BadRequest("missing_required_parameter", "Send one file and its purpose.", param="file")
        texts: list[PromptText] = []
        at = files[0]
        if purpose == "batch":
            parts[at] = self._batch(parts[at], texts)
        elif purpose in _LINES:
            parts[at] = _each_line(parts[at], texts)
        else:
            _any_text(parts[at], texts)
        prompt = form_prompt(parts)
        prompt.texts += texts
        return prompt

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The form for the server, made from what was checked."""
        return form_call(path, prompt)

    def _batch(self, part: Part, texts: list[PromptText]) -> Part:
        lines = []
        for number, line in _documents(part):
            where = f"file.{number}"
            url = typed(line, "url", str, where=where, required=True)
            body = typed(line, "body", dict, where=where, required=True)
            wire = self._wires.get(url)
            if wire is None or line.get("method") != "POST":
                message = f"{where}: a batch may POST to {', '.join(sorted(self._wires))} only."
                raise BadRequest("invalid_value", message, param=f"{where}.url")
            try:
                prompt = wire.read_request(url, "", encoded(body))
            except BadRequest as error:
                param = f"{where}.body.{error.param}" if error.param else where
                raise BadRequest(error.code, f"{where}: {error.message}", param=param) from None
            texts += (PromptText(f"{where}.body.{text.where}", text.role, text.text) for text in prompt.texts)
            add_members(line, where, "user", texts, ("url", "body", "method"))
            lines.append(orjson.dumps({**line, "body": prompt.body}))
        return replace(part, data=b"\n".join(lines) + b"\n")


class OpenAIFiles(_Passed):
    """The wire of listing, looking at and deleting files and batches, and of cancelling a batch."""

    name = "openai_files"
    FIELDS: tuple[Field, ...] = (Field("(query)", "passed"), Field("< (all)", "passed"))

    def __init__(self, method: str) -> None:
        self._method = method

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: nothing is asked of a model."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query below the upstream's URL."""
        return Call(self._method, path + ("?" + query if query else ""), b"")


class OpenAIBatches(_Passed):
    """The wire of beginning a batch: its file was checked when it was uploaded."""

    name = "openai_batches"
    FIELDS: tuple[Field, ...] = (
        Field("endpoint", "refused", "where this gateway has no wire for it that a batch may ask"),
        Field("metadata, (unknown)", "looked_at", "every string, keys included"),
        Field("input_file_id, completion_window", "passed"),
        Field("< (all)", "passed", "what the server says of the batch"),
    )

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = frozenset(paths)

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """What belongs to the batch itself; see `Wire`."""
        document = read_object(body)
        typed(document, "input_file_id", str, required=True)
        if typed(document, "endpoint", str, required=True) not in self._paths:
            message = f"endpoint must be one of {', '.join(sorted(self._paths))}."
            raise BadRequest("invalid_value", message, param="endpoint")
        texts: list[PromptText] = []
        add_members(document, "", "user", texts, ("endpoint", "input_file_id", "completion_window"))
        return Prompt(model="", stream=False, texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request, made from what was checked."""
        return Call("POST", BATCHES_PATH, orjson.dumps(prompt.body))


class OpenAIFileContent(_Passed):
    """The wire of downloading a file: a batch's output is answers of models."""

    name = "openai_file_content"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("< (lines of JSON) answers", "labelled", "each as its wire does; text that is JSON gets no words inside"),
        Field("< (lines of JSON) b64_json, audio.data", "labelled", "what cannot be: 501 `unlabelled_media`"),
        Field("< (lines of JSON) every other string", "looked_at"),
        Field("< (lines of JSON) aigc", "labelled", "in every line"),
        Field("< (other text)", "looked_at"),
        Field("< (no text)", "refused", "501 `unlabelled_media`: nobody says that a model made it"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: what was asked was checked with the upload."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path below the upstream's URL."""
        return Call("GET", path, b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of lines, of a text or of anything else."""
        return FileContent()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same."""
        return FileContentWriter(exchange, error_body)


def _documents(part: Part) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file with the numbers of their lines, counted from 1."""
    found = []
    for number, line in enumerate(part.data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            document = loads_request(line)
        except ValueError:
            raise _bad_line(number) from None
        if not isinstance(document, dict):
            raise _bad_line(number)
        found.append((number, document))
    return found


def _bad_line(number: int) -> BadRequest:
    return BadRequest("invalid_json", f"Line {number} of the file is not a JSON object.", param=f"file.{number}")


def _each_line(part: Part, texts: list[PromptText]) -> Part:
    documents = _documents(part)
    for number, document in documents:
        add_strings(document, f"file.{number}", "user", texts)
    return replace(part, data=b"".join(orjson.dumps(document) + b"\n" for _, document in documents))


def _any_text(part: Part, texts: list[PromptText]) -> None:
    try:
        text = part.data.decode()
    except UnicodeDecodeError:
        return  # a picture, a sound, a document: the media duties look at it
    texts.append(PromptText("file", "user", text))
    try:
        document = loads_request(part.data)
    except ValueError:
        return
    add_strings(document, "file", "user", texts)  # and without JSON's escapes
