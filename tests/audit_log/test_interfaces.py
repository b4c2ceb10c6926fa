# SPDX-License-Identifier: Apache-2.0
"""What every driver promises: the same tests, run against each of them."""

import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit_log.errors import LogRefused, LogUnavailable
from audit_log.interfaces import Batch, KeysChangedError, LogStore, Meta, NewSubjectKey, Query, Tiles
from audit_log.keys import load_log_key, read_vkeys
from audit_log.merkle import EMPTY_ROOT, leaf_hash, root_of
from audit_log.note import Signer
from audit_log.postgres import PostgresStore, PostgresTiles, create_postgres
from audit_log.publish import Publisher, TileFolder
from audit_log.record import IndexRow, new_record_id
from audit_log.sealing import new_subject_key, seal_body
from audit_log.sqlite import SqliteStore
from audit_log.tiles import TileId

Open = Callable[[], LogStore]


def row(subject: str | None = None, exchange: str | None = None, type_: str = "exchange", t_us: int = 1) -> IndexRow:
    return IndexRow(new_record_id(), exchange, type_, t_us, "t", subject, None, None, False)


def batch(size: int, **changes: Any) -> Batch:
    rows = [row() for _ in range(size)]
    return Batch([f"leaf {one.id}".encode() for one in rows], rows, **changes)


@pytest.fixture(params=["sqlite", "postgres"])
def opening(request: pytest.FixtureRequest, home: Path, schema: str) -> Iterator[Open]:
    """Opens the same new, empty log any number of times."""
    opened: list[LogStore] = []
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres_dsn")
        create_postgres(dsn, schema, Meta("audit.example.com/test", "vkey", 1_750_000_000.0), b"first")

    def open_one() -> LogStore:
        if request.param == "postgres":
            opened.append(PostgresStore(dsn, schema, timeout_s=10))
        else:
            opened.append(SqliteStore(home / "audit.db", home / "audit.lock"))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(opening: Open) -> LogStore:
    return opening()


@pytest.fixture
def tiles(store: LogStore, tmp_path: Path) -> Tiles:
    return PostgresTiles(store) if isinstance(store, PostgresStore) else TileFolder(tmp_path / "tiles")


def test_a_new_log_is_empty(store: LogStore) -> None:
    """It has its first checkpoint and nothing else."""
    assert (store.next_index(), store.minimum(), store.key_epoch()) == (0, 0, 0)
    assert (store.meta().origin, store.seen_at()) == ("audit.example.com/test", 1_750_000_000.0)
    assert [(0, store.head())] == list(store.checkpoints())
    assert (list(store.leaves(0, 5)), store.search(Query(), -1, 5)) == ([], [])


@pytest.mark.parametrize("size", [1, 2, 255, 256, 1500])
def test_a_batch_of_any_size_is_stored_in_order(store: LogStore, size: int) -> None:
    """Leaves and rows, under the indices that append gave."""
    first, second = batch(2), batch(size)

    assert (store.append(first), store.append(second)) == (0, 2)
    assert [*first.leaves, *second.leaves] == list(store.leaves(0, size + 2))
    assert store.next_index() == size + 2
    found = store.search(Query(), -1, 10_000)
    assert [*first.rows, *second.rows] == [one.row for one in found]
    assert (store.find_batch(second), store.find_batch(batch(1))) == (2, None)


def test_a_batch_that_cannot_be_stored_leaves_no_gap(store: LogStore) -> None:
    """Two bodies of one record: all of it is taken back, and the index is given to the next batch."""
    store.append(batch(3))
    one = row()
    body = seal_body(b"x", one.id, new_subject_key())
    broken = Batch([b"leaf"], [one], [body, body])
    with pytest.raises(LogUnavailable):
        store.append(broken)

    assert store.find_batch(broken) is None
    assert (store.next_index(), store.append(batch(2))) == (3, 3)


def test_writers_at_once_get_contiguous_indices(opening: Open) -> None:
    """Several connections, each with many small batches, some of which fail."""
    stores = [opening() for _ in range(4)]
    taken: list[int] = []
    lock = threading.Lock()

    def write(store: LogStore) -> None:
        for number in range(15):
            size = number % 3 + 1
            if number % 5 == 4:
                one = row()
                body = seal_body(b"x", one.id, new_subject_key())
                with pytest.raises(LogUnavailable):
                    store.append(Batch([b"leaf"], [one], [body, body]))
            first = store.append(batch(size))
            with lock:
                taken.extend(range(first, first + size))

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(stores[0].next_index()))
    assert len(list(stores[1].leaves(0, len(taken)))) == len(taken)


def test_the_head_moves_by_compare_and_swap(store: LogStore) -> None:
    """Whoever knows the wrong head changes nothing; every checkpoint is kept; time only moves forward."""
    first = store.head()
    assert not store.swap_head(b"other", b"new", 1, 5.0)
    assert store.swap_head(first, b"new", 1, 2_000_000_000.0)
    assert not store.swap_head(first, b"third", 2, 5.0)

    assert [(0, first), (1, b"new")] == list(store.checkpoints())
    assert (store.head(), store.seen_at()) == (b"new", 2_000_000_000.0)
    store.mark_seen(1_900_000_000.0)
    assert store.seen_at() == 2_000_000_000.0
    store.mark_seen(2_100_000_000.0)
    assert store.seen_at() == 2_100_000_000.0


