# SPDX-License-Identifier: Apache-2.0
"""What a request prefers to read: HTML or JSON (RFC 9110 section 12.5.1), in which language, in which form.

The rule, exactly: HTML and JSON each get the weight of the most specific range of `Accept` that covers them; the
heavier one is answered; a tie, and that includes no `Accept` at all, gets what the resource answers by default. Nobody
is refused with 406: a page in the other form is of more use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

from starlette.requests import Request

from gateway.language import LANGUAGES, preferred

VIEWS = ("standard", "large", "easy")
"""Standard, large print, easy language."""

_MAX_HEADER = 1_024


@lru_cache(maxsize=256)
def prefers_html(accept: str, default: bool) -> bool:
    """Whether `accept` weighs HTML over JSON; `default` on a tie."""
    ranges = [_parsed(item) for item in accept[:_MAX_HEADER].split(",")]
    html, json = _weight(ranges, "text", "html"), _weight(ranges, "application", "json")
    return default if html == json else html > json


def _parsed(item: str) -> tuple[str, float]:
    media_range, *parameters = item.split(";")
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "q":
            try:
                weight = min(max(float(value), 0.0), 1.0)
            except ValueError:
                weight = 0.0
    return media_range.strip().lower(), weight if weight == weight else 0.0  # NaN counts as nothing


def _weight(ranges: list[tuple[str, float]], kind: str, subkind: str) -> float:
    best, specificity = 0.0, 0
    for media_range, weight in ranges:
        for rank, pattern in ((3, f"{kind}/{subkind}"), (2, f"{kind}/*"), (1, "*/*")):
            if media_range == pattern and (rank, weight) > (specificity, best):
                best, specificity = weight, rank
    return best


@dataclass(frozen=True, slots=True)
class Manner:
    """How a page speaks to this visitor. `chosen` are the choices that the address made, to be kept in links."""

    language: str
    view: str
    chosen: tuple[tuple[str, str], ...]

    @property
    def locale(self) -> str:
        """The language as an HTML `lang` and as our catalogue is called, with a hyphen."""
        return "zh-Hans" if self.language == "zh" else "en"

    def link(self, path: str, **changes: str) -> str:
        """`path` with the visitor's choices, changed by `changes`."""
        chosen = dict(self.chosen) | changes
        return f"{path}?{urlencode(chosen)}" if chosen else path


def manner_of(request: Request, default_language: str) -> Manner:
    """The visitor's language and view: the address (`lang`, `view`) wins over the browser's setting."""
    chosen: dict[str, str] = {}
    language = request.query_params.get("lang", "").lower().replace("_", "-").partition("-")[0]
    if language in LANGUAGES:
        chosen["lang"] = language
    else:
        language = preferred(request.headers.get("accept-language", ""), default_language)
    view = request.query_params.get("view", "")
    if view in VIEWS:
        chosen["view"] = view
    else:
        view = VIEWS[0]
    return Manner(language, view, tuple(chosen.items()))
