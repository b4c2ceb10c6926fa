# SPDX-License-Identifier: Apache-2.0
"""The answers of OpenAI chat completions: chunks of a stream and whole completions, to events and back."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Media, Opaque, Usage
from gateway.exchange import Exchange
from gateway.wires.frames import At, Attachment, Ending, Frame, Path, built, joined_strings, mere_names, odd_names
from gateway.wires.framing import StreamFrames, TextFinder, WholeDocument, as_it_came, encoded
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import loads_event
from gateway.wires.media import require_labelled
from gateway.wires.media_answer import MediaSlot, decoded
from gateway.wires.media_events import PIECE_BYTES
from gateway.wires.names import is_name
from gateway.wires.openai_errors import error_object
from gateway.wires.sse import EventReader, ServerEvent

_TEXT_FIELDS: dict[str, tuple[Channel, int]] = {
    "reasoning_content": (Channel.REASONING, 0),
    "reasoning": (Channel.REASONING, 1),
    "content": (Channel.ANSWER, 0),
    "refusal": (Channel.REFUSAL, 0),
}
SOUNDS: Final[Mapping[str, str]] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "pcm16": "audio/pcm;rate=24000",
}
"""The formats of spoken answers."""

_HEARD: Final = object()
"""Carrier of a `Finish` behind which a choice's sound may leave; no frame goes with it."""

_FUNCTION_CALL_ITEM = -1
"""The lane item of the legacy `function_call`, which has no index."""

_DOCUMENT_CHOICE = -1
"""The lane choice of texts that stand in the document beside its choices."""

