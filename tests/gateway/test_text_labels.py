# SPDX-License-Identifier: Apache-2.0
"""Every text answer is labelled once, where the policy says, in the language it is written in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Action, Decision
from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta
from gateway.exchange import Exchange, Prompt
from gateway.text_labels import LabelAnswer, TextLabels
from labeling import TextLabel

ZH, EN = "人工智能生成", "AI-generated"
WORDS = TextLabel(ZH, EN, (("人工智能", "AI"), ("生成", "generated")))
CODE = "001191110000MA00000AAT10001"
ANSWER = Lane(0, Channel.ANSWER)


def duty(position: str = "both", *, structured: bool = False) -> LabelAnswer:
    """The duty of one answer."""
    prompt = Prompt("m", True, [], {}, is_structured=structured)
    return LabelAnswer(Exchange("r", 0.0, "w", "/", prompt=prompt), TextLabels(WORDS, position, CODE))


def said(events: list[Event], lane: Lane = ANSWER) -> str:
    """The text of a lane."""
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.lane == lane)


@pytest.mark.parametrize(
    ("position", "expected"),
    [("start", f"{ZH}\n\n答"), ("end", f"答\n\n{ZH}"), ("both", f"{ZH}\n\n答\n\n{ZH}")],
)
def test_the_label_stands_where_the_policy_says(position: str, expected: str) -> None:
    """At the start, at the end, or both."""
    out = duty(position).feed([TextDelta(ANSWER, "答"), Finish(0, "stop"), End()])
    assert said(out) == expected


def test_the_label_speaks_the_language_of_the_text() -> None:
    """As far as its beginning tells; Chinese where it does not."""
    for text, words in (("hello", EN), ("你好", ZH), ("123", ZH)):
        assert said(duty("end").feed([TextDelta(ANSWER, text), Finish(0, "stop")])) == f"{text}\n\n{words}"


pieces = st.lists(st.text("a甲😀人工智能生成\n", min_size=1, max_size=6), min_size=1, max_size=6)


@given(pieces, st.sets(st.integers(0, 9)))
def test_the_text_passes_between_its_labels_in_the_events_that_came(texts: list[str], cuts: set[int]) -> None:
    """No event is replaced, lost or moved, however they come; the label is there once at each end."""
    events: list[Event] = [*(TextDelta(ANSWER, text, object()) for text in texts), Finish(0, "stop"), End()]
    labelled = duty()
    edges = sorted({0, len(events), *(cut % len(events) for cut in cuts)})
    out = [event for start, end in pairwise(edges) for event in labelled.feed(events[start:end])]
    assert [event for event in out if event in events] == events
    whole = "".join(texts)
    added = [event.text for event in out if event not in events and isinstance(event, TextDelta)]
    assert said(out) in {f"{head}{whole}{tail}" for head in ("", f"{ZH}\n\n", f"{EN}\n\n")
                         for tail in ("", f"\n\n{ZH}", f"\n\n{EN}")}  # fmt: skip
    assert len(added) == 2 or ZH in whole
    assert said(out).lstrip().startswith((ZH, EN)) and said(out).rstrip().endswith((ZH, EN))


@pytest.mark.parametrize("end", [[Finish(0, "stop"), End()], [End()], []])
def test_a_text_that_waits_is_let_out_by_every_kind_of_end(end: list[Event]) -> None:
    """A choice that ends, an answer that ends without saying so of its choices, an upstream that breaks off."""
    labelled = duty()
    assert labelled.feed([TextDelta(ANSWER, "人工")]) == []
    out = labelled.feed(end) + ([] if end else labelled.flush())
    assert said(out) == f"{ZH}\n\n人工\n\n{ZH}"
    assert [event for event in out if not isinstance(event, TextDelta)] == end


def test_what_tells_of_a_waiting_text_waits_with_it() -> None:
    """It never overtakes it."""
    labelled = duty()
    told = Attached(ANSWER, (), 1)
    assert labelled.feed([TextDelta(ANSWER, "人"), told]) == []
    out = labelled.feed([TextDelta(ANSWER, "们")])
    assert out.index(told) == 2
    later = Attached(ANSWER, (), 2)
    assert labelled.feed([later]) == [later]


def test_every_choice_and_every_lane_of_answers_is_labelled_for_itself() -> None:
    """And no other lane is."""
    thought, other = Lane(0, Channel.REASONING), Lane(1, Channel.ANSWER)
    events: list[Event] = [TextDelta(lane, "答") for lane in (ANSWER, thought, other)]
    out = duty().feed([*events, Finish(0, "stop"), Finish(1, "stop"), End()])
    assert said(out) == said(out, other) == f"{ZH}\n\n答\n\n{ZH}"
    assert said(out, thought) == "答"


def test_the_end_label_stands_before_the_end_of_its_choice() -> None:
    """A client stops reading there."""
    out = duty().feed([TextDelta(ANSWER, "答"), Finish(1, "stop"), Opaque(), Finish(0, "stop")])
    assert [event.choice for event in out if isinstance(event, Finish)] == [1, 0]
    assert isinstance(out[-1], Finish) and isinstance(out[-2], TextDelta)


def recorded(labelled: LabelAnswer) -> tuple[Action, str]:
    """What the record says."""
    decision: Decision = labelled.decision()
    return decision.action, decision.reason


def test_the_record_says_what_was_done() -> None:
    """Labelled, or left out in-band and why."""
    labelled = duty()
    labelled.feed([TextDelta(ANSWER, "答"), Finish(0, "stop")])
    assert recorded(labelled) == (Action.LABEL, "text")
    empty = duty()
    events: list[Event] = [TextDelta(Lane(0, Channel.TOOL_ARGUMENTS), "{}"), Finish(0, "tool_calls"), End()]
    assert empty.feed(events) == events
    assert recorded(empty) == (Action.SKIP, "no_text")
    structured = duty(structured=True)
    events = [TextDelta(ANSWER, "{}"), Finish(0, "stop"), End()]
    assert structured.feed(events) == events
    assert recorded(structured) == (Action.SKIP, "structured_output")


def test_the_envelope_names_producer_and_record() -> None:
    """`ProduceID` is the record's id, so that from a labelled answer one comes back to it."""
    envelope = TextLabels(WORDS, "both", CODE).envelope("0199a000-0000-7000-8000-000000000001")
    assert len(envelope) == 7
    assert envelope["ContentProducer"] == CODE
    assert envelope["ProduceID"] == "0199a000-0000-7000-8000-000000000001"
