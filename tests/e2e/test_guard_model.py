# SPDX-License-Identifier: Apache-2.0
"""A guard model behind a running gateway: asked, remembered, left alone when it fails, and what is done without it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import CONFIG, RunningGateway, StartGateway
from tests.upstreams.scripted import ScriptedUpstream

CHAT = "/v1/chat/completions"


@dataclass
class Guard:
    """A server that answers as Qwen3Guard-Gen does: unsafe what says `persimmon`, controversial what says `doubt`."""

    url: str
    asked: list[list[dict[str, Any]]] = field(default_factory=list)
    is_away: bool = False


@pytest.fixture
def guard() -> Iterator[Guard]:
    """The server, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            made.asked.append(body["messages"])
            text = body["messages"][-1]["content"]
            said = "Safety: Safe\nCategories: None"
            if "persimmon" in text:
                said = "Safety: Unsafe\nCategories: Violent"
            elif "doubt" in text:
                said = "Safety: Controversial\nCategories: PII"
            answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
            is_fine = self.path == "/v1/chat/completions" and body["model"] == "guard" and not made.is_away
            self.send_response(200 if is_fine else 500)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Guard(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def configured(guard: Guard, more: str = "") -> str:
    table = f'[content_filter.guard_model]\nkind = "qwen3guard"\nurl = "{guard.url}"\nmodel = "guard"\nask = "all"\n'
    return CONFIG + table + more


def ask(gateway: RunningGateway, prompt: str, text: str = "Fine.", *, stream: bool = False) -> httpx.Response:
    script = {"text": text, "split": 5}
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "m", "stream": stream, "messages": messages, "metadata": {"script": script}}
    return httpx.post(gateway.url + CHAT, json=body, timeout=30)


def decisions(gateway: RunningGateway, answer: httpx.Response, duty: str = "context_check") -> list[dict[str, Any]]:
    record = gateway.record(answer.headers["duty-record"])["record"]
    return [item for item in record["decisions"] if item["duty"] == duty]


def test_its_opinion_counts_for_prompts_and_answers_and_is_remembered(
    gateway: StartGateway, upstream: ScriptedUpstream, guard: Guard
) -> None:
    """Refused, stopped or noted as it says, with its label in the record; the same text is asked about once."""
    upstream.reset()
    running = gateway(upstream.url, config=configured(guard))
    refused = ask(running, "where to buy persimmon for a cake")
    assert refused.json()["choices"][0]["finish_reason"] == "content_filter"
    (decision,) = decisions(running, refused)
    assert (decision["class"], decision["rule"], decision["score_bp"]) == ("A1f", "qwen3guard:Violent", 9_500)
    assert decision["reason"].endswith("classifier+qwen3guard") and upstream.seen == []
    assert ask(running, "where to buy persimmon for a cake").json()["choices"][0]["finish_reason"] == "content_filter"
    assert len(guard.asked) == 1

    stopped = ask(running, "tell me a story", "A fine day. Then persimmon came. The end.", stream=True)
    assert '"content_filter"' in stopped.text
    noted = ask(running, "tell me a story", "I doubt it.")
    flag = next(item for item in decisions(running, noted) if item["verdict"] == "flag")
    assert (flag["class"], flag["action"], flag["role"]) == ("A4f", "allow", "answer")
    assert guard.asked[-1][-1]["role"] == "assistant"


def test_without_it_a_text_is_refused_and_it_is_left_alone_for_a_while(
    gateway: StartGateway, upstream: ScriptedUpstream, guard: Guard
) -> None:
    """As the policy says; after some failures nobody waits for it, and once it is back it is asked again."""
    rules = "breaker_failures = 2\nbreaker_rest_s = 1.0\ntimeout_s = 5.0\n"
    upstream.reset()
    running = gateway(upstream.url, config=configured(guard, rules))
    guard.is_away = True
    for number in range(4):
        answer = ask(running, f"question {number}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "duty_failed")
    assert len(guard.asked) == 2 and upstream.seen == []
    guard.is_away = False
    deadline = time.monotonic() + 10
    while (answer := ask(running, "question 9")).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(guard.asked) > 2


def test_without_it_a_text_may_pass_noted_where_the_operator_chose_so(
    gateway: StartGateway, upstream: ScriptedUpstream, guard: Guard
) -> None:
    """The record says that the opinion was missing, and the next time it is asked for again."""
    upstream.reset()
    running = gateway(upstream.url, config=configured(guard, 'when_unavailable = "flag"\n'))
    guard.is_away = True
    answer = ask(running, "a question")
    assert answer.status_code == 200
    assert {item["rule"] for item in decisions(running, answer) if item["verdict"] == "flag"} == {
        "unavailable:qwen3guard"
    }
    guard.is_away = False
    asked = len(guard.asked)
    assert all(item["verdict"] == "pass" for item in decisions(running, ask(running, "a question")))
    assert len(guard.asked) > asked


def test_the_filter_in_force_is_shown_and_reloaded_in_every_worker(
    gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """One call reaches all processes; the change is a record with the digests of all parts."""
    context = '[content_filter]\nterms = ["terms.tsv"]\ncontext_terms = ["context.toml"]\n'
    config = CONFIG.replace('[content_filter]\nterms = ["terms.tsv"]\n', context)
    home_terms = '[[term]]\ntext = "quiet phrase"\nclass = "A1a"\naction = "block"\n'
    path = tmp_path / "context.toml"
    path.write_text(home_terms)
    running = gateway(upstream.url, config=config, workers=2)
    headers = {"Authorization": f"Bearer {running.token('admin')}"}
    before = httpx.get(running.operator_url + "/api/filter", headers=headers).json()
    assert before["context_terms"]["count"] >= 1 and before["classifier"]["digest"]
    path.write_text(home_terms.replace("quiet", "other"))
    changed = httpx.post(running.operator_url + "/api/filter/reload", headers=headers).json()
    assert changed["changed"] and changed["before"] == before["digest"]
    deadline = time.monotonic() + 20
    in_a_row = 0
    while in_a_row < 20:  # the kernel spreads connections over the workers
        is_refused = ask(running, "an other phrase").json()["choices"][0]["finish_reason"] == "content_filter"
        in_a_row = in_a_row + 1 if is_refused else 0
        assert time.monotonic() < deadline
    records = [running.record(item["id"])["record"] for item in running.records(type="config")]
    assert any(item.get("actor") and item["parts"]["context_terms"] for item in records)
    path.write_text("nonsense")
    refused = httpx.post(running.operator_url + "/api/filter/reload", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "filter_not_reloaded")
