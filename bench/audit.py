# SPDX-License-Identifier: Apache-2.0
"""How fast records become durable, and what each costs: one process, 1 to 1,024 waiting, plus verifying the result.

Beside it, in the same run and on the same disk, two yardsticks: the same bytes appended to a plain file with one
fdatasync a batch, and the same bytes put into a bare SQLite table with one transaction a batch.

    python bench/audit.py [--seconds 2] [--home DIR] [--json]
"""

import argparse
import asyncio
import json
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from audit_log import AuditLog, Entry, new_record_id, verify_home

DIGEST = "sha256:" + "0123456789abcdef" * 4
LEVELS = (1, 16, 64, 256, 1024)


def entry() -> Entry:
    """A record as the gateway writes one for a plain answer, about 700 bytes."""
    return Entry(
        {
            "id": new_record_id(),
            "type": "exchange",
            "tenant": "default",
            "wire": "openai_chat",
            "model": "sample-model",
            "status": 200,
            "verdict": "pass",
            "action": "none",
            "duration_ms": 1234,
            "outcome": "complete",
            "policy": {"id": "cn", "version": "2026-11", "digest": DIGEST},
            "filter": {"digest": DIGEST, "prompt": "pass", "answer": "pass"},
            "labels": {"explicit": "start", "implicit": "envelope"},
            "notice": {"mode": "announce", "version": "3", "shown": True},
            "usage": {"prompt": 120, "answer": 480},
            "streamed": False,
        },
        subject="p_3f1c2a5b9d8e7f60",
    )


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))]


async def append_lane(log: AuditLog, waiting: int, seconds: float) -> dict[str, float]:
    """Keep ``waiting`` appends in flight for a while."""
    waits: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while (start := time.perf_counter()) < end:
            await log.append(entry())
            waits.append(time.perf_counter() - start)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(waiting)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    waits.sort()
    return {
        "waiting": waiting,
        "records_s": round(len(waits) / wall),
        "p50_ms": round(percentile(waits, 0.5) * 1e3, 2),
        "p99_ms": round(percentile(waits, 0.99) * 1e3, 2),
        "cpu_us": round(cpu / len(waits) * 1e6, 1),
    }


async def paced_lane(log: AuditLog, per_second: int, seconds: float) -> dict[str, float]:
    """Appends that arrive at an even pace."""
    waits: list[float] = []

    async def one() -> None:
        start = time.perf_counter()
        await log.append(entry())
        waits.append(time.perf_counter() - start)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, begin + number / per_second - time.perf_counter()))
            tasks.create_task(one())
    waits.sort()
    return {
        "per_second": per_second,
        "p50_ms": round(percentile(waits, 0.5) * 1e3, 2),
        "p99_ms": round(percentile(waits, 0.99) * 1e3, 2),
    }


async def caller_side(log: AuditLog) -> float:
    """Microseconds on the event loop's side of an append, the writer thread being kept busy elsewhere."""
    loop = asyncio.get_running_loop()
    entries = [entry() for _ in range(2000)]
    best = float("inf")
    for start in range(0, 2000, 200):
        futures = [loop.create_future() for _ in range(200)]
        cpu = time.thread_time()
        for item, future in zip(entries[start : start + 200], futures, strict=True):
            log._writer.submit((item,), future, loop)
        best = min(best, (time.thread_time() - cpu) / 200)
        await asyncio.gather(*futures)
    return round(best * 1e6, 1)


def bare_lanes(folder: Path, batch: int, seconds: float) -> dict[str, float]:
    """The same bytes, in batches of the same size, with nothing around them."""
    leaf = os.urandom(350).hex().encode()
    done, begin = 0, time.perf_counter()
    with (folder / "bare.log").open("ab", buffering=0) as file:
        while time.perf_counter() - begin < seconds:
            file.write(leaf * batch)
            os.fdatasync(file.fileno())
            done += batch
    fsync = done / (time.perf_counter() - begin)
    done, begin = 0, time.perf_counter()
    with closing(sqlite3.connect(folder / f"bare-{batch}.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE leaves (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL)")
        while time.perf_counter() - begin < seconds:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO leaves(leaf) VALUES (?)", [(leaf,)] * batch)
            db.execute("COMMIT")
            done += batch
    return {"batch": batch, "fdatasync_s": round(fsync), "bare_sqlite_s": round(done / (time.perf_counter() - begin))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.home) as folder:
        home = Path(folder) / "log"
        AuditLog.create(home, "bench.example/audit")

        async def appends() -> dict[str, object]:
            log = AuditLog.open(home, writer="bench", max_pending=100_000)
            found: dict[str, object] = {
                "caller_us": await caller_side(log),
                "append": [await append_lane(log, waiting, options.seconds) for waiting in LEVELS],
                "paced": await paced_lane(log, 1000, options.seconds),
            }
            await log.aclose()
            return found

        result = asyncio.run(appends())
        result["bare"] = [bare_lanes(Path(folder), batch, options.seconds / 2) for batch in (1, 64)]
        begin = time.perf_counter()
        report = verify_home(home)
        seconds = time.perf_counter() - begin
        if not report.ok:
            raise SystemExit(f"the log does not verify: {report.problems}")
        files = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
        with closing(sqlite3.connect(home / "audit.db")) as db:
            leaves = db.execute("SELECT sum(length(leaf)) FROM leaves").fetchone()[0]
        result["verify"] = {"leaves": report.tree_size, "leaves_s": round(report.tree_size / seconds)}
        result["disk"] = {
            "leaf_bytes": round(leaves / report.tree_size),
            "disk_bytes": round(files / report.tree_size),
            "ratio": round(files / leaves, 2),
        }
    if options.json:
        print(json.dumps(result))
        return
    for name, part in result.items():
        for line in part if isinstance(part, list) else [part]:
            print(f"{name:10}", line if not isinstance(line, dict) else "  ".join(f"{k}={v}" for k, v in line.items()))


if __name__ == "__main__":
    main()
