# SPDX-License-Identifier: Apache-2.0
"""Verdicts that take their time: what leaves before them, after them, and never."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_filter import FilterError, Role
from content_filter import Outcome as Finding
from content_filter import Verdict as Judgement
from content_filter.cached import VerdictMemory
from content_filter.cascade import Look
from gateway.decisions import Action, Refusal
from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt, PromptText
from gateway.filtering import MOST_DECISIONS
from gateway.judging import AnswerJudge, Aside, Judging, PromptJudge, Release

ANSWER = Lane(0, Channel.ANSWER)


class SlowCheck:
    """Blocks texts with `bad` in them, in whatever order and after whatever time the test's chance says."""

    name = "slow"

    def __init__(self, seed: int = 0, broken: bool = False) -> None:
        self.chance = random.Random(seed)
        self.broken = broken
        self.gate: asyncio.Event | None = None
        self.seen: list[str] = []

    def look(self, text: str, role: Role) -> Look:
        passed = Judgement(Finding.PASS, role)
        return Look(passed, passed, asks=True)

    async def finish(self, found: Look, text: str, role: Role) -> Judgement:
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


class QuickCheck:
    """Blocks texts with `bad`, flags those with `odd`, without waiting; of what says `ask` it cannot be sure."""

    name = "quick"

    def __init__(self) -> None:
        self.seen: list[tuple[str, Role]] = []
        self.threads: set[str] = set()

    def look(self, text: str, role: Role) -> Look:
        self.seen.append((text, role))
        self.threads.add(threading.current_thread().name.partition("_")[0])
        passed = said = Judgement(Finding.PASS, role)
        for word, outcome in (("odd", Finding.FLAG), ("bad", Finding.BLOCK)):
            if word in text:
                start = text.index(word)
                said = Judgement(outcome, role, "A1d", "quick", start, start + 3, 9_000)
        return Look(said, passed, asks="ask" in text and said.verdict is not Finding.BLOCK)

    async def finish(self, found: Look, text: str, role: Role) -> Judgement:
        await asyncio.sleep(0)
        return found.said

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
    asyncio.run(PromptJudge(lambda: None)(made))
    asyncio.run(PromptJudge(lambda: Judging(SlowCheck()))(made))
    assert made.prompt is not None
    made.prompt.texts.append(PromptText("messages.1.content", "user", "something bad"))
    with pytest.raises(Refusal) as caught:
        asyncio.run(PromptJudge(lambda: Judging(SlowCheck()))(made))
    assert caught.value.in_band
    assert caught.value.decision.channel == "messages.1.content"
    assert "bad" not in caught.value.message


# Checks that need no waiting.


@given(
    pieces=st.lists(
        st.sampled_from(["Fine words. ", "an odd thing", "第三句。", " bad", " more", "\n", "x" * 40]), max_size=12
    ),
    release=st.sampled_from(list(Release)),
    size=st.integers(1, 30),
)
@settings(max_examples=200)
def test_a_quick_verdict_decides_alike_however_the_answer_is_cut(
    pieces: list[str], release: Release, size: int
) -> None:
    """Harmless answers arrive whole and in order, harmful ones are stopped, in every way to release."""
    text = "".join(pieces)
    made = exchange()
    judge = AnswerJudge(made, Judging(QuickCheck(), release), lambda: 0.0)
    out = asyncio.run(drive(judge, [*deltas(text, size), Finish(0, "stop"), End()]))
    assert text.startswith(said(out))
    if "bad" in text:
        assert made.outcome is Outcome.STOPPED
        assert release is Release.CONCURRENT or "bad" not in said(out)
    else:
        assert said(out) == text and made.outcome is Outcome.OPEN
    assert isinstance(out[-1], End)


def test_the_first_words_leave_at_once_where_a_look_finds_nothing() -> None:
    """In `hold`: a person sees the answer begin, and what leaves was looked at as far as it goes."""
    check = QuickCheck()
    judge = AnswerJudge(exchange(), Judging(check, Release.HOLD, hold_s=5.0), lambda: 0.0)
    assert said(judge.feed([TextDelta(ANSWER, "Good mor")])) == "Good mor"
    assert said(judge.feed([TextDelta(ANSWER, "ning to")])) == ""
    assert check.seen == [("Good mor", Role.ANSWER)]


