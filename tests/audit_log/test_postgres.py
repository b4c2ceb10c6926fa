# SPDX-License-Identifier: Apache-2.0
"""The PostgreSQL driver's own promises, against a real server: lost connections, refusals, one publisher."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pytest

from audit_log.errors import LogNotInitialised, LogRefused, LogUnavailable
from audit_log.interfaces import Batch, Meta
from audit_log.postgres import PostgresStore, check_schema_name, create_postgres
from audit_log.record import IndexRow, new_record_id

META = Meta("audit.example.com/test", "vkey", 1.75e9)


def batch(size: int) -> Batch:
    rows = [IndexRow(new_record_id(), None, "exchange", 1, "t", None, None, None, False) for _ in range(size)]
    return Batch([f"leaf {one.id}".encode() for one in rows], rows)


def run_sql(dsn: str, sql: str, *values: object) -> Any:
    async def run() -> Any:
        db = await asyncpg.connect(dsn)
        try:
            return await db.fetch(sql, *values)
        finally:
            await db.close()

    return asyncio.run(run())


@pytest.fixture
def dsn(postgres_dsn: str, schema: str) -> str:
    """A server with a new, empty log."""
    create_postgres(postgres_dsn, schema, META, b"first")
    return postgres_dsn


@pytest.fixture
def store(dsn: str, schema: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(dsn, schema, timeout_s=5)
    yield opened
    opened.close()


@pytest.fixture
def hang_up(dsn: str) -> Callable[[], None]:
    """Ends every connection of a log, as a failing server or network does."""

    def end() -> None:
        run_sql(
            dsn,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dutybound-audit'",
        )

    return end


def test_lost_connections_are_replaced(store: PostgresStore, hang_up: Callable[[], None]) -> None:
    """Reading goes on at once; a write that was cut is reported, and the next one works."""
    store.append(batch(3))
    hang_up()
    assert store.next_index() == 3
    with pytest.raises(LogUnavailable):
        store.append(batch(1))
    assert store.append(batch(2)) == 3


def test_a_connection_lost_within_a_batch_stores_nothing(
    store: PostgresStore, dsn: str, schema: str, hang_up: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes the batch back, and its index is given to the next one."""
    store.append(batch(3))
    execute = asyncpg.Connection.execute
    calls = 0

    async def cut(self: Any, sql: str, *values: object, **more: object) -> Any:
        nonlocal calls
        if sql.startswith("UPDATE coordination"):
            calls += 1
            if calls == 1:
                await asyncio.to_thread(hang_up)
        return await execute(self, sql, *values, **more)

    monkeypatch.setattr(asyncpg.Connection, "execute", cut)
    lost = batch(5)
    with pytest.raises(LogUnavailable):
        store.append(lost)
    assert store.find_batch(lost) is None
    assert (store.append(lost), store.next_index()) == (3, 8)


def test_a_commit_that_worked_but_was_not_heard_of_is_found(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody stores the same records twice."""
    from asyncpg.transaction import Transaction

    store.append(batch(3))
    leave = Transaction.__aexit__

    async def deaf(self: Any, *exception: Any) -> None:
        await leave(self, *exception)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    monkeypatch.setattr(Transaction, "__aexit__", deaf)
    stored = batch(5)
    with pytest.raises(LogUnavailable):
        store.append(stored)
    monkeypatch.undo()
    assert store.find_batch(stored) == 3
    assert store.append(batch(1)) == 8


def test_a_log_is_created_once_and_never_by_opening(dsn: str, schema: str, postgres_dsn: str) -> None:
    """A wrong address cannot start a second history."""
    with pytest.raises(LogRefused, match="exists already"):
        create_postgres(dsn, schema, META, b"second")
    with pytest.raises(LogNotInitialised):
        PostgresStore(dsn, "nothing_here")
    with pytest.raises(LogUnavailable):
        PostgresStore("postgresql://nobody@/x?host=/nowhere", schema, timeout_s=2)
    with pytest.raises(LogUnavailable):
        create_postgres("postgresql://nobody@/x?host=/nowhere", "other", META, b"x")


@pytest.mark.parametrize("name", ["", "A", "a b", 'a"; drop', "é", "a" * 61])
def test_a_schema_has_a_plain_name(name: str) -> None:
    """It stands in statements."""
    with pytest.raises(LogRefused):
        check_schema_name(name)


def test_a_schema_of_the_future_is_refused(dsn: str, schema: str) -> None:
    """Rather than guessed at; and so is one that lost its row."""
    run_sql(dsn, f'UPDATE "{schema}".meta SET version = 99')
    with pytest.raises(LogRefused, match="schema 99"):
        PostgresStore(dsn, schema)
    run_sql(dsn, f'DELETE FROM "{schema}".meta')
    with pytest.raises(LogRefused, match="changed from outside"):
        PostgresStore(dsn, schema)


@pytest.mark.parametrize(("table", "use"), [("coordination", "next_index"), ("head", "head")])
def test_a_missing_row_that_every_log_has_is_refused(
    store: PostgresStore, dsn: str, schema: str, table: str, use: str
) -> None:
    """The database was changed from outside."""
    run_sql(dsn, f'DELETE FROM "{schema}".{table}')
    with pytest.raises(LogRefused, match="changed from outside"):
        getattr(store, use)()
    if table == "coordination":
        with pytest.raises(LogRefused, match="changed from outside"):
            store.append(batch(1))


def test_one_replica_leads_and_another_takes_over(
    store: PostgresStore, dsn: str, schema: str, hang_up: Callable[[], None]
) -> None:
    """When the first resigns, and when its connection dies; the one that lost it is told once."""
    other = PostgresStore(dsn, schema, timeout_s=5)
    assert (store.try_lead(), store.try_lead(), other.try_lead()) == (True, True, False)
    store.resign()
    assert (other.try_lead(), store.try_lead()) == (True, False)
    hang_up()
    assert store.try_lead()
    assert (other.try_lead(), other.try_lead()) == (False, False)
    other.close()


def test_a_commit_waits_for_the_servers_disk(store: PostgresStore, dsn: str, schema: str) -> None:
    """Whatever the server's default says."""
    run_sql(dsn, "ALTER ROLE CURRENT_USER SET synchronous_commit = off")
    try:
        asked = PostgresStore(dsn, schema, timeout_s=5)
        shown = asked._fetch("SHOW synchronous_commit")
        asked.close()
    finally:
        run_sql(dsn, "ALTER ROLE CURRENT_USER RESET synchronous_commit")
    assert [row[0] for row in shown] == ["on"]


def test_a_claim_ends_with_its_process_and_is_taken_again_after_an_outage(
    store: PostgresStore, dsn: str, schema: str, hang_up: Callable[[], None]
) -> None:
    """So that streams of a dead machine are closed, and those of a live one are not."""
    other = PostgresStore(dsn, schema, timeout_s=5)
    store.claim("gw-0/a")
    assert (other.is_claimed("gw-0/a"), other.is_claimed("gw-0/b")) == (True, False)
    hang_up()
    assert not other.is_claimed("gw-0/a")
    store.tidy()
    assert other.is_claimed("gw-0/a")
    store.close()
    deadline = time.monotonic() + 10
    while other.is_claimed("gw-0/a") and time.monotonic() < deadline:
        time.sleep(0.01)  # the server ends the backend in its own time
    assert not other.is_claimed("gw-0/a")
    other.close()
