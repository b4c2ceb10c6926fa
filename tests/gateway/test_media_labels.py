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
from gateway.media_links import LinkRefused
from gateway.metrics import Meters
from gateway.pipeline import FailureRule, Side, Stage
from gateway.policies import load
from gateway.settings import Settings
from gateway.upstream import UpstreamFailure
from gateway.wires.dashscope import MULTIMODAL_PATH, DashScopeGeneration, DashScopeTasks
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
        ("application/pdf", PNG, "unsupported"),
        ("application/octet-stream", encoded(picture(), "PDF"), "unsupported"),
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

    def _work(self, *given: Any) -> Any:
        self.may_go.wait(10)
        self.done += 1
        return super()._work(*given)


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

    def _work(self, *given: Any) -> Any:
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


def test_a_document_that_the_wire_names_is_labelled() -> None:
    """Visible on its first page, and in its metadata."""
    made = medium(labelled([Media(0, "application/pdf", encoded(picture(600, 400), "PDF"))]))
    assert (made.is_labelled, made.mime) == (True, "application/pdf")
    assert inspect_file(made.data).verdict == "generated" and b"/DTYB_AILabel" in made.data


def test_a_picture_in_a_stream_leaves_with_its_labels() -> None:
    """Each whole picture of a stream is a file of its own."""
    answer = b"data: " + json.dumps(gemini_answer()).encode() + b"\r\n\r\n"
    _, client = ask(
        lambda way: Rooms([answer], stages=way, content_type="text/event-stream"),
        {**gemini("streamGenerateContent"), "query": b"alt=sse"},
        Gemini(),
    )
    found = [
        part["inlineData"]["data"]
        for line in client.answer.decode().splitlines()
        if line.startswith("data: ")
        for candidate in json.loads(line[6:])["candidates"]
        for part in candidate.get("content", {}).get("parts", ())
        if "inlineData" in part
    ]
    assert [inspect_file(base64.b64decode(data)).verdict for data in found] == ["generated"]


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


# Links.

LINK = "https://cdn.example.com/a.png?sig=1"


class Links:
    """Fetches from a dictionary and keeps in another."""

    def __init__(self, behind: dict[str, bytes | Exception]) -> None:
        self.behind = behind
        self.store: dict[str, tuple[bytes, str]] = {}

    async def fetch(self, url: str, headers: object) -> bytes:
        """What is behind `url`."""
        found = self.behind.get(url, LinkRefused("link_host"))
        if isinstance(found, Exception):
            raise found
        return found

    async def kept(self, name: bytes) -> str | None:
        """The name is the token."""
        return name.hex() if name.hex() in self.store else None

    async def keep(self, data: bytes, mime: str, name: bytes, record_id: str) -> str:
        """Keep it."""
        self.store[name.hex()] = (data, mime)
        return name.hex()

    def address(self, token: str, headers: object) -> str:
        """Where it is."""
        return f"https://ours/{token}"


def ask_links(links: Links | None, answer: Any, wire: Any, client: dict[str, Any]) -> tuple[Rooms, Client]:
    """One request through a runner that follows links."""
    media = MediaLabels(files(), 1, 1 << 24)

    def made(house: House, exchange: Exchange) -> LabelMedia:
        return LabelMedia(exchange, media, house.meters, links)  # type: ignore[arg-type]

    stages = (*WAY, Stage("label media", Side.ANSWER, "labels", FailureRule.STOP, media=made))
    rooms = Rooms([json.dumps(answer).encode()], stages=stages)

    async def whole() -> Client:
        walked = await rooms.walk(rooms.client(**client), wire)
        await media.close()
        return walked

    return rooms, asyncio.run(whole())


def test_a_link_gives_way_to_ours_with_a_labelled_file_behind_it() -> None:
    """The number in the file is that of the record; nobody sees the upstream's address."""
    links = Links({LINK: PNG})
    rooms, client = ask_links(links, {"data": [{"url": LINK}]}, OpenAIImages(), IMAGES)
    [item] = json.loads(client.answer)["data"]
    data, mime = links.store[item["url"].removeprefix("https://ours/")]
    [label] = inspect_file(data).labels
    assert (mime, label.values["ProduceID"]) == ("image/png", rooms.record["id"])
    assert b"cdn.example.com" not in client.answer


def test_a_data_address_in_place_of_a_link_is_labelled_where_it_stands() -> None:
    """Also where links are refused: nobody has to be asked."""
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    _, client = ask_links(None, {"data": [{"url": url}]}, OpenAIImages(), IMAGES)
    made = json.loads(client.answer)["data"][0]["url"]
    assert made.startswith("data:image/png;base64,")
    assert inspect_file(base64.b64decode(made.partition(",")[2])).verdict == "generated"