def test_what_waited_its_time_is_looked_at_before_it_leaves() -> None:
    """A sentence without end stops where it turns bad, though no window was complete."""
    now = [0.0]
    made = exchange()
    judge = AnswerJudge(made, Judging(QuickCheck(), Release.HOLD, hold_s=0.1), lambda: now[0])
    assert said(judge.feed([TextDelta(ANSWER, "one ")])) == "one "
    assert said(judge.feed([TextDelta(ANSWER, "two ")])) == ""
    now[0] = 0.1
    assert said(judge.feed([TextDelta(ANSWER, "three ")])) == "two three "
    assert said(judge.feed([TextDelta(ANSWER, "bad ")])) == ""
    now[0] = 0.2
    out = judge.feed([TextDelta(ANSWER, "four ")])
    assert [type(event) for event in out] == [Finish, End]
    assert made.outcome is Outcome.STOPPED
    (stop,) = made.decisions
    assert (stop.action, stop.start, stop.end) == (Action.STOP, 14, 17)


def test_what_has_to_be_asked_about_waits_its_time() -> None:
    """A look that cannot be sure lets nothing out early."""
    judge = AnswerJudge(exchange(), Judging(QuickCheck(), Release.HOLD, hold_s=5.0), lambda: 0.0)
    assert said(judge.feed([TextDelta(ANSWER, "ask me")])) == ""


def test_a_look_that_breaks_while_text_is_due_breaks_the_stage() -> None:
    """Also where the clock, not the model, asks for it."""

    class Broken(QuickCheck):
        def look(self, text: str, role: Role) -> Look:
            if len(self.seen) == 1:
                raise RuntimeError("broken")
            return super().look(text, role)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        judge = AnswerJudge(exchange(), Judging(Broken(), Release.HOLD, hold_s=0.01), loop.time)
        seen = asyncio.Event()

        async def emit(late: list[Event]) -> None:
            assert late == []
            seen.set()

        judge.emit = emit
        assert said(judge.feed([TextDelta(ANSWER, "first")])) == "first"
        assert judge.feed([TextDelta(ANSWER, " words")]) == []
        await asyncio.wait_for(seen.wait(), 5)
        await judge.settled()

    with pytest.raises(RuntimeError):
        asyncio.run(run())


def test_a_plain_answer_is_judged_whole() -> None:
    """One text, however many sentences it has: a check sees all of its context."""
    check = QuickCheck()
    judge = AnswerJudge(exchange(stream=False), Judging(check), lambda: 0.0)
    out = judge.feed([TextDelta(ANSWER, "One. Two. "), TextDelta(ANSWER, "Three."), Finish(0, "stop"), End()])
    assert said(out) == "One. Two. Three."
    assert check.seen == [("One. Two. Three.", Role.ANSWER)]


def test_where_a_finding_lies_is_said_in_the_lane_s_own_places() -> None:
    """A window is read with some text before it, which does not count."""
    made = exchange()
    judge = AnswerJudge(made, Judging(QuickCheck(), Release.STRICT), lambda: 0.0)
    asyncio.run(drive(judge, [*deltas("A first sentence. Then an odd one. ", 5), Finish(0, "stop"), End()]))
    assert [(item.start, item.end) for item in made.decisions] == [(26, 29)]


def test_flags_do_not_fill_the_record() -> None:
    """A record has a size; what stops an answer is always in it."""
    made = exchange()
    judge = AnswerJudge(made, Judging(QuickCheck(), Release.STRICT), lambda: 0.0)
    asyncio.run(drive(judge, [*deltas("odd thing! " * 200 + "bad!", 11), Finish(0, "stop"), End()]))
    assert len(made.decisions) == MOST_DECISIONS + 1
    assert made.decisions[-1].action is Action.STOP


