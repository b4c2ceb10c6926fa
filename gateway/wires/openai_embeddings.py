# SPDX-License-Identifier: Apache-2.0
"""OpenAI embeddings: `POST /v1/embeddings`. The inputs are checked; the answer is numbers and passes as it came.

Inputs as arrays of token numbers are refused, because what they say cannot be checked. No text is generated, so the
answer carries no label.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.openai_errors import error_body
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import add_members, read_object, typed

PATH = "/v1/embeddings"

_NOT_PROMPT = frozenset({"model", "input", "user", "encoding_format"})


class OpenAIEmbeddings:
    """The wire of OpenAI embeddings."""

    name = "openai_embeddings"
    is_generative = False
    FIELDS: tuple[Field, ...] = (
        Field("input", "looked_at", "a string or an array of strings; token numbers are refused"),
        Field("(unknown)", "looked_at", "every string, keys included"),
        Field("model, dimensions, encoding_format, user", "passed"),
        Field("< (all)", "passed", "vectors hold no text; no label, because nothing is generated"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The inputs as texts; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        texts: list[PromptText] = []
        for position, item in enumerate(_inputs(document.get("input"))):
            texts.append(PromptText(f"input.{position}", "user", item))
        add_members(document, "", "user", texts, _NOT_PROMPT)
        return Prompt(model=model, stream=False, texts=texts, body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", PATH, orjson.dumps(prompt.body))

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


def _inputs(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if value is None:
        raise BadRequest("missing_required_parameter", "input is required.", param="input")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    message = "input must be a string or an array of strings; token numbers are not served, what they say is unknown."
    raise BadRequest("invalid_type", message, param="input")
