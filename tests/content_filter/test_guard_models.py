# SPDX-License-Identifier: Apache-2.0
"""Guard models against a server on the loopback that answers in the formats of the real ones."""

import json
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio

from content_filter.breaker import CircuitBreaker
from content_filter.context import CheckUnavailable
from content_filter.errors import FilterError
from content_filter.filter import Outcome
from content_filter.guard_models import (
    FORMATS,
    LLAMA_GUARD_CLASSES,
    OPENAI_CLASSES,
    QWEN3GUARD_CLASSES,
    GuardModel,
    LlamaGuardFormat,
    OpenAIModerationsFormat,
    Qwen3GuardFormat,
    ShieldGemmaFormat,
    TemplateFormat,
)
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


class Server:
    """Answers by `answer(path, body)` and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.answer: Answer = lambda path, body: (404, {})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append((self.path, body, self.headers.get("authorization", "")))
                status, value = outer.answer(self.path, body)
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def says(self, content: str) -> None:
        """Every chat completion says this."""
        self.answer = lambda path, body: (200, chat(content, body))


def chat(content: str, body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion as vLLM sends it."""
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content, "tool_calls": []},
                     "logprobs": None, "finish_reason": "stop", "stop_reason": None}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }  # fmt: skip


def completion(text: str, tops: dict[str, float] | None) -> dict[str, Any]:
    """A text completion as vLLM sends it."""
    logprobs = None if tops is None else {
        "text_offset": [0], "token_logprobs": [max(tops.values())], "tokens": [text], "top_logprobs": [tops]
    }  # fmt: skip
    return {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own for each test."""
    running = Server()
    yield running
    running.close()


@pytest_asyncio.fixture
async def guard(server: Server) -> AsyncIterator[Callable[..., GuardModel]]:
    """Makes guard models that ask the server, and closes them."""
    made: list[GuardModel] = []

    def make(format_: Any, **options: Any) -> GuardModel:
        made.append(GuardModel(format_, server.url, "the-model", 5.0, **options))
        return made[-1]

    yield make
    for model in made:
        await model.close()


@pytest.mark.parametrize(
    ("reply", "outcome", "class_code", "rule"),
    [
        ("Safety: Safe\nCategories: None", Outcome.PASS, "", ""),
        ("Safety: Unsafe\nCategories: Violent", Outcome.BLOCK, "A1f", "qwen3guard:Violent"),
        ("Safety: Unsafe\nCategories: PII, Unethical Acts", Outcome.BLOCK, "A4f", "qwen3guard:PII"),
        ("Safety: Controversial\nCategories: Unethical Acts", Outcome.FLAG, "A2i", "qwen3guard:Unethical_Acts"),
        ("Safety: Unsafe\nCategories: Jailbreak\n", Outcome.BLOCK, "INJ", "qwen3guard:Jailbreak"),
        ("Safety: Unsafe\nCategories: Something New", Outcome.BLOCK, "A1h", "qwen3guard:other"),
        ("Safety: Safe\nCategories: None\nRefusal: Yes", Outcome.PASS, "", ""),
    ],
)
@pytest.mark.asyncio
async def test_qwen3guard_is_read_by_its_lines(
    server: Server, guard: Callable[..., GuardModel], reply: str, outcome: Outcome, class_code: str, rule: str
) -> None:
    """Safe passes, controversial flags, unsafe blocks, and the first known category names the class."""
    server.says(reply)

    verdict = await guard(Qwen3GuardFormat()).judge("some text", Role.PROMPT)

    assert (verdict.verdict, verdict.class_code, verdict.rule) == (outcome, class_code, rule)
    assert server.asked[0][0] == "/v1/chat/completions"
    assert server.asked[0][1]["messages"] == [{"role": "user", "content": "some text"}]
    assert server.asked[0][1]["model"] == "the-model"


@pytest.mark.asyncio
async def test_a_strict_qwen3guard_blocks_what_is_controversial(
    server: Server, guard: Callable[..., GuardModel]
) -> None:
    """The operator chooses between the two readings of the model card."""
    server.says("Safety: Controversial\nCategories: Violent")

    verdict = await guard(Qwen3GuardFormat(is_strict=True)).judge("some text", Role.PROMPT)

    assert verdict.verdict is Outcome.BLOCK


@pytest.mark.asyncio
async def test_an_answer_is_sent_as_the_assistants_turn_after_the_question(
    server: Server, guard: Callable[..., GuardModel]
) -> None:
    """Guard models judge an answer in its conversation."""
    server.says("safe")

    await guard(LlamaGuardFormat()).judge("the answer", Role.ANSWER, "the question")

    assert server.asked[0][1]["messages"] == [
        {"role": "user", "content": "the question"},
        {"role": "assistant", "content": "the answer"},
    ]


@pytest.mark.parametrize(
    ("reply", "outcome", "class_code"),
    [
        ("safe", Outcome.PASS, ""),
        ("\n\nsafe", Outcome.PASS, ""),
        ("unsafe\nS9", Outcome.BLOCK, "A1d"),
        ("\n\nunsafe\nS11,S2", Outcome.BLOCK, "A4a"),
        ("unsafe", Outcome.BLOCK, "A1h"),
    ],
)
@pytest.mark.asyncio
async def test_llama_guard_is_read_by_its_word_and_codes(
    server: Server, guard: Callable[..., GuardModel], reply: str, outcome: Outcome, class_code: str
) -> None:
    """Leading empty lines are the model's habit."""
    server.says(reply)

    verdict = await guard(LlamaGuardFormat()).judge("some text", Role.PROMPT)

    assert (verdict.verdict, verdict.class_code) == (outcome, class_code)


@pytest.mark.asyncio
async def test_shield_gemma_is_asked_once_a_principle_and_scored_by_probability(
    server: Server, guard: Callable[..., GuardModel]
) -> None:
    """Yes at 0.8 against No at 0.2 is 8,000 basis points, and the principle that says so names the class."""

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        is_hate = "No Hate Speech" in body["prompt"]
        yes = 0.8 if is_hate else 0.01
        return 200, completion("Yes" if is_hate else "No", {"Yes": math.log(yes), "No": math.log(1 - yes), "I": -9.0})

    server.answer = answer

    verdict = await guard(ShieldGemmaFormat()).judge("some text", Role.PROMPT)

    assert (verdict.verdict, verdict.class_code, verdict.score_bp) == (Outcome.BLOCK, "A2i", 8_000)
    assert verdict.rule == "shieldgemma:No_Hate_Speech"
    assert [path for path, _, _ in server.asked] == ["/v1/completions"] * 2  # the second principle decided
    assert "Human Question: some text" in server.asked[0][1]["prompt"]


@pytest.mark.asyncio
async def test_shield_gemma_judges_an_answer_beside_its_question(
    server: Server, guard: Callable[..., GuardModel]
) -> None:
    """All principles are asked when none is broken."""
    server.answer = lambda path, body: (200, completion("No", None))

    verdict = await guard(ShieldGemmaFormat()).judge("the answer", Role.ANSWER, "the question")

    assert verdict.verdict is Outcome.PASS
    assert len(server.asked) == 4
    assert "Human Question: the question\n\nChatbot Response: the answer" in server.asked[0][1]["prompt"]


@pytest.mark.asyncio
async def test_openai_moderations_report_the_gravest_category(server: Server, guard: Callable[..., GuardModel]) -> None:
    """All categories that are true count; the score is the highest of theirs."""
    categories = {"harassment": True, "illicit/violent": True, "sexual": False}
    scores = {"harassment": 0.61, "illicit/violent": 0.93, "sexual": 0.99}
    result = {"flagged": True, "categories": categories, "category_scores": scores, "category_applied_input_types": {}}
    server.answer = lambda path, body: (200, {"id": "modr-1", "model": body["model"], "results": [result]})

    verdict = await guard(OpenAIModerationsFormat(), headers={"authorization": "Bearer k"}).judge("t", Role.PROMPT)

    assert (verdict.verdict, verdict.class_code, verdict.score_bp) == (Outcome.BLOCK, "A1d", 9_300)
    assert server.asked == [("/v1/moderations", {"model": "the-model", "input": "t"}, "Bearer k")]


@pytest.mark.asyncio
async def test_a_moderation_that_flags_nothing_passes(server: Server, guard: Callable[..., GuardModel]) -> None:
    """The flag decides."""
    result = {"flagged": False, "categories": {"sexual": False}, "category_scores": {"sexual": 0.4}}
    server.answer = lambda path, body: (200, {"results": [result]})

    assert (await guard(OpenAIModerationsFormat()).judge("t", Role.PROMPT)).verdict is Outcome.PASS


@pytest.mark.asyncio
async def test_a_template_asks_any_chat_model_and_reads_it_by_a_pattern(
    server: Server, guard: Callable[..., GuardModel]
) -> None:
    """A text that holds the name of a slot is not filled a second time."""
    format_ = TemplateFormat(
        "Judge <{text}> ({role}).", r"^(?P<verdict>OK|BAD)(?: (?P<label>\w+))?$", {"OK": "pass", "BAD": "block"},
        {"drugs": "A1h"}, "A4a",
    )  # fmt: skip
    server.says("BAD drugs")

    verdict = await guard(format_).judge("a {role} b", Role.PROMPT)

    assert (verdict.verdict, verdict.class_code, verdict.rule) == (Outcome.BLOCK, "A1h", "chat_template:drugs")
    assert server.asked[0][1]["messages"][0]["content"] == "Judge <a {role} b> (prompt)."


@pytest.mark.parametrize(
    "settings",
    [
        ("no slot", "(?P<verdict>x)", {"x": "pass"}, {}, "A1h"),
        ("{text}", "(", {"x": "pass"}, {}, "A1h"),
        ("{text}", "x", {"x": "pass"}, {}, "A1h"),
        ("{text}", "(?P<verdict>x)", {"x": "perhaps"}, {}, "A1h"),
        ("{text}", "(?P<verdict>x)", {"x": "pass"}, {"y": "Z9"}, "A1h"),
    ],
)
def test_a_template_that_cannot_work_is_refused(settings: tuple[Any, ...]) -> None:
    """At the start, not at the first request."""
    with pytest.raises(FilterError):
        TemplateFormat(*settings)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize(
    "reply",
    [
        (500, {}),
        (200, b"<html>"),
        (200, []),
        (200, {}),
        (200, {"choices": [{"message": {"content": "I would rather not say"}, "text": "Perhaps"}]}),
        (200, {"choices": [], "results": []}),
        (200, {"choices": [{"message": {"content": None}}], "results": [{"flagged": "yes", "categories": {}}]}),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_read_is_no_pass(
    server: Server, guard: Callable[..., GuardModel], name: str, reply: tuple[int, Any]
) -> None:
    """Fail closed: the caller's rule decides, and the error holds nothing of the text."""
    server.answer = lambda path, body: reply

    with pytest.raises(CheckUnavailable) as caught:
        await guard(FORMATS[name]()).judge("secret words", Role.PROMPT)

    assert "secret" not in str(caught.value)


@pytest.mark.asyncio
async def test_an_open_circuit_answers_at_once_without_asking(server: Server, guard: Callable[..., GuardModel]) -> None:
    """After the rest one request is tried, and its success closes the circuit."""
    now = [0.0]
    model = guard(LlamaGuardFormat(), breaker=CircuitBreaker(lambda: now[0], failures=2, rest_s=30))
    server.answer = lambda path, body: (503, {})
    for _ in range(5):
        with pytest.raises(CheckUnavailable):
            await model.judge("t", Role.PROMPT)
    assert len(server.asked) == 2

    now[0] = 30.0
    server.says("safe")

    assert (await model.judge("t", Role.PROMPT)).verdict is Outcome.PASS
    assert (await model.judge("t", Role.PROMPT)).verdict is Outcome.PASS
    assert len(server.asked) == 4


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """A refused connection is an error like any other."""
    model = GuardModel(LlamaGuardFormat(), "http://127.0.0.1:9/v1", "m", 1.0)

    with pytest.raises(CheckUnavailable):
        await model.judge("t", Role.PROMPT)

    await model.close()


@pytest.mark.parametrize("table", [QWEN3GUARD_CLASSES, LLAMA_GUARD_CLASSES, OPENAI_CLASSES])
def test_every_label_has_a_class_that_exists(table: dict[str, str]) -> None:
    """A label map that names an unknown class would fail at the first finding."""
    assert set(table.values()) <= CLASSES.keys()
