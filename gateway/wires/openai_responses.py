# SPDX-License-Identifier: Apache-2.0
"""The OpenAI Responses API: `/v1/responses`, streamed and plain, and what can be asked about a stored response.

What an upstream keeps of a response was never guarded or labelled, so reading it again, while it runs in the background
or later, is an answer like any other: it goes through the same duties. Where a reading begins in the middle
(`starting_after`), the upstream is asked for all of it: a word that began before that place must still be found, and
the numbers are those of the events that this gateway sent.

Earlier turns that stand at the upstream (`previous_response_id`, `conversation`, item references, stored prompts) can
not be read here. Those that passed this gateway were checked then.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import orjson

from gateway.decisions import Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Prompt
from gateway.wires.fields import Field
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadRequest, Call
from gateway.wires.openai_errors import error_body
from gateway.wires.openai_responses_answer import EventStreamReader, ResponseReader
from gateway.wires.openai_responses_request import read_prompt
from gateway.wires.openai_responses_writer import EventStreamWriter, ResponseWriter
from gateway.wires.passed import PassedReader, PassedWriter

PATH = "/v1/responses"
TOKENS_PATH = "/v1/responses/input_tokens"
COMPACT_PATH = "/v1/responses/compact"
STORED_PATH = r"/v1/responses/[A-Za-z0-9_-]{1,256}"
CANCEL_PATH = STORED_PATH + "/cancel"
ITEMS_PATH = STORED_PATH + "/input_items"

_PROMPT_FIELDS = (
    Field("input, instructions", "looked_at", "all items and earlier turns; text parts of one item as one text"),
    Field("input[].content[] input_file.file_data", "looked_at", "where it is text; other files pass as media"),
    Field("input[].content[] input_image, input_audio, file_id", "passed", "media; a URL is looked at as text"),
    Field("input[] item_reference, previous_response_id, conversation", "passed", "earlier turns at the upstream"),
    Field("input[].encrypted_content", "passed", "only the upstream can read it"),
    Field("prompt.variables", "looked_at", "the template itself stands at the upstream and passes"),
    Field("tools, tool_choice, text.format", "looked_at", "names, descriptions and schemas, keys included"),
    Field("(unknown)", "looked_at", "every string, keys included"),
)
_ANSWER_FIELDS = (
    Field("< output[].content[] output_text", "labelled", "not written into where text.format asks for JSON"),
    Field("< output[].content[] refusal", "looked_at"),
    Field("< output[] reasoning summary and content", "looked_at"),
    Field("< output[] function_call, mcp_call, custom_tool_call, shell_call", "looked_at", "names and arguments"),
    Field("< output[] code_interpreter_call", "looked_at", "code and logs; pictures are URLs and pass"),
    Field("< output[] file_search_call, web_search_call, annotations", "looked_at", "queries, results, titles, URLs"),
    Field("< output[] image_generation_call.result", "labelled", "in every event that holds it"),
    Field("< image_generation_call.partial_image", "labelled", "each unfinished picture"),
    Field("< audio, output_audio, output_image, output_video", "refused", "this API has no such answers"),
    Field("< logprobs", "looked_at", "dropped where they tell a text that was masked or may not be said"),
    Field("< instructions, tools, metadata and other echoes", "looked_at", "dropped where they say what is forbidden"),
    Field("< (unknown)", "looked_at", "every string"),
    Field("< id, status, type, encrypted_content, obfuscation", "passed", "name things, or hide lengths"),
    Field("< aigc", "labelled", "seven keys: top level of a response; first and last event of a stream"),
)


class _Spoken:
    """What all places of this wire have in common."""

    is_generative = True

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal response that is incomplete because of `content_filter`."""
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


