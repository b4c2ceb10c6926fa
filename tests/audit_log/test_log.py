# SPDX-License-Identifier: Apache-2.0
"""The whole log: what is acknowledged stays, whatever happens to processes, disks and files."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit_log import (
    AuditLog,
    BodyErased,
    Entry,
    LogNotInitialised,
    LogRefused,
    LogUnavailable,
    RecordInvalid,
    new_record_id,
    open_reader,
    verify_home,
)
from audit_log.keys import create_log_key
from audit_log.sqlite import SqliteStore

ORIGIN = "audit.example.com/test"
ROOT = Path(__file__).parents[2]
# A worker that appends as fast as it can and says what was acknowledged, one id a line.
WORKER = """
import asyncio, os, sys
from pathlib import Path
from audit_log import AuditLog, Entry, new_record_id

async def main(home, writer, records):
    log = AuditLog.open(home, writer=writer)
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

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


def worker(home: Path, name: str, records: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(home), name, str(records)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def leaves_of(home: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(home / "audit.db")) as db:
        return [json.loads(leaf) for (leaf,) in db.execute("SELECT leaf FROM leaves ORDER BY idx")]


def test_many_tasks_share_batches_and_get_contiguous_indices(home: Path) -> None:
    """A thousand appends at once: each its own index, and the log verifies."""

    async def run() -> list[int]:
        log = AuditLog.open(home, writer="gw")
        entries = [Entry({"id": new_record_id(), "type": "exchange", "n": number}) for number in range(1000)]
        indices = await asyncio.gather(*(log.append(entry) for entry in entries))
        await log.aclose()
        return indices

    indices = asyncio.run(run())
    leaves = leaves_of(home)

    assert list(range(1, 1001)) == sorted(indices)
    assert [leaves[index]["n"] for index in indices] == list(range(1000))
    assert [leaves[0]["type"], leaves[500]["type"], leaves[1001]["type"]] == ["boot", "exchange", "shutdown"]
    assert [str(number) for number in range(1002)] == [leaf["wseq"] for leaf in leaves]
    report = verify_home(home)
    assert (report.ok, report.tree_size, report.published_size, report.open_writers) == (True, 1002, 1002, 0)


def test_several_records_are_appended_as_one(home: Path) -> None:
    """Next to each other, and none at all where one is wrong."""

    async def run() -> None:
        log = AuditLog.open(home, writer="gw", publish=False)
        entries = [Entry({"id": new_record_id(), "type": "exchange"}) for _ in range(3)]
        assert await log.append_many(entries) == [1, 2, 3]
        assert await log.append_many([]) == []
        with pytest.raises(RecordInvalid):
            await log.append_many([*entries, Entry({"id": new_record_id(), "type": "exchange", "score": 0.5})])
        assert await log.append(entries[0]) == 4
        await log.aclose()

    asyncio.run(run())


def test_boot_and_shutdown_tell_of_the_process(home: Path) -> None:
    """With what the caller adds; each start has a new writer."""
    for version in ("1", "2"):
        AuditLog.open(home, writer="gw-3", boot={"version": version}).close()
    leaves = leaves_of(home)

    assert [leaf["type"] for leaf in leaves] == ["boot", "shutdown"] * 2
    assert [leaf["version"] for leaf in leaves if leaf["type"] == "boot"] == ["1", "2"]
    writers = {leaf["writer"] for leaf in leaves}
    assert len(writers) == 2
    assert all(writer.startswith("gw-3/") for writer in writers)


def test_a_closed_log_takes_nothing(home: Path) -> None:
    """And closing twice is once."""
    log = AuditLog.open(home, writer="gw")
    log.close()
    log.close()
    with pytest.raises(LogUnavailable):
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))

    assert len(leaves_of(home)) == 2


def test_a_process_that_does_not_publish_leaves_that_to_another(home: Path) -> None:
    """The shutdown record of the last to leave is covered all the same."""
    first, second = AuditLog.open(home, writer="a"), AuditLog.open(home, writer="b")
    first._publish_once()
    second._publish_once()
    assert (first.status().is_publisher, second.status().is_publisher) == (True, False)
    first.close()
    second.close()
    report = verify_home(home)

    assert (report.ok, report.tree_size, report.published_size) == (True, 4, 4)


