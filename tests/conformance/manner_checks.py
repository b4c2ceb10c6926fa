# SPDX-License-Identifier: Apache-2.0
"""Checks on how an answer ends, is cut off, is recorded and labelled."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from statistics import median
from typing import Any

import httpx

from tests.conformance import terms
from tests.conformance.check import check, expect, expect_no_leak, expect_stopped, expect_whole, form
from tests.conformance.leaks import documents
from tests.conformance.model import Asked, Can, Piece, Said
from tests.conformance.probe import Manner, Probe
from tests.conformance.target import Target, token
from tests.conformance.upstream import JUDGE_S

_PACE_S = 0.02


@check("block-parses", "A stopped answer is one that the wire's official SDK reads to its end")
async def block_parses(probe: Probe) -> None:
    """An end, or the service's own error; in the form that was asked for; said as filtered where the wire can."""
    for stream in (True, False):
        fine = await probe.ask(Said.of("fine", 2), Asked(stream=stream))
        for word, split in ((terms.ENGLISH, 3), (terms.CHINESE, 0), (terms.EMOJI, 1)):
            got = await probe.ask(Said.of(terms.around(word), split), Asked(stream=stream))
            expect_stopped(got, form(got))
            expect(not got.broke_off, f"{form(got)}: the connection was dropped")
            expect(not got.answer.fault, f"{form(got)}: {got.answer.fault}")
            expect(bool(got.answer.ends or got.answer.error), f"{form(got)}: neither an end nor an error")
            if got.status == 200:
                same = got.headers.get("content-type") == fine.headers.get("content-type")
                expect(same, f"{form(got)}: a stopped answer has another media type")
            if probe.can(Can.MARKS_STOPS):
                marked = got.answer.is_stopped or bool(got.answer.error)
                expect(marked, f"{form(got)}: ended as if the model had finished")


@check("not-echoed", "No answer, header or error repeats the word: not for stopped answers, nor for refused prompts")
async def not_echoed(probe: Probe) -> None:
    """The reason for a stop is not the word."""
    for stream in (True, False):
        for word in terms.TERMS:
            for said, prompt in ((Said.of(terms.around(word), 2), "hello"), (Said.of("fine"), f"say {word}")):
                expect_no_leak(await probe.ask(said, Asked(prompt, stream)), "streamed" if stream else "plain")


@check("upstream-cut", "The upstream is cut off when an answer is stopped, within the time that the target claims")
async def upstream_cut(probe: Probe) -> str:
    """Tokens after the stop are paid for, and nobody reads them."""
    said = Said((Piece("ok "), Piece(terms.ENGLISH), *(Piece("more ") for _ in range(200))))
    frames = probe.told(said).frames
    index = next(at for at, frame in enumerate(frames) if terms.ENGLISH.encode() in frame)
    times_ms = []
    for _ in range(3):
        got = await probe.ask(said, None, Manner(pace_s=_PACE_S))
        expect_no_leak(got, "streamed")
        expect(got.seen is not None, "the upstream was never called")
        assert got.seen is not None
        await asyncio.wait_for(got.seen.ended.wait(), 30)
        expect(got.seen.cancelled_s is not None, "the upstream wrote its whole answer")
        assert got.seen.cancelled_s is not None
        # Sleeps are never shorter than asked for, so the word was written at this time or later.
        times_ms.append((got.seen.cancelled_s - got.seen.arrived_s - (index + 1) * _PACE_S) * 1e3)
    took_ms = median(times_ms)
    expect(took_ms <= probe.target.cut_ms, f"cut off after {took_ms:.0f} ms; claimed {probe.target.cut_ms:.0f}")
    return f"{took_ms:.0f} ms"