@pytest.mark.parametrize("release", list(Release))
def test_what_stood_before_the_guard_s_match_leaves_where_a_look_finds_nothing(release: Release) -> None:
    """A term stops the answer while text waits here: harmless words go, others stay."""
    for text, expected in (("Good words ", "Good words "), ("ask ", ""), ("bad ", "")):
        made = exchange()
        judge = AnswerJudge(made, Judging(QuickCheck(), release, hold_s=5.0), lambda: 0.0)
        head = "Fine. "
        left = said(judge.feed([TextDelta(ANSWER, head)]))
        made.outcome = Outcome.STOPPED
        out = judge.feed([TextDelta(ANSWER, text), Finish(0, "content_filter"), End()])
        assert left + said(out) == head + expected
        assert [type(event) for event in out[-2:]] == [Finish, End]


# Prompts.


def asked(judging: Judging, *texts: tuple[str, str]) -> Exchange:
    """The exchange after its prompt was judged."""
    made = exchange()
    assert made.prompt is not None
    made.prompt.texts = [PromptText(f"messages.{n}.content", role, text) for n, (role, text) in enumerate(texts)]
    asyncio.run(PromptJudge(lambda: judging)(made))
    return made


def test_a_minors_exchange_meets_more() -> None:
    """What would only be noted of some classes refuses a prompt and stops an answer in any way to release; of other
    classes, and for others, it is noted."""
    prompt = Prompt("m", False, [PromptText("messages.0.content", "user", "how odd")], {})
    for classes, action in ((frozenset({"A1d"}), Action.REFUSE), (frozenset({"A1f"}), Action.ALLOW)):
        made = Exchange("r", 0.0, "w", "/p", prompt=prompt, strict_classes=classes)
        duty = PromptJudge(lambda: Judging(QuickCheck(), Release.HOLD))
        if action is Action.REFUSE:
            with pytest.raises(Refusal) as caught:
                asyncio.run(duty(made))
            assert caught.value.decision.action is action
        else:
            asyncio.run(duty(made))
            assert [decision.action for decision in made.decisions] == [action]
    for release in Release:
        made = exchange()
        made.strict_classes = frozenset({"A1d"})
        judge = AnswerJudge(made, Judging(QuickCheck(), release), lambda: 0.0)
        out = asyncio.run(drive(judge, [*deltas("Fine. This is odd. More.", 4), Finish(0, "stop"), End()]))
        assert made.outcome is Outcome.STOPPED and "More" not in said(out)


def test_what_judges_is_pinned_for_the_exchange() -> None:
    """A reload changes the next exchange, never half an answer."""
    judging = Judging(QuickCheck())
    assert asked(judging, ("user", "hello")).judging is judging


def test_earlier_answers_are_judged_as_answers_and_trusted_roles_not_at_all() -> None:
    """Whoever writes the system prompt is the provider, where the settings say so."""
    check = QuickCheck()
    asked(
        Judging(check, trusted_roles=frozenset({"system"})),
        ("system", "never say bad"), ("user", "hello"), ("assistant", "hi"),
    )  # fmt: skip
    assert check.seen == [("hello", Role.PROMPT), ("hi", Role.ANSWER)]


def test_the_many_short_texts_of_tools_are_judged_together() -> None:
    """A finding names its piece; messages are judged each for itself."""
    check = QuickCheck()
    with pytest.raises(Refusal) as caught:
        asked(Judging(check), ("system", "tell me"), ("system", "  "), ("system", "something bad"), ("user", "now"))
    assert check.seen == [("tell me\nsomething bad", Role.PROMPT)]
    decision = caught.value.decision
    assert (decision.channel, decision.start, decision.end) == ("messages.2.content", 10, 13)


def test_what_was_judged_before_is_remembered_but_not_its_words() -> None:
    """A conversation repeats its earlier turns; a finding is found again."""
    check = QuickCheck()
    judging = Judging(check, memory=VerdictMemory(lambda: 0.0))
    for _ in range(2):
        made = asked(judging, ("user", "an odd thing"), ("assistant", "well"))
        assert [item.verdict.value for item in made.decisions] == ["flag"]
    assert len(check.seen) == 2
    assert "odd" not in repr(judging.memory)


