# SPDX-License-Identifier: Apache-2.0
"""Events that a client sends within a realtime session, read: which texts a model will read, and what they ask for.

What is forwarded is written from what was parsed, so what was checked is what the model gets. Media (sound, pictures
inside the event) must be base64 and are no text; everything else that is a string is looked at, names of members too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.exchange import PromptText
from gateway.wires.interfaces import BadRequest
from gateway.wires.request import add_members, add_strings, read_object, typed

APPEND: Final = "input_audio_buffer.append"
CREATE: Final = "response.create"
ITEM: Final = "conversation.item.create"
TRUNCATE: Final = "conversation.item.truncate"
_UPDATES: Final = frozenset({"session.update", "transcription_session.update"})
_NAMING: Final = ("type", "event_id", "item_id", "previous_item_id", "response_id")
_OTHERS: Final = frozenset(
    {
        "input_audio_buffer.commit", "input_audio_buffer.clear", "output_audio_buffer.clear", "response.cancel",
        "conversation.item.retrieve", "conversation.item.delete", TRUNCATE,
    }
)  # fmt: skip
_MOST_ID_CHARS = 512
_DATA_PICTURE = "data:image/"


@dataclass(slots=True)
class ClientEvent:
    """One event of the client's. `texts` are what a model will read of it."""

    kind: str
    tree: dict[str, Any]
    event_id: str | None = None
    texts: list[PromptText] = field(default_factory=list)
    has_sound: bool = False

    def encoded(self) -> str:
        """The event as it is forwarded."""
        return orjson.dumps(self.tree).decode()


def read_client_event(text: str) -> ClientEvent:
    """The event in `text`. Raises `BadRequest`."""
    tree = read_object(text.encode())
    kind = typed(tree, "type", str, required=True)
    event_id = typed(tree, "event_id", str)
    if event_id is not None and len(event_id) > _MOST_ID_CHARS:
        raise BadRequest("invalid_value", f"event_id must be at most {_MOST_ID_CHARS} characters.", param="event_id")
    event = ClientEvent(kind, tree, event_id)
    texts = event.texts
    if kind == APPEND:
        _require_base64(typed(tree, "audio", str, required=True), "audio")
        event.has_sound = True
        add_members(tree, "", "user", texts, (*_NAMING, "audio"))
    elif kind in _UPDATES:
        add_members(tree, "", "system", texts, _NAMING)
    elif kind == ITEM:
        event.has_sound = _item(typed(tree, "item", dict, required=True), "item", texts)
        add_members(tree, "", "user", texts, (*_NAMING, "item"))
    elif kind == CREATE:
        response = typed(tree, "response", dict) or {}
        for position, item in enumerate(typed(response, "input", list, where="response") or ()):
            if not isinstance(item, dict):
                raise BadRequest(
                    "invalid_type", f"response.input.{position} must be an object.", param="response.input"
                )
            event.has_sound |= _item(item, f"response.input.{position}", texts)
        add_members(response, "response", "system", texts, ("input",))
        add_members(tree, "", "system", texts, (*_NAMING, "response"))
    elif kind in _OTHERS:
        add_members(tree, "", "system", texts, _NAMING)
    else:
        raise BadRequest(
            "unknown_event", "This gateway knows no event of that type and does not pass it on.", param="type"
        )
    return event


def _item(item: Mapping[str, Any], where: str, texts: list[PromptText]) -> bool:
    """Collect the texts of one item; whether it holds sound."""
    kind = typed(item, "type", str, where=where)
    role = typed(item, "role", str, where=where) or ("tool" if kind == "function_call_output" else "user")
    content, has_sound = item.get("content"), False
    if isinstance(content, list):
        words: list[str] = []
        for position, part in enumerate(content):
            at = f"{where}.content.{position}"
            if not isinstance(part, dict):
                add_strings(part, at, role, texts)
                continue
            skipped = ["type"]
            for member in ("text", "transcript"):
                if isinstance(part.get(member), str):
                    words.append(part[member])
                    skipped.append(member)
            if isinstance(part.get("audio"), str):
                _require_base64(part["audio"], f"{at}.audio")
                skipped.append("audio")
                has_sound = True
            picture = part.get("image_url")
            if isinstance(picture, str) and picture.startswith(_DATA_PICTURE) and "," in picture:
                _require_base64(picture.partition(",")[2], f"{at}.image_url")
                add_strings(picture.partition(",")[0], f"{at}.image_url", role, texts)
                skipped.append("image_url")
            add_members(part, at, role, texts, skipped)
        if any(words):
            # A model reads the parts of one item as one text, so a word may be cut between two of them.
            texts.append(PromptText(f"{where}.content", role, "".join(words)))
    elif content is not None:
        add_strings(content, f"{where}.content", role, texts)
    add_members(item, where, role, texts, ("id", "type", "role", "object", "status", "call_id", "content"))
    return has_sound


def _require_base64(text: str, where: str) -> None:
    """Raises `BadRequest` where `text` is no base64: then nobody has looked at it, and it may say anything."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("invalid_value", f"{where} must be base64.", param=where) from None
