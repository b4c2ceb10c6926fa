# SPDX-License-Identifier: Apache-2.0
"""The spool: a database that is away for a while loses nothing, and its absence has a limit."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, LogRefused, LogUnavailable, new_record_id, verify_home
from audit_log.interfaces import Batch, KeysChangedError, NewSubjectKey
from audit_log.record import IndexRow
from audit_log.sealing import new_subject_key, seal_body
from audit_log.spool import SPOOLED, SpoolingStore, _decode, _encode
from audit_log.sqlite import SqliteStore


class Away:
    """A store that can be away; ``half``: it stores and then fails to say so."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.away = False
        self.half = False

    def __getattr__(self, name: str) -> Any:
        if self.away and name not in ("close", "tidy", "meta"):
            raise LogUnavailable("away")
        return getattr(self.inner, name)

    def append(self, batch: Batch) -> int:
        if self.half:
            self.inner.append(batch)
            self.away = True
        if self.away:
            raise LogUnavailable("away")
        return self.inner.append(batch)


class Clock:
    now = 1.8e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def away(home: Path) -> Iterator[Away]:
    inner = SqliteStore(home / "audit.db", home / "audit.lock")
    yield Away(inner)
    inner.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spooling(away: Away, folder: Path, clock: Clock, max_bytes: int = 100_000) -> SpoolingStore:
    return SpoolingStore(away, folder, max_bytes=max_bytes, max_age_s=60, clock=clock)  # type: ignore[arg-type]


def batch(size: int = 1, **changes: Any) -> Batch:
    rows = [IndexRow(new_record_id(), None, "exchange", 1, "t", "p", None, None, False) for _ in range(size)]
    return Batch([f"leaf {one.id}".encode() for one in rows], rows, **changes)


def test_what_cannot_be_stored_waits_and_goes_in_in_its_order(away: Away, tmp_path: Path, clock: Clock) -> None:
    """Before anything newer; then the folder is empty again."""
    store = spooling(away, tmp_path / "spool" / "a", clock)
    batches = [batch(2) for _ in range(4)]
    assert store.append(batches[0]) == 0
    away.away = True
    assert [store.append(one) for one in batches[1:3]] == [SPOOLED, SPOOLED]
    assert store.spooled_bytes > 0
    away.away = False
    assert store.append(batch()) == SPOOLED  # not tried again at once
    clock.now += 2
    assert store.append(batches[3]) == 7
    assert [leaf for one in batches[:3] for leaf in one.leaves] == list(away.inner.leaves(0, 6))
    assert store.spooled_bytes == 0
    store.close()
    assert not (tmp_path / "spool" / "a").exists()


def test_a_batch_that_was_stored_all_the_same_is_not_stored_twice(away: Away, tmp_path: Path, clock: Clock) -> None:
    """The commit worked, and nobody heard of it."""
    store = spooling(away, tmp_path / "spool" / "a", clock)
    away.half = True
    one = batch(3)
    assert (store.append(one), store.find_batch(one)) == (SPOOLED, SPOOLED)
    away.half = away.away = False
    clock.now += 2
    store.tidy()
    assert (away.inner.next_index(), store.spooled_bytes) == (3, 0)


def test_the_spool_has_a_limit(away: Away, tmp_path: Path, clock: Clock) -> None:
    """In bytes, and in time; beyond it the log refuses, and comes back with the database."""
    store = spooling(away, tmp_path / "spool" / "a", clock, max_bytes=600)
    away.away = True
    taken = 0
    with pytest.raises(LogUnavailable, match="spool is full"):
        for _ in range(100):
            store.append(batch())
            taken += 1
    assert 1 < taken < 10
    away.away = False
    clock.now += 2
    assert store.append(batch()) == taken

    away.away = True
    assert store.append(batch()) == SPOOLED
    clock.now += 61
    with pytest.raises(LogUnavailable, match="spool is full"):
        store.append(batch())


def test_what_a_dead_process_left_is_taken_up(away: Away, tmp_path: Path, clock: Clock) -> None:
    """By the next one that starts; not while its process lives."""
    first = spooling(away, tmp_path / "spool" / "a", clock)
    away.away = True
    left = batch(2)
    first.append(left)
    away.away = False
    second = spooling(away, tmp_path / "spool" / "b", clock)
    assert away.inner.next_index() == 0
    first._spool.close()  # as the kernel does when a process dies
    (tmp_path / "spool" / "a" / "000000000001.batch.new").write_bytes(b"unfinished")
    third = spooling(away, tmp_path / "spool" / "c", clock)
    assert list(away.inner.leaves(0, 2)) == list(left.leaves)
    assert not (tmp_path / "spool" / "a").exists()
    second.close()
    third.close()


def test_a_damaged_file_stops_the_start(away: Away, tmp_path: Path, clock: Clock) -> None:
    """Acknowledged records are in it."""
    first = spooling(away, tmp_path / "spool" / "a", clock)
    away.away = True
    first.append(batch())
    away.away = False
    first._spool.close()
    file = tmp_path / "spool" / "a" / "000000000000.batch"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(LogRefused, match="damaged"):
        spooling(away, tmp_path / "spool" / "b", clock)


