# SPDX-License-Identifier: Apache-2.0
"""The entrance for complaints, and the way of a case for its complainant."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from complaints import Unavailable

BROWSER = {"accept": "text/html"}
WORDS = "回答里有我的住址"
PATH = "/duty/complaints"


def file(site: Any, **fields: object) -> dict[str, str]:
    response = site.client.post(PATH, json={"category": "privacy", "text": WORDS, **fields})
    assert response.status_code == 201, response.text
    filed: dict[str, str] = response.json()
    return filed


def secret_of(filed: dict[str, str]) -> dict[str, str]:
    return {"duty-secret": filed["secret"]}


# The published process


@pytest.mark.parametrize(("language", "days"), [("zh", "15 个工作日"), ("en", "15 working days")])
def test_process_and_time_limits_are_published(site: Any, language: str, days: str) -> None:
    """Interim Measures article 15; the numbers are those that the clock runs by."""
    page = site.client.get(f"{PATH}?lang={language}").text

    assert days in page
    assert "12377" in page
    for category in ("illegal_content", "privacy", "minors", "labelling", "other"):
        assert f'<option value="{category}">' in page


def test_programs_get_the_process_as_json(site: Any) -> None:
    """The same numbers."""
    process = site.client.get(PATH, headers={"accept": "application/json"}).json()

    assert (process["answer_working_days"], process["triage_h"]) == (15, 24)
    assert process["categories"][0].keys() == {"key", "label"}


def test_a_link_may_name_the_answer_that_is_complained_about(site: Any) -> None:
    """So that an app's button leads straight to the right form; what it names is text, not markup."""
    record = "0198b1c2-0000-7000-8000-000000000000"
    response = site.client.get(f"{PATH}?record={record}&category=privacy&tenant=%22%3E%3Cscript%3E")

    assert f'name="record" value="{record}"' in response.text
    assert '<option value="privacy" selected>' in response.text
    assert "<script" not in response.text
    assert response.headers["cache-control"] == "no-store"


# Filing