def test_a_checkpoint_follows_within_seconds(home: Path) -> None:
    """By the publisher's own thread."""
    log = AuditLog.open(home, writer="gw")
    deadline = time.monotonic() + 20
    while log.status().published_size < 1 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert log.status().published_size == 1
    assert log.status().problem is None
    log.close()


def test_workers_in_several_processes_share_one_log(home: Path) -> None:
    """Contiguous indices, each acknowledged record under its index, and a log that verifies."""
    workers = [worker(home, f"gw-{number}", 300) for number in range(3)]
    acknowledged: dict[int, str] = {}
    for process in workers:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        lines = [line.split() for line in output.decode().splitlines()[1:]]
        assert len(lines) == 300
        acknowledged.update((int(index), id_) for index, id_ in lines)
    leaves = leaves_of(home)

    assert len(acknowledged) == 900
    assert len(leaves) == 906
    assert all(leaves[index]["id"] == id_ for index, id_ in acknowledged.items())
    report = verify_home(home)
    assert (report.ok, report.published_size, report.writers, report.open_writers) == (True, 906, 3, 0)


def test_killed_processes_lose_nothing_that_was_acknowledged(home: Path) -> None:
    """SIGKILL in the middle of the writing, again and again, the publisher among them."""
    acknowledged: dict[int, str] = {}
    for number in range(4):
        pair = [worker(home, f"gw-{number}-{which}", 10**9) for which in range(2)]
        for process in pair:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.4 * number)
        for process in pair:
            process.send_signal(signal.SIGKILL)
        for process in pair:
            output, _ = process.communicate(timeout=60)
            for line in output.decode().splitlines():
                index, _, id_ = line.partition(" ")
                if len(id_) == 36:
                    acknowledged[int(index)] = id_
        report = verify_home(home)
        assert report.problems == []
    AuditLog.open(home, writer="last").close()
    leaves, report = leaves_of(home), verify_home(home)

    assert len(acknowledged) > 50
    assert all(leaves[index]["id"] == id_ for index, id_ in acknowledged.items())
    assert (True, len(leaves), 8) == (report.ok, report.published_size, report.open_writers)


def test_a_disk_that_fails_and_comes_back(home: Path) -> None:
    """Waiters hear of it, nothing is half-acknowledged, and the log goes on without a gap."""

    class Flaky(sqlite3.Connection):
        broken = False

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if Flaky.broken and sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, *values)

    async def run() -> None:
        store = SqliteStore(home / "audit.db", home / "audit.lock", connection=Flaky)
        log = AuditLog.open(home, writer="gw", store=store)
        entries = [Entry({"id": new_record_id(), "type": "exchange"}, "p", b"body") for _ in range(30)]
        await asyncio.gather(*(log.append(entry) for entry in entries[:10]))
        Flaky.broken = True
        failed = await asyncio.gather(*(log.append(entry) for entry in entries[10:20]), return_exceptions=True)
        assert [LogUnavailable] * 10 == [type(error) for error in failed]
        log._publish_once()
        assert log.status().problem is None
        Flaky.broken = False
        assert set(range(11, 21)) == set(await asyncio.gather(*(log.append(entry) for entry in entries[20:])))
        assert (log.status().appended, log.status().failed, log.status().pending) == (21, 10, 0)
        await log.aclose()

    asyncio.run(run())
    report = verify_home(home)
    assert (report.ok, report.published_size, report.bodies) == (True, 22, 20)


def test_a_log_that_cannot_be_published_takes_nothing_more(home: Path) -> None:
    """Answers whose records no checkpoint will ever cover must not leave."""
    log = AuditLog.open(home, writer="gw", publish=False)
    log._publish_from(home / "publisher.lock")
    log._stop_publishing()
    (home / "tiles" / "tile" / "0").mkdir(parents=True)
    (home / "tiles" / "tile" / "0" / "000.p").mkdir()
    (home / "tiles" / "tile" / "0" / "000.p" / "1").write_bytes(b"other")
    log._publish_once()

    assert "differs" in (log.problem or "")
    assert log.problem == log.status().problem
    with pytest.raises(LogUnavailable, match="no checkpoint"):
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    with pytest.raises(LogUnavailable):
        log.close()