class OpenAIResponses(_Spoken):
    """`POST /v1/responses`."""

    name = "openai_responses"
    FIELDS: tuple[Field, ...] = (
        *_PROMPT_FIELDS,
        Field("background, store", "passed", "what is read later goes through the same duties"),
        Field("model, metadata, user and settings", "passed", "no model reads them as text"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`."""
        return read_prompt(body)

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one response."""
        return EventStreamReader(prompt, event_bytes) if prompt.stream else ResponseReader(prompt)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one response."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return EventStreamWriter(exchange)
        return ResponseWriter(exchange)


class StoredResponse(_Spoken):
    """`GET /v1/responses/{id}`, plain or streamed, and `POST /v1/responses/{id}/cancel`."""

    name = "openai_responses_stored"
    FIELDS: tuple[Field, ...] = (
        Field("?stream, include", "passed"),
        Field("?starting_after", "passed", "kept here: the upstream is read from its start, and so guarded as a whole"),
        *_ANSWER_FIELDS,
    )

    def __init__(self, method: str) -> None:
        self._method = method

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt; the body keeps what of the query matters here."""
        stream, starting_after = False, -1
        if self._method == "GET":
            for key, value in parse_qsl(query, keep_blank_values=True):
                if key == "stream":
                    if value.lower() not in ("true", "false"):
                        raise BadRequest("invalid_value", "stream must be true or false.", param="stream")
                    stream = value.lower() == "true"
                elif key == "starting_after":
                    if not (value.isascii() and value.isdigit() and len(value) < 16):
                        raise BadRequest("invalid_value", "starting_after must be a number.", param="starting_after")
                    starting_after = int(value)
        return Prompt(model="", stream=stream, texts=[], body={"starting_after": starting_after})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path below the upstream's URL."""
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "starting_after"]
        return Call(self._method, path + ("?" + urlencode(kept) if kept else ""), b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one response."""
        return EventStreamReader(prompt, event_bytes) if prompt.stream else ResponseReader(prompt)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one response."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return EventStreamWriter(exchange, exchange.prompt.body["starting_after"])
        return ResponseWriter(exchange)


class ResponseInputItems(_Spoken):
    """`GET /v1/responses/{id}/input_items`: what was asked, with earlier answers among it."""

    name = "openai_responses_input_items"
    FIELDS: tuple[Field, ...] = (
        Field("< data[] message of the assistant", "labelled", "as in a response"),
        Field("< data[] (all other)", "looked_at", "nothing is shown where one of them says what is forbidden"),
        Field("< aigc", "labelled", "seven keys at top level"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: nothing is asked of a model."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path and query below the upstream's URL."""
        return Call("GET", path + ("?" + query if query else ""), b"")

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one list."""
        return ResponseReader(prompt, form="list")

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of one list."""
        return ResponseWriter(exchange, form="list")


class ResponseInputTokens(_Spoken):
    """`POST /v1/responses/input_tokens`: how many tokens a prompt has. Nothing is generated."""

    name = "openai_responses_input_tokens"
    is_generative = False
    FIELDS: tuple[Field, ...] = (
        *_PROMPT_FIELDS,
        Field("< input_tokens", "passed", "a number; no label, because nothing is generated"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt, never streamed."""
        prompt = read_prompt(body)
        prompt.stream = False
        return prompt

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", TOKENS_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return PassedReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return PassedWriter()

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """There is no in-band form."""
        return None


class CompactedResponse(_Spoken):
    """`POST /v1/responses/compact`: a conversation made shorter, for later prompts."""

    name = "openai_responses_compact"
    FIELDS: tuple[Field, ...] = (
        *_PROMPT_FIELDS,
        Field("model and settings", "passed", "no model reads them as text"),
        Field("< output[] compaction.encrypted_content", "passed", "only the upstream can read it"),
        *_ANSWER_FIELDS,
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt, never streamed."""
        prompt = read_prompt(body)
        prompt.stream = False
        return prompt

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", COMPACT_PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of one document."""
        return ResponseReader(prompt)

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of the same document."""
        return ResponseWriter(exchange, form="compaction")

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """Our words would be a conversation that was never held: the error says it."""
        return None


class DeletedResponse(ResponseInputTokens):
    """`DELETE /v1/responses/{id}`."""

    name = "openai_responses_delete"
    FIELDS: tuple[Field, ...] = (Field("< id, deleted", "passed", "no text; no label, because nothing is generated"),)

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """An empty prompt: nothing is asked of a model."""
        return Prompt(model="", stream=False, texts=[], body={})

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The same path below the upstream's URL."""
        return Call("DELETE", path, b"")
