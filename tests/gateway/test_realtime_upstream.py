# SPDX-License-Identifier: Apache-2.0
"""What the model sends within a session: sorted to its responses, or looked at whole, or dropped."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.pipeline import Side
from tests.gateway.realtime_rooms import FORBIDDEN, Talk, at, created, done, item, message, opening, pieces, saying
from tests.gateway.rooms import WAY, stage

HEARD = "conversation.item.input_audio_transcription."
CREATE = {"type": "response.create", "event_id": "mine"}


def hear(*events: Any, ask: bool = False, **options: Any) -> Talk:
    """A session in which the model says `events`, after it was asked for a response if `ask`."""

    async def act(talk: Talk) -> None:
        if ask:
            talk.client(CREATE)
            await talk.settle()
        talk.model(*events)
        await talk.settle()

    return Talk(**options).run(act)


def transcript(text: str, split: int = 1) -> list[dict[str, Any]]:
    """What a person said, written down."""
    place = {"item_id": "item_u", "content_index": 0}
    cut = [text[start : start + split] for start in range(0, len(text), split)]
    return [
        *({"type": f"{HEARD}delta", **place, "delta": piece, "logprobs": [{"token": piece}]} for piece in cut),
        {"type": f"{HEARD}completed", **place, "transcript": text, "logprobs": [{"token": text}]},
    ]


def test_events_of_the_session_pass_as_they_came() -> None:
    """Looked at whole."""
    events = [
        {"type": "session.created", "session": {"instructions": "be kind"}},
        {"type": "rate_limits.updated", "rate_limits": [{"name": "requests", "limit": 5}]},
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 5, "item_id": "i"},
        {"type": "error", "error": {"message": "no", "code": "c", "event_id": "theirs"}},
    ]
    assert hear(*events).heard == events


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.created", "session": {"instructions": FORBIDDEN}},
        {"type": "error", "error": {"message": f"you said {FORBIDDEN}"}},
        {"type": "mcp_list_tools.completed", "item_id": "i", "tools": [{FORBIDDEN: 1}]},
        {"type": "conversation.item.added", "item": {"id": "i", "content": [{"text": FORBIDDEN}]}},
    ],
)
def test_events_of_the_session_that_say_what_is_forbidden_do_not_pass(event: Any) -> None:
    """An error of ours stands in their place."""
    talk = hear(event)
    assert talk.errors() == ["content_filter"] and FORBIDDEN not in talk.everything()


def test_a_member_that_comes_twice_leaves_once() -> None:
    """In events of the session too."""

    async def act(talk: Talk) -> None:
        talk.model(f'{{"type": "session.created", "note": "{FORBIDDEN}", "note": "fine"}}')
        await talk.settle()

    talk = Talk().run(act)
    assert talk.heard == [{"type": "session.created", "note": "fine"}] and FORBIDDEN not in talk.everything()


def test_what_has_no_place_is_dropped() -> None:
    """Unknown events of no response, events of responses that never began or have ended."""
    talk = hear(
        {"type": "news", "text": "hello"}, *pieces("lost", 4, name="resp_9"), *saying("Hello."), *pieces("late", 4)
    )
    assert "lost" not in talk.everything() and "late" not in talk.everything() and "hello" not in talk.everything()
    assert talk.errors() == [] and "Hello." in talk.text()


def test_a_response_that_the_model_begins_by_itself_is_an_exchange() -> None:
    """It heard the person stop."""
    talk = hear({"type": "input_audio_buffer.committed", "item_id": "i"}, *saying("Hello."))
    assert "Hello." in talk.text() and talk.outcomes() == ["completed", "completed"]
    assert [record["type"] for record in talk.rooms.log.records()] == ["open", "open", "close", "close"]


def test_a_response_that_may_not_be_is_cancelled_and_nothing_of_it_leaves() -> None:
    """Admitted like one that was asked for; items of it go nowhere either."""
    refusal = Refusal(
        Decision("minors", Verdict.BLOCK, Action.REFUSE, reason="curfew"),
        status=403, code="minor_curfew", message="It is time to rest.", in_band=True,
    )  # fmt: skip

    class Later:
        def __init__(self) -> None:
            self.calls = 0

        async def __call__(self, exchange: Any) -> None:
            self.calls += 1
            if self.calls > 1:
                raise refusal

    whole = {"type": "conversation.item.done", "item": message("resp_1", "secret")}
    retrieved = {"type": "conversation.item.retrieved", "item": message("resp_1", "secret")}
    events = saying("secret")
    talk = hear(
        *events[:-1], whole, events[-1], retrieved, stages=(stage("minors", Side.REQUEST, lambda house: Later()), *WAY)
    )
    assert talk.asked_for() == ["response.cancel"] and talk.socket.heard[0]["response_id"] == "resp_1"
    assert "secret" not in talk.everything() and talk.text() == "It is time to rest."
    assert talk.of("response.done")[0]["response"]["id"] == "resp_1"
    assert talk.outcomes() == ["refused", "completed"]


def test_an_error_about_a_response_that_was_asked_for_ends_its_exchange() -> None:
    """With the client's own id, or none where it gave none."""

    async def act(talk: Talk) -> None:
        talk.client(CREATE, {"type": "response.create"})
        await talk.settle()
        for event in list(talk.socket.heard):
            talk.model(
                {"type": "error", "error": {"type": "t", "code": "no", "message": "no", "event_id": event["event_id"]}}
            )
        await talk.settle()

    talk = Talk().run(act)
    assert [event["error"]["event_id"] for event in talk.of("error")] == ["mine", None]
    assert talk.outcomes() == ["upstream_refused", "upstream_refused", "completed"]