@pytest.mark.parametrize(
    ("links", "status", "code", "reason"),
    [
        (None, 501, "unlabelled_media", "link"),
        (Links({}), 501, "unlabelled_media", "link_host"),
        (Links({LINK: b"no picture"}), 501, "unlabelled_media", "unsupported"),
        (Links({LINK: UpstreamFailure("upstream_timeout", 504)}), 504, "upstream_timeout", ""),
        (Links({LINK: OSError("disk")}), 503, "duty_failed", "broken"),
    ],
)
def test_a_link_that_leads_to_nothing_labelled_does_not_leave(
    links: Links | None, status: int, code: str, reason: str
) -> None:
    """Refused, foreign, no picture, not to be had, a fault of ours: each with its own word."""
    rooms, client = ask_links(links, {"data": [{"url": LINK}]}, OpenAIImages(), IMAGES)
    assert (client.status, client.code) == (status, code) and LINK.encode() not in client.answer
    reasons = [item.get("reason", "") for item in rooms.record.get("decisions", ()) if item["duty"] == "label_media"]
    assert reasons == ([reason] if reason else [])


def test_a_task_that_is_asked_for_again_keeps_one_file() -> None:
    """Its address may be signed anew each time."""
    links = Links({LINK: PNG, LINK + "2": PNG})
    made = []
    for link in (LINK, LINK + "2"):
        answer = {"output": {"task_status": "SUCCEEDED", "results": [{"url": link}]}, "request_id": "r"}
        ask = {"path": "/api/v1/tasks/1", "method": "GET"}
        _, client = ask_links(links, answer, DashScopeTasks(), ask)
        made.append(json.loads(client.answer)["output"]["results"][0]["url"])
    assert made[0] == made[1] and len(links.store) == 1


@pytest.mark.parametrize(
    "part", [{"image": LINK}, {"image": [LINK]}, {"audio": {"url": LINK, "data": "", "id": "a", "expires_at": 1}}]
)
def test_links_of_dashscope_are_found_where_they_stand(part: dict[str, Any]) -> None:
    """A text, a list, or an object that tells of the file."""
    data = wav() if "audio" in part else PNG
    message = {"role": "assistant", "content": [part, {"text": "words"}]}
    answer = {"output": {"choices": [{"message": message, "finish_reason": "stop"}]}, "request_id": "r"}
    body = b'{"model":"m","input":{"messages":[{"role":"user","content":[{"text":"a cat"}]}]}}'
    ask = {"path": MULTIMODAL_PATH, "body": body}
    _, client = ask_links(Links({LINK: data}), answer, DashScopeGeneration(), ask)
    said = json.dumps(json.loads(client.answer)["output"])
    assert client.status == 200 and "https://ours/" in said and LINK not in said


# Files inside texts.


