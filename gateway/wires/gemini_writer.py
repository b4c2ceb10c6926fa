# SPDX-License-Identifier: Apache-2.0
"""The answers of Gemini's `generateContent`, written: one document, or a stream as events or as a JSON array.

A stopped answer says our words in a candidate that ends with `SAFETY`, the wire's own word: `promptFeedback` alone
would be as true, and no app would show it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from gateway.events import Channel, Event, Lane, Media, TextDelta, Usage
from gateway.exchange import Exchange
from gateway.wires.frames import Attachment, Frame, Path, built, mere_names
from gateway.wires.framing import StreamFrames, WholeDocument, as_it_came, encoded
from gateway.wires.gemini_errors import error_object
from gateway.wires.media import require_labelled
from gateway.wires.whole import gathered, is_cut

_BASE = ("modelVersion", "responseId", "createTime")


def _reason(reason: str) -> str:
    return "SAFETY" if reason == "content_filter" else reason


def _place(event: Media) -> Attachment | None:
    """Put a labelled medium into its place."""
    require_labelled(event)
    carrier = event.carrier
    if not isinstance(carrier, Attachment):
        return None
    if event.data:
        data = base64.b64encode(event.data).decode()
        if data != carrier.value:
            carrier.frame.raw = b""
            carrier.put(data)
    return carrier


class ChunkWriter(StreamFrames):
    """A stream of documents."""

    def __init__(self, exchange: Exchange, *, is_sse: bool) -> None:
        super().__init__(exchange)
        self._is_sse = is_sse
        if not is_sse:
            self.content_type = b"application/json; charset=UTF-8"
        self._count = 0
        self._base: dict[str, Any] | None = None
        self._usage: dict[str, int] = {}

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes of `events`. Raises `BadAnswer` for a medium that nobody labelled."""
        for event in events:
            if isinstance(event, Media):
                _place(event)
        return super().write(gathered(events))

    def learn(self, frame: Frame) -> None:
        """The members that every document of the answer repeats."""
        if self._base is None:
            self._base = mere_names(frame.tree, _BASE)

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        """A document with one part, or with the unknown member at `path`."""
        if lane.channel not in (Channel.ANSWER, Channel.REASONING):
            member = built(path or ("text",), text)
            return self._small(lane.choice, member) if lane.choice >= 0 else Frame({**self._members(), **member})
        part = {"text": text} if lane.channel is Channel.ANSWER else {"text": text, "thought": True}
        return self._small(lane.choice, {"content": {"parts": [part], "role": "model"}})

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        """A document with what tells of the text."""
        return self._small(lane.choice, {str(part.key): part.value})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        """A document with a `finishReason`, and with the usage so far where the answer was stopped."""
        frame = self._small(choice, {"finishReason": _reason(reason)})
        if reason == "content_filter" and self._usage:
            frame.tree["usageMetadata"] = self._usage
        return frame

    def last_frame(self) -> Frame:
        """A document without candidates."""
        return Frame({"candidates": [], **self._members()})

    def frame_bytes(self, frame: Frame) -> bytes:
        """An event, or an element of the array."""
        return self._framed_bytes(as_it_came(frame))

    def trailer(self) -> bytes:
        """The end of the array."""
        return b"" if self._is_sse else b"]" if self._count else b"[]"

    def broken(self, code: str, message: str) -> bytes:
        """A document with an error, as Google's own streams end; the official SDKs raise it."""
        tree = {**error_object(502, code, message), "aigc": self.exchange.label}
        return self.flushed() + self._framed_bytes(encoded(tree)) + self.trailer()

    def keep_alive(self) -> bytes:
        """An empty line between events, white space between elements; the official SDK takes a comment for JSON."""
        return b"\r\n"

    def _framed_bytes(self, data: bytes) -> bytes:
        self._count += 1
        if self._is_sse:
            return b"data: " + data + b"\r\n\r\n"
        return (b"[" if self._count == 1 else b",\r\n") + data

    def _unframed(self, event: Event, out: list[bytes]) -> None:
        if isinstance(event, Usage):
            counts = {"promptTokenCount": event.input_tokens, "candidatesTokenCount": event.output_tokens}
            self._usage = {name: count for name, count in counts.items() if count >= 0}
            self._usage["totalTokenCount"] = sum(self._usage.values())
        super()._unframed(event, out)

    def _framed(self, frame: Frame, events: Sequence[Event], out: list[bytes]) -> None:
        if not is_cut(frame, events):
            super()._framed(frame, events, out)
            return
        self.learn(frame)
        for event in events:
            if isinstance(event, TextDelta) and event.lane.choice >= 0:
                self._send(self.text_frame(event.lane, event.text, None), out)

    def _members(self) -> dict[str, Any]:
        if self._base is None:
            self._base = {"modelVersion": self.exchange.model, "responseId": self.exchange.record_id}
        return self._base

    def _small(self, choice: int, candidate: dict[str, Any]) -> Frame:
        return Frame({"candidates": [{**candidate, "index": choice}], **self._members()})


class AnswerWriter(WholeDocument):
    """One whole document."""

    content_type = b"application/json; charset=UTF-8"

    def write(self, events: Sequence[Event]) -> bytes:
        """Nothing until `End`, then the whole document. Raises `BadAnswer` for a medium that nobody labelled."""
        for event in events:
            if isinstance(event, Media):
                self._attached.add(id(_place(event)))
        return super().write(events)

    def empty(self) -> dict[str, Any]:
        """A document that no model gave."""
        return {
            "candidates": [],
            "usageMetadata": {"promptTokenCount": 0, "totalTokenCount": 0},
            "modelVersion": self.exchange.model,
            "responseId": self.exchange.record_id,
        }

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        """A candidate of which nothing of the model's may be shown."""
        if choice < 0:
            return  # whole texts end with their candidate
        made = {
            "content": {"parts": [{"text": text}] if text else [], "role": "model"},
            "finishReason": _reason(reason),
            "index": choice,
        }
        candidates = document.setdefault("candidates", [])
        for position, candidate in enumerate(candidates):
            if isinstance(candidate, dict) and candidate.get("index", position) == choice:
                candidates[position] = made
                return
        candidates.append(made)

    def broken(self, code: str, message: str) -> bytes:
        """Google's error object."""
        return encoded(error_object(502, code, message))
