# SPDX-License-Identifier: Apache-2.0
"""The filter as duties: what a prompt may ask, what of an answer may leave and in which order."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_filter import ContentFilter, FilterHandle, TermSet
from gateway.decisions import Action, Refusal, Verdict
from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta, Usage
from gateway.exchange import Exchange, Outcome, Prompt, PromptText
from gateway.filtering import CONTENT_FILTER, MOST_DECISIONS, AnswerFilter, PromptFilter

BLOCKED, MASKED, FLAGGED = "禁词", "假词", "旗词"
FILTER = ContentFilter(TermSet.of((BLOCKED, "A1a"), (MASKED, "A4f", "mask"), (FLAGGED, "A2e", "flag")))
ANSWER, THOUGHT = Lane(0, Channel.ANSWER), Lane(0, Channel.REASONING)
NAME, ARGUMENTS = Lane(0, Channel.TOOL_NAME), Lane(0, Channel.TOOL_ARGUMENTS)


def exchange(*prompt: str, stream: bool = True, structured: bool = False) -> Exchange:
    """An exchange whose prompt has these texts."""
    texts = [PromptText(f"messages.{place}.content", "user", text) for place, text in enumerate(prompt)]
    return Exchange(
        "r", 0.0, "w", "/", prompt=Prompt("m", stream, texts, {"private": "body"}, is_structured=structured)
    )


def ask(*prompt: str) -> Exchange:
    """The exchange after the prompt's filter."""
    asked = exchange(*prompt)
    asyncio.run(PromptFilter(FilterHandle(FILTER))(asked))
    return asked


def refused(*prompt: str) -> Refusal:
    """The refusal of a prompt."""
    with pytest.raises(Refusal) as caught:
        ask(*prompt)
    return caught.value


def said(events: list[Event], lane: Lane = ANSWER) -> str:
    """The text of a lane."""
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.lane == lane)


def fed(duty: AnswerFilter, *events: Event) -> list[Event]:
    """What leaves, fed one by one."""
    return [out for event in events for out in duty.feed([event])]


# Prompts.


def test_a_clean_prompt_goes_on_and_its_filter_is_pinned() -> None:
    """The same filter judges the answer, whatever is loaded meanwhile."""
    asked = ask("hello", "there")
    assert asked.filter is FILTER and asked.filter_digest == FILTER.digest
    assert asked.decisions == []


@pytest.mark.parametrize("term", [BLOCKED, MASKED])
def test_a_hit_refuses_in_band_and_says_where_without_saying_what(term: str) -> None:
    """A question cannot be masked without changing it, so a masking term refuses too."""
    refusal = refused("fine", f"well, {term}!")
    decision = refusal.decision
    assert (decision.action, decision.role, decision.channel) == (Action.REFUSE, "prompt", "messages.1.content")
    assert (decision.start, decision.end) == (6, 8)
    assert refusal.in_band and refusal.code == "content_filter"
    assert term not in refusal.message and term not in repr(decision)


def test_the_refusal_speaks_the_language_of_the_question() -> None:
    """Words that nobody can read name no next step."""
    assert "/duty/complaints" in refused(f"a word: {FLAGGED} {BLOCKED}").message
    assert refused(BLOCKED).message.startswith("抱歉")


def test_a_flag_is_recorded_and_lets_through() -> None:
    """Verdict and action are two facts."""
    (decision,) = ask(f"so {FLAGGED}").decisions
    assert (decision.verdict, decision.action) == (Verdict.FLAG, Action.ALLOW)


def test_the_strongest_text_of_a_prompt_decides() -> None:
    """A flag in front of it hides no block."""
    assert refused(FLAGGED, MASKED, BLOCKED).decision.verdict is Verdict.BLOCK


def test_without_a_prompt_there_is_nothing_to_check() -> None:
    """A list of models."""
    asked = Exchange("r", 0.0, "w", "/")
    asyncio.run(PromptFilter(FilterHandle(FILTER))(asked))
    assert asked.filter is FILTER


# Answers: order.


