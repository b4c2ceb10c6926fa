# SPDX-License-Identifier: Apache-2.0
"""Pictures and sounds leave with all their labels or not at all, without holding up the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.events import Channel, End, Event, Lane, Media, TextDelta
from gateway.exchange import Exchange, Outcome
from gateway.house import House
from gateway.label_files import FileLabels, file_labels, write_chain
from gateway.media_labels import LabelMedia, MediaLabels
from gateway.metrics import Meters
from gateway.pipeline import FailureRule, Side, Stage
from gateway.policies import load
from gateway.settings import Settings
from gateway.wires.gemini import Gemini
from gateway.wires.openai_audio import SPEECH_PATH, OpenAISpeech
from gateway.wires.openai_images import GENERATIONS_PATH, OpenAIImages
from labeling.aigc import AigcLabel
from labeling.c2pa_manifest import read_manifest
from labeling.errors import LabelError, LabelNotVerified
from labeling.explicit.audio import rhythm
from labeling.implicit import read, write
from labeling.inspection import inspect_file
from labeling.sniff import FileFormat
from tests.gateway.rooms import WAY, Client, Rooms, completion
from tests.labeling.conftest import encoded, picture

RECORD = "0199a000-0000-7000-8000-000000000001"
CODE = "001191110000MA00000AAT10001"
PNG = encoded(picture(200, 160), "PNG")
MP3 = (b"\xff\xfb\x90\x00" + bytes(413)) * 20
WORDS = TextDelta(Lane(0, Channel.ANSWER), "fine")


def wav(seconds: float = 0.2, rate_hz: int = 8_000) -> bytes:
    """A quiet tone, mono, 16 bits."""
    samples = [round(900 * math.sin(number / 5)) for number in range(int(seconds * rate_hz))]
    sound = struct.pack(f"<{len(samples)}h", *samples)
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def files(keys: Path | None = None, **label: Any) -> FileLabels:
    """What a service's files get."""
    return file_labels(Settings.model_validate({"label": label}), load(["cn"]), CODE, keys)


def exchange() -> Exchange:
    """An answer of a model."""
    return Exchange(RECORD, 0.0, "openai_images", GENERATIONS_PATH)


def labelled(
    events: Sequence[Event], known: Exchange | None = None, labels: FileLabels | None = None, **options: Any
) -> list[Event]:
    """What the duty makes of `events`."""

    async def run() -> list[Event]:
        media = MediaLabels(labels or files(), 2, 1 << 24, **options)
        try:
            return list(await LabelMedia(known or exchange(), media, Meters(version="0")).label(events))
        finally:
            await media.close()

    return asyncio.run(run())


def medium(events: Sequence[Event]) -> Media:
    """The only medium among `events`."""
    [found] = [event for event in events if isinstance(event, Media)]
    return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_gets_a_visible_and_a_hidden_label(kind: str) -> None:
    """Its pixels changed, its number is the record's, and nothing else of the answer changed."""
    known, carrier = exchange(), object()
    data = encoded(picture(200, 160), kind)
    out = labelled([WORDS, Media(0, "", data, carrier), End()], known)
    made = medium(out)
    assert out[0] is WORDS and isinstance(out[2], End)
    assert (made.is_labelled, made.carrier, made.mime) == (True, carrier, FileFormat[kind].mime)
    found = inspect_file(made.data)
    assert (found.verdict, found.findings, found.labels[0].values["ProduceID"]) == ("generated", (), RECORD)
    assert [item.as_record() for item in known.decisions] == [
        {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "image"}
    ]


def test_where_there_is_a_chain_the_manifest_is_signed(tmp_path: Path) -> None:
    """Last, so that it holds."""
    chain = write_chain(tmp_path, "Example Ltd", 30, time.time)
    made = medium(labelled([Media(0, "image/png", PNG)], labels=files(tmp_path)))
    assert read_manifest(made.data, FileFormat.PNG, trust_anchors_pem=chain.root_pem()).state == "trusted"