@check("broken-off", "An answer that the upstream broke off does not look complete")
async def broken_off(probe: Probe) -> None:
    """Also where a part of a word was held back at that moment."""
    for said in (Said.of("It goes on and on and on", 3), Said.of(f"It goes on {terms.ENGLISH[:-2]}", 3)):
        told = probe.told(said)
        before = sum(map(len, told.frames[: len(said.pieces)]))
        got = await probe.ask(said, None, Manner(breaks_at=before))
        complete = got.status == 200 and got.is_whole and bool(got.answer.ends)
        expect(not complete, "half an answer came out as a whole one")


def _needs_records(target: Target) -> str:
    return "" if target.records else "the target names no endpoint that tells of records"


@check("disconnect-recorded", "A client that hangs up in the middle leaves a record that says so", claim=_needs_records)
async def disconnect_recorded(probe: Probe) -> None:
    """And the upstream is cut off."""
    records = probe.target.records
    assert records is not None
    said = Said(tuple(Piece("go on ") for _ in range(200)))
    got = await probe.ask(said, None, Manner(pace_s=_PACE_S), leave_after=lambda body: b"go on" in body)
    record_id = got.headers.get(records.id_header.lower(), "")
    expect(bool(record_id), f"the answer has no {records.id_header} header")
    places = {**probe.running.places, "id": record_id}
    bearer = token(records, probe.running)
    headers = {name: value.replace("{token}", bearer) for name, value in records.headers.items()}
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for _ in range(100):
            answer = await client.get(records.url.format_map(places), headers=headers)
            if answer.status_code == 200 and records.says in answer.text:
                break
            await asyncio.sleep(0.05)
        else:
            expect(False, f"no record says {records.says} of it within 5 s ({answer.status_code})")
    assert got.seen is not None
    await asyncio.wait_for(got.seen.ended.wait(), 10)
    expect(got.seen.was_cancelled, "the upstream wrote on for a client that was gone")


def _needs_hold(target: Target) -> str:
    return "" if target.hold else "the target configures no check for which text is held back"


@check("kept-awake", "While text is held back the connection is kept awake, and the answer is whole in the end",
       claim=_needs_hold, on_hold=True)  # fmt: skip
async def kept_awake(probe: Probe) -> str:
    """Once the model was asked, no silence is longer than three quarters of what the check takes."""
    text = f"One sentence for the check. {terms.SENTINEL}"
    got = await probe.ask(Said.of(text, 4))
    expect_whole(got, text, "streamed")
    assert got.seen is not None
    # Until the prompt was judged there is nothing to send: the clock starts when the model is asked.
    times = [got.seen.arrived_s, *(at for at, _ in got.reads)]
    longest_s = max(later - earlier for earlier, later in pairwise(times))
    took_s = times[-1] - times[0]
    expect(took_s >= JUDGE_S, "nothing was held back, so nothing was proved")
    expect(longest_s < 0.75 * JUDGE_S, f"{longest_s:.2f} s of silence while text was held for {took_s:.2f} s")
    return f"{longest_s * 1e3:.0f} ms of silence at most"


def _needs_labels(target: Target) -> str:
    return "" if target.label_text or target.label_member else "the target claims no labels"


@check("labels", "Answers carry the labels that the target claims, streamed and plain", claim=_needs_labels)
async def labels(probe: Probe) -> None:
    """The words in the text; the member in the document, or in the first and the last event."""
    text, member = probe.target.label_text, probe.target.label_member
    for stream in (True, False):
        got = await probe.ask(Said.of(f"今天天气很好。{terms.SENTINEL}", 3), Asked(stream=stream))
        expect(text in got.answer.text(), f"{form(got)}: the text does not say {text}")
        if not member:
            continue
        found: list[Any] = [item for item in documents(got.body.decode()) if isinstance(item, dict | list)]
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        for item in (found[0], found[-1]):
            expect(member in item, f"{form(got)}: {member} is missing in the first or the last event")
        expect(json.dumps(found[0][member]) == json.dumps(found[-1][member]), f"{form(got)}: two labels differ")
