# SPDX-License-Identifier: Apache-2.0
"""Calls that wait together travel together: one round trip, or one transaction, for many callers.

The first call sends at the end of the event loop's turn what that turn has brought; while its batch is on the way,
the next calls gather, and go when it is back. Nobody lingers for company. What must hold: every caller gets its own
answer, its own error or `StateUnavailable` within the time limit; a caller that leaves does not disturb the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any

from gateway.state.interfaces import StateUnavailable

Operation = tuple[Any, ...]
"""The name of what to do and its arguments; the store that runs the batch knows its shape."""

Run = Callable[[Sequence[Operation]], Awaitable[Sequence[Any]]]
"""Does a batch and returns one result for each operation, in order; a `StateUnavailable` among them is raised to
that operation's caller alone. Raises only `StateUnavailable`, which all callers of the batch get."""

MAX_BATCH = 512
MAX_WAITING = 20_000


class Gather:
    """Gathers operations for `run`. `timeout_s` bounds one caller's whole wait, queueing included."""

    def __init__(self, run: Run, timeout_s: float) -> None:
        self._run = run
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Operation, asyncio.Future[Any]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._is_closed = False

    async def call(self, operation: Operation) -> Any:
        """The result of `operation`. Raises `StateUnavailable`."""
        if self._is_closed:
            raise StateUnavailable("the state is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise StateUnavailable(f"{MAX_WAITING} calls wait for the state already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((operation, future))
        if self._sender is None:
            self._sender = loop.create_task(self._send(), name="state-gather")
        # A handle instead of asyncio.timeout: this is on the request path, and a future is all there is to give up.
        limit = loop.call_later(self._timeout_s, self._give_up, future)
        try:
            return await future
        finally:
            limit.cancel()

    async def close(self) -> None:
        """Refuse new calls and let those that wait finish."""
        self._is_closed = True
        if self._sender is not None:
            await asyncio.wait((self._sender,))

    def _give_up(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            future.set_exception(StateUnavailable(f"the state did not answer within {self._timeout_s:g} s"))

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self._send_batch()
        finally:
            self._sender = None

    async def _send_batch(self) -> None:
        # Callers that have given up are left out: what nobody waits for need not be done.
        batch = [item for item in islice(self._waiting, MAX_BATCH) if not item[1].done()]
        for _ in range(min(MAX_BATCH, len(self._waiting))):
            self._waiting.popleft()
        if not batch:
            return
        try:
            results = await self._run([operation for operation, _ in batch])
        except asyncio.CancelledError:
            _fail(batch, StateUnavailable("the state is shutting down"))
            raise
        except StateUnavailable as error:
            _fail(batch, error)
            return
        except BaseException as error:
            # A fault of ours: the callers fail closed, and the fault itself goes on to whoever watches the task.
            _fail(batch, StateUnavailable(f"the state failed: {type(error).__name__}"))
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, StateUnavailable):
                future.set_exception(result)
            else:
                future.set_result(result)


def _fail(batch: Sequence[tuple[Operation, asyncio.Future[Any]]], error: StateUnavailable) -> None:
    for _, future in batch:
        if not future.done():
            # Each caller its own object: one exception raised in many tasks would gather all their tracebacks.
            future.set_exception(StateUnavailable(*error.args))
