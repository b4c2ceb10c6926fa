# SPDX-License-Identifier: Apache-2.0
"""Checks on what the model says: no forbidden word leaves, however it is cut, spelt or hidden."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import partial

from tests.conformance import terms
from tests.conformance.check import arrived, check, expect, expect_no_leak, expect_stopped, expect_whole, form
from tests.conformance.leaks import beginnings
from tests.conformance.model import Asked, Got, Piece, Said
from tests.conformance.probe import Manner, Probe, Wanted
from tests.conformance.target import Target

NEAR_MISS = f"ok {terms.ENGLISH[:-1]}r {terms.CHINESE[:-1]}乙 {terms.EMOJI[:-1]}🌊 {terms.SENTINEL}"
_WORDS = {
    "chinese": (terms.CHINESE, "Chinese"),
    "english": (terms.ENGLISH, "English"),
    "emoji": (terms.EMOJI, "emoji"),
    "marks": (terms.MARKS, "with combining marks"),
}


def _splits(text: str) -> list[Said]:
    """`text` cut every so many characters, for every such number."""
    return [Said.of(text, split) for split in range(1, len(text) + 1)]


def _halves(text: str, word: str) -> list[Said]:
    """`text` in two events, cut at every place inside the word."""
    start = text.index(word)
    places = range(start + 1, start + len(word))
    return [Said((Piece(text[:place]), Piece(text[place:]))) for place in places]


@check("harmless-whole", "A harmless answer arrives whole and unchanged, streamed in any split and plain")
async def harmless_whole(probe: Probe) -> None:
    """Without this, a gateway that answers nothing would pass."""
    text = f'今天天气很好 👍🏽 cafe\u0301.\n\tTwo  spaces, "quotes" \\ and a / slash. {terms.SENTINEL}'
    asked: list[Wanted] = [(Said.of(text, split), None, None) for split in (0, 1, 2, 3, 7)]
    asked += [(Said.of(text), Asked(stream=False), None), (Said.of(text, 5, is_ascii=True), None, None)]
    for got in await probe.ask_all(asked):
        expect_whole(got, text, form(got))


@check("near-miss", "Text that only begins like a forbidden word arrives whole, in every split")
async def near_miss(probe: Probe) -> None:
    """What is held back is given out again."""
    said = [(item, None, None) for item in _splits(NEAR_MISS)]
    for got in await probe.ask_all([*said, (Said.of(NEAR_MISS), Asked(stream=False), None)]):
        expect_whole(got, NEAR_MISS, form(got))


async def _cut_everywhere(probe: Probe, word: str) -> list[Got]:
    if word not in probe.kept:
        text = terms.around(word)
        wanted = (*_splits(text), *_halves(text, word))
        probe.kept[word] = await probe.ask_all([(said, None, None) for said in wanted])
    return probe.kept[word]


async def _split_word(word: str, probe: Probe) -> None:
    for got in await _cut_everywhere(probe, word):
        expect_stopped(got, "streamed")


for _key, (_word, _kind) in _WORDS.items():
    check(f"split-{_key}", f"A forbidden word ({_kind}) never leaves a stream, in every split")(
        partial(_split_word, _word)
    )


@check("no-part", "Nothing of a forbidden word leaves: not its first two characters, in any split of any word")
async def no_part(probe: Probe) -> None:
    """Stricter than the word: a reader guesses the rest."""
    for word in terms.TERMS:
        for got in await _cut_everywhere(probe, word):
            found = beginnings(got)
            expect(not found, f"streamed: the beginning of a word in {', '.join(found[:3])}")


@check("said-before", "What stands before a forbidden word in a stream is not lost")
async def said_before(probe: Probe) -> str | None:
    """A gateway may hold an answer back whole; then this figure says so, and it is no failure."""
    text = "A first sentence stands here. " + terms.around(terms.ENGLISH)
    got = await probe.ask(Said.of(text, 3))
    expect_stopped(got, "streamed")
    kept = "A first sentence stands here. " in got.answer.text()
    return "kept" if kept else "the whole answer was withheld"


def _needs_normalising(target: Target) -> str:
    return "" if target.normalises else "the target does not claim to see through disguises"


@check("disguised", "Full width, zero width, decomposed and upper-case spellings are the same word",
       claim=_needs_normalising)  # fmt: skip
async def disguised(probe: Probe) -> None:
    """Streamed in small splits, and plain."""
    for name, word in terms.DISGUISES.items():
        text = terms.around(word)
        asked = [(Said.of(text, split), None, None) for split in (0, 1, 2, 3)]
        for got in await probe.ask_all([*asked, (Said.of(text), Asked(stream=False), None)]):
            expect_stopped(got, f"{name}, {form(got)}")


@check("network-cuts", "A cut of the network's bytes anywhere, inside a character too, changes nothing")
async def network_cuts(probe: Probe) -> None:
    """One cut at each byte of the word, then all of them at once; and of the JSON's escapes."""
    for word, is_ascii in ((terms.CHINESE, False), (terms.EMOJI, False), (terms.EMOJI, True)):
        said = Said.of(terms.around(word), is_ascii=is_ascii)
        body = probe.told(said).body
        spelt = json.dumps(word)[1:-1].encode() if is_ascii else word.encode()
        start = body.index(spelt)
        places = range(start, start + len(spelt) + 1)
        manners = [Manner((place,), 0.002) for place in places] + [Manner(tuple(places), 0.001)]
        for got in await probe.ask_all([(said, None, manner) for manner in manners]):
            expect_stopped(got, "streamed")
    harmless = Said.of(NEAR_MISS)
    size = len(probe.told(harmless).body)
    manners = [Manner(tuple(range(step, size, step)), 0.0005) for step in (7, 64)]
    for got in await probe.ask_all([(harmless, None, manner) for manner in manners]):
        expect_whole(got, NEAR_MISS, "streamed")


