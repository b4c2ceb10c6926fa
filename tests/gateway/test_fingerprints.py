# SPDX-License-Identifier: Apache-2.0
"""The store of fingerprints and marks."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from gateway.fingerprints import FingerprintStore, Kept
from labeling.fingerprint import Print
from labeling.fingerprint.sketch import IMAGE_BYTES, of_set

ONE = "0199f0c4-0000-7000-8000-000000000001"
TWO = "0199f0c4-0000-7000-8000-000000000002"


def text(first: int) -> Print:
    """A fingerprint of a made-up text; near numbers are like."""
    runs = np.arange(first, first + 400, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return Print("text", of_set(runs))


@pytest.fixture
def store(tmp_path: Path) -> FingerprintStore:
    """An empty store."""
    return FingerprintStore(tmp_path / "fingerprints.db")


def test_the_likest_work_is_found(store: FingerprintStore) -> None:
    """Of several like ones the nearest; of strangers none."""
    store.keep([Kept(ONE, 1.0, (text(0),)), Kept(TWO, 2.0, (text(60),))])
    hit = store.find(text(55))
    assert hit is not None and hit.record_id == TWO and hit.kind == "text" and 0.5 <= hit.likeness <= 1
    assert store.find(text(10_000)) is None
    assert store.find(Print("image", bytes(IMAGE_BYTES))) is None


def test_a_mark_leads_to_its_record(store: FingerprintStore) -> None:
    """And an unknown one to none."""
    store.keep([Kept(ONE, 1.0, payload=b"abcdef"), Kept(TWO, 1.0, payload=b"ghijkl")])
    assert store.records_of(b"abcdef") == (ONE,)
    assert store.records_of(b"nobody") == ()


def test_the_same_work_twice_is_kept_once(store: FingerprintStore) -> None:
    """A wire may say a file twice."""
    store.keep([Kept(ONE, 1.0, (text(0),), b"abcdef")])
    store.keep([Kept(ONE, 2.0, (text(0),), b"abcdef")])
    assert store.records_of(b"abcdef") == (ONE,)
    assert store.forget([ONE]) == 2


def test_an_erased_record_is_gone_in_every_form(store: FingerprintStore, tmp_path: Path) -> None:
    """Its fingerprint and its mark; others stay. Nothing of it is left in any table."""
    store.keep([Kept(ONE, 1.0, (text(0),), b"abcdef"), Kept(TWO, 1.0, (text(5_000),), b"ghijkl")])
    assert store.forget([ONE]) == 2
    assert store.find(text(0)) is None and store.records_of(b"abcdef") == ()
    assert store.find(text(5_000)) is not None and store.records_of(b"ghijkl") == (TWO,)
    assert store.forget([ONE]) == 0
    store.forget([TWO])
    with sqlite3.connect(tmp_path / "fingerprints.db") as other:
        counts = [
            other.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("prints", "bands", "marks")
        ]
    other.close()
    assert counts == [0, 0, 0]


def test_old_works_are_forgotten(store: FingerprintStore) -> None:
    """Those before a time, and no other."""
    store.keep([Kept(ONE, 100.0, (text(0),), b"abcdef"), Kept(TWO, 200.0, (text(5_000),))])
    assert store.forget_before(150.0) == 2
    assert store.find(text(0)) is None and store.find(text(5_000)) is not None


def test_all_of_a_batch_or_none(store: FingerprintStore) -> None:
    """A record that is none breaks the batch, and nothing of it stays."""
    with pytest.raises(ValueError, match="badly formed"):
        store.keep([Kept(ONE, 1.0, (text(0),)), Kept("no record", 1.0)])
    assert store.find(text(0)) is None
    store.keep([Kept(ONE, 1.0, (text(0),))])
    assert store.find(text(0)) is not None


def test_processes_share_the_file(store: FingerprintStore, tmp_path: Path) -> None:
    """What one worker keeps another finds; many threads at once lose nothing."""
    other = FingerprintStore(tmp_path / "fingerprints.db")
    workers = [
        threading.Thread(target=each.keep, args=([Kept(ONE, 1.0, (text(1_000 * number),))],))
        for number, each in enumerate([store, other] * 4, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(store.find(text(1_000 * number)) is not None for number in range(1, 9))
    other.close()
    store.close()
