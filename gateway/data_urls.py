# SPDX-License-Identifier: Apache-2.0
"""Pictures and sounds that stand inside a text as `data:` addresses (RFC 2397), as in `![](data:image/png;base64,...)`.

A text answer that shows a picture is a picture, too (Labeling Measures article 4(2)). What stands behind `;base64,` is
held back until it is whole, labelled, and put back; all before it and behind it leaves at once. What must hold for
every way in which a text can be cut: no character of such a payload leaves unlabelled, the rest of the text leaves
unchanged and in order, and at most the given number of characters waits.

A text lane pays for a look at its last few characters, and nothing more while it holds no such address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MARK: Final = ";base64,"
_MOST_HEAD_CHARS: Final = 120
"""Longest `data:` head that is recognised; parameters of a media type are short."""
_HEAD = re.compile(
    r"data:(?P<mime>(?:[A-Za-z]{1,16}\\?/[A-Za-z0-9.+-]{1,64})?)(?:;[A-Za-z0-9=._+-]{0,40})*;base64,\Z",
    re.IGNORECASE,
)
_PAYLOAD = re.compile(r"[A-Za-z0-9+/=_%\\-]*")


_UNSAID: Final = "text/plain"
"""What an address without a type is (RFC 2397); browsers show a picture in it all the same."""


class TooLong(Exception):
    """A `data:` address holds more than may wait."""


@dataclass(frozen=True, slots=True)
class Held:
    """The whole payload of one address: its type, and the base64 text as it stood."""

    mime: str
    payload: str


class DataUrlScanner:
    """One text lane, piece by piece."""

    __slots__ = ("_held", "_held_chars", "_mime", "_most_chars", "_tail")

    def __init__(self, most_chars: int) -> None:
        self._most_chars = most_chars
        self._tail = ""
        self._mime = ""
        self._held: list[str] = []
        self._held_chars = 0

    @property
    def is_open(self) -> bool:
        """Whether a payload is being held."""
        return bool(self._mime)

    def is_plain(self, text: str) -> bool:
        """Whether `text` neither continues nor begins a payload: then it was taken, and leaves as it is."""
        if self._mime:
            return False
        joined = self._tail + text
        if "," in text and _MARK in joined.lower():
            return False
        self._tail = joined[-_MOST_HEAD_CHARS:]
        return True

    def feed(self, text: str) -> Iterator[str | Held]:
        """What leaves of the next piece: text as it is, and payloads that are whole now. Raises `TooLong`."""
        at = 0
        while at < len(text):
            if self._mime:
                end = _PAYLOAD.match(text, at).end()  # type: ignore[union-attr]  # the pattern matches nothing, too
                self._hold(text[at:end])
                at = end
                if at < len(text):
                    yield from self.close()
                continue
            comma = text.find(",", at)
            if comma < 0:
                self._tail = (self._tail + text[at:])[-_MOST_HEAD_CHARS:]
                yield text[at:]
                return
            piece = text[at : comma + 1]
            self._tail = (self._tail + piece)[-_MOST_HEAD_CHARS:]
            yield piece
            head = _HEAD.search(self._tail) if self._tail.lower().endswith(_MARK) else None
            if head is not None:
                self._mime = head["mime"].replace("\\", "").lower() or _UNSAID
            at = comma + 1

    def close(self) -> Iterator[str | Held]:
        """The payload that the text ended in, or that what follows ends."""
        if not self._mime:
            return
        held = "".join(self._held)
        # A backslash escapes the quotation mark that ends a string of JSON; it is no part of the payload.
        payload = held.rstrip("\\")
        mime, self._mime = self._mime, ""
        self._held.clear()
        self._held_chars = 0
        self._tail = ""
        if payload:
            yield Held(mime, payload)
        if len(held) > len(payload):
            yield held[len(payload) :]

    def _hold(self, piece: str) -> None:
        self._held.append(piece)
        self._held_chars += len(piece)
        if self._held_chars > self._most_chars:
            raise TooLong
