# SPDX-License-Identifier: Apache-2.0
"""The pages as such: translated whole, readable by everyone, free of anything foreign."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from importlib import resources
from io import BytesIO
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from jinja2.ext import babel_extract

from gateway.public.page import LOCALES, STYLE_PATH, read_catalogue

TEMPLATES = sorted(
    (item for item in resources.files("gateway.public").joinpath("templates").iterdir() if item.name.endswith(".html")),
    key=lambda item: item.name,
)
ADDRESSES = [
    f"{path}?lang={language}&view={view}"
    for path in ("/duty/about", "/duty/complaints", "/duty/complaints/0000-0000-0000", "/duty/verify")
    for language in ("zh", "en")
    for view in ("standard", "large", "easy")
]
BROWSER = {"accept": "text/html"}


class Outline(HTMLParser):
    """What a test needs of a page: its elements, and whether they are closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li", "option") and self.open[-1] != tag:
            return
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def template_texts() -> set[str]:
    texts: set[str] = set()
    for template in TEMPLATES:
        source = BytesIO(template.read_bytes())
        options: dict[str, Any] = {"encoding": "utf-8", "silent": "false"}
        for _, _, message, _ in babel_extract(source, ["_", "gettext"], [], options):
            text = message[0] if isinstance(message, tuple) else message
            assert text
            texts.add(text)
    return texts


def texts_of(catalogue: Catalog) -> dict[str, str]:
    return {message.id: message.string for message in catalogue if message.id}  # type: ignore[misc]


@pytest.mark.parametrize("language", LOCALES)
def test_every_text_is_translated_and_none_is_left_over(language: str) -> None:
    """No missing, fuzzy or forgotten text, and the same placeholders on both sides."""
    catalogue = read_catalogue(language)
    texts = texts_of(catalogue)

    assert set(texts) == template_texts()
    assert not [message.id for message in catalogue if message.id and (message.fuzzy or not message.string)]
    assert not list(catalogue.check())
    for source, text in texts.items():
        assert sorted(re.findall(r"%\(\w+\)s", source)) == sorted(re.findall(r"%\(\w+\)s", text)), source


def test_no_page_speaks_outside_the_catalogue() -> None:
    """A sentence written straight into a template would stay in one language."""
    for template in TEMPLATES:
        source = template.read_text(encoding="utf-8")
        source = re.sub(r"\{% macro wrong.*?endmacro %\}", "", source)  # attributes only
        bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|<[^>]*>", " ", source, flags=re.DOTALL)
        assert set(re.findall(r"\w+", bare)) <= {"中文", "English"}, template.name


@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_are_well_formed_and_can_be_read_aloud(site: Any, address: str) -> None:
    """Language, title, one main heading, no skipped level, a label for every field, a way past the header."""
    response = site.client.get(address, headers=BROWSER)
    outline = Outline(response.text)
    language = "zh-Hans" if "lang=zh" in address else "en"

    assert response.status_code == 200
    assert outline.open == []
    assert outline.all("html")[0]["lang"] == language == response.headers["content-language"]
    assert len(outline.all("title")) == len(outline.all("h1")) == len(outline.all("main")) == 1
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    labelled = {label["for"] for label in outline.all("label")}
    for tag in ("input", "select", "textarea"):
        for field in outline.all(tag):
            assert field.get("type") == "hidden" or field["id"] in labelled
    identifiers = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    pointed = {
        value
        for _, attributes in outline.elements
        for name, value in attributes.items()
        if name in ("aria-labelledby", "aria-describedby", "for")
    }
    assert pointed <= set(identifiers)
    assert outline.all("a")[0]["href"] == "#content"


@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_load_nothing_but_their_own_style(site: Any, address: str) -> None:
    """No script, no inline style, no foreign font or image: works offline and under the strict policy."""
    page = site.client.get(address, headers=BROWSER).text
    outline = Outline(page)

    assert [link["href"] for link in outline.all("link")] == [f"{STYLE_PATH}?v={style_version(page)}"]
    assert not outline.all("script") and not outline.all("img") and not outline.all("style")
    for _, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def style_version(page: str) -> str:
    found = re.search(r"duty\.css\?v=([0-9a-f]{12})", page)
    assert found is not None
    return found[1]


def test_the_style_is_kept_for_ever_and_fetches_nothing(site: Any) -> None:
    """Its address changes with its content."""
    response = site.client.get(STYLE_PATH)

    assert response.headers["content-type"].startswith("text/css")
    assert "immutable" in response.headers["cache-control"]
    assert "url(" not in response.text and "@import" not in response.text


def test_every_form_of_page_is_reachable_by_links(site: Any) -> None:
    """Two languages and three forms, the chosen one marked."""
    page = site.client.get("/duty/about?lang=en&view=large", headers=BROWSER).text
    links = [(a["href"], a.get("aria-current")) for a in Outline(page).all("a")]

    assert ("/duty/about?lang=zh&view=large", None) in links
    assert ("/duty/about?lang=en&view=large", "true") in links
    assert ("/duty/about?lang=en&view=easy", None) in links
    assert 'class="large"' in page


def test_caches_know_what_a_page_depends_on(site: Any) -> None:
    """Two visitors with two languages never get each other's page."""
    for path in ("/duty/about", "/duty/complaints"):
        response = site.client.get(path, headers=BROWSER)
        assert response.headers["vary"] == "Accept, Accept-Language"
        assert response.headers["cache-control"] == "public, max-age=300"