def test_what_cannot_be_a_match_leaves_as_the_event_that_came() -> None:
    """Identity tells the writer that a frame is unchanged."""
    event = TextDelta(ANSWER, "hello", object())
    duty = AnswerFilter(exchange(), FILTER)
    assert duty.feed([event]) == [event]


def test_lanes_do_not_wait_for_each_other() -> None:
    """A pending match in the reasoning does not hold back the answer."""
    duty = AnswerFilter(exchange(), FILTER)
    assert fed(duty, TextDelta(THOUGHT, "禁")) == []
    assert said(fed(duty, TextDelta(ANSWER, "a"))) == "a"
    assert said(fed(duty, TextDelta(THOUGHT, "止")), THOUGHT) == "禁止"


pieces = st.lists(
    st.tuples(
        st.sampled_from([ANSWER, THOUGHT, ARGUMENTS, Lane(1, Channel.ANSWER), Lane(0, Channel.OTHER, 3)]),
        st.text("a禁假旗词", min_size=1, max_size=5),
        st.booleans(),
    ),
    max_size=10,
)


@settings(max_examples=150)
@given(pieces, st.sets(st.integers(0, 10)))
def test_any_number_of_lanes_keep_their_order_and_their_attachments(
    deltas: list[tuple[Lane, str, bool]], cuts: set[int]
) -> None:
    """Interleaved and batched in any way: a lane's text is the filtered whole, and nothing told of it overtakes it."""
    events: list[Event] = []
    for lane, text, is_told in deltas:
        events.append(TextDelta(lane, text))
        if is_told:
            events.append(Attached(lane, (), len(said(events, lane))))
    events += [Finish(0, "stop"), Finish(1, "stop"), End()]
    asked = exchange()
    duty = AnswerFilter(asked, FILTER)
    out = [
        event
        for start, end in pairwise(sorted({0, len(events), *(cut % len(events) for cut in cuts)}))
        for event in duty.feed(events[start:end])
    ]
    is_stopped = asked.outcome is Outcome.STOPPED
    assert is_stopped == any(BLOCKED in said(events, lane) for lane, _, _ in deltas)
    for lane in {lane for lane, _, _ in deltas}:
        whole = said(events, lane).partition(BLOCKED)[0].replace(MASKED, "**")
        assert whole.startswith(said(out, lane)) if is_stopped else said(out, lane) == whole
        seen = 0
        for event in out:
            if isinstance(event, TextDelta) and event.lane == lane:
                seen += len(event.text)
            elif isinstance(event, Attached) and event.lane == lane:
                assert isinstance(event.carrier, int) and event.carrier <= seen
    assert isinstance(out[-1], End)
    told = sum(isinstance(event, Attached) for event in events) - sum(isinstance(event, Attached) for event in out)
    assert told == 0 or is_stopped or MASKED in "".join(said(events, lane) for lane, _, _ in deltas)


def test_an_attachment_waits_for_its_text() -> None:
    """What tells of a held token is held."""
    told = Attached(ANSWER, (), "told")
    duty = AnswerFilter(exchange(), FILTER)
    assert fed(duty, TextDelta(ANSWER, "禁"), told) == []
    assert fed(duty, TextDelta(ANSWER, "x"))[1] is told


def test_an_attachment_of_masked_text_is_left_out_and_later_ones_stay() -> None:
    """Its tokens would spell what the mask hides."""
    told = [Attached(ANSWER, (), number) for number in range(4)]
    texts = ["fine", "假", "词", " more"]
    duty = AnswerFilter(exchange(), FILTER)
    events = [event for pair in zip((TextDelta(ANSWER, t) for t in texts), told, strict=True) for event in pair]
    out = fed(duty, *events, Finish(0, "stop"))
    assert said(out) == "fine** more"
    assert [event for event in out if isinstance(event, Attached)] == [told[0], told[3]]


@pytest.mark.parametrize("term", [BLOCKED, MASKED])
def test_an_attachment_with_a_forbidden_word_of_its_own_is_dropped(term: str) -> None:
    """The answer itself goes on; the record says that something was left out."""
    asked = exchange()
    out = fed(AnswerFilter(asked, FILTER), TextDelta(ANSWER, "a"), Attached(ANSWER, ("b", term)))
    assert len(out) == 1 and asked.outcome is Outcome.OPEN
    assert asked.decisions[0].action is Action.MODIFY


