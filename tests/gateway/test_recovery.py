# SPDX-License-Identifier: Apache-2.0
"""What a killed process could not write down, the next start does: once, and only what is really open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from audit_log import AuditLog, Entry, new_record_id
from gateway.recovery import close_abandoned, close_crashed


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder with an empty log."""
    AuditLog.create(tmp_path / "audit", "audit.example.com/test")
    return tmp_path


@pytest.fixture
def opened(home: Path) -> Iterator[Any]:
    """Opens the folder's log, as often as a test starts again."""
    logs: list[AuditLog] = []

    def start(writer: str = "gw-0") -> AuditLog:
        logs.append(AuditLog.open(home / "audit", writer=writer, publish=False))
        return logs[-1]

    yield start
    for log in logs:
        log.close()


def begin(log: AuditLog, *, subject: str | None = "p_1", tenant: str = "school") -> str:
    """A stream's opening record."""
    record_id = new_record_id()
    log.append_blocking(Entry({"id": record_id, "type": "open", "tenant": tenant}, subject=subject), 10)
    return record_id


def end(log: AuditLog, exchange: str) -> None:
    """Its closing record."""
    log.append_blocking(Entry({"id": new_record_id(), "type": "close", "exchange": exchange}), 10)


def closings(log: AuditLog) -> dict[str, dict[str, Any]]:
    """The closing records by exchange."""
    leaves = (orjson.loads(log.reader.leaf(index)) for index in range(log.reader.size()))
    return {leaf["exchange"]: leaf for leaf in leaves if leaf["type"] == "close"}


def test_a_stream_without_an_end_gets_one_that_says_crashed(home: Path, opened: Any) -> None:
    """Under its tenant and subject, and no other record is touched."""
    log = opened()
    crashed, whole = begin(log), begin(log)
    end(log, whole)
    assert asyncio.run(close_crashed(log, home, None)) == 1
    closing = closings(log)[crashed]
    assert (closing["outcome"], closing["verdict"], closing["action"], closing["tenant"]) == (
        "crashed", "error", "stop", "school",
    )  # fmt: skip
    page = log.search(subject="p_1", type="close")
    assert [row.row.exchange for row in page.rows] == [crashed]
    assert "p_1" not in str(closing)


def test_it_is_done_once(home: Path, opened: Any) -> None:
    """The next start finds nothing, also where its mark was lost."""
    log = opened()
    begin(log)
    assert asyncio.run(close_crashed(log, home, None)) == 1
    assert asyncio.run(close_crashed(log, home, None)) == 0
    (home / "closed-up-to").unlink()
    assert asyncio.run(close_crashed(log, home, None)) == 0


@pytest.mark.parametrize("mark", ["", "nonsense", "-5"])
def test_a_broken_mark_only_costs_time(home: Path, opened: Any, mark: str) -> None:
    """It is a shortcut, not a fact."""
    log = opened()
    begin(log)
    (home / "closed-up-to").write_text(mark)
    assert asyncio.run(close_crashed(log, home, None)) == 1


def test_the_mark_spares_the_next_start_the_whole_history(home: Path, opened: Any) -> None:
    """It says up to where nothing is open."""
    log = opened()
    begin(log)
    size = log.reader.size()
    asyncio.run(close_crashed(log, home, None))
    assert int((home / "closed-up-to").read_text()) == size


def test_streams_that_begin_meanwhile_are_left_alone(home: Path, opened: Any) -> None:
    """Only what stood before the given leaf is closed."""
    log = opened()
    crashed = begin(log)
    size = log.reader.size()
    alive = begin(log)
    assert asyncio.run(close_crashed(log, home, size)) == 1
    assert crashed in closings(log) and alive not in closings(log)
    assert asyncio.run(close_crashed(log, home, 0)) == 0


def test_a_replaced_worker_closes_what_its_predecessor_left_and_nobody_elses(home: Path, opened: Any) -> None:
    """The others are still streaming; and so is the new worker itself."""
    old, other = opened("gw-1"), opened("gw-2")
    crashed, alive = begin(old), begin(other)
    new = opened("gw-1")
    mine = begin(new)
    assert asyncio.run(close_crashed(new, home, None, writer="gw-1")) == 1
    assert closings(new).keys() == {crashed}
    assert alive not in closings(new) and mine not in closings(new)
    assert not (home / "closed-up-to").exists()


def test_many_crashed_streams_are_closed_in_batches(home: Path, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a busy process left."""
    monkeypatch.setattr("gateway.recovery._BATCH", 3)
    log = opened()
    crashed = {begin(log, subject=None) for _ in range(8)}
    assert asyncio.run(close_crashed(log, home, None)) == 8
    assert closings(log).keys() == crashed


def test_on_a_shared_log_only_streams_of_writers_that_are_gone_are_closed(
    home: Path, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever machine they ran on; the mark stays before the first stream that is still going on."""
    dead, other = opened("gw-0"), opened("gw-0")
    crashed, alive = begin(dead), begin(other)
    later = begin(dead)
    me = opened("gw-0")
    mine = begin(me)
    monkeypatch.setattr(me, "is_alive", lambda writer: writer != dead.writer)
    assert asyncio.run(close_abandoned(me, home)) == 2
    assert closings(me).keys() == {crashed, later}
    assert alive not in closings(me) and mine not in closings(me)
    found = me.store.row(alive)
    assert found is not None and int((home / "closed-up-to").read_text()) == found.index
    end(other, alive)
    end(me, mine)
    assert asyncio.run(close_abandoned(me, home)) == 0
    assert int((home / "closed-up-to").read_text()) == me.reader.size()
