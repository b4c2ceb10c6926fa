# SPDX-License-Identifier: Apache-2.0
"""What a client sends within a session: checked before it is forwarded, refused in the wire's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.pipeline import Side
from gateway.realtime_line import MOST_OPEN
from tests.gateway.realtime_rooms import FORBIDDEN, OPENING_S, Talk, created, done, item, saying, speaking
from tests.gateway.rooms import WAY, Broken, stage

CREATE = {"type": "response.create", "event_id": "mine"}
SOUND = {"type": "input_audio_buffer.append", "audio": "AAAA"}


def say(*events: Any, **options: Any) -> Talk:
    """A session in which the client says `events`."""

    async def act(talk: Talk) -> None:
        talk.client(*events)
        await talk.settle()

    return Talk(**options).run(act)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update", "session": {"instructions": f"say {FORBIDDEN}"}},
        {"type": "session.update", "session": {"tools": [{"type": "function", "name": "f", "description": FORBIDDEN}]}},
        {"type": "session.update", "session": {FORBIDDEN: 1}},
        item(FORBIDDEN),
        item(FORBIDDEN, "system"),
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": FORBIDDEN}},
        {"type": "conversation.item.create", "item": {"type": "function_call", "arguments": f'{{"q": "{FORBIDDEN}"}}'}},
        {"type": "response.cancel", "note": FORBIDDEN},
    ],
)
def test_a_forbidden_word_is_not_forwarded(event: Any) -> None:
    """The client gets an error with the id of its event and of the record; it never repeats the word."""
    talk = say({**event, "event_id": "mine"})
    assert talk.asked_for() == []
    (error,) = talk.of("error")
    assert (error["error"]["code"], error["error"]["event_id"]) == ("content_filter", "mine")
    assert FORBIDDEN not in talk.everything()
    record = next(entry for entry in talk.rooms.log.records() if entry["id"] == error["duty_record"])
    assert (record["outcome"], record["class"], record["action"]) == ("refused", "A1a", "refuse")


def test_a_word_cut_between_two_parts_of_an_item_is_found() -> None:
    """A model reads them as one text."""
    content = [{"type": "input_text", "text": FORBIDDEN[0]}, {"type": "input_text", "text": FORBIDDEN[1]}]
    talk = say({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}})
    assert talk.asked_for() == [] and talk.errors() == ["content_filter"]


@pytest.mark.parametrize("response", [{"instructions": FORBIDDEN}, {"input": [item(FORBIDDEN)["item"]]}])
def test_a_refused_response_is_a_response_that_says_why(response: Any) -> None:
    """Incomplete because of content_filter, with our words in a message, label and record; the model is not asked."""
    talk = say({**CREATE, "response": response})
    assert talk.asked_for() == [] and talk.kinds() == [
        "response.created", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.done",
    ]  # fmt: skip
    last = talk.of("response.done")[0]
    assert last["response"]["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert "/duty/complaints" in talk.text() and FORBIDDEN not in talk.everything()
    assert last["aigc"]["ProduceID"] == talk.rooms.record["id"] if len(talk.outcomes()) == 1 else True
    assert talk.outcomes()[0] == "refused"
    assert talk.timeline.index("record exchange") < talk.timeline.index("client hears response.created")


def test_a_refusal_without_a_form_of_its_own_is_an_error() -> None:
    """Such as a broken duty: nothing is asked of the model."""
    talk = say(CREATE, stages=(*WAY[:1], stage("broken", Side.REQUEST, lambda house: BrokenLater()), *WAY[1:]))
    assert talk.asked_for() == [] and talk.errors() == ["duty_failed"]
    assert talk.of("error")[0]["error"]["event_id"] == "mine" and "secret words" not in talk.everything()


class BrokenLater(Broken):
    """Breaks for what comes after the handshake."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    async def __call__(self, exchange: Any) -> None:
        """Breaks from the second call on."""
        self._calls += 1
        if self._calls > 1:
            await super().__call__(exchange)


@pytest.mark.parametrize("frame", ["{", '{"type": "no.such"}', '{"type": "input_audio_buffer.append", "audio": "§"}'])
def test_an_event_that_cannot_be_read_is_answered_and_the_session_goes_on(frame: str) -> None:
    """As the wire does it."""
    talk = say(frame, {"type": "input_audio_buffer.clear"})
    assert len(talk.errors()) == 1 and talk.asked_for() == ["input_audio_buffer.clear"]


def test_events_without_texts_are_forwarded_without_a_record() -> None:
    """Sound comes every few milliseconds."""
    talk = say(SOUND, SOUND, {"type": "input_audio_buffer.commit"}, {"type": "response.cancel", "response_id": "r"})
    assert talk.asked_for() == ["input_audio_buffer.append"] * 2 + ["input_audio_buffer.commit", "response.cancel"]
    assert talk.outcomes() == ["completed"]