def test_a_manifest_of_the_upstream_is_kept_or_the_picture_does_not_leave(tmp_path: Path) -> None:
    """Without a signer of ours, labelling would break theirs."""
    write_chain(tmp_path, "Example Ltd", 30, time.time)
    signed = medium(labelled([Media(0, "", PNG)], labels=files(tmp_path))).data
    known = exchange()
    assert not medium(labelled([Media(0, "", signed)], known)).is_labelled
    assert known.decisions[0].reason == "refused_file"
    again = medium(labelled([Media(0, "", signed)], labels=files(tmp_path)))
    assert read_manifest(again.data, FileFormat.PNG).manifests == 2


def test_a_label_of_the_upstream_stays_and_is_not_doubled() -> None:
    """Its producer is named, we are the propagator."""
    theirs = AigcLabel("1", "001191440300708461136T1XGW3", "theirs-1")
    made = medium(labelled([Media(0, "", write(PNG, FileFormat.PNG, theirs))]))
    [found] = inspect_file(made.data).labels
    assert (found.values["ProduceID"], found.values["PropagateID"]) == ("theirs-1", RECORD)


def test_a_wav_gets_the_rhythm_and_the_hidden_label() -> None:
    """GB 45438-2025 clause 5.3: AI in Morse before the sound, which itself stays."""
    data = wav()
    made = medium(labelled([Media(0, "audio/wav", data)]))
    assert made.data.count(data[44:]) == 1
    assert len(made.data) - len(data) >= 2 * len(rhythm(8_000, 0.1, 800))
    assert len(read(made.data, FileFormat.WAV)) == 1


def test_a_packed_sound_leaves_only_where_the_interface_labels_it() -> None:
    """And the record says that this is why it has no audible label."""
    known = exchange()
    assert not medium(labelled([Media(0, "audio/mpeg", MP3)], known)).is_labelled
    assert (known.decisions[0].action.value, known.decisions[0].reason) == ("stop", "unsupported")
    known = exchange()
    made = medium(labelled([Media(0, "audio/mpeg", MP3)], known, files(sound="interface")))
    assert made.is_labelled and made.data.endswith(MP3)
    assert [(item.action.value, item.reason) for item in known.decisions] == [("skip", "interface_label")]


def test_a_medium_is_labelled_as_what_it_is() -> None:
    """A server that gives WAV whatever was asked for: the type follows the bytes."""
    assert medium(labelled([Media(0, "audio/mpeg", wav())])).mime == "audio/wav"


@pytest.mark.parametrize(
    ("mime", "data", "reason"),
    [
        ("", b"", "link"),
        ("image/png", b"", "link"),
        ("", b"no picture", "unsupported"),
        ("", PNG[:60], "damaged_file"),
        ("", encoded(picture(), "PDF"), "unsupported"),
        ("", encoded(picture(8, 8), "PNG"), "unsupported"),
        ("image/png", wav(), "unsupported"),
        ("audio/wav", PNG, "unsupported"),
        ("audio/pcm", MP3, "unsupported"),
        ("video/mp4", PNG, "unsupported"),
        ("application/octet-stream", PNG, "unsupported"),
        ("application/pdf", encoded(picture(), "PDF"), "unsupported"),
    ],
)
def test_what_cannot_be_labelled_stays_bare_and_the_record_says_why(mime: str, data: bytes, reason: str) -> None:
    """Links, damaged and foreign files, too small a picture, films, documents, and files of no stated kind."""
    known = exchange()
    made = medium(labelled([Media(0, mime, data)], known))
    assert (made.is_labelled, made.data) == (False, data)
    assert [(item.action.value, item.reason) for item in known.decisions] == [("stop", reason)]


def test_an_answer_without_bare_media_is_given_back_as_it_is() -> None:
    """No copy, no decision: most answers are text."""
    known = exchange()
    events = [WORDS, Media(0, "image/png", PNG, is_labelled=True), End()]
    duty = LabelMedia(known, MediaLabels(files(), 1, 99), Meters(version="0"))
    assert asyncio.run(_same(duty, events)) is events  # type: ignore[comparison-overlap]
    assert known.decisions == []


async def _same(duty: LabelMedia, events: list[Event]) -> Sequence[Event]:
    return await duty.label(events)


def test_several_pictures_keep_their_places_and_are_one_decision() -> None:
    """One that cannot be labelled does not hide behind those that can."""
    known = exchange()
    sizes = (80, 120, 160)
    pictures_ = [Media(0, "", encoded(picture(size, 90), "PNG"), size) for size in sizes]
    out = labelled([*pictures_, Media(0, "", b"")], known)
    made = [event for event in out if isinstance(event, Media)]
    assert [event.carrier for event in made if event.is_labelled] == [80, 120, 160]
    assert [event.data for event in made if not event.is_labelled] == [b""]
    assert [(item.action.value, item.reason) for item in known.decisions] == [("stop", "link"), ("label", "image")]


