# SPDX-License-Identifier: Apache-2.0
"""Pictures in prompts and answers, looked at before they go on."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from typing import Any

import pytest
from PIL import Image

from content_filter import FilterError, Outcome, Role, Verdict
from content_filter.cached import VerdictMemory
from gateway.decisions import Action, Refusal
from gateway.events import Channel, End, Event, Finish, Lane, Media, TextDelta
from gateway.exchange import Exchange, Prompt, PromptText
from gateway.exchange import Outcome as Ended
from gateway.picture_checks import DUTY, AnswerPictures, PictureRoom, PicturesInUse, PromptPictures, pictures_of
from gateway.wires.form import Part, form_prompt

LINK = "https://pictures.example/a.png"


def png(colour: str) -> bytes:
    """A picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (12, 12), colour).save(out, "PNG")
    return out.getvalue()


def text(colour: str) -> str:
    """The same as base64."""
    return base64.b64encode(png(colour)).decode()


def url(colour: str) -> str:
    """The same as a data URL."""
    return f"data:image/png;base64,{text(colour)}"


class Red:
    """Blocks red pictures and notes green ones; breaks at blue ones."""

    name = "red"

    def __init__(self) -> None:
        self.seen = 0
        self.gate: threading.Event | None = None

    def judge(self, picture: Image.Image, role: Role) -> Verdict:
        self.seen += 1
        if self.gate is not None:
            self.gate.wait(10)
        colour = picture.getpixel((0, 0))
        if colour == (0, 0, 255):
            raise RuntimeError("broken")
        if colour == (255, 0, 0):
            return Verdict(Outcome.BLOCK, role, "A1f", "red:x", 0, 0, 9_000)
        if colour == (0, 128, 0):
            return Verdict(Outcome.FLAG, role, "A1f", "red:y", 0, 0, 5_000)
        return Verdict(Outcome.PASS, role)


def room(check: Red | None = None, **rules: Any) -> PictureRoom:
    """A room with one check."""
    return PictureRoom(PicturesInUse((check or Red(),), **rules), 1, VerdictMemory(lambda: 0.0))


def asked(body: dict[str, Any], inside: PictureRoom | None = None) -> Exchange:
    """The exchange after the duty on its prompt."""
    texts = [PromptText("messages.0.content", "user", "what is this?")]
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", False, texts, body))

    async def act() -> None:
        used = inside or room()
        try:
            await PromptPictures(used)(made)
        finally:
            await used.close()

    asyncio.run(act())
    return made


BODIES = {
    "OpenAI chat": lambda colour: {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url(colour)}}]}]
    },
    "Responses": lambda colour: {"input": [{"content": [{"type": "input_image", "image_url": url(colour)}]}]},
    "Anthropic": lambda colour: {
        "messages": [
            {
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text(colour)}}
                ]
            }
        ]
    },
    "Gemini": lambda colour: {
        "contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": text(colour)}}]}]
    },
    "Gemini, snake case": lambda colour: {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": text(colour)}}]}]
    },
    "Ollama": lambda colour: {"messages": [{"content": "x", "images": [text(colour)]}]},
    "DashScope": lambda colour: {"input": {"messages": [{"content": [{"image": url(colour)}, {"text": "hi"}]}]}},
}


@pytest.mark.parametrize("wire", BODIES)
def test_pictures_are_found_as_every_wire_says_them(wire: str) -> None:
    """A hit refuses in-band and names the picture by number; a harmless one passes."""
    assert asked(BODIES[wire]("white")).decisions == []
    with pytest.raises(Refusal) as caught:
        asked(BODIES[wire]("red"))
    decision = caught.value.decision
    assert caught.value.in_band and (decision.duty, decision.action) == (DUTY, Action.REFUSE)
    assert (decision.class_, decision.rule, decision.channel) == ("A1f", "red:x", "picture.0")
    (noted,) = asked(BODIES[wire]("green")).decisions
    assert noted.action is Action.ALLOW


LINKED = {
    "OpenAI chat": {"messages": [{"content": [{"type": "image_url", "image_url": {"url": LINK}}]}]},
    "Responses": {"input": [{"content": [{"type": "input_image", "image_url": LINK}]}]},
    "Responses, a file": {"input": [{"content": [{"type": "input_image", "file_id": "file-1"}]}]},
    "Anthropic": {"messages": [{"content": [{"type": "image", "source": {"type": "url", "url": LINK}}]}]},
    "Gemini": {"contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a.png"}}]}]},
    "DashScope": {"input": {"messages": [{"content": [{"image": "oss://b/a.png"}]}]}},
}


@pytest.mark.parametrize("wire", LINKED)
def test_a_picture_that_is_only_an_address_passes_or_is_refused_as_set(wire: str) -> None:
    """It is never fetched from here."""
    assert asked(LINKED[wire]).decisions == []
    with pytest.raises(Refusal) as caught:
        asked(LINKED[wire], PictureRoom(PicturesInUse((), passes_links=False), 1, VerdictMemory(lambda: 0.0)))
    assert caught.value.decision.reason == "link"


def test_texts_and_tools_that_speak_of_pictures_are_no_pictures() -> None:
    """An address in a sentence is a sentence."""
    body = {
        "messages": [{"role": "user", "content": f"look at {LINK}"}, {"role": "user", "content": url("red")}],
        "tools": [{"function": {"parameters": {"properties": {"image_url": {"default": LINK}}}}}],
        "n": 1,
    }
    assert list(pictures_of(Prompt("m", False, [], body), 10)) == []