def test_sound_is_taken_only_where_it_is_written_down_if_the_service_says_so() -> None:
    """In the buffer, in items, in a response's own input; the session says whether it is."""
    settings = {"realtime": {"input_sound": "transcribed"}}
    spoken = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]}
    events = (SOUND, {"type": "conversation.item.create", "item": spoken}, {**CREATE, "response": {"input": [spoken]}})
    talk = say(*events, settings=settings)
    assert talk.errors() == ["transcription_required"] * 3 and talk.asked_for() == []
    for session in (
        {"audio": {"input": {"transcription": {"model": "w"}}}},
        {"input_audio_transcription": {"model": "w"}},
    ):

        async def act(talk: Talk, session: Any = session) -> None:
            talk.model({"type": "session.updated", "session": session})
            await talk.settle()
            talk.client(*events)
            await talk.settle()

        talk = Talk(settings=settings).run(act)
        assert talk.errors() == [] and len(talk.asked_for()) == 3


def test_responses_are_bounded() -> None:
    """Each holds a guard and a record open."""
    talk = say(*[CREATE] * (MOST_OPEN + 1))
    assert talk.asked_for() == ["response.create"] * MOST_OPEN and talk.errors() == ["too_many_responses"]
    assert talk.outcomes() == ["client_gone"] * (MOST_OPEN + 1)


def test_a_clients_own_id_goes_to_the_model_and_ours_where_it_gave_none() -> None:
    """An error about the event must find its response again."""
    talk = say(CREATE, {"type": "response.create"})
    mine, ours = (event["event_id"] for event in talk.socket.heard)
    assert mine == "mine" and ours.startswith("event_duty_")


def test_cutting_off_what_was_heard_leaves_our_label_out() -> None:
    """The client counts the label's sound; the model has never heard it. And back again."""

    async def act(talk: Talk) -> None:
        talk.client(CREATE)
        await talk.settle()
        talk.model(*speaking("Hello there."))
        await talk.settle()
        cut = {"type": "conversation.item.truncate", "item_id": "item_resp_1_0", "content_index": 0}
        talk.client({**cut, "audio_end_ms": round(OPENING_S * 1_000) + 40}, {**cut, "audio_end_ms": 3})
        await talk.settle()
        talk.model({"type": "conversation.item.truncated", "item_id": "item_resp_1_0", "audio_end_ms": 40})
        await talk.settle()

    talk = Talk().run(act)
    assert [event["audio_end_ms"] for event in talk.socket.heard if "audio_end_ms" in event] == [40, 0]
    assert talk.of("conversation.item.truncated")[0]["audio_end_ms"] == round(OPENING_S * 1_000) + 40


def test_the_language_of_the_last_words_is_remembered() -> None:
    """A stop is explained in it, though `response.create` says nothing."""

    async def act(talk: Talk) -> None:
        talk.client(item("how are you?"), CREATE)
        await talk.settle()
        talk.model(*saying(f"fine {FORBIDDEN}"))
        await talk.settle()
        talk.client(item("你好"), CREATE)
        await talk.settle()
        talk.model(*saying(f"好 {FORBIDDEN}", name="resp_2"))
        await talk.settle()

    talk = Talk().run(act)
    first, second = (event["response"]["output"][0]["content"][0]["text"] for event in talk.of("response.done"))
    assert "[Answer stopped" in first and "【回答已停止" in second


def test_a_refused_response_does_not_take_the_place_of_another() -> None:
    """The model's next response belongs to the request that was forwarded."""
    refusing = {**CREATE, "response": {"instructions": FORBIDDEN}}

    async def act(talk: Talk) -> None:
        talk.client(refusing, CREATE)
        await talk.settle()
        talk.model(created(), done())
        await talk.settle()

    talk = Talk().run(act)
    assert talk.outcomes() == ["refused", "completed", "completed"]


def test_a_refusal_keeps_its_decision_once() -> None:
    """In the record, with the duty that said it."""
    refusal = Refusal(Decision("d", Verdict.BLOCK, Action.REFUSE, reason="r"), status=403, code="c", message="m")

    class Refusing:
        def __init__(self) -> None:
            self.calls = 0

        async def __call__(self, exchange: Any) -> None:
            self.calls += 1
            if self.calls > 1:
                raise refusal

    talk = say(CREATE, stages=(stage("d", Side.REQUEST, lambda house: Refusing()), *WAY))
    record = next(entry for entry in talk.rooms.log.records() if entry["type"] == "exchange")
    assert [decision["reason"] for decision in record["decisions"]] == ["r"] and record["status"] == 403
