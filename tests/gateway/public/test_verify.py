# SPDX-License-Identifier: Apache-2.0
"""Anyone can check a file or a text; a stranger's file does no harm, and a record tells no more than that it exists."""

from __future__ import annotations

import asyncio
import html
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from starlette.requests import Request

from gateway.public import verify
from gateway.public.body import Refused
from gateway.public.page import Pages
from gateway.public.verify import MOST_INSIDE, MOST_TEXT_CHARS, VERIFY_PATH, Pace, Paces
from labeling.aigc import AigcLabel
from labeling.errors import LabelError
from labeling.implicit import write
from labeling.sniff import FileFormat

FORM = "multipart/form-data"
BROWSER = {"accept": "text/html"}
RECORD = "0199a000-0000-7000-8000-000000000001"
LABEL = AigcLabel("1", "001191110000MA00000AAT10001", RECORD)
MADE_AT = 1_780_000_000.25


def png() -> bytes:
    """A small picture."""
    out = BytesIO()
    Image.new("RGB", (40, 30), "white").save(out, "PNG")
    return out.getvalue()


LABELLED = write(png(), FileFormat.PNG, LABEL)


def send(site: Any, data: bytes, mime: str = "image/png", **options: Any) -> Any:
    """Upload a file as a form does."""
    return site.client.post(VERIFY_PATH, files={"file": ("a", data, mime)}, **options)


def test_a_labelled_file_is_read_and_its_record_told(site: Any) -> None:
    """Labels, rules with their clauses, and of the record its existence and its time alone."""
    site.known[RECORD] = MADE_AT
    response = send(site, LABELLED)
    found = response.json()
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert (found["verdict"], found["format"], found["labels"][0]["values"]["ProduceID"]) == (
        "generated",
        "PNG",
        RECORD,
    )
    met = {rule["rule"]: (rule["met"], rule["clause"]) for rule in found["rules"]}
    assert met["hidden"] == (True, "GB 45438-2025 6.1")
    assert met["visible"][0] is None and met["manifest"][0] is None
    assert found["record"] == {"named": True, "exists": True, "time": "2026-05-28T20:26:40.250000Z"}


def test_a_number_that_is_not_ours_and_none_at_all_are_told_apart(site: Any) -> None:
    """What names no record is not asked about."""
    assert send(site, LABELLED).json()["record"] == {"named": True, "exists": False, "time": None}
    found = send(site, png()).json()
    assert found["record"] == {"named": False, "exists": False, "time": None}
    assert found["verdict"] == "unlabelled"
    assert [rule["rule"] for rule in found["rules"] if rule["met"] is False] == ["hidden"]


@pytest.mark.parametrize(
    ("text", "verdict", "is_met"),
    [("（AI生成）\n正文", "generated", True), ("正文", "unlabelled", False)],
)
@pytest.mark.parametrize("how", ["json", "data", "files"])
def test_a_text_is_judged_by_its_first_and_last_line(
    site: Any, text: str, verdict: str, is_met: bool, how: str
) -> None:
    """In JSON and in both kinds of form."""
    sent = {"text": (None, text)} if how == "files" else {"text": text}
    found = site.client.post(VERIFY_PATH, **{how: sent}).json()
    assert (found["verdict"], [rule["met"] for rule in found["rules"]]) == (verdict, [is_met])


def test_a_copied_answer_of_the_api_is_read_too(site: Any) -> None:
    """It carries the seven keys itself."""
    site.known[RECORD] = MADE_AT
    answer = LABEL.as_json(wrapped=True)
    found = site.client.post(VERIFY_PATH, json={"text": answer}).json()
    assert (found["verdict"], found["labels"][0]["is_conforming"], found["record"]["exists"]) == (
        "generated",
        True,
        True,
    )


