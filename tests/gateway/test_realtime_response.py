# SPDX-License-Identifier: Apache-2.0
"""One response of a session: the order of its records, how it is stopped, its sound, and what breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from content_filter import Outcome as Finding
from content_filter import Role, Verdict
from content_filter.cascade import Look
from gateway.judging import AnswerJudge, Judging, Release
from gateway.pipeline import Side
from tests.gateway.realtime_rooms import FORBIDDEN, OPENING, SOUND, Talk, at, created, done, opening, saying, speaking
from tests.gateway.rooms import WAY, Broken, stage

CREATE = {"type": "response.create"}


def answer(*events: Any, **options: Any) -> Talk:
    """A session with one response of these events."""

    async def act(talk: Talk) -> None:
        talk.client(CREATE)
        await talk.settle()
        talk.model(*events)
        await talk.settle()

    return Talk(**options).run(act)


def sounds(talk: Talk) -> list[str]:
    """The sound that left."""
    return [event["delta"] for event in talk.heard if event["type"] == "response.output_audio.delta"]


def test_nothing_leaves_before_the_opening_record_is_durable() -> None:
    """And the last event not before the closing one."""
    talk = Talk()
    talk.rooms.log.gates["close"] = gate = asyncio.Event()

    async def act(talk: Talk) -> None:
        talk.rooms.log.gates["open"] = opened = asyncio.Event()
        talk.client(CREATE)
        await talk.settle()
        talk.model(*saying("Hello."))
        await talk.settle()
        assert talk.kinds() == []
        opened.set()
        await talk.settle()
        assert talk.kinds()[-1] == "response.output_item.done"
        gate.set()
        await talk.settle()
        assert talk.kinds()[-1] == "response.done"

    talk.run(act)


def test_a_stop_cancels_the_model_before_anything_else() -> None:
    """Then the record, then the last event, with what an app may take back."""
    talk = answer(*saying(f"fine {FORBIDDEN} more"))
    timeline = talk.timeline
    cancelled = timeline.index("model hears response.cancel")
    assert cancelled < timeline.index("record close") < timeline.index("client hears response.done")
    last = talk.of("response.done")[0]
    (notice,) = [notice for notice in last["notices"] if notice["kind"] == "retraction"]
    (place,) = notice["retract"]
    assert place["item_id"] == "item_resp_1_0" and talk.text()[: place["end"]] == "AI-generated\n\nfine "
    assert talk.outcomes() == ["stopped", "completed"] and len(talk.rooms.incidents.opened) == 1
    assert FORBIDDEN not in talk.everything()


def test_sound_begins_with_the_label_and_the_record_says_so() -> None:
    """Before the first sound of each response."""
    talk = answer(*speaking("Hello there."))
    assert sounds(talk) == [OPENING, *[SOUND] * 6]
    record = next(entry for entry in talk.rooms.log.records("close"))
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "audio"} in record["decisions"]


def test_an_interface_may_say_it_instead() -> None:
    """Then sound leaves as it is, and the record says who labels it."""
    talk = answer(*speaking("Hello there."), is_audible=False)
    assert sounds(talk) == [SOUND] * 6
    record = next(entry for entry in talk.rooms.log.records("close"))
    assert {"duty": "label_media", "verdict": "pass", "action": "skip", "reason": "interface_label"} in record[
        "decisions"
    ]


def test_sound_without_words_does_not_leave() -> None:
    """What cannot be judged."""
    events = [
        event for event in speaking("Hello.") if "transcript" not in event["type"] and "part.done" not in event["type"]
    ]
    events[-1]["response"]["output"][0]["content"][0]["transcript"] = ""
    events[-2]["item"]["content"][0]["transcript"] = ""
    talk = answer(*events)
    assert sounds(talk) == [] and talk.outcomes() == ["stopped", "completed"]
    assert talk.of("response.done")[0]["response"]["status_details"]["reason"] == "content_filter"
    record = next(entry for entry in talk.rooms.log.records("close"))
    assert record["decisions"][-2]["reason"] == "no_transcript" or record["decisions"][-1]["reason"] == "no_transcript"


@pytest.mark.parametrize(
    ("session", "length"),
    [
        ({"audio": {"output": {"format": {"type": "audio/pcmu"}}}}, 1),
        ({"output_audio_format": "g711_alaw"}, 1),
        ({"output_audio_format": "pcm16"}, 6),
    ],
)
def test_the_label_sounds_in_the_format_of_the_session(session: Any, length: int) -> None:
    """8 kHz of one byte, or 24 kHz of two."""

    async def act(talk: Talk) -> None:
        talk.model({"type": "session.updated", "session": session})
        talk.client(CREATE)
        await talk.settle()
        talk.model(*speaking("Hello there."))
        for _ in range(100):  # the first label of a format is made in a thread
            await asyncio.sleep(0.01)
            if talk.of("response.done"):
                break

    talk = Talk().run(act)
    assert abs(len(sounds(talk)[0]) - len(OPENING) * length / 6) < 8


def test_sound_in_an_unknown_format_does_not_leave() -> None:
    """It cannot be labelled."""

    async def act(talk: Talk) -> None:
        talk.model({"type": "session.updated", "session": {"output_audio_format": "opus"}})
        talk.client(CREATE)
        await talk.settle()
        talk.model(*speaking("Hello there."))
        await talk.settle()

    talk = Talk().run(act)
    assert sounds(talk) == [] and "stopped" in talk.outcomes()


def test_a_broken_duty_ends_the_response_in_the_wires_words() -> None:
    """Failed, closed, recorded; the session goes on."""
    broken = stage("broken", Side.ANSWER, lambda house, exchange: Broken(at=3))
    talk = answer(*saying("Hello there."), stages=(*WAY, broken))
    last = talk.of("response.done")[0]["response"]
    assert last["status"] == "failed" and last["status_details"]["error"]["code"] == "duty_failed"
    assert "secret words" not in talk.everything()
    assert talk.outcomes() == ["failed", "completed"] and "response.cancel" in talk.asked_for()


def test_nonsense_from_the_model_ends_the_response() -> None:
    """The session goes on."""
    talk = answer(created(), *opening(), {"type": "response.output_text.delta", **at(), "delta": 5})
    assert talk.of("response.done")[0]["response"]["status_details"]["error"]["code"] == "upstream_invalid"
    assert talk.outcomes() == ["upstream_failed", "completed"]


def test_a_response_that_the_model_calls_failed_is_recorded_as_that() -> None:
    """Though all of its events came."""
    assert answer(created(), done(status="failed")).outcomes() == ["upstream_failed", "completed"]


def test_a_cancelled_response_says_so() -> None:
    """The client changed its mind, or the person spoke."""
    talk = answer(created(), *opening(), *saying("Hello.")[3:5], done(status="cancelled"))
    assert talk.of("response.done")[0]["response"]["status"] == "cancelled"
    assert talk.outcomes() == ["completed", "completed"]


class Check:
    """A check that waits for its gate; forbids `bad`, breaks at `odd`."""

    name = "check"

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    def look(self, text: str, role: Role) -> Look:
        """Nothing at once."""
        passed = Verdict(Finding.PASS, role)
        return Look(passed, passed, asks=True)

    async def finish(self, found: Look, text: str, role: Role) -> Verdict:
        """What it says of `text`."""
        await self.gate.wait()
        if "odd" in text:
            raise RuntimeError("secret words")
        if "bad" in text:
            return Verdict(Finding.BLOCK, role, "A1a", "r", 0, len(text), 9_000)
        return Verdict(Finding.PASS, role)


def judged(text: str, release: Release) -> tuple[Talk, list[str]]:
    """A response whose verdicts come once everything was said; and what had left before."""
    check = Check()
    judging = Judging(check, release)  # type: ignore[arg-type]
    duty = stage("judge answer", Side.ANSWER, lambda house, exchange: AnswerJudge(exchange, judging, house.clock))
    before: list[str] = []

    async def act(talk: Talk) -> None:
        check.gate = asyncio.Event()
        talk.client(CREATE)
        await talk.settle()
        talk.model(*speaking(text))
        await talk.settle()
        before.append("".join(event.get("delta", "") for event in talk.heard if "transcript.delta" in event["type"]))
        before.extend(sounds(talk))
        check.gate.set()
        await talk.settle()

    return Talk(stages=(WAY[0], WAY[1], duty, *WAY[2:])).run(act), before


def test_strict_lets_nothing_out_before_its_verdict() -> None:
    """Words, sound and the end wait; then everything leaves in order."""
    talk, before = judged("All is well here.", Release.STRICT)
    assert before == [""]
    assert talk.text("response.output_audio_transcript.delta") == "AI-generated\n\nAll is well here.\n\nAI-generated"
    assert len(sounds(talk)) == 10 and talk.outcomes() == ["completed", "completed"]


@pytest.mark.parametrize("release", [Release.STRICT, Release.CONCURRENT])
def test_a_late_verdict_stops_and_no_sound_leaves(release: Release) -> None:
    """Words that left at once are named for taking back; the response ends once."""
    talk, before = judged("This is bad. And more.", release)
    assert sounds(talk) == [] and (before[0] == "") == (release is Release.STRICT)
    assert len(talk.of("response.done")) == 1
    assert talk.of("response.done")[0]["response"]["status_details"]["reason"] == "content_filter"
    assert talk.outcomes() == ["stopped", "completed"]


def test_a_check_that_breaks_at_the_end_is_noticed() -> None:
    """Nobody would ask again."""
    talk, _ = judged("This is odd.", Release.STRICT)
    assert talk.of("response.done")[0]["response"]["status_details"]["error"]["code"] == "duty_failed"
    assert talk.outcomes() == ["failed", "completed"] and "secret words" not in talk.everything()
