# SPDX-License-Identifier: Apache-2.0
"""Texts that stand whole in one document of a stream: tool input as an object, search results, code, titles.

A text that streams may leave in part; what waits follows in a small frame. A structure may not: half a function call is
a wrong call. Its strings therefore travel in lanes of a choice of their own, below zero so that no duty writes into it,
which ends with the structure: the guard decides about all of it at once, and nothing of it waits for what the model
says later. Where it is stopped, the frame is left out.

Two structures are never one text: each ends with a noncharacter, so that no term reaches from one into the next. Their
strings are decoded already, so they must not stand in a lane whose text the guard takes for JSON: in `C:\\forbidden`
it would read a form feed and miss the word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.events import Channel, Event, Finish, Lane, Media, TextDelta
from gateway.wires.arguments import ObjectSlot
from gateway.wires.frames import Ending, Frame
from gateway.wires.framing import frame_of


class WholeEnding(Ending):
    """The end of the whole texts of a frame; it stands nowhere in the document."""

    __slots__ = ()

    def put(self, value: Any) -> None:
        """Nothing to write."""


class WholeTexts:
    """Collects the whole texts of one frame for one choice, in a lane each."""

    __slots__ = ("_choice", "_frame", "_lanes")

    def __init__(self, frame: Frame, choice: int = 0) -> None:
        self._frame = frame
        self._choice = -2 - choice
        self._lanes = 0

    def add(
        self, container: Any, key: str | int, skipped: frozenset[str] = frozenset(), *, is_name: bool = False
    ) -> Iterator[Event]:
        """The event of every string and key below `container[key]`, as one text; none where there are none.

        `is_name` says that it is the name of a tool.
        """
        value = container.get(key) if isinstance(container, dict) else container[key]
        if not isinstance(value, (str, dict, list)):
            return
        slot = ObjectSlot(self._frame, container, key, (), skipped)
        if slot.value:
            yield self.event(slot, Channel.TOOL_NAME if is_name else Channel.OTHER)
        else:
            self._frame.parts.pop()  # no text, no place

    def event(self, slot: ObjectSlot, channel: Channel = Channel.OTHER) -> TextDelta:
        """The event of a place that is made already."""
        self._lanes += 1
        slot.end_text()
        return TextDelta(Lane(self._choice, channel, self._lanes), slot.value, slot)

    def end(self) -> Iterator[Event]:
        """The end of what was added; must follow in the same batch."""
        if self._lanes:
            yield Finish(self._choice, "", WholeEnding(self._frame, None, "", None))


def is_whole(event: Event) -> bool:
    """Whether `event` is about what leaves whole: such texts, or media."""
    if isinstance(event, Media):
        return True
    if isinstance(event, TextDelta):
        return event.lane.choice < -1
    return isinstance(event, Finish) and event.choice < -1


def is_cut(frame: Frame, events: Sequence[Event]) -> bool:
    """Whether whole texts of `frame` were stopped: they had an end, and it is not among its `events`."""
    ends = sum(isinstance(part, WholeEnding) for part in frame.parts)
    return ends > sum(isinstance(getattr(event, "carrier", None), WholeEnding) for event in events)


def gathered(events: Sequence[Event]) -> Sequence[Event]:
    """`events` with what is whole moved up to the first event of its frame.

    A duty may have written between two texts of one frame, which then leaves in parts; whole texts leave with the
    first of them, or they would have no place any more. Lanes are independent, so nothing is said out of order.
    """
    if not any(is_whole(event) for event in events):
        return events
    whole: dict[int, list[Event]] = {}
    for event in events:
        if is_whole(event):
            whole.setdefault(id(frame_of(event)), []).append(event)
    out: list[Event] = []
    for event in events:
        ours = whole.pop(id(frame_of(event)), [])
        if is_whole(event):
            out += ours
        else:
            out.append(event)
            out += ours
    return out
