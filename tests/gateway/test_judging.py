# SPDX-License-Identifier: Apache-2.0
"""Verdicts that take their time: what leaves before them, after them, and never."""

from __future__ import annotations

import asyncio
import random

import pytest

from content_filter import Outcome as Finding
from content_filter import Role
from content_filter import Verdict as Judgement
from gateway.decisions import Action, Refusal
from gateway.events import Channel, End, Event, Finish, Lane, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt, PromptText
from gateway.judging import AnswerJudge, Judging, PromptJudge, Release

ANSWER = Lane(0, Channel.ANSWER)


class SlowCheck:
    """Blocks texts with `bad` in them, in whatever order and after whatever time the test's chance says."""

    name = "slow"

    def __init__(self, seed: int = 0, broken: bool = False) -> None:
        self.chance = random.Random(seed)
        self.broken = broken
        self.gate: asyncio.Event | None = None
        self.seen: list[str] = []

    async def judge(self, text: str, role: Role) -> Judgement:
        self.seen.append(text)
        if self.gate is not None:
            await self.gate.wait()
        for _ in range(self.chance.randrange(5)):
            await asyncio.sleep(0)
        if self.broken:
            raise RuntimeError("broken")
        if "bad" in text:
            return Judgement(Finding.BLOCK, role, "A1d", "rule", 0, len(text), 9_000)
        return Judgement(Finding.PASS, role)

    async def close(self) -> None:
        """Nothing to give back."""


def exchange(stream: bool = True) -> Exchange:
    prompt = Prompt("m", stream, [PromptText("messages.0.content", "user", "hi there")], {})
    return Exchange("r", 0.0, "w", "/p", prompt=prompt)


def said(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def drive(judge: AnswerJudge, events: list[Event]) -> list[Event]:
    """What leaves, in order, when the events come one at a time."""
    out: list[Event] = []

    async def emit(late: list[Event]) -> None:
        out.extend(late)

    judge.emit = emit
    for event in events:
        out += judge.feed([event])
        await asyncio.sleep(0)
    await judge.settled()
    return out


def deltas(text: str, size: int) -> list[Event]:
    return [TextDelta(ANSWER, text[at : at + size]) for at in range(0, len(text), size)]


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("seed", range(8))
def test_a_harmless_answer_arrives_whole_and_in_order(release: Release, seed: int) -> None:
    """In every way to release, whatever the order of the verdicts; the end comes last."""
    text = "One sentence. Another one! 第三句。 and a tail"
    judge = AnswerJudge(exchange(), Judging(SlowCheck(seed), release), lambda: 0.0)
    out = asyncio.run(drive(judge, [*deltas(text, 1 + seed), Finish(0, "stop"), End()]))
    assert said(out) == text
    assert [type(event) for event in out[-2:]] == [Finish, End]


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("seed", range(8))
def test_a_harmful_answer_is_stopped(release: Release, seed: int) -> None:
    """The end of every way is the same: content_filter, and a decision that names class and place."""
    made = exchange()
    judge = AnswerJudge(made, Judging(SlowCheck(seed), release), lambda: 0.0)
    text = "Fine so far. This is bad here. And more of it."
    out = asyncio.run(drive(judge, [*deltas(text, 3), Finish(0, "stop"), End()]))
    ends = [event for event in out if isinstance(event, Finish)]
    assert [event.reason for event in ends] == ["content_filter"]
    assert isinstance(out[-1], End)
    assert made.outcome is Outcome.STOPPED
    stop = next(decision for decision in made.decisions if decision.action is Action.STOP)
    assert (stop.class_, stop.start, stop.channel) == ("A1d", 13, "answer")
    if release is Release.STRICT:
        assert "bad" not in said(out)
        assert said(out) in ("", "Fine so far. ")


def test_strict_lets_nothing_out_before_its_verdict_and_concurrent_everything() -> None:
    """While the check thinks."""

    async def early(release: Release) -> str:
        check = SlowCheck()
        check.gate = asyncio.Event()
        judge = AnswerJudge(exchange(), Judging(check, release, hold_chars=10), lambda: 0.0)
        out = [event for piece in deltas("A first sentence. A second one.", 4) for event in judge.feed([piece])]
        judge.cancel()
        return said(out)

    assert asyncio.run(early(Release.STRICT)) == ""
    assert asyncio.run(early(Release.CONCURRENT)) == "A first sentence. A second one."
    assert asyncio.run(early(Release.HOLD)) == "A first sentence. A s"


def test_hold_lets_text_out_after_its_time() -> None:
    """At most so many seconds behind, though no verdict and no event comes."""

    async def run() -> str:
        check = SlowCheck()
        check.gate = asyncio.Event()
        judge = AnswerJudge(
            exchange(), Judging(check, Release.HOLD, hold_chars=1_000, hold_s=0.02), asyncio.get_running_loop().time
        )
        out: list[Event] = []
        seen = asyncio.Event()

        async def emit(late: list[Event]) -> None:
            out.extend(late)
            if late:
                seen.set()

        judge.emit = emit
        assert judge.feed([TextDelta(ANSWER, "Some words.")]) == []
        await asyncio.wait_for(seen.wait(), 5)
        judge.cancel()
        return said(out)

    assert asyncio.run(run()) == "Some words."


def test_a_check_that_breaks_breaks_the_stage() -> None:
    """The pipeline's rule decides; nothing is let out as if it had passed."""

    async def run() -> None:
        judge = AnswerJudge(exchange(), Judging(SlowCheck(broken=True)), lambda: 0.0)
        out = judge.feed([TextDelta(ANSWER, "Some words. "), Finish(0, "stop"), End()])
        assert out == []
        await judge.settled()

    with pytest.raises(RuntimeError):
        asyncio.run(run())


def test_a_prompt_is_judged_before_the_model_is_called() -> None:
    """Each text whole; a hit refuses in-band and names the text, not its words."""
    made = exchange()
    asyncio.run(PromptJudge(None)(made))
    asyncio.run(PromptJudge(Judging(SlowCheck()))(made))
    assert made.prompt is not None
    made.prompt.texts.append(PromptText("messages.1.content", "user", "something bad"))
    with pytest.raises(Refusal) as caught:
        asyncio.run(PromptJudge(Judging(SlowCheck()))(made))
    assert caught.value.in_band
    assert caught.value.decision.channel == "messages.1.content"
    assert "bad" not in caught.value.message