def chat_stream(text: str, size: int) -> bytes:
    """A chat stream that says `text` in pieces."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {"content": piece}} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [{"id": "c", "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def said_in(answer: bytes) -> str:
    """The text of a chat stream."""
    lines = [line[6:] for line in answer.decode().splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for line in lines for choice in json.loads(line)["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def ask_text(text: str, size: int = 0, max_bytes: int = 1 << 24, tail: bytes = b"") -> tuple[Rooms, Client]:
    """A chat answer that says `text`, streamed in pieces of `size` characters or plain."""
    media = MediaLabels(files(), 1, max_bytes)
    stages = house_stage(media)
    if size:
        stream = chat_stream(text, size) if not tail else chat_stream(text, size).partition(b"data: [DONE]")[0]
        rooms = Rooms([stream], stages=stages, content_type="text/event-stream")
        body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    else:
        rooms = Rooms([completion(text)], stages=stages)
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'

    async def whole() -> Client:
        walked = await rooms.walk(rooms.client(body=body))
        await media.close()
        return walked

    return rooms, asyncio.run(whole())


SHOWN = "Look: ![a cat](data:image/png;base64,{}) done."


@pytest.mark.parametrize("size", [0, 7, 100, 100_000])
def test_a_picture_inside_a_text_is_labelled_streamed_or_not(size: int) -> None:
    """The words around it are as they were, and no character of the bare picture left."""
    bare = base64.b64encode(PNG).decode()
    rooms, client = ask_text(SHOWN.format(bare), size)
    said = said_in(client.answer) if size else json.loads(client.answer)["choices"][0]["message"]["content"]
    before, _, rest = said.partition("base64,")
    payload, _, after = rest.partition(")")
    assert before.endswith("Look: ![a cat](data:image/png;") and after.startswith(" done.")
    [label] = inspect_file(base64.b64decode(payload)).labels
    assert label.values["ProduceID"] == rooms.record["id"] if not size else label.values["ProduceID"]
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "data_url"} in rooms.record[
        "decisions"
    ]


@pytest.mark.parametrize("size", [0, 60])
def test_what_tells_of_the_bare_picture_does_not_leave(size: int) -> None:
    """Token by token, log probabilities would spell it."""
    bare = base64.b64encode(PNG).decode()
    tokens = {"content": [{"token": bare[:40], "logprob": -1.0, "top_logprobs": []}]}
    piece = {"index": 0, "delta": {"content": SHOWN.format(bare)}, "logprobs": tokens}
    if size:
        reads = b"data: " + json.dumps({"id": "c", "choices": [piece]}).encode() + b"\n\n" + chat_stream("end", 9)
        options: dict[str, Any] = {"content_type": "text/event-stream"}
    else:
        message = {"role": "assistant", "content": SHOWN.format(bare)}
        choice = {"index": 0, "message": message, "logprobs": tokens, "finish_reason": "stop"}
        reads, options = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]}).encode(), {}
    media = MediaLabels(files(), 1, 1 << 24)
    rooms = Rooms([reads], stages=house_stage(media), **options)
    body = json.dumps({"model": "m", "stream": bool(size), "messages": [{"role": "user", "content": "hi"}]}).encode()

    async def whole() -> Client:
        walked = await rooms.walk(rooms.client(body=body))
        await media.close()
        return walked

    client = asyncio.run(whole())
    assert client.status == 200 and b'"token"' not in client.answer
    assert b"AI" in client.answer and b"done." in client.answer


def test_a_picture_too_small_for_words_gets_the_hidden_label_alone() -> None:
    """The text around it shows the label that people see."""
    dot = base64.b64encode(encoded(picture(8, 8), "PNG")).decode()
    _, client = ask_text(SHOWN.format(dot))
    said = json.loads(client.answer)["choices"][0]["message"]["content"]
    assert inspect_file(base64.b64decode(said.partition("base64,")[2].partition(")")[0])).verdict == "generated"


@pytest.mark.parametrize("size", [0, 9])
def test_what_cannot_be_labelled_is_taken_out_of_the_text(size: int) -> None:
    """A model that makes up base64 has said nothing that anyone can see; the rest of its words leave."""
    rooms, client = ask_text(SHOWN.format("AAAAAAAAAAAA"), size)
    said = said_in(client.answer) if size else json.loads(client.answer)["choices"][0]["message"]["content"]
    assert "![a cat](data:image/png;base64,) done." in said
    assert {
        "duty": "label_media", "verdict": "block", "action": "modify", "reason": "data_url", "role": "answer",
    } in rooms.record["decisions"]  # fmt: skip


@pytest.mark.parametrize("head", ["data:;base64,", "data:application/octet-stream;base64,", "data:font/woff2;base64,"])
def test_a_picture_under_another_type_is_a_picture(head: str) -> None:
    """Browsers show it; the bytes decide."""
    _, client = ask_text(f"<img src='{head}{base64.b64encode(PNG).decode()}'>")
    said = json.loads(client.answer)["choices"][0]["message"]["content"]
    assert inspect_file(base64.b64decode(said.partition("base64,")[2].partition("'")[0])).verdict == "generated"


@pytest.mark.parametrize("payload", ["SGVsbG8=", "d09GMgABAAAAAA==", "%%%", "A"])
def test_what_is_neither_called_a_medium_nor_one_stays_as_it_is(payload: str) -> None:
    """Fonts and texts in the code that a model writes."""
    text = f"url(data:font/woff2;base64,{payload}) and data:text/plain;base64,{payload} end"
    rooms, client = ask_text(text)
    assert text in json.loads(client.answer)["choices"][0]["message"]["content"]
    assert all(item.get("reason") != "data_url" for item in rooms.record["decisions"])


@pytest.mark.parametrize("size", [0, 50])
def test_a_file_in_a_text_beyond_the_limit_stops_the_answer(size: int) -> None:
    """A client is told so in the wire's words; nothing of the file left."""
    rooms, client = ask_text(SHOWN.format("B" * 3_000), size, max_bytes=1_500)
    assert b"unlabelled_media" in client.answer and b"BBBB" not in client.answer
    assert rooms.record["outcome"] == Outcome.UPSTREAM_FAILED.value


def test_a_stream_that_breaks_off_inside_a_picture_lets_nothing_of_it_out() -> None:
    """What was said before it stays said."""
    _, client = ask_text("Look: data:image/png;base64," + "iVBO" * 40, 25, tail=b"cut")
    assert "iVBO" not in said_in(client.answer) and "Look" in said_in(client.answer)
