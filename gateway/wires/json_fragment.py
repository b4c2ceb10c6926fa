# SPDX-License-Identifier: Apache-2.0
"""JSON that streams in fragments (arguments of a tool call), with needless escapes written out (RFC 8259 section 7).

The guard reads a fragment as text, but a tool reads what it means: `"\\u7981"` is the character 禁. So escapes of
characters that need none are replaced by the characters themselves, whatever reads the stream was cut into; the JSON
means the same. Escapes that JSON needs (quote, backslash, control characters) stay as they are.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[^u])", re.DOTALL)
_HIGH = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_BEGUN = re.compile(r"\\?u?[dD]?[c-fC-F]?[0-9a-fA-F]{0,2}")


class Unescaper:
    """One stream of fragments. At most 11 characters wait: an escape, or half a pair of them, that is not complete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> str:
        """The next fragment, as far as it is decided."""
        text = self._rest + text
        self._rest = ""
        at = text.find("\\")
        if at < 0:
            return text
        out: list[str] = []
        done = 0
        while at >= 0:
            out.append(text[done:at])
            said, done = self._escape(text, at)
            if done < 0:
                self._rest = text[at:]
                return "".join(out)
            out.append(said)
            at = text.find("\\", done)
        out.append(text[done:])
        return "".join(out)

    def close(self) -> str:
        """What still waits, as it came."""
        rest, self._rest = self._rest, ""
        return rest

    @staticmethod
    def _escape(text: str, at: int) -> tuple[str, int]:
        """What the escape at `at` becomes and where it ends; -1 where that is not known yet."""
        pair = _PAIR.match(text, at)
        if pair is not None:
            high, low = int(pair[1], 16), int(pair[2], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), pair.end()
        if _HIGH.match(text, at) is not None:
            # Its other half may follow; a lone one stays escaped.
            is_open = len(text) < at + 12 and _LOW_BEGUN.fullmatch(text, at + 6) is not None
            return (text[at : at + 6], -1 if is_open else at + 6)
        found = _ESCAPE.match(text, at)
        if found is None:
            # Cut, or not JSON: five digits at most are missing.
            return (text[at], at + 1) if len(text) - at >= 6 else ("", -1)
        if found[1] is None:
            return ("/", found.end()) if found[0] == "\\/" else (found[0], found.end())
        code = int(found[1], 16)
        if code < 0x20 or code in (0x22, 0x5C) or 0xD800 <= code < 0xE000:
            return found[0], found.end()
        return chr(code), found.end()
