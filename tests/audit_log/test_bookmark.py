# SPDX-License-Identifier: Apache-2.0
"""A long check is stopped and goes on later, and believes a bookmark only where the log itself bears it out."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from audit_log import VerificationError, verify_home
from audit_log.bookmark import BookmarkFile
from audit_log.keys import read_vkeys
from audit_log.tiles import SEGMENT


class StoppedError(Exception):
    pass


def stop_at(index: int) -> object:
    def progress(done: int, total: int) -> None:
        if done >= index:
            raise StoppedError

    return progress


def interrupted(home: Path, file: Path) -> None:
    with pytest.raises(StoppedError):
        verify_home(home, resume=file, progress=stop_at(SEGMENT + 20_000))  # type: ignore[arg-type]


def test_a_check_goes_on_where_it_was_stopped(long_home: Path, tmp_path: Path) -> None:
    """The second run begins behind the bookmark, ends with the same report, and leaves no file."""
    file = tmp_path / "resume"
    interrupted(long_home, file)
    assert json.loads(file.read_text())["size"] == SEGMENT
    seen: list[int] = []
    report = verify_home(long_home, resume=file, progress=lambda done, total: seen.append(done))

    assert min(seen) >= SEGMENT
    assert report == verify_home(long_home)
    assert report.ok and not file.exists()


def test_what_is_wrong_behind_the_bookmark_is_found_and_before_it_kept(long_home: Path, tmp_path: Path) -> None:
    """A leaf that was changed behind it is named; what the first run found is still in the report of the second."""
    file = tmp_path / "resume"
    with closing(sqlite3.connect(long_home / "audit.db")) as db, db:
        db.execute("DELETE FROM rows WHERE idx = 77")
    interrupted(long_home, file)
    with closing(sqlite3.connect(long_home / "audit.db")) as db, db:
        db.execute("UPDATE leaves SET leaf = replace(leaf, 'by-hand', 'by-head') WHERE idx = ?", (SEGMENT + 9,))
    report = verify_home(long_home, resume=file)

    assert report.first_bad_index == 77
    assert any(f"leaf {SEGMENT + 9}" in problem for problem in report.problems)


@pytest.mark.parametrize(
    "change", [{"levels": [[], [], ["00" * 32]]}, {"log": "other"}, {"size": SEGMENT + 1}, {"size": 1 << 40}]
)
def test_a_bookmark_of_another_tree_begins_anew(long_home: Path, tmp_path: Path, change: dict[str, object]) -> None:
    """Changed hashes, another minimum, other keys: all leaves are read."""
    file = tmp_path / "resume"
    interrupted(long_home, file)
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    seen: list[int] = []
    assert verify_home(long_home, resume=file, progress=lambda done, total: seen.append(done)).ok
    assert min(seen) == 0


@pytest.mark.parametrize("text", ["", "[]", '{"log": 1}', "\xff"])
def test_a_file_that_is_no_bookmark_is_said_so(long_home: Path, tmp_path: Path, text: str) -> None:
    """One kind of error; the check does not begin as if nothing had been asked."""
    file = tmp_path / "resume"
    file.write_text(text)
    bookmarks = BookmarkFile(file, read_vkeys(long_home), 0)
    if text == '{"log": 1}':
        assert bookmarks.read() is None
        return
    with pytest.raises(VerificationError, match="delete it"):
        bookmarks.read()
    assert not verify_home(long_home, resume=file).ok
