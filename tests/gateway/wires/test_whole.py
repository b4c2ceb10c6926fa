# SPDX-License-Identifier: Apache-2.0
"""A structure leaves whole or not at all, and nothing of it waits for what the model says later."""

from __future__ import annotations

from typing import Any

from content_filter import ContentFilter, TermSet
from gateway.events import Channel, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt
from gateway.filtering import AnswerFilter
from gateway.wires.frames import Frame, Slot
from gateway.wires.whole import WholeTexts, gathered, is_cut, is_whole

FILTER = ContentFilter(TermSet.of(("禁词", "A1a"), ("假词", "A4f", "mask")))


def whole(tree: dict[str, Any], frame: Frame, choice: int = 0) -> list[Event]:
    """The events of the structure in `tree["input"]`."""
    texts = WholeTexts(frame, choice)
    return [*texts.add(tree, "input"), *texts.end()]


def filtered(events: list[Event]) -> tuple[list[Event], Exchange]:
    """What leaves a stream's filter."""
    exchange = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", True, [], {}))
    return AnswerFilter(exchange, FILTER).feed(events), exchange


def test_keys_and_values_are_one_text_and_end_at_once() -> None:
    """In a choice of their own, which no duty writes into."""
    tree = {"input": {"path": "/tmp", "more": ["x", 1, None]}}
    text, end = whole(tree, Frame(tree))
    assert isinstance(text, TextDelta) and isinstance(end, Finish)
    assert text.lane.choice == end.choice < -1
    for word in ("path", "/tmp", "more", "x"):
        assert word in text.text
    assert is_whole(text) and is_whole(end)


def test_choices_do_not_meet() -> None:
    """Each has a place of its own below zero."""
    tree = {"input": {"a": "b"}}
    lanes = {
        event.lane for choice in (0, 1) for event in whole(tree, Frame(tree), choice) if isinstance(event, TextDelta)
    }
    assert len(lanes) == 2


def test_a_structure_without_texts_has_no_events() -> None:
    """Nothing to look at, nothing to end."""
    for value in (None, 7, {}, []):
        tree = {"input": value}
        frame = Frame(tree)
        assert whole(tree, frame) == [] and frame.parts == []


def test_a_structure_that_passes_goes_out_as_it_came() -> None:
    """Also where it ends in the beginning of a forbidden word."""
    tree = {"input": {"a": "x禁"}}
    frame = Frame(tree)
    events = whole(tree, frame)
    out, _ = filtered(events)
    assert out == events and not is_cut(frame, out)


def test_a_word_does_not_reach_from_one_text_into_the_next() -> None:
    """They are read apart."""
    tree = {"input": {"a": "禁", "b": "词"}}
    _, exchange = filtered(whole(tree, Frame(tree)))
    assert exchange.outcome is Outcome.OPEN


def test_a_structure_that_is_stopped_is_cut() -> None:
    """Its end never came."""
    tree = {"input": {"a": "x禁词"}}
    frame = Frame(tree)
    out, exchange = filtered(whole(tree, frame))
    assert exchange.outcome is Outcome.STOPPED
    assert is_cut(frame, [event for event in out if getattr(event, "carrier", None) is not None])


def test_a_masked_structure_keeps_its_form() -> None:
    """Texts are masked in their places."""
    tree: dict[str, Any] = {"input": {"a": ["x假词"], "b": 1}}
    out, _ = filtered(whole(tree, Frame(tree)))
    (text,) = [event for event in out if isinstance(event, TextDelta)]
    assert isinstance(text.carrier, Slot)
    text.carrier.put(text.text)
    assert tree["input"] == {"a": ["x**"], "b": 1}


def test_what_is_whole_leaves_with_the_first_of_its_frame() -> None:
    """A duty may have written between; other events keep their order."""
    tree = {"input": {"a": "b"}, "said": "x"}
    frame = Frame(tree)
    said = TextDelta(Lane(0, Channel.ANSWER), "x", Slot(frame, tree, "said", "x", ("said",)))
    written = TextDelta(Lane(0, Channel.ANSWER), "label")
    structure = whole(tree, frame)
    assert list(gathered([said, written, *structure])) == [said, *structure, written]
    assert list(gathered([said, written])) == [said, written]
