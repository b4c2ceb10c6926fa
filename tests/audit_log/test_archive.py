# SPDX-License-Identifier: Apache-2.0
"""The archive: whole segments, each checkable from the object storage alone, interrupted or not."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit_log import LogUnavailable, VerificationError
from audit_log.archive import (
    SEGMENT,
    ArchiveRefused,
    ArchiveReport,
    archive_segments,
    restore_segment,
    verify_archive,
)
from audit_log.commands import export_source, hold_place, hold_step
from audit_log.export import ExportSource
from audit_log.holds import HoldScope
from tests.audit_log.bucket import MemoryBucket

ORIGIN = "audit.example.com/test"
NOW = 1_830_000_000.0
BASE = f"logs/{ORIGIN}/"


@pytest.fixture(scope="module")
def source(built_long_home: Path) -> Iterator[ExportSource]:
    with export_source(built_long_home) as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(source: ExportSource) -> MemoryBucket:
    bucket = MemoryBucket()
    archived(source, bucket)
    return bucket


def archived(source: ExportSource, bucket: MemoryBucket, **more: object) -> dict[str, object]:
    return archive_segments(source, bucket, prefix="logs/", lock_days=10, clock=lambda: NOW, **more)  # type: ignore[arg-type]


def verified(source: ExportSource, bucket: MemoryBucket, expected: range = range(2)) -> ArchiveReport:
    keys = source.verifiers
    return verify_archive(bucket, prefix="logs/", origin=ORIGIN, verifiers=keys, expected=expected)


def copy(bucket: MemoryBucket) -> MemoryBucket:
    made = MemoryBucket()
    made.data, made.facts = dict(bucket.data), dict(bucket.facts)
    return made


def test_full_segments_are_copied_locked_and_checkable(source: ExportSource, filled: MemoryBucket) -> None:
    """The tail of the log is not: it is no full segment yet."""
    assert [*filled.folders(BASE)] == ["00000000", "00000001"]
    assert {facts.locked_until for facts in filled.facts.values()} == {NOW + 864_000.0}
    report = verified(source, filled)
    assert (report.ok, report.segments, report.records, report.first) == (True, 2, 2 * SEGMENT, 0)
    assert report.as_json()["locked_until"] == "2028-01-07T13:20:00.000000Z"


def test_a_second_run_copies_nothing_and_a_dry_run_neither(source: ExportSource, filled: MemoryBucket) -> None:
    """They say what is there and what would be copied."""
    before = len(filled.puts)
    found = archived(source, filled)
    assert (found["copied"], found["there"], len(filled.puts)) == ([], [0, 1], before)
    empty = MemoryBucket()
    assert archived(source, empty, dry_run=True)["copied"] == [0, 1]
    assert empty.puts == []


@pytest.mark.parametrize(("at", "stores"), [(0, True), (1, False), (3, True)])
def test_an_interrupted_copy_goes_on(source: ExportSource, at: int, stores: bool) -> None:
    """Whether the request that failed stored its object or not; what is there is not put again."""
    bucket = MemoryBucket()
    bucket.fails_at, bucket.stores_failed = at, stores
    with pytest.raises(LogUnavailable):
        archived(source, bucket)
    archived(source, bucket)
    assert len(bucket.puts) == (4 if stores else 5)
    assert verified(source, bucket).ok


def test_a_copy_that_was_cut_short_or_is_not_there_does_not_count(source: ExportSource, filled: MemoryBucket) -> None:
    """The check names it."""
    bucket = copy(filled)
    del bucket.data[f"{BASE}00000001/segment.json"], bucket.facts[f"{BASE}00000001/segment.json"]
    report = verified(source, bucket)
    assert (report.ok, report.segments) == (False, 1)
    assert "segment 1" in report.problems[0]
    assert verified(source, filled, range(3)).missing == [2]


def changed(bucket: MemoryBucket, **fields: object) -> MemoryBucket:
    key = f"{BASE}00000001/segment.json"
    bucket.data[key] = json.dumps({**json.loads(bucket.data[key]), **fields}).encode()
    return bucket


def repacked(bucket: MemoryBucket, lines: list[bytes]) -> MemoryBucket:
    """A forger who also corrects the hash in segment.json."""
    from hashlib import sha256

    data = gzip.compress(b"".join(line + b"\n" for line in lines), 1)
    bucket.data[f"{BASE}00000001/records.jsonl.gz"] = data
    return changed(bucket, files={"records.jsonl.gz": {"sha256": sha256(data).hexdigest(), "bytes": str(len(data))}})


def test_whatever_was_changed_is_found(source: ExportSource, filled: MemoryBucket, tmp_path: Path) -> None:
    """A flipped byte, a forged record, one that is missing, another log's mark, a lock that is gone."""
    name = f"{BASE}00000001/records.jsonl.gz"
    lines = gzip.decompress(filled.data[name]).split(b"\n")[:-1]
    first = json.loads(filled.data[f"{BASE}00000000/segment.json"])
    flipped, unlocked = copy(filled), copy(filled)
    flipped.data[name] = bytes([filled.data[name][0] ^ 1]) + filled.data[name][1:]
    unlocked.facts[name] = replace(filled.facts[name], locked_until=None)
    junk = copy(filled)
    junk.data[f"{BASE}00000001/segment.json"] = b"[]"
    for bucket in (
        flipped,
        unlocked,
        junk,
        *(repacked(copy(filled), [*lines[:at], lines[at] + b" ", *lines[at + 1 :]]) for at in (0, 1, 40_000)),
        repacked(copy(filled), lines[:-1]),
        repacked(copy(filled), [*lines, b"{}"]),
        changed(copy(filled), origin="other"),
        changed(copy(filled), first="0"),
        changed(copy(filled), proof=first["proof"]),
        changed(copy(filled), files={}),
    ):
        with pytest.raises(VerificationError):
            restore_segment(
                bucket, prefix="logs/", origin=ORIGIN, verifiers=source.verifiers, number=1, out=tmp_path / "s"
            )
    report = verified(source, flipped)
    assert (report.ok, report.segments, len(report.problems)) == (False, 1, 1)
    assert [*tmp_path.iterdir()] == []


