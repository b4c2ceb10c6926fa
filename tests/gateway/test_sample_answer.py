# SPDX-License-Identifier: Apache-2.0
"""The sample model's answer says the same in every form and nothing of the prompt."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.sample_answer import answer, chunks, completion
from gateway.sample_request import read

ID = "chatcmpl-" + "0" * 29


@given(st.text(alphabet="qxzj", min_size=6), st.integers(1, 3))
def test_no_text_of_a_prompt_comes_back(word: str, choices: int) -> None:
    """Whatever is asked, an answer holds none of the words."""
    messages = [{"role": "system", "content": word}, {"role": "user", "content": [{"type": "text", "text": word}]}]
    ask = read(orjson.dumps({"model": word, "messages": messages, "n": choices}))
    for index in range(choices):
        choice = answer(ask, index, ID)
        assert word not in "".join(choice.content)


@given(
    st.integers(1, 3),
    st.none() | st.integers(1, 60),
    st.sampled_from(["none", "low"]),
    st.booleans(),
    st.lists(st.sampled_from(["sample", "model", "。", "您"]), max_size=2),
    st.sampled_from(["hello", "你好"]),
    st.booleans(),
)
def test_a_stream_adds_up_to_the_plain_answer(
    n: int, limit: int | None, effort: str, logprobs: bool, stop: list[str], prompt: str, calls: bool
) -> None:
    """Whatever was asked for, the pieces together are the whole: texts, calls, probabilities, reasons and usage."""
    tools = {"tools": [{"type": "function", "function": {"name": "look"}}], "tool_choice": "required"} if calls else {}
    request = {"model": "m", "messages": [{"role": "user", "content": prompt}], "n": n, "max_tokens": limit, **tools}
    request |= {"reasoning_effort": effort, "logprobs": logprobs, "stop": stop}
    ask = read(orjson.dumps({**request, "stream": True, "stream_options": {"include_usage": True}}))
    answers = tuple(answer(ask, index, ID) for index in range(n))
    whole, pieces = completion(ask, answers, {}), list(chunks(ask, answers, {}))
    assert pieces[-1] == {"object": "chat.completion.chunk", "choices": [], "usage": whole["usage"]}
    for choice in whole["choices"]:
        own = [entry for piece in pieces for entry in piece["choices"] if entry["index"] == choice["index"]]
        deltas = [entry["delta"] for entry in own]
        message = choice["message"]
        assert "".join(delta.get("content") or "" for delta in deltas) == (message["content"] or "")
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == message.get("reasoning_content", "")
        said = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", [])]
        assert "".join(said) == "".join(call["function"]["arguments"] for call in message.get("tool_calls", []))
        if logprobs:
            tokens = [token for entry in own if entry["logprobs"] for token in entry["logprobs"]["content"]]
            assert tokens == choice["logprobs"]["content"]
        assert [entry["finish_reason"] for entry in own if entry["finish_reason"]] == [choice["finish_reason"]]