def test_rows_are_found_by_each_of_their_fields(store: LogStore) -> None:
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
        (Query(since_us=20, until_us=31), [1, 2]),
        (Query(tenant="a"), [0, 1]),
        (Query(subject="p1", tenant="b"), [2]),
        (Query(class_="A1", action="stop"), [2]),
        (Query(type="boot"), [3]),
        (Query(type="open"), [1]),
        (Query(incident=True), [2]),
        (Query(incident=False), [0, 1, 3]),
        (Query(tenant="x' OR 1=1 --"), []),
    ):
        assert wanted == [one.index for one in store.search(query, -1, 10)], query
    assert [one.index for one in store.search(Query(), 0, 2)] == [1, 2]
    found = store.row(rows[2].id)
    assert found is not None and (2, rows[2]) == (found.index, found.row)
    assert store.row(new_record_id()) is store.row("not an id") is store.body("not an id") is None
    assert store.related("not an id") == []


def test_relations_and_streams_without_an_end_are_found(store: LogStore) -> None:
    """The record itself and all that name it; only opened ones within the range."""
    ended, lost = row(type_="open"), row(type_="open")
    rows = [ended, lost, row(exchange=ended.id, type_="close"), row(exchange=lost.id, type_="incident")]
    store.append(Batch([one.id.encode() for one in rows], rows))

    assert [one.index for one in store.related(ended.id)] == [0, 2]
    assert [one.index for one in store.unclosed(0, 4)] == [1]
    assert store.unclosed(2, 4) == []


def test_destroying_a_subject_leaves_its_leaves_alone(store: LogStore) -> None:
    """Keys, bodies and pseudonym go; the epoch moves; a batch sealed before is sent back."""
    key, other = new_subject_key(), new_subject_key()
    mine, yours = row(subject="p"), row(subject="q")
    bodies = [seal_body(b"one", mine.id, key), seal_body(b"two", yours.id, other)]
    keys = [NewSubjectKey(key.id, "t", "p", b"w1"), NewSubjectKey(other.id, "t", "q", b"w2")]
    store.append(Batch([b"leaf 1", b"leaf 2"], [mine, yours], bodies, keys, store.key_epoch()))
    assert store.subject_key("t", "p") == (key.id, b"w1")
    assert store.body(mine.id) == (bodies[0], b"w1")
    assert [one.index for one in store.subject_bodies("t", "p")] == [0]
    assert (store.key_exists(key.id), store.key_exists("k_other")) == (True, False)

    assert store.destroy_subject("t", "p") == [key.id]
    assert store.subject_key("t", "p") is store.body(mine.id) is None
    assert [one.row.subject for one in store.search(Query(), -1, 10)] == [None, "q"]
    assert list(store.leaves(0, 2)) == [b"leaf 1", b"leaf 2"]
    assert store.unrecorded_erasures() == [key.id]
    store.mark_erasures_recorded([key.id])
    assert store.unrecorded_erasures() == []
    with pytest.raises(KeysChangedError):
        store.append(batch(1, key_epoch=0))
    assert store.append(batch(1, key_epoch=1)) == 2


def test_the_newest_key_of_a_subject_is_used(store: LogStore) -> None:
    """A subject may have several."""
    for name in ("k_b", "k_a"):
        store.append(batch(1, new_keys=[NewSubjectKey(name, "t", "p", name.encode())]))

    assert store.subject_key("t", "p") == ("k_a", b"k_a")


def test_keys_are_wrapped_anew(store: LogStore) -> None:
    """Page by page; a key that was destroyed meanwhile does not come back."""
    keys = [NewSubjectKey(f"k_{number}", "t", f"p{number}", b"old") for number in range(5)]
    store.append(batch(1, new_keys=keys))
    assert store.wrapped_keys("", 2) == [("k_0", b"old"), ("k_1", b"old")]
    assert [key for key, _ in store.wrapped_keys("k_1", 9)] == ["k_2", "k_3", "k_4"]
    store.destroy_subject("t", "p4")
    store.replace_wrapped([("k_1", b"new"), ("k_4", b"new")])
    assert store.wrapped_keys("", 9) == [("k_0", b"old"), ("k_1", b"new"), ("k_2", b"old"), ("k_3", b"old")]
    store.replace_wrapped([])


def test_bodies_are_found_by_age_and_dropped(store: LogStore) -> None:
    """Of one type, older than a time, from a cursor on; the rest stays."""
    key = new_subject_key()
    rows = [row("p", t_us=number, type_="open" if number == 1 else "exchange") for number in range(4)]
    bodies = [seal_body(b"x", one.id, key) for one in rows[:3]]
    store.append(Batch([one.id.encode() for one in rows], rows, bodies, [NewSubjectKey(key.id, "t", "p", b"w")]))

    assert [one.index for one in store.bodies_before("exchange", 3, -1, 10)] == [0, 2]
    assert [one.index for one in store.bodies_before("exchange", 3, 0, 10)] == [2]
    assert [one.index for one in store.bodies_before("exchange", 2, -1, 10)] == [0]
    assert store.drop_bodies([rows[0].id, rows[3].id, "not an id"]) == 1
    assert [one.index for one in store.subject_bodies("t", "p")] == [1, 2]


