# SPDX-License-Identifier: Apache-2.0
"""Checks on every place where a model says something besides its answer."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance import terms
from tests.conformance.check import arrived, check, expect, expect_no_leak, expect_stopped, expect_whole, form
from tests.conformance.model import Asked, Can, Channel, Piece, Said
from tests.conformance.probe import Probe

_BOTH = (True, False)


def _call(arguments: dict[str, Any], split: int = 0, *, is_escaped: bool = False, is_ascii: bool = False) -> Said:
    text = json.dumps(arguments, ensure_ascii=is_escaped)
    return Said.of(text, split, channel=Channel.TOOL, is_ascii=is_ascii)


@check("tool-whole", "A harmless tool call arrives with its arguments unchanged", Can.TOOL)
async def tool_whole(probe: Probe) -> None:
    """A tool acts on them: nothing may be written into them."""
    arguments = {"q": f'天气 "quoted" {terms.SENTINEL}', "n": 3, "list": [1, None, True]}
    for stream in _BOTH:
        for split in (0, 1, 4) if stream else (0,):
            got = await probe.ask(_call(arguments, split), Asked(stream=stream, with_tool=True))
            expect(got.is_whole, f"{form(got)}: stopped ({got.answer.error} {got.answer.fault})")
            expect(
                json.loads(got.answer.text(0, Channel.TOOL)) == arguments, f"{form(got)}: the arguments were changed"
            )


@check("tool-arguments", "A forbidden word in tool arguments never leaves, in any split", Can.TOOL)
async def tool_arguments(probe: Probe) -> None:
    """Streamed and plain."""
    for word in (terms.ENGLISH, terms.CHINESE):
        arguments = {"q": terms.around(word)}
        splits = range(1, len(word) + 6) if probe.can(Can.TOOL_PIECES) else (0,)
        asked = [(_call(arguments, split), Asked(with_tool=True), None) for split in splits]
        asked.append((_call(arguments), Asked(stream=False, with_tool=True), None))
        for got in await probe.ask_all(asked):
            expect_stopped(got, form(got))


@check("tool-escapes", "A forbidden word spelt in JSON escapes in tool arguments is that word", Can.TOOL)
async def tool_escapes(probe: Probe) -> None:
    """Escapes of the arguments' own JSON, and of the JSON around them; whoever parses them reads the word."""
    pieces = probe.can(Can.TOOL_PIECES)
    for word in (terms.CHINESE, terms.EMOJI):
        arguments = {"q": terms.around(word)}
        for stream in _BOTH:
            for split in (0, 1, 5) if stream and pieces else (0,):
                asked = Asked(stream=stream, with_tool=True)
                for said in (
                    _call(arguments, split, is_escaped=True),
                    _call(arguments, split, is_ascii=True),
                    _call(arguments, split, is_escaped=True, is_ascii=True),
                ):
                    got = await probe.ask(said, asked)
                    expect_stopped(got, form(got))
                    spelt = _spells(got.answer.text(0, Channel.TOOL), word)
                    expect(not spelt, f"{form(got)}: leaked in escapes")


def _spells(text: str, word: str) -> bool:
    """Whether `text` spells the word in escapes."""
    return json.dumps(word)[1:-1] in text.lower()


@check("reasoning", "A forbidden word in the reasoning never leaves, in any split", Can.REASONING)
async def reasoning(probe: Probe) -> None:
    """A person can see it. Harmless reasoning arrives."""
    harmless = Said((Piece("thinking it over", Channel.REASONING), Piece(f"fine {terms.SENTINEL}")))
    for stream in _BOTH:
        got = await probe.ask(harmless, Asked(stream=stream))
        expect_whole(got, f"fine {terms.SENTINEL}", form(got))
        expect("thinking it over" in got.answer.text(0, Channel.REASONING), f"{form(got)}: the reasoning was lost")
    for word in (terms.ENGLISH, terms.CHINESE):
        text = terms.around(word)
        asked = []
        for split in (*range(1, len(text) + 1), 0):
            thought = Said.of(text, split, channel=Channel.REASONING)
            said = Said((*thought.pieces, Piece(f"fine {terms.SENTINEL}")))
            asked += [(said, Asked(stream=stream), None) for stream in (_BOTH if split == 0 else (True,))]
        for got in await probe.ask_all(asked):
            expect_stopped(got, form(got))


@check("second-choice", "A forbidden word in a further choice or candidate never leaves", Can.CHOICES)
async def second_choice(probe: Probe) -> None:
    """While the first goes on; and two choices that only together say the word are harmless."""
    fine, text = f"all is well {terms.SENTINEL}", terms.around(terms.ENGLISH)
    for split in (0, 1, 3, 5):
        first, second = Said.of(fine, split).pieces, Said.of(text, split, choice=1).pieces
        longest = max(len(first), len(second))
        pieces = [lane[at] for at in range(longest) for lane in (first, second) if at < len(lane)]
        for stream in _BOTH:
            got = await probe.ask(Said(tuple(pieces)), Asked(stream=stream, choices=2))
            expect(got.seen is not None, "the upstream was never called")
            expect_no_leak(got, form(got))
            expect(terms.SENTINEL not in got.answer.text(1), f"{form(got)}: the second choice went on")
    middle = len(terms.ENGLISH) // 2
    halves = (f"ok {terms.ENGLISH[:middle]}", f"{terms.ENGLISH[middle:]} {terms.SENTINEL}")
    for stream in _BOTH:
        got = await probe.ask(Said((Piece(halves[0]), Piece(halves[1], choice=1))), Asked(stream=stream, choices=2))
        expect(got.is_whole and arrived(got), f"{form(got)}: two choices were read as one text")


@check("json-mode", "An answer in JSON mode stays JSON", Can.JSON)
async def json_mode(probe: Probe) -> None:
    """No label, notice or held text may break what a program is going to parse."""
    document = {"answer": f"天气很好 {terms.SENTINEL}", "n": [1, 2.5, None]}
    text = json.dumps(document, ensure_ascii=False)
    for stream in _BOTH:
        for split in (0, 1, 4) if stream else (0,):
            got = await probe.ask(Said.of(text, split), Asked(stream=stream, as_json=True))
            expect(got.is_whole, f"{form(got)}: stopped ({got.answer.error} {got.answer.fault})")
            try:
                told = json.loads(got.answer.text())
            except ValueError:
                told = None
            expect(told == document, f"{form(got)}: the answer is not the JSON that the model said")


@check("json-escapes", "In JSON mode a forbidden word spelt in escapes is that word", Can.JSON)
async def json_escapes(probe: Probe) -> None:
    """The program behind parses it."""
    text = json.dumps({"answer": terms.around(terms.CHINESE)})
    for stream in _BOTH:
        for split in (0, 1, 5) if stream else (0,):
            got = await probe.ask(Said.of(text, split), Asked(stream=stream, as_json=True))
            expect_stopped(got, form(got))
            expect(not _spells(got.answer.text(), terms.CHINESE), f"{form(got)}: leaked in escapes")