def test_a_segment_comes_back_as_it_was(source: ExportSource, filled: MemoryBucket, tmp_path: Path) -> None:
    """Byte for byte, and never over something."""
    at = {"prefix": "logs/", "origin": ORIGIN, "verifiers": source.verifiers, "number": 1, "out": tmp_path / "s"}
    assert restore_segment(filled, **at) == SEGMENT  # type: ignore[arg-type]
    assert (tmp_path / "s").read_bytes().split(b"\n")[:-1] == [*source.store.leaves(SEGMENT, 2 * SEGMENT)]
    with pytest.raises(ArchiveRefused):
        restore_segment(filled, **at)  # type: ignore[arg-type]


def test_a_bucket_that_cannot_lock_is_refused(source: ExportSource) -> None:
    """Before anything is copied."""
    bucket = MemoryBucket(can_lock=False)
    with pytest.raises(ArchiveRefused):
        archived(source, bucket)
    assert bucket.puts == []


def test_legal_holds_go_with_the_copies(long_home: Path, filled: MemoryBucket) -> None:
    """A hold keeps its segment and everything behind it, there as here, until it is lifted."""
    bucket = copy(filled)
    scope = HoldScope(since_us=1_790_000_000_000_000)
    hold = str(hold_place(long_home, scope, reason="case-7", by="a", role="officer", clock=lambda: NOW)["id"])
    with export_source(long_home) as source:
        assert archived(source, bucket)["held"] == [1]
    assert {key for key, facts in bucket.facts.items() if facts.is_held} == {
        f"{BASE}00000001/records.jsonl.gz",
        f"{BASE}00000001/segment.json",
    }
    for event, by, role in (("approve", "b", "admin"), ("lift", "a", "officer"), ("approve", "b", "admin")):
        hold_step(long_home, hold, event, by=by, role=role, clock=lambda: NOW)
    with export_source(long_home) as source:
        assert archived(source, bucket)["held"] == []
    assert not any(facts.is_held for facts in bucket.facts.values())


def test_a_view_for_data_tools_lies_beside(source: ExportSource) -> None:
    """Where it is wanted; it is checked by its hash."""
    pytest.importorskip("pyarrow")
    bucket = MemoryBucket()
    archived(source, bucket, parquet=True)
    assert f"{BASE}00000000/records.parquet" in bucket.data
    assert verified(source, bucket).ok
    bucket.data[f"{BASE}00000000/records.parquet"] += b"x"
    assert not verified(source, bucket).ok