@pytest.mark.parametrize("how", ["json", "data", "files"])
def test_filing_answers_with_receipt_secret_due_and_url(site: Any, how: str) -> None:
    """The names that other people's scripts use, from JSON and from both kinds of form."""
    fields = {"category": "Privacy", "text": WORDS, "contact": "a@b.example", "tenant": "app-1"}
    body: Any = {name: (None, value) for name, value in fields.items()} if how == "files" else fields
    response = site.client.post(PATH, **{how: body})
    filed = response.json()

    assert response.status_code == 201
    assert filed.keys() >= {"receipt", "secret", "due", "url"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT23:59:59\+08:00", filed["due"])
    assert response.headers["location"] == f"{PATH}/{filed['receipt']}" == urlsplit(filed["url"]).path
    assert response.headers["cache-control"] == "no-store"


def test_a_filing_is_recorded_without_a_word_of_it(site: Any) -> None:
    """The audit log hears of the case; the words, the contact and the receipt stay out of it."""
    filed = file(site, contact="a@b.example")

    assert [fact["event"] for fact in site.records] == ["file", "acknowledge"]
    told = str(site.records)
    for word in (WORDS, "a@b.example", filed["receipt"], filed["secret"]):
        assert word not in told
    assert site.house.desk.unrecorded() == ()


def test_the_record_of_a_filing_is_named(site: Any) -> None:
    """The complainant can point to it."""
    response = site.client.post(PATH, json={"category": "other", "text": WORDS})

    assert response.headers["duty-record"] == "0198b1c2-0000-7000-8000-000000000002"


def test_a_complaint_is_never_lost_to_a_failing_log(site: Any) -> None:
    """It is on disk: the complainant gets the receipt, and the facts wait until the log works again."""
    site.is_log_broken = True
    response = site.client.post(PATH, json={"category": "other", "text": WORDS})

    assert response.status_code == 201
    assert "duty-record" not in response.headers
    assert [fact["event"] for fact in site.house.desk.unrecorded()] == ["file", "acknowledge"]


def test_without_a_store_nothing_is_promised(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and no receipt."""

    def fail(*arguments: object, **more: object) -> None:
        raise Unavailable("disk")

    monkeypatch.setattr(type(site.house.desk), "file", fail)
    response = site.client.post(PATH, json={"category": "other", "text": WORDS})

    assert (response.status_code, response.json()["code"]) == (503, "desk_unavailable")
    assert site.records == []


@pytest.mark.parametrize(
    ("public_url", "host", "expected"),
    [
        ("https://ai.example/", "evil.example", "https://ai.example/duty/complaints/"),
        ("", "here.example:8080", "http://here.example:8080/duty/complaints/"),
        ("", "[::1]:8080", "http://[::1]:8080/duty/complaints/"),
        ("", "x<y>.example", "/duty/complaints/"),
    ],
)
def test_the_address_of_a_case_is_the_service_s_own(make_site: Any, public_url: str, host: str, expected: str) -> None:
    """Where the settings say, else where the client came to; nothing strange is given back."""
    site = make_site(public_url=public_url)
    filed = site.client.post(PATH, json={"category": "other", "text": WORDS}, headers={"host": host}).json()

    assert filed["url"] == expected + filed["receipt"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": WORDS}, "category"),
        ({"category": "nonsense", "text": WORDS}, "category"),
        ({"category": 7, "text": WORDS}, "category"),
        ({"category": "other"}, "text"),
        ({"category": "other", "text": ""}, "text"),
        ({"category": "other", "text": ["a"]}, "text"),
        ({"category": "other", "text": "x" * 10_001}, "text"),
        ({"category": "other", "text": WORDS, "contact": "c" * 201}, "contact"),
        ({"category": "other", "text": WORDS, "record": "not-a-uuid"}, "record"),
        ({"category": "other", "text": WORDS, "tenant": "a b c"}, "tenant"),
    ],
)
def test_a_wrong_field_is_named_and_its_words_are_not(site: Any, fields: dict[str, object], field: str) -> None:
    """422 with the field; nothing is stored or recorded."""
    response = site.client.post(PATH, json=fields)

    assert (response.status_code, response.json()["code"], response.json()["field"]) == (422, "invalid_field", field)
    assert WORDS not in response.text and "nonsense" not in response.text
    assert site.records == []
    assert site.house.desk.list().cases == ()


def test_the_longest_text_passes_in_every_encoding(site: Any) -> None:
    """Ten thousand Chinese characters, also percent-encoded."""
    text = "诉" * 10_000
    for body in ({"json": {"category": "other", "text": text}}, {"data": {"category": "other", "text": text}}):
        assert site.client.post(PATH, **body).status_code == 201


def test_people_see_their_mistake_and_keep_their_words(site: Any) -> None:
    """The form comes back filled in, says what is wrong and points there; the words are escaped."""
    words = "</textarea><script>alert(1)</script>"
    form = {"category": "other", "text": words, "contact": "me", "record": "wrong"}
    response = site.client.post(f"{PATH}?lang=en", data=form, headers=BROWSER)

    assert response.status_code == 422
    assert "A record number looks like" in response.text
    assert 'href="#record"' in response.text
    assert 'aria-invalid="true"' in response.text
    assert html.escape(words) in response.text and "<script" not in response.text
    assert '<option value="other" selected>' in response.text
    assert response.headers["cache-control"] == "no-store"


def test_people_get_receipt_and_secret_on_a_page(site: Any) -> None:
    """Shown once, in no cache and in no address."""
    form = {"category": "privacy", "text": WORDS}
    response = site.client.post(f"{PATH}?lang=en", data=form, headers=BROWSER)
    found = re.search(r'name="receipt" value="([^"]+)".*?name="secret" value="([^"]+)"', response.text, re.DOTALL)

    assert response.status_code == 201
    assert "China Standard Time" in response.text
    assert response.headers["cache-control"] == "no-store"
    assert found is not None
    assert found[2] not in str(response.headers)
    follow = site.client.post(f"{PATH}/status", data={"receipt": found[1], "secret": found[2]}, headers=BROWSER)
    assert follow.status_code == 200


# A case


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_case_opens_with_its_secret_in_header_query_or_form(site: Any, language: str) -> None:
    """Three ways, one answer; the complaint's own words are not in it."""
    filed = file(site)
    path = f"{PATH}/{filed['receipt']}?lang={language}"
    by_header = site.client.get(path, headers=secret_of(filed))
    by_query = site.client.get(f"{path}&secret={filed['secret']}")
    form = {"receipt": filed["receipt"], "secret": filed["secret"]}
    by_form = site.client.post(f"{PATH}/status?lang={language}", data=form)

    assert by_header.status_code == 200
    assert by_header.json() == by_query.json() == by_form.json()
    assert by_header.json()["state"] == "acknowledged"
    assert by_header.json()["due"] == filed["due"]
    assert by_header.headers["cache-control"] == "no-store"
    assert WORDS not in by_header.text


def test_without_a_secret_programs_are_told_how_and_people_are_asked(site: Any) -> None:
    """Neither learns whether the case exists."""
    filed = file(site)
    for receipt in (filed["receipt"], "0000-0000-0000", "%22%3E%3Cscript%3E"):
        response = site.client.get(f"{PATH}/{receipt}")
        page = site.client.get(f"{PATH}/{receipt}", headers=BROWSER)
        assert (response.status_code, response.json()["code"]) == (401, "secret_required")
        assert "www-authenticate" in response.headers
        assert page.status_code == 200
        assert 'name="secret"' in page.text
        assert "<script" not in page.text


def test_a_wrong_secret_and_a_wrong_receipt_look_the_same(site: Any) -> None:
    """Receipts cannot be probed."""
    filed, other = file(site), file(site)
    answers = [
        site.client.get(f"{PATH}/{filed['receipt']}", headers=secret_of(other)),
        site.client.get(f"{PATH}/7Q4D-M0XR-2K9H", headers=secret_of(other)),
        site.client.get(f"{PATH}/nothing", headers={"duty-secret": "x"}),
        site.client.post(f"{PATH}/status", json={"receipt": ["a"], "secret": 7}),
        site.client.post(f"{PATH}/status", json={}),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_people_read_the_case_on_a_page(site: Any) -> None:
    """State, dates and answer; the secret stays out of the addresses on it."""
    filed = file(site)
    site.house.desk.answer(filed["receipt"], "officer-1", "upheld", "已<b>删除</b>")
    page = site.client.get(f"{PATH}/{filed['receipt']}?lang=zh&secret={filed['secret']}", headers=BROWSER).text

    assert "已答复" in page
    assert "投诉成立" in page
    assert "已&lt;b&gt;删除" in page
    assert "中国标准时间" in page
    assert f"secret={filed['secret']}" not in page
    assert f'action="/duty/complaints/{filed["receipt"]}/appeal?lang=zh"' in page


def test_an_answer_can_be_appealed_once_with_grounds(site: Any) -> None:
    """Recorded, shown, and not twice."""
    filed = file(site)
    site.house.desk.answer(filed["receipt"], "officer-1", "rejected", "没有发现")
    path = f"{PATH}/{filed['receipt']}/appeal"
    too_little = site.client.post(path, json={"text": ""}, headers=secret_of(filed))
    appealed = site.client.post(path, json={"text": "再看看"}, headers=secret_of(filed))
    again = site.client.post(path, json={"text": "再看看"}, headers=secret_of(filed))

    assert (too_little.status_code, too_little.json()["field"]) == (422, "text")
    assert (appealed.status_code, appealed.json()["state"]) == (200, "appealed")
    assert site.records[-1]["event"] == "appeal"
    assert appealed.headers["duty-record"]
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_people_appeal_with_the_form_of_the_page(site: Any) -> None:
    """A missing reason is said on the page of the case."""
    filed = file(site)
    site.house.desk.answer(filed["receipt"], "officer-1", "rejected", "没有发现")
    path = f"{PATH}/{filed['receipt']}/appeal?lang=en"
    empty = site.client.post(path, data={"secret": filed["secret"], "text": " "}, headers=BROWSER)
    appealed = site.client.post(path, data={"secret": filed["secret"], "text": "look again"}, headers=BROWSER)

    assert empty.status_code == 422
    assert "Say why you ask for a review" in empty.text
    assert appealed.status_code == 200
    assert "Your request for a review is filed" in appealed.text


def test_a_complaint_can_be_withdrawn_before_it_is_answered(site: Any) -> None:
    """With the secret alone; afterwards it is a conflict."""
    filed = file(site)
    path = f"{PATH}/{filed['receipt']}/withdraw"
    nobody = site.client.post(path)
    withdrawn = site.client.post(path, headers=secret_of(filed))
    again = site.client.post(path, headers=secret_of(filed))

    assert nobody.status_code == 404
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    assert site.records[-1]["event"] == "withdraw"
    assert again.status_code == 409


def test_people_withdraw_with_the_form_of_the_page(site: Any) -> None:
    """And read that it is done."""
    filed = file(site)
    path = f"{PATH}/{filed['receipt']}/withdraw?lang=zh"
    response = site.client.post(path, data={"secret": filed["secret"]}, headers=BROWSER)

    assert "投诉已撤回。" in response.text


def test_people_get_problems_as_pages(site: Any) -> None:
    """In their language, with the status of the problem."""
    response = site.client.get(f"{PATH}/nothing?lang=en&secret=x", headers=BROWSER)
    broken = site.client.post(f"{PATH}?lang=en", content=b"a=%ff", headers=BROWSER | {"content-type": "text/xml"})

    assert response.status_code == 404
    assert "No complaint opens with this receipt and secret" in response.text
    assert broken.status_code == 415
    assert "could not be read" in broken.text


def test_the_chosen_language_is_kept_with_the_case(site: Any) -> None:
    """The officer answers in it."""
    receipt = site.client.post(f"{PATH}?lang=en", json={"category": "other", "text": "words"}).json()["receipt"]

    assert site.house.desk.get(receipt).case.language == "en"
