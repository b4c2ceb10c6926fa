# SPDX-License-Identifier: Apache-2.0
"""A short, seeded run of `bench/fuzz.py` on the codec of every wire: no crash, no leak, memory bounded."""

from __future__ import annotations

import json
import random

import pytest

from bench import fuzz
from gateway.wires import BadAnswer, Table
from tests.conformance import terms

CODECS = fuzz.codecs()
SEED = 7


@pytest.mark.parametrize("name", CODECS)
def test_no_codec_crashes_or_leaks(name: str) -> None:
    """Two seconds of mutated requests and answers, random bytes and random cuts."""
    ran = fuzz.fuzz(CODECS[name], 2.0, SEED)
    assert ran.findings == []
    assert ran.cases == ran.answered + ran.bad_answers + ran.bad_requests
    assert ran.cases > 20 and ran.bad_answers + ran.bad_requests > 0


def test_every_wire_is_fuzzed() -> None:
    """A new wire needs an adapter or a seed."""
    assert fuzz.unfuzzed() == set()


def test_a_codec_that_leaks_or_crashes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its filter every codec leaks, and an exception that is none of the wire's is told with its place."""
    monkeypatch.setattr(fuzz, "FILTER", fuzz.ContentFilter(fuzz.TermSet.of(("never-said", "A1a"))))
    ran = fuzz.fuzz(CODECS["ollama_generate"], 10.0, SEED)
    assert {found.kind for found in ran.findings} == {"leak"} and len(ran.findings) == 20

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("by accident")

    monkeypatch.setattr(fuzz, "answer", broken)
    ran = fuzz.fuzz(CODECS["ollama_generate"], 10.0, SEED)
    assert {found.kind for found in ran.findings} == {"crash"}
    assert "RuntimeError: by accident at test_fuzz.py" in ran.findings[0].detail


def test_a_reader_that_never_stops_reading_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flood is a finding where nothing bounds an event."""

    class Endless:
        def feed(self, data: bytes) -> list[object]:
            return []

    table = Table()
    wire = table.find("POST", "/api/generate")
    assert wire is not None
    exchange = fuzz.ask(wire, "/api/generate", b'{"model":"m","prompt":"x"}')
    assert fuzz.flood(wire, exchange) is None
    monkeypatch.setattr(type(wire), "reader", lambda *_: Endless())
    assert "still being read" in (fuzz.flood(wire, exchange) or "")


def test_a_case_is_the_same_whenever_it_is_played() -> None:
    """A finding's number and seed are enough to see it again."""
    for name in ("openai_chat", "openai_files"):
        played = []
        for _ in range(2):
            case = fuzz.Case(CODECS[name], SEED, 5)
            case.play(Table(), fuzz.Ran(name))
            played.append((case.request, case.answer, case.got))
        assert played[0] == played[1]


def test_mutations_keep_texts_where_texts_are() -> None:
    """A term is never moved into a member that names or counts: there it would pass, as documented."""
    document = {"id": "x", "n": 1, "list": [{"content": terms.ENGLISH}]}
    for number in range(300):
        made = fuzz.written(random.Random(number), fuzz.mutated(random.Random(number), document))
        try:
            tree = json.loads(made)
        except RecursionError:
            continue
        assert terms.ENGLISH not in json.dumps([tree.get("id"), tree.get("n")])
    assert document == {"id": "x", "n": 1, "list": [{"content": terms.ENGLISH}]}


def test_deep_documents_are_refused_and_not_followed() -> None:
    """Four thousand brackets around a word."""
    wire = Table().find("POST", "/v1/chat/completions")
    assert wire is not None
    exchange = fuzz.ask(wire, "/v1/chat/completions", b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    body = b'{"choices":[{"index":0,"message":{"content":' + b"[" * 4_000 + b'"x"' + b"]" * 4_000 + b"}}]}"
    with pytest.raises(BadAnswer):
        fuzz.answer(wire, exchange, [body])
