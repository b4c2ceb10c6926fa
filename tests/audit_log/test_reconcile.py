# SPDX-License-Identifier: Apache-2.0
"""A bill and the log are held against each other: what only one of them knows is named, and nothing twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, new_record_id
from audit_log.commands import reconciliation
from audit_log.reconcile import BillInvalid, Call, _match, _Told, read_bill, reconcile
from audit_log.record import format_time

NOW = 1.8e9


@pytest.fixture
def log(home: Path) -> Iterator[AuditLog]:
    opened = AuditLog.open(home, writer="gw", clock=lambda: NOW, publish=False)
    yield opened
    opened.close()


def tell(
    log: AuditLog, at: float, *, id_: str = "", tokens: int = 7, type_: str = "exchange", status: int = 200
) -> str:
    record = new_record_id()
    fields: dict[str, object] = {"model": "m", "upstream_status": status, "tokens": {"in": 3, "out": tokens - 3}}
    if id_:
        fields["upstream_id"] = id_
    log.append_blocking(Entry({"id": record, "type": type_, "t": format_time(at), **fields}))
    return record


def test_calls_and_records_are_matched_by_id_then_by_model_tokens_and_time(log: AuditLog) -> None:
    """Plain answers and ended streams count; what the model refused does not; each record serves one call."""
    tell(log, NOW, id_="req-1", tokens=9)
    tell(log, NOW + 10, type_="close")
    missing = tell(log, NOW + 20)
    tell(log, NOW + 30, status=429)
    bill = [
        "Time,Model,Request_ID,Input_Tokens,Output_Tokens",
        f"{NOW + 2},other-name,req-1,1,1",
        "2027-01-15T08:00:12Z,m,,3,4",
        f"{NOW + 5000},m,,3,4",
        "yesterday,m,,3,4",
    ]
    found = reconcile(log.store, read_bill(bill), since=NOW, until=NOW + 6000)

    assert (found["calls"], found["records"], found["matched"]) == (3, 3, 2)
    assert found["only_bill"] == [{"line": 4, "t": format_time(NOW + 5000)}]
    assert [one["record"] for one in found["only_log"]] == [missing]  # type: ignore[attr-defined]
    assert (found["unreadable"], found["ok"]) == ([5], False)
    assert (found["tokens_bill"], found["tokens_log"]) == (16, 23)
    json.dumps(found)


def test_a_bill_that_agrees_is_said_to(log: AuditLog, home: Path, tmp_path: Path) -> None:
    """By file, with a byte order mark, and the range of the bill itself."""
    for second in range(5):
        tell(log, NOW + second)
    lines = "".join(f"{format_time(NOW + second + 1)},m,,7\r\n" for second in range(5))
    (tmp_path / "bill.csv").write_text("\ufefftime,model,id,tokens\r\n" + lines, encoding="utf-8")
    found = reconciliation(home, tmp_path / "bill.csv")

    assert found["ok"] is True
    assert found["matched"] == 5


def test_a_bill_without_times_cannot_be_read() -> None:
    """It is said which columns are understood."""
    with pytest.raises(BillInvalid, match="time, timestamp"):
        list(read_bill(["model,tokens", "m,1"]))
    with pytest.raises(BillInvalid):
        list(read_bill([]))
    with pytest.raises(BillInvalid, match="line"):
        list(read_bill(["time,model", '1,"' + "x" * 200_000 + '"']))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2)), max_size=25),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2)), max_size=25),
)
def test_each_call_and_each_record_is_counted_once(called: list[tuple[int, int]], told: list[tuple[int, int]]) -> None:
    """Whatever the two sides hold: matched plus left over is all, on both sides, and no pair is further apart."""
    calls = [Call(line, float(at), "m", "", tokens) for line, (at, tokens) in enumerate(called)]
    records = [_Told(str(at), i, float(at), "m", "", tokens) for i, (at, tokens) in enumerate(sorted(told))]
    left = _match(calls, records, 5.0)
    taken = [one for one in records if one.is_taken]

    assert len(calls) - len(left) == len(taken)
    for one in taken:
        assert any(call.tokens == one.tokens and abs((call.time_s or 0) - one.time_s) <= 5 for call in calls)
    for call in left:  # nothing that would still fit was left over on both sides
        assert not any(
            not one.is_taken and one.tokens == call.tokens and abs(one.time_s - (call.time_s or 0)) <= 5
            for one in records
        )
