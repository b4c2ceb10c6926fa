# SPDX-License-Identifier: Apache-2.0
"""Events of one realtime response, written: in the upstream's order, each once all that it says was let out.

What must hold:
- what passes unchanged goes out as it came; what repeats a text says what has left of it, and nothing else;
- sound leaves behind the words that it was judged by, and never before its label;
- the first event of the response and the last carry the seven-key object;
- a response that a duty or a fault ended is closed in the wire's own words: every part and item that was begun gets its
  `.done` events, and `response.done` says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gateway.events import End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange
from gateway.wires.frames import Frame
from gateway.wires.framing import as_it_came, encoded
from gateway.wires.interfaces import BadAnswer
from gateway.wires.realtime_parts import (
    ARGUMENTS,
    DELTAS,
    DONES,
    SOUNDS,
    TEXT,
    TRANSCRIPT,
    Checked,
    Key,
    Outgoing,
    Part,
    Whole,
)

STOPPED: Final = ("incomplete", {"type": "incomplete", "reason": "content_filter"})
"""Status of a response that a duty ended, and its details."""


def failed(code: str, message: str) -> tuple[str, dict[str, Any]]:
    """Status of a response that broke, and its details."""
    return "failed", {"type": "failed", "error": {"type": "server_error", "code": code, "message": message}}


def written(tree: dict[str, Any], raw: str) -> str:
    """An event as it leaves: as it came where nothing was changed (`raw`, else empty) and every member stands once."""
    return as_it_came(Frame(tree, raw.encode())).decode()


class ResponseWriter:
    """Writes one response. `last` is its last event, once it is known; it is handed over, not given by `flush`."""

    content_type = b"application/json"

    def __init__(
        self,
        exchange: Exchange,
        parts: Mapping[Key, Part],
        response_id: str,
        new_id: Callable[[], str],
        *,
        is_beta: bool,
        sound_follows: bool,
    ) -> None:
        """`new_id` gives ids of events. With `sound_follows`, sound leaves as soon as the next words were let out."""
        self._exchange = exchange
        self._parts = parts
        self._new_id = new_id
        self._is_beta = is_beta
        self._sound_follows = sound_follows
        self._queue: deque[Outgoing] = deque()
        self._wholes: dict[Lane, Whole] = {}
        """The whole texts of the event that is looked at, by lane."""
        self._is_begun = False
        self._is_ended = False
        self._words = ""
        """What is said about a stop, where no text of the model's stands to say it behind."""
        self._response: dict[str, Any] = {"id": response_id, "object": "realtime.response", "output": []}
        self._items: dict[int, dict[str, Any]] = {}
        self._contents: dict[tuple[int, int], dict[str, Any]] = {}
        self._closed: set[object] = set()
        self.opening = ""
        """The label's own sound in base64, put before the first sound of the response; empty where there is none."""
        self.labelled_item = ""
        """The item whose sound begins with it."""
        self.last: str | None = None

    def put(self, out: Sequence[Outgoing]) -> None:
        """What is to leave, in its turn."""
        self._queue += out

    def write(self, events: Sequence[Event], taken: Sequence[Event] | None = None) -> bytes:
        """Take what the duties let out; what of it may leave comes from `flush`.

        `taken` are the model's own texts, where `events` say others in their place.
        """
        for event in events if taken is None else taken:
            if isinstance(event, TextDelta):
                if isinstance(event.carrier, Outgoing):
                    event.carrier.left -= len(event.text)
                elif isinstance(event.carrier, Whole):
                    event.carrier.event.left -= len(event.text)
        for event in events:
            if isinstance(event, TextDelta):
                self._let_out(event)
            elif isinstance(event, Finish):
                if isinstance(event.carrier, Part):
                    event.carrier.is_over = True
                elif isinstance(event.carrier, Checked):
                    event.carrier.event.is_unchecked = False
                    self._wholes.clear()
            elif isinstance(event, End):
                self._is_ended = True
        return b""

    def broken(self, code: str, message: str) -> bytes:
        """The last event of a response that cannot go on, and what it takes to come there; see `close_down`."""
        return "\n".join(self.close_down(*failed(code, message))).encode()

    def keep_alive(self) -> bytes:
        """Nothing: WebSockets have pings."""
        return b""

    def flush(self) -> list[str]:
        """What may leave now, in order."""
        out: list[str] = []
        while self._queue and self._pass(self._queue[0], out):
            self._queue.popleft()
        return out

    def retract(self) -> list[dict[str, Any]]:
        """What has left, for an app that can take text back."""
        return [
            {**part.template, "channel": part.lane.channel.value, "start": 0, "end": len(part.text())}
            for part in self._parts.values()
            if part.said
        ]

    def said(self) -> dict[str, dict[int, str]]:
        """The texts that have left, by item and place."""
        found: dict[str, dict[int, str]] = {}
        for part in self._parts.values():
            if part.key[2] != ARGUMENTS and part.template.get("item_id"):
                found.setdefault(part.template["item_id"], {})[part.key[1]] = part.text()
        return found

    # What is let out.

    def _let_out(self, event: TextDelta) -> None:
        carrier = event.carrier
        if isinstance(carrier, Outgoing):
            part = carrier.part
            assert part is not None
            if part.added:
                carrier.said += part.added
                part.added.clear()
            carrier.said.append(event.text)
        elif isinstance(carrier, Whole):
            carrier.said += event.text
            self._wholes[event.lane] = carrier
        elif event.lane in self._wholes:
            self._wholes[event.lane].said += event.text
        else:
            part = next((part for part in self._parts.values() if part.lane == event.lane), None)
            if part is not None and part.template.get("item_id"):
                part.added.append(event.text)
            else:
                self._words = self._words or event.text

    def _pass(self, out: Outgoing, sent: list[str]) -> bool:
        """Send what may leave of the next event; whether that was all of it."""
        if out.part is not None and out.kind in DELTAS:
            self._piece(out, out.part, sent)
            return out.left == 0
        if out.left or out.is_unchecked or (out.is_last and not self._is_ended):
            return False
        if not all(part.is_over for part in out.waits):
            return False
        for part in out.waits:
            self._end_of(part, sent)
        for slot in out.slots:
            if slot.said != slot.value:
                if slot.container is None:
                    raise BadAnswer("masked_name")
                out.put(slot.container, slot.key, slot.said)
        for part, container, key in out.fills:
            if container.get(key) != part.text():
                out.put(container, key, part.text())
        self._learn(out)
        if out.kind in SOUNDS and out.waits:
            self._sound(out, sent)
        elif out.is_last:
            self._stamp(out.tree)
            self.last = encoded(out.tree).decode()
        else:
            self._send(out, sent)
        return True

    def _piece(self, out: Outgoing, part: Part, sent: list[str]) -> None:
        text = "".join(out.said)
        out.said.clear()
        if text == out.value and not out.left:
            self._send(out, sent)
        elif text:
            out.raw = ""
            self._emit({**out.tree, "delta": text}, sent)
            # What follows of it is an event of its own.
            out.tree = {**out.tree, "event_id": self._new_id()}
        part.said.append(text)
        if out.left:
            return
        part.out += len(out.value)
        while self._sound_follows and part.sounds and 0 <= part.sounds[0].until <= part.out:
            self._sound(part.sounds.popleft().event, sent)

    def _end_of(self, part: Part, sent: list[str]) -> None:
        """What a part that is over still has to say: what duties added, and its sound."""
        if part.added:
            self._say(part, "".join(part.added), sent)
            part.added.clear()
        while part.sounds:
            self._sound(part.sounds.popleft().event, sent)

    def _sound(self, out: Outgoing, sent: list[str]) -> None:
        if out.kind in SOUNDS and self.opening:
            self._emit({**out.tree, "event_id": self._new_id(), "delta": self.opening}, sent)
            self.opening = ""
            self.labelled_item = str(out.tree.get("item_id", ""))
        self._send(out, sent)

    def _say(self, part: Part, text: str, sent: list[str]) -> None:
        part.said.append(text)
        self._emit({"type": part.delta, "event_id": self._new_id(), **part.template, "delta": text}, sent)

    # How it leaves.

    def _emit(self, tree: dict[str, Any], sent: list[str]) -> None:
        self._send(Outgoing(tree["type"], tree, ""), sent)

    def _send(self, out: Outgoing, sent: list[str]) -> None:
        if not self._is_begun:
            self._is_begun = True
            out.tree["aigc"] = self._exchange.label
            out.raw = ""
        if not out.raw and "event_id" not in out.tree:
            out.tree["event_id"] = self._new_id()
        sent.append(written(out.tree, out.raw))

    def _stamp(self, tree: dict[str, Any]) -> None:
        """The label in the last event, and in the response that an app may keep."""
        for place in (tree, tree.get("response")):
            if isinstance(place, dict):
                place["aigc"] = self._exchange.label
                if self._exchange.notices:
                    place["notices"] = self._exchange.notices

    def _learn(self, out: Outgoing) -> None:
        """What an end of ours needs to know of the events that have left."""
        tree, kind = out.tree, out.kind
        index, place = tree.get("output_index", 0), tree.get("content_index", 0)
        if kind.startswith("response.output_item.") and isinstance(tree.get("item"), dict):
            self._items[index] = tree["item"]
            if kind.endswith("done"):
                self._closed.add(index)
        elif kind == "response.content_part.added":
            self._contents[index, place] = dict(tree["part"])
        elif kind == "response.content_part.done":
            self._contents[index, place] = dict(tree["part"])
            self._closed.add((index, place))
        elif kind in DONES:
            self._closed.add((index, place, DONES[kind]))
        elif isinstance(tree.get("response"), dict):
            self._response = tree["response"]

    # An end of ours.

    def close_down(self, status: str, details: Mapping[str, Any], words: str = "") -> list[str]:
        """Everything up to and with the last event of a response that does not go on. `words` tell why, if given."""
        sent = self.flush()
        self._queue.clear()
        words, is_told = words or self._words, False
        for part in list(self._parts.values()):
            part.sounds.clear()
            if part.added and part.said and not self._closed.intersection((part.key[0], part.key)):
                self._say(part, "".join(part.added), sent)
                is_told = True
            elif part.added:
                words = words or part.added[-1]
            part.added.clear()
        if not self._is_begun:
            self._emit({"type": "response.created", "response": {**self._response, "status": "in_progress"}}, sent)
        for index in sorted(self._items.keys() - self._closed):
            self._close_item(index, sent)
        if words and not is_told:
            self._tell(words.lstrip("\n"), sent)
        output = [self._items[index] for index in sorted(self._items)]
        response = {**self._response, "status": status, "status_details": dict(details), "output": output}
        tree = {"type": "response.done", "event_id": self._new_id(), "response": response}
        self._stamp(tree)
        self.last = encoded(tree).decode()
        return sent

    def _tell(self, words: str, sent: list[str]) -> None:
        """A message of our own."""
        index = max([*(key[0] for key in self._parts), *self._items], default=-1) + 1
        item_id = self._new_id().replace("event", "item", 1)
        item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        at = {"response_id": self._response["id"], "output_index": index}
        self._items[index] = {**item, "status": "in_progress", "content": []}
        self._emit({"type": "response.output_item.added", **at, "item": dict(self._items[index])}, sent)
        kind = "text" if self._is_beta else "output_text"
        part = Part((index, 0, TEXT), len(self._parts), f"response.{kind}.delta")
        part.template = {**at, "item_id": item_id, "content_index": 0}
        self._contents[index, 0] = {"type": kind, "text": ""}
        self._emit({"type": "response.content_part.added", **part.template, "part": {"type": "text", "text": ""}}, sent)
        self._say(part, words, sent)
        self._close_item(index, sent, part)

    def _close_item(self, index: int, sent: list[str], ours: Part | None = None) -> None:
        """The `.done` events that an item still lacks, with what has left of its texts."""
        item = dict(self._items[index])
        contents: dict[int, dict[str, Any]] = {
            place: dict(content) for (at, place), content in self._contents.items() if at == index
        }
        parts = [ours] if ours is not None else [part for part in self._parts.values() if part.key[0] == index]
        for part in parts:
            name, place = part.key[2], part.key[1]
            if not (part.said or place in contents):
                continue
            if name == ARGUMENTS:
                item["arguments"] = part.text()
            else:
                content = contents.setdefault(place, {"type": _CONTENT[name, self._is_beta]})
                content[name] = part.text()
            if part.key not in self._closed:
                self._emit(
                    {"type": f"{part.delta.removesuffix('delta')}done", **part.template, name: part.text()}, sent
                )
            if name != ARGUMENTS and (index, place) not in self._closed:
                tree = {"type": "response.content_part.done", **part.template, "part": contents[place]}
                self._emit(tree, sent)
        if contents:
            item["content"] = [
                {
                    **contents[place],
                    "type": _ITEM_CONTENT.get((str(contents[place].get("type")), self._is_beta), "text"),
                }
                for place in sorted(contents)
            ]
        item["status"] = "incomplete"
        self._items[index] = item
        self._closed.add(index)
        at = {"response_id": self._response.get("id"), "output_index": index}
        self._emit({"type": "response.output_item.done", **at, "item": item}, sent)


_ITEM_CONTENT: Final = {
    (kind, is_beta): kind.removeprefix("output_") if is_beta else "output_" + kind.removeprefix("output_")
    for kind in ("text", "audio", "output_text", "output_audio")
    for is_beta in (False, True)
}
"""How an item calls a content, by how events about it call it."""

_CONTENT: Final = {
    (TEXT, False): "output_text",
    (TEXT, True): "text",
    (TRANSCRIPT, False): "output_audio",
    (TRANSCRIPT, True): "audio",
}