def test_what_was_pruned_is_hidden_then_deleted(store: LogStore) -> None:
    """From every way of reading; keys that no body is left of go last, and move the epoch."""
    key = new_subject_key()
    opened = row("p", type_="open")
    body = seal_body(b"x", opened.id, key)
    store.append(Batch([b"old"], [opened], [body], [NewSubjectKey(key.id, "t", "p", b"w")]))
    store.append(batch(9))
    store.raise_minimum(5)
    store.raise_minimum(4)

    assert store.minimum() == 5
    assert len(list(store.leaves(0, 10))) == 5
    assert [one.index for one in store.search(Query(), -1, 10)] == [5, 6, 7, 8, 9]
    assert store.row(opened.id) is None and store.related(opened.id) == store.unclosed(0, 10) == []
    assert store.bodies_before("open", 10, -1, 10) == []
    assert [store.sweep(3), store.sweep(3), store.sweep(3)] == [3, 2, 0]
    assert (store.body(opened.id), store.subject_key("t", "p"), store.key_epoch()) == (None, None, 1)
    assert (store.sweep(3), store.key_epoch(), store.next_index()) == (0, 1, 10)
    store.raise_minimum(99)
    assert store.minimum() == 10


def test_a_closed_store_says_so(store: LogStore) -> None:
    """Both ways, and closing again is no harm."""
    store.close()
    store.close()
    with pytest.raises(LogUnavailable, match="closed"):
        store.next_index()
    with pytest.raises(LogUnavailable, match="closed"):
        store.append(batch(1))


def test_tiles_are_written_once_and_checkpoints_replaced(tiles: Tiles) -> None:
    """Other bytes under a tile's name are refused; partial forms go; what was pruned goes, and its partials."""
    assert tiles.fetch("tile/0/000") is None
    tiles.publish(b"one")
    tiles.publish(b"two")
    assert tiles.published() == tiles.fetch("checkpoint") == b"two"
    tiles.put(TileId(0, 0, 5), b"part")
    tiles.put(TileId(0, 0), b"full")
    tiles.put(TileId(0, 0), b"full")
    with pytest.raises(LogRefused, match="differs"):
        tiles.put(TileId(0, 0), b"other")
    assert tiles.fetch("tile/0/000.p/5") == b"part"
    tiles.drop_partials(TileId(0, 0))
    assert (tiles.fetch("tile/0/000.p/5"), tiles.fetch("tile/0/000")) == (None, b"full")
    tiles.put(TileId(1, 0), b"one")
    tiles.put(TileId(2, 0, 1), b"kept")
    tiles.put(TileId(None, 255), b"bundle")
    tiles.put(TileId(0, 256, 3), b"kept")
    gone, freed_bytes = tiles.prune(65_536)
    assert gone == 3 and freed_bytes >= 13  # a bundle lies packed on disk, which makes one of six bytes longer
    assert [tiles.fetch(p) for p in ("tile/0/000", "tile/1/000", "tile/entries/255")] == [None] * 3
    assert [tiles.fetch(p) for p in ("tile/2/000.p/1", "tile/0/256.p/3")] == [b"kept"] * 2


def test_a_publisher_works_on_each(home: Path, store: LogStore, tiles: Tiles, tmp_path: Path) -> None:
    """Leaves become tiles and checkpoints, step by step, and a second publisher resumes."""
    origin = "audit.example.com/test"
    signer = Signer(origin, load_log_key(home / "log.key"))
    first = sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), [signer])
    assert store.swap_head(store.head(), first, 1_000_000, 1.0)
    tiles.publish(first)
    for number, size in enumerate((1, 300, 700), 2):
        grown = batch(size)
        store.append(grown)
        publisher = Publisher(store, tiles, signer, lambda: float(number), tmp_path / "publisher.lock")  # noqa: B023
        assert publisher.try_lead()
        done = publisher.step()
        assert done is not None and done.size == store.next_index()
        assert done.root == root_of(map(leaf_hash, store.leaves(0, done.size)))
        assert publisher.step() is None
        publisher.resign()
    assert open_checkpoint(tiles.published() or b"", origin, read_vkeys(home)).size == 1001


@pytest.mark.parametrize("driver", [SqliteStore, PostgresStore])
def test_a_driver_offers_every_method_with_the_same_signature(driver: type) -> None:
    """One can take the other's place: nothing outside the contract is needed."""
    wanted = {name: value for name, value in vars(LogStore).items() if not name.startswith("_") and callable(value)}

    assert len(wanted) >= 24
    for name, method in wanted.items():
        assert inspect.signature(getattr(driver, name)) == inspect.signature(method), name
