# SPDX-License-Identifier: Apache-2.0
"""Drives one wire's codecs through the answer duties as the runner does, without a gateway around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from content_filter import ContentFilter, TermSet
from gateway.events import End, Event, Media, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.filtering import AnswerFilter
from gateway.notices import NoticesInAnswer
from gateway.text_labels import LabelAnswer, TextLabels
from gateway.wires.interfaces import BadAnswer, Wire
from labeling import TextLabel

TERM = "禁词"
FILTER = ContentFilter(TermSet.of((TERM, "A1a"), ("forbiddenword", "A1d"), ("maskedword", "A4f", "mask")))
WORDS = TextLabel("人工智能生成", "AI-generated", (("人工智能", "AI"), ("生成", "generated")))
HEAD, TAIL = "人工智能生成\n\n", "\n\n人工智能生成"
HEAD_EN, TAIL_EN = "AI-generated\n\n", "\n\nAI-generated"
EVENT_BYTES = 1 << 20


@dataclass
class Answered:
    """What the client got, and what the exchange knows of it."""

    body: bytes
    exchange: Exchange
    parts: list[bytes] = field(default_factory=list)
    """What left after each read of the upstream's body."""


def ask(wire: Wire, path: str, request: bytes, query: str = "", **known: Any) -> Exchange:
    """The exchange of a request that was admitted."""
    with_headers = getattr(wire, "read_request_with_headers", None)
    if with_headers is None:
        prompt = wire.read_request(path, query, request)
    else:
        prompt = with_headers(path, query, request, known.get("headers", ()))
    exchange = Exchange(
        record_id="0199a000-0000-7000-8000-000000000001",
        started_at=1_700_000_000.0,
        wire=wire.name,
        path=path,
        is_generative=wire.is_generative,
        prompt=prompt,
        model=prompt.model,
        **known,
    )
    exchange.label = labels().envelope(exchange.record_id) if wire.is_generative else None
    return exchange


def labels(position: str = "both") -> TextLabels:
    """The label duty's words, as the tests expect them."""
    return TextLabels(WORDS, position, "001191110000MA00000AAT10001")


def answer(
    wire: Wire,
    exchange: Exchange,
    reads: Iterable[bytes],
    *,
    position: str = "both",
    current: ContentFilter = FILTER,
    is_labelled: Callable[[Media], bool] | None = None,
    event_bytes: int = EVENT_BYTES,
) -> Answered:
    """The upstream's body, read by read, through reader, filter, label, notices and writer.

    A body that breaks off ends as the runner ends it; `BadAnswer` before the first byte comes out as it is. Media leave
    as they came only where `is_labelled` takes them for labelled.
    """
    assert exchange.prompt is not None
    reader = wire.reader(exchange.prompt, event_bytes)
    writer = wire.writer(exchange)
    duties = [AnswerFilter(exchange, current), LabelAnswer(exchange, labels(position)), NoticesInAnswer(exchange)]
    parts: list[bytes] = []

    def through(events: list[Event]) -> list[Event]:
        for duty in duties:
            events = duty.feed(events)
        if is_labelled is None:
            return events
        return [
            replace(event, is_labelled=True) if isinstance(event, Media) and is_labelled(event) else event
            for event in events
        ]

    try:
        ended = False
        for data in reads:
            events = through(reader.feed(data))
            parts.append(writer.write(events))
            if events and isinstance(events[-1], End):
                ended = True
                break
        if not ended:
            parts.append(writer.write(through(reader.close())))
        if exchange.outcome is Outcome.OPEN:
            exchange.outcome = Outcome.COMPLETED
    except BadAnswer:
        if not any(parts):
            raise
        exchange.outcome = Outcome.UPSTREAM_FAILED
        for position_, duty in enumerate(duties):
            late = duty.flush()
            for later in duties[position_ + 1 :]:
                late = later.feed(late)
            parts.append(writer.write(late))
        parts.append(writer.broken("upstream_incomplete", "The model behind this service broke off its answer."))
    return Answered(b"".join(parts), exchange, parts)


def read(wire: Wire, exchange: Exchange, reads: Iterable[bytes]) -> list[Event]:
    """The reader's events alone."""
    assert exchange.prompt is not None
    reader = wire.reader(exchange.prompt, EVENT_BYTES)
    events: list[Event] = []
    for data in reads:
        events += reader.feed(data)
    return events + reader.close()


def texts(events: Iterable[Event]) -> dict[tuple[int, str, int], str]:
    """What each lane says: `(choice, channel, item)` to text."""
    said: dict[tuple[int, str, int], str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            key = (event.lane.choice, event.lane.channel.value, event.lane.item)
            said[key] = said.get(key, "") + event.text
    return said


def pieces(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """`body` cut at the positions `cuts` (any order, any value)."""
    edges = [0, *sorted({cut % (len(body) + 1) for cut in cuts}), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]
