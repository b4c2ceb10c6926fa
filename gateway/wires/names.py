# SPDX-License-Identifier: Apache-2.0
"""What may stand in a member that only names something: `id`, `model`, `finish_reason`, a signature.

Codecs do not read such members as text. That holds only while they hold none: an upstream could put words into one, and
an app could show them. So a member passes by its name only where its value looks like a name, and is text otherwise.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z0-9_.:/@+=~-]{0,256}")
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
"""Base64 of any kind (RFC 4648), of any length: a signature, or what only the upstream can read."""
_MOST_DEPTH: Final = 64


@lru_cache(4_096)
def _is_short_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` is a name: up to 256 characters of ASCII without white space. The same few come all the time."""
    return len(text) <= 256 and _is_short_name(text)


def is_mere(value: Any, depth: int = 0) -> bool:
    """Whether a JSON value holds nothing but numbers, names and encoded bytes, in its keys too."""
    if value is None or isinstance(value, (int, float)):
        return True
    if isinstance(value, str):
        return is_name(value) or _ENCODED.fullmatch(value) is not None
    if depth > _MOST_DEPTH:
        return False
    if isinstance(value, dict):
        return all(is_name(key) and is_mere(item, depth + 1) for key, item in value.items())
    return isinstance(value, list) and all(is_mere(item, depth + 1) for item in value)
