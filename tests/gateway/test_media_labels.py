# SPDX-License-Identifier: Apache-2.0
"""Media that nobody labelled do not leave, and the record says why."""

from __future__ import annotations

from gateway.decisions import Action
from gateway.events import Channel, End, Event, Lane, Media, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.media_labels import StopUnlabelledMedia


def exchange() -> Exchange:
    return Exchange("0199a000-0000-7000-8000-000000000001", 0.0, "openai_images", "/v1/images/generations")


def test_an_answer_stops_at_its_first_unlabelled_medium() -> None:
    """What stood before it passes, nothing after it does."""
    known = exchange()
    duty = StopUnlabelledMedia(known)
    text = TextDelta(Lane(0, Channel.ANSWER), "fine")
    bare = Media(0, "image/png", b"x")
    assert duty.feed([text, bare, text, End()]) == [text, bare]
    assert duty.feed([text]) == []
    assert duty.flush() == []
    assert known.outcome is Outcome.STOPPED
    decision = known.decisions[0]
    assert (decision.action, decision.reason) == (Action.STOP, "unlabelled_media")


def test_a_labelled_medium_passes() -> None:
    """The duty decides nothing then."""
    known = exchange()
    events: list[Event] = [Media(0, "image/png", b"x", is_labelled=True), End()]
    assert StopUnlabelledMedia(known).feed(events) == events
    assert known.decisions == []
    assert known.outcome is Outcome.OPEN