def test_a_long_text_is_judged_in_a_thread_and_too_long_a_prompt_is_refused() -> None:
    """The event loop goes on; nothing is passed unjudged because it is long."""

    async def run() -> QuickCheck:
        check = QuickCheck()
        aside = Aside(1)
        judging = Judging(check, aside=aside, long_chars=200, most_chars=500)
        made = exchange()
        assert made.prompt is not None
        made.prompt.texts = [PromptText("messages.0.content", "user", "x" * 300)]
        await PromptJudge(lambda: judging)(made)
        made.prompt.texts.append(PromptText("messages.1.content", "user", "y" * 300))
        with pytest.raises(Refusal) as caught:
            await PromptJudge(lambda: judging)(made)
        assert (caught.value.status, caught.value.code) == (413, "prompt_too_long")
        plain = AnswerJudge(exchange(stream=False), judging, lambda: 0.0)
        text = "z" * 300 + " bad"
        out = plain.feed([TextDelta(ANSWER, text), Finish(0, "stop"), End()])
        assert out == []
        await plain.settled()
        await aside.close()
        return check

    check = asyncio.run(run())
    assert check.threads == {"judging"}


def test_only_so_many_long_texts_wait() -> None:
    """Beyond that the stage breaks, which refuses."""

    async def run() -> None:
        aside = Aside(1)
        gate = threading.Event()

        class Waiting(QuickCheck):
            def look(self, text: str, role: Role) -> Look:
                gate.wait(10)
                return super().look(text, role)

        check = Waiting()
        tasks = [asyncio.create_task(aside.look(check, "x", Role.PROMPT)) for _ in range(65)]
        await asyncio.sleep(0)
        with pytest.raises(FilterError):
            await aside.look(check, "x", Role.PROMPT)
        gate.set()
        await asyncio.gather(*tasks)
        await aside.look(check, "x", Role.PROMPT)
        await aside.close()

    asyncio.run(run())


# The order of what leaves.


REASONING = Lane(0, Channel.REASONING)
NAME, ARGUMENTS = Lane(0, Channel.TOOL_NAME, 1), Lane(0, Channel.TOOL_ARGUMENTS, 1)


def order(events: list[Event]) -> list[str]:
    """What leaves, one word an event; pieces of one lane that stand side by side are one."""
    out: list[str] = []
    before: Lane | None = None
    for event in events:
        if isinstance(event, TextDelta):
            if event.lane == before:
                out[-1] += event.text
            else:
                out.append(event.text)
            before = event.lane
        else:
            before = None
            ends = f"end {event.choice} {event.reason}".rstrip() if isinstance(event, Finish) else ""
            out.append(ends or type(event).__name__)
    return out


def blocks(kinds: list[str]) -> list[Event]:
    """An answer of blocks, as Anthropic Messages has them: each with its ending, tools as structures."""
    events: list[Event] = [Opaque()]
    for number, kind in enumerate(kinds):
        if kind == "tool":
            inside = [Lane(-2, Channel.TOOL_NAME, 1), Lane(-2, Channel.OTHER, 2)]
            events += [TextDelta(lane, f"tool {number}.{at}") for at, lane in enumerate(inside)]
            events.append(Finish(-2, ""))
        elif kind == "thinking":
            events += [Opaque(), TextDelta(REASONING, f"thought {number}"), TextDelta(REASONING, " goes on. And on")]
            events.append(Finish(0, ""))
        else:
            events += [Attached(ANSWER), TextDelta(ANSWER, f"words {number}"), TextDelta(ANSWER, ". More")]
            events.append(Finish(0, ""))
    return [*events, Finish(0, "stop"), End()]