def test_the_name_of_a_tool_leaves_before_its_arguments() -> None:
    """Even where it is the beginning of a forbidden word."""
    duty = AnswerFilter(exchange(), FILTER)
    assert fed(duty, TextDelta(NAME, "禁")) == []
    out = duty.feed([TextDelta(ARGUMENTS, "{}")])
    assert [event.lane for event in out if isinstance(event, TextDelta)] == [NAME, ARGUMENTS]
    assert said(out, NAME) == "禁"


def test_a_lane_that_goes_on_after_it_ended_is_still_one_text() -> None:
    """A name in two pieces around its arguments, a text behind the end of its choice: joined it is the word."""
    asked = exchange()
    duty = AnswerFilter(asked, FILTER)
    out = fed(duty, TextDelta(NAME, "x禁"), TextDelta(ARGUMENTS, "{}"), TextDelta(NAME, "词y"))
    assert asked.outcome is Outcome.STOPPED and said(out, NAME) == "x禁"
    asked = exchange()
    out = fed(AnswerFilter(asked, FILTER), TextDelta(ANSWER, "a禁"), Finish(0, "stop"), TextDelta(ANSWER, "词"))
    assert asked.outcome is Outcome.STOPPED and said(out) == "a禁"
    asked = exchange()
    out = fed(
        AnswerFilter(asked, FILTER), TextDelta(ANSWER, "a禁"), Finish(0, "stop"), TextDelta(ANSWER, "止假词"), End()
    )
    assert asked.outcome is Outcome.OPEN and said(out) == "a禁止**"


def test_a_lane_may_end_more_than_once_inside_a_word() -> None:
    """However often the upstream says that it has ended: what of a word had left before still counts."""
    asked = exchange()
    duty = AnswerFilter(asked, ContentFilter(TermSet.of(("forbidden", "A1a"))))
    events: list[Event] = []
    for piece in ("ok for", "bid", "", "de", "n after"):
        events += [TextDelta(ANSWER, piece), Finish(0, "stop")]
    out = fed(duty, *events)
    assert said(out) == "ok forbidde"
    assert isinstance(out[-1], End) and asked.outcome is Outcome.STOPPED


def test_what_no_duty_looks_at_goes_through() -> None:
    """In its place among the others."""
    events: list[Event] = [Opaque(1), Usage(1, 2), Finish(0, "stop"), End()]
    assert AnswerFilter(exchange(), FILTER).feed(events) == events


# Answers: stopping.


def test_a_stop_ends_every_choice_that_has_begun_and_nothing_follows() -> None:
    """In the fixed word that each wire spells its own way."""
    asked = exchange()
    duty = AnswerFilter(asked, FILTER)
    other = Lane(1, Channel.ANSWER)
    fed(duty, TextDelta(other, "a"), TextDelta(Lane(2, Channel.ANSWER), "b"), Finish(2, "stop"))
    out = duty.feed([TextDelta(ANSWER, f"well {BLOCKED} more"), TextDelta(other, "late")])
    assert said(out) == "well "
    assert {event.choice: event.reason for event in out if isinstance(event, Finish)} == {
        0: CONTENT_FILTER,
        1: CONTENT_FILTER,
    }
    assert isinstance(out[-1], End)
    assert duty.feed([TextDelta(other, "late"), End()]) == [] and duty.flush() == []


def test_a_stop_is_decided_once_with_its_place() -> None:
    """Offsets count in the lane, over all of its pieces."""
    asked = exchange()
    fed(AnswerFilter(asked, FILTER), TextDelta(ANSWER, "abc禁"), TextDelta(ANSWER, "词"))
    (decision,) = asked.decisions
    assert (decision.verdict, decision.action, decision.class_) == (Verdict.BLOCK, Action.STOP, "A1a")
    assert (decision.start, decision.end, decision.channel, decision.choice) == (3, 5, "answer", 0)
    assert asked.released_chars == 3 and asked.most_held == 2


