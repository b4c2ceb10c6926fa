# SPDX-License-Identifier: Apache-2.0
"""Events of one realtime response, read: what they say becomes events of ours, in the lanes of the response's parts.

A part's text is said by its deltas; what later events repeat of it (`.done`, items, `response.done`) adds only what is
new, and is filled with what was let out. Every other string of an event, names of members included, is looked at whole
before the event leaves, in choice -1; names of things pass where they are shaped like names. Sound of the assistant
inside items is left out, because it could carry no label there.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.events import Channel, End, Event, Finish, Lane, TextDelta, Usage
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import clean
from gateway.wires.realtime_parts import (
    ARGUMENTS,
    DELTAS,
    DONES,
    SOUNDS,
    SOUNDS_DONE,
    TEXT,
    TRANSCRIPT,
    Checked,
    Key,
    Outgoing,
    Part,
    Sound,
    Whole,
    is_name,
)

_WHOLE: Final = -1
_MOST_PARTS: Final = 1_000
_MOST_DEPTH: Final = 64
_TOOL_NAMES: Final = frozenset({"name", "server_label"})
_ADDRESS: Final = ("response_id", "item_id", "output_index", "content_index")
_DELTA: Final = frozenset({"type", "event_id", "delta", *_ADDRESS})
_NAMING: Final = frozenset(
    {
        "id", "type", "object", "status", "role", "model", "voice", "format", "reason", "call_id", "item_id",
        "response_id", "previous_item_id", "conversation_id", "approval_request_id", "modalities",
        "output_modalities", "output_audio_format", "phase", "code", "event_id",
    }
)  # fmt: skip
"""Members that name things, where what they say is shaped like a name."""


class ResponseReader:
    """Reads the events of one response, in their order. Raises only `BadAnswer`."""

    def __init__(self, most_sound_bytes: int) -> None:
        self.parts: dict[Key, Part] = {}
        self.items: dict[str, int] = {}
        """The output index of each item, by its id."""
        self._most_sound_bytes = most_sound_bytes
        self._sound_bytes = 0
        self._wholes = 0
        self._ahead: list[Outgoing] = []
        self.is_unspoken = False
        """Whether there was sound that nobody could judge, because no words were said with it."""

    def read(self, tree: dict[str, Any], raw: str) -> tuple[list[Outgoing], list[Event]]:
        """One event: what leaves in its turn, and what it says. Sound is kept with its part."""
        kind = tree["type"]
        out = Outgoing(kind, tree, raw)
        for member in (*_ADDRESS, "event_id"):
            value = tree.get(member)
            if isinstance(value, str) and not is_name(value):
                raise BadAnswer("bad_name")
        if kind in DELTAS:
            return [out], list(self._delta(out, DELTAS[kind]))
        if kind in SOUNDS:
            return self._sound(out), []
        self._wholes = 0
        self._ahead = []
        events: list[Event] = []
        skipped: tuple[str, ...] = ("type", "event_id", *_ADDRESS)
        if kind in DONES:
            name = DONES[kind]
            part = self._part(out, name, kind.removesuffix("done") + "delta")
            events += self._repeat(out, part, tree, name)
            events += self._finish(out, part)
            skipped = (*skipped, name)
        elif kind in SOUNDS_DONE:
            return self._behind_sound(out), []
        elif kind in ("response.content_part.added", "response.content_part.done"):
            index, place = _number(tree, "output_index"), _number(tree, "content_index")
            events += self._content(out, index, place, tree.get("part"))
            if kind.endswith("done"):
                events += self._finish_all(out, index, place)
            skipped = (*skipped, "part")
        elif isinstance(tree.get("item"), dict):
            events += self._item(out, tree, tree["item"])
            skipped = (*skipped, "item")
        elif isinstance(tree.get("response"), dict):
            events += self._response(out, tree["response"])
            skipped = (*skipped, "response")
        events += self._below(out, tree, frozenset(skipped))
        if self._wholes:
            out.is_unchecked = True
            events.append(Finish(_WHOLE, "whole", Checked(out)))
        if kind == "response.done":
            out.is_last = True
            events += self._usage(tree.get("response"))
            events.append(End())
        return [*self._ahead, out], events

    def note(self, tree: Mapping[str, Any]) -> None:
        """Of an event that goes nowhere, remember which items are this response's."""
        item = tree.get("item")
        name = item.get("id") if isinstance(item, dict) else tree.get("item_id")
        if isinstance(name, str) and is_name(name) and len(self.items) < _MOST_PARTS:
            self.items.setdefault(name, len(self.items))

    # Texts that grow.

    def _delta(self, out: Outgoing, name: str) -> Iterator[Event]:
        tree = out.tree
        value = tree.get("delta")
        if not isinstance(value, str):
            raise BadAnswer("bad_delta")
        self._strip(out)
        part = self._part(out, name, out.kind)
        if part.is_finished:
            raise BadAnswer("text_behind_its_end")
        text = part.surrogates.feed(value)
        if text != value:
            out.put(tree, "delta", text)
        yield from self._say(out, part, text)

    @staticmethod
    def _strip(out: Outgoing) -> None:
        """Leave out what stands beside a piece (tokens, padding): it would tell of it unseen."""
        if not out.tree.keys() <= _DELTA:
            out.tree = {key: value for key, value in out.tree.items() if key in _DELTA}
            out.raw = ""

    def _say(self, out: Outgoing, part: Part, text: str) -> Iterator[Event]:
        out.part = part
        out.value = text
        out.left = len(text)
        if text:
            part.seen.append(text)
            part.total += len(text)
            for sound in reversed(part.sounds):
                if sound.until >= 0:
                    break
                sound.until = part.total
            yield TextDelta(part.lane, text, out)

    def _repeat(self, out: Outgoing, part: Part, container: dict[str, Any], key: str) -> Iterator[Event]:
        """A place that says all of a part. What contradicts its deltas is not taken."""
        value = container.get(key)
        if value is not None and not isinstance(value, str):
            raise BadAnswer("bad_text")
        if value and not part.is_finished:
            said, text = "".join(part.seen), clean(value)
            if text.startswith(said) and len(text) > len(said):
                rest = text[len(said) :]
                ahead = Outgoing(part.delta, {"type": part.delta, **part.template, "delta": rest}, "")
                self._ahead.append(ahead)
                yield from self._say(ahead, part, rest)
        out.fills.append((part, container, key))
        out.waits.append(part)

    def _finish(self, out: Outgoing, part: Part) -> Iterator[Event]:
        """No text of the part follows."""
        out.waits.append(part)
        if not part.is_finished:
            if late := part.surrogates.close():
                yield TextDelta(part.lane, late)
            part.is_finished = True
            self.is_unspoken = self.is_unspoken or (bool(part.sounds) and not part.has_transcript)
            yield Finish(part.lane.choice, "stop", part)

    def _finish_all(self, out: Outgoing, index: int = -1, place: int = -1) -> Iterator[Event]:
        for key, part in self.parts.items():
            if index in (-1, key[0]) and place in (-1, key[1]):
                yield from self._finish(out, part)

    def _part(self, out: Outgoing, name: str, delta: str, index: int = -1, place: int = -1, item: Any = "") -> Part:
        tree = out.tree
        if index < 0:
            index, place = _number(tree, "output_index"), _number(tree, "content_index")
        key = (index, place, name)
        part = self.parts.get(key)
        if part is None:
            if len(self.parts) >= _MOST_PARTS:
                raise BadAnswer("too_many_parts")
            part = self.parts[key] = Part(key, len(self.parts), delta)
            names = {"response_id": tree.get("response_id"), "item_id": tree.get("item_id", item)}
            part.template = {member: value for member, value in names.items() if isinstance(value, str) and value}
            part.template |= {"output_index": index} | ({"content_index": place} if name != ARGUMENTS else {})
            if isinstance(part.template.get("item_id"), str):
                self.items.setdefault(part.template["item_id"], index)
        part.delta = part.delta or delta
        return part

    def _sound(self, out: Outgoing) -> list[Outgoing]:
        value = out.tree.get("delta")
        if not isinstance(value, str):
            raise BadAnswer("bad_delta")
        try:
            self._sound_bytes += len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise BadAnswer("bad_sound") from None
        if self._sound_bytes > self._most_sound_bytes:
            raise BadAnswer("sound_too_large")
        self._strip(out)
        return self._behind_sound(out)

    def _behind_sound(self, out: Outgoing) -> list[Outgoing]:
        """Keep sound, and the word that it is over, with their part while its words still come."""
        part = self._part(out, TRANSCRIPT, "")
        if part.is_finished:
            self.is_unspoken = self.is_unspoken or (out.kind in SOUNDS and not part.has_transcript)
            out.waits.append(part)
            return [out]
        part.sounds.append(Sound(out, -1))
        return []

    # Texts that come whole.

    def _response(self, out: Outgoing, response: dict[str, Any]) -> Iterator[Event]:
        output = response.get("output")
        if output is not None and not isinstance(output, list):
            raise BadAnswer("bad_output")
        for item in output or ():
            if not isinstance(item, dict):
                raise BadAnswer("bad_item")
            yield from self._item(out, out.tree, item)
        if out.kind == "response.done":
            yield from self._finish_all(out)
        yield from self._below(out, response, frozenset({"output"}))

    def _item(self, out: Outgoing, tree: dict[str, Any], item: dict[str, Any]) -> Iterator[Event]:
        """One item: of `response.done`, of an event about it, or of the conversation."""
        name = item.get("id")
        if isinstance(name, str) and name in self.items:
            index = self.items[name]
        else:
            index = _number(tree, "output_index") if "output_index" in tree else len(self.items)
            if isinstance(name, str):
                if not is_name(name) or len(self.items) >= _MOST_PARTS:
                    raise BadAnswer("bad_name")
                self.items[name] = index
        skipped: set[str] = set()
        content = item.get("content")
        if item.get("role", "assistant") == "assistant" and isinstance(content, list):
            skipped.add("content")
            for place, part in enumerate(content):
                yield from self._content(out, index, place, part, name)
        if isinstance(item.get("arguments"), str):
            skipped.add("arguments")
            yield from self._arguments(out, index, item)
        if out.kind == "response.output_item.done" or (out.kind == "conversation.item.done"):
            yield from self._finish_all(out, index)
        yield from self._below(out, item, frozenset(skipped))

    def _arguments(self, out: Outgoing, index: int, item: dict[str, Any]) -> Iterator[Event]:
        key = (index, 0, ARGUMENTS)
        if key in self.parts or item["arguments"]:
            is_mcp = str(item.get("type")).startswith("mcp")
            kind = "response.mcp_call_arguments.delta" if is_mcp else "response.function_call_arguments.delta"
            part = self._part(out, ARGUMENTS, kind, index, 0, item.get("id"))
            yield from self._repeat(out, part, item, "arguments")

    def _content(self, out: Outgoing, index: int, place: int, content: Any, item: Any = "") -> Iterator[Event]:
        if not isinstance(content, dict):
            raise BadAnswer("bad_content")
        skipped = set()
        for name in (TEXT, TRANSCRIPT):
            if isinstance(content.get(name), str):
                skipped.add(name)
                if (index, place, name) in self.parts or content[name]:
                    is_beta = content.get("type") in ("text", "audio") and out.kind != "response.content_part.added"
                    part = self._part(out, name, _delta_kind(name, is_beta=is_beta), index, place, item)
                    yield from self._repeat(out, part, content, name)
        if content.get("audio") is not None:
            out.put(content, "audio", None)
        yield from self._below(out, content, frozenset(skipped))

    def _below(self, out: Outgoing, value: Any, skipped: frozenset[str], depth: int = 0) -> Iterator[Event]:
        """Every text below `value`, as a whole one."""
        if depth > _MOST_DEPTH:
            raise BadAnswer("nested_too_deeply")
        if isinstance(value, dict):
            for key, item in value.items():
                if not is_name(key):
                    yield from self._whole(out, None, "", key)
                if key not in skipped:
                    yield from self._value(out, value, key, item, depth)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self._value(out, value, position, item, depth)

    def _value(self, out: Outgoing, container: Any, key: str | int, value: Any, depth: int) -> Iterator[Event]:
        if isinstance(value, str):
            if value and not (key in _NAMING and is_name(value)):
                text = clean(value)
                if text != value:
                    out.put(container, key, text)
                yield from self._whole(out, container, key, text)
        elif isinstance(value, dict | list) and not (key in _NAMING and _is_list_of_names(value)):
            yield from self._below(out, value, frozenset(), depth + 1)

    def _whole(self, out: Outgoing, container: Any, key: str | int, text: str) -> Iterator[Event]:
        self._wholes += 1
        slot = Whole(out, container, key, text)
        out.slots.append(slot)
        out.left += len(text)
        yield TextDelta(
            Lane(_WHOLE, Channel.TOOL_NAME if key in _TOOL_NAMES else Channel.OTHER, self._wholes), text, slot
        )

    def _usage(self, response: Any) -> Iterator[Event]:
        usage = response.get("usage") if isinstance(response, Mapping) else None
        if isinstance(usage, Mapping):
            counts = [usage.get(name) for name in ("input_tokens", "output_tokens")]
            if all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53 for count in counts):
                yield Usage(*counts)  # type: ignore[arg-type]  # all are integers


def _delta_kind(name: str, *, is_beta: bool) -> str:
    """The type of a part's events, where only a snapshot told of it."""
    stem = "audio_transcript" if name == TRANSCRIPT else "text"
    return f"response.{stem}.delta" if is_beta else f"response.output_{stem}.delta"


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and is_name(item) for item in value)


def _number(tree: Mapping[str, Any], member: str) -> int:
    value = tree.get(member, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10_000:
        raise BadAnswer("bad_index")
    return value
