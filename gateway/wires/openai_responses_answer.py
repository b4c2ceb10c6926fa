# SPDX-License-Identifier: Apache-2.0
"""Answers of the OpenAI Responses API, read: the events of a stream and whole responses, as events of ours.

Every text becomes the deltas of its part (`gateway.wires.openai_responses_parts`), whichever event says it first. Texts
that come whole and are no part (tool names, search results, annotations, fields that are not known) are checked whole
each time they come, in choice -1, which ends with the event that carries them. What repeats the request is left alone
where it does so word for word, and dropped where it says what an answer may not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Media, Opaque, TextDelta, Usage
from gateway.exchange import Prompt
from gateway.wires.arguments import ObjectSlot
from gateway.wires.frames import Attachment, joined_strings, unknown_texts
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import clean, loads_event
from gateway.wires.media import UNLABELLED
from gateway.wires.media_answer import MediaSlot, decoded
from gateway.wires.names import is_mere, is_name
from gateway.wires.openai_responses_parts import (
    CONTENT_KINDS,
    DELTAS,
    DONES,
    ENDINGS,
    ITEM_KINDS,
    KINDS,
    EventFrame,
    Form,
    Key,
    Part,
    PartSlot,
    asks_for_structure,
)
from gateway.wires.sse import EventReader, ServerEvent

_WHOLE = -1
"""The choice of texts that come whole. The filter ends no answer by it: it is open within one event only."""

_ASIDE = Lane(_WHOLE, Channel.OTHER)
_MOST_PARTS = 2_000
"""Every end of a part costs the duties a look at all parts."""
_MOST_DEPTH = 64
_TYPE = re.compile(r"[A-Za-z0-9_.]{1,128}")

_NOT_TEXT: Final = frozenset(
    {
        "id", "type", "object", "status", "role", "model", "call_id", "item_id", "file_id", "container_id",
        "response_id", "previous_response_id", "approval_request_id", "encrypted_content", "obfuscation", "created_by",
        "service_tier", "fingerprint",
    }
)  # fmt: skip
"""Members that name things, or that only the upstream can read."""

_DELTA_MEMBERS: Final = frozenset(
    {
        "type", "item_id", "output_index", "content_index", "summary_index", "command_index", "delta", "logprobs",
        "sequence_number", "obfuscation",
    }
)  # fmt: skip

_ECHOES: Final = frozenset(
    {
        "instructions", "tools", "tool_choice", "metadata", "text", "prompt", "conversation", "user", "reasoning",
        "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "truncation",
        "include", "input", "context_management", "moderation_options",
    }
)  # fmt: skip
"""Members of a response that repeat what was asked."""

_TOOL_NAMES: Final = frozenset({"name", "namespace", "server_label"})
_LIFE: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_PARTIAL: Final = "response.image_generation_call.partial_image"
_SOUND: Final = "response.audio.delta"
_MEDIA_CONTENT: Final = frozenset({"output_audio", "output_image", "output_video"})


class _Texts:
    """Makes events of the texts of documents; what streams and plain answers share."""

    def __init__(self, prompt: Prompt) -> None:
        self._asked = prompt.body
        self._is_prompt_structured = prompt.is_structured
        self._is_structured = prompt.is_structured
        self._parts: dict[Key, Part] = {}
        self._open: dict[Key, Part] = {}
        """Parts that have said something and are not finished."""
        self._choices = 0
        self._marks = 0
        self._indexes: dict[str, int] = {}
        """The output index of each item, by its id: a snapshot may leave items out."""
        self._wholes = 0
        self._asides: list[Attached] = []

    # One event or document.

    def marked(self, frame: EventFrame, events: Iterator[Event]) -> Iterator[Event]:
        """`events`, and what lets the frame out behind them."""
        frame.is_marked = True
        self._marks += 1
        self._wholes = 0
        yield from events
        yield from self._asides
        if self._wholes or self._asides:
            yield Finish(_WHOLE, "whole", frame)
        self._asides.clear()
        yield Opaque(frame)

    def response(self, frame: EventFrame, response: Any, *, is_last: bool) -> Iterator[Event]:
        """A snapshot of the response. `is_last`: every text in it is complete."""
        if not isinstance(response, dict):
            raise BadAnswer("bad_response")
        self._is_structured = self._is_structured or asks_for_structure(response)
        output = response.get("output")
        if output is not None and not isinstance(output, list):
            raise BadAnswer("bad_output")
        for position, item in enumerate(output or ()):
            yield from self.item(frame, position, item, is_last=is_last)
        for key, value in response.items():
            if key in ("output", "output_text"):
                continue
            if key in _ECHOES:
                if value and value != self._asked.get(key):
                    words = tuple(joined_strings(value))
                    self._asides.append(Attached(_ASIDE, words, Attachment(frame, response, key, value)))
            else:
                yield from self._value(frame, response, key, value)
        if is_last:
            yield from self.finish_all()
        usage = response.get("usage")
        if isinstance(usage, Mapping):
            yield Usage(_tokens(usage, "input_tokens"), _tokens(usage, "output_tokens"))

    def item(self, frame: EventFrame, position: int, item: Any, *, is_last: bool) -> Iterator[Event]:
        """One output item; its place is that of its id where an event gave it one."""
        if not isinstance(item, dict):
            raise BadAnswer("bad_item")
        index = self._indexes.get(_word(item.get("id")), position)
        kind = _word(item.get("type"))
        skipped: set[str] = set()
        if kind == "image_generation_call":
            yield from self.picture(frame, item, "result")
            skipped.add("result")
        is_ours = item.get("role", "assistant") == "assistant"
        for member in ("content", "summary"):
            if kind in ("message", "reasoning") and is_ours and isinstance(item.get(member), list):
                skipped.add(member)
                for place, content in enumerate(item[member]):
                    yield from self.content(frame, index, place, content, is_last=is_last)
        name = ITEM_KINDS.get(kind)
        if name is not None and isinstance(item.get(KINDS[name].member), str):
            skipped.add(KINDS[name].member)
            yield from self.repeat(frame, self._part(index, name), item, KINDS[name].member, is_last=is_last)
        action = item.get("action")
        if kind == "shell_call" and isinstance(action, dict) and isinstance(action.get("commands"), list):
            skipped.add("action")
            commands = action["commands"]
            for place, command in enumerate(commands):
                if isinstance(command, str):
                    yield from self.repeat(frame, self._part(index, "command", place), commands, place, is_last=is_last)
                else:
                    yield from self._value(frame, commands, place, command)
            yield from self._below(frame, action, frozenset({"commands"}))
        yield from self._below(frame, item, skipped)
        if is_last:
            for part in [part for part in self._open.values() if part.output_index == index]:
                yield from self.finish(part)

    def picture(self, frame: EventFrame, container: dict[str, Any], key: str) -> Iterator[Event]:
        """A picture in base64; none where its place is empty."""
        value = container.get(key)
        if value:
            yield Media(_WHOLE, "", decoded(value), MediaSlot(frame, container, key, value))

    def content(self, frame: EventFrame, index: int, place: int, content: Any, *, is_last: bool) -> Iterator[Event]:
        """One content part of an item."""
        if not isinstance(content, dict):
            raise BadAnswer("bad_content")
        kind = _word(content.get("type"))
        if kind in _MEDIA_CONTENT:
            raise BadAnswer(UNLABELLED)
        skipped: set[str] = set()
        name = CONTENT_KINDS.get(kind)
        if name is not None:
            member = KINDS[name].member
            if member not in content:
                raise BadAnswer("bad_content")
            skipped |= {member, "logprobs"}
            part = self._part(index, name, place)
            yield from self.repeat(frame, part, content, member, is_last=is_last)
            self._logprobs(frame, part, content)
            for annotation in _list(content.get("annotations")):
                if isinstance(annotation, dict):
                    frame.annotations.append((part, annotation))
        yield from self._below(frame, content, skipped)

    def repeat(
        self, frame: EventFrame, part: Part, container: Any, key: str | int, *, is_last: bool
    ) -> Iterator[Event]:
        """A place that says all of a part so far, or, with `is_last`, all of it. Only what is new becomes an event.

        What contradicts the deltas is not taken: the writer fills the place with what was released.
        """
        value = container[key]
        if value is not None and not isinstance(value, str):
            yield from self._value(frame, container, key, value)
            return
        if value and not part.is_finished:
            said, text = part.so_far(), clean(value)
            if text.startswith(said) and len(text) > len(said):
                rest = text[len(said) :]
                part.said.append(rest)
                yield TextDelta(self._lane(part), rest, PartSlot(frame, container, key, rest, part))
        frame.repeats.append((part, container, key))
        if is_last:
            yield from self.finish(part)

    def finish(self, part: Part) -> Iterator[Event]:
        """No text of the part follows."""
        if part.is_finished:
            return
        part.is_finished = True
        self._open.pop(part.key, None)
        if part.lane is not None:
            if rest := part.rest():
                yield TextDelta(part.lane, rest)
            yield Finish(part.lane.choice, "stop", part)

    def finish_all(self) -> Iterator[Event]:
        """No text of any part follows."""
        for part in list(self._open.values()):
            yield from self.finish(part)

    # Single texts.

    def _part(self, index: int, name: str, place: int = 0, path: Any = None) -> Part:
        key = (index, name, place)
        part = self._parts.get(key)
        if part is None:
            if len(self._parts) >= _MOST_PARTS:
                raise BadAnswer("too_many_parts")
            kind = KINDS.get(name)
            if kind is None:
                part = Part(key, Channel.OTHER, name.partition(" ")[0].removesuffix(".delta"), path)
            elif kind.channel is Channel.ANSWER and self._is_structured and not self._is_prompt_structured:
                # Only the response says that its text is JSON: it is read like what a tool gets, and not written into.
                part = Part(key, Channel.TOOL_ARGUMENTS, kind.event)
            else:
                part = Part(key, kind.channel, kind.event)
            self._parts[key] = part
        return part

    def _lane(self, part: Part) -> Lane:
        if part.lane is None:
            part.lane = Lane(self._choices, part.channel)
            self._choices += 1
            self._open[part.key] = part
        return part.lane

    def _below(
        self, frame: EventFrame, value: Any, skipped: set[str] | frozenset[str], depth: int = 0
    ) -> Iterator[Event]:
        """Every text below `value` as a whole one."""
        if depth > _MOST_DEPTH:
            raise BadAnswer("nested_too_deeply")
        if isinstance(value, dict):
            for key, item in value.items():
                if key not in skipped and item is not None:
                    yield from self._value(frame, value, key, item, depth)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self._value(frame, value, position, item, depth)

    def _value(self, frame: EventFrame, container: Any, key: str | int, value: Any, depth: int = 0) -> Iterator[Event]:
        if isinstance(value, str):
            if not value or (key in _NOT_TEXT and is_mere(value)):
                return
            text = clean(value)
            if text != value:
                container[key] = text
                frame.raw = b""
            channel = Channel.TOOL_NAME if key in _TOOL_NAMES else Channel.OTHER
            yield TextDelta(self._whole(channel), text, PartSlot(frame, container, key, text, None))
        elif key == "arguments" and isinstance(value, dict) and value:
            slot = ObjectSlot(frame, container, key, ())
            yield TextDelta(self._whole(Channel.TOOL_ARGUMENTS), slot.value, slot)
        elif isinstance(value, (dict, list)):
            odd = tuple(name for name in value if not is_name(name)) if isinstance(value, dict) else ()
            if odd:
                self._asides.append(Attached(_ASIDE, odd, Attachment(frame, container, key, value)))
            yield from self._below(frame, value, frozenset(), depth + 1)

    def _whole(self, channel: Channel) -> Lane:
        self._wholes += 1
        return Lane(_WHOLE, channel, self._wholes)

    def _logprobs(self, frame: EventFrame, part: Part, container: dict[str, Any]) -> None:
        logprobs = container.get("logprobs")
        if logprobs:
            attachment = Attachment(frame, container, "logprobs", logprobs)
            frame.logprobs[id(attachment)] = part
            self._asides.append(Attached(_ASIDE, tuple(joined_strings(logprobs)), attachment))


class EventStreamReader(_Texts):
    """The events of a streamed response."""

    def __init__(self, prompt: Prompt, event_bytes: int) -> None:
        super().__init__(prompt)
        self._events = EventReader(event_bytes)
        self._is_done = False
        self._has_failed = False

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
            if not self._has_failed:
                raise BadAnswer("incomplete")
            self._is_done = True
            events += [*self.finish_all(), End()]
        return events

    def _read(self, event: ServerEvent, events: list[Event]) -> None:
        if self._is_done or event.data == b"[DONE]":
            return  # what follows the last snapshot is not part of the answer
        try:
            tree = loads_event(event.data)
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        kind = tree.get("type")
        if kind is None and "error" in tree:
            kind = "error"  # an error in the form of the chat wire
        if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
            raise BadAnswer("bad_event")
        raw = b"" if b"\n" in event.data or b"\r" in event.data else event.data
        frame = EventFrame(tree, raw, kind, self._marks)
        name = DELTAS.get(kind)
        if name is not None and isinstance(tree.get("delta"), str) and tree.keys() <= _DELTA_MEMBERS:
            self._delta(frame, tree, name, events)
            return
        events += self.marked(frame, self._marked(frame, tree, kind))
        if kind in ENDINGS:
            self._is_done = True
            events.append(End())

    def _delta(self, frame: EventFrame, tree: dict[str, Any], name: str, events: list[Event]) -> None:
        """A delta with nothing unknown about it: most events of a stream."""
        part = self._part_of(tree, name)
        if part.is_finished:
            raise BadAnswer("text_after_done")
        self._addressed(frame, tree)
        value: str = tree["delta"]
        text = part.joined(value)
        if text != value:
            tree["delta"] = text
            frame.raw = b""
        if text:
            part.said.append(text)
            events.append(TextDelta(self._lane(part), text, PartSlot(frame, tree, "delta", text, part)))
        logprobs = tree.get("logprobs")
        if logprobs:
            attachment = Attachment(frame, tree, "logprobs", logprobs)
            frame.logprobs[id(attachment)] = part
            events.append(Attached(part.lane or _ASIDE, tuple(joined_strings(logprobs)), attachment))
        elif not text:
            events += self.marked(frame, iter(()))

    @staticmethod
    def _addressed(frame: EventFrame, tree: dict[str, Any]) -> None:
        """An address is a name; what hides lengths is dropped where it could say something."""
        name = tree.get("item_id")
        if name is not None and not (isinstance(name, str) and is_name(name)):
            raise BadAnswer("bad_item_id")
        if "obfuscation" in tree and not is_mere(tree["obfuscation"]):
            del tree["obfuscation"]
            frame.raw = b""

    def _marked(self, frame: EventFrame, tree: dict[str, Any], kind: str) -> Iterator[Event]:
        self._addressed(frame, tree)
        if kind in _LIFE or kind in ENDINGS:
            yield from self.response(frame, tree.get("response"), is_last=kind in ENDINGS)
            yield from self._below(frame, tree, _DELTA_MEMBERS | {"response"})
        elif kind in ("response.output_item.added", "response.output_item.done"):
            yield from self._item_event(frame, tree, is_last=kind.endswith("done"))
        elif kind in ("response.content_part.added", "response.content_part.done"):
            yield from self._content_event(frame, tree, "content_index", is_last=kind.endswith("done"))
        elif kind in ("response.reasoning_summary_part.added", "response.reasoning_summary_part.done"):
            yield from self._content_event(frame, tree, "summary_index", is_last=kind.endswith("done"))
        elif kind in DONES:
            yield from self._done(frame, tree, DONES[kind])
        elif kind == _PARTIAL:
            yield from self.picture(frame, tree, "partial_image_b64")
            yield from self._below(frame, tree, _DELTA_MEMBERS | {"partial_image_b64"})
        elif kind == _SOUND:
            raise BadAnswer(UNLABELLED)
        elif kind.endswith(".delta"):
            yield from self._unknown_delta(frame, tree, kind)
        else:
            if kind == "response.output_text.annotation.added" and isinstance(tree.get("annotation"), dict):
                frame.annotations.append((self._part_of(tree, "text"), tree["annotation"]))
            elif kind == "error":
                self._has_failed = True
                yield from self.finish_all()
            elif kind.endswith(".done"):
                yield from self._finish_unknown(tree, kind.removesuffix(".done"))
            yield from self._below(frame, tree, _DELTA_MEMBERS - {"delta"})

    def _item_event(self, frame: EventFrame, tree: dict[str, Any], *, is_last: bool) -> Iterator[Event]:
        item = tree.get("item")
        if item is not None:
            index = self._index(tree)
            if isinstance(item, dict) and (name := _word(item.get("id"))):
                self._indexes[name] = index
            yield from self.item(frame, index, item, is_last=is_last)
        yield from self._below(frame, tree, _DELTA_MEMBERS | {"item"})

    def _content_event(self, frame: EventFrame, tree: dict[str, Any], place: str, *, is_last: bool) -> Iterator[Event]:
        yield from self.content(frame, self._index(tree), _number(tree, place), tree.get("part"), is_last=is_last)
        yield from self._below(frame, tree, _DELTA_MEMBERS | {"part"})

    def _done(self, frame: EventFrame, tree: dict[str, Any], name: str) -> Iterator[Event]:
        part, member = self._part_of(tree, name), KINDS[name].member
        if member in tree:
            yield from self.repeat(frame, part, tree, member, is_last=True)
        else:
            yield from self.finish(part)
        self._logprobs(frame, part, tree)
        yield from self._below(frame, tree, _DELTA_MEMBERS | {member})

    def _unknown_delta(self, frame: EventFrame, tree: dict[str, Any], kind: str) -> Iterator[Event]:
        """A delta of a type, or with members, that this codec does not know: each place is a part of its own."""
        frame.is_delta = True
        index, place = self._index(tree), _place(tree)
        known = DELTAS.get(kind)
        texts = list(unknown_texts(tree, (), _DELTA_MEMBERS - {"delta"}))
        for container, key, value, path in texts:
            if known is not None and path == ("delta",):
                part = self._part_of(tree, known)
            else:
                part = self._part(index, f"{kind} {path}", place, path)
            if part.is_finished:
                raise BadAnswer("text_after_done")
            text = part.joined(value)
            if text != value:
                container[key] = text
                frame.raw = b""
            if text:
                part.said.append(text)
                yield TextDelta(self._lane(part), text, PartSlot(frame, container, key, text, part))
        if known is not None:
            self._logprobs(frame, self._part_of(tree, known), tree)

    def _finish_unknown(self, tree: dict[str, Any], event: str) -> Iterator[Event]:
        index, place = self._index(tree), _place(tree)
        for part in list(self._open.values()):
            if part.event == event and part.output_index == index and part.key[2] == place:
                yield from self.finish(part)

    def _index(self, tree: dict[str, Any]) -> int:
        if "output_index" in tree:
            return _number(tree, "output_index")
        return self._indexes.get(_word(tree.get("item_id")), 0)

    def _part_of(self, tree: dict[str, Any], name: str) -> Part:
        place = KINDS[name].index
        return self._part(self._index(tree), name, _number(tree, place) if place else 0)


class ResponseReader(_Texts):
    """One plain response, or of its items one list or a single one."""

    def __init__(self, prompt: Prompt, *, form: Form = "response") -> None:
        super().__init__(prompt)
        self._form = form
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        try:
            tree = loads_event(bytes(self._body))
        except ValueError:
            raise BadAnswer("invalid_json") from None
        if not isinstance(tree, dict):
            raise BadAnswer("not_an_object")
        frame = EventFrame(tree, b"", "")
        if self._form == "item":
            found = self.item(frame, 0, tree, is_last=True)
        elif self._form == "list":
            if not isinstance(tree.get("data"), list):
                raise BadAnswer("no_items")
            found = self._list(frame, tree)
        else:
            if not isinstance(tree.get("output"), list):
                raise BadAnswer("no_output")
            found = self.response(frame, tree, is_last=True)
        return [*self.marked(frame, found), End(frame)]

    def _list(self, frame: EventFrame, tree: dict[str, Any]) -> Iterator[Event]:
        for position, item in enumerate(tree["data"]):
            yield from self.item(frame, position, item, is_last=True)
        yield from self._below(frame, tree, frozenset({"data", "first_id", "last_id"}))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(tree: Mapping[str, Any], key: str) -> int:
    value = tree.get(key, 0)
    if not isinstance(value, int) or value < 0:
        raise BadAnswer("bad_index")
    return value


def _place(tree: Mapping[str, Any]) -> int:
    """Which of its like in one item an event of an unknown type speaks of."""
    return max(_number(tree, key) for key in ("content_index", "summary_index", "command_index"))


def _tokens(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else -1
