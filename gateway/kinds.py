# SPDX-License-Identifier: Apache-2.0
"""Kinds of requests that an order can name: what a pause stops, and what a restricted person may not ask for.

A kind is told from what the wire understood of a request, never from words in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.exchange import Exchange

_IMAGES: Final = frozenset({"openai_images", "openai_image_edits", "dashscope_images"})
_SOUNDS: Final = frozenset({"openai_speech", "openai_transcripts"})
_FILMS: Final = frozenset({"openai_videos", "openai_video_tasks", "openai_video_content"})
_FILES: Final = frozenset({"openai_file_upload", "openai_files", "openai_file_content", "openai_batches"})
_NESTED: Final = ("parameters", "session")
"""Members below which some wires keep the tools."""


def asks_for_tools(exchange: Exchange) -> bool:
    """Whether the request offers tools or functions to the model."""
    if exchange.prompt is None:
        return False
    body = exchange.prompt.body
    places = (body, *(nested for name in _NESTED if isinstance(nested := body.get(name), Mapping)))
    return any(bool(place.get(name)) for place in places for name in ("tools", "functions"))


def asks_for_media(exchange: Exchange) -> bool:
    """Whether the request's answer is a picture, a sound or a film."""
    if exchange.wire in _IMAGES or exchange.wire in _SOUNDS or exchange.wire in _FILMS:
        return True
    if exchange.prompt is None:
        return False
    modalities = exchange.prompt.body.get("modalities")
    return isinstance(modalities, list) and any(item != "text" for item in modalities)


KINDS: Final[Mapping[str, Callable[[Exchange], bool]]] = {
    "generative": lambda exchange: exchange.is_generative,
    "streams": lambda exchange: exchange.prompt is not None and exchange.prompt.stream,
    "tools": asks_for_tools,
    "media": asks_for_media,
    "media_input": lambda exchange: exchange.prompt is not None and exchange.prompt.has_media,
    "images": lambda exchange: exchange.wire in _IMAGES,
    "sounds": lambda exchange: exchange.wire in _SOUNDS,
    "films": lambda exchange: exchange.wire in _FILMS,
    "files": lambda exchange: exchange.wire in _FILES,
}
"""What is of each kind: answers that a model generates; streamed ones; requests that offer tools; those answered with a
picture, sound or film; prompts that hold a file; and the wires of pictures, sounds, films and stored files."""
