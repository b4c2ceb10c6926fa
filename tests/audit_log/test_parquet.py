# SPDX-License-Identifier: Apache-2.0
"""The view for data tools: every row can be proven, whatever stands in a record."""

import sys
from pathlib import Path

import pytest

from audit_log.merkle import leaf_hash
from audit_log.parquet import ParquetMissing, write_parquet

pyarrow_parquet = pytest.importorskip("pyarrow.parquet")

LEAF = b'{"class":"A1","id":"x","incident":7,"t":"2027-01-15T08:00:00.000001Z","tenant":"=1+1","type":"exchange"}'
STRANGE = (b"no JSON \xff", b"[]", b'{"t":"yesterday","tenant":"\\ud800"}', b'{"t":5}')


def test_rows_have_index_and_hash_times_are_times_and_text_stays_text(tmp_path: Path) -> None:
    """So that a query's result leads back into the log."""
    assert write_parquet(tmp_path / "r.parquet", [(41, LEAF)]) == 1
    (row,) = pyarrow_parquet.read_table(tmp_path / "r.parquet").to_pylist()

    assert (row["index"], row["leaf_hash"], row["leaf"]) == (41, leaf_hash(LEAF).hex(), LEAF.decode())
    assert (row["class"], row["tenant"], row["incident"], row["action"]) == ("A1", "=1+1", "7", None)
    assert row["t"].isoformat() == "2027-01-15T08:00:00.000001+00:00"


def test_what_is_no_record_still_has_its_row(tmp_path: Path) -> None:
    """A damaged leaf must not stop the rest from being looked at."""
    assert write_parquet(tmp_path / "r.parquet", enumerate(STRANGE)) == len(STRANGE)
    rows = pyarrow_parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["leaf_hash"] for row in rows] == [leaf_hash(leaf).hex() for leaf in STRANGE]
    assert [row["t"] for row in rows] == [None] * len(STRANGE)


@pytest.mark.parametrize("count", [0, 16_384, 16_385])
def test_row_groups_are_bounded(tmp_path: Path, count: int) -> None:
    """Memory is that of one of them, and no row is lost between two."""
    assert write_parquet(tmp_path / "r.parquet", ((index, b"{}") for index in range(count))) == count
    file = pyarrow_parquet.ParquetFile(tmp_path / "r.parquet")
    assert file.metadata.num_rows == count
    assert all(file.metadata.row_group(at).num_rows <= 16_384 for at in range(file.metadata.num_row_groups))
    assert file.read(["index"]).column("index").to_pylist() == [*range(count)]


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ParquetMissing, match="export"):
        write_parquet(tmp_path / "r.parquet", [])
    assert [*tmp_path.iterdir()] == []
