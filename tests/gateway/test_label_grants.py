# SPDX-License-Identifier: Apache-2.0
"""A grant is a record with an end, names no person in its leaf, and every use of it is a record of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit_log import open_reader
from gateway.home import Home
from gateway.label_grants import GrantError, find_grant, new_grant, record_use, tells_of_content
from gateway.label_rules import is_record_id

ASKED: dict[str, Any] = {"recipient": "安娜 +86 138", "agreement": "v1.2", "reason": "subtitles of a film", "days": 2}


class Clock:
    """A clock that a test moves; it begins after the log was made."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A new data folder."""
    return Home.create(tmp_path / "home")[0]


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


def leaf(home: Home, record_id: str) -> tuple[dict[str, Any], str | None, bytes | None]:
    """A record's leaf, its subject and its opened body."""
    reader, store = open_reader(home.audit)
    try:
        found = reader.get(record_id)
        assert found is not None
        return json.loads(found.leaf), found.row.row.subject, reader.body(record_id)
    finally:
        store.close()


def test_the_leaf_says_what_was_agreed_and_the_body_to_whom(home: Home, clock: Clock) -> None:
    """Personal data stands outside the tree, where it can be destroyed."""
    made = new_grant(home, **ASKED, clock=clock)
    fields, subject, body = leaf(home, made.id)
    assert (fields["type"], fields["event"], fields["agreement"]) == ("measure", "label_grant", "v1.2")
    assert "安娜" not in json.dumps(fields, ensure_ascii=False)
    assert subject == made.subject
    assert body is not None
    assert json.loads(body) == {"recipient": ASKED["recipient"], "reason": ASKED["reason"]}
    again = find_grant(home, made.id, clock)
    assert (again.id, again.subject, again.agreement) == (made.id, made.subject, "v1.2")
    assert again.expires_at == pytest.approx(made.expires_at, abs=1e-5)


def test_a_grant_ends(home: Home, clock: Clock) -> None:
    """At its moment, not a day later."""
    made = new_grant(home, **ASKED, clock=clock)
    clock.now = made.expires_at - 1
    find_grant(home, made.id, clock)
    clock.now = made.expires_at + 0.001
    with pytest.raises(GrantError, match="expired"):
        find_grant(home, made.id, clock)


def test_its_use_is_a_record_that_names_it(home: Home, clock: Clock) -> None:
    """Of the same person, and of the answer where there was one."""
    made = new_grant(home, **ASKED, clock=clock)
    exchange = "0199a000-0000-7000-8000-000000000009"
    for record_id, belongs in (
        ("0199a000-0000-7000-8000-000000000001", None),
        ("0199a000-0000-7000-8000-000000000002", exchange),
    ):
        record_use(home, made, record_id, belongs, clock)
        fields, subject, _ = leaf(home, record_id)
        assert (fields["event"], fields["grant"], fields.get("exchange")) == ("label_waived", made.id, belongs)
        assert subject == made.subject


def test_only_a_grant_is_a_grant(home: Home, clock: Clock) -> None:
    """Not a word, not an unknown id, not the record of a use."""
    made = new_grant(home, **ASKED, clock=clock)
    use = "0199a000-0000-7000-8000-000000000001"
    record_use(home, made, use, None, clock)
    for wrong in ("", "anna", "0199a000-0000-7000-8000-000000000007", use):
        with pytest.raises(GrantError, match="no such grant"):
            find_grant(home, wrong, clock)


@pytest.mark.parametrize(
    ("field", "value"),
    [("recipient", " "), ("recipient", "x" * 501), ("reason", ""), ("agreement", ""), ("agreement", "two words"),
     ("days", 0), ("days", 367)],
)  # fmt: skip
def test_a_grant_says_everything_that_article_9_asks(
    home: Home, clock: Callable[[], float], field: str, value: object
) -> None:
    """Or is not recorded; the message repeats nothing of it."""
    with pytest.raises(GrantError, match=field) as caught:
        new_grant(home, **{**ASKED, field: value}, clock=clock)
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize(
    ("leaf", "does"),
    [
        ({"type": "exchange"}, True),
        ({"type": "open"}, True),
        ({"type": "close"}, False),
        ({"type": "complaint"}, False),
        ({"type": "measure", "event": "label_waived"}, True),
        ({"type": "measure", "event": "label_grant"}, False),
        ({}, False),
    ],
)
def test_only_records_of_content_that_went_out_answer_a_label(leaf: dict[str, str], does: bool) -> None:
    """Who asks about a label learns nothing about complaints, incidents or people."""
    assert tells_of_content(leaf) is does


def test_record_ids_are_known_by_their_form() -> None:
    """Lower case, hyphens, nothing around."""
    assert is_record_id("0199a000-0000-7000-8000-000000000001")
    assert not is_record_id("0199A000-0000-7000-8000-000000000001\n")
