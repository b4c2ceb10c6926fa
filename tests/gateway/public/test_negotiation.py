# SPDX-License-Identifier: Apache-2.0
"""What a visitor prefers to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.public.negotiation import VIEWS, manner_of, prefers_html

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "default", "expected"),
    [
        ("", True, True),
        ("", False, False),
        ("*/*", True, True),
        ("*/*", False, False),
        (CHROME, False, True),
        ("application/json", True, False),
        ("text/html", False, True),
        ("text/*", False, True),
        ("application/*", True, False),
        ("text/html;q=0.5, application/json", True, False),
        ("text/html, application/json;q=0.5", False, True),
        ("text/html;q=0.5, */*", True, False),
        ("text/html, application/json", False, False),
        ("text/html;q=0, */*;q=0.1", True, False),
        ("text/html;level=1;q=0.7, application/json;q=0.6", False, True),
        ("TEXT/HTML", False, True),
        ("image/png", True, True),
        ("text/html;q=nan", False, False),
        ("text/html;q=bad", False, False),
    ],
)
def test_the_heavier_form_is_answered_and_a_tie_gets_the_default(accept: str, default: bool, expected: bool) -> None:
    """RFC 9110 12.5.1: the most specific range decides each form's weight."""
    assert prefers_html(accept, default) is expected


@given(st.text())
def test_any_accept_header_is_understood_somehow(accept: str) -> None:
    """Nobody is refused over `Accept`."""
    assert prefers_html(accept, True) in (True, False)


def request(query: str = "", accept_language: str = "") -> Request:
    headers = [(b"accept-language", accept_language.encode())]
    return Request({"type": "http", "query_string": query.encode(), "headers": headers, "method": "GET", "path": "/"})


@pytest.mark.parametrize(
    ("query", "accept_language", "language", "view"),
    [
        ("", "", "zh", "standard"),
        ("", "en", "en", "standard"),
        ("lang=zh", "en", "zh", "standard"),
        ("lang=EN-gb", "", "en", "standard"),
        ("lang=zh_Hans", "en", "zh", "standard"),
        ("lang=fr", "en", "en", "standard"),
        ("view=large", "", "zh", "large"),
        ("view=easy&lang=en", "", "en", "easy"),
        ("view=huge", "", "zh", "standard"),
    ],
)
def test_the_address_wins_over_the_browser(query: str, accept_language: str, language: str, view: str) -> None:
    """A choice that was made by a link stays; what we do not have counts as not chosen."""
    manner = manner_of(request(query, accept_language), "zh")

    assert (manner.language, manner.view) == (language, view)


def test_links_keep_what_the_visitor_chose_and_nothing_else() -> None:
    """No other parameter of the address travels on, least of all a secret."""
    manner = manner_of(request("lang=en&view=large&secret=s"), "zh")

    assert manner.link("/a") == "/a?lang=en&view=large"
    assert manner.link("/a", lang="zh") == "/a?lang=zh&view=large"
    assert manner_of(request(), "zh").link("/a") == "/a"
    assert VIEWS == ("standard", "large", "easy")