def test_a_text_file_is_judged_as_a_text(site: Any) -> None:
    """It has no metadata that could lack a label."""
    found = send(site, "正文\n\n本文由人工智能合成\n".encode(), "text/plain").json()
    assert (found["verdict"], found["findings"]) == ("generated", [])
    assert {rule["rule"]: rule["met"] for rule in found["rules"]} == {"visible": True, "manifest": None}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"json": {"url": "https://secret.example/a.png"}}, 422, "url_refused"),
        ({"json": {"text": " https://secret.example/a.png "}}, 422, "url_refused"),
        ({"data": {"text": "data:image/png;base64,secret"}}, 422, "url_refused"),
        ({"json": {}}, 422, "invalid_field"),
        ({"json": {"text": " "}}, 422, "invalid_field"),
        ({"json": {"text": 1}}, 422, "invalid_field"),
        ({"files": {"file": ("", b"", "application/octet-stream")}}, 422, "invalid_field"),
        ({"files": {"file": ("a", b"secret"), "text": (None, "secret")}}, 422, "invalid_field"),
        ({"files": [("file", ("a", b"secret")), ("file", ("b", b"secret"))]}, 422, "invalid_field"),
        ({"files": {"text": (None, b"\xff")}}, 400, "invalid_form"),
        ({"json": {"text": "x" * (MOST_TEXT_CHARS + 1)}}, 413, "text_too_long"),
        ({"content": b"secret", "headers": {"content-type": "image/png"}}, 415, "unsupported_media_type"),
        ({"content": b"--x\r\nsecret", "headers": {"content-type": f"{FORM}; boundary=x"}}, 400, "invalid_form"),
    ],
)  # fmt: skip
def test_what_is_not_one_file_or_one_text_is_refused(site: Any, sent: dict[str, Any], status: int, code: str) -> None:
    """Nothing is fetched, and the answer repeats nothing."""
    response = site.client.post(VERIFY_PATH, **sent)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "secret" not in response.text


@pytest.mark.parametrize("data", [b"\x80\x81\x82\x83", b"", LABELLED[:50]])
def test_what_cannot_be_read_is_not_called_unlabelled(site: Any, data: bytes) -> None:
    """Unknown, empty, cut off."""
    response = send(site, data)
    assert (response.status_code, response.json()["code"]) == (422, "file_not_read")