class Slow(MediaLabels):
    """Labels when a test lets it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(files(), 1, 1 << 20, **options)
        self.may_go = threading.Event()
        self.done = 0

    def _work(self, data: bytes, mime: str, record_id: str) -> Any:
        self.may_go.wait(10)
        self.done += 1
        return super()._work(data, mime, record_id)


def test_more_files_than_may_wait_are_refused_and_room_comes_back() -> None:
    """Also the room of whoever left while a thread was at work."""

    async def run() -> None:
        media = Slow(max_waiting=1)
        waiting = [asyncio.create_task(media.label(PNG, "", RECORD)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(LabelError, match="file_threads"):
            await media.label(PNG, "", RECORD)
        for task in waiting:
            task.cancel()
        media.may_go.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        while media._pending:
            await asyncio.sleep(0.001)
        assert (await media.label(PNG, "", RECORD)).mime == "image/png"
        await media.close()
        assert media.done == 2  # the one that waited was never begun

    asyncio.run(run())


# In the runner.


def house_stage(media: MediaLabels) -> tuple[Stage, ...]:
    """The runner's way with this duty at its end."""

    def made(house: House, exchange: Exchange) -> LabelMedia:
        return LabelMedia(exchange, media, house.meters)

    return (*WAY, Stage("label media", Side.ANSWER, "labels", FailureRule.STOP, media=made))


def ask(
    rooms: Callable[[tuple[Stage, ...]], Rooms], client: dict[str, Any], wire: Any, media: MediaLabels | None = None
) -> tuple[Rooms, Client]:
    """One request through the runner."""
    media = media or MediaLabels(files(), 1, 1 << 24)
    made = rooms(house_stage(media))

    async def whole() -> Client:
        walked = await made.walk(made.client(**client), wire)
        await media.close()
        return walked

    return made, asyncio.run(whole())


def pictures(*data: bytes) -> bytes:
    """An answer with pictures."""
    return json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(item).decode()} for item in data]}).encode()


IMAGES = {"body": b'{"prompt":"a cat","model":"m"}', "path": GENERATIONS_PATH}


def test_a_plain_answer_leaves_with_labelled_pictures() -> None:
    """The number in the picture is the number of the record; labels are counted."""
    rooms, client = ask(lambda way: Rooms([pictures(PNG, PNG)], stages=way), IMAGES, OpenAIImages())
    assert client.status == 200
    for item in json.loads(client.answer)["data"]:
        [label] = inspect_file(base64.b64decode(item["b64_json"])).labels
        assert label.values["ProduceID"] == client.answer_headers[b"duty-record"].decode() == rooms.record["id"]
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "image"} in rooms.record["decisions"]
    scraped = rooms.meters.scrape().decode()
    assert 'dutybound_labels_applied_total{kind="implicit",media="image"} 2.0' in scraped
    assert 'dutybound_labels_applied_total{kind="explicit",media="image"} 1.0' in scraped


def test_a_picture_that_cannot_be_labelled_stops_the_answer_with_a_clear_error() -> None:
    """501 in the wire's words; nothing of the picture leaves, and the record says why."""
    rooms, client = ask(lambda way: Rooms([pictures(PNG, PNG[:60])], stages=way), IMAGES, OpenAIImages())
    assert (client.status, client.code) == (501, "unlabelled_media")
    assert b"b64_json" in client.answer and b"iVBOR" not in client.answer
    assert (rooms.record["verdict"], rooms.record["action"]) == ("block", "stop")
    assert rooms.record["outcome"] == Outcome.UPSTREAM_FAILED.value


class Lying(MediaLabels):
    """A library that cannot read back what it wrote."""

    def _work(self, data: bytes, mime: str, record_id: str) -> Any:
        raise LabelNotVerified("reading back found something else")


