# SPDX-License-Identifier: Apache-2.0
"""The answers of Gemini's `generateContent`, read: one document, or a stream of them as events or as a JSON array.

Parts of a candidate follow each other and apps join their texts, so all text parts of a candidate are one text over all
documents, and all thoughts are another. Function calls, code, its results and text files come whole and leave whole.
What tells of the text (citations, grounding, other likely tokens) never overtakes it and is dropped where its own words
may not be said. Pictures, sounds and other media become `Media`.

A stream is complete once every candidate that began has its `finishReason`, or the prompt was blocked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Media, Opaque, Usage
from gateway.wires.base64_text import EncodedSlot, decoded, decoded_text
from gateway.wires.frames import Attachment, Ending, Frame, joined_strings, odd_keys, odd_names
from gateway.wires.framing import TextFinder
from gateway.wires.interfaces import BadAnswer
from gateway.wires.json_array import ArrayReader
from gateway.wires.json_text import loads_event
from gateway.wires.names import is_mere
from gateway.wires.sse import EventReader
from gateway.wires.whole import WholeTexts

_DOCUMENT_CHOICE = -1
"""The lane choice of texts that stand in the document beside its candidates."""

_NOT_TEXT = frozenset({"thoughtSignature", "safetyRatings", "blockReason"})
"""Members that are opaque, or words of the API that a list of terms may hold (`HARM_CATEGORY_SEXUALLY_EXPLICIT`)."""
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What a reason may be called: it passes as it is, so it can be no text."""
_ABOUT_TEXT = ("citationMetadata", "groundingMetadata", "groundingAttributions", "urlContextMetadata", "logprobsResult")
_KNOWN_DOCUMENT = frozenset(
    {"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "createTime"}
)
_NAMING = ("usageMetadata", "modelVersion", "responseId", "createTime")
_CANDIDATE_NAMING = ("safetyRatings", "continuationToken", "tokenCount", "avgLogprobs")
_KNOWN_CANDIDATE = frozenset({"index", "tokenCount", "avgLogprobs", "safetyRatings", "continuationToken"}) | {
    "content",
    "finishReason",
    *_ABOUT_TEXT,
}
_KNOWN_PART = frozenset({"text", "thought", "thoughtSignature"})
_PART_NAMES = frozenset({"videoMetadata", "mediaResolution"})


class _DocumentReader(TextFinder):
    """Makes events of documents; what streams and whole answers share."""

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self._has_candidates = self._is_blocked = False

    @property
    def is_complete(self) -> bool:
        """Whether every candidate that began has ended, or there is none because the prompt was blocked."""
        return not self._open and (self._has_candidates or self._is_blocked)

    def document(self, frame: Frame) -> list[Event]:
        """The events of one document. Raises `BadAnswer`."""
        tree = frame.tree
        candidates = tree.get("candidates")
        if candidates is not None and not isinstance(candidates, list):
            raise BadAnswer("bad_candidates")
        events: list[Event] = []
        endings: list[Event] = []
        for position, candidate in enumerate(candidates or ()):
            if not isinstance(candidate, dict):
                raise BadAnswer("bad_candidate")
            events += self._candidate(frame, candidate, position, endings)
        feedback = tree.get("promptFeedback")
        if feedback:
            self._is_blocked = self._is_blocked or (isinstance(feedback, dict) and bool(feedback.get("blockReason")))
            whole = WholeTexts(frame)
            events += whole.add(tree, "promptFeedback", _NOT_TEXT)
            events += whole.end()
        events += odd_names(frame, tree, _NAMING)
        if not tree.keys() <= _KNOWN_DOCUMENT:
            events += self.unknown(frame, tree, (), _KNOWN_DOCUMENT, _DOCUMENT_CHOICE)
        events += endings
        usage = tree.get("usageMetadata")
        if isinstance(usage, Mapping):
            events.append(_usage(usage))
        if not frame.parts:
            events.append(Opaque(frame))
        return events

    def _candidate(
        self, frame: Frame, candidate: dict[str, Any], position: int, endings: list[Event]
    ) -> Iterator[Event]:
        index = candidate.get("index", position)
        content = candidate.get("content")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 1_000:
            raise BadAnswer("bad_candidate")
        if not (content is None or isinstance(content, dict)):
            raise BadAnswer("bad_content")
        self._has_candidates = True
        self._open.add(index)
        if content:
            yield from self._content(frame, content, index)
        for key in _ABOUT_TEXT:
            if candidate.get(key):
                words = tuple(joined_strings(candidate[key]))
                yield Attached(Lane(index, Channel.ANSWER), words, Attachment(frame, candidate, key, candidate[key]))
        if len(candidate) > 3:
            yield from odd_names(frame, candidate, _CANDIDATE_NAMING)
        if not candidate.keys() <= _KNOWN_CANDIDATE:
            yield from self.unknown(frame, candidate, (), _KNOWN_CANDIDATE, index)
        reason = candidate.get("finishReason")
        if reason is not None and (not isinstance(reason, str) or _WORD.fullmatch(reason) is None):
            raise BadAnswer("bad_candidate")
        if reason is not None and reason != "FINISH_REASON_UNSPECIFIED":
            self._open.discard(index)
            endings += self.close(index)
            endings.append(Finish(index, reason, Ending(frame, candidate, "finishReason", reason)))

    def _content(self, frame: Frame, content: dict[str, Any], index: int) -> Iterator[Event]:
        parts = content.get("parts")
        if parts is not None and not isinstance(parts, list):
            raise BadAnswer("bad_parts")
        whole = WholeTexts(frame, index)
        for part in parts or ():
            if not isinstance(part, dict):
                raise BadAnswer("bad_part")
            if "text" in part:
                text = part["text"]
                if not isinstance(text, str) or not isinstance(part.get("thought", False), bool):
                    raise BadAnswer("bad_part")
                lane = Lane(index, Channel.REASONING if part.get("thought") else Channel.ANSWER)
                yield from self.text(frame, lane, part, "text", text, ())
            elif not isinstance(part.get("thought", False), bool):
                raise BadAnswer("bad_part")
            if "thoughtSignature" in part:
                yield from odd_names(frame, part, ("thoughtSignature",))
            if not part.keys() <= _KNOWN_PART:
                yield from odd_keys(frame, part, _KNOWN_PART)
                yield from self._other_part(frame, part, index, whole)
        for key, value in content.items():
            if key != "parts" and not (key == "role" and is_mere(value)):
                yield from whole.add(content, key, _NOT_TEXT)
        yield from whole.end()

    def _other_part(self, frame: Frame, part: dict[str, Any], index: int, whole: WholeTexts) -> Iterator[Event]:
        for key, value in part.items():
            if key in _KNOWN_PART or (key in _PART_NAMES and is_mere(value)):
                continue
            if key == "inlineData" and isinstance(value, dict):
                yield from self._inline(frame, value, index, whole)
            elif key == "fileData" and isinstance(value, dict):
                # A link to what nobody here has seen: a medium without data.
                yield Media(index, str(value.get("mimeType")), b"", Attachment(frame, value, "fileUri", None))
                yield from whole.add(part, key, _NOT_TEXT)
            elif isinstance(value, dict):
                # A call's arguments may have an `id` of their own; the part's is no text.
                if value.get("partialArgs"):
                    raise BadAnswer("partial_arguments")
                for name in value:
                    if name not in ("id", "thoughtSignature") or not is_mere(value[name]):
                        yield from whole.add(value, name, is_name=name == "name")
            else:
                yield from whole.add(part, key)

    def _inline(self, frame: Frame, inline: dict[str, Any], index: int, whole: WholeTexts) -> Iterator[Event]:
        mime, data = inline.get("mimeType"), inline.get("data")
        if not isinstance(mime, str) or not isinstance(data, str):
            raise BadAnswer("bad_media")
        try:
            text = decoded_text(mime, data)
            if text is None:
                yield Media(index, mime, decoded(data), Attachment(frame, inline, "data", data))
            elif text:
                yield whole.event(EncodedSlot(frame, inline, "data", (), text))
        except ValueError:
            raise BadAnswer("bad_media") from None
        for key in inline:
            if key not in ("mimeType", "data"):
                yield from whole.add(inline, key, _NOT_TEXT)


def _usage(usage: Mapping[str, Any]) -> Usage:
    counts = [usage.get(key) for key in ("candidatesTokenCount", "thoughtsTokenCount")]
    known = [count for count in counts if isinstance(count, int) and count >= 0]
    prompt = usage.get("promptTokenCount")
    return Usage(prompt if isinstance(prompt, int) and prompt >= 0 else -1, sum(known) if known else -1)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        tree = loads_event(raw)
    except ValueError:
        raise BadAnswer("invalid_json") from None
    if not isinstance(tree, dict):
        raise BadAnswer("not_an_object")
    return tree


class ChunkReader:
    """The documents of a stream, as server-sent events or as one JSON array."""

    def __init__(self, event_bytes: int, *, is_sse: bool) -> None:
        self.media_type = "text/event-stream" if is_sse else "application/json"
        self._events = EventReader(event_bytes) if is_sse else None
        self._array = ArrayReader(event_bytes)
        self._document = _DocumentReader()
        self._has_failed = self._has_ended = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        events: list[Event] = []
        if self._events is not None:
            for event in self._events.feed(data):
                self._read(event.data, events)
            return events
        for element in self._array.feed(data):
            self._read(element, events)
        if self._array.is_done and self._document.is_complete and not self._has_failed and not self._has_ended:
            self._has_ended = True
            events += [*self._document.close(), End()]
        return events

    def close(self) -> list[Event]:
        """The end of the stream: `BadAnswer` where the upstream broke off."""
        events: list[Event] = []
        if self._has_ended:
            return events
        if self._events is not None:
            for event in self._events.close():
                self._read(event.data, events)
        else:
            self._array.close()
        if self._has_failed or not self._document.is_complete:
            raise BadAnswer("incomplete")
        return [*events, *self._document.close(), End()]

    def _read(self, raw: bytes, events: list[Event]) -> None:
        if self._has_failed or self._has_ended:
            return
        tree = _object(raw)
        if tree.get("error") is not None and not tree.get("candidates"):
            self._has_failed = True  # the upstream broke off and said so; what it said before stands
            return
        events += self._document.document(Frame(tree, raw))


class AnswerReader:
    """One whole document."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Nothing until the end: a plain answer is one document."""
        self._body += data
        return []

    def close(self) -> list[Event]:
        """All events of the answer."""
        raw = bytes(self._body)
        tree = _object(raw)
        document = _DocumentReader()
        frame = Frame(tree, raw)
        events = document.document(frame)
        if not tree.get("candidates") and not tree.get("promptFeedback"):
            raise BadAnswer("no_candidates")
        return [*events, *document.close(), End(frame)]
