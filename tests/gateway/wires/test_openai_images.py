# SPDX-License-Identifier: Apache-2.0
"""OpenAI images: prompts are checked in JSON and in forms; pictures leave with their labels or not at all."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import openai
import orjson
import pytest
from PIL import Image

from gateway.wires.form import Part, write_form
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_images import FORM_PATHS, GENERATIONS_PATH, OpenAIImageForms, OpenAIImages
from labeling.inspection import inspect_file
from tests.conftest import RunningGateway
from tests.gateway.wires.driver import ask
from tests.labeling.conftest import encoded
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE, FORMS = OpenAIImages(), OpenAIImageForms()


def form(*parts: Part) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body, content_type = write_form(parts)
    return body, [(b"content-type", content_type.encode())]


def test_prompts_are_texts() -> None:
    """And what a later version adds; the request goes on as it was checked."""
    request = {"model": "m", "prompt": "a cat", "negative": "a dog", "n": 2, "user": "nobody"}
    prompt = WIRE.read_request(GENERATIONS_PATH, "", orjson.dumps(request))
    assert {item.text for item in prompt.texts} == {"a cat", "a dog"}
    assert orjson.loads(WIRE.call(GENERATIONS_PATH, "", prompt).body) == request


@pytest.mark.parametrize(
    ("request_", "param"), [({}, "prompt"), ({"prompt": 1}, "prompt"), ({"prompt": "x", "stream": "yes"}, "stream")]
)
def test_a_bad_request_names_its_field(request_: dict[str, Any], param: str) -> None:
    """The client learns where to look."""
    with pytest.raises(BadRequest) as caught:
        WIRE.read_request(GENERATIONS_PATH, "", orjson.dumps(request_))
    assert caught.value.param == param


def test_a_forms_fields_are_texts_and_its_files_are_media() -> None:
    """The form for the model is made of what was read."""
    body, headers = form(Part("prompt", b"a hat"), Part("model", b"m"), Part("image", b"PNG", "c.png", "image/png"))
    exchange = ask(FORMS, FORM_PATHS[0], body, headers=headers)
    prompt = exchange.prompt
    assert prompt is not None
    assert prompt.model == "m"
    assert prompt.has_media
    assert {item.text for item in prompt.texts} == {"a hat", "c.png"}
    call = FORMS.call(FORM_PATHS[0], "", prompt)
    assert b"PNG" in call.body
    assert call.content_type.startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (FORM_PATHS[0], [Part("image", b"x", "f")]),
        (FORM_PATHS[0], [Part("prompt", b"x"), Part("stream", b"maybe")]),
        (FORM_PATHS[1], [Part("image", b"x", "f"), Part("stream", b"true")]),
    ],
)
def test_a_bad_form_is_refused(path: str, parts: list[Part]) -> None:
    """An edit needs its prompt; a variation is no stream."""
    body, headers = form(*parts)
    with pytest.raises(BadRequest):
        FORMS.read_request_with_headers(path, "", body, headers)


def test_an_edit_may_be_a_stream() -> None:
    """As a picture made from nothing may."""
    body, headers = form(Part("prompt", b"a hat"), Part("stream", b"true"))
    assert FORMS.read_request_with_headers(FORM_PATHS[0], "", body, headers).stream


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as made:
        yield made


PICTURES = {"created": 1, "data": [{"b64_json": "aGk=", "revised_prompt": "a cat"}]}


def test_a_picture_arrives_with_its_labels(
    client: openai.OpenAI, upstream: ScriptedUpstream, shared_gateway: RunningGateway
) -> None:
    """Visible and hidden, read by a program that knows nothing of the gateway; its number leads to the record."""
    upstream.reset()
    picture = encoded(Image.new("RGB", (200, 160), "white"), "PNG")
    upstream.queued.append(Script.of({"body": {"created": 1, "data": [{"b64_json": b64encode(picture).decode()}]}}))
    answer = client.images.with_raw_response.generate(model="m", prompt="a cat", response_format="b64_json")
    [item] = answer.parse().data or ()
    data = b64decode(item.b64_json or "")
    [label] = inspect_file(data).labels
    assert label.is_conforming and label.values["ProduceID"] == answer.headers["duty-record"]
    assert Image.open(BytesIO(data)).getextrema() != Image.open(BytesIO(picture)).getextrema()
    decisions = shared_gateway.record(label.values["ProduceID"])["record"]["decisions"]
    assert {"duty": "label_media", "verdict": "pass", "action": "label", "reason": "image"} in decisions
    checked = httpx.post(f"{shared_gateway.url}/duty/verify", files={"file": ("cat.png", data)}).json()
    assert (checked["verdict"], checked["record"]["exists"]) == ("generated", True)


@pytest.mark.parametrize("edited", [False, True])
def test_the_official_sdk_reads_a_stream_of_labelled_pictures(
    client: openai.OpenAI, upstream: ScriptedUpstream, edited: bool
) -> None:
    """Generated and edited, the unfinished picture and the finished one."""
    upstream.reset()
    data = encoded(Image.new("RGB", (200, 160), "white"), "PNG")
    kind = "image_edit" if edited else "image_generation"
    fields = {"created_at": 1, "size": "auto", "quality": "low", "background": "auto", "output_format": "png"}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    events = [
        {"type": f"{kind}.partial_image", "partial_image_index": 0, **fields, "b64_json": b64encode(data).decode()},
        {"type": f"{kind}.completed", "usage": usage, **fields, "b64_json": b64encode(data).decode()},
    ]
    upstream.queued.append(
        Script.of(
            {"raw_events": [orjson.dumps(event).decode() for event in events], "done": False, "answers_as": "stream"}
        )
    )
    if edited:
        made: Any = client.images.edit(model="m", prompt="a hat", image=b"PNG", stream=True, partial_images=1)
    else:
        made = client.images.generate(model="m", prompt="a cat", stream=True, partial_images=1)
    got = list(made)
    assert [event.type for event in got] == [f"{kind}.partial_image", f"{kind}.completed"]
    for event in got:
        [label] = inspect_file(b64decode(event.b64_json)).labels
        assert label.is_conforming and label.values == event.aigc


def test_a_link_to_a_picture_is_refused(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Nobody here has seen what is behind it; the error says what to ask for."""
    upstream.reset()
    upstream.queued.append(Script.of({"body": {"created": 1, "data": [{"url": "https://model.example/x.png"}]}}))
    with pytest.raises(openai.InternalServerError, match="b64_json") as caught:
        client.images.generate(model="m", prompt="a cat")
    assert (caught.value.status_code, caught.value.code) == (501, "unlabelled_media")
    assert "model.example" not in str(caught.value)


