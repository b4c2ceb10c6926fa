# SPDX-License-Identifier: Apache-2.0
"""What people see, and what they do not."""

import json

from complaints import ComplaintDesk, case_to_dict


def test_the_complainant_sees_state_times_and_answer(desk: ComplaintDesk) -> None:
    """With keys for programs, labels for people and times where the desk is."""
    filed = desk.file("labelling", "no label", contact="me@example.org")
    desk.answer(filed.receipt, "li", "upheld", "It has one now.")
    view = desk.status(filed.receipt, filed.secret)
    shown = view.to_dict("en")

    assert view.answer is not None and view.answer.text == "It has one now."
    assert (shown["state"], shown["state_label"], shown["due"]) == (
        "answered",
        "Answered",
        "2026-10-15T23:59:59+08:00",
    )
    assert shown["answers"] == [
        {
            "decision": "upheld",
            "decision_label": "Upheld",
            "text": "It has one now.",
            "at": "2026-09-18T12:00:00+08:00",
        }
    ]
    assert (shown["may_appeal"], shown["may_withdraw"]) == (True, False)
    assert view.to_dict("zh")["category_label"] == "标识缺失或错误"


def test_the_complainant_sees_neither_officer_nor_the_words_filed(desk: ComplaintDesk) -> None:
    """A found receipt gives away neither the complaint nor who works on it."""
    filed = desk.file("privacy", "my address", contact="me@example.org", tenant="acme")
    desk.take(filed.receipt, "officer-li")
    desk.release(filed.receipt, "officer-li", "internal reason")
    told = json.dumps(desk.status(filed.receipt, filed.secret).to_dict("en"))

    assert not [word for word in ("my address", "me@", "acme", "officer-li", "internal reason") if word in told]


def test_the_officer_sees_everything_and_what_may_be_done(desk: ComplaintDesk) -> None:
    """Words, contact, history with names, and the acts open to this officer."""
    filed = desk.file("privacy", "my address", contact="me@example.org", tenant="acme")
    desk.take(filed.receipt, "li")
    seen = desk.get(filed.receipt, "li").to_dict(desk.now())

    assert (seen["text"], seen["contact"], seen["tenant"]) == ("my address", "me@example.org", "acme")
    assert seen["permitted"] == ["release", "answer"]
    assert desk.get(filed.receipt, "wang").to_dict(desk.now())["permitted"] == ["release"]
    assert desk.get(filed.receipt).permitted == ()
    history = seen["history"]
    assert isinstance(history, list) and [(step["event"], step["officer"]) for step in history] == [
        ("file", None),
        ("acknowledge", None),
        ("take", "li"),
    ]
    json.dumps(seen)


def test_a_queue_line_is_plain_json_without_words(desk: ComplaintDesk) -> None:
    """Metadata only."""
    filed = desk.file("privacy", "my address", contact="me@example.org")
    line = case_to_dict(filed.case, desk.now())

    assert (line["receipt"], line["is_overdue"], line["next_due"]) == (
        filed.receipt,
        False,
        "2026-09-19T04:00:00+00:00",
    )
    assert "address" not in json.dumps(line) and "example.org" not in json.dumps(line)


def test_words_and_secrets_stay_out_of_repr(desk: ComplaintDesk) -> None:
    """A log line that prints an object prints no personal data."""
    filed = desk.file("privacy", "WORDS", contact="CONTACT")
    desk.answer(filed.receipt, "li", "upheld", "REPLY")
    printed = f"{filed!r} {desk.get(filed.receipt)!r} {desk.status(filed.receipt, filed.secret)!r}"

    assert not [word for word in ("WORDS", "CONTACT", "REPLY", filed.secret) if word in printed]
