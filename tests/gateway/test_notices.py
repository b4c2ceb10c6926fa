# SPDX-License-Identifier: Apache-2.0
"""What a person must read beside the answer stands in it where there is text, else in the envelope."""

from __future__ import annotations

import pytest

from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt, PromptText
from gateway.filtering import CONTENT_FILTER
from gateway.messages import MESSAGES
from gateway.notices import NoticesInAnswer

ANSWER = Lane(0, Channel.ANSWER)
NOTICE = "You are talking to an AI."


def exchange(*, notice: str = "", structured: bool = False, asked: str = "hello") -> Exchange:
    """An exchange that owes this notice."""
    prompt = Prompt("m", True, [PromptText("messages.0.content", "user", asked)], {}, is_structured=structured)
    return Exchange("r", 0.0, "w", "/", prompt=prompt, head_notice=notice)


def texts(events: list[Event], choice: int = 0) -> list[str]:
    """The texts of a choice's answer."""
    return [
        event.text for event in events if isinstance(event, TextDelta) and event.lane == Lane(choice, Channel.ANSWER)
    ]


def test_without_a_notice_nothing_is_touched() -> None:
    """The common case."""
    events: list[Event] = [TextDelta(ANSWER, "a"), Finish(0, CONTENT_FILTER), End()]
    duty = NoticesInAnswer(exchange())
    assert duty.feed(events) == events
    assert not duty.is_told and duty.decision() is None and duty.flush() == []


def test_the_notice_stands_at_the_head_of_each_choice_once() -> None:
    """Whichever a client shows, the person reads it."""
    duty = NoticesInAnswer(exchange(notice=NOTICE))
    out = duty.feed([TextDelta(ANSWER, "a"), TextDelta(Lane(1, Channel.ANSWER), "b"), TextDelta(ANSWER, "c")])
    out += duty.feed([TextDelta(ANSWER, "d"), Finish(0, "stop"), End()])
    assert texts(out) == [f"{NOTICE}\n\n", "a", "c", "d"]
    assert texts(out, 1) == [f"{NOTICE}\n\n", "b"]
    assert duty.is_told


def test_thinking_is_no_answer() -> None:
    """The notice waits for text that is shown."""
    thought = TextDelta(Lane(0, Channel.REASONING), "hm")
    duty = NoticesInAnswer(exchange(notice=NOTICE))
    assert duty.feed([thought]) == [thought]
    assert not duty.is_told


@pytest.mark.parametrize("structured", [True, False])
def test_where_no_text_may_be_touched_the_notice_travels_in_the_envelope(structured: bool) -> None:
    """JSON mode, or an answer of tool calls alone; then nobody counts as told yet."""
    asked = exchange(notice=NOTICE, structured=structured)
    duty = NoticesInAnswer(asked)
    lane = ANSWER if structured else Lane(0, Channel.TOOL_ARGUMENTS)
    events: list[Event] = [TextDelta(lane, "{}"), Finish(0, "stop"), End()]
    assert duty.feed(events) == events
    assert asked.notices == [{"kind": "first_contact", "text": NOTICE}]
    assert not duty.is_told


@pytest.mark.parametrize(("asked", "language"), [("hello", "en"), ("你好", "zh")])
def test_a_stopped_answer_says_so_in_the_language_of_the_question(asked: str, language: str) -> None:
    """Behind what has left, on lines of its own."""
    stopped = exchange(asked=asked)
    stopped.outcome, stopped.released_chars = Outcome.STOPPED, 4
    duty = NoticesInAnswer(stopped)
    out = duty.feed([Finish(0, CONTENT_FILTER), Finish(1, CONTENT_FILTER), End()])
    words = MESSAGES["answer_stopped"][language]
    assert texts(out) == texts(out, 1) == [f"\n\n{words}"]
    assert isinstance(out[0], TextDelta) and isinstance(out[1], Finish)


def test_where_nothing_has_left_the_words_stand_alone() -> None:
    """No empty lines before them."""
    stopped = exchange()
    stopped.outcome = Outcome.STOPPED
    assert texts(NoticesInAnswer(stopped).feed([Finish(0, CONTENT_FILTER), End()])) == [
        MESSAGES["answer_stopped"]["en"]
    ]


def test_a_stopped_structured_answer_says_so_in_the_envelope_once() -> None:
    """However many choices it has."""
    stopped = exchange(structured=True)
    stopped.outcome = Outcome.STOPPED
    events: list[Event] = [Finish(0, CONTENT_FILTER), Finish(1, CONTENT_FILTER), End()]
    assert NoticesInAnswer(stopped).feed(events) == events
    assert stopped.notices == [{"kind": "answer_stopped", "text": MESSAGES["answer_stopped"]["en"]}]


def test_the_upstreams_own_filter_ends_its_answer_without_our_words() -> None:
    """It stopped, we did not."""
    ended = Finish(0, CONTENT_FILTER, "frame")
    asked = exchange(notice=NOTICE)
    assert NoticesInAnswer(asked).feed([ended]) == [ended]


def test_an_app_that_cannot_show_notices_has_them_in_the_text() -> None:
    """Behind the first-contact notice, at the head of each choice; they stay in the envelope."""
    asked = exchange(notice=NOTICE)
    asked.notices += [{"kind": "minor_break", "text": "Take a break."}, {"kind": "retraction", "lanes": []}]
    duty = NoticesInAnswer(asked, in_text=True)
    out = duty.feed([TextDelta(ANSWER, "a"), Finish(0, "stop"), End()])
    assert texts(out) == [f"{NOTICE}\n\nTake a break.\n\n", "a"]
    assert [notice["kind"] for notice in asked.notices] == ["minor_break", "retraction"]
    assert texts(NoticesInAnswer(asked).feed([TextDelta(ANSWER, "a")])) == [f"{NOTICE}\n\n", "a"]


def test_what_stands_in_the_envelope_is_no_first_contact() -> None:
    """Where there is no text, only the notice itself is added."""
    asked = exchange(structured=True)
    asked.notices.append({"kind": "incident", "text": "It happened."})
    events: list[Event] = [TextDelta(ANSWER, "{}"), End()]
    assert NoticesInAnswer(asked, in_text=True).feed(events) == events
    assert [notice["kind"] for notice in asked.notices] == ["incident"]