async def batches(judge: AnswerJudge, events: list[Event], sizes: list[int]) -> list[list[Event]]:
    """What leaves together, when the events come in batches; what comes whole comes in one."""
    out: list[list[Event]] = []

    async def emit(late: list[Event]) -> None:
        out.append(late)

    judge.emit = emit
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        is_inside = isinstance(event, TextDelta) and event.lane.choice < -1
        if len(batch) >= sizes[len(out) % len(sizes)] and not is_inside:
            out.append(judge.feed(batch))
            batch = []
            await asyncio.sleep(0)
    out.append(judge.feed(batch))
    await judge.settled()
    return out


@given(
    kinds=st.lists(st.sampled_from(["thinking", "text", "tool"]), max_size=6),
    release=st.sampled_from(list(Release)),
    is_slow=st.booleans(),
    is_stream=st.booleans(),
    seed=st.integers(0, 20),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_blocks_leave_in_the_order_in_which_they_came(
    kinds: list[str], release: Release, is_slow: bool, is_stream: bool, seed: int, sizes: list[int]
) -> None:
    """However the stream is cut, whatever the verdicts wait for; and what comes whole leaves in one piece."""
    events = blocks(kinds)
    made = exchange(stream=is_stream)
    judge = AnswerJudge(made, Judging(SlowCheck(seed) if is_slow else QuickCheck(), release), lambda: 0.0)
    left = asyncio.run(batches(judge, events, sizes if is_stream else [1_000]))
    assert order([event for batch in left for event in batch]) == order(events)
    for batch in left:
        ends = [event for event in batch if isinstance(event, Finish) and event.choice == -2]
        assert len([event for event in batch if isinstance(event, TextDelta) and event.lane.choice == -2]) == 2 * len(
            ends
        )


def test_what_waits_is_not_overtaken_by_the_first_words_of_another_lane() -> None:
    """In `hold`: an app that shows the thinking first does not get its last words behind the answer's first."""
    judge = AnswerJudge(exchange(), Judging(QuickCheck(), Release.HOLD, hold_s=5.0), lambda: 0.0)
    pieces = [
        TextDelta(REASONING, "I think"),
        TextDelta(REASONING, " so"),
        TextDelta(ANSWER, "Yes"),
        TextDelta(ANSWER, " a"),
    ]
    assert [order(judge.feed([piece])) for piece in pieces] == [["I think"], [], [" so", "Yes"], []]


@pytest.mark.parametrize("release", [Release.STRICT, Release.HOLD])
def test_a_tool_s_name_leaves_before_its_arguments(release: Release) -> None:
    """Also where the name has to be asked about and the arguments do not."""
    judge = AnswerJudge(exchange(), Judging(QuickCheck(), release, hold_s=5.0), lambda: 0.0)
    events: list[Event] = [
        TextDelta(NAME, "ask_weather"),
        TextDelta(ARGUMENTS, '{"city": 1}\n'),
        Finish(0, "tool_calls"),
        End(),
    ]
    assert order(asyncio.run(drive(judge, events))) == ["ask_weather", '{"city": 1}\n', "end 0 tool_calls", "End"]


def test_a_guard_s_stop_lets_out_what_stood_before_it_in_its_order() -> None:
    """With what is no text: some wires say nothing of a text before its frame has left."""
    made = exchange()
    judge = AnswerJudge(made, Judging(QuickCheck(), Release.HOLD, hold_s=5.0), lambda: 0.0)
    made.outcome = Outcome.STOPPED
    other = TextDelta(Lane(1, Channel.ANSWER), "ask ")
    structure: list[Event] = [TextDelta(Lane(-2, Channel.OTHER, 1), "bad"), Finish(-2, "")]
    whole: list[Event] = [TextDelta(Lane(-2, Channel.OTHER, 1), "fine"), Finish(-2, "")]
    events: list[Event] = [Opaque(), TextDelta(ANSWER, "Good "), other, Finish(1, "stop"), *structure, *whole, Opaque()]
    out = judge.feed([*events, TextDelta(ANSWER, "words "), Finish(0, "content_filter"), End()])
    assert order(out) == [
        "Opaque", "Good ", "end 1 content_filter", "fine", "end -2", "Opaque", "words ", "end 0 content_filter", "End",
    ]  # fmt: skip
