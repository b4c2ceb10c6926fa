# SPDX-License-Identifier: Apache-2.0
"""Personal data in prompts and answers: what the model gets, what people get, and what JSON stays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_filter import FilterError
from content_filter.personal import PersonalFilter
from gateway.decisions import Action, Refusal
from gateway.events import Attached, Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt, PromptText
from gateway.personal_data import DUTY, PersonalData, PersonalPrompt, personal_answer
from gateway.wires.form import Part, form_prompt
from gateway.wires.openai_chat import OpenAIChat

MOBILE, MAIL = "13912345678", "li.na@example.com"
ANSWER, ARGUMENTS = Lane(0, Channel.ANSWER), Lane(0, Channel.TOOL_ARGUMENTS)


def asked(messages: list[Any], action: str = "mask", **members: Any) -> Exchange:
    """The exchange after the duty, with the chat wire's own prompt."""
    body = json.dumps({"model": "m", "messages": messages, **members}, ensure_ascii=False).encode()
    prompt = OpenAIChat().read_request("/v1/chat/completions", "", body)
    made = Exchange("r", 0.0, "openai_chat", "/v1/chat/completions", prompt=prompt)
    asyncio.run(PersonalPrompt(PersonalData(prompt=PersonalFilter(action=action)))(made))
    return made


def forwarded(made: Exchange) -> dict[str, Any]:
    """What the model gets."""
    assert made.prompt is not None
    found: dict[str, Any] = json.loads(OpenAIChat().call("/v1/chat/completions", "", made.prompt).body)
    return found


def test_a_mask_goes_into_what_the_model_gets_and_nowhere_else() -> None:
    """As many characters as what it hides; everything else is what the client sent."""
    made = asked([{"role": "user", "content": f"call {MOBILE} or {MAIL}"}], user=MAIL, temperature=0.5)
    sent = forwarded(made)
    assert sent["messages"][0]["content"] == f"call {'*' * 11} or {'*' * len(MAIL)}"
    assert (sent["user"], sent["temperature"]) == (MAIL, 0.5)
    assert made.prompt is not None and MOBILE not in made.prompt.texts[0].text
    (decision,) = made.decisions
    assert (decision.duty, decision.action, decision.class_, decision.rule) == (
        DUTY, Action.MODIFY, "A4f", "personal:mobile",
    )  # fmt: skip
    assert (decision.channel, decision.start, decision.end) == ("messages.0.content", 5, 16)
    assert MOBILE not in repr(decision)


def test_parts_of_one_message_are_masked_each_and_together() -> None:
    """What stands across two parts cannot be masked, and is refused."""
    parts = [{"type": "text", "text": f"call {MOBILE}"}, {"type": "text", "text": " please"}]
    sent = forwarded(asked([{"role": "user", "content": parts}]))
    assert sent["messages"][0]["content"][0]["text"] == "call " + "*" * 11
    cut = [{"type": "text", "text": "call 139123"}, {"type": "text", "text": "45678 please"}]
    with pytest.raises(Refusal) as caught:
        asked([{"role": "user", "content": cut}])
    assert caught.value.decision.reason == "not_maskable"


