# SPDX-License-Identifier: Apache-2.0
"""A log that several machines share, on a real PostgreSQL server: what holds on one machine holds here."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from audit_log import Entry, LogRefused, LogUnavailable, new_record_id
from audit_log.bundle import verify_bundle
from audit_log.export import ExportSource, export_bundle
from audit_log.holds import Approval, HoldScope, propose_hold
from audit_log.keys import load_log_key, read_vkeys
from audit_log.log import create_keys
from audit_log.note import Signer
from audit_log.place import Place
from audit_log.postgres import PostgresStore, PostgresTiles
from audit_log.shared import create_shared_log, open_shared_log, verify_shared_log
from audit_log.spool import SPOOLED
from audit_log.verify import verify_tiles

ORIGIN = "audit.example.com/shared"
ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, os, sys
from pathlib import Path
from audit_log import Entry, new_record_id
from audit_log.shared import open_shared_log

async def main(home, dsn, schema, writer, records):
    log = open_shared_log(home, dsn, schema, writer=writer)
    async def one():
        id_ = new_record_id()
        body = b"text" if id_.endswith("0") else None
        index = await log.append(Entry({"id": id_, "type": "exchange"}, "p", body))
        os.write(1, f"{index} {id_}\\n".encode())
    os.write(1, b"ready\\n")
    while records > 0:
        await asyncio.gather(*(one() for _ in range(20)))
        records -= 20
    await log.aclose()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
"""


@pytest.fixture
def place(tmp_path: Path, postgres_dsn: str, schema: str) -> tuple[Path, str, str]:
    """Home, address and schema of a new, empty log."""
    create_shared_log(tmp_path / "shared", postgres_dsn, schema, origin=ORIGIN, clock=lambda: 1.75e9)
    return tmp_path / "shared", postgres_dsn, schema


def worker(place: tuple[Path, str, str], name: str, records: int) -> "subprocess.Popen[bytes]":
    arguments = [str(part) for part in (*place, name, records)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE, env=environment)


def vkey_of(home: Path) -> str:
    return (home / "log.vkey").read_text().strip()


def entry(body: bytes | None = None) -> Entry:
    return Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p", body)


def test_workers_and_killed_workers_leave_one_log_without_a_gap(place: tuple[Path, str, str]) -> None:
    """Every acknowledged record is under its index, whoever was killed when, and all of it verifies."""
    acknowledged: dict[int, str] = {}
    for number in range(3):
        trio = [worker(place, f"gw-{number}-{which}", 200 if which == 2 else 10**9) for which in range(3)]
        for process in trio:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1 + 0.4 * number)
        for process in trio[:2]:
            process.send_signal(signal.SIGKILL)
        for process in trio:
            output, _ = process.communicate(timeout=60)
            for line in output.decode().splitlines():
                index, _, id_ = line.partition(" ")
                if len(id_) == 36:
                    acknowledged[int(index)] = id_
        assert trio[2].returncode == 0
    open_shared_log(*place, writer="last").close()
    report = verify_shared_log(place[1], place[2], vkey=vkey_of(place[0]))

    assert (report.problems, report.pending, report.open_writers) == ([], 0, 6)
    assert report.bodies > 10
    with Place(*place).reading() as (store, _):
        leaves = [json.loads(leaf)["id"] for leaf in store.leaves(0, report.tree_size)]
    assert len(acknowledged) > 600
    assert all(leaves[index] == id_ for index, id_ in acknowledged.items())
    with Place(*place).reader() as reader:
        found = reader.get(acknowledged[max(acknowledged)])
    assert found is not None and found.proof is not None
    with Place(*place).reading() as (_, tiles):
        assert verify_tiles(tiles.fetch, read_vkeys(place[0])[0]).ok


