# SPDX-License-Identifier: Apache-2.0
"""The writer thread: what it groups, how it numbers, and that no waiter is ever told a lie or forgotten."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from audit_log.errors import LogUnavailable, RecordInvalid
from audit_log.interfaces import Batch, KeysChangedError
from audit_log.record import new_record_id
from audit_log.sqlite import SqliteStore
from audit_log.writer import Entry, Writer


class Gate:
    """A store in memory whose every append waits for the test, and fails as the test says."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.batches: list[Batch] = []
        self.arrived = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.before: list[Exception | None] = []
        self.after: list[Exception | None] = []
        self.epoch = 0

    def append(self, batch: Batch) -> int:
        self.arrived.release()
        assert self.go.acquire(timeout=20)
        if self.before and (error := self.before.pop(0)):
            raise error
        first = len(self.leaves)
        self.leaves += batch.leaves
        self.batches.append(batch)
        if self.after and (error := self.after.pop(0)):
            raise error
        return first

    def find_batch(self, batch: Batch) -> int | None:
        return self.leaves.index(batch.leaves[0]) if batch.leaves[0] in self.leaves else None

    def key_epoch(self) -> int:
        return self.epoch

    def tidy(self) -> None:
        raise LogUnavailable("house-keeping failed")

    def subject_key(self, tenant: str, subject: str) -> None:
        return None


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def start(gate: Gate) -> Iterator[Callable[..., Writer]]:
    """Starts a writer on the gate; stops it at the end with the gate wide open."""
    writers: list[Writer] = []

    def make(max_pending: int = 100, store: Any = gate) -> Writer:
        writers.append(Writer(store, "gw/boot", bytes(32), lambda: 1_800_000_000.0, os.urandom, max_pending))
        return writers[-1]

    yield make
    gate.go.release(10_000)
    for writer in writers:
        writer.stop()


def entry(body: bytes | None = None, **fields: object) -> Entry:
    return Entry({"id": new_record_id(), "type": "exchange", **fields}, "p", body)


def submit(writer: Writer, *entries: Entry) -> "Future[int]":
    future: Future[int] = Future()
    writer.submit(entries, future)
    return future


def numbers(gate: Gate) -> list[int]:
    return [int(leaf.rpartition(b'"wseq":"')[2][:-2]) for leaf in gate.leaves]


def test_what_arrives_during_a_sync_is_the_next_batch(gate: Gate, start: Callable[..., Writer]) -> None:
    """Grouping costs no waiting: the first goes alone, all others together."""
    writer = start()
    futures = [submit(writer, entry())]
    assert gate.arrived.acquire(timeout=20)
    futures += [submit(writer, entry()) for _ in range(20)]
    assert writer.pending == 21
    gate.go.release(2)

    assert list(range(21)) == [future.result(20) for future in futures]
    assert [len(batch.leaves) for batch in gate.batches] == [1, 20]
    assert list(range(21)) == numbers(gate)


def test_nobody_is_told_before_the_store_returned(gate: Gate, start: Callable[..., Writer]) -> None:
    """Success means durable."""
    future = submit(start(), entry())
    assert gate.arrived.acquire(timeout=20)

    assert not future.done()
    gate.go.release()
    assert future.result(20) == 0


def test_entries_of_one_call_stay_together(gate: Gate, start: Callable[..., Writer]) -> None:
    """Next to each other, in their order, under the index of the first."""
    writer = start()
    first = submit(writer, entry())
    assert gate.arrived.acquire(timeout=20)
    group, last = submit(writer, *(entry(n=number) for number in range(3))), submit(writer, entry())
    gate.go.release(2)

    assert (first.result(20), group.result(20), last.result(20)) == (0, 1, 4)
    assert [b'"n":0' in gate.leaves[1], b'"n":1' in gate.leaves[2], b'"n":2' in gate.leaves[3]] == [True] * 3


def test_when_the_store_fails_every_waiter_of_the_batch_hears_of_it(gate: Gate, start: Callable[..., Writer]) -> None:
    """Nothing is half-acknowledged, and the numbers are given again."""
    writer = start()
    gate.before = [None, LogUnavailable("the disk is full")]
    good = submit(writer, entry())
    assert gate.arrived.acquire(timeout=20)
    bad = [submit(writer, entry()) for _ in range(5)]
    gate.go.release(2)
    assert good.result(20) == 0
    for future in bad:
        with pytest.raises(LogUnavailable, match="full"):
            future.result(20)
    later = submit(writer, entry())
    gate.go.release()

    assert later.result(20) == 1
    assert numbers(gate) == [0, 1]
    assert (writer.appended, writer.failed, writer.pending) == (2, 5, 0)


