# SPDX-License-Identifier: Apache-2.0
"""Files that are served by address: whole, for a time, and unreadable for whoever has the folder alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.media_store import MediaStore, MediaStoreError, MediumWithheld, StoredMedium

NOW = 1_780_000_000.0


class Clock:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def store(folder: Path, clock: Clock, most_bytes: int = 1 << 20) -> MediaStore:
    """A store that keeps files for an hour."""
    return MediaStore(folder / "media", 3_600.0, most_bytes, clock)


def kept(folder: Path) -> list[Path]:
    """The files of the folder but its key."""
    return [path for path in (folder / "media").iterdir() if path.name != "names.key"]


def test_a_file_comes_back_as_it_was_put(tmp_path: Path) -> None:
    """With its type, and when it expires."""
    made = store(tmp_path, Clock())
    token = made.put(b"\x89PNG\nrest", "image/png")
    assert made.get(token) == StoredMedium(b"\x89PNG\nrest", "image/png", NOW + 3_601)


def test_another_process_reads_it(tmp_path: Path) -> None:
    """Workers share the folder and nothing else; a named file has one token for all of them."""
    clock = Clock()
    token = store(tmp_path, clock).put(b"data", "image/png", b"a name")
    other = store(tmp_path, clock)
    assert other.token_of(b"a name") == token and other.get(token) is not None
    assert other.token_of(b"another name") != token


def test_the_folder_tells_nothing_to_who_has_no_token(tmp_path: Path) -> None:
    """Neither content nor type nor token stand on the disk, and only the owner may look."""
    made = store(tmp_path, Clock())
    token = made.put(b"a secret picture", "image/png")
    [path] = kept(tmp_path)
    raw = path.read_bytes()
    assert b"secret" not in raw and b"image" not in raw and token not in path.name
    assert stat.S_IMODE((tmp_path / "media").stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_expired_file_is_gone_at_once_and_deleted_by_the_next_sweep(tmp_path: Path) -> None:
    """Not given out a second longer, whenever the sweep comes."""
    clock = Clock()
    made = store(tmp_path, clock)
    token = made.put(b"data", "image/png")
    clock.now += 3_602
    assert made.get(token) is None and len(kept(tmp_path)) == 1
    assert made.sweep() == 1 and kept(tmp_path) == []


def test_putting_a_file_sweeps_now_and_then(tmp_path: Path) -> None:
    """A folder that nobody sweeps does not grow for ever."""
    clock = Clock()
    made = store(tmp_path, clock)
    made.put(b"old", "image/png")
    clock.now += 4_000
    made.put(b"new", "image/png")
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("token", ["", "x", "../../../etc/passwd", "a" * 32, "a" * 33, "ä" * 32, "a" * 31 + "\n"])
def test_a_made_up_token_finds_nothing(tmp_path: Path, token: str) -> None:
    """Whatever it looks like, and before there is a folder."""
    made = store(tmp_path, Clock())
    assert made.get(token) is None
    made.put(b"data", "image/png")
    assert made.get(token) is None


@pytest.mark.parametrize("at", [0, 7, 8, 20, -1])
def test_a_file_that_was_changed_on_the_disk_is_not_given_out(tmp_path: Path, at: int) -> None:
    """Its time is part of what is sealed: nobody makes it last longer."""
    made = store(tmp_path, Clock())
    token = made.put(b"data", "image/png")
    [path] = kept(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    assert made.get(token) is None
    path.write_bytes(raw[:10])
    assert made.get(token) is None


def test_a_full_folder_takes_nothing_more(tmp_path: Path) -> None:
    """And says which setting it is; what is there stays."""
    made = store(tmp_path, Clock(), most_bytes=1_000)
    token = made.put(b"x" * 500, "image/png")
    with pytest.raises(MediaStoreError, match="link_store_bytes"):
        made.put(b"x" * 500, "image/png")
    assert made.get(token) is not None


def test_what_was_never_finished_is_swept_after_an_hour(tmp_path: Path) -> None:
    """A crash between writing and renaming leaves a part under another name."""
    clock = Clock()
    made = store(tmp_path, clock)
    made.put(b"data", "image/png")
    part = tmp_path / "media" / "tmpabc.new"
    part.write_bytes(b"half")
    os.utime(part, (NOW, NOW))
    assert made.sweep() == 0
    clock.now += 3_599  # before the file above expires
    assert made.sweep() == 0
    clock.now += 2
    assert made.sweep() >= 1 and not part.exists()


def test_a_work_is_claimed_by_one_until_it_is_released_or_its_time_is_over(tmp_path: Path) -> None:
    """Two workers do not label one film; the claim of one that died ends."""
    clock = Clock()
    one, other = store(tmp_path, clock), store(tmp_path, clock)
    assert not one.is_claimed(b"film", 60)
    assert one.claim(b"film", 60) and not other.claim(b"film", 60) and other.is_claimed(b"film", 60)
    assert other.claim(b"another film", 60)
    clock.now += 61
    assert not other.is_claimed(b"film", 60) and other.claim(b"film", 60)
    other.release(b"film")
    assert one.claim(b"film", 60)


def test_what_was_taken_down_is_not_given_out(tmp_path: Path) -> None:
    """By the record of the exchange that made it, in every process, until the takedown ends; other files are served."""
    withheld = {"record-1"}
    made = MediaStore(tmp_path / "media", 3_600.0, 1 << 20, Clock(), is_withheld=withheld.__contains__)
    taken = made.put(b"one", "image/png", b"a name", "record-1")
    others = [made.put(b"two", "image/png", None, "record-2"), made.put(b"three", "image/png")]
    with pytest.raises(MediumWithheld):
        made.get(taken)
    assert all(made.get(token) is not None for token in others)
    withheld.clear()
    assert made.get(taken) == StoredMedium(b"one", "image/png", NOW + 3_601)
