# SPDX-License-Identifier: Apache-2.0
"""What a crash leaves behind: streams that began and whose end nobody wrote down.

A process that was killed cannot write its closing records, so the next start does: each stream that has an opening
record and no closing one gets a closing record that says `crashed`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import structlog

from audit_log import AuditLog, Entry, FoundRow, new_record_id

log = structlog.get_logger("dutybound.recovery")

_MARK = "closed-up-to"
_BATCH = 500


async def close_crashed(audit: AuditLog, home: Path, before: int | None, *, writer: str = "") -> int:
    """Close what crashed before leaf `before` (None: before now); gives how many there were.

    With `writer` only the streams of the process that had this name and died, while others go on. Without it no other
    process may be serving; then `home` keeps the index up to which nothing is open, so that the next start does not
    read the whole history again. A mark that is lost or old only costs time.
    """
    if before == 0:
        return 0
    mark = home / _MARK
    size = await asyncio.to_thread(audit.reader.size) if before is None else before
    start = await asyncio.to_thread(_read, mark)
    rows = list(await asyncio.to_thread(audit.reader.unclosed, start, size))
    if writer:
        rows = [row for row in rows if await asyncio.to_thread(_is_of, audit, row, writer)]
    for first in range(0, len(rows), _BATCH):
        await audit.append_many([_closing(row) for row in rows[first : first + _BATCH]])
    if rows:
        log.warning("crashed_streams_closed", count=len(rows))
    if not writer:
        await asyncio.to_thread(mark.write_text, f"{size}\n")
    return len(rows)


def _is_of(audit: AuditLog, row: FoundRow, writer: str) -> bool:
    """Whether an earlier process with this name wrote the record; the part behind the slash tells processes apart."""
    author: str = orjson.loads(audit.reader.leaf(row.index))["writer"]
    return author.partition("/")[0] == writer and author != audit.writer


def _closing(row: FoundRow) -> Entry:
    fields: dict[str, object] = {
        "id": new_record_id(),
        "type": "close",
        "exchange": row.row.id,
        "outcome": "crashed",
        "verdict": "error",
        "action": "stop",
    }
    if row.row.tenant is not None:
        fields["tenant"] = row.row.tenant
    return Entry(fields, subject=row.row.subject)


def _read(mark: Path) -> int:
    try:
        return max(0, int(mark.read_text()))
    except (OSError, ValueError):
        return 0
