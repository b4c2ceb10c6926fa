# SPDX-License-Identifier: Apache-2.0
"""OpenAI's legacy completions: `POST /v1/completions`, streamed and plain.

Prompts as token numbers (or embeddings) are refused, because what they say cannot be checked. `logprobs` have their old
form: parallel arrays, and candidates as the keys of objects. The offsets in them count the model's own text, not the
words that duties add to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.decisions import Refusal
from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta, Usage
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.wires.fields import Field
from gateway.wires.frames import Attachment, Ending, Frame, Path, built, mere_names, odd_names
from gateway.wires.framing import StreamFrames, TextFinder, WholeDocument, as_it_came, encoded
from gateway.wires.interfaces import AnswerReader, AnswerWriter, BadAnswer, BadRequest, Call
from gateway.wires.json_text import loads_event, strings
from gateway.wires.names import is_name
from gateway.wires.openai_errors import error_body, error_object
from gateway.wires.request import add_members, read_object, typed
from gateway.wires.sse import EventReader, ServerEvent

PATH = "/v1/completions"

_NOT_PROMPT = frozenset({"model", "stream", "stream_options", "n", "best_of", "echo", "logprobs", "user", "metadata"})
_STRUCTURE = ("guided_json", "guided_grammar", "guided_regex", "guided_choice", "structured_outputs", "grammar")
"""How servers other than OpenAI's are asked for machine-readable text."""

_KNOWN_DOCUMENT = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "choices", "obfuscation"}
)
_NAMING = ("id", "object", "model", "system_fingerprint", "service_tier", "created", "usage")
_REPEATED = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""Members of the document that every event repeats."""

_KNOWN_CHOICE = frozenset({"index", "text", "finish_reason", "logprobs"})
_NOT_TEXT = frozenset({"id", "type", "index", "role", "object", "status"})
_DOCUMENT_CHOICE = -1
"""The lane choice of texts that stand in the document beside its choices."""


class OpenAICompletions:
    """The wire of legacy completions."""

    name = "openai_completions"
    is_generative = True
    FIELDS: tuple[Field, ...] = (
        Field("prompt", "looked_at", "a string or an array of strings"),
        Field("prompt as token numbers, prompt_embeds", "refused", "what they say cannot be checked"),
        Field("suffix, stop, response_format", "looked_at"),
        Field("(unknown)", "looked_at", "every string, keys included"),
        Field("model, n, best_of, echo, logprobs, user, metadata and numbers", "passed"),
        Field("< choices[].text", "labelled", "not written into where the request asks for JSON"),
        Field("< choices[].logprobs", "looked_at", "offsets count the model's own text, without labels"),
        Field("< (unknown)", "looked_at", "every string"),
        Field("< id, model, system_fingerprint, usage", "passed"),
        Field("< aigc", "labelled", "seven keys: top level of a completion; first and last event of a stream"),
    )

    def read_request(self, path: str, query: str, body: bytes) -> Prompt:
        """The request as a prompt; see `Wire`."""
        document = read_object(body)
        model = typed(document, "model", str, required=True)
        stream = bool(typed(document, "stream", bool))
        typed(document, "n", int)
        typed(document, "best_of", int)
        typed(document, "suffix", str)
        if document.get("prompt_embeds") is not None:
            message = "prompt_embeds are not served: what they say cannot be checked. Send the prompt as text."
            raise BadRequest("unsupported_parameter", message, param="prompt_embeds")
        texts: list[PromptText] = []
        _read_prompt(document.get("prompt"), texts)
        add_members(document, "", "system", texts, _NOT_PROMPT | {"prompt"})
        return Prompt(model=model, stream=stream, texts=texts, body=document, is_structured=_is_structured(document))

    def call(self, path: str, query: str, prompt: Prompt) -> Call:
        """The request for the model, made from what was checked."""
        return Call("POST", PATH, orjson.dumps(prompt.body))

    def reader(self, prompt: Prompt, event_bytes: int) -> AnswerReader:
        """A reader of events or of one completion."""
        return CompletionStreamReader(event_bytes) if prompt.stream else CompletionReader()

    def writer(self, exchange: Exchange) -> AnswerWriter:
        """A writer of events or of one completion."""
        if exchange.prompt is not None and exchange.prompt.stream:
            return CompletionStreamWriter(exchange)
        return CompletionWriter(exchange)

    def refusal(self, exchange: Exchange, refusal: Refusal) -> tuple[int, list[Event]] | None:
        """A normal answer that ends with `content_filter`."""
        text: list[Event] = []
        if exchange.prompt is None or not exchange.prompt.is_structured:
            text.append(TextDelta(Lane(0, Channel.ANSWER), refusal.message))
        return 200, [*text, Finish(0, "content_filter"), End()]

    def error(self, status: int, code: str, message: str, param: str = "") -> bytes:
        """OpenAI's error object."""
        return error_body(status, code, message, param)


