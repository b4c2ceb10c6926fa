# SPDX-License-Identifier: Apache-2.0
"""Incidents are on disk when they are opened, and are never lost, doubled or changed."""

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from content_filter.errors import FilterError
from content_filter.filter import Role
from content_filter.incidents import Incident, IncidentState, IncidentStore, Transition, new_incident_id

FIRST = Incident(
    id="inc_1",
    opened_at_s=1000.25,
    class_code="A1d",
    rule="term:00000001",
    role=Role.ANSWER,
    record_id="rec_1",
    tenant="t",
    subject="s1",
    released_chars=12,
    start=12,
    end=16,
    filter_digest="ab" * 32,
)


def test_an_opened_incident_survives_the_process(tmp_path: Path) -> None:
    """What was opened is read back equal by another store on the same file, without closing the first."""
    store = IncidentStore(tmp_path / "incidents.db")
    store.open(FIRST, actor="filter", reason="hit")
    other = IncidentStore(tmp_path / "incidents.db")

    assert other.get("inc_1") == FIRST
    assert other.get("inc_2") is None
    assert other.history("inc_1") == (Transition("inc_1", 1, 1000.25, "filter", "", IncidentState.OPEN, "hit"),)
    store.close()
    other.close()


def test_the_file_is_synchronous_and_private(tmp_path: Path) -> None:
    """synchronous=FULL on the store's own connection, and no reader but the owner."""
    store = IncidentStore(tmp_path / "incidents.db")

    assert store._rows("PRAGMA synchronous", ()) == ((2,),)
    assert store._rows("PRAGMA journal_mode", ()) == (("wal",),)
    assert (tmp_path / "incidents.db").stat().st_mode & 0o777 == 0o600
    store.close()


def test_lists_are_pages_in_order_of_time_by_state_and_record(tmp_path: Path) -> None:
    """Oldest first, continued after the last id, equal times ordered by id."""
    store = IncidentStore(tmp_path / "incidents.db")
    for number in (3, 1, 2, 5, 4):
        store.open(replace(FIRST, id=f"inc_{number}", opened_at_s=1000.0 + number // 2, record_id=f"rec_{number % 2}"))

    assert [found.id for found in store.list()] == ["inc_1", "inc_2", "inc_3", "inc_4", "inc_5"]
    assert [found.id for found in store.list(limit=2)] == ["inc_1", "inc_2"]
    assert [found.id for found in store.list(after="inc_2", limit=2)] == ["inc_3", "inc_4"]
    assert [found.id for found in store.list(record_id="rec_0")] == ["inc_2", "inc_4"]
    assert len(store.list(state="open")) == 5
    assert store.list(state=IncidentState.CLOSED) == ()
    store.close()


def test_an_unknown_place_to_go_on_from_is_refused(tmp_path: Path) -> None:
    """A page after an id that does not exist is an error, not the first page again."""
    store = IncidentStore(tmp_path / "incidents.db")
    store.open(FIRST)

    with pytest.raises(FilterError, match="no incident"):
        store.list(after="inc_zzz")
    with pytest.raises(FilterError, match="unknown state"):
        store.list(state="opened")
    with pytest.raises(FilterError, match="limit"):
        store.list(limit=-1)
    store.close()


def test_an_id_is_never_used_twice(tmp_path: Path) -> None:
    """The second writer hears of it and the first incident stays as it was."""
    store = IncidentStore(tmp_path / "incidents.db")
    store.open(FIRST)

    with pytest.raises(FilterError, match="inc_1 exists already"):
        store.open(replace(FIRST, rule="term:other"))
    assert store.get("inc_1") == FIRST
    assert len(store.history("inc_1")) == 1
    store.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_code": "A9"}, "unknown class"),
        ({"id": ""}, "needs an id"),
        ({"record_id": ""}, "needs an id"),
        ({"start": 5, "end": 4}, "offsets"),
        ({"start": -1}, "offsets"),
        ({"released_chars": -1}, "offsets"),
    ],
)
def test_an_incident_that_says_nonsense_cannot_be_made(change: dict[str, object], message: str) -> None:
    """Evidence is checked before it is written."""
    with pytest.raises(FilterError, match=message):
        replace(FIRST, **change)  # type: ignore[arg-type]