def test_a_batch_that_was_stored_after_all_keeps_its_numbers(gate: Gate, start: Callable[..., Writer]) -> None:
    """Its waiters were told that it failed, which is safe; a number given twice would not be."""
    writer = start()
    gate.after = [LogUnavailable("an answer was lost")]
    gate.go.release(2)
    with pytest.raises(LogUnavailable):
        submit(writer, entry(), entry()).result(20)

    assert submit(writer, entry()).result(20) == 2
    assert numbers(gate) == [0, 1, 2]


def test_an_error_of_any_kind_reaches_the_waiters(gate: Gate, start: Callable[..., Writer]) -> None:
    """A bug in a store must not leave an answer hanging; the thread lives on."""
    writer = start()
    gate.before = [ZeroDivisionError()]
    gate.go.release(2)
    with pytest.raises(LogUnavailable, match="ZeroDivisionError"):
        submit(writer, entry()).result(20)

    assert submit(writer, entry()).result(20) == 0


def test_a_record_of_a_wrong_form_is_refused_at_once(start: Callable[..., Writer]) -> None:
    """Before it is queued."""
    writer = start()
    for fields in ({"score": 0.5}, {"id": "x"}, {"type": "x"}, {"t": "now"}, {"writer": "x"}, {"tenant": 5}):
        with pytest.raises(RecordInvalid):
            submit(writer, entry(**fields))

    assert writer.pending == 0


def test_a_record_with_a_body_of_a_wrong_form_fails_alone(gate: Gate, start: Callable[..., Writer]) -> None:
    """Its neighbours in the batch are stored."""
    writer = start()
    first = submit(writer, entry())
    assert gate.arrived.acquire(timeout=20)
    clashing = Entry({"id": new_record_id(), "type": "exchange", "body": {}}, "p", b"body")
    bad, clash = submit(writer, entry(b"body", score=0.5)), submit(writer, clashing)
    good = submit(writer, entry(b"body"))
    gate.go.release(2)

    assert (first.result(20), good.result(20)) == (0, 1)
    for future in (bad, clash):
        with pytest.raises(RecordInvalid):
            future.result(20)
    assert numbers(gate) == [0, 1]
    assert len(gate.batches[1].bodies) == 1
    assert gate.batches[1].bodies[0].key_id in {key.id for key in gate.batches[1].new_keys}


def test_a_batch_of_wrong_records_alone_stores_nothing(gate: Gate, start: Callable[..., Writer]) -> None:
    """And the writer goes on."""
    writer = start()
    gate.go.release(5)
    with pytest.raises(RecordInvalid):
        submit(writer, entry(b"body", score=0.5)).result(20)

    assert submit(writer, entry()).result(20) == 0
    assert len(gate.batches) == 1


def test_bodies_are_sealed_again_when_keys_were_destroyed(gate: Gate, start: Callable[..., Writer]) -> None:
    """The new batch carries a new key and the new epoch."""
    writer = start()
    gate.go.release(5)
    submit(writer, entry(b"one")).result(20)
    gate.before = [KeysChangedError()]
    gate.epoch = 7
    submit(writer, entry(b"two")).result(20)

    first, second = gate.batches
    assert (first.key_epoch, second.key_epoch) == (0, 7)
    assert first.bodies[0].key_id != second.bodies[0].key_id
    assert [second.bodies[0].key_id] == [key.id for key in second.new_keys]


def test_a_key_of_a_batch_that_failed_is_not_used_again(gate: Gate, start: Callable[..., Writer]) -> None:
    """It is stored nowhere."""
    writer = start()
    gate.go.release(5)
    gate.before = [LogUnavailable("no")]
    with pytest.raises(LogUnavailable):
        submit(writer, entry(b"one")).result(20)
    submit(writer, entry(b"two")).result(20)

    assert [gate.batches[0].bodies[0].key_id] == [key.id for key in gate.batches[0].new_keys]


