# SPDX-License-Identifier: Apache-2.0
"""The suite's own words, the same for every wire: what is asked, what the model says, what the client got."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from tests.upstreams.scripted import Seen

TOOL_NAME = "look_up"


class Channel(StrEnum):
    """What a text of an answer is for."""

    ANSWER = "answer"
    REASONING = "reasoning"
    TOOL = "tool arguments"


class Can(StrEnum):
    """What a wire can express. A check that needs more is not applicable to it."""

    REASONING = "reasoning"
    TOOL = "tool calls"
    TOOL_PIECES = "tool arguments in pieces"
    CHOICES = "several choices"
    JSON = "JSON mode"
    SYSTEM = "system prompt"
    TURNS = "earlier turns"
    PARTS = "messages in parts"
    TOOL_RESULT = "tool results"
    MARKS_STOPS = "end reason of its own for stopped answers"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text that the model says at once: one event of a stream."""

    text: str
    channel: Channel = Channel.ANSWER
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says. `is_ascii`: everything beyond ASCII is spelt `\\uXXXX` in the JSON."""

    pieces: tuple[Piece, ...]
    is_ascii: bool = False

    @classmethod
    def of(
        cls,
        text: str,
        split: int = 0,
        *,
        channel: Channel = Channel.ANSWER,
        choice: int = 0,
        is_ascii: bool = False,
    ) -> Said:
        """`text` in pieces of `split` characters; 0 is all of it at once."""
        step = split or max(1, len(text))
        cut = [text[at : at + step] for at in range(0, len(text), step)]
        return cls(tuple(Piece(piece, channel, choice) for piece in cut), is_ascii)

    def text(self, choice: int = 0, channel: Channel = Channel.ANSWER) -> str:
        """All that is said in one choice and channel."""
        return "".join(piece.text for piece in self.pieces if (piece.choice, piece.channel) == (choice, channel))

    @property
    def choices(self) -> list[int]:
        """The choices that say something."""
        return sorted({piece.choice for piece in self.pieces})

    def calls_tool(self, choice: int = 0) -> bool:
        """Whether that choice calls the tool."""
        return any((piece.choice, piece.channel) == (choice, Channel.TOOL) for piece in self.pieces)

    def with_whole_tools(self) -> Said:
        """The same for a wire that sends a call's arguments at once."""
        kept = [piece for piece in self.pieces if piece.channel is not Channel.TOOL]
        tools = [
            Piece(self.text(choice, Channel.TOOL), Channel.TOOL, choice)
            for choice in self.choices
            if self.calls_tool(choice)
        ]
        return replace(self, pieces=(*kept, *tools))

    def dumps(self, document: Any) -> str:
        """A document in the spelling that was asked for."""
        return json.dumps(document, ensure_ascii=self.is_ascii, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client asks. `prompt` is the last user message; where `parts` are given they follow it in it."""

    prompt: str = "Please answer."
    stream: bool = True
    system: str = ""
    earlier: tuple[str, str] | None = None
    """A user's and an assistant's turn before."""
    parts: tuple[str, ...] = ()
    tool_result: str = ""
    choices: int = 1
    as_json: bool = False
    with_tool: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request of a wire."""

    path: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """The upstream's answer: its frames (events, lines, or the whole document) and its media type."""

    frames: tuple[bytes, ...]
    content_type: str

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.frames)


@dataclass(slots=True)
class Answer:
    """An answer as the wire's official SDK reads it."""

    texts: dict[tuple[int, Channel], str] = field(default_factory=dict)
    ends: dict[int, str] = field(default_factory=dict)
    """The end reason of each choice that ended."""
    is_stopped: bool = False
    """Whether the wire's own way of saying "filtered" was used."""
    error: str = ""
    """The error that the SDK raised because the service said so; empty where it raised none."""
    fault: str = ""
    """Why the SDK could not read the answer at all; empty where it could."""

    def add(self, choice: int, channel: Channel, text: str | None) -> None:
        """More text."""
        if text:
            self.texts[choice, channel] = self.texts.get((choice, channel), "") + text

    def text(self, choice: int = 0, channel: Channel = Channel.ANSWER) -> str:
        """What one choice says in one channel."""
        return self.texts.get((choice, channel), "")


@dataclass(slots=True)
class Got:
    """Everything about one exchange: bytes as they came, with their times, and how the SDK reads them."""

    asked: Asked
    status: int
    headers: dict[str, str]
    reads: list[tuple[float, bytes]]
    """Each read of the body with its time, `time.monotonic` seconds."""
    sent_s: float
    broke_off: bool
    """Whether the connection ended before the body did."""
    answer: Answer
    seen: Seen | None
    """The request as the upstream saw it; None where it was not called."""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(data for _, data in self.reads)

    @property
    def is_whole(self) -> bool:
        """Whether the client has a complete answer that nobody stopped."""
        return not (self.broke_off or self.answer.error or self.answer.fault or self.answer.is_stopped)


class Wire(Protocol):
    """One model API as the suite speaks it, on both sides of the gateway."""

    name: str
    sdk: str
    """What reads the answers: the official SDK, or why there is none."""
    can: frozenset[Can]

    def request(self, asked: Asked) -> Request:
        """What the client sends."""
        ...

    def tell(self, asked: Asked, said: Said) -> Told:
        """How the model says it."""
        ...

    def read(self, asked: Asked, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer. Never raises: what the SDK raises is in it."""
        ...
