# SPDX-License-Identifier: Apache-2.0
"""Records as a table for people who work with spreadsheets. A view is never what is verified: it follows from leaves.

RFC 4180 with every cell quoted, in UTF-8 with a byte order mark, because the spreadsheets that auditors use read
Chinese wrongly without one. What must hold: no cell can be taken for a formula; the same leaf always gives the same
line, so that a verifier can compare the file byte for byte.
"""

import json

from audit_log.merkle import leaf_hash

CSV_FIELDS = ("id", "type", "t", "tenant", "exchange", "class", "verdict", "action", "incident", "writer", "wseq")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MARK = "\ufeff"


def csv_head() -> bytes:
    """The first line of the table, after the byte order mark."""
    return (_MARK + _csv_cells(("index", "leaf_hash", *CSV_FIELDS))).encode()


def csv_line(index: int, leaf: bytes) -> bytes:
    """The line of one record, ending in CRLF."""
    record = record_of(leaf)
    cells = [str(index), leaf_hash(leaf).hex()]
    for name in CSV_FIELDS:
        value = record.get(name)
        cells.append(value if isinstance(value, str) else "" if value is None else json.dumps(value))
    return _csv_cells(cells).encode("utf-8", "backslashreplace")


def record_of(leaf: bytes) -> dict[str, object]:
    """The record that a leaf spells; empty where it spells none."""
    try:
        record = json.loads(leaf)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _csv_cells(cells: "list[str] | tuple[str, ...]") -> str:
    safe = (f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
    return ",".join('"' + cell.replace('"', '""').replace("\x00", "") + '"' for cell in safe) + "\r\n"
