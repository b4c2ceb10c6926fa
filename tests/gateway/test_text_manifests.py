# SPDX-License-Identifier: Apache-2.0
"""Texts that are asked to carry a manifest end with it, streamed or not, behind everything else that was added."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import encypher_c2pa
import pytest

from gateway.exchange import Exchange
from gateway.house import House, text_manifests
from gateway.label_files import text_signer, write_chain
from gateway.media_labels import LabelMedia, MediaLabels
from gateway.pipeline import FailureRule, Side, Stage
from gateway.settings import Settings, SettingsError
from gateway.text_manifests import TextManifests
from labeling.c2pa_text import TextSigner, find_manifest, without_manifests
from tests.gateway.rooms import WAY, Client, Rooms, completion
from tests.gateway.test_media_labels import chat_stream, files, said_in

ON = Settings.model_validate({"label": {"text_manifest": True}})


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> TextSigner:
    """A chain of the provider's own."""
    keys = tmp_path_factory.mktemp("keys")
    write_chain(keys, "Example Ltd", 30, time.time)
    made = text_signer(ON, keys)
    assert made is not None
    return made


def ask(signer: TextSigner, text: str, size: int = 0, **members: Any) -> tuple[Rooms, Client]:
    """A chat answer, streamed in pieces of `size` characters or plain."""
    media = MediaLabels(files(), 1, 1 << 20)

    def made(house: House, exchange: Exchange) -> LabelMedia:
        return LabelMedia(exchange, media, house.meters, None, None, TextManifests(signer).begin(exchange))

    stages = (*WAY, Stage("label media", Side.ANSWER, "labels", FailureRule.STOP, media=made))
    reads = [chat_stream(text, size)] if size else [completion(text)]
    kind = {"content_type": "text/event-stream"} if size else {}
    rooms = Rooms(reads, stages=stages, **kind)
    request = {"model": "m", "stream": bool(size), "messages": [{"role": "user", "content": "hi"}], **members}

    async def whole() -> Client:
        client = await rooms.walk(rooms.client(body=json.dumps(request).encode()))
        await media.close()
        return client

    return rooms, asyncio.run(whole())


def said(client: Client, size: int) -> str:
    """The text of the answer."""
    if size:
        return said_in(client.answer)
    return str(json.loads(client.answer)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("size", [0, 3, 1_000])
def test_a_text_ends_with_a_manifest_that_an_independent_verifier_accepts(signer: TextSigner, size: int) -> None:
    """It binds the labels, too; the record says that it was written."""
    rooms, client = ask(signer, "这是一段回答。", size)
    text = said(client, size)
    found = encypher_c2pa.verify(text.encode(), mime_type="text/plain")
    assert (found["integrity"], found["hard_binding"]) == ("valid", "match")
    seen = without_manifests(text)
    assert "这是一段回答。" in seen and len(seen) > len("这是一段回答。")
    assert text.startswith(seen)
    assert {"duty": "text_manifest", "verdict": "pass", "action": "label", "reason": "text"} in rooms.record[
        "decisions"
    ]


@pytest.mark.parametrize(
    ("text", "members", "reason"),
    [
        ('{"a": 1}', {"response_format": {"type": "json_object"}}, "structured_output"),
        ("Cafe\u0301", {}, "not_normalised"),
    ],
)
def test_texts_that_cannot_carry_one_go_without(
    signer: TextSigner, text: str, members: dict[str, Any], reason: str
) -> None:
    """A program parses the one, readers would change the other; the record says which."""
    rooms, client = ask(signer, text, **members)
    assert find_manifest(said(client, 0)) is None
    [decision] = [item for item in rooms.record["decisions"] if item["duty"] == "text_manifest"]
    assert (decision["action"], decision["reason"]) == ("skip", reason)


@pytest.mark.parametrize("size", [0, 3])
def test_a_key_service_that_fails_stops_the_answer(signer: TextSigner, size: int) -> None:
    """A text without its manifest does not end as if it had one."""

    class Broken(TextSigner):
        def __init__(self) -> None:
            """No key."""

        def manifest(self, text: str, instance: object) -> str:
            raise OSError("the key service is away")

    rooms, client = ask(Broken(), "text", size)
    assert b"duty_failed" in client.answer
    assert rooms.record["outcome"] == "failed"


def test_it_is_opt_in_and_needs_a_chain(tmp_path: Path) -> None:
    """Without the setting nothing is made; with it and without a key the service does not start."""
    assert text_manifests(Settings(), tmp_path) is None
    with pytest.raises(SettingsError, match="dutybound keys new --c2pa"):
        text_manifests(ON, tmp_path)
    write_chain(tmp_path, "Example Ltd", 30, time.time)
    assert text_manifests(ON, tmp_path) is not None
