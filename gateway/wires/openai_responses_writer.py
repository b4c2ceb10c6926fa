# SPDX-License-Identifier: Apache-2.0
"""Answers of the OpenAI Responses API, written: events of ours to the wire's events or to one response.

What must hold: whatever place of the answer says a text, it says what was released of it, with the words that duties
added; `sequence_number` counts every event that leaves, without a gap; an answer that a duty stopped ends as the wire
ends one, with every item closed, `status` "incomplete" and the reason `content_filter`.

Words that stand before a text leave in the same event as its first piece, so that a stream that is read a second time
(`starting_after`) has the same numbers, whether or not the first reading began with a notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Media, Opaque, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.wires.frames import Attachment, Slot, built, mere_names
from gateway.wires.framing import as_it_came, encoded
from gateway.wires.media import require_labelled
from gateway.wires.media_answer import STOPPED, MediaSlot
from gateway.wires.openai_errors import error_object
from gateway.wires.openai_responses_parts import (
    CONTENT_KINDS,
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

_STOPPED: Final[Mapping[str, Any]] = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}

_KEPT: Final = (
    "id", "object", "created_at", "model", "background", "previous_response_id", "parallel_tool_calls", "service_tier",
    "store", "temperature", "top_p", "max_output_tokens", "usage",
)  # fmt: skip
"""Members of a plain response that are kept when its texts may not be shown; no text is among them."""

_ADDRESS: Final = ("type", "item_id", "output_index", "content_index", "summary_index", "command_index")


class _Filler:
    """Keeps what was released, and fills the places of frames with it; what streams and plain answers share."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.heads: dict[Lane, list[str]] = {}
        """Words of ours that wait for the text that they belong to."""
        self.open: dict[Lane, Part] = {}
        self.parts: dict[Key, Part] = {}
        self.words = ""
        """What people read about a stop, where it has not been said yet."""
        self.is_stopped = False
        self._is_greeted = False
        self._pieces: dict[int, list[str]] = {}
        """What was released for places that are filled one by one, by the identity of the slot."""
        self._kept: set[int] = set()

    def take(self, slot: PartSlot, part: Part, text: str) -> str:
        """Text of a part, behind the words of ours that wait for it."""
        if text is not slot.value:
            if slot.value[slot.taken : slot.taken + len(text)] != text:
                part.is_masked = True
            slot.taken += len(text)
        lane = part.lane
        assert lane is not None
        if lane not in self.open:
            self.open[lane] = self.parts[part.key] = part
            if lane in self.heads:
                head = "".join(self.heads.pop(lane))
                part.head_chars += len(head)
                return head + text
        return text

    def piece(self, slot: Slot, text: str) -> None:
        """Text of a place that is filled when its frame leaves."""
        self._pieces.setdefault(id(slot), []).append(text)

    def keep(self, attachment: Attachment) -> None:
        """An attachment may leave with its frame."""
        self._kept.add(id(attachment))

    def place(self, event: Media) -> None:
        """A picture leaves with its frame. Raises `BadAnswer` where nobody labelled it."""
        require_labelled(event)
        slot = event.carrier
        if isinstance(slot, MediaSlot):
            slot.frame.raw = b""
            slot.put(event.data)
            self.keep(slot)

    def fill(self, frame: EventFrame) -> None:
        """Put into every place of `frame` what was released, and nothing else."""
        changed = False
        for slot in frame.slots():
            if frame.is_delta or not isinstance(slot, PartSlot) or slot.part is None:
                text = "".join(self._pieces.pop(id(slot), ()))
                if text != slot.value:
                    slot.put(text)
                    changed = True
        for attachment in frame.attachments():
            part = frame.logprobs.get(id(attachment))
            if id(attachment) not in self._kept or (part is not None and part.is_masked):
                attachment.put(None if part is None else [])
                changed = True
            self._kept.discard(id(attachment))
        for part, container, key in frame.repeats:
            part.released += part.pending
            part.pending.clear()
            part.is_shown = True
            self.parts[part.key] = part
            text = part.text()
            if container[key] != text and (text or container[key] is not None):
                container[key] = text
                changed = True
        for part, annotation in frame.annotations:
            if part.head_chars:
                for key in ("start_index", "end_index"):
                    if isinstance(annotation.get(key), int):
                        annotation[key] += part.head_chars
                        changed = True
        if changed:
            frame.raw = b""

    def is_repeated(self, text: str) -> bool:
        """Whether words of ours are the notice that an earlier part began with: one answer says it once."""
        notice = self.exchange.head_notice
        if not notice or text.rstrip() != notice.rstrip():
            return False
        was_greeted, self._is_greeted = self._is_greeted, True
        return was_greeted

    def finish(self, event: Finish) -> list[str]:
        """A part has ended, or a duty has stopped the answer: then the words that it wants said."""
        part = event.carrier
        if isinstance(part, Part):
            if part.lane is not None:
                self.open.pop(part.lane, None)
            return []
        if part is not None:
            return []
        self.is_stopped = True
        return self.heads.pop(Lane(event.choice, Channel.ANSWER), [])

    def skeleton(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """A response that no model gave, with the members of `known` that hold no text."""
        return {
            "id": f"resp_{self.exchange.record_id.replace('-', '')}",
            "object": "response",
            "created_at": int(self.exchange.started_at),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.exchange.model,
            "output": [],
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": None,
            **mere_names(known, _KEPT),
        }

    def message(self, words: str, status: str) -> dict[str, Any]:
        """An output item that says `words`; none of them yet where it is in progress."""
        text = {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
        return {
            "id": f"msg_{self.exchange.record_id.replace('-', '')}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [text] if status != "in_progress" else [],
        }

    def told_beside(self, words: str) -> None:
        """Words that may not stand in the text, because it must be machine-readable."""
        if words and not any(notice["kind"] == "answer_stopped" for notice in self.exchange.notices):
            self.exchange.notices.append({"kind": "answer_stopped", "text": words})

    def stamp(self, tree: dict[str, Any], *, is_last: bool) -> None:
        """Put the label, and at the end the notices, beside everything else."""
        if self.exchange.label is not None:
            tree["aigc"] = self.exchange.label
        if is_last and self.exchange.notices:
            tree["notices"] = self.exchange.notices


class EventStreamWriter(_Filler):
    """A streamed response. Events up to number `starting_after` are counted and not sent."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, exchange: Exchange, starting_after: int = -1) -> None:
        super().__init__(exchange)
        self._starting_after = starting_after
        self._number = -1
        self._is_begun = False
        self._last: EventFrame | None = None
        """The last snapshot, or an error: it waits until the stream is complete."""
        self._base: dict[str, Any] | None = None
        self._items: dict[int, dict[str, Any]] = {}
        self._closed: set[int] = set()
        self._contents: dict[tuple[int, str, int], dict[str, Any]] = {}
        """Content parts of items that are not complete: output index, `content` or `summary`, index."""
        self._annotations: dict[tuple[int, str, int], list[Any]] = {}
        self._is_told = False
        self._marks = 0
        self._waiting: list[TextDelta | Attached] = []
        """Texts that have overtaken the event that announces them."""

    def keep_alive(self) -> bytes:
        """A comment line (WHATWG HTML section 9.2.7)."""
        return b": keep-alive\n\n"

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`."""
        out: list[bytes] = []
        self._write(events, out)
        return b"".join(out)

    def broken(self, code: str, message: str) -> bytes:
        """The wire's own error event; the answer ends with it."""
        out: list[bytes] = []
        tree = {"type": "error", "code": code, "message": message, "param": None}
        self.stamp(tree, is_last=True)
        self._starting_after = -1
        self._send(EventFrame(tree, b"", "error"), out)
        return b"".join(out)

    # What the duties let through.

    def _write(self, events: Sequence[Event], out: list[bytes]) -> None:
        position, count = 0, len(events)
        while position < count:
            event = events[position]
            position += 1
            if isinstance(event, TextDelta):
                if self._is_early(event):
                    self._waiting.append(event)
                elif self._text(event, events[position] if position < count else None, out):
                    position += 1
            elif isinstance(event, Media):
                self.place(event)
            elif isinstance(event, Opaque):
                assert isinstance(event.carrier, EventFrame)
                self._marked(event.carrier, out)
                self._catch_up(out)
            elif isinstance(event, Attached):
                if self._is_early(event):
                    self._waiting.append(event)
                else:
                    self._attached(event, out)
            elif isinstance(event, Finish):
                self._finish(event, out)
            elif isinstance(event, End):
                self._end(out)

    def _is_early(self, event: TextDelta | Attached) -> bool:
        """Whether an event that must leave before this one has not come yet."""
        frame = getattr(event.carrier, "frame", None)
        return isinstance(frame, EventFrame) and frame.after > self._marks

    def _catch_up(self, out: list[bytes]) -> None:
        """Texts that waited for an event that has left."""
        if self._waiting:
            ready = [event for event in self._waiting if not self._is_early(event)]
            self._waiting = [event for event in self._waiting if self._is_early(event)]
            self._write(ready, out)

    def _text(self, event: TextDelta, follows: Event | None, out: list[bytes]) -> bool:
        """A text leaves, or waits for its frame. True where what follows, its tokens, has left with it."""
        slot, text = event.carrier, event.text
        if slot is None:
            self._ours(event.lane, text, out)
            return False
        assert isinstance(slot, Slot)
        if not isinstance(slot, PartSlot) or slot.part is None:
            self.piece(slot, text)
            return False
        part, frame = slot.part, slot.frame
        assert isinstance(frame, EventFrame)
        said = self.take(slot, part, text)
        if frame.is_marked:
            if frame.is_delta and not frame.is_sent:
                self.piece(slot, said)
                part.released.append(said)
                part.has_deltas = True
                part.template = frame.tree
            elif frame.is_sent or part.has_deltas:
                self._say(part, said, out)
            else:
                part.pending.append(said)
            return False
        tokens = follows.carrier if isinstance(follows, Attached) else None
        if not isinstance(tokens, Attachment) or tokens.frame is not frame:
            tokens = None
        logprobs = tokens.value if tokens is not None and not part.is_masked else []
        if frame.is_sent:
            self._say(part, said, out, logprobs)
            return tokens is not None
        frame.is_sent = True
        if said is not slot.value:
            slot.put(said)
            frame.raw = b""
        if not logprobs and frame.tree.get("logprobs"):
            frame.tree["logprobs"] = []
            frame.raw = b""
        part.released.append(said)
        part.is_shown = part.has_deltas = True
        part.template = frame.tree
        self._send(frame, out)
        return tokens is not None

    def _ours(self, lane: Lane, text: str, out: list[bytes]) -> None:
        """Words that a duty adds: before the text of the lane, or behind it."""
        if self.is_repeated(text):
            return
        part = self.open.get(lane)
        if part is None or self.exchange.outcome in (Outcome.STOPPED, Outcome.REFUSED):
            # What is said about a stop is sorted out when the stop comes, behind the words.
            self.heads.setdefault(lane, []).append(text)
        elif part.pending:
            part.pending.append(text)
        else:
            self._say(part, text, out)

    def _attached(self, event: Attached, out: list[bytes]) -> None:
        """Tokens whose text has left before, or a member of a frame that is on its way."""
        attachment = event.carrier
        assert isinstance(attachment, Attachment) and isinstance(attachment.frame, EventFrame)
        frame = attachment.frame
        if frame.is_marked:
            self.keep(attachment)
            return
        part = frame.logprobs[id(attachment)]
        if part.is_masked:
            return
        if frame.is_sent:
            self._say(part, "", out, attachment.value)
        else:
            frame.is_sent = True
            self._send(frame, out)

    def _marked(self, frame: EventFrame, out: list[bytes]) -> None:
        self.fill(frame)
        frame.is_sent = True
        self._marks += 1
        self._learn(frame)
        if frame.kind in ENDINGS or frame.kind == "error":
            self._flush(out)
            self._last = frame
        else:
            self._send(frame, out)

    def _finish(self, event: Finish, out: list[bytes]) -> None:
        words = self.finish(event)
        if self.is_stopped:
            self._waiting.clear()
        if not words:
            return
        last = words.pop()
        part = self.open.get(Lane(event.choice, Channel.ANSWER))
        if part is None or not part.is_shown:
            self.words = self.words or last
            return
        if not self._is_told:
            self._is_told = True
            words.append(last)
        # What waited for an event that will not come was released: it leaves like any delta.
        words[:0] = part.pending
        part.pending.clear()
        self._say(part, "".join(words), out)

    def _end(self, out: list[bytes]) -> None:
        if self.is_stopped:
            self._close_down(out)
        elif self._last is not None:
            frame, self._last = self._last, None
            response = frame.tree.get("response")
            if isinstance(response, dict):
                _sum_up(response)
                self.stamp(response, is_last=True)
            frame.raw = b""
            self.stamp(frame.tree, is_last=True)
            self._send(frame, out)

    # How it leaves.

    def _say(self, part: Part, text: str, out: list[bytes], logprobs: Any = ()) -> None:
        """A small event with a piece of the text of `part`."""
        if not text and not logprobs:
            return
        template = part.template or self._address(part)
        tree = {key: template[key] for key in _ADDRESS if key in template}
        tree |= built(part.path, text)
        if part.key[1] == "text":
            tree["logprobs"] = list(logprobs)
        part.released.append(text)
        part.is_shown = part.has_deltas = True
        self._send(EventFrame(tree, b"", tree["type"]), out)

    def _address(self, part: Part) -> dict[str, Any]:
        index, name, place = part.key
        address = {"type": f"{part.event}.delta", "item_id": self._id(index), "output_index": index}
        kind = KINDS.get(name)
        if kind is not None and kind.index:
            address[kind.index] = place
        return address

    def _id(self, index: int) -> Any:
        return self._items.get(index, {}).get("id", "")

    def _emit(self, tree: dict[str, Any], out: list[bytes]) -> None:
        self._send(EventFrame(tree, b"", tree["type"]), out)

    def _send(self, frame: EventFrame, out: list[bytes]) -> None:
        self._flush(out)
        tree = frame.tree
        number = tree.get("sequence_number")
        if self._number < 0:
            self._number = number if isinstance(number, int) and number >= 0 else 0
        if number != self._number or number is True:
            tree["sequence_number"] = self._number
            frame.raw = b""
        self._number += 1
        if self._number - 1 <= self._starting_after:
            return
        if not self._is_begun:
            self._is_begun = True
            self.stamp(tree, is_last=False)
            frame.raw = b""
        out.append(b"event: %s\ndata: %s\n\n" % (frame.kind.encode(), as_it_came(frame)))

    def _flush(self, out: list[bytes]) -> None:
        if self._last is not None:
            frame, self._last = self._last, None
            self._send(frame, out)

    def _learn(self, frame: EventFrame) -> None:
        """What a stop needs to know of the events that have left."""
        tree, kind = frame.tree, frame.kind
        index = tree.get("output_index", 0)
        if kind in ("response.output_item.added", "response.output_item.done"):
            if isinstance(tree.get("item"), dict):
                self._items[index] = tree["item"]
                if kind.endswith("done"):
                    self._closed.add(index)
        elif kind == "response.content_part.added":
            self._contents[(index, "content", tree.get("content_index", 0))] = tree["part"]
        elif kind == "response.reasoning_summary_part.added":
            self._contents[(index, "summary", tree.get("summary_index", 0))] = tree["part"]
        elif kind == "response.output_text.annotation.added":
            place = (index, "content", tree.get("content_index", 0))
            self._annotations.setdefault(place, []).append(tree.get("annotation"))
        elif kind in DONES:
            for part, _, _ in frame.repeats:
                part.is_text_done = True
        elif kind.endswith("part.done"):
            for part, _, _ in frame.repeats:
                part.is_text_done = part.is_part_done = True
        elif kind.startswith("response.") and isinstance(tree.get("response"), dict):
            self._base = tree["response"]

    # A stop.

    def _close_down(self, out: list[bytes]) -> None:
        """The wire's own end of an answer that a duty has stopped."""
        self._last = None
        if self._base is None:
            self._base = self.skeleton({})
            if self._number < 0:
                self._emit({"type": "response.created", "response": dict(self._base)}, out)
                self._emit({"type": "response.in_progress", "response": dict(self._base)}, out)
        for index in sorted(self._items.keys() - self._closed):
            self._close_item(index, out)
        words = self.words.lstrip("\n")
        if words and not self._is_told:
            if asks_for_structure(self._base):
                self.told_beside(words)
            else:
                self._say_in_message(words, out)
        response = {**self._base, **_STOPPED, "output": [self._items[index] for index in sorted(self._items)]}
        self.stamp(response, is_last=True)
        tree = {"type": "response.incomplete", "response": response}
        self.stamp(tree, is_last=True)
        self._emit(tree, out)

    def _say_in_message(self, words: str, out: list[bytes]) -> None:
        known = [*self._items, *(part.output_index for part in self.parts.values())]
        index = max(known, default=-1) + 1
        self._items[index] = item = self.message(words, "in_progress")
        self._emit({"type": "response.output_item.added", "output_index": index, "item": dict(item)}, out)
        part = Part((index, "text", 0), Channel.ANSWER, KINDS["text"].event)
        self.parts[part.key] = part
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self._contents[(index, "content", 0)] = empty
        at = {"item_id": item["id"], "output_index": index, "content_index": 0}
        self._emit({"type": "response.content_part.added", **at, "part": dict(empty)}, out)
        self._say(part, words, out)
        self._close_item(index, out)

    def _close_item(self, index: int, out: list[bytes]) -> None:
        """The `.done` events that an item still lacks, with what was released of its texts."""
        item = dict(self._items[index])
        lists: dict[str, dict[int, dict[str, Any]]] = {}
        shown = [part for part in self.parts.values() if part.output_index == index and part.is_shown]
        for (at, member, place), content in self._contents.items():
            if at == index:
                name = CONTENT_KINDS.get(str(content.get("type")))
                lists.setdefault(member, {})[place] = dict(content)
                if name is not None and not any(part.key == (index, name, place) for part in shown):
                    shown.append(Part((index, name, place), KINDS[name].channel, KINDS[name].event))
        commands: dict[int, str] = {}
        for part in shown:
            _, name, place = part.key
            content_type = next((kind for kind, known in CONTENT_KINDS.items() if known == name), "")
            if content_type:
                member = "summary" if name == "summary" else "content"
                content = lists.setdefault(member, {}).setdefault(place, {"type": content_type})
                content[KINDS[name].member] = part.text()
                if name == "text":
                    content["annotations"] = self._annotations.get((index, "content", place), [])
                self._close_part(part, content, out)
            elif name == "command":
                commands[place] = part.text()
            elif name == ITEM_KINDS.get(str(item.get("type"))):
                item[KINDS[name].member] = part.text()
        for member, contents in lists.items():
            item[member] = [contents[place] for place in sorted(contents)]
        if commands and isinstance(item.get("action"), dict):
            item["action"] = {**item["action"], "commands": [commands[place] for place in sorted(commands)]}
        item["status"] = "incomplete"
        self._items[index] = item
        self._closed.add(index)
        self._emit({"type": "response.output_item.done", "output_index": index, "item": item}, out)

    def _close_part(self, part: Part, content: dict[str, Any], out: list[bytes]) -> None:
        address = {key: value for key, value in self._address(part).items() if key != "type"}
        kind = KINDS[part.key[1]]
        if not part.is_text_done:
            tree = {"type": f"{kind.event}.done", **address, kind.member: part.text()}
            self._emit(tree | ({"logprobs": []} if part.key[1] == "text" else {}), out)
        if not part.is_part_done:
            name = "reasoning_summary_part" if kind.index == "summary_index" else "content_part"
            self._emit({"type": f"response.{name}.done", **address, "part": content}, out)


class ResponseWriter(_Filler):
    """One plain response, or of its items one list or a single one.

    A single item and a compaction have no form for an answer that was stopped, so they are the wire's error then.
    """

    content_type = b"application/json"

    def __init__(self, exchange: Exchange, *, form: Form = "response") -> None:
        super().__init__(exchange)
        self._form = form
        self.status = 200

    def keep_alive(self) -> bytes:
        """White space before a JSON document means nothing (RFC 8259 section 2)."""
        return b" "

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document."""
        out = b""
        for event in events:
            if isinstance(event, TextDelta):
                self._text(event)
            elif isinstance(event, Attached):
                assert isinstance(event.carrier, Attachment)
                self.keep(event.carrier)
            elif isinstance(event, Finish):
                words = self.finish(event)
                self.words = self.words or (words[-1] if words else "")
            elif isinstance(event, Media):
                self.place(event)
            elif isinstance(event, Opaque):
                assert isinstance(event.carrier, EventFrame)
                self.fill(event.carrier)
            elif isinstance(event, End):
                tree = event.carrier.tree if isinstance(event.carrier, EventFrame) else {}
                if self.is_stopped and self._form in ("item", "compaction"):
                    self.status = 400
                    out = encoded(error_object(self.status, "content_filter", self.words.strip() or STOPPED))
                else:
                    out = encoded(self._document(tree))
        return out

    def broken(self, code: str, message: str) -> bytes:
        """OpenAI's error object."""
        return encoded(error_object(502, code, message))

    def _text(self, event: TextDelta) -> None:
        slot = event.carrier
        if isinstance(slot, PartSlot) and slot.part is not None:
            slot.part.pending.append(self.take(slot, slot.part, event.text))
        elif isinstance(slot, Slot):
            self.piece(slot, event.text)
        elif self.is_repeated(event.text):
            return
        elif (part := self.open.get(event.lane)) is not None:
            part.pending.append(event.text)
        else:
            self.heads.setdefault(event.lane, []).append(event.text)

    def _document(self, tree: dict[str, Any]) -> dict[str, Any]:
        document = tree
        if self.is_stopped:
            document = self._stopped(tree)
        _sum_up(document)
        self.stamp(document, is_last=True)
        return document

    def _stopped(self, tree: dict[str, Any]) -> dict[str, Any]:
        """A document with nothing of the model's in it."""
        if self._form == "list" or asks_for_structure(tree):
            self.told_beside(self.words)
            self.words = ""
        if self._form == "list":
            return {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
        output = [self.message(self.words, "incomplete")] if self.words else []
        return {**self.skeleton(tree), **_STOPPED, "output": output}


def _sum_up(response: dict[str, Any]) -> None:
    """Some servers say all text once more beside the items: it says what the items say."""
    if "output_text" in response:
        lists = [item.get("content") for item in response.get("output") or () if isinstance(item, dict)]
        contents = [content for contents in lists if isinstance(contents, list) for content in contents]
        response["output_text"] = "".join(
            str(content.get("text", ""))
            for content in contents
            if isinstance(content, dict) and content.get("type") == "output_text"
        )