def _read_prompt(prompt: Any, texts: list[PromptText]) -> None:
    if isinstance(prompt, str):
        texts.append(PromptText("prompt", "user", prompt))
    elif isinstance(prompt, list):
        for position, item in enumerate(prompt):
            where = f"prompt.{position}"
            if not isinstance(item, str):
                message = (
                    "prompt must be a string or an array of strings; token numbers are not served, because what they "
                    "say cannot be checked. Send the text."
                )
                raise BadRequest("unsupported_prompt", message, param="prompt")
            texts.append(PromptText(where, "user", item))
    elif prompt is not None:
        raise BadRequest("invalid_type", "prompt must be a string or an array of strings.", param="prompt")


def _is_structured(document: Mapping[str, Any]) -> bool:
    form = document.get("response_format")
    if isinstance(form, Mapping) and form.get("type") not in (None, "text"):
        return True
    return any(document.get(key) is not None for key in _STRUCTURE)


class _DocumentReader(TextFinder):
    """Makes events of one document; chunks of a stream and whole completions have the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self._ended: set[int] = set()
        self.has_choices = False
        self.frame: Frame | None = None
        """The document that was read last."""
        self._named: tuple[Any, ...] = ()
        """The naming members of the last document, which every chunk repeats, where they are names."""

    @property
    def is_finished(self) -> bool:
        """Whether every choice that began has ended."""
        return self.has_choices and not self._open

    def document(self, tree: Any, raw: bytes) -> list[Event]:
        """The events of one document. Raises `BadAnswer`."""
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        self.frame = frame = Frame(tree, b"" if b"\n" in raw or b"\r" in raw else raw)
        choices = tree.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise BadAnswer("bad_choices")
        events: list[Event] = []
        endings: list[Finish] = []
        for choice in choices or ():
            events += self._choice(frame, choice, endings)
        if not tree.keys() <= _KNOWN_DOCUMENT:
            events += self.unknown(frame, tree, (), _KNOWN_DOCUMENT | _NOT_TEXT, _DOCUMENT_CHOICE)
        told = tree.get
        named = (told("id"), told("object"), told("model"), told("system_fingerprint"), told("service_tier"),
                 told("created"), told("usage"))  # fmt: skip
        if named != self._named:
            odd = list(odd_names(frame, tree, _NAMING))
            self._named = () if odd else named
            events += odd
        if "obfuscation" in tree:
            events += odd_names(frame, tree, ("obfuscation",))
        events += endings
        usage = tree.get("usage")
        if isinstance(usage, Mapping):
            events.append(Usage(_tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens")))
        if not frame.parts:
            events.append(Opaque(frame))
        return events

    def _choice(self, frame: Frame, choice: Any, endings: list[Finish]) -> Iterator[Event]:
        if not isinstance(choice, dict):
            raise BadAnswer("bad_choice")
        index, text = choice.get("index", 0), choice.get("text")
        if not isinstance(index, int) or index < 0 or not (text is None or isinstance(text, str)):
            raise BadAnswer("bad_choice")
        self.has_choices = True
        lane = Lane(index, Channel.ANSWER)
        if text:
            if index in self._ended:
                raise BadAnswer("text_after_finish")  # a word could be cut in two by the end between them
            yield from self.text(frame, lane, choice, "text", text, ("text",))
        logprobs = choice.get("logprobs")
        if logprobs:
            yield Attached(lane, _words(logprobs), Attachment(frame, choice, "logprobs", logprobs))
        if not choice.keys() <= _KNOWN_CHOICE:
            yield from self.unknown(frame, choice, (), _KNOWN_CHOICE | _NOT_TEXT, index)
        reason = choice.get("finish_reason")
        if reason is None:
            self._open |= {index} - self._ended
        elif not isinstance(reason, str) or not is_name(reason):
            raise BadAnswer("bad_reason")
        else:
            yield from self.close(index)
            self._open.discard(index)
            self._ended.add(index)
            endings.append(Finish(index, reason, Ending(frame, choice, "finish_reason", reason)))


def _words(logprobs: Any) -> tuple[str, ...]:
    """The tokens of `logprobs`, candidates that stand as keys included."""
    try:
        return tuple(text for _, text in strings(logprobs, ""))
    except ValueError:
        raise BadAnswer("nested_too_deeply") from None


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else -1


class CompletionStreamReader:
    """The events of a streamed completion."""

    def __init__(self, event_bytes: int) -> None:
        self._events = EventReader(event_bytes)
        self._document = _DocumentReader()
        self._is_done = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        events: list[Event] = []
        for event in self._events.feed(data):
            self._read(event, events)
        return events

    def close(self) -> list[Event]:
        """The end of the stream: `BadAnswer` where the upstream broke off."""
        events: list[Event] = []
        for event in self._events.close():
            self._read(event, events)
        if not self._is_done:
            if not self._document.is_finished:
                raise BadAnswer("incomplete")
            events += self._end()
        return events

    def _read(self, event: ServerEvent, events: list[Event]) -> None:
        if self._is_done:
            return  # what an upstream sends after [DONE] is not part of the answer
        if event.data == b"[DONE]":
            events += self._end()
            return
        try:
            tree = loads_event(event.data)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        events += self._document.document(tree, event.data)

    def _end(self) -> list[Event]:
        self._is_done = True
        return [*self._document.close(), End()]


class CompletionReader:
    """One `text_completion` document."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        raw = bytes(self._body)
        try:
            tree = loads_event(raw)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        document = _DocumentReader()
        events = document.document(tree, raw)
        if not document.has_choices:
            raise BadAnswer("no_choices")
        return [*events, *document.close(), End(document.frame)]


