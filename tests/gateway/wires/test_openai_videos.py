# SPDX-License-Identifier: Apache-2.0
"""OpenAI videos: prompts are checked, films wait for their labels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from gateway.wires import Table
from gateway.wires.form import Part, read_form, write_form
from gateway.wires.interfaces import BadRequest
from gateway.wires.openai_videos import PATH, OpenAIVideoContent, OpenAIVideos
from tests.conftest import RunningGateway
from tests.upstreams.scripted import Script, ScriptedUpstream

WIRE = OpenAIVideos()

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def test_prompts_of_json_and_of_forms_are_texts() -> None:
    """And what else is said; each goes on as it was checked."""
    request = {"model": "m", "prompt": "a cat", "seconds": "4"}
    prompt = WIRE.read_request_with_headers(PATH, "", orjson.dumps(request), [])
    assert {item.text for item in prompt.texts} >= {"a cat", "4"}
    assert orjson.loads(WIRE.call(PATH, "", prompt).body) == request
    parts = [Part("prompt", b"a cat"), Part("model", b"m"), Part("input_reference", b"PNG", "c.png", "image/png")]
    body, content_type = write_form(parts)
    prompt = WIRE.read_request_with_headers(PATH, "", body, [(b"content-type", content_type.encode())])
    assert {item.text for item in prompt.texts} == {"a cat", "c.png"}
    call = WIRE.call(PATH, "", prompt)
    assert read_form(call.body, [(b"content-type", call.content_type.encode())]) == parts


def test_a_request_without_a_prompt_is_refused() -> None:
    """In both forms."""
    body, content_type = write_form([Part("model", b"m")])
    for sent, headers in ((b'{"model": "m"}', []), (body, [(b"content-type", content_type.encode())])):
        with pytest.raises(BadRequest) as caught:
            WIRE.read_request_with_headers(PATH, "", sent, headers)
        assert caught.value.param == "prompt"


def test_a_download_asks_for_a_known_variant() -> None:
    """Nothing else of the query goes on."""
    wire = OpenAIVideoContent()
    prompt = wire.read_request("/v1/videos/v/content", "variant=thumbnail&x=y", b"")
    assert wire.call("/v1/videos/v/content", "", prompt).path == "/v1/videos/v/content?variant=thumbnail"
    for query in ("variant=exe", "variant=video&variant=thumbnail"):
        with pytest.raises(BadRequest):
            wire.read_request("/v1/videos/v/content", query, b"")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/videos", "openai_videos"),
        ("POST", "/v1/videos/v-1/remix", "openai_videos"),
        ("GET", "/v1/videos", "openai_video_tasks"),
        ("GET", "/v1/videos/v-1", "openai_video_tasks"),
        ("DELETE", "/v1/videos/v-1", "openai_video_tasks"),
        ("GET", "/v1/videos/v-1/content", "openai_video_content"),
    ],
)
def test_each_place_has_its_wire(method: str, path: str, name: str) -> None:
    """A film is never taken for a description."""
    wire = Table().find(method, path)
    assert wire is not None
    assert wire.name == name


@pytest.fixture
def client(shared_gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=shared_gateway.v1, api_key="sk-test", max_retries=0) as made:
        yield made


VIDEO: dict[str, Any] = {"id": "v-1", "object": "video", "model": "m", "status": "queued", "progress": 0,
                         "created_at": 1, "size": "720x1280", "seconds": "4"}  # fmt: skip


def test_the_sdk_begins_and_polls_and_waits_for_labels(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """A description passes with its label; a film that is done is in progress until it was labelled or could not be."""
    upstream.reset()
    upstream.queued.append(Script.of({"body": VIDEO}))
    begun = client.videos.create(model="m", prompt="a cat", seconds="4")
    assert begun.status == "queued"
    assert (begun.model_extra or {})["aigc"]["Label"] == "1"
    done = Script.of({"body": {**VIDEO, "status": "completed", "prompt": "a cat"}})
    film = Script.of({"raw": "no film", "content_type": "video/mp4"})
    upstream.queued += [done, film]
    assert client.videos.retrieve("v-1").status == "in_progress"
    for _ in range(200):
        if upstream.seen[-1].path == "/v1/videos/v-1/content?variant=video":
            break
        time.sleep(0.02)
    for _ in range(200):
        upstream.queued.append(done)
        if client.videos.retrieve("v-1").status == "completed":
            break
        time.sleep(0.02)
    upstream.queued.append(film)
    with pytest.raises(openai.InternalServerError) as caught:
        client.videos.download_content("v-1")
    assert (caught.value.status_code, caught.value.code) == (501, "unlabelled_media")
    assert upstream.seen[-1].path == "/v1/videos/v-1/content?variant=video"


def test_forbidden_words_pass_in_neither_direction(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    """Prompts of beginnings and remixes, and what the server says."""
    upstream.reset()
    for refused in (
        lambda: client.videos.create(model="m", prompt="a 禁词"),
        lambda: client.videos.remix("v-1", prompt="a 禁词"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            refused()
        assert caught.value.code == "content_filter"
    assert upstream.seen == []
    upstream.queued.append(Script.of({"body": {**VIDEO, "error": {"code": "x", "message": "a 禁词"}}}))
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.retrieve("v-1")
    assert caught.value.code == "content_filter"
    assert "禁词" not in str(caught.value)
