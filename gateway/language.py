# SPDX-License-Identifier: Apache-2.0
"""Which of our languages a person reads: `zh` (simplified Chinese) or `en`.

Follows `Accept-Language` (RFC 9110 section 12.5.4). Whatever cannot be understood counts as not said; nobody is refused
over a language.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.exchange import Exchange
from labeling import language_of

LANGUAGES = ("zh", "en")
"""The languages that every text for people exists in."""

TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")
"""Language tags (RFC 5646) that ask for traditional Chinese."""

_MAX_HEADER = 512
"""More than any browser sends; what follows is not looked at."""


@lru_cache(maxsize=1_024)
def preferred(accept_language: str, default: str = "zh") -> str:
    """The language of `accept_language` that we have, by its q-values; `default` where it names none of ours."""
    best, best_weight = default, 0.0
    for item in accept_language[:_MAX_HEADER].split(","):
        tag, _, parameter = item.partition(";")
        weight = _weight(parameter)
        language = tag.strip().lower().partition("-")[0]
        if weight > best_weight:
            if language in LANGUAGES:
                best, best_weight = language, weight
            elif language == "*":
                best, best_weight = default, weight
    return best


@lru_cache(maxsize=1_024)
def is_traditional(accept_language: str) -> bool:
    """Whether the Chinese that `accept_language` weighs most is traditional; the first of equals counts."""
    best, best_weight = False, 0.0
    for item in accept_language[:_MAX_HEADER].split(","):
        tag, _, parameter = item.partition(";")
        name = tag.strip().lower()
        weight = _weight(parameter)
        if weight > best_weight and name.partition("-")[0] == "zh":
            best, best_weight = name.startswith(TRADITIONAL), weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        weight = float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


def language_of_prompt(exchange: Exchange) -> str:
    """The language that the person wrote last: `zh` where it holds a Han character, `en` where it holds other letters.

    A prompt that does not tell counts as Chinese, the language of the law that asks for the words.
    """
    if not exchange.language:
        texts = exchange.prompt.texts if exchange.prompt is not None else ()
        written = next((item.text for item in reversed(texts) if item.role == "user"), "")
        exchange.language = language_of(written[:4_096]) or "zh"
    return exchange.language