def test_a_value_that_cannot_be_stored_is_this_package_s_error(tmp_path: Path) -> None:
    """Numbers beyond 64 bits and half characters are refused, and leave nothing behind."""
    store = IncidentStore(tmp_path / "incidents.db")

    with pytest.raises(FilterError, match="could not be written"):
        store.open(replace(FIRST, released_chars=2**70))
    with pytest.raises(FilterError, match="could not be written"):
        store.open(replace(FIRST, tenant="\ud800"))
    with pytest.raises(FilterError, match="could not be read"):
        store.get("\ud800")
    store.open(FIRST)
    assert store.list() == (FIRST,)
    store.close()


def test_a_new_incident_must_be_open(tmp_path: Path) -> None:
    """Later states have a history; an incident cannot begin in one."""
    store = IncidentStore(tmp_path / "incidents.db")

    with pytest.raises(FilterError, match="must be open"):
        store.open(replace(FIRST, state=IncidentState.REPORTED))
    assert store.list() == ()
    store.close()


def test_many_threads_and_two_stores_lose_nothing(tmp_path: Path) -> None:
    """Every incident of every thread is there, through both stores."""
    stores = [IncidentStore(tmp_path / "incidents.db") for _ in range(2)]

    def work(worker: int) -> None:
        for number in range(10):
            stores[worker % 2].open(replace(FIRST, id=f"inc_{worker}_{number}"))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stores[0].list(limit=1000)) == len(stores[1].list(limit=1000)) == 40
    for store in stores:
        store.close()


def test_an_event_loop_can_use_it_without_waiting(tmp_path: Path) -> None:
    """The asynchronous forms do the same in the store's own thread."""
    store = IncidentStore(tmp_path / "incidents.db")

    async def use() -> None:
        await asyncio.gather(*(store.open_async(replace(FIRST, id=f"inc_{number}")) for number in range(5)))
        assert await store.get_async("inc_3") == replace(FIRST, id="inc_3")
        assert len(await store.list_async(state="open", limit=3)) == 3
        assert [step.number for step in await store.history_async("inc_4")] == [1]

    asyncio.run(use())
    store.close()
    store.close()


def test_what_is_no_incident_store_is_refused(tmp_path: Path) -> None:
    """Garbage, a store of a later version and a missing folder are errors that name the file."""
    (tmp_path / "garbage.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(FilterError, match=r"garbage\.db"):
        IncidentStore(tmp_path / "garbage.db")

    connection = sqlite3.connect(tmp_path / "later.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FilterError, match="version 99; expected 2"):
        IncidentStore(tmp_path / "later.db")

    with pytest.raises(FilterError, match="cannot be opened"):
        IncidentStore(tmp_path / "missing" / "incidents.db")


def test_after_closing_the_store_says_so(tmp_path: Path) -> None:
    """A late writer gets an error of this package, never silence."""
    store = IncidentStore(tmp_path / "incidents.db")
    store.close()

    with pytest.raises(FilterError, match="could not be written"):
        store.open(FIRST)
    with pytest.raises(FilterError, match="could not be read"):
        store.get("inc_1")
    with pytest.raises(FilterError, match="closed"):
        asyncio.run(store.get_async("inc_1"))


def test_ids_sort_by_time_and_cannot_be_guessed() -> None:
    """Milliseconds first, then 64 random bits."""
    early = new_incident_id(lambda: 1_700_000_000.001, lambda size: b"\xff" * size)
    late = new_incident_id(lambda: 1_700_000_000.002, lambda size: b"\x00" * size)

    assert early == "inc_018bcfe56801" + "ff" * 8
    assert early < late
    assert new_incident_id(lambda: 1.0) != new_incident_id(lambda: 1.0)