def test_an_unexpected_error_of_the_publisher_is_not_swallowed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that dies unseen would let the log run on unsigned."""
    log = AuditLog.open(home, writer="gw", publish=False)
    log._publish_from(home / "publisher.lock")
    log._stop_publishing()
    monkeypatch.setattr(log._publisher, "step", lambda: 1 // 0)
    log._publish_once()

    assert "ZeroDivisionError" in (log.status().problem or "")
    with pytest.raises(LogUnavailable):
        log.close()


def test_bodies_can_be_forgotten_and_leaves_stay_proven(home: Path) -> None:
    """The erasure record names the key, not the person; other people's bodies stay."""
    log = AuditLog.open(home, writer="gw")
    mine = [Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p_me", b"my text") for _ in range(2)]
    yours = Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p_you", b"your text")
    for entry in (*mine, yours):
        log.append_blocking(entry)
    assert log.body(str(mine[0].fields["id"])) == b"my text"
    keys = log.erase_subject("t", "p_me", {"basis": "request"})

    assert len(keys) == 1
    assert log.body(str(mine[0].fields["id"])) is None
    assert log.body(str(yours.fields["id"])) == b"your text"
    assert log.search(subject="p_me").rows == ()
    again = Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p_me", b"new text")
    log.append_blocking(again)
    assert log.body(str(again.fields["id"])) == b"new text"
    log.close()
    erasure = next(leaf for leaf in leaves_of(home) if leaf["type"] == "erasure")
    assert (keys, "request") == (erasure["keys"], erasure["basis"])
    assert "p_me" not in json.dumps(leaves_of(home))
    assert verify_home(home).ok


def test_an_erasure_tells_others_whose_records_go(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, before the names are gone; where they cannot forget, nothing is erased, so it is tried again."""
    monkeypatch.setattr("audit_log.log._PAGE", 2)
    log = AuditLog.open(home, writer="gw")
    mine = [Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p", b"text") for _ in range(5)]
    for entry in [*mine, Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "q", b"text")]:
        log.append_blocking(entry)

    def refuse(record_ids: Sequence[str]) -> None:
        raise OSError("away")

    log.forgetting = refuse
    with pytest.raises(OSError, match="away"):
        log.erase_subject("t", "p", {})
    assert len(log.search(subject="p").rows) == 5
    told: list[str] = []
    log.forgetting = told.extend
    log.erase_subject("t", "p", {})
    assert told == [entry.fields["id"] for entry in mine]
    assert log.search(subject="p").rows == ()
    log.close()


def test_an_erasure_in_another_process_is_seen_before_the_next_body(home: Path) -> None:
    """A cached key that was destroyed meanwhile seals nothing."""
    one, two = AuditLog.open(home, writer="a", publish=False), AuditLog.open(home, writer="b", publish=False)
    one.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}, "p", b"first"))
    two.erase_subject(None, "p", {})
    after = Entry({"id": new_record_id(), "type": "exchange"}, "p", b"second")
    one.append_blocking(after)

    assert two.body(str(after.fields["id"])) == b"second"
    one.close()
    two.close()


def test_an_erasure_cut_short_is_recorded_by_the_next_start(home: Path) -> None:
    """A crash between destroying and recording."""
    log = AuditLog.open(home, writer="gw")
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}, "p", b"text"))
    keys = log._store.destroy_subject("", "p")
    log.close()
    AuditLog.open(home, writer="gw").close()
    AuditLog.open(home, writer="gw").close()

    assert [keys] == [leaf["keys"] for leaf in leaves_of(home) if leaf["type"] == "erasure"]


def test_a_body_without_its_master_key_stays_shut(home: Path) -> None:
    """A copy of the database alone reveals nothing."""
    log = AuditLog.open(home, writer="gw")
    entry = Entry({"id": new_record_id(), "type": "exchange"}, None, b"text of nobody")
    log.append_blocking(entry)
    log.reader._master_key = None
    with pytest.raises(BodyErased):
        log.body(str(entry.fields["id"]))
    log.close()

    assert all(b"text of nobody" not in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_the_log_can_be_read_beside_its_writers(home: Path) -> None:
    """For the command line: no boot record, no lock taken."""
    log = AuditLog.open(home, writer="gw", publish=False)
    reader, store = open_reader(home)

    assert [row.index for row in reader.search().rows] == [0]
    assert reader.size() == 1
    store.close()
    log.close()
    with pytest.raises(LogNotInitialised):
        open_reader(home / "nowhere")


def test_a_log_is_created_once(home: Path) -> None:
    """Never over another one, and never over its remains."""
    with pytest.raises(LogRefused, match="already"):
        AuditLog.create(home, ORIGIN)
    (home / "audit.db").unlink()
    kept = (home / "log.key").read_bytes()
    with pytest.raises(LogRefused, match="exists"):
        AuditLog.create(home, ORIGIN)

    assert kept == (home / "log.key").read_bytes()


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb"])
def test_an_origin_names_a_log_for_ever(tmp_path: Path, origin: str) -> None:
    """So it has to be a name that notes can carry."""
    with pytest.raises(LogRefused, match="origin"):
        AuditLog.create(tmp_path, origin)

    assert list(tmp_path.iterdir()) == []


def test_creating_gives_the_verifier_key(tmp_path: Path) -> None:
    """The same that lies in log.vkey."""
    vkey = AuditLog.create(tmp_path / "new" / "home", ORIGIN)

    assert vkey.startswith(ORIGIN + "+")
    assert vkey + "\n" == (tmp_path / "new" / "home" / "log.vkey").read_text()


@pytest.mark.parametrize("missing", ["audit.db", "audit.lock", "log.key", "body.key"])
def test_a_home_without_its_parts_is_not_opened(home: Path, missing: str) -> None:
    """Starting never creates what is missing."""
    (home / missing).unlink()
    with pytest.raises(LogNotInitialised, match=missing):
        AuditLog.open(home, writer="gw")

    assert not (home / missing).exists()


def restore_old_database(home: Path) -> None:
    for file in home.glob("audit.db*"):
        file.unlink()
    shutil.copy(home.parent / "old.db", home / "audit.db")


def use_another_key(home: Path) -> None:
    (home / "log.key").unlink()
    create_log_key(home / "log.key")


def drop_last_leaf(home: Path) -> None:
    change(home, "DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)")


def drop_all_leaves(home: Path) -> None:
    change(home, "UPDATE coordination SET next = 1")


def drop_published(home: Path) -> None:
    (home / "tiles" / "checkpoint").unlink()


def drop_head(home: Path) -> None:
    change(home, "DELETE FROM head")


def change_last_leaf(home: Path) -> None:
    change(home, "UPDATE leaves SET leaf = x'7b7d' WHERE idx = (SELECT max(idx) FROM leaves)")


def change_last_tile(home: Path) -> None:
    tile = max((home / "tiles" / "tile" / "0").glob("000.p/*"), key=lambda file: int(file.name))
    tile.write_bytes(bytes(len(tile.read_bytes())))


def set_clock_ahead(home: Path) -> None:
    change(home, "UPDATE coordination SET seen_at = seen_at + 100000000")


def change(home: Path, sql: str) -> None:
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute(sql)
        db.commit()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (restore_old_database, "old database was restored"),
        (use_another_key, "not the key"),
        (drop_last_leaf, "audit verify"),
        (drop_all_leaves, "old copy"),
        (drop_published, "missing"),
        (drop_head, "lock row"),
        (change_last_leaf, "audit verify"),
        (change_last_tile, "audit verify"),
        (set_clock_ahead, "clock"),
    ],
)
def test_a_log_that_could_fork_is_not_opened(home: Path, harm: Callable[[Path], None], words: str) -> None:
    """With the fact and the next step, and without a change to what is there."""
    AuditLog.open(home, writer="gw").close()
    shutil.copy(home / "audit.db", home.parent / "old.db")
    AuditLog.open(home, writer="gw").close()
    harm(home)
    before = (home / "audit.db").read_bytes()
    with pytest.raises(LogRefused, match=words):
        AuditLog.open(home, writer="gw")

    assert before == (home / "audit.db").read_bytes()


def test_a_clock_slightly_behind_is_no_reason(home: Path, clock: Any) -> None:
    """Seconds of drift happen."""
    AuditLog.open(home, writer="gw", clock=clock).close()
    clock.now -= 3
    AuditLog.open(home, writer="gw", clock=clock).close()
    clock.now -= 10
    with pytest.raises(LogRefused, match="2027-01-15T07:59:47"):
        AuditLog.open(home, writer="gw", clock=clock)
