# SPDX-License-Identifier: Apache-2.0
"""Publishing: every step broken in two ways, restarts in between, and no fork ever signed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit_log.errors import LogRefused, LogUnavailable
from audit_log.interfaces import Batch
from audit_log.keys import load_log_key
from audit_log.merkle import leaf_hash, root_of
from audit_log.note import Signer
from audit_log.publish import HEARTBEAT_S, Publisher, TileFolder, check_heads
from audit_log.record import IndexRow, new_record_id
from audit_log.sqlite import SqliteStore
from audit_log.tiles import TileId, TileTree
from audit_log.verify import verify_tiles

ORIGIN = "audit.example.com/test"


def fill(store: SqliteStore, count: int) -> None:
    rows = [IndexRow(new_record_id(), None, "exchange", 1, None, None, None, None, False) for _ in range(count)]
    store.append(Batch([f"leaf {row.id}".encode() for row in rows], rows))


class BrokenOnce:
    """Stands before a store or a folder and breaks one method once, before or after it did its work."""

    def __init__(self, inner: Any, method: str, *, done: bool) -> None:
        self._inner = inner
        self._method = method
        self._done = done
        self.broke = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method or self.broke:
            return found

        def broken(*arguments: Any) -> Any:
            self.broke = True
            if self._done:
                found(*arguments)
            raise LogUnavailable("broken once")

        return broken


@pytest.fixture
def signer(home: Path) -> Signer:
    return Signer(ORIGIN, load_log_key(home / "log.key"))


@pytest.fixture
def folder(home: Path) -> TileFolder:
    return TileFolder(home / "tiles")


@pytest.fixture
def publisher(
    store: SqliteStore, folder: TileFolder, signer: Signer, clock: Any, home: Path
) -> Iterator[Callable[..., Publisher]]:
    """Makes publishers that hold the lock."""
    made: list[Publisher] = []

    def make(with_store: Any = store, with_folder: Any = folder) -> Publisher:
        for other in made:
            other.resign()
        made.append(Publisher(with_store, with_folder, signer, clock, home / "publisher.lock"))
        assert made[-1].try_lead()
        return made[-1]

    yield make
    for one in made:
        one.resign()


def check(store: SqliteStore, folder: TileFolder, signer: Signer, size: int) -> None:
    """The published checkpoint is the head, covers ``size`` leaves, and all files agree with the leaves."""
    published = folder.published()
    assert published == store.head()
    assert published is not None
    checkpoint = open_checkpoint(published, ORIGIN, [signer.verifier])
    assert size == checkpoint.size
    assert root_of(leaf_hash(leaf) for leaf in store.leaves(0, size)) == checkpoint.root
    report = verify_tiles(folder.fetch, signer.verifier, older=[note for _, note in store.checkpoints()])
    assert report.problems == []


def test_leaves_become_tiles_and_a_checkpoint(
    store: SqliteStore, folder: TileFolder, signer: Signer, publisher: Callable[..., Publisher]
) -> None:
    """At every size, also across full tiles; older checkpoints stay consistent."""
    made = publisher()
    size = 0
    for count in (1, 5, 249, 1, 1, 300, 512):
        fill(store, count)
        size += count
        checkpoint = made.step()

        assert checkpoint is not None
        assert size == checkpoint.size
        check(store, folder, signer, size)
    assert made.step() is None
    assert len(list(store.checkpoints())) == 8


def test_partial_tiles_of_a_checkpoint_stay_until_the_full_one_is_there(
    store: SqliteStore, folder: TileFolder, publisher: Callable[..., Publisher]
) -> None:
    """Whoever holds an older checkpoint can still read its tree."""
    made = publisher()
    for count in (3, 4):
        fill(store, count)
        made.step()
    assert (folder.root / "tile/0/000.p/3").exists()
    assert (folder.root / "tile/entries/000.p/7").exists()
    fill(store, 300)
    made.step()

    assert not (folder.root / "tile/0/000.p").exists()
    assert not (folder.root / "tile/entries/000.p").exists()
    assert root_of(leaf_hash(leaf) for leaf in store.leaves(0, 3)) == TileTree(folder.fetch, 3).root()


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done but said to have failed"])
@pytest.mark.parametrize("restart", [False, True], ids=["same process", "restarted"])
@pytest.mark.parametrize("more", [0, 300], ids=["same leaves", "more leaves"])
@pytest.mark.parametrize("step", ["put", "swap_head", "publish", "drop_partials", "leaves", "next_index"])
def test_every_step_may_break(
    step: str,
    more: int,
    restart: bool,
    done: bool,
    store: SqliteStore,
    folder: TileFolder,
    signer: Signer,
    publisher: Callable[..., Publisher],
) -> None:
    """Wherever it stops, going on gives one history that verifies."""
    fill(store, 200)
    assert publisher().step() is not None
    fill(store, 100)
    on_folder = step in ("put", "publish", "drop_partials")
    broken = BrokenOnce(folder if on_folder else store, step, done=done)
    made = publisher(*((store, broken) if on_folder else (broken, folder)))
    with pytest.raises(LogUnavailable, match="broken once"):
        made.step()
    assert broken.broke
    fill(store, more or 1)
    made = publisher() if restart else made
    while made.step() is not None:
        pass

    check(store, folder, signer, 300 + (more or 1))


def test_a_crash_between_swap_and_publishing_is_made_good(
    store: SqliteStore, folder: TileFolder, signer: Signer, publisher: Callable[..., Publisher]
) -> None:
    """The head is newer than the file: publish it first."""
    fill(store, 10)
    broken = BrokenOnce(folder, "publish", done=False)
    with pytest.raises(LogUnavailable):
        publisher(store, broken).step()
    assert folder.published() != store.head()
    assert publisher().step() is None

    check(store, folder, signer, 10)


def test_of_two_publishers_one_stops(
    store: SqliteStore,
    folder: TileFolder,
    signer: Signer,
    clock: Any,
    tmp_path: Path,
    publisher: Callable[..., Publisher],
) -> None:
    """Should the lock fail, the compare-and-swap does not: the loser stops and nothing is forked."""
    fill(store, 5)
    first = publisher()
    second = Publisher(store, folder, signer, clock, tmp_path / "another.lock")
    assert second.try_lead()
    first.step()
    second.step()
    fill(store, 5)
    first.step()
    fill(store, 5)
    with pytest.raises(LogRefused, match="two publishers"):
        second.step()
    second.resign()
    first.step()

    check(store, folder, signer, 15)


def test_one_process_leads_and_another_takes_over(
    store: SqliteStore, folder: TileFolder, signer: Signer, clock: Any, home: Path, publisher: Callable[..., Publisher]
) -> None:
    """When the first lets go, or dies."""
    first = publisher()
    second = Publisher(store, folder, signer, clock, home / "publisher.lock")

    assert (first.try_lead(), second.try_lead()) == (True, False)
    fill(store, 3)
    first.step()
    first.resign()
    assert second.try_lead()
    fill(store, 3)
    second.step()
    assert (first.is_leader, second.is_leader) == (False, True)
    second.resign()
    check(store, folder, signer, 6)


def test_other_bytes_under_a_tiles_name_stop_the_publisher(
    store: SqliteStore, folder: TileFolder, publisher: Callable[..., Publisher]
) -> None:
    """Leaves were changed after they were integrated, or tiles were."""
    fill(store, 3)
    folder.put(TileId(0, 0, 3), bytes(96))
    with pytest.raises(LogRefused, match=r"tile/0/000\.p/3 differs"):
        publisher().step()

    assert open_checkpoint(store.head(), ORIGIN, [publisher()._signer.verifier]).size == 0


def test_a_file_that_cannot_be_read_just_now_is_tried_again(
    store: SqliteStore, folder: TileFolder, signer: Signer, publisher: Callable[..., Publisher]
) -> None:
    """Out of file descriptors is no tampering: the next step goes on."""
    fill(store, 3)
    made = publisher()
    (folder.root / "tile/0/000.p/3").mkdir(parents=True)
    with pytest.raises(LogUnavailable, match="cannot be read"):
        made.step()
    (folder.root / "tile/0/000.p/3").rmdir()
    made.step()

    check(store, folder, signer, 3)


def test_a_database_that_shrank_stops_the_publisher(
    store: SqliteStore, publisher: Callable[..., Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody restored an old one under a running process."""
    fill(store, 3)
    made = publisher()
    made.step()
    monkeypatch.setattr(store, "next_index", lambda: 2)
    with pytest.raises(LogRefused, match="shrank"):
        made.step()


