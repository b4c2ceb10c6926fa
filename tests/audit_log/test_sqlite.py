# SPDX-License-Identifier: Apache-2.0
"""The SQLite driver: all or nothing, contiguous, durable, and usable again after the disk failed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit_log import AuditLog, verify_home
from audit_log.errors import LogNotInitialised, LogRefused, LogUnavailable
from audit_log.interfaces import Batch, KeysChangedError, NewSubjectKey, Query
from audit_log.record import IndexRow, new_record_id
from audit_log.sealing import new_subject_key, seal_body
from audit_log.sqlite import SqliteStore


def row(subject: str | None = None, exchange: str | None = None, type_: str = "exchange", t_us: int = 1) -> IndexRow:
    return IndexRow(new_record_id(), exchange, type_, t_us, "t", subject, None, None, False)


def batch(size: int, **changes: Any) -> Batch:
    rows = [row() for _ in range(size)]
    return Batch([f"leaf {one.id}".encode() for one in rows], rows, **changes)


class Breaking(sqlite3.Connection):
    """A connection that fails as the disk does, before or after it did what was asked."""

    fail_before: str | None = None
    fail_after: str | None = None

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if Breaking.fail_before is not None and sql.startswith(Breaking.fail_before):
            raise sqlite3.OperationalError("disk I/O error")
        cursor = super().execute(sql, *values)
        if Breaking.fail_after is not None and sql.startswith(Breaking.fail_after):
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


@pytest.fixture
def breaking(home: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(home / "audit.db", home / "audit.lock", connection=Breaking)
    yield opened
    Breaking.fail_before = Breaking.fail_after = None
    opened.close()


@pytest.mark.parametrize("size", [1, 2, 3, 63, 255, 256, 257, 700])
def test_a_batch_of_any_size_is_stored_in_order(store: SqliteStore, size: int) -> None:
    """Whatever statements it is cut into."""
    first, second = batch(2), batch(size)

    assert (store.append(first), store.append(second)) == (0, 2)
    assert [*first.leaves, *second.leaves] == list(store.leaves(0, size + 2))
    assert size + 2 == store.next_index()
    found = store.search(Query(), -1, 10_000)
    assert list(range(size + 2)) == [one.index for one in found]
    assert [*first.rows, *second.rows] == [one.row for one in found]


def test_leaves_are_read_in_ranges_and_stop_at_a_gap(store: SqliteStore, home: Path) -> None:
    """A missing leaf is never skipped over."""
    stored = batch(600)
    store.append(stored)

    assert list(stored.leaves[250:520]) == list(store.leaves(250, 520))
    assert list(store.leaves(600, 600)) == []
    assert list(stored.leaves[590:]) == list(store.leaves(590, 700))
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute("DELETE FROM leaves WHERE idx = 300")
        db.commit()
    assert list(stored.leaves[280:300]) == list(store.leaves(280, 400))


@pytest.mark.parametrize(
    "statement", ["BEGIN", "INSERT INTO leaves", "INSERT INTO rows", "UPDATE coordination", "COMMIT"]
)
def test_a_step_that_fails_stores_nothing(breaking: SqliteStore, statement: str) -> None:
    """And the same batch can be stored once the disk is back."""
    breaking.append(batch(3))
    again = batch(5)
    Breaking.fail_before = statement
    with pytest.raises(LogUnavailable):
        breaking.append(again)
    Breaking.fail_before = None

    assert breaking.find_batch(again) is None
    assert breaking.append(again) == 3
    assert breaking.next_index() == 8


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO leaves", "INSERT INTO rows", "UPDATE coordination"])
def test_a_step_that_worked_but_said_it_failed_stores_nothing(breaking: SqliteStore, statement: str) -> None:
    """Everything before the commit is taken back."""
    again = batch(5)
    Breaking.fail_after = statement
    with pytest.raises(LogUnavailable):
        breaking.append(again)
    Breaking.fail_after = None

    assert breaking.find_batch(again) is None
    assert breaking.append(again) == 0


def test_a_commit_that_worked_but_said_it_failed_is_found(breaking: SqliteStore) -> None:
    """So that nobody stores the same records twice."""
    breaking.append(batch(3))
    stored = batch(5)
    Breaking.fail_after = "COMMIT"
    with pytest.raises(LogUnavailable):
        breaking.append(stored)
    Breaking.fail_after = None

    assert breaking.find_batch(stored) == 3
    assert breaking.append(batch(1)) == 8


def test_after_a_failure_the_wal_is_folded_before_the_next_write(breaking: SqliteStore, home: Path) -> None:
    """A later good sync must not stand on frames that an earlier one failed to bring to the disk."""
    breaking.append(batch(50))
    assert (home / "audit.db-wal").stat().st_size > 0
    Breaking.fail_before = "COMMIT"
    with pytest.raises(LogUnavailable):
        breaking.append(batch(1))
    Breaking.fail_before = "INSERT INTO leaves"
    with pytest.raises(LogUnavailable):
        breaking.append(batch(1))

    assert (home / "audit.db-wal").stat().st_size == 0


def test_while_the_wal_cannot_be_folded_nothing_is_acknowledged(breaking: SqliteStore, home: Path) -> None:
    """Fail closed: a reader that holds old pages keeps writes out until it ends."""
    breaking.append(batch(50))
    with closing(sqlite3.connect(home / "audit.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM leaves").fetchone()
        breaking.append(batch(1))
        Breaking.fail_before = "COMMIT"
        with pytest.raises(LogUnavailable):
            breaking.append(batch(1))
        Breaking.fail_before = None
        with pytest.raises(LogUnavailable):
            breaking.append(batch(1))
        reader.execute("ROLLBACK")

    assert breaking.append(batch(1)) == 51


def test_a_full_disk_is_reported_and_survived(home: Path) -> None:
    """SQLITE_FULL from SQLite itself."""

    class Small(sqlite3.Connection):
        pages = 60

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                super().execute(f"PRAGMA max_page_count={Small.pages}")
            return super().execute(sql, *values)

    with closing(SqliteStore(home / "audit.db", home / "audit.lock", connection=Small)) as store:
        stored = 0
        with pytest.raises(LogUnavailable, match="SQLITE_FULL"):
            for _ in range(50):
                store.append(batch(64))
                stored += 64

        assert stored == store.next_index()
        Small.pages = 100_000
        assert stored == store.append(batch(64))


def test_the_head_moves_by_compare_and_swap(store: SqliteStore) -> None:
    """Whoever knows the wrong head changes nothing; every checkpoint is kept."""
    first = store.head()

    assert not store.swap_head(b"other", b"new", 1, 5.0)
    assert first == store.head()
    assert store.swap_head(first, b"new", 1, 2_000_000_000.0)
    assert not store.swap_head(first, b"third", 2, 5.0)
    assert store.head() == b"new"
    assert [(0, first), (1, b"new")] == list(store.checkpoints())
    assert store.seen_at() == 2_000_000_000.0


def test_the_time_seen_only_moves_forward(store: SqliteStore) -> None:
    """A clock that was set back cannot hide."""
    store.mark_seen(1_900_000_000.0)
    store.mark_seen(1_850_000_000.0)

    assert store.seen_at() == 1_900_000_000.0


def test_rows_are_found_by_each_of_their_fields(store: SqliteStore) -> None:
    """Alone and together, in order, from a cursor on."""
    rows = [
        IndexRow(new_record_id(), None, "exchange", 10, "a", "p1", None, "allow", False),
        IndexRow(new_record_id(), None, "open", 20, "a", "p2", None, None, False),
        IndexRow(new_record_id(), new_record_id(), "close", 30, "b", "p1", "A1", "stop", True),
        IndexRow(new_record_id(), None, "boot", 40, None, None, None, None, False),
    ]
    store.append(Batch([one.id.encode() for one in rows], rows))
    for query, wanted in (
        (Query(), [0, 1, 2, 3]),
        (Query(since_us=20), [1, 2, 3]),
        (Query(until_us=20), [0]),
        (Query(since_us=20, until_us=31), [1, 2]),
        (Query(tenant="a"), [0, 1]),
        (Query(subject="p1"), [0, 2]),
        (Query(subject="p1", tenant="b"), [2]),
        (Query(class_="A1"), [2]),
        (Query(action="stop"), [2]),
        (Query(type="boot"), [3]),
        (Query(incident=True), [2]),
        (Query(incident=False), [0, 1, 3]),
        (Query(tenant="x' OR 1=1 --"), []),
    ):
        assert wanted == [one.index for one in store.search(query, -1, 10)], query
    assert [one.index for one in store.search(Query(), 0, 2)] == [1, 2]
    found = store.row(rows[2].id)
    assert found is not None
    assert (2, rows[2]) == (found.index, found.row)
    assert store.row(new_record_id()) is None
    assert store.row("not an id") is None


def test_an_exchange_has_its_related_records(store: SqliteStore) -> None:
    """The record itself and all that name it."""
    opened = row(type_="open")
    rows = [opened, row(), row(exchange=opened.id, type_="close"), row(exchange=opened.id, type_="incident")]
    store.append(Batch([one.id.encode() for one in rows], rows))

    assert [one.index for one in store.related(opened.id)] == [0, 2, 3]


def test_streams_without_an_end_are_found(store: SqliteStore) -> None:
    """Within the range asked for, and only opened ones."""
    ended, lost, late = row(type_="open"), row(type_="open"), row(type_="open")
    rows = [ended, lost, row(exchange=ended.id, type_="close"), row(exchange=lost.id, type_="incident"), row(), late]
    store.append(Batch([one.id.encode() for one in rows], rows))

    assert [one.index for one in store.unclosed(0, 5)] == [1]
    assert [one.index for one in store.unclosed(0, 6)] == [1, 5]
    assert store.unclosed(2, 5) == []


def test_destroying_a_subject_leaves_nothing_of_it_in_the_files(store: SqliteStore, home: Path) -> None:
    """Keys, bodies and pseudonym are gone from the bytes on the disk; the leaves stay."""
    key, other = new_subject_key(), new_subject_key()
    wrapped = b"WRAPPED-CANARY" * 3
    mine, yours = row(subject="p_canary_subject"), row(subject="p_other")
    bodies = [seal_body(b"one", mine.id, key), seal_body(b"two", yours.id, other)]
    keys = [
        NewSubjectKey(key.id, "t", "p_canary_subject", wrapped),
        NewSubjectKey(other.id, "t", "p_other", b"wrapped"),
    ]
    store.append(Batch([b"leaf 1", b"leaf 2"], [mine, yours], bodies, keys, store.key_epoch()))
    assert (key.id, wrapped) == store.subject_key("t", "p_canary_subject")

    assert [key.id] == store.destroy_subject("t", "p_canary_subject")
    assert store.subject_key("t", "p_canary_subject") is None
    assert store.body(mine.id) is None
    assert store.body(yours.id) is not None
    assert [one.row.subject for one in store.search(Query(), -1, 10)] == [None, "p_other"]
    assert list(store.leaves(0, 2)) == [b"leaf 1", b"leaf 2"]
    assert [key.id] == store.unrecorded_erasures()
    on_disk = b"".join(file.read_bytes() for file in home.glob("audit.db*"))
    for canary in (b"WRAPPED-CANARY", b"p_canary_subject", bodies[0].ciphertext, bodies[0].wrapped_key):
        assert canary not in on_disk
    assert bodies[1].ciphertext in on_disk
    store.mark_erasures_recorded([key.id])
    assert store.unrecorded_erasures() == []


def test_a_batch_sealed_before_an_erasure_is_sent_back(store: SqliteStore) -> None:
    """Else its bodies would hang on a key that is no more."""
    epoch = store.key_epoch()
    store.destroy_subject("t", "anybody")
    with pytest.raises(KeysChangedError):
        store.append(batch(1, key_epoch=epoch))

    assert store.append(batch(1, key_epoch=epoch + 1)) == 0


def test_tidying_empties_a_grown_wal(store: SqliteStore, home: Path) -> None:
    """And leaves a small one alone."""
    store.append(batch(10))
    store.tidy()
    assert (home / "audit.db-wal").stat().st_size > 0
    rows = [row() for _ in range(200)]
    store.append(Batch([bytes(30_000)] * 200, rows))
    store.tidy()

    assert (home / "audit.db-wal").stat().st_size == 0
    assert store.next_index() == 210


def test_a_log_that_was_never_created_is_not_opened(tmp_path: Path) -> None:
    """A wrong path cannot start a second history."""
    with pytest.raises(LogNotInitialised):
        SqliteStore(tmp_path / "audit.db", tmp_path / "audit.lock")

    assert list(tmp_path.iterdir()) == []


def test_a_missing_lock_file_is_not_made_up(home: Path) -> None:
    """Two processes with different locks would write over each other."""
    (home / "audit.lock").unlink()
    with pytest.raises(LogNotInitialised, match=r"audit\.lock"):
        SqliteStore(home / "audit.db", home / "audit.lock")


def test_a_schema_of_the_future_is_refused(home: Path) -> None:
    """Rather than guessed at."""
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(LogRefused, match="schema 99"):
        SqliteStore(home / "audit.db", home / "audit.lock")


def test_a_file_that_is_no_database_is_reported(home: Path) -> None:
    """One kind of error."""
    (home / "audit.db").write_bytes(b"not a database" * 100)
    with pytest.raises(LogUnavailable):
        SqliteStore(home / "audit.db", home / "audit.lock")


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    """Both ways."""
    store.close()
    with pytest.raises(LogUnavailable, match="closed"):
        store.next_index()
    with pytest.raises(LogUnavailable, match="closed"):
        store.append(batch(1))


def test_a_long_search_holds_nobody_up(store: SqliteStore) -> None:
    """Each reader has a connection of its own, given back when it is done."""
    store.append(batch(3))
    with store._reading() as busy:
        busy.execute("SELECT idx FROM leaves").fetchone()
        assert store.next_index() == 3
        assert store.append(batch(1)) == 3
        assert store.next_index() == 4

    assert len(store._idle_readers) == 2
    with store._reading() as last:
        store.close()
        assert last.execute("SELECT count(*) FROM leaves").fetchone()[0] == 4
    assert store._idle_readers == []


def test_an_erasure_is_finished_once_a_reader_of_old_pages_ends(store: SqliteStore, home: Path) -> None:
    """Until then the WAL keeps the key; house-keeping tries again, however small the WAL is."""
    store.append(Batch([b"leaf"], [row("p")], (), [NewSubjectKey("k_1", "t", "p", b"WRAPPED-CANARY")]))
    with closing(sqlite3.connect(home / "audit.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM leaves").fetchone()
        store.destroy_subject("t", "p")
        assert any(b"WRAPPED-CANARY" in file.read_bytes() for file in home.glob("audit.db*"))
        reader.execute("ROLLBACK")
    store.tidy()

    assert all(b"WRAPPED-CANARY" not in file.read_bytes() for file in home.glob("audit.db*"))


@pytest.mark.parametrize("table", ["meta", "coordination"])
def test_a_missing_row_that_every_log_has_is_refused(home: Path, table: str) -> None:
    """The database was changed from outside."""
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute(f"DELETE FROM {table}")
        db.commit()
    with (
        pytest.raises(LogRefused, match="changed from outside"),
        closing(SqliteStore(home / "audit.db", home / "audit.lock")) as store,
    ):
        store.next_index()


def test_a_log_of_the_first_schema_is_brought_up_to_date(home: Path) -> None:
    """Opening it is enough, and nothing in it changes."""
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute("DROP INDEX rows_rare")
        db.execute("ALTER TABLE coordination DROP COLUMN minimum")
        db.execute("PRAGMA user_version=1")
        db.commit()
    log = AuditLog.open(home, writer="gw")
    assert (log.store.minimum(), log.store.next_index()) == (0, 1)
    log.close()
    with closing(sqlite3.connect(home / "audit.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'rows_rare'").fetchone()
    assert verify_home(home).ok


def test_rare_records_are_found_by_their_own_index(store: SqliteStore) -> None:
    """However many ordinary ones there are."""
    with closing(sqlite3.connect(store._path)) as db:
        sql = "SELECT * FROM rows WHERE idx > 1 AND type = 'hold' AND type NOT IN ('exchange', 'open', 'close')"
        plan = db.execute(f"EXPLAIN QUERY PLAN {sql} ORDER BY idx LIMIT 5").fetchall()
    assert "rows_rare" in plan[0][3]