def test_keys_and_arguments_of_tools_are_texts_too() -> None:
    """A key is what a model reads."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"to": MOBILE})}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {MAIL: {}}}}}]
    made = asked([{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}], tools=tools)
    shown = json.dumps(forwarded(made))
    assert MOBILE not in shown and MAIL not in shown
    json.loads(forwarded(made)["messages"][1]["tool_calls"][0]["function"]["arguments"])


def test_a_refusal_names_the_next_step_and_a_flag_changes_nothing() -> None:
    """Neither repeats what was found."""
    with pytest.raises(Refusal) as caught:
        asked([{"role": "user", "content": MOBILE}], "block")
    assert caught.value.in_band and MOBILE not in caught.value.message
    made = asked([{"role": "user", "content": MOBILE}], "flag")
    assert forwarded(made)["messages"][0]["content"] == MOBILE
    assert made.decisions[0].action is Action.ALLOW


def test_nothing_is_done_where_nothing_is_set() -> None:
    """The usual case costs a look at one attribute."""
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", False, [PromptText("x", "user", MOBILE)], {"x": MOBILE}))
    asyncio.run(PersonalPrompt(PersonalData())(made))
    assert made.decisions == [] and made.prompt is not None and made.prompt.body == {"x": MOBILE}
    assert personal_answer(made, PersonalData()) is None


def test_fields_and_file_names_of_a_form_are_masked() -> None:
    """A form is written from its parts; the bytes of a file stay."""
    parts = [Part("prompt", f"call {MOBILE}".encode()), Part("image", b"\x89PNG13912345678", f"{MOBILE}.png")]
    made = Exchange("r", 0.0, "w", "/", prompt=form_prompt(parts))
    asyncio.run(PersonalPrompt(PersonalData(prompt=PersonalFilter()))(made))
    prompt = made.prompt
    assert prompt is not None
    texts: list[Part] = prompt.parts  # type: ignore[attr-defined]
    assert texts[0].data == b"call " + b"*" * 11
    assert (texts[1].data, texts[1].filename) == (b"\x89PNG13912345678", "*" * 11 + ".png")


# Answers.


def answered(text: str, size: int, *, lane: Lane = ANSWER, stream: bool = True, action: str = "mask",
             structured: bool = False) -> tuple[str, Exchange]:  # fmt: skip
    """What of an answer leaves."""
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", stream, [], {}, is_structured=structured))
    duty = personal_answer(made, PersonalData(answer=PersonalFilter(action=action)))
    assert duty is not None
    events: list[Event] = [TextDelta(lane, text[at : at + size]) for at in range(0, len(text), size)]
    events += [Finish(0, "stop"), End()]
    out = [left for event in events for left in duty.feed([event])] if stream else duty.feed(events)
    return "".join(event.text for event in out if isinstance(event, TextDelta)), made


@given(
    words=st.lists(
        st.sampled_from(["call ", MOBILE, " or ", MAIL, "，", "订单 20240101123456789", " 13", "9."]), max_size=9
    ),
    size=st.integers(1, 40),
)
@settings(max_examples=300)
def test_a_stream_is_masked_as_a_plain_answer_is(words: list[str], size: int) -> None:
    """However it is cut; a mask keeps every place where it was."""
    text = " ".join(words)
    plain, _ = answered(text, len(text) or 1, stream=False)
    streamed, made = answered(text, size)
    assert streamed == plain and len(plain) == len(text)
    assert MOBILE not in plain and MAIL not in plain
    assert made.released_chars == 0  # the exact filter before this duty counts


@given(
    number=st.sampled_from([MOBILE, "4111111111111111"]),
    spell=st.sampled_from(
        ["{}", '"{}"', '["a", {}]', '{{"n": {}, "m": "{}"}}', r'"\u0022 {} \" {}"', r'"\n{}"', '{{"a": 13, "b": {}}}']
    ),
    size=st.integers(1, 30),
    is_structured=st.booleans(),
)
@settings(max_examples=300)
def test_json_stays_json(number: str, spell: str, size: int, is_structured: bool) -> None:
    """A bare number becomes a number, a string keeps its quotes and escapes, streamed in any cut."""
    text = spell.format(number, number)
    json.loads(text)
    lane = ANSWER if is_structured else ARGUMENTS
    masked, made = answered(text, size, lane=lane, structured=is_structured)
    assert number not in masked and len(masked) == len(text)
    json.loads(masked)
    assert made.decisions and all(decision.action is Action.MODIFY for decision in made.decisions)


def test_a_number_spelt_in_escapes_is_found() -> None:
    """A program that parses the arguments would read it."""
    text = json.dumps({"to": MOBILE}).replace("139", "\\u0031\\u0033\\u0039")
    masked, _ = answered(text, 3, lane=ARGUMENTS)
    assert json.loads(masked)["to"].strip("*") == ""


def test_an_answer_may_be_stopped_at_personal_data() -> None:
    """Nothing of it leaves; the record says where it stood."""
    said, made = answered(f"call {MOBILE} now", 4, action="block")
    assert said == "call " and made.outcome is Outcome.STOPPED
    assert (made.decisions[-1].duty, made.decisions[-1].action, made.decisions[-1].start) == (DUTY, Action.STOP, 5)


def test_the_end_of_an_answer_that_terms_have_stopped_goes_through() -> None:
    """Masked as the rest; nobody waits for an end that never comes."""
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", True, [], {}))
    duty = personal_answer(made, PersonalData(answer=PersonalFilter()))
    assert duty is not None
    (left,) = duty.feed([TextDelta(ANSWER, "call 139")])
    assert isinstance(left, TextDelta) and left.text == "call "
    made.outcome = Outcome.STOPPED
    out = duty.feed([TextDelta(ANSWER, "12345678 and "), Finish(0, "content_filter"), End()])
    assert "".join(event.text for event in out if isinstance(event, TextDelta)) == "*" * 11 + " and "
    assert [type(event) for event in out[-2:]] == [Finish, End]


def test_what_tells_of_a_masked_text_does_not_leave() -> None:
    """Its tokens would spell the number."""
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", True, [], {}))
    duty = personal_answer(made, PersonalData(answer=PersonalFilter()))
    assert duty is not None
    attached: list[Event] = [Attached(ANSWER, ("139",)), Attached(ANSWER, ("fine",))]
    out = duty.feed([TextDelta(ANSWER, MOBILE), attached[0], TextDelta(ANSWER, " x"), attached[1], End()])
    assert [event for event in out if isinstance(event, Attached)] == attached[1:]


def test_an_unknown_action_is_refused() -> None:
    """Whoever builds a filter without the settings."""
    with pytest.raises(FilterError):
        PersonalFilter(action="shout")