def test_a_label_that_reads_back_wrong_breaks_the_stage() -> None:
    """A fault of ours: 503, and the record says which duty broke."""
    rooms, client = ask(
        lambda way: Rooms([pictures(PNG)], stages=way), IMAGES, OpenAIImages(), Lying(files(), 1, 1 << 20)
    )
    assert (client.status, client.code) == (503, "duty_failed")
    [decision] = [item for item in rooms.record["decisions"] if item["duty"] == "label_media"]
    assert (decision["verdict"], decision["action"], decision["reason"]) == ("error", "stop", "broken")


def test_a_sound_leaves_as_what_it_is() -> None:
    """The content type is that of the labelled file."""
    body = {"body": b'{"model":"m","input":"hello","voice":"v","response_format":"wav"}', "path": SPEECH_PATH}
    _, client = ask(lambda way: Rooms([wav()], stages=way, content_type="audio/wav"), body, OpenAISpeech())
    assert (client.status, client.answer_headers[b"content-type"]) == (200, b"audio/wav")
    assert len(read(client.answer, FileFormat.WAV)) == 1


def gemini_answer() -> dict[str, Any]:
    """Words and a picture."""
    inline = {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}
    parts = [{"text": "a cat"}, {"inlineData": inline}]
    return {"candidates": [{"index": 0, "content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}]}


def gemini(verb: str) -> dict[str, Any]:
    """A request for words and a picture."""
    return {"body": b'{"contents":[{"parts":[{"text":"a cat"}]}]}', "path": f"/v1beta/models/m:{verb}"}


def test_a_picture_between_words_is_labelled_where_it_stands() -> None:
    """The words have their own label, the picture has its own."""
    answer = json.dumps(gemini_answer()).encode()
    _, client = ask(lambda way: Rooms([answer], stages=way), gemini("generateContent"), Gemini())
    parts = json.loads(client.answer)["candidates"][0]["content"]["parts"]
    [inline] = [part["inlineData"] for part in parts if part.get("inlineData")]
    assert inspect_file(base64.b64decode(inline["data"])).verdict == "generated"


def test_a_picture_in_a_stream_does_not_leave() -> None:
    """A label stands in the whole."""
    answer = b"data: " + json.dumps(gemini_answer()).encode() + b"\r\n\r\n"
    _, client = ask(
        lambda way: Rooms([answer], stages=way, content_type="text/event-stream"),
        {**gemini("streamGenerateContent"), "query": b"alt=sse"},
        Gemini(),
    )
    assert base64.b64encode(PNG)[:40] not in client.answer
    assert b"unlabelled_media" in client.answer or client.status == 501


def test_whoever_leaves_while_a_picture_is_drawn_leaves_a_record() -> None:
    """The thread ends by itself."""

    async def run() -> None:
        media = Slow()
        rooms = Rooms([pictures(PNG)], stages=house_stage(media))
        client = rooms.client(**IMAGES)
        walk = asyncio.create_task(rooms.walk(client, OpenAIImages()))
        await asyncio.sleep(0.1)
        client.gone.set()
        await walk
        assert rooms.record["outcome"] == Outcome.CLIENT_GONE.value
        assert client.sent == []
        media.may_go.set()
        await media.close()

    asyncio.run(run())


def test_the_loop_goes_on_while_ten_pictures_are_labelled() -> None:
    """One megapixel each: drawing and encoding are no work of the loop's. `docs/labels.md` has its longest stall."""
    large = encoded(picture(1024, 1024), "JPEG")

    async def run() -> int:
        media = MediaLabels(files(), 2, 1 << 24)
        duty = asyncio.create_task(LabelMedia(exchange(), media, Meters(version="0")).label([Media(0, "", large)] * 10))
        turns = 0
        while not duty.done():
            turns += 1
            await asyncio.sleep(0)
        await media.close()
        assert all(event.is_labelled for event in duty.result() if isinstance(event, Media))
        return turns

    assert asyncio.run(run()) > 100


@pytest.mark.parametrize("chars", [1_000, 400_000])
def test_a_large_answer_is_read_and_written_like_a_small_one(chars: int) -> None:
    """In a thread, so that other exchanges do not wait for it."""
    client = Rooms([completion("x" * chars)]).run()
    [choice] = json.loads(client.answer)["choices"]
    assert (client.status, choice["message"]["content"].count("x")) == (200, chars)
    cut = Rooms([completion("x" * chars)[:-9]]).run()
    assert (cut.status, cut.code) == (502, "upstream_invalid")
