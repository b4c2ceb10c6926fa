# SPDX-License-Identifier: Apache-2.0
"""The verifier: quiet about a good log, and precise about a bad one."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, LogNotInitialised, VerifyReport, new_record_id, verify_home, verify_tiles
from audit_log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from audit_log.keys import load_log_key
from audit_log.merkle import leaf_hash, root_of
from audit_log.note import Signer, Verifier, encode_base64
from audit_log.tiles import encode_bundle, fetch_from

ORIGIN = "audit.example.com/test"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def full(home: Path) -> Path:
    """A home with 602 leaves, two full tiles, bodies, and several checkpoints."""
    log = AuditLog.open(home, writer="gw", publish=False)
    log._publish_from(home / "publisher.lock")
    log._stop_publishing()
    for number in range(600):
        body = b"text" if number % 100 == 0 else None
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange", "n": number}, "p", body))
        if number in (10, 300):
            log._publish_once()
    log.close()
    return home


def change(home: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(home / "audit.db")) as db:
        db.execute(sql, values)
        db.commit()


def read(home: Path, sql: str) -> Any:
    with closing(sqlite3.connect(home / "audit.db")) as db:
        return db.execute(sql).fetchone()[0]


def test_a_good_log_verifies(full: Path) -> None:
    """All of it, with what was counted, and progress on the way."""
    seen: list[tuple[int, int]] = []
    report = verify_home(full, progress=lambda done, total: seen.append((done, total)))

    assert report.problems == []
    assert (
        report.ok,
        report.origin,
        report.tree_size,
        report.published_size,
        report.checkpoints,
        report.pending,
    ) == (True, ORIGIN, 602, 602, 4, 0)
    assert (report.writers, report.open_writers, report.bodies) == (1, 0, 6)
    assert seen[-1] == (602, 602)
    shown = json.loads(report.to_json())
    assert (shown["ok"], shown["problems"], shown["first_bad_index"], shown["tree_size"]) == (True, [], None, 602)


def test_an_empty_log_verifies(home: Path) -> None:
    """As it was created."""
    report = verify_home(home)

    assert (report.ok, report.tree_size, report.checkpoints) == (True, 0, 1)


def test_a_log_verifies_while_it_is_written(home: Path) -> None:
    """Leaves newer than the last checkpoint are counted as pending."""
    log = AuditLog.open(home, writer="gw", publish=False)
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    report = verify_home(home)
    log.close()

    assert (
        report.ok,
        report.tree_size,
        report.published_size,
        report.pending,
        report.open_writers,
    ) == (True, 2, 0, 2, 1)


def test_a_copy_that_cannot_be_written_verifies(full: Path) -> None:
    """On a medium handed to an auditor, by somebody else than the owner."""
    for file in full.glob("audit.db-*"):
        file.unlink()
    full.chmod(0o500)
    try:
        report = verify_home(full)
    finally:
        full.chmod(0o700)

    assert report.problems == []


def flip_leaf(home: Path) -> None:
    leaf = bytearray(read(home, "SELECT leaf FROM leaves WHERE idx = 400"))
    leaf[20] ^= 1
    change(home, "UPDATE leaves SET leaf = ? WHERE idx = 400", bytes(leaf))


def flip_tile(home: Path) -> None:
    flip_file(home / "tiles" / "tile" / "0" / "001", 144 * 32 + 5)


def flip_file(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def swap_leaves(home: Path) -> None:
    change(home, "UPDATE leaves SET idx = 100000 WHERE idx = 400")
    change(home, "UPDATE leaves SET idx = 400 WHERE idx = 401")
    change(home, "UPDATE leaves SET idx = 401 WHERE idx = 100000")


def delete_leaf(home: Path) -> None:
    change(home, "DELETE FROM leaves WHERE idx = 400")


def truncate_tile(home: Path) -> None:
    file = home / "tiles" / "tile" / "0" / "001"
    file.write_bytes(file.read_bytes()[: 144 * 32])


@pytest.mark.parametrize("harm", [flip_leaf, flip_tile, swap_leaves, delete_leaf, truncate_tile])
def test_the_first_bad_leaf_is_named(full: Path, harm: Callable[[Path], None]) -> None:
    """Whether the leaf or its hash was touched."""
    harm(full)
    report = verify_home(full)

    assert not report.ok
    assert report.first_bad_index == 400
    assert any("400" in problem for problem in report.problems)


def test_a_leaf_changed_with_its_tiles_is_caught_by_the_checkpoint(full: Path) -> None:
    """Somebody without the key made leaf, hash and bundle agree: the signed root does not."""
    leaf = b'{"forged":true,"writer":"x"}'
    change(full, "UPDATE leaves SET leaf = ? WHERE idx = 255", leaf)
    tile, bundle = full / "tiles" / "tile" / "0" / "000", full / "tiles" / "tile" / "entries" / "000"
    tile.write_bytes(tile.read_bytes()[:-32] + leaf_hash(leaf))
    with closing(sqlite3.connect(full / "audit.db")) as db:
        leaves = [one for (one,) in db.execute("SELECT leaf FROM leaves WHERE idx < 256 ORDER BY idx")]
    bundle.write_bytes(encode_bundle(leaves))
    report = verify_home(full)

    assert not report.ok
    assert report.first_bad_index is not None
    assert any("do not lead to the root of the checkpoint of size 602" in problem for problem in report.problems)
    by_tiles = verify_tiles(fetch_from(full / "tiles"), Verifier.from_vkey((full / "log.vkey").read_text().strip()))
    assert not by_tiles.ok


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE checkpoints SET body = replace(body, '302', '303') WHERE size = 302", "checkpoint of size 302"),
        (
            "UPDATE checkpoints SET body = (SELECT body FROM checkpoints WHERE size = 12) WHERE size = 302",
            "states size 12",
        ),
        ("DELETE FROM checkpoints WHERE size = 602", "published checkpoint"),
        ("UPDATE head SET body = (SELECT body FROM checkpoints WHERE size = 302)", "lock row"),
        ("DELETE FROM head", "lock row"),
        ("DELETE FROM coordination", "coordination row"),
        ("UPDATE leaves SET leaf = 5 WHERE idx = 3", "leaf 3"),
        ("UPDATE bodies SET id = 'text', ciphertext = 7, key = 8.5 WHERE rowid = 1", "belongs to no leaf"),
        ("UPDATE checkpoints SET body = 7 WHERE size = 12", "checkpoint of size 12"),
        ("DELETE FROM leaves WHERE idx > 599", "covers 602 leaves"),
        ("DELETE FROM leaves WHERE idx = 601", "602"),
        ("UPDATE coordination SET next = 603", "603 were acknowledged"),
        ("DELETE FROM rows WHERE idx = 50", "leaf 50 has no row"),
        ("UPDATE rows SET id = zeroblob(16) WHERE idx = 50", "leaf 50 has no row"),
        ("UPDATE bodies SET ciphertext = zeroblob(50) WHERE rowid = 1", "body of leaf 1 "),
        ("UPDATE bodies SET commitment = '00' WHERE rowid = 1", "body of leaf 1 "),
        ("UPDATE bodies SET id = zeroblob(16) WHERE rowid = 1", "belongs to no leaf"),
        ("DROP TABLE leaves", "damaged"),
    ],
)
def test_what_was_changed_in_the_database_is_named(full: Path, sql: str, words: str) -> None:
    """Leaves, rows, bodies, checkpoints, the lock row."""
    change(full, sql)
    report = verify_home(full)

    assert not report.ok
    assert any(words in problem for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tile/1/000.p/2", "tile/1/000.p/2"),
        ("tile/entries/001", "tile/entries/001"),
        ("tile/entries/002.p/90", "tile/entries/002.p/90"),
        ("tile/0/002.p/90", "leaf 512"),
        ("checkpoint", "published checkpoint"),
    ],
)
def test_what_was_changed_in_a_file_is_named(full: Path, path: str, words: str) -> None:
    """One bit each; and the same when the file is gone."""
    file = full / "tiles" / path
    file = file if file.exists() else file.with_name(f"{file.name}.gz")
    flip_file(file, 30)
    changed = verify_home(full)
    file.unlink()
    missing = verify_home(full)

    assert any(words in problem for problem in changed.problems), changed.problems
    assert any("missing" in problem for problem in missing.problems), missing.problems


def test_another_key_verifies_nothing(full: Path) -> None:
    """An auditor who brings the key of another log, or no key at all."""
    other = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)).verifier.vkey

    assert not verify_home(full, vkey=other).ok
    assert verify_home(full, vkey=(full / "log.vkey").read_text().strip()).ok
    assert [problem.split(":")[0] for problem in verify_home(full, vkey="nonsense").problems] == ["verifier key"]
    (full / "log.vkey").unlink()
    assert not verify_home(full).ok


@pytest.mark.parametrize(
    ("leaves", "index", "words"),
    [
        ([("gw", 0, "boot"), ("gw", 1, "exchange"), ("gw", 3, "exchange")], 2, "has number 3; expected 2"),
        ([("gw", 0, "boot"), ("gw", 1, "exchange"), ("gw", 1, "exchange")], 2, "has number 1; expected 2"),
        ([("gw", 0, "exchange")], 0, "not its boot record"),
        ([("gw", 1, "exchange")], 0, "has number 1; expected 0"),
        ([("gw", 0, "boot"), ("gw", 1, "shutdown"), ("gw", 2, "exchange")], 2, "ended before"),
        ([("gw", 0, "boot"), ("", 0, "boot")], 1, "does not end in a writer"),
    ],
)
def test_gaps_in_a_writers_numbers_are_named(
    home: Path, leaves: list[tuple[str, int, str]], index: int, words: str
) -> None:
    """Losses before the log are visible: a missing number, a repeated one, a missing boot record."""
    for at, (writer, number, type_) in enumerate(leaves):
        id_ = new_record_id()
        leaf = f'{{"id":"{id_}","type":"{type_}","v":"1","writer":"{writer}","wseq":"{number}"}}'.encode()
        change(home, "INSERT INTO leaves VALUES (?, ?)", at, leaf)
        change(
            home,
            "INSERT INTO rows VALUES (?, ?, NULL, ?, 1, NULL, NULL, NULL, NULL, 0)",
            at,
            bytes.fromhex(id_.replace("-", "")),
            type_,
        )
    change(home, "UPDATE coordination SET next = ?", len(leaves))
    report = verify_home(home)

    assert index == report.first_bad_index
    assert len(report.problems) == 1, report.problems
    assert words in report.problems[0]


def test_a_forked_log_is_named(full: Path) -> None:
    """Two signed roots for one size."""
    signer = Signer(ORIGIN, load_log_key(full / "log.key"))
    checkpoint = open_checkpoint((full / "tiles" / "checkpoint").read_bytes(), ORIGIN, [signer.verifier])
    other = sign_checkpoint(Checkpoint(ORIGIN, checkpoint.size, bytes(32)), [signer])
    (full / "tiles" / "checkpoint").write_bytes(other)

    assert any("forked" in problem for problem in verify_home(full).problems)


def test_only_so_many_problems_are_listed() -> None:
    """A log of millions must not fill the memory with complaints; the first bad index is the smallest."""
    report = VerifyReport(origin="x")
    for number in range(150, 0, -1):
        report.problem("bad", number)

    assert (len(report.problems), report.problems_left_out, report.first_bad_index) == (100, 50, 1)


def test_a_folder_without_a_log_is_an_error(tmp_path: Path) -> None:
    """And not a report about nothing."""
    with pytest.raises(LogNotInitialised):
        verify_home(tmp_path)


def test_the_files_alone_verify(full: Path) -> None:
    """From the folder of tiles and the key, nothing else."""
    verifier = Verifier.from_vkey((full / "log.vkey").read_text().strip())
    seen: list[int] = []
    report = verify_tiles(fetch_from(full / "tiles"), verifier, progress=lambda done, total: seen.append(done))

    assert (report.ok, report.tree_size) == (True, 602)
    assert seen == [256, 512, 602]
    flip_file(full / "tiles" / "tile" / "entries" / "001.gz", 100)
    assert not verify_tiles(fetch_from(full / "tiles"), verifier).ok


def test_a_log_of_others_verifies(vectors: Path) -> None:
    """Tessera's published log: 15 entries, 16 checkpoints, every tile and bundle."""
    folder = vectors / "tessera" / "log"
    verifier = Verifier.from_vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
    older = [(folder / f"checkpoint.{size}").read_bytes() for size in range(16)]
    report = verify_tiles(fetch_from(folder), verifier, older=older)

    assert report.problems == []
    assert (report.tree_size, report.checkpoints) == (15, 16)
    for size in range(1, 15):

        def at_size(path: str, note: bytes = older[size]) -> bytes | None:
            return note if path == "checkpoint" else fetch_from(folder)(path)

        part = verify_tiles(at_size, verifier)
        assert (True, size) == (part.ok, part.tree_size)


