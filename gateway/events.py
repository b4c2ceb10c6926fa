# SPDX-License-Identifier: Apache-2.0
"""The event model that all wires share, streamed or not.

A wire is a pair of codecs: bytes to events, events to bytes. A plain JSON answer is the same sequence of events as a
stream, so `stream: true` can never be weaker than `stream: false`. Duties look at events and never at bytes.

Order within one lane (a choice and a channel) is kept; lanes are independent of each other, because a match that is
still pending in the reasoning must not hold back the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """What a text is for."""

    ANSWER = "answer"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TOOL_NAME = "tool_name"
    TOOL_ARGUMENTS = "tool_arguments"
    TRANSCRIPT = "transcript"
    OTHER = "other"
    """Text of a field that the wire's codec does not know; guarded like any other."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One sequence of text: `item` tells tool calls or content parts of one choice apart."""

    choice: int
    channel: Channel
    item: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TextDelta:
    """A piece of text of one lane. `carrier` belongs to the codec: what came with the text on the wire."""

    lane: Lane
    text: str
    carrier: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Attached:
    """What tells something of the text of `lane`, such as `logprobs`: it never overtakes that text.

    `texts` are its own words (the other tokens that were likely), each checked whole.
    """

    lane: Lane
    texts: tuple[str, ...] = ()
    carrier: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """A picture, sound, film or document in the answer. No writer lets it out before a duty has labelled it.

    `data` is empty where the answer holds only a link to it; then `link` is that address, and after labelling ours.
    """

    choice: int
    mime: str
    data: bytes
    carrier: object = None
    is_labelled: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """One choice has ended. After it no text of that choice follows."""

    choice: int
    reason: str
    carrier: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """What the answer cost, as the upstream says."""

    input_tokens: int
    output_tokens: int
    carrier: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """What no duty looks at; the codec puts it back as it came."""

    carrier: object = None


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """The upstream's answer is complete. Nothing follows."""

    carrier: object = None


Event = TextDelta | Attached | Media | Finish | Usage | Opaque | End