def test_bodies_holds_erasures_and_exports_work_as_on_one_machine(place: tuple[Path, str, str], tmp_path: Path) -> None:
    """The rest of the package does not know which driver it has."""
    log = open_shared_log(*place, writer="gw")
    one, two = entry(b"one"), entry(b"two")
    for each in (one, two):
        log.append_blocking(each)
    assert log.body(str(one.fields["id"])) == b"one"
    hold = propose_hold(log, HoldScope(subject="p"), "case-1", Approval("a", "legal"))
    assert hold.scope.first_index(log.store) == 1
    log.erase_subject("t", "p", {"basis": "test"})
    assert log.body(str(one.fields["id"])) is None
    log.close()

    home = place[0]
    store = PostgresStore(*place[1:])
    source = ExportSource(
        store, PostgresTiles(store), Signer(ORIGIN, load_log_key(home / "log.key")), read_vkeys(home), None
    )
    export_bundle(source, tmp_path / "b.zip", clock=lambda: 1.8e9, generator="t")
    store.close()
    report = verify_bundle(tmp_path / "b.zip", vkeys=[vkey_of(home)])
    assert (report.problems, report.records, report.erased) == ([], 6, 2)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE leaves SET leaf = leaf || '\\x20' WHERE idx = 2",
        "DELETE FROM leaves WHERE idx = 2",
        "UPDATE rows SET id = gen_random_uuid() WHERE idx = 2",
        "UPDATE bodies SET commitment = 'x'",
        "UPDATE bodies SET id = gen_random_uuid()",
        "UPDATE tiles SET data = data || '\\x20' WHERE path LIKE 'tile/0%'",
        "UPDATE coordination SET next = next + 1",
        "UPDATE coordination SET minimum = 65536",
        "DELETE FROM coordination",
        "DELETE FROM checkpoints WHERE size > 0",
        "DELETE FROM head",
        "DELETE FROM tiles WHERE path = 'checkpoint'",
    ],
)
def test_tampering_with_the_database_is_found(place: tuple[Path, str, str], sql: str) -> None:
    """By somebody who has the database and not the key."""
    log = open_shared_log(*place, writer="gw")
    for number in range(5):
        log.append_blocking(entry(b"body" if number == 1 else None))
    log.close()
    assert verify_shared_log(*place[1:], vkey=vkey_of(place[0])).ok

    async def change() -> None:
        db = await asyncpg.connect(place[1], server_settings={"search_path": place[2]})
        await db.execute(sql)
        await db.close()

    asyncio.run(change())
    assert not verify_shared_log(*place[1:], vkey=vkey_of(place[0])).ok


def test_an_outage_is_spooled_and_made_good(place: tuple[Path, str, str], postgres_dsn: str) -> None:
    """The server cannot be reached for a while; a killed process's spool is taken up by the next."""
    home, dsn, schema = place
    log = open_shared_log(home, dsn, schema, writer="gw", spool_max_bytes=10**6, timeout_s=2)
    assert log.append_blocking(entry()) == 1
    socket = Path(postgres_dsn.split("host=")[1]) / ".s.PGSQL.5432"
    away = socket.with_name("away")
    socket.rename(away)
    try:
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dutybound-audit'"

        async def hang_up() -> None:
            away_dsn = postgres_dsn
            os.link(away, away.with_name(".s.PGSQL.5433"))
            db = await asyncpg.connect(away_dsn, port=5433)
            await db.execute(end)
            await db.close()
            os.unlink(away.with_name(".s.PGSQL.5433"))

        asyncio.run(hang_up())
        assert [log.append_blocking(entry()) for _ in range(3)] == [SPOOLED] * 3
    finally:
        away.rename(socket)
    deadline = time.monotonic() + 20
    while log.append_blocking(entry()) == SPOOLED and time.monotonic() < deadline:
        time.sleep(0.2)
    log.close()
    report = verify_shared_log(dsn, schema, vkey=vkey_of(home))
    assert (report.problems, report.open_writers) == ([], 0)
    assert list((home / "spool").iterdir()) == []


def test_what_cannot_be_opened_says_why(place: tuple[Path, str, str], tmp_path: Path) -> None:
    """Another key, another name, no server; nothing stays open."""
    home, dsn, schema = place
    with pytest.raises(LogRefused):
        create_shared_log(tmp_path / "x", dsn, schema, origin="bad origin")
    with pytest.raises(LogRefused, match="exists already"):
        create_shared_log(tmp_path / "y", dsn, schema, origin=ORIGIN)
    assert not (tmp_path / "y").exists()  # a log that could not be made leaves no keys that a second try would meet
    (tmp_path / "y").mkdir()
    create_keys(tmp_path / "y", ORIGIN)
    with pytest.raises(LogRefused, match="not the key"):
        open_shared_log(tmp_path / "y", dsn, schema, writer="gw")
    with pytest.raises(LogUnavailable):
        verify_shared_log("postgresql://nobody@/x?host=/nowhere", schema, vkey=vkey_of(home))
    assert verify_shared_log(dsn, schema, vkey="x").problems
