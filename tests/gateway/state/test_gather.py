# SPDX-License-Identifier: Apache-2.0
"""Calls that wait together share one batch, and nothing else."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.state import StateUnavailable
from gateway.state.gather import MAX_BATCH, MAX_WAITING, Gather, Operation


class Store:
    """Echoes operations, remembers its batches, and answers only when its gate is open."""

    def __init__(self) -> None:
        self.batches: list[list[Operation]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = 0

    async def run(self, batch: Sequence[Operation]) -> Sequence[Any]:
        self.running += 1
        assert self.running == 1, "two batches at once"
        self.batches.append(list(batch))
        try:
            await self.gate.wait()
            return [StateUnavailable("bad") if operation == ("bad",) else operation[0] for operation in batch]
        finally:
            self.running -= 1


def test_calls_of_one_turn_are_one_batch_and_later_ones_the_next() -> None:
    """The first batch does not linger; what comes while it is on its way goes together."""

    async def story() -> list[list[Operation]]:
        store = Store()
        gather = Gather(store.run, 5.0)
        store.gate.clear()
        calls = [asyncio.ensure_future(gather.call((i,))) for i in range(3)]
        while not store.batches:
            await asyncio.sleep(0)
        calls += [asyncio.ensure_future(gather.call((i,))) for i in range(3, 7)]
        await asyncio.sleep(0)
        store.gate.set()
        assert list(range(7)) == await asyncio.gather(*calls)
        return store.batches

    assert asyncio.run(story()) == [[(0,), (1,), (2,)], [(3,), (4,), (5,), (6,)]]


def test_a_batch_is_bounded() -> None:
    """A flood goes in pieces, in order, and everybody is answered."""

    async def story() -> list[int]:
        store = Store()
        gather = Gather(store.run, 5.0)
        count = 2 * MAX_BATCH + 1
        assert list(range(count)) == await asyncio.gather(*(gather.call((i,)) for i in range(count)))
        return [len(batch) for batch in store.batches]

    assert asyncio.run(story()) == [MAX_BATCH, MAX_BATCH, 1]


def test_one_refused_operation_fails_its_caller_alone() -> None:
    """The others of the batch have their results."""

    async def story() -> list[Any]:
        gather = Gather(Store().run, 5.0)
        calls = [gather.call(operation) for operation in ((1,), ("bad",), (2,))]
        return await asyncio.gather(*calls, return_exceptions=True)

    one, bad, two = asyncio.run(story())

    assert (one, two) == (1, 2)
    assert isinstance(bad, StateUnavailable)


def test_a_store_that_does_not_answer_is_given_up_in_time() -> None:
    """The limit covers waiting for an earlier batch too, and what nobody waits for is not done."""

    async def story() -> list[list[Operation]]:
        store = Store()
        gather = Gather(store.run, 0.02)
        store.gate.clear()
        first = asyncio.ensure_future(gather.call((1,)))
        while not store.batches:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(gather.call((2,)))
        for call in (first, second):
            with pytest.raises(StateUnavailable, match=r"within 0\.02 s"):
                await call
        store.gate.set()
        await gather.close()
        return store.batches

    assert asyncio.run(story()) == [[(1,)]]


def test_a_caller_that_leaves_does_not_disturb_the_others() -> None:
    """A client that hangs up takes only its own call with it."""

    async def story() -> Any:
        store = Store()
        gather = Gather(store.run, 5.0)
        store.gate.clear()
        leaver, stayer = asyncio.ensure_future(gather.call((1,))), asyncio.ensure_future(gather.call((2,)))
        while not store.batches:
            await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        store.gate.set()
        return await stayer

    assert asyncio.run(story()) == 2


def test_a_fault_fails_the_batch_closed_and_the_next_call_works() -> None:
    """A defect is no silence: the callers get `StateUnavailable`, the loop's handler gets the defect."""
    seen: list[Any] = []

    async def story() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context.get("exception")))
        is_broken = True

        async def run(batch: Sequence[Operation]) -> Sequence[Any]:
            if is_broken:
                raise KeyError("secret")
            return [operation[0] for operation in batch]

        gather = Gather(run, 5.0)
        results = await asyncio.gather(gather.call((1,)), gather.call((2,)), return_exceptions=True)
        assert [str(result) for result in results] == ["the state failed: KeyError"] * 2
        assert results[0] is not results[1]
        is_broken = False
        return await gather.call((3,))

    assert asyncio.run(story()) == 3
    gc.collect()
    assert [KeyError] == [type(error) for error in seen]


def test_the_queue_is_bounded() -> None:
    """A store that stands still does not fill the memory."""

    async def story() -> None:
        store = Store()
        gather = Gather(store.run, 60.0)
        store.gate.clear()
        calls = [asyncio.ensure_future(gather.call((i,))) for i in range(MAX_WAITING)]
        await asyncio.sleep(0)  # all are queued; the first batch goes in the next turn
        with pytest.raises(StateUnavailable, match="wait for the state already"):
            await gather.call((-1,))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        store.gate.set()
        await gather.close()

    asyncio.run(story())
