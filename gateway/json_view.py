# SPDX-License-Identifier: Apache-2.0
"""Looks through the escapes of JSON text: `\\u7981` is the character that a program will read.

Tool arguments and JSON-mode answers are texts that hold JSON. A word spelt in escapes (RFC 8259 section 7) is that word
for whoever parses it, so the guard must see it decoded, while what leaves is the text as it came. Outside of escapes
the two are the same, and an escape stands for at most one character, so offsets map back exactly.
"""

from __future__ import annotations

import re
from bisect import bisect_right

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PARTIAL = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_PARTIAL_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z")
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def decoded(text: str) -> str:
    """`text` with its escapes decoded."""
    if "\\" not in text:
        return text
    view = JsonView()
    return view.feed(text) + view.close()


class JsonPlace:
    """Follows JSON text piece by piece and knows whether the next character stands inside a string."""

    __slots__ = ("_is_escaped", "is_inside")

    def __init__(self) -> None:
        self.is_inside = False
        self._is_escaped = False

    def feed(self, text: str) -> None:
        """Go on behind `text`."""
        if not self._is_escaped and '"' not in text and "\\" not in text:
            return
        for character in text:
            if self._is_escaped:
                self._is_escaped = False
            elif character == '"':
                self.is_inside = not self.is_inside
            elif character == "\\" and self.is_inside:
                self._is_escaped = True


class JsonView:
    """The decoded view of one lane, piece by piece. An escape that is not complete waits for its rest."""

    __slots__ = ("_jumps", "_raw_total", "_total", "_waiting")

    def __init__(self) -> None:
        self._waiting = ""
        self._raw_total = 0
        self._total = 0
        self._jumps: list[tuple[int, int]] = [(0, 0)]
        """Where raw and decoded offsets begin to run side by side: (decoded, raw), ascending."""

    def feed(self, text: str) -> str:
        """The decoded characters that `text` completes."""
        if not self._waiting and "\\" not in text:
            self._raw_total += len(text)
            self._total += len(text)
            return text
        text = self._waiting + text
        start = self._raw_total - len(self._waiting)
        cut = self._complete(text)
        self._waiting = text[cut:]
        self._raw_total = start + len(text)
        return self._decode(text[:cut], start)

    def close(self) -> str:
        """What still waits, as it came: an escape that never ended is no escape."""
        rest, self._waiting = self._waiting, ""
        return self._decode(rest, self._raw_total - len(rest))

    def raw(self, offset: int) -> int:
        """The offset in the raw text at which decoded character `offset` begins."""
        if offset >= self._total:
            return self._raw_total - len(self._waiting)
        place = bisect_right(self._jumps, (offset, 1 << 62)) - 1
        decoded_at, raw_at = self._jumps[place]
        return raw_at + offset - decoded_at

    def forget(self, offset: int) -> None:
        """Nothing before decoded character `offset` will be asked for any more."""
        place = bisect_right(self._jumps, (offset, 1 << 62)) - 1
        if place > 64:
            del self._jumps[:place]

    @staticmethod
    def _complete(text: str) -> int:
        """How much of `text` holds complete escapes only. A backslash that is itself escaped begins none."""
        last = text.rfind("\\", max(0, len(text) - 12))
        if last < 0:
            return len(text)
        for pattern in (_PARTIAL_PAIR, _PARTIAL):
            found = pattern.search(text, max(0, len(text) - 12))
            if found is not None:
                before = len(text[: found.start()]) - len(text[: found.start()].rstrip("\\"))
                if before % 2 == 0:
                    return found.start()
        return len(text)

    def _decode(self, text: str, start: int) -> str:
        """Decode complete text that begins at raw offset `start`, noting where offsets jump."""
        parts: list[str] = []
        at = 0
        while True:
            escape = _ESCAPE.search(text, at)
            if escape is None:
                break
            self._keep(parts, text[at : escape.start()])
            pair = _PAIR.match(text, escape.start())
            if pair is not None:
                high, low = int(pair[1], 16), int(pair[2], 16)
                character, end = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), pair.end()
            elif escape[1] is not None:
                code = int(escape[1], 16)
                character, end = chr(code) if not 0xD800 <= code <= 0xDFFF else "\ufffd", escape.end()
            else:
                character, end = _SHORT.get(escape[2], escape[2]), escape.end()
            self._keep(parts, character)
            self._jumps.append((self._total, start + end))
            at = end
        self._keep(parts, text[at:])
        return "".join(parts)

    def _keep(self, parts: list[str], text: str) -> None:
        parts.append(text)
        self._total += len(text)
