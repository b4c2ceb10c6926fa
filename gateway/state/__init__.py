# SPDX-License-Identifier: Apache-2.0
"""State: counters and facts about people that all processes and replicas of a service share.

Three stores with one contract (`interfaces.State`): Redis for several machines, one SQLite file for one machine, and
memory for one process. `open_state` picks; a choice in which each process would count for itself is refused, because
every limit would then be as many times too wide.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gateway.state.interfaces import State, StateError, StateUnavailable, Usage
from gateway.state.memory import MemoryState
from gateway.state.orders import MemoryOrders, Order, Orders
from gateway.state.orders_sqlite import SqliteOrders
from gateway.state.sqlite import SqliteState

__all__ = [
    "MemoryOrders",
    "MemoryState",
    "Order",
    "Orders",
    "SqliteOrders",
    "SqliteState",
    "State",
    "StateError",
    "StateUnavailable",
    "Usage",
    "open_orders",
    "open_state",
]


def open_orders(redis_url: str, path: Path | None, timeout_s: float, clock: Callable[[], float] = time.time) -> Orders:
    """The orders of this service: in Redis where `redis_url` is set, else in the file `path`, else in memory.

    Raises `StateError`.
    """
    if redis_url:
        from gateway.state.orders_redis import RedisOrders  # here, so that nobody else pays for loading its client

        return RedisOrders(redis_url, clock, timeout_s)
    return MemoryOrders(clock) if path is None else SqliteOrders(path, clock, timeout_s)


def open_state(
    redis_url: str, path: Path | None, workers: int, timeout_s: float, clock: Callable[[], float] = time.time
) -> State:
    """The state of this service, opened in the process and event loop that will use it.

    Redis where `redis_url` is set; else the file `path`, which all `workers` of this machine share and which survives
    a restart; else memory, for one worker only. Raises `StateError`.
    """
    if redis_url:
        from gateway.state.redis import RedisState  # here, so that nobody else pays for loading its client

        return RedisState(redis_url, timeout_s)
    if path is not None:
        return SqliteState(path, clock, timeout_s)
    if workers > 1:
        raise StateError(f"{workers} workers need shared state: set redis.url or give a state file")
    return MemoryState(clock)
