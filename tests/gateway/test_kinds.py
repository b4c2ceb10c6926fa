# SPDX-License-Identifier: Apache-2.0
"""Kinds of requests, told from what the wire understood."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exchange import Exchange, Prompt
from gateway.kinds import KINDS, asks_for_media, asks_for_tools
from gateway.wires import ROUTES


def exchange(wire: str = "openai_chat", *, generative: bool = True, **prompt: Any) -> Exchange:
    """An exchange whose prompt is so."""
    fields = {"model": "m", "stream": False, "texts": [], "body": {}, **prompt}
    return Exchange("r", 0.0, wire, "/", is_generative=generative, prompt=Prompt(**fields))


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        (exchange(), {"generative"}),
        (exchange("openai_models", generative=False), set()),
        (exchange(stream=True), {"generative", "streams"}),
        (exchange(body={"tools": [{}]}), {"generative", "tools"}),
        (exchange(body={"functions": [{}]}), {"generative", "tools"}),
        (exchange(body={"tools": []}), {"generative"}),
        (exchange("dashscope", body={"parameters": {"tools": [{}]}}), {"generative", "tools"}),
        (exchange(has_media=True), {"generative", "media_input"}),
        (exchange(body={"modalities": ["text", "audio"]}), {"generative", "media"}),
        (exchange(body={"modalities": ["text"]}), {"generative"}),
        (exchange("openai_images"), {"generative", "media", "images"}),
        (exchange("openai_speech"), {"generative", "media", "sounds"}),
        (exchange("openai_videos"), {"generative", "media", "films"}),
        (exchange("openai_file_upload", generative=False), {"files"}),
    ],
)
def test_a_request_is_of_these_kinds(asked: Exchange, kinds: set[str]) -> None:
    """And of no other."""
    assert {name for name, is_of in KINDS.items() if is_of(asked)} == kinds


def test_without_a_prompt_nothing_is_asked_for() -> None:
    """A request that could not be read yet."""
    unread = Exchange("r", 0.0, "openai_chat", "/")
    assert not asks_for_tools(unread) and not asks_for_media(unread)
    assert {name for name, is_of in KINDS.items() if is_of(unread)} == {"generative"}


def test_the_wires_that_are_named_exist() -> None:
    """A wire that was renamed would silently fall out of its kind."""
    from gateway import kinds

    known = {route.wire.name for route in ROUTES}
    assert known >= kinds._IMAGES | kinds._SOUNDS | kinds._FILMS | kinds._FILES