def test_such_an_error_never_says_what_is_forbidden() -> None:
    """Its words are ours then."""

    async def act(talk: Talk) -> None:
        talk.client(CREATE)
        await talk.settle()
        talk.model({"type": "error", "error": {"code": FORBIDDEN, "message": FORBIDDEN, "event_id": "mine"}})
        await talk.settle()

    talk = Talk().run(act)
    assert talk.errors() == ["upstream_error"] and FORBIDDEN not in talk.everything()


def test_errors_about_events_of_ours_are_ours() -> None:
    """A cancel that came too late, say."""

    async def act(talk: Talk) -> None:
        talk.client(CREATE)
        await talk.settle()
        talk.model(*saying(f"x {FORBIDDEN}"))
        await talk.settle()
        ours = next(event for event in talk.socket.heard if event["type"] == "response.cancel")["event_id"]
        talk.model(
            {"type": "error", "error": {"code": "response_cancel_not_active", "message": "no", "event_id": ours}}
        )
        await talk.settle()

    assert Talk().run(act).errors() == []


@pytest.mark.parametrize("status", ["during", "after"])
def test_items_that_are_read_again_say_what_was_let_out(status: str) -> None:
    """Not what the model said; and no sound without a label."""

    async def act(talk: Talk) -> None:
        events = saying(f"fine {FORBIDDEN} more")
        talk.model(*events[:-1])
        if status == "after":
            talk.model(events[-1])
        await talk.settle()
        whole = message("resp_1", f"fine {FORBIDDEN} more")
        whole["content"].append({"type": "output_audio", "transcript": "more", "audio": "AAAA"})
        talk.model({"type": "conversation.item.retrieved", "item": whole})
        await talk.settle()

    talk = Talk().run(act)
    assert FORBIDDEN not in talk.everything() and "more" not in talk.everything() and "AAAA" not in talk.everything()
    found = talk.of("conversation.item.retrieved")
    assert len(found) == (status == "after")
    if found:
        assert found[0]["item"]["content"][0]["text"] == talk.text()


def test_a_clients_own_item_is_told_as_it_is() -> None:
    """An earlier turn of an assistant that the client put there."""
    event = {"type": "conversation.item.added", "item": message("x", "earlier")}
    assert hear(event).heard == [event]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_what_a_person_said_comes_back_whole(split: int) -> None:
    """A record of its own; what stands beside the words is left out."""
    talk = hear(*transcript("今天天气很好 hello", split))
    assert talk.text(f"{HEARD}delta") == "今天天气很好 hello"
    assert talk.of(f"{HEARD}completed")[0]["transcript"] == "今天天气很好 hello"
    assert talk.outcomes() == ["completed", "completed"] and "token" not in talk.everything()


