# SPDX-License-Identifier: Apache-2.0
"""The answers of DashScope's native protocol, read: server-sent events, whole documents and tasks.

A cumulative stream is read as what is new in each event. Its frames hold only that while they are in the house; the
writer puts before it what already left of the same lane, so a client that shows the last event shows exactly what the
duties let through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.events import Channel, End, Event, Finish, Lane, Media, Opaque, TextDelta, Usage
from gateway.wires.frames import At, Ending, Frame, Path, Slot, odd_names
from gateway.wires.framing import TextFinder, frame_of
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_text import clean, loads_event
from gateway.wires.media_answer import MediaSlot, decoded
from gateway.wires.names import is_name
from gateway.wires.sse import EventReader, ServerEvent

_KNOWN_DOCUMENT = frozenset({"output", "request_id"})
_KNOWN_OUTPUT = frozenset({"text", "finish_reason", "choices", "task_id", "task_status"})
_KNOWN_CHOICE = frozenset({"index", "message", "finish_reason"})
_KNOWN_MESSAGE = frozenset({"role", "content", "reasoning_content", "tool_calls"})
_KNOWN_CALL = frozenset({"index", "id", "type", "function"})
_KNOWN_FUNCTION = frozenset({"name", "arguments"})
_MEDIA = frozenset({"image", "audio", "video", "images"})
"""Members that are media: a link, or data."""
_TELLING = frozenset({"id", "expires_at"})
"""Members beside a medium that name it or say how long it can be had."""
_TIMES = frozenset({"submit_time", "scheduled_time", "end_time"})

DOCUMENT_CHOICE = -1
"""The lane choice of texts that stand in the document beside its choices."""
_RUNNING = (None, "null")
"""What a `finish_reason` is while a choice goes on."""


class LaneSlot(Slot):
    """The place of a text in a cumulative frame: it knows its lane, of which the writer repeats what already left."""

    __slots__ = ("lane",)

    def __init__(self, frame: Frame, container: Any, key: str | int, text: str, path: Path, lane: Lane) -> None:
        super().__init__(frame, container, key, text, path)
        self.lane = lane


class CumulativeFrame(Frame):
    """A frame of a stream whose events repeat what was said."""

    __slots__ = ()


class _DocumentReader(TextFinder):
    """Makes events of one document; what events and whole answers share."""

    def __init__(self, *, is_cumulative: bool = False, is_task: bool = False) -> None:
        super().__init__()
        self.is_cumulative = is_cumulative
        self._is_task = is_task
        self._said: dict[Lane, str] = {}
        self._open: set[int] = set()
        self.has_choices = False

    @property
    def is_finished(self) -> bool:
        """Whether every choice that began has ended."""
        return self.has_choices and not self._open

    def document(self, tree: dict[str, Any], raw: bytes) -> list[Event]:
        """The events of one document. Raises `BadAnswer`."""
        output = tree.get("output")
        if not isinstance(output, dict):
            raise BadAnswer("no_output")
        frame = CumulativeFrame(tree) if self.is_cumulative else Frame(tree, raw)
        events: list[Event] = []
        endings: list[Finish] = []
        choices = output.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise BadAnswer("bad_choices")
        for position, choice in enumerate(choices or ()):
            if not isinstance(choice, dict):
                raise BadAnswer("bad_choice")
            events += self._choice(frame, position, choice, endings)
        if isinstance(output.get("text"), str):
            self.has_choices = True
            self._open.add(0)
            lane = Lane(0, Channel.ANSWER)
            events += self.text(frame, lane, output, "text", output["text"], ("text",))
        elif output.get("text") is not None:
            raise BadAnswer("bad_text")
        if output.get("finish_reason") not in _RUNNING:
            self._end(frame, 0, output, endings)
        events += self._around(frame, tree, output)
        for ending in endings:
            events += [*self.close(ending.choice), ending]
        usage = tree.get("usage")
        if isinstance(usage, Mapping):
            events.append(Usage(_count(usage, "input_tokens"), _count(usage, "output_tokens")))
        if not any(frame_of(event) is frame for event in events):
            events.append(Opaque(frame))
        return events

    def _around(self, frame: Frame, tree: dict[str, Any], output: dict[str, Any]) -> Iterator[Event]:
        """What stands beside the choices."""
        known = _KNOWN_OUTPUT
        yield from _media(frame, 0, output)
        if self._is_task:
            known = known | _TIMES
            yield from _links(frame, output)
        yield from odd_names(frame, tree, ("request_id", "usage"))
        yield from odd_names(frame, output, ("task_id", "task_status"))
        if not output.keys() <= known:
            yield from self.unknown(frame, output, ("output",), known, DOCUMENT_CHOICE)
        if not tree.keys() <= _KNOWN_DOCUMENT:
            yield from self.unknown(frame, tree, (), _KNOWN_DOCUMENT, DOCUMENT_CHOICE)

    def _end(self, frame: Frame, index: int, holder: dict[str, Any], endings: list[Finish]) -> None:
        self._open.discard(index)
        reason = holder["finish_reason"]
        if not isinstance(reason, str) or not is_name(reason):
            raise BadAnswer("bad_reason")
        endings.append(Finish(index, reason, Ending(frame, holder, "finish_reason", holder["finish_reason"])))

    def _choice(self, frame: Frame, position: int, choice: dict[str, Any], endings: list[Finish]) -> Iterator[Event]:
        index = choice.get("index", position)
        message = choice.get("message")
        if not isinstance(index, int) or not (message is None or isinstance(message, dict)):
            raise BadAnswer("bad_choice")
        self.has_choices = True
        self._open.add(index)
        if message:
            yield from self._message(frame, index, message)
        if not choice.keys() <= _KNOWN_CHOICE:
            yield from self.unknown(frame, choice, ("choice",), _KNOWN_CHOICE, index)
        if choice.get("finish_reason") not in _RUNNING:
            self._end(frame, index, choice, endings)

    def _message(self, frame: Frame, index: int, message: dict[str, Any]) -> Iterator[Event]:
        thought = message.get("reasoning_content")
        if isinstance(thought, str):
            lane = Lane(index, Channel.REASONING)
            yield from self.text(frame, lane, message, "reasoning_content", thought, ("reasoning_content",))
        elif thought is not None:
            raise BadAnswer("bad_text")
        yield from _media(frame, index, message)
        content = message.get("content")
        lane = Lane(index, Channel.ANSWER)
        if isinstance(content, str):
            yield from self.text(frame, lane, message, "content", content, ("content",))
        elif isinstance(content, list):
            yield from self._parts(frame, index, content)
        elif content is not None:
            raise BadAnswer("bad_text")
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise BadAnswer("bad_tool_calls")
        for position, call in enumerate(calls or ()):
            yield from self._call(frame, index, position, call)
        yield from odd_names(frame, message, ("role",))
        if not message.keys() <= _KNOWN_MESSAGE:
            yield from self.unknown(frame, message, (), _KNOWN_MESSAGE, index)

    def _parts(self, frame: Frame, index: int, parts: list[Any]) -> Iterator[Event]:
        """Parts of one content: a reader sees their texts as one."""
        texts = 0
        for position, part in enumerate(parts):
            if not isinstance(part, dict):
                raise BadAnswer("bad_part")
            text = part.get("text")
            if isinstance(text, str):
                if texts and self.is_cumulative:
                    raise BadAnswer("bad_part")  # one text a choice is what such streams repeat
                texts += 1
                lane = Lane(index, Channel.ANSWER)
                yield from self.text(frame, lane, part, "text", text, ("content", At(position), "text"))
            yield from _media(frame, index, part)
            known = _MEDIA | {"text"} if isinstance(text, str) else _MEDIA
            if not part.keys() <= known:
                yield from self.unknown(frame, part, ("content", At(position)), known, index)

    def _call(self, frame: Frame, index: int, position: int, call: Any) -> Iterator[Event]:
        item = call.get("index", position) if isinstance(call, dict) else None
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(item, int) or not isinstance(function, dict):
            raise BadAnswer("bad_tool_calls")
        path: Path = ("tool_calls", At(item), "function")
        for key, channel in (("name", Channel.TOOL_NAME), ("arguments", Channel.TOOL_ARGUMENTS)):
            value = function.get(key)
            if isinstance(value, str):
                yield from self.text(frame, Lane(index, channel, item), function, key, value, (*path, key))
            elif value is not None:
                raise BadAnswer("bad_tool_calls")
        if not function.keys() <= _KNOWN_FUNCTION:
            yield from self.unknown(frame, function, path, _KNOWN_FUNCTION, index)
        yield from odd_names(frame, call, ("id", "type"))
        if not call.keys() <= _KNOWN_CALL:
            yield from self.unknown(frame, call, path[:2], _KNOWN_CALL, index)

    def text(
        self, frame: Frame, lane: Lane, container: Any, key: str | int, value: str, path: Path
    ) -> Iterator[TextDelta]:
        """The event of what `container[key]` says that was not said before."""
        if not self.is_cumulative:
            yield from super().text(frame, lane, container, key, value, path)
            return
        if value and "\ud800" <= value[-1] <= "\udbff":
            value = value[:-1]  # half a character: the next event has it whole
        value = clean(value)
        said = self._said.get(lane, "")
        if not value.startswith(said):
            raise BadAnswer("not_cumulative")
        self._said[lane] = value
        container[key] = new = value[len(said) :]
        slot = LaneSlot(frame, container, key, new, path, lane)
        if new:
            yield TextDelta(lane, new, slot)


def _media(frame: Frame, choice: int, holder: dict[str, Any]) -> Iterator[Media]:
    for key in [key for key in holder if key in _MEDIA and holder[key]]:
        kind = key.removesuffix("s")
        value: Any = holder[key]
        places: list[tuple[Any, Any]]
        places = [(value, place) for place in _places(value)] if isinstance(value, list | dict) else [(holder, key)]
        for container, place in places:
            item = container[place]
            if place == "data" and isinstance(item, str):
                yield Media(choice, kind, decoded(item), MediaSlot(frame, container, place, item))
            else:
                link = item if isinstance(item, str) else ""
                yield Media(choice, kind, b"", MediaSlot(frame, container, place, item), link=link)


def _places(value: list[Any] | dict[str, Any]) -> list[Any]:
    """Where media stand in a list, or in an object that names one and tells of it."""
    if isinstance(value, list):
        return [position for position, item in enumerate(value) if item]
    return [key for key, item in value.items() if item and key not in _TELLING]


def _links(frame: Frame, value: Any) -> Iterator[Media]:
    """A link of a task's result is a picture, a sound or a film."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and item and (key == "url" or key.endswith("_url")):
                yield Media(0, "", b"", MediaSlot(frame, value, key, item), link=item)
            else:
                yield from _links(frame, item)
    elif isinstance(value, list):
        for item in value:
            yield from _links(frame, item)