def test_the_pictures_of_a_form_are_its_files() -> None:
    """Also those that no type is named of, in the fields that hold pictures."""
    parts = [
        Part("image", png("red"), "a.png", "image/png"), Part("image[]", png("white"), "b", ""),
        Part("file", b"RIFF", "c.wav", "audio/wav"), Part("prompt", b"hi"),
    ]  # fmt: skip
    assert list(pictures_of(form_prompt(parts), 10)) == [png("red"), png("white")]


def test_a_picture_that_cannot_be_looked_at_does_not_pass() -> None:
    """Whatever it is; where findings are only noted, so is this."""
    for body in (
        {"messages": [{"images": ["bm8gcGljdHVyZQ=="]}]},
        {"messages": [{"images": ["?!"]}]},
        {"messages": [{"content": [{"image_url": {"url": "data:image/svg+xml;base64,PHN2Zy8+"}}]}]},
    ):
        with pytest.raises(Refusal) as caught:
            asked(body)
        assert caught.value.decision.reason == "unreadable"
        assert asked(body, room(stops_prompt=False)).decisions[0].action is Action.ALLOW
    with pytest.raises(Refusal):
        asked(BODIES["Ollama"]("white"), room(most_pixels=100))


def test_only_so_many_pictures_are_taken() -> None:
    """Each costs a decoder's time."""
    body = {"messages": [{"images": [text("white")] * 3}]}
    asked(body, room(most_pictures=3))
    with pytest.raises(Refusal) as caught:
        asked(body, room(most_pictures=2))
    assert caught.value.decision.reason == "too_many"


def test_a_check_that_breaks_or_takes_too_long_breaks_the_stage() -> None:
    """The pipeline's rule decides."""
    with pytest.raises(RuntimeError):
        asked(BODIES["Ollama"]("blue"))
    slow = Red()
    slow.gate = threading.Event()
    threading.Timer(0.2, slow.gate.set).start()
    with pytest.raises(TimeoutError):
        asked(BODIES["Ollama"]("white"), room(slow, timeout_s=0.01))


def test_what_was_seen_is_remembered_until_the_filter_changes() -> None:
    """A conversation sends its pictures again with every turn."""
    check = Red()
    inside = room(check)

    async def act() -> None:
        made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", False, [], BODIES["Ollama"]("green")))
        for _ in range(3):
            await PromptPictures(inside)(made)
        assert (check.seen, len(made.decisions)) == (1, 3)
        inside.forget()
        await PromptPictures(inside)(made)
        assert check.seen == 2
        await inside.close()

    asyncio.run(act())


def test_only_so_many_pictures_wait() -> None:
    """Beyond that the stage breaks, which refuses."""

    async def act() -> None:
        check = Red()
        check.gate = threading.Event()
        inside = room(check)
        tasks = [asyncio.create_task(inside.judge(png(f"#0000{number:02x}"), Role.PROMPT)) for number in range(65)]
        await asyncio.sleep(0)
        with pytest.raises(FilterError):
            await inside.judge(png("white"), Role.PROMPT)
        check.gate.set()
        await asyncio.gather(*tasks)
        await inside.close()

    asyncio.run(act())


# Answers.


def answered(inside: PictureRoom | None, *media: Media, stream: bool = False) -> tuple[list[Event], Exchange]:
    """What of an answer goes on to its labels."""
    made = Exchange("r", 0.0, "w", "/", prompt=Prompt("m", stream, [], {}))
    events: list[Event] = [TextDelta(Lane(0, Channel.ANSWER), "Here:"), *media, Finish(0, "stop"), End()]

    async def act() -> list[Event]:
        duty = AnswerPictures(made, inside)
        assert not duty.concerns(events)
        assert await duty.label_texts(events) == duty.cut_texts(events) == events
        found = list(await duty.label(events))
        if inside is not None:
            await inside.close()
        return found

    return asyncio.run(act()), made


def test_a_picture_that_must_not_leave_ends_the_answer() -> None:
    """Nothing of a batch with it leaves; a harmless one goes on as it is."""
    fine = Media(0, "image/png", png("white"))
    out, made = answered(room(), fine)
    assert fine in out and made.decisions == []
    out, made = answered(room(), fine, Media(0, "", png("red")))
    assert [type(event) for event in out] == [Finish, End]
    assert isinstance(out[0], Finish) and out[0].reason == "content_filter"
    assert made.outcome is Ended.STOPPED
    assert (made.decisions[0].action, made.decisions[0].channel) == (Action.STOP, "picture.1")


def test_findings_may_be_noted_only_and_sounds_are_no_pictures() -> None:
    """By setting, and by their bytes."""
    picture, sound = Media(0, "image/png", png("red")), Media(0, "", b"RIFF\x00\x00\x00\x00WAVEfmt ")
    out, made = answered(room(stops_answer=False), picture, sound, Media(0, "audio/wav", b"x"), Media(0, "", b""))
    assert picture in out and sound in out
    assert [decision.action for decision in made.decisions] == [Action.ALLOW]


def test_without_checks_answers_go_on_untouched() -> None:
    """Also where only links in prompts are refused."""
    picture = Media(0, "image/png", png("red"))
    assert picture in answered(None, picture)[0]
    links = PictureRoom(PicturesInUse((), passes_links=False), 1, VerdictMemory(lambda: 0.0))
    assert picture in answered(links, picture)[0]
