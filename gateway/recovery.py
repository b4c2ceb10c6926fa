# SPDX-License-Identifier: Apache-2.0
"""What a crash leaves behind: streams that began and whose end nobody wrote down.

A process that was killed cannot write its closing records, so another one does: each stream that has an opening record
and no closing one gets a closing record that says `crashed`. On one machine the next start does it. Where several
machines write one log, any process does it for a writer that the log's server says is gone: a machine that was lost
may never start again, and one that starts must not close what others are streaming.
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
    await _close(audit, rows)
    if not writer:
        await asyncio.to_thread(mark.write_text, f"{size}\n")
    return len(rows)


async def close_abandoned(audit: AuditLog, home: Path) -> int:
    """Close the streams of writers that are gone, whichever machine they ran on; gives how many there were.

    Two processes may close the same stream at the same time: two records then say the same. `home` keeps the index up
    to which nothing is open.
    """
    mark = home / _MARK
    size = await asyncio.to_thread(audit.reader.size)
    start = await asyncio.to_thread(_read, mark)
    rows = list(await asyncio.to_thread(audit.reader.unclosed, start, size))
    alive: dict[str, bool] = {audit.writer: True}
    gone: list[FoundRow] = []
    first_open = size
    for row in rows:
        author = await asyncio.to_thread(_author, audit, row)
        if author not in alive:
            alive[author] = await asyncio.to_thread(audit.is_alive, author)
        if alive[author]:
            first_open = min(first_open, row.index)
        else:
            gone.append(row)
    await _close(audit, gone)
    await asyncio.to_thread(mark.write_text, f"{first_open}\n")
    return len(gone)


async def _close(audit: AuditLog, rows: list[FoundRow]) -> None:
    for first in range(0, len(rows), _BATCH):
        await audit.append_many([_closing(row) for row in rows[first : first + _BATCH]])
    if rows:
        log.warning("crashed_streams_closed", count=len(rows))


def _is_of(audit: AuditLog, row: FoundRow, writer: str) -> bool:
    """Whether an earlier process with this name wrote the record; the part behind the slash tells processes apart."""
    author = _author(audit, row)
    return author.partition("/")[0] == writer and author != audit.writer


def _author(audit: AuditLog, row: FoundRow) -> str:
    author: str = orjson.loads(audit.reader.leaf(row.index))["writer"]
    return author


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