def test_an_older_checkpoint_of_another_history_is_named(vectors: Path) -> None:
    """The same size with another root, or a size beyond the latest."""
    folder = vectors / "tessera" / "log"
    signer = Signer("example.com/log/testdata", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    files = {
        "checkpoint": sign_checkpoint(
            parse_checkpoint((folder / "checkpoint").read_text().split("\n\n")[0] + "\n"), [signer]
        )
    }

    def fetch(path: str) -> bytes | None:
        return files.get(path) or fetch_from(folder)(path)

    for size, root in ((7, bytes(32)), (16, bytes(32)), (15, bytes(32)), (0, bytes(32))):
        older = sign_checkpoint(Checkpoint(signer.name, size, root), [signer])
        assert not verify_tiles(fetch, signer.verifier, older=[older]).ok, size
    assert verify_tiles(fetch, signer.verifier).ok
    assert not verify_tiles(lambda path: None, signer.verifier).ok


def test_the_verifier_needs_only_the_standard_library_and_cryptography() -> None:
    """An auditor's machine has nothing else."""
    code = (
        "import sys, types\n"
        "package = types.ModuleType('audit_log')\n"
        "package.__path__ = [sys.argv[1]]\n"
        "sys.modules['audit_log'] = package\n"
        "before = set(sys.modules)\n"
        "import audit_log.verify, audit_log.proof\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(loaded - sys.stdlib_module_names))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "audit_log")], capture_output=True, text=True, check=True
    )

    assert {"audit_log", "cryptography", "_cffi_backend", "_openssl"} >= set(done.stdout.split())


def test_the_root_in_a_checkpoint_is_that_of_the_leaves(full: Path) -> None:
    """Counted from nothing but leaves, with the tree's definition."""
    with closing(sqlite3.connect(full / "audit.db")) as db:
        leaves = [leaf for (leaf,) in db.execute("SELECT leaf FROM leaves ORDER BY idx")]

    assert encode_base64(root_of(map(leaf_hash, leaves))) == (full / "tiles" / "checkpoint").read_text().split("\n")[2]


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_or_a_cut_in_any_file_never_makes_another_record_good(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever byte of whichever file is hit: a check that still holds means that every leaf is what it was."""
    with closing(sqlite3.connect(small / "audit.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        true = [leaf for (leaf,) in db.execute("SELECT leaf FROM leaves ORDER BY idx")]
    files = sorted(path.relative_to(small) for path in small.rglob("*") if path.is_file() and path.stat().st_size)
    copy = tmp_path_factory.mktemp("hit") / "home"
    shutil.copytree(small, copy)
    file = copy / data.draw(st.sampled_from(files))
    raw = file.read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    file.chmod(0o600)
    if data.draw(st.booleans()):
        file.write_bytes(raw[:place])
    else:
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << data.draw(st.integers(0, 7))]) + raw[place + 1 :])

    report = verify_home(copy)
    if not report.ok:
        return
    with closing(sqlite3.connect(copy / "audit.db")) as db:
        assert [leaf for (leaf,) in db.execute("SELECT leaf FROM leaves ORDER BY idx")] == true
    assert report.tree_size == len(true)