def test_a_parser_that_dies_is_no_answer(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory or time: the page goes on."""

    def dies(*arguments: object, **options: object) -> None:
        raise LabelError("the parser stopped")

    monkeypatch.setattr(verify, "inspect_in_subprocess", dies)
    assert send(site, LABELLED).json()["code"] == "file_not_read"
    assert site.client.post(VERIFY_PATH, json={"text": "AI生成"}).status_code == 200


def test_a_file_beyond_the_limit_is_refused(site: Any) -> None:
    """While it arrives, not after."""
    limit = site.house.settings.limits.request_body_bytes
    response = send(site, bytes(limit))
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_checks_are_paced_and_the_answer_says_when(site: Any) -> None:
    """Each costs a process; a minute later there is room again."""
    answers = [site.client.post(VERIFY_PATH, json={"text": "AI生成"}) for _ in range(25)]
    late = answers[-1]
    assert [answer.status_code for answer in answers].count(200) == 20
    assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (429, "too_many_checks", "2")
    site.now += 60
    assert site.client.post(VERIFY_PATH, json={"text": "AI生成"}).status_code == 200


def test_the_pace_is_the_average_after_a_burst() -> None:
    """One a second, three at once."""
    now = 100.0
    pace = Pace(60, 3, lambda: now)
    assert [pace.wait_s() for _ in range(4)] == [0, 0, 0, 1]
    now += 0.4
    assert pace.wait_s() == pytest.approx(0.6)
    now += 0.6
    assert [pace.wait_s(), pace.wait_s()] == [0, 1]
    now += 1000
    assert [pace.wait_s() for _ in range(4)] == [0, 0, 0, 1]


def test_only_so_many_uploads_are_held_at_once(site: Any) -> None:
    """Room is given back whatever became of the check."""
    made = verify.Verify(site.house, Pages(site.house))
    slots = [made._slot("192.0.2.1") for _ in range(MOST_INSIDE)]
    for slot in slots:
        slot.__enter__()
    with pytest.raises(Refused), made._slot("192.0.2.1"):
        raise AssertionError("no room")
    for slot in slots:
        slot.__exit__(None, None, None)
    with pytest.raises(RuntimeError), made._slot("192.0.2.1"):
        raise RuntimeError
    with made._slot("192.0.2.1"):
        assert made._inside == 1
    assert made._inside == 0


def test_a_client_that_leaves_gives_its_room_back(site: Any) -> None:
    """A cancelled check counts no more."""
    made = verify.Verify(site.house, Pages(site.house))

    async def run() -> None:
        async def never() -> Any:
            await asyncio.Event().wait()

        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
        task = asyncio.create_task(made.post(Request(scope, never)))
        await asyncio.sleep(0)
        assert made._inside == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert made._inside == 0

    asyncio.run(run())


# The page.


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh", ("标识表明：由AI生成。", "本服务有此编号的记录", "GB 45438-2025 6.1", "无法由程序判断")),
        ("en", ("It says that AI made it.", "a record with this number", "GB 45438-2025 6.1", "cannot be told")),
    ],
)
def test_people_read_the_same(site: Any, language: str, words: tuple[str, ...]) -> None:
    """In their language; kept by no cache."""
    site.known[RECORD] = MADE_AT
    response = send(site, LABELLED, headers=BROWSER, params={"lang": language})
    page = html.unescape(response.text)
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    for each in words:
        assert each in page
    assert RECORD in page


def test_what_a_file_says_is_shown_as_text(site: Any) -> None:
    """A label of a stranger may hold anything."""
    hostile = '{"AIGC":{"Label":"1","ContentProducer":"<script>alert(1)</script>","ProduceID":"x"}}'
    page = site.client.post(VERIFY_PATH, json={"text": hostile}, headers=BROWSER).text
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "missing-key" in page


def test_a_refusal_is_a_page_for_those_who_read_pages(site: Any) -> None:
    """With the next step."""
    response = site.client.post(VERIFY_PATH, json={"url": "https://x"}, headers=BROWSER)
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (422, "text/html")


def test_programs_learn_what_may_be_sent(site: Any) -> None:
    """And people get the forms."""
    assert (
        "multipart/form-data" in site.client.get(VERIFY_PATH, headers={"accept": "application/json"}).json()["accepts"]
    )
    page = site.client.get(f"{VERIFY_PATH}?lang=en", headers=BROWSER).text
    assert page.count("<form") == 2 and 'type="file"' in page and "Was this made by AI?" in page


def test_each_client_has_a_pace_of_its_own() -> None:
    """One that asks too much leaves room for others; IPv6 counts by its network; old ones are forgotten."""
    now = [0.0]
    paces = Paces(30, 2, lambda: now[0], most_clients=2)
    assert [paces.wait_s("192.0.2.1") for _ in range(3)] == [0.0, 0.0, 2.0]
    assert [paces.wait_s(f"2001:db8:0:1::{number}") for number in range(1, 4)] == [0.0, 0.0, 2.0]
    assert paces.wait_s("192.0.2.1") == 2.0
    assert paces.wait_s("198.51.100.7") == 0.0
    assert paces.wait_s("2001:db8:0:1::1") == 0.0
    now[0] = 2.0
    assert paces.wait_s("198.51.100.7") == 0.0


def searched(monkeypatch: pytest.MonkeyPatch, site: Any, led: dict[str, Any], accept: str) -> Any:
    """Check a file that leads to what `led` says."""
    monkeypatch.setattr(verify, "led_to", lambda copies, found, text=None: (found.pop("prints", 0), led)[1])
    return send(site, png(), headers={"accept": accept, "accept-language": "en"})


def test_a_copy_leads_to_its_record(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs and people read the same; of the file's own hashes nothing is told."""
    led = {"watermark": {"state": "found", "record": RECORD}, "fingerprint": {"state": "none", "record": None}}
    found = searched(monkeypatch, site, led, "application/json").json()
    assert found["watermark"] == led["watermark"] and found["fingerprint"] == led["fingerprint"]
    assert "prints" not in found
    page = searched(monkeypatch, site, led, "text/html").text
    assert "watermark" in page and RECORD in page and "likely a copy" not in page
    led = {"watermark": {"state": "none", "record": None}, "fingerprint": {"state": "found", "record": RECORD}}
    assert "likely a copy" in searched(monkeypatch, site, led, "text/html").text


def test_without_a_store_the_answer_has_the_same_members(site: Any) -> None:
    """A file and a text; nothing was asked."""
    nothing = {"state": "not-asked", "record": None}
    for found in (send(site, png()).json(), site.client.post(VERIFY_PATH, json={"text": "words"}).json()):
        assert (found["watermark"], found["fingerprint"]) == (nothing, nothing)