def test_what_is_no_picture_is_refused_with_a_clear_error(
    client: openai.OpenAI, upstream: ScriptedUpstream, shared_gateway: RunningGateway
) -> None:
    """Generated and edited; the record exists."""
    for edited in (False, True):
        upstream.reset()
        upstream.queued.append(Script.of({"body": PICTURES}))
        with pytest.raises(openai.InternalServerError) as caught:
            if edited:
                client.images.edit(model="m", prompt="a hat", image=("c.png", b"PNG", "image/png"))
            else:
                client.images.generate(model="m", prompt="a cat")
        assert (caught.value.status_code, caught.value.code) == (501, "unlabelled_media")
        assert "aGk=" not in str(caught.value)
        assert shared_gateway.record(caught.value.response.headers["duty-record"])
        assert len(upstream.seen) == 1
    assert b'name="prompt"' in upstream.seen[0].body


def test_a_forbidden_prompt_does_not_reach_the_model(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """In a form too."""
    upstream.reset()
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="m", prompt="a 禁词")
    assert caught.value.code == "content_filter"
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(model="m", prompt="a 禁词", image=("c.png", b"PNG", "image/png"))
    assert caught.value.code == "content_filter"
    assert upstream.seen == []


def test_an_answer_without_a_picture_is_guarded(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Words about it pass with their label, and forbidden words do not."""
    upstream.reset()
    upstream.queued.append(Script.of({"body": {"created": 1, "data": [{"revised_prompt": "a cat"}]}}))
    answer = client.images.generate(model="m", prompt="a cat")
    assert answer.data is not None
    assert answer.data[0].revised_prompt == "a cat"
    assert (answer.model_extra or {})["aigc"]["Label"] == "1"
    upstream.queued.append(Script.of({"body": {"created": 1, "data": [{"revised_prompt": "a 禁词"}]}}))
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="m", prompt="a cat")
    assert caught.value.code == "content_filter"
    assert "禁词" not in str(caught.value)
