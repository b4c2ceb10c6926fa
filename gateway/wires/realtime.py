# SPDX-License-Identifier: Apache-2.0
"""OpenAI Realtime over WebSocket: `GET /v1/realtime?model=...`, the event model in its current and its beta names.

A session is not one request with one answer, so the walk through it stands in `gateway.realtime`. Here is what the wire
itself says: where it is found, what a handshake may ask, which fields are looked at, and how it words errors. Asked for
without an upgrade to WebSocket the path answers 426 like any request that cannot be read.

A browser cannot set headers, so what it would say in them may stand among the subprotocols, as OpenAI has it:
`realtime`, `openai-insecure-api-key.<key>`, `openai-beta.realtime-v1`; and ours, `duty-subject.<token>`.

Calls over WebRTC and SIP, and keys with which a client reaches the model by itself, are not served: what does not pass
here cannot be guarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import orjson

from gateway.decisions import Refusal
from gateway.events import Event
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.openai_errors import error_body, error_object
from gateway.wires.passed import PassedReader, PassedWriter

PATH = "/v1/realtime"
SUBPROTOCOL = "realtime"

_KEY_PREFIX = "openai-insecure-api-key."
_SUBJECT_PREFIX = "duty-subject."
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_BETA = b"realtime=v1"
_MODEL_IN = ("model", "deployment")
_HANDSHAKE = frozenset(
    {b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-protocol", b"origin"}
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for before the first event.

    `headers` are as ASGI has them, with what stood in subprotocols in its proper place and without those of the
    upgrade; `subprotocol` is the one to answer with, empty for none.
    """

    model: str
    query: str
    texts: tuple[PromptText, ...]
    headers: tuple[tuple[bytes, bytes], ...]
    subprotocol: str
    is_beta: bool


def read_handshake(
    query: str, headers: Sequence[tuple[bytes, bytes]], subprotocols: Sequence[str], origins: Sequence[str]
) -> Handshake:
    """The handshake. `origins` are the web pages that may open a session beside those of this address.

    Raises `BadRequest`.
    """
    _check_origin(headers, origins)
    model, texts, is_transcription = "", [], False
    for position, (key, value) in enumerate(parse_qsl(query, keep_blank_values=True)):
        if key == "call_id":
            message = "A call whose sound goes elsewhere cannot be guarded here. Open a session with model."
            raise BadRequest("unsupported_parameter", message, param="call_id")
        if key in _MODEL_IN:
            model = model or value
        is_transcription = is_transcription or (key, value) == ("intent", "transcription")
        texts += [PromptText(f"query.{position}", "system", text) for text in (key, value) if text]
    if not model and not is_transcription:
        raise BadRequest("missing_required_parameter", "model is required in the address.", param="model")
    kept = [(name, value) for name, value in headers if name not in _HANDSHAKE]
    is_beta = any(name == b"openai-beta" and _BETA in value for name, value in headers)
    for offered in subprotocols:
        if offered.startswith(_KEY_PREFIX):
            kept = [pair for pair in kept if pair[0] != b"authorization"]
            kept.append((b"authorization", b"Bearer " + offered.removeprefix(_KEY_PREFIX).encode("latin-1", "replace")))
        elif offered.startswith(_SUBJECT_PREFIX):
            kept.append((b"duty-subject", offered.removeprefix(_SUBJECT_PREFIX).encode("latin-1", "replace")))
        elif offered == _BETA_SUBPROTOCOL and not is_beta:
            is_beta = True
            kept.append((b"openai-beta", _BETA))
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in subprotocols else ""
    return Handshake(model, query, tuple(texts), tuple(kept), subprotocol, is_beta)


def _check_origin(headers: Sequence[tuple[bytes, bytes]], origins: Sequence[str]) -> None:
    """A browser opens WebSockets to anywhere and lets the page read them: only pages that are meant to may."""
    origin = next((value.decode("latin-1") for name, value in headers if name == b"origin"), "")
    if not origin or origin in origins:
        return
    host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    if not host or urlsplit(origin).netloc.lower() != host.lower():
        message = "Pages of this origin may not open a session. The operator can name it in realtime.origins."
        raise BadRequest("origin_not_allowed", message, status=403)


def error_event(number: str, status: int, code: str, message: str, about: str | None, record: str = "") -> str:
    """An `error` event. `number` is its id, `about` the id of the client's event, `record` the id of our record."""
    error = {**error_object(status, code, message)["error"], "event_id": about}
    event: dict[str, object] = {"type": "error", "event_id": number, "error": error}
    if record:
        event["duty_record"] = record
    return orjson.dumps(event).decode()


class OpenAIRealtime:
    """The wire of sessions. Its HTTP side only says that it wants a WebSocket."""

    name = "openai_realtime"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("?model and others, (unknown)", "looked_at"),
        Field("?call_id", "refused", "the sound of such a call goes past the gateway"),
        Field("session.update", "looked_at", "instructions, tools, variables: every string, keys included"),
        Field("conversation.item.create", "looked_at", "text parts of one item as one text; tool results; old calls"),
        Field("conversation.item.create content[].audio, image_url (data)", "passed", "media; a URL is looked at"),
        Field("response.create", "looked_at", "an exchange of its own: instructions, input, tools, metadata"),
        Field("input_audio_buffer.append", "passed", "media, or refused without transcription: `realtime.input_sound`"),
        Field("conversation.item.truncate audio_end_ms", "passed", "less the sound of our own label"),
        Field("response.cancel, conversation.item.delete, other known events", "passed", "unknown members looked at"),
        Field("(unknown event, binary frame)", "refused", "an `error` event; a binary frame ends the session"),
        Field("< input_audio_transcription.delta, completed, segment", "looked_at", "as prompt: a hit stops answers"),
        Field("< response.output_text.delta, response.text.delta", "labelled"),
        Field("< response.output_audio_transcript.delta, response.audio_transcript.delta", "labelled"),
        Field("< response.output_audio.delta, response.audio.delta", "labelled", "after its transcript; else refused"),
        Field("< response.function_call_arguments.delta, mcp_call_arguments.delta", "looked_at"),
        Field("< (events that repeat texts: .done, items, response.done)", "looked_at", "say what was let out"),
        Field("< item.content[].audio of the assistant", "refused", "left out: it could carry no label there"),
        Field("< error, session.*, rate_limits.updated, mcp_list_tools.*", "looked_at", "whole; dropped on a hit"),
        Field("< (unknown event of a response)", "looked_at", "every string, checked whole before it leaves"),
        Field("< (unknown event of no response)", "refused", "dropped"),
        Field("< aigc, notices", "labelled", "seven keys: first and last event of each response, and `response`"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """A request without an upgrade is none; see `Wire`."""
        raise BadRequest("upgrade_required", "This path is a WebSocket: ask for it with an upgrade.", status=426)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """Where sessions are at the upstream."""
        return Call("GET", PATH + ("?" + query if query else ""), b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """Of a document, which never comes."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """Of the same."""
        return PassedWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form before a session."""
        return None

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)
