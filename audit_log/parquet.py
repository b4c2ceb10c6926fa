# SPDX-License-Identifier: Apache-2.0
"""Records as a Parquet file, for DuckDB, ClickHouse and data frames. A view is never what is verified.

Needs the extra ``export`` (pyarrow), loaded only when a file is made. What must hold: each row carries the index and
the leaf hash, so that whatever a query finds can be proven against the log; memory stays that of one row group.
"""

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from audit_log.errors import AuditError, RecordInvalid
from audit_log.merkle import leaf_hash
from audit_log.record import parse_time_us
from audit_log.view import CSV_FIELDS, record_of

_GROUP = 16_384


class ParquetMissing(AuditError):
    """The package that writes Parquet is not installed; nothing was written."""


def write_parquet(path: Path, records: Iterable[tuple[int, bytes]]) -> int:
    """Write (index, leaf) pairs as a Parquet file; gives the number of rows. Raises ParquetMissing, OSError.

    Columns: ``index`` (int64), ``leaf_hash`` (hex), the fields of the CSV view as text, ``t`` as a time in UTC, and
    ``leaf``, the record's own bytes.
    """
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise ParquetMissing("Parquet needs the package pyarrow: pip install 'dutybound[export]'") from None
    columns = [("index", pyarrow.int64()), ("leaf_hash", pyarrow.string())]
    columns += [(name, pyarrow.timestamp("us", tz="UTC") if name == "t" else pyarrow.string()) for name in CSV_FIELDS]
    schema = pyarrow.schema([*columns, ("leaf", pyarrow.string())])
    count = 0
    rows: list[dict[str, Any]] = []
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for index, leaf in records:
            rows.append(_row(index, leaf))
            count += 1
            if len(rows) == _GROUP:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows.clear()
        if rows or not count:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
    return count


def _row(index: int, leaf: bytes) -> dict[str, Any]:
    record = record_of(leaf)
    row: dict[str, Any] = {"index": index, "leaf_hash": leaf_hash(leaf).hex(), "leaf": leaf.decode("utf-8", "replace")}
    for name in CSV_FIELDS:
        value = record.get(name)
        if name == "t":
            row[name] = _time_us(value)
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            row[name] = text.encode("utf-8", "backslashreplace").decode()
    return row


def _time_us(value: object) -> int | None:
    try:
        return parse_time_us(value)
    except RecordInvalid:
        return None
