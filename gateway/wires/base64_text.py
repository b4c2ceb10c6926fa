# SPDX-License-Identifier: Apache-2.0
"""Texts that travel in base64 beside a media type: a text file is text, whatever carries it (RFC 4648)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.wires.arguments import BETWEEN, ObjectSlot
from gateway.wires.frames import Frame, Path

_URL_SAFE = str.maketrans("-_", "+/")
_TEXTUAL = frozenset({"application/json", "application/xml", "application/javascript", "application/x-javascript"})


def decoded(data: str) -> bytes:
    """Base64 in either alphabet, padded or not. Raises `ValueError`."""
    text = data.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeError):
        raise ValueError("not base64") from None


def decoded_text(mime: object, data: object) -> str | None:
    """The text in `data` where `mime` says that it is one and it is UTF-8; None for media. Raises `ValueError`."""
    if not isinstance(mime, str) or not isinstance(data, str):
        return None
    kind = mime.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind in _TEXTUAL or kind.endswith(("+json", "+xml"))):
        return None
    raw = decoded(data)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


class EncodedSlot(ObjectSlot):
    """The place of a text that stands there in base64."""

    __slots__ = ("_data",)

    def __init__(self, frame: Frame, container: dict[str, Any], key: str, path: Path, text: str) -> None:
        self._data = container[key]
        container[key] = text
        super().__init__(frame, container, key, path)
        container[key] = self._data

    def put(self, value: Any) -> None:
        """The text, encoded; as it came where it did not change."""
        text = str(value).removesuffix(BETWEEN)
        self.container[self.key] = self._data if value == self.value else base64.b64encode(text.encode()).decode()
