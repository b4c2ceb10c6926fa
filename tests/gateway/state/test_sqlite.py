# SPDX-License-Identifier: Apache-2.0
"""What is special about the file: it survives, several processes share it, and a bad one is refused."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.state import SqliteState, StateError, StateUnavailable
from gateway.state.sqlite import SWEEP_EVERY_S

NOW = 1_772_330_400.0
DAY = "2026-03-01"


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """A restarted service gives nobody a fresh day."""

    async def story() -> tuple[float, str | None, int]:
        state = SqliteState(tmp_path / "s.db", lambda: NOW, 5)
        await state.touch_usage("a", NOW, DAY, 300)
        await state.touch_usage("a", NOW + 40, DAY, 300)
        await state.touch_usage("a", NOW + 41, "2026-02-28", 300)
        await state.remember("k", "值", 100)
        await state.add("n", 2, 100)
        await state.close()
        again = SqliteState(tmp_path / "s.db", lambda: NOW, 5)
        try:
            usage = await again.touch_usage("a", NOW + 50, DAY, 300)
            return usage.day_seconds, await again.recall("k"), await again.add("n", 1, 100)
        finally:
            await again.close()

    assert asyncio.run(story()) == (49.0, "值", 3)


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Pseudonyms and times are personal data."""

    async def story() -> None:
        state = SqliteState(tmp_path / "s.db", lambda: NOW, 5)
        await state.add("n", 1, 100)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        await state.close()

    asyncio.run(story())


def test_several_processes_count_together(tmp_path: Path) -> None:
    """Two workers that add at once lose nothing and see no number twice."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom gateway.state import SqliteState\n"
        "async def main():\n"
        " state = SqliteState(Path(sys.argv[1]), lambda: 1.0, 10)\n"
        " for _ in range(20):\n"
        "  print(*await asyncio.gather(*(state.add('n', 1, 100) for _ in range(10))))\n"
        " await state.close()\n"
        "asyncio.run(main())\n"
    )
    command = (sys.executable, "-c", program, str(tmp_path / "s.db"))
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [worker.communicate(timeout=30)[0] for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0]
    assert list(range(1, 401)) == sorted(int(number) for number in b" ".join(outputs).split())


@pytest.mark.parametrize(
    "content", [b"not a database, just a long enough text" * 100, b"SQLite format 3\0garbage" * 50]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its name and the next step, and without being touched."""
    path = tmp_path / "s.db"
    path.write_bytes(content)

    with pytest.raises(StateError, match="move it away"):
        SqliteState(path, lambda: NOW, 5)

    assert content == path.read_bytes()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An older program must not write into a file it does not understand."""
    db = sqlite3.connect(tmp_path / "s.db")
    db.execute("PRAGMA user_version=2")
    db.close()

    with pytest.raises(StateError, match="newer version"):
        SqliteState(tmp_path / "s.db", lambda: NOW, 5)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """It is not created by starting."""
    with pytest.raises(StateError, match="writable folder"):
        SqliteState(tmp_path / "nowhere" / "s.db", lambda: NOW, 5)


def test_a_lock_that_is_not_given_back_ends_in_an_error(tmp_path: Path) -> None:
    """A worker that hangs with the lock does not hang the others."""

    async def story() -> int:
        state = SqliteState(tmp_path / "s.db", lambda: NOW, 0.05)
        lock = os.open(tmp_path / "s.db.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with pytest.raises(StateUnavailable):
                await state.add("n", 1, 100)
        finally:
            os.close(lock)
        try:
            return await state.add("m", 1, 100)
        finally:
            await state.close()

    assert asyncio.run(story()) == 1


def test_a_file_that_breaks_under_way_fails_closed(tmp_path: Path) -> None:
    """The callers get `StateUnavailable`, without what was asked."""

    async def story() -> None:
        state = SqliteState(tmp_path / "s.db", lambda: NOW, 5)
        other = sqlite3.connect(tmp_path / "s.db")
        other.execute("ALTER TABLE counters RENAME TO elsewhere")
        with pytest.raises(StateUnavailable, match=r"^the state file failed: OperationalError$"):
            await state.add("somebody", 1, 100)
        other.execute("ALTER TABLE elsewhere RENAME TO counters")
        other.close()
        assert await state.add("somebody", 1, 100) == 1  # the next batch is not in a broken transaction
        await state.close()

    asyncio.run(story())


def test_expired_rows_are_removed(tmp_path: Path) -> None:
    """Nothing about a person is kept beyond its time."""
    now = NOW

    async def story() -> None:
        nonlocal now
        state = SqliteState(tmp_path / "s.db", lambda: now, 5)
        await state.touch_usage("a", now, DAY, 300)
        await state.remember("a", "v", 100)
        await state.add("a", 1, 100)
        now += 73 * 3600 + SWEEP_EVERY_S
        await state.recall("other")
        await state.close()

    asyncio.run(story())
    db = sqlite3.connect(tmp_path / "s.db")
    left = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("usage", "remembered", "counters")]
    db.close()

    assert left == [0, 0, 0]