def test_a_missing_leaf_stops_the_publisher(
    store: SqliteStore, publisher: Callable[..., Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint is signed over a gap."""
    fill(store, 3)
    made = publisher()
    made.step()
    monkeypatch.setattr(store, "next_index", lambda: 5)
    with pytest.raises(LogRefused, match="leaf 3 is missing"):
        made.step()


@pytest.mark.parametrize("what", ["tile", "leaf"])
def test_a_right_edge_that_does_not_fit_is_refused(
    what: str, store: SqliteStore, folder: TileFolder, publisher: Callable[..., Publisher]
) -> None:
    """Before anything is built on it."""
    fill(store, 3)
    publisher().step()
    if what == "tile":
        (folder.root / "tile/0/000.p/3").write_bytes(bytes(96))
    else:
        with store._writing() as db:
            db.execute("UPDATE leaves SET leaf = x'00' WHERE idx = 1")
    fill(store, 3)
    with pytest.raises(LogRefused, match="audit verify"):
        publisher().step()


def test_a_missing_tile_is_refused(store: SqliteStore, folder: TileFolder, publisher: Callable[..., Publisher]) -> None:
    """Half a folder was restored."""
    fill(store, 3)
    publisher().step()
    (folder.root / "tile/0/000.p/3").unlink()
    fill(store, 3)
    with pytest.raises(LogRefused, match="missing"):
        publisher().step()


def test_an_idle_log_notes_that_it_is_alive(
    store: SqliteStore, clock: Any, publisher: Callable[..., Publisher]
) -> None:
    """At most every ten seconds, and without a new checkpoint."""
    fill(store, 1)
    made = publisher()
    made.step()
    clock.now += HEARTBEAT_S - 1
    made.step()
    before = store.seen_at()
    clock.now += 2
    made.step()

    assert clock.now - HEARTBEAT_S - 1 == before
    assert clock.now == store.seen_at()
    assert len(list(store.checkpoints())) == 2


def note_of(signer: Signer, size: int, root: bytes = bytes(32), origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(Checkpoint(origin, size, root), [signer])


def test_heads_are_compared_as_they_must_be(signer: Signer) -> None:
    """A file that is older is a crash; one that is newer, another, missing or a stranger's is refused."""
    stranger = Signer(ORIGIN, Ed25519PrivateKey.generate())
    head = note_of(signer, 5)

    assert check_heads(head, head, signer.verifier).size == 5
    assert check_heads(note_of(signer, 4), head, signer.verifier).size == 5
    for published, stored, words in (
        (note_of(signer, 6), head, "an old database was restored"),
        (note_of(signer, 5, bytes([1] * 32)), head, "forked"),
        (None, head, "missing"),
        (note_of(stranger, 5), head, "published checkpoint is not this log's"),
        (note_of(signer, 5, origin="other.example"), head, "published checkpoint is not this log's"),
        (b"garbage", head, "published checkpoint is not this log's"),
        (head, note_of(stranger, 5), "in the database is not this log's"),
        (head, b"garbage", "in the database is not this log's"),
    ):
        with pytest.raises(LogRefused, match=words):
            check_heads(published, stored, signer.verifier)
