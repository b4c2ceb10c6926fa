# SPDX-License-Identifier: Apache-2.0
"""What realtime events are about: the parts of a response, and events on their way to the client.

A part is one text that grows: what a message says, the transcript of its sound, the arguments of a call. Its sound
belongs to the transcript. The current and the beta names of an event mean the same part.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from gateway.events import Channel, Lane
from gateway.wires.json_text import Surrogates

TEXT: Final = "text"
TRANSCRIPT: Final = "transcript"
ARGUMENTS: Final = "arguments"

DELTAS: Final = {
    "response.output_text.delta": TEXT,
    "response.text.delta": TEXT,
    "response.output_audio_transcript.delta": TRANSCRIPT,
    "response.audio_transcript.delta": TRANSCRIPT,
    "response.function_call_arguments.delta": ARGUMENTS,
    "response.mcp_call_arguments.delta": ARGUMENTS,
}
DONES: Final = {kind.removesuffix("delta") + "done": name for kind, name in DELTAS.items()}
"""The events that say a part whole; the member that says it has the part's name."""
SOUNDS: Final = frozenset({"response.output_audio.delta", "response.audio.delta"})
SOUNDS_DONE: Final = frozenset({"response.output_audio.done", "response.audio.done"})

_CHANNELS: Final = {TEXT: Channel.ANSWER, TRANSCRIPT: Channel.ANSWER, ARGUMENTS: Channel.TOOL_ARGUMENTS}
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/+@-]{0,128}")

Key = tuple[int, int, str]
"""Output index, content index, name."""


def is_name(value: str) -> bool:
    """Whether `value` is shaped like an identifier: such strings name things and are no text."""
    return _NAME.fullmatch(value) is not None


class Part:
    """One growing text of a response."""

    __slots__ = ("added", "delta", "is_finished", "is_over", "key", "lane", "out", "said", "seen", "sounds",
                 "surrogates", "template", "total")  # fmt: skip

    def __init__(self, key: Key, choice: int, delta: str) -> None:
        self.key = key
        self.lane = Lane(choice, _CHANNELS[key[2]])
        self.delta = delta
        """The type of its events, as the upstream spells it."""
        self.surrogates = Surrogates()
        self.seen: list[str] = []
        """What the upstream has said."""
        self.total = 0
        """How many characters that is."""
        self.out = 0
        """How many of them have left."""
        self.said: list[str] = []
        """What has left, label and notices among it."""
        self.added: list[str] = []
        """What duties added and no event has carried yet."""
        self.sounds: deque[Sound] = deque()
        """Sound that waits for its words."""
        self.template: dict[str, Any] = {}
        """The addresses that its events carry."""
        self.is_finished = False
        """The upstream says no more of it."""
        self.is_over = False
        """All of it was let out."""

    @property
    def has_transcript(self) -> bool:
        """Whether words were said that sound can be judged by."""
        return any(piece.strip() for piece in self.seen)

    def text(self) -> str:
        """What has left."""
        return "".join(self.said)


class Outgoing:
    """One event of the upstream's on its way to the client. It leaves in its turn, once all it says was let out."""

    __slots__ = ("fills", "is_last", "is_unchecked", "kind", "left", "part", "raw", "said", "slots", "tree", "value",
                 "waits")  # fmt: skip

    def __init__(self, kind: str, tree: dict[str, Any], raw: str) -> None:
        self.kind = kind
        self.tree = tree
        self.raw = raw
        """As it came; empty once it was changed."""
        self.part: Part | None = None
        """The part that it says a piece of."""
        self.value = ""
        """That piece."""
        self.left = 0
        """How many characters of it were not let out yet."""
        self.said: list[str] = []
        """What of it was let out and has not left."""
        self.waits: list[Part] = []
        """Parts that must be over before it leaves."""
        self.fills: list[tuple[Part, dict[str, Any], str]] = []
        """Places that repeat a part."""
        self.slots: list[Whole] = []
        self.is_unchecked = False
        """Its whole texts are still looked at."""
        self.is_last = False

    def put(self, container: Any, key: str | int, value: Any) -> None:
        """Change a member."""
        container[key] = value
        self.raw = ""


@dataclass(slots=True)
class Sound:
    """A piece of sound that waits for its words. `until` is up to which character; -1 where none has followed yet."""

    event: Outgoing
    until: int


class Whole:
    """The place of a text that is looked at whole; without a container it is the name of a member."""

    __slots__ = ("container", "event", "key", "said", "value")

    def __init__(self, event: Outgoing, container: Any, key: str | int, value: str) -> None:
        self.event = event
        self.container = container
        self.key = key
        self.value = value
        self.said = ""


class Checked:
    """What the end of an event's whole texts carries."""

    __slots__ = ("event",)

    def __init__(self, event: Outgoing) -> None:
        self.event = event
