# SPDX-License-Identifier: Apache-2.0
"""The texts of an OpenAI response: which there are, where they stand, and what has been said of each so far.

This wire says every text up to five times: in deltas, in the `.done` event of the text, in that of its content part, in
that of its output item, and in the snapshot that ends the stream. A `Part` is one such text. The reader takes from a
repetition only what was not said before; the writer fills every repetition with what was released, so that nothing that
was held back, masked or stopped leaks through one of them, and a label stands in all of them alike.

A part is a choice of its own to the duties, because its text is complete long before the answer is: the end label must
stand before its `.done` event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.events import Channel, Lane
from gateway.wires.frames import Attachment, Frame, Path, Slot
from gateway.wires.json_text import Surrogates

Form = Literal["response", "compaction", "list", "item"]
"""What a plain document of this wire is: a response, a compacted conversation, a list of items, or one item."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of text: `event` + `.delta` and `.done` are its events, `index` tells its like in one item apart.

    `member` holds the whole text in `.done` events, and in the item or content part that the text belongs to.
    """

    channel: Channel
    event: str
    index: str
    member: str


KINDS: Final[Mapping[str, Kind]] = {
    "text": Kind(Channel.ANSWER, "response.output_text", "content_index", "text"),
    "refusal": Kind(Channel.REFUSAL, "response.refusal", "content_index", "refusal"),
    "reasoning": Kind(Channel.REASONING, "response.reasoning_text", "content_index", "text"),
    "summary": Kind(Channel.REASONING, "response.reasoning_summary_text", "summary_index", "text"),
    "arguments": Kind(Channel.TOOL_ARGUMENTS, "response.function_call_arguments", "", "arguments"),
    "mcp_arguments": Kind(Channel.TOOL_ARGUMENTS, "response.mcp_call_arguments", "", "arguments"),
    "input": Kind(Channel.TOOL_ARGUMENTS, "response.custom_tool_call_input", "", "input"),
    "code": Kind(Channel.TOOL_ARGUMENTS, "response.code_interpreter_call_code", "", "code"),
    "command": Kind(Channel.TOOL_ARGUMENTS, "response.shell_call_command", "command_index", "command"),
    "transcript": Kind(Channel.TRANSCRIPT, "response.audio.transcript", "", "transcript"),
}
DELTAS: Final[Mapping[str, str]] = {f"{kind.event}.delta": name for name, kind in KINDS.items()}
DONES: Final[Mapping[str, str]] = {f"{kind.event}.done": name for name, kind in KINDS.items()}

CONTENT_KINDS: Final[Mapping[str, str]] = {
    "output_text": "text",
    "refusal": "refusal",
    "reasoning_text": "reasoning",
    "summary_text": "summary",
}
"""Types of content parts and the kind of their text."""

ITEM_KINDS: Final[Mapping[str, str]] = {
    "function_call": "arguments",
    "mcp_call": "mcp_arguments",
    "mcp_approval_request": "mcp_arguments",
    "custom_tool_call": "input",
    "code_interpreter_call": "code",
}
"""Types of output items that hold one text, and its kind."""

ENDINGS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
"""Events that end a stream, with a snapshot of the whole response."""

Key = tuple[int, str, int]
"""A part: output index, kind (or, of an unknown event, its type and path), index within the item."""


class Part:
    """One text of an answer, from its first delta to its last repetition.

    `said` is what the upstream has said of it, `released` what has left for the client. `pending` is released text
    that leaves with a frame that has not gone out yet.
    """

    __slots__ = (
        "_surrogates", "channel", "event", "has_deltas", "head_chars", "is_finished", "is_masked", "is_part_done",
        "is_shown", "is_text_done", "key", "lane", "path", "pending", "released", "said", "template",
    )  # fmt: skip

    def __init__(self, key: Key, channel: Channel, event: str, path: Path = ("delta",)) -> None:
        self.key = key
        self.channel = channel
        self.event = event
        """The event type of its deltas, without `.delta` where the wire documents it."""
        self.path = path
        """Where its deltas stand in their events."""
        self.lane: Lane | None = None
        """Its lane, from its first text until it is finished."""
        self.said: list[str] = []
        self.is_finished = False
        self._surrogates = Surrogates()
        # What the writer knows of it.
        self.released: list[str] = []
        self.pending: list[str] = []
        self.head_chars = 0
        """How many characters of ours stand before the model's, in code points: annotations count from there."""
        self.is_masked = False
        self.is_shown = False
        """Whether the client has seen an event with this text in it."""
        self.has_deltas = False
        self.is_text_done = False
        self.is_part_done = False
        self.template: Mapping[str, Any] | None = None
        """The event of its last delta, for the members that small events repeat."""

    @property
    def output_index(self) -> int:
        """The index of its item in `output`."""
        return self.key[0]

    def joined(self, text: str) -> str:
        """`text` with surrogate pairs joined that were cut apart between two deltas."""
        return self._surrogates.feed(text)

    def rest(self) -> str:
        """A replacement character for half a pair that never became whole."""
        return self._surrogates.close()

    def text(self) -> str:
        """What has left."""
        if len(self.released) > 1:
            self.released = ["".join(self.released)]
        return self.released[0] if self.released else ""

    def so_far(self) -> str:
        """What the upstream has said."""
        if len(self.said) > 1:
            self.said = ["".join(self.said)]
        return self.said[0] if self.said else ""


class PartSlot(Slot):
    """A place of the text of a part, or of a text that comes whole and is no part. `taken` counts what was released."""

    __slots__ = ("part", "taken")

    def __init__(self, frame: Frame, container: Any, key: str | int, text: str, part: Part | None) -> None:
        super().__init__(frame, container, key, text, ())
        self.part = part
        self.taken = 0


class EventFrame(Frame):
    """One event, or one plain response.

    `is_marked`: its last event is an `Opaque`, and only that lets it out. Others hold one delta and leave with it.
    `is_delta`: its texts are pieces, not whole. `after`: how many marked frames the reader made before it. Duties keep
    those in order, but a text may overtake them.
    """

    __slots__ = ("after", "annotations", "is_delta", "is_marked", "kind", "logprobs", "repeats")

    def __init__(self, tree: dict[str, Any], raw: bytes, kind: str, after: int = 0) -> None:
        super().__init__(tree, raw)
        self.kind = kind
        self.after = after
        self.is_marked = False
        self.is_delta = False
        self.repeats: list[tuple[Part, Any, str | int]] = []
        """Places to fill with all that was released of a part."""
        self.annotations: list[tuple[Part, dict[str, Any]]] = []
        """Annotations that count characters of a part."""
        self.logprobs: dict[int, Part] = {}
        """The parts of attachments that tell tokens, by the identity of the attachment."""

    def slots(self) -> Iterator[Slot]:
        """The places of texts."""
        return (part for part in self.parts if isinstance(part, Slot))

    def attachments(self) -> Iterator[Attachment]:
        """What tells something of a text, and members that are checked whole."""
        return (part for part in self.parts if isinstance(part, Attachment))


def asks_for_structure(holder: Any) -> bool:
    """Whether a request or a response says that its text must be machine-readable (JSON mode, a schema)."""
    text = holder.get("text") if isinstance(holder, Mapping) else None
    form = text.get("format") if isinstance(text, Mapping) else None
    return isinstance(form, Mapping) and form.get("type") not in (None, "text")
