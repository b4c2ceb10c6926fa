# SPDX-License-Identifier: Apache-2.0
"""The stream guard is exact: it decides as the whole text would be, leaks nothing and holds nothing too long."""

import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from content_filter.errors import FilterError
from content_filter.guard import GuardStep, Replacement, StreamGuard, mask_text
from content_filter.matcher import Match, TermMatcher
from content_filter.terms import Action, TermSet

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(guard: StreamGuard, pieces: list[str]) -> list[GuardStep]:
    """All steps, the closing one last."""
    return [*map(guard.feed, pieces), guard.close()]


def masked_set(steps: list[GuardStep]) -> set[int]:
    """Every masked character; asserts that none is reported twice and that each lies in its own step's release."""
    seen: set[int] = set()
    before = 0
    for step in steps:
        for replacement in step.replacements:
            span = set(range(replacement.start, replacement.end))
            assert span
            assert not span & seen
            assert before <= replacement.start
            assert replacement.end <= step.release
            assert replacement.continued == (replacement.start - 1 in seen)
            seen |= span
        before = step.release
    return seen


@settings(UNHURRIED, max_examples=300)
@given(st.data())
def test_a_stream_of_block_terms_is_judged_as_the_whole_text(model: SimpleNamespace, data: st.DataObject) -> None:
    """Any block terms, any text, any chunking: same match, nothing of it released, all before it released in order."""
    terms = data.draw(model.term_sets(Action.BLOCK))
    pieces = data.draw(model.chunked(terms))
    text = "".join(pieces)
    matcher = TermMatcher(terms)
    expected = matcher.find(text)
    steps = run(StreamGuard(matcher), pieces)

    releases = [step.release for step in steps]
    assert releases == sorted(releases)
    assert steps[-1].match == expected
    assert releases[-1] == (len(text) if expected is None else expected.start)
    assert all(step.replacements == () and step.noted == () for step in steps)


@settings(UNHURRIED, max_examples=300)
@given(st.data())
def test_mixed_actions_follow_the_definition_in_any_chunking(model: SimpleNamespace, data: st.DataObject) -> None:
    """Block wins and ends; masks and flags up to there all count, each once; masked is what masks cover."""
    terms = data.draw(model.term_sets(*Action))
    pieces = data.draw(model.chunked(terms))
    text = "".join(pieces)
    plain = model.Model(terms)
    matches: list[Match] = plain.matches(text)
    stop = next((match for match in matches if match.action is Action.BLOCK), None)
    seen = text if stop is None else text[: stop.end]
    released = len(text) if stop is None else stop.start
    steps = run(StreamGuard(TermMatcher(terms)), pieces)

    assert steps[-1].match == stop
    assert steps[-1].release == released
    others = [match for match in matches if match.end <= len(seen) and match.action is not Action.BLOCK]
    assert [match for step in steps for match in step.noted] == others
    covered = {at for match in others if match.action is Action.MASK for at in range(match.start, match.end)}
    assert masked_set(steps) == {at for at in covered if at < released}


@settings(UNHURRIED, max_examples=300)
@given(st.data())
def test_after_every_event_only_the_pending_partial_match_is_held(model: SimpleNamespace, data: st.DataObject) -> None:
    """release == start of the longest suffix that is a proper prefix of a block or mask term; flags hold nothing."""
    terms = data.draw(model.term_sets(*Action))
    pieces = data.draw(model.chunked(terms))
    plain = model.Model(terms)
    guard = StreamGuard(TermMatcher(terms))
    fed = ""
    for piece in pieces:
        step = guard.feed(piece)
        fed += piece
        if step.match is not None:
            assert step.release == step.match.start
            assert guard.position == step.match.end
            break

        assert step.release == plain.pending_from(fed)
        assert guard.position == len(fed)


@settings(UNHURRIED, max_examples=60)
@given(st.data())
def test_long_events_are_judged_as_the_same_text_in_single_characters(
    model: SimpleNamespace, data: st.DataObject
) -> None:
    """The shortcut through the whole-text engine changes nothing: release, match, masks and notes are the same."""
    terms = data.draw(model.term_sets(*Action))
    fillers = st.sampled_from(["a" * 300, "xyz " * 90, "说" * 5000, "\u200b" * 400, "ﬁ" * 200, "b\u0301" * 300])
    part = st.lists(st.one_of(fillers, model.chunked(terms).map("".join)), min_size=1, max_size=3).map("".join)
    pieces = data.draw(st.lists(part, min_size=1, max_size=2))
    matcher = TermMatcher(terms)
    long, single = StreamGuard(matcher), StreamGuard(matcher)
    for piece in pieces:
        got = long.feed(piece)
        steps = [single.feed(char) for char in piece] or [single.feed("")]

        assert (got.release, got.match, long.position) == (steps[-1].release, steps[-1].match, single.position)
        assert got.noted == tuple(note for step in steps for note in step.noted)
        assert masked_set([got]) == masked_set(steps)
    assert long.close().release == single.close().release


def test_what_a_long_event_leaves_out_does_not_join_its_ends() -> None:
    """The end of the walked head and the start of the walked tail are no neighbours: no match across the gap."""
    guard = StreamGuard(TermMatcher(TermSet.of(("abc", "A1h"))))

    assert guard.feed("xxa" + "y" * 200 + "bca") == GuardStep(205)
    assert guard.feed("b").release == 205
    assert guard.feed("c").match is not None