def test_a_body_whose_key_was_destroyed_is_not_brought_back(away: Away, tmp_path: Path, clock: Clock) -> None:
    """Its leaf goes in; bodies under other keys too."""
    gone, stays, new = new_subject_key(), new_subject_key(), new_subject_key()
    keys = [NewSubjectKey(gone.id, "t", "p", b"1"), NewSubjectKey(stays.id, "t", "q", b"2")]
    away.inner.append(batch(1, new_keys=keys))
    store = spooling(away, tmp_path / "spool" / "a", clock)
    epoch = store.key_epoch()
    away.away = True
    waiting = batch(3)
    bodies = [seal_body(b"x", one.id, key) for one, key in zip(waiting.rows, (gone, stays, new), strict=True)]
    store.append(Batch(waiting.leaves, waiting.rows, bodies, [NewSubjectKey(new.id, "t", "r", b"3")], epoch))
    assert (store.key_epoch(), store.subject_key("t", "q")) == (epoch, None)
    away.away = False
    away.inner.destroy_subject("t", "p")
    clock.now += 2
    store.tidy()

    assert away.inner.next_index() == 4
    assert [away.inner.body(one.id) is None for one in waiting.rows] == [True, False, False]


def test_without_a_word_from_the_database_no_key_is_guessed(away: Away, tmp_path: Path, clock: Clock) -> None:
    """The epoch has to have been read once."""
    away.away = True
    store = spooling(away, tmp_path / "spool" / "a", clock)
    with pytest.raises(LogUnavailable):
        store.key_epoch()


def test_changed_keys_are_the_writers_to_see(away: Away, tmp_path: Path, clock: Clock) -> None:
    """Where the database is there, it answers as it always does."""
    store = spooling(away, tmp_path / "spool" / "a", clock)
    away.inner.destroy_subject("t", "p")
    with pytest.raises(KeysChangedError):
        store.append(batch(1, key_epoch=0))


def test_a_spool_that_cannot_be_written_refuses(away: Away, tmp_path: Path, clock: Clock) -> None:
    """Nothing is acknowledged that is on no disk."""
    store = spooling(away, tmp_path / "spool" / "a", clock)
    away.away = True
    os.rename(tmp_path / "spool" / "a", tmp_path / "gone")
    with pytest.raises(LogUnavailable, match="spool cannot be written"):
        store.append(batch())


def test_a_whole_log_goes_on_through_an_outage(home: Path, away: Away, tmp_path: Path) -> None:
    """Records are acknowledged, bodies too; afterwards everything is in, in order, and verifies."""

    async def run() -> None:
        store = SpoolingStore(
            away, tmp_path / "spool" / "a", max_bytes=10**6, max_age_s=60, clock=lambda: 1.8e9, retry_s=0
        )  # type: ignore[arg-type]
        log = AuditLog.open(home, writer="gw", store=store)  # type: ignore[arg-type]
        entry = lambda body=None: Entry({"id": new_record_id(), "type": "exchange", "tenant": "t"}, "p", body)  # noqa: E731
        assert await log.append(entry(b"before")) == 1
        away.away = True
        during = entry(b"during")
        assert [await log.append(one) for one in (entry(), during, entry())] == [SPOOLED] * 3
        # Neither a group nor what shares a batch with others is told an index that nobody knows yet.
        assert await log.append_many([entry(), entry()]) == [SPOOLED] * 2
        assert await asyncio.gather(*(log.append(entry()) for _ in range(3))) == [SPOOLED] * 3
        away.away = False
        assert await log.append(entry(b"after")) == 10
        assert log.body(str(during.fields["id"])) == b"during"
        await log.aclose()

    asyncio.run(run())
    report = verify_home(home)
    assert (report.problems, report.tree_size, report.bodies) == ([], 12, 3)
    store = SqliteStore(home / "audit.db", home / "audit.lock")
    assert [json.loads(leaf)["wseq"] for leaf in store.leaves(0, 12)] == [str(number) for number in range(12)]
    store.close()


@given(st.lists(st.tuples(st.binary(max_size=40), st.text(max_size=10)), min_size=1, max_size=4), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_batch_survives_the_file(parts: list[tuple[bytes, str]], with_key: bool) -> None:
    """Bytes and words come back as they were; a changed byte is refused."""
    rows = [IndexRow(new_record_id(), None, "exchange", 1, word, None, word, None, True) for _, word in parts]
    key = new_subject_key()
    bodies = [seal_body(data, one.id, key) for (data, _), one in zip(parts, rows, strict=True)]
    keys = [NewSubjectKey(key.id, word, word, data) for data, word in parts] if with_key else []
    whole = Batch([data for data, _ in parts], rows, bodies, keys, 7 if with_key else None)
    data = _encode(whole)

    assert _decode(data) == whole
    with pytest.raises(LogRefused):
        _decode(data[:-1] + bytes([data[-1] ^ 1]))