@pytest.mark.parametrize("split", [1, 2, 3, 100])
@pytest.mark.parametrize("word", [FORBIDDEN, "forbiddenword", "maskedword"])
def test_a_forbidden_word_that_a_person_said_takes_the_turn_back(split: int, word: str) -> None:
    """The item leaves the conversation, the answer under way ends, the transcript is not shown."""
    answering = [created(), *opening(), *pieces("Hello the", 3)]
    talk = hear(*answering, *transcript(f"say {word} now", split), *pieces("re.", 3), done())
    assert word not in talk.everything() and "now" not in talk.text(f"{HEARD}delta")
    assert sorted(talk.asked_for()) == ["conversation.item.delete", "response.cancel"]
    assert talk.errors() == ["content_filter"]
    last = talk.of("response.done")
    assert len(last) == 1 and last[0]["response"]["status_details"]["reason"] == "content_filter"
    assert "re." not in talk.text()
    outcomes = talk.outcomes()
    assert outcomes.count("refused") == 1 and outcomes.count("stopped") == 1
    stopped = next(record for record in talk.rooms.log.records() if record.get("outcome") == "stopped")
    assert any(decision.get("reason") == "input_transcript" for decision in stopped["decisions"])


def test_an_answer_to_a_turn_that_was_taken_back_is_refused() -> None:
    """The model begins it though the words were refused; the next turn is another one."""
    committed = {"type": "input_audio_buffer.committed", "item_id": "item_2"}
    talk = hear(*transcript(f"say {FORBIDDEN}"), *saying("no"), committed, *saying("Hello.", name="resp_2"))
    assert talk.outcomes() == ["refused", "refused", "completed", "completed"]
    statuses = [event["response"]["status"] for event in talk.of("response.done")]
    assert statuses == ["incomplete", "completed"] and "Hello." in talk.text()


def test_segments_are_looked_at_too() -> None:
    """And what failed says so."""
    at_item = {"item_id": "item_u", "content_index": 0}
    talk = hear(
        {"type": f"{HEARD}segment", **at_item, "text": "hello", "speaker": "A"},
        {"type": f"{HEARD}failed", "item_id": "item_v", "error": {"message": "no"}},
        {"type": f"{HEARD}other", "item_id": "item_v", "text": "what"},
        {"type": f"{HEARD}segment", **at_item, "text": FORBIDDEN, "speaker": "A"},
    )
    assert talk.kinds() == [f"{HEARD}segment", f"{HEARD}failed", "error"] and FORBIDDEN not in talk.everything()


@pytest.mark.parametrize("event", [{"type": "response.created"}, {"type": "response.created", "response": {"id": 5}}])
def test_a_response_without_a_name_ends_the_session(event: Any) -> None:
    """Nothing of it could be told from anything else."""

    async def act(talk: Talk) -> None:
        talk.model(event)
        await talk.settle()

    assert Talk().run(act, leave=False).errors() == ["upstream_invalid"]


def test_a_response_that_begins_twice_ends_the_session() -> None:
    """The second could carry on where the first was stopped."""

    async def act(talk: Talk) -> None:
        talk.model(created(), created())
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert talk.errors() == ["upstream_invalid"] and talk.outcomes() == ["upstream_failed"] * 2


def test_responses_at_the_same_time_do_not_mix() -> None:
    """Two that only together say the word arrive whole."""
    first, second = FORBIDDEN
    a, b = saying(f"ok {first}", 2), saying(f"{second} ok", 2, "resp_2")
    talk = hear(*(event for pair in zip(a, b, strict=True) for event in pair))
    assert [event["response"]["status"] for event in talk.of("response.done")] == ["completed"] * 2


def test_an_event_that_names_only_its_item_finds_its_response() -> None:
    """Such as the progress of a call on the model's side."""
    event = {"type": "response.mcp_call.in_progress", "item_id": at()["item_id"], "output_index": 0}
    talk = hear(created(), *opening(), event, done())
    assert event in talk.heard


def test_the_filter_is_the_one_of_the_prompt() -> None:
    """A word in the text of an item that only the client wrote does not come back either."""
    talk = hear({"type": "conversation.item.created", "item": item(FORBIDDEN)["item"]})
    assert talk.errors() == ["content_filter"]