_KNOWN_DOCUMENT = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "choices", "obfuscation"}
)
_REPEATED = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""Members of the document that every chunk repeats; a text that is guarded may not be among them."""

_NAMING = ("id", "object", "model", "system_fingerprint", "service_tier", "created", "usage")
_KNOWN_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs"})
_KNOWN_MESSAGE = frozenset({*_TEXT_FIELDS, "role", "tool_calls", "function_call", "audio"})
_KNOWN_SOUND = frozenset({"id", "data", "transcript", "expires_at"})
_KNOWN_CALL = frozenset({"index", "id", "type", "function", "custom"})
_KNOWN_FUNCTION = frozenset({"name", "arguments", "input"})
_NOT_TEXT = frozenset({"id", "type", "index", "role", "object", "status"})
"""Members of unknown structures that name things and are not shown."""

_DONE = b"[DONE]"


class _DocumentReader(TextFinder):
    """Makes events of one document; what chunks and whole completions share."""

    def __init__(self, message_key: str, mime: str) -> None:
        super().__init__()
        self._message_key = message_key
        self._mime = mime
        self._sounds: dict[int, bytearray] = {}
        """The sound of each choice of a stream, until its transcript is whole."""
        self._open: set[int] = set()
        self.has_choices = False
        self.frame: Frame | None = None
        """The document that was read last."""
        self._answer_lanes: dict[int, Lane] = {}
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
        endings: list[Event] = []
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise BadAnswer("bad_choice")
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

    def _choice(self, frame: Frame, choice: dict[str, Any], endings: list[Event]) -> Iterator[Event]:
        index = choice.get("index", 0)
        message = choice.get(self._message_key)
        if not isinstance(index, int) or index < 0 or not (message is None or isinstance(message, dict)):
            raise BadAnswer("bad_choice")
        self.has_choices = True
        self._open.add(index)
        if message:
            yield from self._message(frame, index, message)
        if choice.get("logprobs"):
            lane = self._answer_lanes.get(index, Lane(index, Channel.ANSWER))
            words = tuple(joined_strings(choice["logprobs"]))
            yield Attached(lane, words, Attachment(frame, choice, "logprobs", choice["logprobs"]))
        if not choice.keys() <= _KNOWN_CHOICE:
            yield from self.unknown(frame, choice, (), _KNOWN_CHOICE | _NOT_TEXT, index)
        reason = choice.get("finish_reason")
        if reason is not None:
            if not isinstance(reason, str) or not is_name(reason):
                raise BadAnswer("bad_reason")
            yield from self.close(index)
            self._open.discard(index)
            endings += self.sound(index)
            endings.append(Finish(index, reason, Ending(frame, choice, "finish_reason", reason)))

    def sound(self, index: int) -> Iterator[Event]:
        """The sound of a choice that ends, behind all that is said in it."""
        sound = self._sounds.pop(index, None)
        if sound:
            yield Finish(index, "", _HEARD)
            yield Media(index, self._mime, bytes(sound))

    def sounds(self) -> Iterator[Event]:
        """The sounds of choices that never ended by themselves."""
        for index in list(self._sounds):
            yield from self.sound(index)

    def _message(self, frame: Frame, index: int, message: dict[str, Any]) -> Iterator[Event]:
        unknown: set[str] = set()
        for field, (channel, item) in _TEXT_FIELDS.items():
            value = message.get(field)
            if isinstance(value, str):
                if value:
                    lane = Lane(index, channel, item)
                    if channel in (Channel.ANSWER, Channel.REFUSAL):
                        self._answer_lanes[index] = lane
                    yield from self.text(frame, lane, message, field, value, (field,))
            elif value is not None:
                unknown.add(field)  # a list of parts, say: every string in it is guarded
        sound = message.get("audio")
        if isinstance(sound, dict):
            yield from self._sound(frame, index, sound)
        elif sound is not None:
            unknown.add("audio")
        calls = message.get("tool_calls") or ()
        if not isinstance(calls, (list, tuple)):
            raise BadAnswer("bad_tool_call")
        for position, call in enumerate(calls):
            yield from self._tool_call(frame, index, position, call)
        legacy = message.get("function_call")
        if isinstance(legacy, dict):
            yield from self._function(frame, index, _FUNCTION_CALL_ITEM, legacy, ("function_call",))
        elif legacy is not None:
            unknown.add("function_call")
        if "role" in message:
            yield from odd_names(frame, message, ("role",))
        if unknown or not message.keys() <= _KNOWN_MESSAGE:
            yield from self.unknown(frame, message, (), (_KNOWN_MESSAGE | _NOT_TEXT) - unknown, index)

    def _sound(self, frame: Frame, index: int, sound: dict[str, Any]) -> Iterator[Event]:
        transcript, data = sound.get("transcript"), sound.get("data")
        if isinstance(transcript, str) and transcript:
            lane = Lane(index, Channel.TRANSCRIPT)
            yield from self.text(frame, lane, sound, "transcript", transcript, ("audio", "transcript"))
        if data and self._message_key == "message":
            yield Media(index, self._mime, decoded(data), MediaSlot(frame, sound, "data", data))
        elif data:
            self._sounds.setdefault(index, bytearray()).extend(decoded(data))
            del sound["data"]
            frame.raw = b""
        yield from odd_names(frame, sound, ("id", "expires_at"))
        unknown = set() if transcript is None or isinstance(transcript, str) else {"transcript"}
        if unknown or not sound.keys() <= _KNOWN_SOUND:
            yield from self.unknown(frame, sound, ("audio",), _KNOWN_SOUND - unknown, index)

    def _tool_call(self, frame: Frame, index: int, position: int, call: Any) -> Iterator[Event]:
        if not isinstance(call, dict):
            raise BadAnswer("bad_tool_call")
        item = call.get("index", position)
        if not isinstance(item, int):
            raise BadAnswer("bad_tool_call")
        unknown: set[str] = set()
        for kind in ("function", "custom"):
            function = call.get(kind)
            if isinstance(function, dict):
                yield from self._function(frame, index, item, function, ("tool_calls", At(item), kind))
            elif function is not None:
                unknown.add(kind)
        yield from odd_names(frame, call, ("id", "type"))
        if unknown or not call.keys() <= _KNOWN_CALL:
            yield from self.unknown(frame, call, ("tool_calls", At(item)), _KNOWN_CALL - unknown, index)

    def _function(self, frame: Frame, index: int, item: int, function: dict[str, Any], path: Path) -> Iterator[Event]:
        name = function.get("name")
        if isinstance(name, str) and name:
            lane = Lane(index, Channel.TOOL_NAME, item)
            yield from self.text(frame, lane, function, "name", name, (*path, "name"))
        for key in ("arguments", "input"):
            value = function.get(key)
            if isinstance(value, str) and value:
                lane = Lane(index, Channel.TOOL_ARGUMENTS, item)
                yield from self.text(frame, lane, function, key, value, (*path, key))
        unknown = {key for key in _KNOWN_FUNCTION if not isinstance(function.get(key, ""), str)}
        if unknown or not function.keys() <= _KNOWN_FUNCTION:
            yield from self.unknown(frame, function, path, _KNOWN_FUNCTION - unknown, index)


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else -1


class ChunkReader:
    """`chat.completion.chunk` events of a stream."""

    def __init__(self, event_bytes: int, mime: str = "") -> None:
        """`mime` is that of the sound, where one was asked for."""
        self._events = EventReader(event_bytes)
        self._document = _DocumentReader("delta", mime)
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
            return  # nothing follows [DONE]; what an upstream sends after it is not part of the answer
        if event.data == _DONE:
            events += self._end()
            return
        try:
            tree = loads_event(event.data)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        events += self._document.document(tree, event.data)

    def _end(self) -> list[Event]:
        self._is_done = True
        return [*self._document.close(), *self._document.sounds(), End()]


class CompletionReader:
    """One `chat.completion` document."""

    def __init__(self, mime: str = "") -> None:
        self._body = bytearray()
        self._mime = mime

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
        document = _DocumentReader("message", self._mime)
        events = document.document(tree, raw)
        if not document.has_choices:
            raise BadAnswer("no_choices")
        return [*events, *document.close(), End(document.frame)]


class ChunkWriter(StreamFrames):
    """A stream of `chat.completion.chunk` events."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._base: dict[str, Any] | None = None

    def learn(self, frame: Frame) -> None:
        """The members that every chunk of the answer repeats."""
        if self._base is None:
            self._base = mere_names(frame.tree, _REPEATED)

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """A chunk with one delta."""
        return self._small(lane.choice, built(path or ("content",), text))

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """A chunk with `logprobs` and an empty delta."""
        frame = self._small(lane.choice, {})
        frame.tree["choices"][0]["logprobs"] = part.value
        return frame

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """A chunk with a `finish_reason`; `content_filter` is the wire's own word."""
        return self._small(choice, {}, reason)

    def last_frame(self) -> Frame:
        """A chunk without choices, as the one that carries `usage`."""
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

    def _unframed(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Media):
            require_labelled(event)
            for start in range(0, len(event.data), PIECE_BYTES):
                piece = base64.b64encode(event.data[start : start + PIECE_BYTES]).decode()
                self._send(self._small(event.choice, {"audio": {"data": piece}}), out)
        elif not (isinstance(event, Finish) and event.carrier is _HEARD):
            super()._unframed(event, out)

    def _members(self) -> dict[str, Any]:
        if self._base is None:
            self._base = {
                "id": f"chatcmpl-{self.exchange.record_id}",
                "object": "chat.completion.chunk",
                "created": int(self.exchange.started_at),
                "model": self.exchange.model,
            }
        return self._base

    def _small(self, choice: int, delta: dict[str, Any], reason: str | None = None) -> Frame:
        if choice == _DOCUMENT_CHOICE:
            return Frame({**self._members(), **delta, "choices": []})
        if not self.is_begun:
            delta = {"role": "assistant", **delta}
        return Frame({**self._members(), "choices": [{"index": choice, "delta": delta, "finish_reason": reason}]})


class CompletionWriter(WholeDocument):
    """One `chat.completion` document."""

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document. Raises `BadAnswer` for a sound that nobody labelled."""
        for event in events:
            if isinstance(event, Media) and isinstance(event.carrier, MediaSlot):
                require_labelled(event)
                event.carrier.put(event.data)
                self._attached.add(id(event.carrier))
        return super().write(events)

    def empty(self) -> dict[str, Any]:
        """A completion that no model gave."""
        return {
            "id": f"chatcmpl-{self.exchange.record_id}",
            "object": "chat.completion",
            "created": int(self.exchange.started_at),
            "model": self.exchange.model,
            "choices": [],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """A choice of which nothing of the model's may be shown."""
        made = {
            "index": choice,
            "message": {"role": "assistant", "content": text or None, "refusal": None},
            "logprobs": None,
            "finish_reason": reason,
        }
        choices: list[Any] = document["choices"]
        for position, item in enumerate(choices):
            if isinstance(item, dict) and item.get("index", 0) == choice:
                choices[position] = made
                return
        choices.append(made)

    def broken(self, code: str, message: str) -> bytes:
        """OpenAI's error object."""
        return encoded(error_object(502, code, message))