def _made(exchange: Exchange) -> dict[str, Any]:
    """The members of a document that no model gave."""
    return {
        "id": f"cmpl-{exchange.record_id}",
        "object": "text_completion",
        "created": int(exchange.started_at),
        "model": exchange.model,
    }


class CompletionStreamWriter(StreamFrames):
    """A streamed completion."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._base: dict[str, Any] | None = None

    def learn(self, frame: Frame) -> None:
        """The members that every event of the answer repeats."""
        if self._base is None:
            self._base = mere_names(frame.tree, _REPEATED)

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """An event with a piece of text, or of a member that is not known."""
        if lane.choice == _DOCUMENT_CHOICE:
            return Frame({**self._members(), **built(path or ("text",), text), "choices": []})
        return self._small(lane.choice, built(path or ("text",), text))

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """An event with `logprobs` and no text."""
        return self._small(lane.choice, {"logprobs": part.value})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """An event with a `finish_reason`; `content_filter` is the wire's own word."""
        return self._small(choice, {"finish_reason": reason})

    def last_frame(self) -> Frame:
        """An event without choices, as the one that carries `usage`."""
        return Frame({**self._members(), "choices": []})

    def frame_bytes(self, frame: Frame) -> bytes:
        """A `data:` event."""
        return b"data: " + as_it_came(frame) + b"\n\n"

    def trailer(self) -> bytes:
        """The end of the stream."""
        return b"data: [DONE]\n\n"

    def broken(self, code: str, message: str) -> bytes:
        """An error event; the official SDKs raise it. No `[DONE]` follows, because the answer is not complete."""
        tree = {**error_object(502, code, message), "aigc": self.exchange.label}
        return self.flushed() + b"data: " + encoded(tree) + b"\n\n"

    def _members(self) -> dict[str, Any]:
        if self._base is None:
            self._base = _made(self.exchange)
        return self._base

    def _small(self, choice: int, members: dict[str, Any]) -> Frame:
        empty = {"index": choice, "text": "", "logprobs": None, "finish_reason": None}
        return Frame({**self._members(), "choices": [{**empty, **members}]})


class CompletionWriter(WholeDocument):
    """One `text_completion` document."""

    def empty(self) -> dict[str, Any]:
        """A completion that no model gave."""
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return {**_made(self.exchange), "choices": [], "usage": usage}

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """A choice of which nothing of the model's may be shown."""
        made = {"index": choice, "text": text, "logprobs": None, "finish_reason": reason}
        choices: list[Any] = document["choices"]
        for position, item in enumerate(choices):
            if isinstance(item, dict) and item.get("index", 0) == choice:
                choices[position] = made
                return
        choices.append(made)

    def broken(self, code: str, message: str) -> bytes:
        """OpenAI's error object."""
        return encoded(error_object(502, code, message))