def test_the_queue_has_an_end(gate: Gate, start: Callable[..., Writer]) -> None:
    """Beyond it a record is refused at once instead of waiting without hope."""
    writer = start(max_pending=3)
    futures = [submit(writer, entry()) for _ in range(3)]
    with pytest.raises(LogUnavailable, match="3 records wait"):
        submit(writer, entry())
    gate.go.release(5)
    for future in futures:
        future.result(20)

    assert submit(writer, entry()).result(20) == 3


def test_a_batch_has_an_end(gate: Gate, start: Callable[..., Writer]) -> None:
    """A flood is stored in bites of about a thousand."""
    writer = start(max_pending=10_000)
    futures = [submit(writer, entry()) for _ in range(3000)]
    gate.go.release(50)
    for future in futures:
        future.result(20)

    assert len(gate.leaves) == 3000
    assert max(len(batch.leaves) for batch in gate.batches) <= 1024


def test_after_the_last_record_nothing_is_taken(gate: Gate, start: Callable[..., Writer]) -> None:
    """The shutdown record is the last of its writer."""
    writer = start()
    future: Future[int] = Future()
    writer.submit((entry(),), future, last=True)
    with pytest.raises(LogUnavailable, match="closed"):
        submit(writer, entry())
    gate.go.release()

    assert future.result(20) == 0


def test_what_is_queued_is_written_when_the_writer_stops(gate: Gate, start: Callable[..., Writer]) -> None:
    """Nothing that was accepted is dropped."""
    writer = start()
    futures = [submit(writer, entry()) for _ in range(10)]
    gate.go.release(100)
    writer.stop()

    assert list(range(10)) == [future.result(0) for future in futures]


def test_the_event_loop_is_woken_once_a_batch(gate: Gate, start: Callable[..., Writer]) -> None:
    """Not once a record."""
    writer = start()

    async def run() -> int:
        loop, wakes = asyncio.get_running_loop(), 0
        futures = [loop.create_future() for _ in range(41)]
        original = loop.call_soon_threadsafe

        def counted(*arguments: Any, **options: Any) -> asyncio.Handle:
            nonlocal wakes
            wakes += 1
            return original(*arguments, **options)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        writer.submit((entry(),), futures[0], loop)
        assert await loop.run_in_executor(None, gate.arrived.acquire, True, 20)
        wakes = 0
        for future in futures[1:]:
            writer.submit((entry(),), future, loop)
        gate.go.release(2)
        assert list(range(41)) == await asyncio.gather(*futures)
        return wakes

    assert asyncio.run(run()) == 2


def test_a_waiter_that_gave_up_harms_nobody(gate: Gate, start: Callable[..., Writer]) -> None:
    """Its record stands; its neighbours hear of theirs."""
    writer = start()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        gone, stays = loop.create_future(), loop.create_future()
        writer.submit((entry(),), gone, loop)
        writer.submit((entry(),), stays, loop)
        gone.cancel()
        gate.go.release(2)
        assert await stays == 1

    asyncio.run(run())
    assert numbers(gate) == [0, 1]


def test_an_event_loop_that_is_gone_harms_nobody(gate: Gate, start: Callable[..., Writer]) -> None:
    """The thread lives on."""
    writer = start()

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        writer.submit((entry(),), loop.create_future(), loop)

    asyncio.run(leave())
    gate.go.release(2)

    assert submit(writer, entry()).result(20) == 1


def test_large_leaves_are_counted(start: Callable[..., Writer], store: SqliteStore) -> None:
    """Above 8 KiB a record is kept and worth a look."""
    writer = start(store=store)
    submit(writer, entry(filler="a" * 9000)).result(20)
    submit(writer, entry()).result(20)

    assert writer.over_soft_limit == 1


def test_a_record_may_bring_its_own_time(gate: Gate, start: Callable[..., Writer]) -> None:
    """Else it gets the writer's."""
    writer = start()
    gate.go.release(5)
    submit(writer, entry(t="2026-11-21T08:15:04.123456Z")).result(20)
    submit(writer, entry()).result(20)

    assert b'"t":"2026-11-21T08:15:04.123456Z"' in gate.leaves[0]
    assert b'"t":"2027-01-15T08:00:00.000000Z"' in gate.leaves[1]
    assert [batch.rows[0].t_us for batch in gate.batches] == [1795248904123456, 1_800_000_000_000_000]
