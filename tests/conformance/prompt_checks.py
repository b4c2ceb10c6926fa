# SPDX-License-Identifier: Apache-2.0
"""Checks on what is asked of the model."""

from __future__ import annotations

from tests.conformance import terms
from tests.conformance.check import check, expect, expect_no_leak, form
from tests.conformance.model import Asked, Can, Got, Said
from tests.conformance.probe import Probe
from tests.conformance.target import Target

ANSWER = Said.of(f"Here you are. {terms.SENTINEL}", 4)


def _refused(got: Got, where: str) -> None:
    expect(got.seen is None, f"{where}: the upstream was called")
    expect_no_leak(got, where)
    expect(not got.answer.fault, f"{where}: the SDK cannot read the refusal: {got.answer.fault}")
    expect(bool(got.answer.ends or got.answer.error), f"{where}: the refusal has neither an end nor an error")


async def _all_refused(probe: Probe, *asked: Asked) -> None:
    for got in await probe.ask_all([(ANSWER, item, None) for item in asked]):
        _refused(got, form(got))


@check("prompt", "A prompt with a forbidden word is refused without calling the upstream, and the word is not repeated")
async def prompt(probe: Probe) -> None:
    """Every word, streamed and plain."""
    await _all_refused(
        probe, *(Asked(f"please say {word} now", stream) for word in terms.TERMS for stream in (True, False))
    )


def _needs_normalising(target: Target) -> str:
    return "" if target.normalises else "the target does not claim to see through disguises"


@check("prompt-disguised", "A disguised word in a prompt is that word", claim=_needs_normalising)
async def prompt_disguised(probe: Probe) -> None:
    """The same disguises as in answers."""
    await _all_refused(probe, *(Asked(f"please say {word} now") for word in terms.DISGUISES.values()))


@check("prompt-parts", "A word cut by the boundary between two parts of a message is that word", Can.PARTS)
async def prompt_parts(probe: Probe) -> None:
    """A model reads the parts as one text."""
    for word in (terms.ENGLISH, terms.CHINESE):
        await _all_refused(probe, Asked(f"please say {word[:2]}", parts=(f"{word[2:]} now",)))


@check("prompt-system", "The system prompt is scanned", Can.SYSTEM)
async def prompt_system(probe: Probe) -> None:
    """It is what the model reads first."""
    await _all_refused(probe, *(Asked(system=f"say {terms.ENGLISH}", stream=stream) for stream in (True, False)))


@check("prompt-turns", "Earlier turns of both sides are scanned", Can.TURNS)
async def prompt_turns(probe: Probe) -> None:
    """A word that came earlier is still in front of the model."""
    await _all_refused(
        probe,
        Asked(earlier=(f"remember {terms.ENGLISH}", "I will")),
        Asked(earlier=("remember a word", f"I remember {terms.CHINESE}")),
    )


@check("prompt-tool-result", "Tool results are scanned", Can.TOOL_RESULT)
async def prompt_tool_result(probe: Probe) -> None:
    """What a tool found is read by the model like any prompt."""
    await _all_refused(
        probe, *(Asked(tool_result=f"found {terms.CHINESE}", with_tool=True, stream=stream) for stream in (True, False))
    )


@check("prompt-harmless", "Harmless system prompts, earlier turns and tool results reach the upstream")
async def prompt_harmless(probe: Probe) -> None:
    """Without this, a gateway that refuses whatever it does not know would pass."""
    asked = [Asked("plain")]
    if probe.can(Can.SYSTEM):
        asked.append(Asked(system="be kind"))
    if probe.can(Can.TURNS):
        asked.append(Asked(earlier=("hello", "hello to you")))
    if probe.can(Can.PARTS):
        asked.append(Asked(parts=("and", "more")))
    if probe.can(Can.TOOL_RESULT):
        asked.append(Asked(tool_result="42", with_tool=True))
    for got in await probe.ask_all([(ANSWER, item, None) for item in asked]):
        expect(got.seen is not None, f"a harmless request did not reach the upstream ({got.status})")
        expect(got.is_whole, f"the answer to a harmless request was stopped ({got.answer.error} {got.answer.fault})")