@check("surrogates", "A surrogate pair cut between two events neither leaks nor garbles")
async def surrogates(probe: Probe) -> None:
    """Half a pair is no text: the answer is put together, or refused, or stopped."""

    def halves(text: str) -> tuple[Piece, ...]:
        units = text.encode("utf-16-le")
        return tuple(Piece(units[at : at + 2].decode("utf-16-le", "surrogatepass")) for at in range(0, len(units), 2))

    got = await probe.ask(Said(halves(terms.around(terms.EMOJI)), is_ascii=True))
    expect_stopped(got, "streamed")
    text = f"ok 🌊 {terms.SENTINEL}"
    got = await probe.ask(Said(halves(text), is_ascii=True))
    if got.is_whole and arrived(got):
        joined = got.answer.text().encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        expect(text in joined, "a harmless pair came out garbled")
    else:
        expect(not got.answer.fault, f"the SDK cannot read what became of it: {got.answer.fault}")


@check("same-verdict", "The verdict is the same for every split, for plain answers, and for spelling with escapes")
async def same_verdict(probe: Probe) -> None:
    """For forbidden words and for what only looks like them."""
    for word in (*terms.TERMS, terms.ENGLISH[:-1] + "r", terms.EMOJI[:-1] + "🌊"):
        text = terms.around(word)
        asked: list[Wanted] = [(Said.of(text, split, is_ascii=True), None, None) for split in (0, 1)]
        asked.append((Said.of(text), Asked(stream=False), None))
        verdicts = {arrived(got) for got in (*await probe.ask_all(asked), *await _cut_everywhere(probe, word))}
        expect(len(verdicts) == 1, "some splits were stopped and some were not")


@check(
    "long-before",
    "A forbidden word at the end of a long answer (about 500 KB), in one event or in many, is found in time",
)
async def long_before(probe: Probe) -> str:
    """Cost must not grow with the square of the length."""
    text = "很长的文字 and so on. " * 12_000 + terms.around(terms.CHINESE)
    begun_s = time.monotonic()
    for split, stream in ((0, True), (5_000, True), (0, False)):
        got = await probe.ask(Said.of(text, split), Asked(stream=stream))
        expect_stopped(got, form(got))
    took_s = time.monotonic() - begun_s
    expect(took_s < 60, f"three answers took {took_s:.0f} s")
    return f"{took_s:.1f} s for three"


@check("no-crossing", "Nothing of one user's stream changes another's, though their events alternate")
async def no_crossing(probe: Probe) -> None:
    """Two streams that only together say the word arrive whole; stopped ones stop no other."""
    middle = len(terms.ENGLISH) // 2
    first = f"ok {terms.ENGLISH[:middle]} {terms.SENTINEL}"
    second = f"{terms.ENGLISH[middle:]} is fine {terms.SENTINEL}"
    slowly = Manner(pace_s=0.004)
    bad = Said.of(terms.around(terms.ENGLISH), 2)
    asked = [(Said.of(first, 2), None, slowly), (Said.of(second, 2), None, slowly), (bad, None, slowly)] * 3
    for index, got in enumerate(await probe.ask_all(asked)):
        if index % 3 == 2:
            expect_stopped(got, "streamed beside others")
        else:
            expect_whole(got, second if index % 3 else first, "streamed beside others")


@check("stream-not-weaker", "`stream: true` is never weaker than `stream: false`, nor the other way round")
async def stream_not_weaker(probe: Probe) -> None:
    """Every word and disguise, on both forms."""
    for word in (*terms.TERMS, *terms.DISGUISES.values(), NEAR_MISS):
        text = terms.around(word)
        streamed, plain = await probe.ask_all([
            (Said.of(text, 4), None, None), (Said.of(text), Asked(stream=False), None)
        ])  # fmt: skip
        expect(arrived(streamed) == arrived(plain), "one form was stopped and the other was not")


@check("plain-stopped", "A forbidden word never leaves a plain answer, and nothing behind it does")
async def plain_stopped(probe: Probe) -> None:
    """The same for every word."""
    asked = [(Said.of(terms.around(word), is_ascii=is_ascii), Asked(stream=False), None)
             for word in terms.TERMS for is_ascii in (False, True)]  # fmt: skip
    for got in await probe.ask_all(asked):
        expect_stopped(got, "plain")


@check("upstream-error", "An error of the upstream that repeats a forbidden word does not bring it out")
async def upstream_error(probe: Probe) -> None:
    """Errors are texts too."""
    document = {
        "error": {"message": terms.around(terms.ENGLISH), "type": "invalid_request_error", "code": 400},
        "code": "x",
        "message": terms.around(terms.CHINESE),
    }
    for stream in (True, False):
        told = probe.wire.tell(Asked(stream=False), Said.of("x"))
        told = replace(told, frames=(json.dumps(document, ensure_ascii=False).encode(),))
        got = await probe.ask(told, Asked(stream=stream), Manner(status=400))
        expect(got.status >= 400, "an error of the upstream came out as an answer")
        expect_no_leak(got, form(got))
        expect(not got.answer.fault, f"the SDK cannot read the error: {got.answer.fault}")
