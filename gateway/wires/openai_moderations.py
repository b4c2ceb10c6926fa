# SPDX-License-Identifier: Apache-2.0
"""OpenAI moderations: `POST /v1/moderations`, passed through and recorded.

An app sends here what it wants judged, so a text is not refused for what it says: that would hide the very judgement
that was asked for, and nothing is generated from it. The answer is categories and scores.
"""

from __future__ import annotations

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.openai_errors import error_body
from gateway.wires.passed import PassedReader, PassedWriter
from gateway.wires.request import read_object, typed

PATH = "/v1/moderations"


class OpenAIModerations:
    """The wire of OpenAI moderations."""

    name = "openai_moderations"
    is_generative = False
    FIELDS: tuple[Field, ...] = (
        Field("input", "passed", "it is here to be judged; nothing is generated from it"),
        Field("model", "passed"),
        Field("< (all)", "passed", "categories and scores"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """A prompt without texts: what is to be judged is not refused for what it says."""
        document = read_object(body)
        model = typed(document, "model", str) or ""
        if not isinstance(document.get("input"), (str, list)):
            raise BadRequest("invalid_type", "input must be a string or an array.", param="input")
        return Prompt(model=model, stream=False, texts=[], body=document)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model."""
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