def test_a_word_that_begins_before_a_long_event_is_found_in_it() -> None:
    """What was pending goes on into the head of a long event."""
    guard = StreamGuard(TermMatcher(TermSet.of(("abc", "A1h"))))

    assert guard.feed("xxa").release == 2
    step = guard.feed("bc" + "y" * 5000)
    assert step.match is not None
    assert (step.release, step.match.start, step.match.end, guard.position) == (2, 2, 5, 5)


@settings(UNHURRIED)
@given(st.lists(st.text("ab传統\u200b", max_size=4)))
@example(["ab", "", "ab"])
def test_without_terms_everything_is_released_at_once(pieces: list[str]) -> None:
    """An empty set holds nothing back."""
    guard = StreamGuard(TermMatcher(TermSet.of()))
    fed = 0
    for piece in pieces:
        fed += len(piece)
        assert guard.feed(piece) == GuardStep(fed)


def test_a_word_split_over_three_events_never_leaves() -> None:
    """The case on which gateways fail: a forbidden word in three events."""
    guard = StreamGuard(TermMatcher(TermSet.of(("forbidden", "A1h"))))
    steps = run(guard, ["it is for", "bid", "den fruit", "and more"])

    assert [step.release for step in steps] == [6, 6, 6, 6, 6]
    assert steps[1].match is None
    assert steps[2].match is not None
    assert (steps[2].match.start, steps[2].match.end, guard.position) == (6, 15, 15)
    assert steps[3] == steps[4] == GuardStep(6, steps[2].match)


def test_a_false_start_is_released_with_its_next_character() -> None:
    """What turns out to be harmless leaves at once, invisible characters with it."""
    guard = StreamGuard(TermMatcher(TermSet.of(("暴力恐怖", "A1d"))))

    assert guard.feed("反\u200b暴\u200b").release == 2
    assert guard.feed("\u0301").release == 2
    assert guard.feed("力").release == 2
    assert guard.feed("的").release == 7
    assert guard.feed("暴力").release == 7
    assert guard.close().release == 9


def test_a_flag_term_holds_nothing_and_stops_nothing() -> None:
    """Flagged text streams as if no term were there, and is reported."""
    guard = StreamGuard(TermMatcher(TermSet.of(("flagged", "A4a", "flag"))))

    assert guard.feed("flag").release == 4
    step = guard.feed("ged!")
    assert (step.release, step.match, step.replacements) == (8, None, ())
    assert [(match.start, match.end, match.action) for match in step.noted] == [(0, 7, "flag")]


def test_a_mask_that_overlaps_a_block_is_masked_up_to_the_block() -> None:
    """Block wins: its characters never leave, and what a mask covers before it leaves masked."""
    guard = StreamGuard(TermMatcher(TermSet.of(("abc", "A1a", "mask"), ("bcd", "A1b"))))
    first, second = guard.feed("xabc"), guard.feed("d")

    assert (first.release, first.match, first.replacements) == (2, None, (Replacement(1, 2, False),))
    assert second.match is not None
    assert (second.release, second.match.start, second.match.end, second.replacements) == (2, 2, 5, ())


def test_a_masked_run_released_in_pieces_says_that_it_goes_on() -> None:
    """A caller that writes one text for a run can tell a continued run from a new one."""
    guard = StreamGuard(TermMatcher(TermSet.of(("abc", "A1a", "mask"), ("bce", "A1a", "mask"), ("cefg", "A1a"))))
    steps = run(guard, ["abc", "e", "x abc"])

    assert [step.replacements for step in steps] == [
        (Replacement(0, 1, False),),
        (Replacement(1, 2, True),),
        (Replacement(2, 4, True), Replacement(6, 7, False)),
        (Replacement(7, 9, True),),
    ]


def test_masked_text_is_written_with_marks_and_keeps_its_length() -> None:
    """mask_text replaces exactly the characters of the replacements."""
    assert mask_text("keep bad keep", 100, [Replacement(105, 108, False)]) == "keep *** keep"
    assert mask_text("ab", 7, [Replacement(7, 8, False), Replacement(8, 9, True)], "█") == "██"
    assert mask_text("ab", 0, []) == "ab"


@pytest.mark.parametrize("span", [(4, 6), (6, 8), (8, 9), (6, 6)])
def test_a_replacement_outside_of_the_text_is_refused(span: tuple[int, int]) -> None:
    """A caller that mixes up its offsets hears of it, and no unmasked text comes out."""
    with pytest.raises(FilterError, match="outside of the text"):
        mask_text("ab", 5, [Replacement(*span, False)])


def test_a_closed_guard_takes_no_more_text() -> None:
    """After the end there is no lane; closing again repeats the last word."""
    guard = StreamGuard(TermMatcher(TermSet.of(("bad", "A1h"))))
    guard.feed("ba")

    assert guard.close() == guard.close() == GuardStep(2)
    with pytest.raises(FilterError, match="closed"):
        guard.feed("d")


def test_memory_depends_on_the_longest_term_only() -> None:
    """A stream of a million characters leaves no more behind than the pending partial match."""
    guard = StreamGuard(TermMatcher(TermSet.of(("b" * 20 + "c", "A1h"))))
    guard.feed("warm up")
    tracemalloc.start()
    try:
        for _ in range(250):
            guard.feed("b" * 4000)
            for _ in range(5):
                guard.feed("bb\u200b")
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert guard.position == len("warm up") + 250 * 4015
    assert grown < 20_000


def test_two_lanes_never_mix() -> None:
    """Guards share the automaton and nothing else."""
    matcher = TermMatcher(TermSet.of(("badword", "A1h")))
    left, right = StreamGuard(matcher), StreamGuard(matcher)
    left.feed("bad")

    assert right.feed("word") == GuardStep(4)
    assert left.feed("word").match is not None