def test_a_match_beside_the_choices_ends_the_answer_too() -> None:
    """A text of the document itself belongs to no choice."""
    asked = exchange()
    out = AnswerFilter(asked, FILTER).feed([TextDelta(Lane(-1, Channel.OTHER), BLOCKED)])
    assert [type(event) for event in out] == [Finish, End]
    assert asked.decisions[0].choice == 0


def test_what_waits_leaves_where_the_upstream_breaks_off() -> None:
    """No match can complete any more."""
    duty = AnswerFilter(exchange(), FILTER)
    fed(duty, TextDelta(ANSWER, "禁"), TextDelta(THOUGHT, "假"))
    out = duty.flush()
    assert said(out) == "禁" and said(out, THOUGHT) == "假"


def test_flags_let_through_and_are_noted() -> None:
    """Nothing waits for a flag."""
    asked = exchange()
    out = fed(AnswerFilter(asked, FILTER), TextDelta(ANSWER, "旗"), TextDelta(ANSWER, "词"))
    assert said(out) == FLAGGED
    assert [(d.verdict, d.action) for d in asked.decisions] == [(Verdict.FLAG, Action.ALLOW)]


def test_the_record_of_an_answer_has_a_size() -> None:
    """A thousand masked words are not a thousand decisions."""
    asked = exchange()
    fed(AnswerFilter(asked, FILTER), TextDelta(ANSWER, MASKED * 500), Finish(0, "stop"))
    assert len(asked.decisions) == MOST_DECISIONS


# Answers: plain.


def test_a_plain_answer_is_one_scan_and_the_same_events() -> None:
    """The common case costs no guard."""
    asked = exchange(stream=False)
    events: list[Event] = [TextDelta(ANSWER, "hello"), Finish(0, "stop"), End("tree")]
    assert AnswerFilter(asked, FILTER).feed(events) == events
    assert asked.released_chars == 5


def test_of_a_plain_answer_that_is_stopped_nothing_is_left() -> None:
    """Every choice ends; the document comes along for its names."""
    asked = exchange(stream=False)
    events: list[Event] = [
        TextDelta(Lane(1, Channel.ANSWER), "fine"),
        TextDelta(ANSWER, f"a{BLOCKED}"),
        Finish(0, "stop"),
        Finish(1, "stop"),
        End("tree"),
    ]
    out = AnswerFilter(asked, FILTER).feed(events)
    assert [(event.choice, event.reason) for event in out[:-1] if isinstance(event, Finish)] == [
        (0, CONTENT_FILTER),
        (1, CONTENT_FILTER),
    ]
    assert len(out) == 3 and isinstance(out[-1], End) and out[-1].carrier == "tree"
    assert asked.released_chars == 0 and asked.outcome is Outcome.STOPPED


def test_places_of_one_lane_are_one_text() -> None:
    """A word that two blocks of a plain answer share is that word."""
    asked = exchange(stream=False)
    AnswerFilter(asked, FILTER).feed([TextDelta(ANSWER, "禁"), TextDelta(ANSWER, "词"), Finish(0, "stop"), End()])
    assert asked.outcome is Outcome.STOPPED


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("lane", "structured"), [(ARGUMENTS, False), (ANSWER, True)])
def test_a_word_in_json_escapes_is_that_word_where_a_program_parses_it(
    lane: Lane, structured: bool, stream: bool
) -> None:
    """And not where people read the text as it stands."""
    text = '{"x": "\\u7981\\u8bcd"}'
    asked = exchange(stream=stream, structured=structured)
    events: list[Event] = [*(TextDelta(lane, character) for character in text), Finish(0, "stop"), End()]
    AnswerFilter(asked, FILTER).feed(events)
    assert asked.outcome is Outcome.STOPPED
    asked = exchange(stream=stream)
    events = [TextDelta(ANSWER, text), Finish(0, "stop"), End()]
    assert said(AnswerFilter(asked, FILTER).feed(events)) == text


def test_it_decides_where_it_finds() -> None:
    """There is nothing to add at the end."""
    answered: Any = AnswerFilter(exchange(), FILTER).decision()
    assert answered is None
