# SPDX-License-Identifier: Apache-2.0
"""The table view: readable in a spreadsheet, and harmless there."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from audit_log.merkle import leaf_hash
from audit_log.view import CSV_FIELDS, csv_head, csv_line, record_of

FORMULA = "=+-@\t\r\n＝＋－＠"


def cells(index: int, leaf: bytes) -> dict[str, str]:
    text = (csv_head() + csv_line(index, leaf)).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 1
    return rows[0]


def test_a_record_becomes_a_line() -> None:
    """Index, leaf hash, and the fields that people sort by."""
    leaf = json.dumps({"id": "i", "type": "exchange", "class": "A1", "incident": True, "tenant": '甲"乙,\n'}).encode()

    row = cells(7, leaf)
    assert (row["index"], row["leaf_hash"], row["id"]) == ("7", leaf_hash(leaf).hex(), "i")
    assert (row["class"], row["incident"], row["tenant"], row["verdict"]) == ("A1", "true", '甲"乙,\n', "")
    assert set(CSV_FIELDS) < set(row)


@given(st.text(max_size=20), st.sampled_from(CSV_FIELDS))
def test_no_cell_is_a_formula(value: str, name: str) -> None:
    """Whatever a record says, a spreadsheet shows it and does not run it."""
    leaf = json.dumps({name: value}).encode()

    cell = cells(0, leaf)[name]
    assert not cell.startswith(tuple(FORMULA))
    assert cell in (value.replace("\0", ""), "'" + value.replace("\0", ""))


@given(st.binary(max_size=60))
def test_any_leaf_becomes_one_line(leaf: bytes) -> None:
    """Also one that is no record at all."""
    assert cells(1, leaf)["leaf_hash"] == leaf_hash(leaf).hex()


def test_what_is_no_object_is_an_empty_record() -> None:
    """So that a view never fails."""
    assert record_of(b"[1]") == record_of(b"\xff") == record_of(b"[" * 100_000) == {}
