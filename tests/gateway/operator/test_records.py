# SPDX-License-Identifier: Apache-2.0
"""Records: found by what people ask for, and handed out so that nobody has to trust the listener."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from audit_log.merkle import leaf_hash
from audit_log.note import Verifier
from audit_log.proof import verify_proof

MORNING = "2026-11-21T01:00:00.000000Z"
NOON = "2026-11-21T04:00:00.000000Z"
EVENING = "2026-11-21T12:00:00.500000Z"


def ids(listener: Any, **parameters: Any) -> list[str]:
    """The ids a search finds, without those of the log itself."""
    answer = listener.get("/api/records", **parameters)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["records"] if item["type"] != "boot"]


def proven(listener: Any, record_id: str) -> dict[str, Any]:
    """The record with its proof, for which the answer waits."""
    answer = listener.get(f"/api/records/{record_id}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["proof"] is not None
    return document


def test_a_record_comes_with_a_proof_that_stands_alone(listener: Any) -> None:
    """Leaf and proof text verify with the log's key and nothing else."""
    for _ in range(5):
        listener.remember()
    record_id = listener.remember(tenant="school", action="allow", model="m")

    document = proven(listener, record_id)

    leaf = base64.b64decode(document["leaf"])
    verifier = Verifier.from_vkey(listener.vkey)
    index, checkpoint = verify_proof(document["proof"]["text"].encode(), leaf, "audit.example.com/test", [verifier])
    assert index == document["index"] == document["proof"]["index"]
    assert orjson.loads(leaf) == document["record"]
    assert base64.b64decode(document["leaf_hash"]) == leaf_hash(leaf)
    assert document["checkpoint"].startswith(f"audit.example.com/test\n{checkpoint.size}\n")
    assert (document["id"], document["type"], document["tenant"]) == (record_id, "exchange", "school")
    assert document["record"]["model"] == "m"


def test_the_records_of_one_exchange_are_shown_together(listener: Any) -> None:
    """From the opening of a stream one comes to its end and its incident, and back."""
    opened = listener.remember(type="open")
    closed = listener.remember(type="close", exchange=opened)
    incident = listener.remember(type="incident", exchange=opened)
    listener.remember()

    assert [item["id"] for item in proven(listener, opened)["related"]] == [closed, incident]
    assert [item["id"] for item in proven(listener, closed)["related"]] == [opened, incident]
    assert [item["record"]["type"] for item in proven(listener, closed)["related"]] == ["open", "incident"]


@pytest.mark.parametrize(
    "record_id",
    ["01a1ff9a-c8ad-72f4-a987-76feee97c515", "x", "%20", "a" * 36, "g" * 36, "0" * 32, "x" * 2_000, "-" * 36],
)
def test_what_is_not_there_is_a_404(listener: Any, record_id: str) -> None:
    """Whatever stands in the path."""
    answer = listener.get(f"/api/records/{record_id}")

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_a_record_that_no_checkpoint_covers_is_shown_without_a_proof(
    listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher that hangs does not hide the record."""
    record_id = listener.remember()
    monkeypatch.setattr("gateway.operator.records._PROOF_TRIES", 2)
    monkeypatch.setattr("gateway.operator.records._PROOF_WAIT_S", 0.0)
    monkeypatch.setattr("audit_log.search.LogReader.prove", lambda *_: None)

    document = listener.get(f"/api/records/{record_id}").json()

    assert (document["id"], document["proof"]) == (record_id, None)
    assert document["checkpoint"].startswith("audit.example.com/test\n")


def test_records_are_found_by_each_field(listener: Any) -> None:
    """Tenant, subject, class, action and type, alone and together."""
    one = listener.remember(tenant="a", action="refuse", subject="p1", **{"class": "A1a"})
    two = listener.remember(tenant="a", action="allow", subject="p2")
    three = listener.remember(tenant="b", action="allow", subject="p1", type="open")

    assert ids(listener) == [one, two, three]
    assert ids(listener, tenant="a") == [one, two]
    assert ids(listener, subject="p1") == [one, three]
    assert ids(listener, **{"class": "A1a"}) == [one]
    assert ids(listener, action="allow") == [two, three]
    assert ids(listener, type="open") == [three]
    assert ids(listener, tenant="b", action="allow", subject="p1") == [three]
    assert ids(listener, tenant="c") == []


def test_a_person_is_found_by_the_sub_of_their_token(listener: Any) -> None:
    """An auditor who knows the provider's user id need not know our pseudonyms."""
    mine = listener.remember(tenant="default", subject="p-default-anna")
    school = listener.remember(tenant="school", subject="p-school-anna")

    assert ids(listener, subject="anna") == [mine]
    assert ids(listener, subject="anna", tenant="school") == [school]
    assert ids(listener, subject="p-default-anna") == [mine]
    assert ids(listener, subject="berta") == []


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-11-21T00:00:00Z", None, [0, 1, 2]),
        ("2026-11-21T04:00:00Z", None, [1, 2]),
        ("2026-11-21T12:00:00+08:00", "2026-11-21T20:00:00+08:00", [1]),
        ("2026-11-21T12:00:00 08:00", "2026-11-21t12:00:00.500000z", [1]),
        (None, "2026-11-21T04:00:00.000001Z", [0, 1]),
        ("1795233600", "1795262400.5", [1]),
        ("1795262400.25", None, [2]),
    ],
)
def test_times_may_be_written_either_way(
    listener: Any, since: str | None, until: str | None, expected: list[int]
) -> None:
    """RFC 3339 with any offset, or seconds; `until` is excluded."""
    records = [listener.remember(t=t) for t in (MORNING, NOON, EVENING)]
    parameters = {"since": since, "until": until}

    found = ids(listener, type="exchange", **{key: value for key, value in parameters.items() if value is not None})

    assert found == [records[position] for position in expected]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-21T00:00:00"}, "since"),
        ({"until": "2026-11-22"}, "until"),
        ({"until": "2026-13-41T00:00:00Z"}, "until"),
        ({"until": "0000-01-01T00:00:00Z"}, "until"),
        ({"since": "-5"}, "since"),
        ({"since": "nan"}, "since"),
        ({"since": "1" * 40}, "since"),
        ({"type": "wish"}, "type"),
        ({"cursor": "abc"}, "cursor"),
        ({"cursor": "-1"}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"tenant": "x" * 300}, "tenant"),
    ],
)
def test_a_bad_query_is_refused_with_the_name_of_the_field(
    listener: Any, parameters: dict[str, str], field: str
) -> None:
    """A problem that says what was expected and repeats nothing."""
    answer = listener.get("/api/records", **parameters)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.text
    assert answer.json()["code"] == "invalid_request"
    for value in parameters.values():
        assert len(value) < 6 or value not in answer.text


def test_pages_follow_each_other_while_the_log_grows(listener: Any) -> None:
    """Every record is seen exactly once, in order."""
    expected = [listener.remember(tenant="a") for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        parameters = {"tenant": "a", "limit": 3} | ({} if cursor is None else {"cursor": cursor})
        page = listener.get("/api/records", **parameters).json()
        seen += [item["id"] for item in page["records"]]
        if len(expected) < 9:
            expected.append(listener.remember(tenant="a"))
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == expected


def test_records_stay_out_of_caches(listener: Any) -> None:
    """No proxy keeps them."""
    assert listener.get("/api/records").headers["cache-control"] == "no-store"
