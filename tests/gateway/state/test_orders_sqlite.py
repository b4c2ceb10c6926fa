# SPDX-License-Identifier: Apache-2.0
"""Orders in a file: there after a restart, shared by processes, refused where it is none of ours."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.state import SqliteOrders, StateError, StateUnavailable


def clock() -> float:
    """A fixed time."""
    return 1_700_000_000.0


def test_what_was_ordered_is_there_after_a_restart(tmp_path: Path) -> None:
    """A pause that a restart lifts would be worse than none; nobody else may read the file."""
    path = tmp_path / "orders.db"

    async def write() -> None:
        orders = SqliteOrders(path, clock, 5.0)
        await orders.put("pause/1", "x")
        await orders.close()

    async def read() -> str | None:
        orders = SqliteOrders(path, clock, 5.0)
        held = await orders.get("pause/1")
        assert await orders.put("pause/2", "y") == 2
        await orders.close()
        return None if held is None else held.value

    asyncio.run(write())
    assert asyncio.run(read()) == "x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_that_share_the_file_see_each_other(tmp_path: Path) -> None:
    """As two worker processes do."""

    async def scene() -> None:
        one, two = SqliteOrders(tmp_path / "o.db", clock, 5.0), SqliteOrders(tmp_path / "o.db", clock, 5.0)
        await one.put("pause/1", "x")
        assert (await two.changes(0))[0] == 1
        assert await two.put("pause/1", None, if_number=1) == 2
        assert [item.value for item in (await one.changes(1))[1]] == [None]
        await one.close()
        await two.close()

    asyncio.run(scene())


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """With its name and the next step; nothing is begun in its place."""
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(StateError, match=r"text\.db.*backup"):
        SqliteOrders(tmp_path / "text.db", clock, 1.0)
    later = sqlite3.connect(tmp_path / "later.db")
    later.execute("PRAGMA user_version=99")
    later.close()
    with pytest.raises(StateError, match="newer version"):
        SqliteOrders(tmp_path / "later.db", clock, 1.0)
    with pytest.raises(StateError, match="cannot be opened"):
        SqliteOrders(tmp_path / "nowhere" / "o.db", clock, 1.0)


def test_a_locked_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """The caller's failure rule decides."""

    async def scene() -> None:
        orders = SqliteOrders(tmp_path / "o.db", clock, 0.05)
        other = sqlite3.connect(tmp_path / "o.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateUnavailable, match="file of orders failed"):
            await orders.put("pause/1", "x")
        other.execute("ROLLBACK")
        other.close()
        assert await orders.put("pause/1", "x") == 1
        await orders.close()

    asyncio.run(scene())
