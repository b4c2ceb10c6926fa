# SPDX-License-Identifier: Apache-2.0
"""Which store a service gets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.state import MemoryState, SqliteState, State, StateError, open_state


def kind_of(state: State) -> str:
    try:
        return type(state).__name__
    finally:
        asyncio.run(state.close())


@pytest.mark.parametrize("workers", [1, 4])
def test_redis_is_used_where_it_is_configured(tmp_path: Path, workers: int) -> None:
    """Replicas must share; a file beside it is not touched."""
    assert kind_of(open_state("redis://127.0.0.1:1", tmp_path / "s.db", workers, 1.0)) == "RedisState"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_a_file_is_used_where_there_is_no_redis(tmp_path: Path, workers: int) -> None:
    """Workers share it, and one worker's counts survive its restart."""
    assert kind_of(open_state("", tmp_path / "s.db", workers, 1.0)) == SqliteState.__name__


def test_memory_is_used_for_one_worker_without_a_file() -> None:
    """For tests and for what need not last."""
    assert kind_of(open_state("", None, 1, 1.0)) == MemoryState.__name__


def test_several_workers_never_count_each_for_themselves() -> None:
    """Four memories would make every limit four times too wide."""
    with pytest.raises(StateError, match=r"4 workers need shared state: set redis\.url"):
        open_state("", None, 4, 1.0)
