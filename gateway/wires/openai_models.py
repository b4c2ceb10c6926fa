# SPDX-License-Identifier: Apache-2.0
"""OpenAI's list of models: `GET /v1/models` and `GET /v1/models/{id}`, passed through. No model generates it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.decisions import Refusal
from gateway.events import End, Event
from gateway.exchange import Exchange, Prompt
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadAnswer, Call
from gateway.wires.json_text import loads_event
from gateway.wires.openai_errors import error_body

PATH = "/v1/models"


class OpenAIModels:
    """The wire of the list of models."""

    name = "openai_models"
    is_generative = False
    FIELDS: tuple[Field, ...] = (Field("(query)", "passed"), Field("< (all)", "passed", "no model generates it"))

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: nothing is asked of a model."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query below the upstream's URL."""
        return Call("GET", path + ("?" + query if query else ""), b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return _DocumentReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return _DocumentWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class _DocumentReader:
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


class _DocumentWriter:
    content_type = b"application/json"

    def write(self, events: Sequence[Event]) -> bytes:
        """The document, as it came."""
        return b"".join(
            event.carrier for event in events if isinstance(event, End) and isinstance(event.carrier, bytes)
        )

    def broken(self, code: str, message: str) -> bytes:
        """OpenAI's error object."""
        return error_body(502, code, message)

    def keep_alive(self) -> bytes:
        """White space before a JSON document means nothing."""
        return b" "
