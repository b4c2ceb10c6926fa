# SPDX-License-Identifier: Apache-2.0
"""What a wire is: a model API's protocol as a pair of codecs on the shared event model.

A wire reads requests (bytes to `Prompt`), reads answers (bytes to events), writes answers (events to bytes) and speaks
refusals and errors in its own format. It decides nothing: duties do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt


class BadRequest(Exception):
    """A request that the wire cannot read. `param` is our own path of the field, never user text."""

    def __init__(self, code: str, message: str, *, param: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.param = param
        self.status = status


class BadAnswer(Exception):
    """The upstream's answer is not what the wire says it must be. `code` is a fixed word."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent to the model: method, path and query below the upstream's URL, and the body."""

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"
    key_header: str = "authorization"
    """The header in which the wire carries the model's API key; `authorization` carries it as a bearer token."""
    key_parameter: str = ""
    """The query parameter that may carry it too; the gateway's own key takes it out of `path`."""


class AnswerReader(Protocol):
    """Bytes of the upstream's answer to events. Incremental; raises only `BadAnswer`."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        ...

    def close(self) -> list[Event]:
        """The events that the end of the body completes, `End` last. `BadAnswer` where the answer is not complete."""
        ...


class AnswerWriter(Protocol):
    """Events to bytes for the client."""

    content_type: bytes

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`; empty while a plain answer is not complete."""
        ...

    def broken(self, code: str, message: str) -> bytes:
        """The wire's own words for an answer that cannot go on, after its first byte was sent."""
        ...

    def keep_alive(self) -> bytes:
        """Bytes that keep a waiting client's connection open and that every parser of the wire ignores."""
        ...


class Wire(Protocol):
    """One model API's protocol.

    A wire may also have `read_request_with_headers(path, query, body, headers) -> Prompt`, called instead of
    `read_request` where the headers say what the body means (a multipart boundary, a header that asks for a stream);
    `headers` are as ASGI has them. A plain answer's writer may have `status: int`, the HTTP status of what it wrote,
    where that is not 200. A stream's reader may have `media_type: str`, where that is not `text/event-stream`.
    """

    name: str
    is_generative: bool
    """Whether a model generates the answers; duties about answers to people apply only then."""

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt. Raises `BadRequest`."""
        ...

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """What is sent to the model for `prompt`."""
        ...

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader for the answer to `prompt`; one event is at most `event_bytes` long."""
        ...

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer for the answer of `exchange`."""
        ...

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """An in-band refusal as the events of a normal answer, and its status; None where the wire has no such form."""
        ...

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """An error body in the wire's own format."""
        ...