def _count(usage: Mapping[str, Any], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else -1


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        tree = loads_event(raw)
    except ValueError:
        raise BadAnswer("invalid_json") from None
    if not isinstance(tree, dict):
        raise BadAnswer("not_an_object")
    if tree.get("code"):
        raise BadAnswer("error_in_answer")
    return tree


class EventsReader:
    """The events of a stream. `incremental` is what the request said of it, None where it left it open."""

    def __init__(self, event_bytes: int, incremental: bool | None) -> None:
        self._events = EventReader(event_bytes)
        self._reader = _DocumentReader(is_cumulative=incremental is False)
        self._is_decided = incremental is not None
        self._waiting: list[tuple[dict[str, Any], bytes]] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        return self._read(self._events.feed(data))

    def close(self) -> list[Event]:
        """The end of the stream: `BadAnswer` where the upstream broke off."""
        events = self._read(self._events.close())
        self._is_decided = True
        events += self._documents()
        if not self._reader.is_finished:
            raise BadAnswer("incomplete")
        return [*events, *self._reader.close(), End()]

    def _read(self, received: list[ServerEvent]) -> list[Event]:
        for event in received:
            if event.type == b"error":
                raise BadAnswer("error_in_answer")
            self._waiting.append((_parsed(event.data), event.data))
        if not self._is_decided:
            said = [text for tree, _ in self._waiting if (text := _first_text(tree))]
            if len(said) < 2:
                return []
            self._reader.is_cumulative = said[1].startswith(said[0])
            self._is_decided = True
        return self._documents()

    def _documents(self) -> list[Event]:
        events: list[Event] = []
        for tree, raw in self._waiting:
            events += self._reader.document(tree, raw)
        self._waiting.clear()
        return events


def _first_text(tree: Mapping[str, Any]) -> str:
    """The text by which a stream is known to repeat itself or not."""
    output = tree.get("output")
    if not isinstance(output, dict):
        return ""
    if isinstance(output.get("text"), str):
        return str(output["text"])
    choices = output.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else 0
    if not isinstance(message, dict):
        return ""
    for value in (message.get("reasoning_content"), message.get("content")):
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value and isinstance(value[0], dict) and isinstance(value[0].get("text"), str):
            return str(value[0]["text"])
    return ""


class PlainReader:
    """One document."""

    def __init__(self, *, is_task: bool = False) -> None:
        self._body = bytearray()
        self._is_task = is_task

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        raw = bytes(self._body)
        tree = _parsed(raw)
        reader = _DocumentReader(is_task=self._is_task)
        events = reader.document(tree, raw)
        frame = next(frame for event in events if (frame := frame_of(event)) is not None)
        if not reader.has_choices and not self._is_task:
            raise BadAnswer("no_choices")
        return [*events, *reader.close(), End(frame)]
