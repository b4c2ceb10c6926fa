# SPDX-License-Identifier: Apache-2.0
"""The page about the service, and the acknowledgement of the notice."""

from __future__ import annotations

import asyncio
import html
from typing import Any

import pytest

from gateway.decisions import Refusal
from gateway.exchange import Person

BROWSER = {"accept": "text/html"}
ANNA = Person(subject="anna", tenant="t")


def link_of(site: Any, person: Person = ANNA) -> str:
    with pytest.raises(Refusal) as caught:
        asyncio.run(site.house.disclosure.first_contact(person))
    return str(caught.value.headers[0][1].partition(">")[0].removeprefix("<"))


def token_of(site: Any, person: Person = ANNA) -> str:
    return link_of(site, person).partition("ack=")[2]


def may_go_on(site: Any, person: Person = ANNA) -> bool:
    try:
        asyncio.run(site.house.disclosure.first_contact(person))
    except Refusal:
        return False
    return True


@pytest.mark.parametrize(
    ("language", "needed"),
    [
        (
            "zh",
            ("不是真人", "示例科技有限公司", "Example-2026-1", "日常问答", "15 个工作日", "12377", "60 分钟", "22:00"),
        ),
        ("en", ("not a human", "示例科技有限公司", "Example-2026-1", "Everyday questions", "15 working days", "12377")),
    ],
)
def test_people_read_what_the_law_asks(site: Any, language: str, needed: tuple[str, ...]) -> None:
    """AI, provider, number, purpose, rights and time limits, in their language."""
    page = site.client.get(f"/duty/about?lang={language}").text

    for words in needed:
        assert words in page


def test_what_is_not_stated_is_said_to_be_missing(make_site: Any) -> None:
    """Nothing is made up and nothing is passed over."""
    page = make_site(service={"name": "S", "provider": "P"}).client.get("/duty/about?lang=en").text

    assert page.count("not stated by the provider") == 7


def test_easy_language_adds_short_sentences(site: Any) -> None:
    """For children, the old and those who read little."""
    assert "它不是真人。" in site.client.get("/duty/about?lang=zh&view=easy").text
    assert "它不是真人。" not in site.client.get("/duty/about?lang=zh").text


def test_programs_get_the_document(site: Any) -> None:
    """The same facts as the well-known address."""
    response = site.client.get("/duty/about", headers={"accept": "application/json"})

    assert response.json() == site.client.get("/.well-known/ai-disclosure.json").json()


def test_the_provider_s_texts_are_escaped(make_site: Any) -> None:
    """Even the operator's own words are text, not markup; a link is a link only to the web."""
    hostile = "<script>alert(1)</script>"
    service = {"name": hostile, "provider": hostile, "purpose": hostile, "url": "javascript:alert(1)"}
    for path in ("/duty/about", "/duty/complaints"):
        page = make_site(service=service).client.get(path).text
        assert "<script" not in page
        assert html.escape(hostile) in page
        assert "javascript:" not in page


# Acknowledgement


def test_the_link_shows_the_notice_with_a_button(make_site: Any) -> None:
    """The page of the link is nobody else's, so no cache keeps it; changing the language keeps the link."""
    site = make_site("acknowledge")
    response = site.client.get(link_of(site), headers=BROWSER)
    token = token_of(site)

    assert site.house.disclosure.notice.zh in html.unescape(response.text)
    assert 'action="/duty/about/acknowledge"' in response.text
    assert f'value="{token}"' in response.text
    assert response.headers["cache-control"] == "no-store"
    assert f"/duty/about?lang=en&amp;ack={token}" in response.text


def test_without_a_link_there_is_nothing_to_press(make_site: Any) -> None:
    """Whom would it count for?"""
    assert "<form" not in make_site("acknowledge").client.get("/duty/about", headers=BROWSER).text


@pytest.mark.parametrize(("language", "words"), [("zh", "链接已过期"), ("en", "This link has expired")])
def test_an_expired_link_says_so(make_site: Any, language: str, words: str) -> None:
    """And how to get a new one."""
    site = make_site("acknowledge")
    link = link_of(site)
    site.now += 25 * 3_600
    page = site.client.get(f"{link}&lang={language}", headers=BROWSER).text

    assert words in page
    assert "<form" not in page


@pytest.mark.parametrize("how", ["json", "data"])
def test_pressing_the_button_records_and_lets_the_person_go_on(make_site: Any, how: str) -> None:
    """JSON and form; the record comes first and its id is given back."""
    site = make_site("acknowledge")
    body: dict[str, Any] = {how: {"ack": token_of(site)}}
    assert not may_go_on(site)
    response = site.client.post("/duty/about/acknowledge", **body)

    version = site.house.disclosure.notice.version
    assert response.status_code == 200
    assert response.json()["acknowledged"] is True
    assert response.json()["notice_version"] == version
    assert response.headers["duty-record"] == response.json()["record"]
    assert site.records == [
        {"type": "notice", "event": "acknowledged", "notice_version": version, "tenant": "t", "subject": "anna"}
    ]
    assert may_go_on(site)
    assert not may_go_on(site, Person(subject="anna", tenant="other"))


def test_people_get_a_page_of_thanks(make_site: Any) -> None:
    """In the language they read."""
    site = make_site("acknowledge")
    response = site.client.post("/duty/about/acknowledge?lang=en", data={"ack": token_of(site)}, headers=BROWSER)

    assert "Thank you" in response.text
    assert response.headers["duty-record"]
    assert response.headers["cache-control"] == "no-store"


def test_without_its_record_an_acknowledgement_does_not_count(make_site: Any) -> None:
    """Told without proof is not told: 503, and the person is asked again."""
    site = make_site("acknowledge")
    site.is_log_broken = True
    response = site.client.post("/duty/about/acknowledge", json={"ack": token_of(site)})

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert not may_go_on(site)


@pytest.mark.parametrize(
    ("ack", "status", "code"),
    [
        ("nonsense", 400, "acknowledgement_malformed"),
        ("", 400, "acknowledgement_malformed"),
        ("é.é", 400, "acknowledgement_malformed"),
        (7, 422, "invalid_field"),
        (None, 422, "invalid_field"),
    ],
)
def test_a_wrong_link_is_a_problem(make_site: Any, ack: object, status: int, code: str) -> None:
    """And leaves no record."""
    site = make_site("acknowledge")
    response = site.client.post("/duty/about/acknowledge", json={"ack": ack})

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert site.records == []


def test_an_expired_link_cannot_be_pressed(make_site: Any) -> None:
    """410 for programs, a page for people."""
    site = make_site("acknowledge")
    token = token_of(site)
    site.now += 24 * 3_600
    response = site.client.post("/duty/about/acknowledge", json={"ack": token})
    page = site.client.post("/duty/about/acknowledge?lang=en", data={"ack": token}, headers=BROWSER)

    assert (response.status_code, response.json()["code"]) == (410, "acknowledgement_expired")
    assert page.status_code == 410
    assert "This link has expired" in page.text
