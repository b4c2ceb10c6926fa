# SPDX-License-Identifier: Apache-2.0
"""Numbers shared between processes: nothing counted is lost, nothing dead is shown as alive."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway import metric_slots
from gateway.metric_slots import OVERFLOW, SLOTS, Slots, clear, read_all

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import sys
from pathlib import Path
from gateway.metric_slots import Slots
slots = Slots(Path(sys.argv[1]))
slots.values[slots.slot(("c", "", "x"))] += float(sys.argv[2])
slots.values[slots.slot(("g", ""), is_gauge=True)] += 5.0
print("counted", flush=True)
sys.stdin.readline()
"""


def start_worker(directory: Path, amount: int) -> subprocess.Popen[str]:
    """A real process that has counted `amount` and holds a gauge of 5 until it is told to go."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(directory), str(amount)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdout is not None
    assert worker.stdout.readline() == "counted\n"
    return worker


def stop_worker(worker: subprocess.Popen[str], *, hard: bool = False) -> None:
    """End the process, with SIGKILL where `hard`."""
    if hard:
        worker.send_signal(signal.SIGKILL)
    worker.communicate("")


def totals(directory: Path) -> dict[tuple[str, ...], float]:
    """The counters of all workers, summed."""
    sums: dict[tuple[str, ...], float] = {}
    for reading in read_all(directory):
        for key, value in reading.totals.items():
            sums[key] = sums.get(key, 0.0) + value
    return sums


def test_two_processes_are_summed_and_a_killed_one_keeps_its_counts_but_not_its_gauges(tmp_path: Path) -> None:
    """A SIGKILL loses no count, and what the dead had open is open no more."""
    first, second = start_worker(tmp_path, 3), start_worker(tmp_path, 4)
    try:
        assert totals(tmp_path)[("c", "", "x")] == 7.0
        assert [reading.gauges[("g", "")] for reading in read_all(tmp_path)] == [5.0, 5.0]
    finally:
        stop_worker(first, hard=True)
    try:
        assert totals(tmp_path)[("c", "", "x")] == 7.0
        assert sorted(((r.is_alive, r.gauges) for r in read_all(tmp_path)), key=lambda item: item[0]) == [
            (False, {}),
            (True, {("g", ""): 5.0}),
        ]
    finally:
        stop_worker(second)


def test_a_new_worker_goes_on_in_the_file_of_a_dead_one(tmp_path: Path) -> None:
    """Restarts make no new files, counters go on, gauges start at zero."""
    stop_worker(start_worker(tmp_path, 3), hard=True)

    slots = Slots(tmp_path)
    slots.values[slots.slot(("c", "", "x"))] += 1.0

    assert len(list(tmp_path.glob("*.values"))) == 1
    [reading] = read_all(tmp_path)
    assert reading.totals[("c", "", "x")] == 4.0
    assert reading.gauges[("g", "")] == 0.0
    slots.close()


def test_a_key_line_cut_short_by_a_crash_is_no_series_and_is_cut_off(tmp_path: Path) -> None:
    """A torn line is skipped by readers and removed by the next owner, who keeps the order of slots."""
    slots = Slots(tmp_path)
    slots.values[slots.slot(("a", ""))] = 1.0
    slots.close()
    [keys] = tmp_path.glob("*.keys")
    with keys.open("ab") as file:
        file.write(b'["t","b')

    [before] = read_all(tmp_path)
    again = Slots(tmp_path)
    again.values[again.slot(("b", ""))] += 2.0
    [after] = read_all(tmp_path)

    assert before.totals == {("", "overflow"): 0.0, ("a", ""): 1.0}
    assert after.totals == {("", "overflow"): 0.0, ("a", ""): 1.0, ("b", ""): 2.0}
    again.close()


@pytest.mark.parametrize("damage", [b"\xff\n", b"[]\n", b"7\n", b'["t"]\n', b'["x","a"]\n', b'["t",5]\n'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    """Damage costs old counts, and neither the start of the server nor a scrape."""
    slots = Slots(tmp_path)
    slots.values[slots.slot(("a", ""))] = 1.0
    slots.close()
    [keys] = tmp_path.glob("*.keys")
    keys.write_bytes(damage)

    [before] = read_all(tmp_path)
    again = Slots(tmp_path)
    again.values[again.slot(("b", ""))] += 2.0
    [after] = read_all(tmp_path)

    assert before.totals == {}
    assert after.totals == {("", "overflow"): 0.0, ("b", ""): 2.0}
    again.close()


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_costs_a_series_and_never_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """What cannot be written down is counted as overflow; when the disk is back, series are made again."""
    slots = Slots(tmp_path)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if written:
            return write(descriptor, data[:written])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(metric_slots.os, "write", full)
        slots.values[slots.slot(("a", ""))] += 1.0
    slots.values[slots.slot(("a", ""))] += 3.0

    [reading] = read_all(tmp_path)
    assert reading.totals == {("", "overflow"): 1.0, ("a", ""): 3.0}
    slots.close()


def test_what_finds_no_room_is_counted_in_the_overflow(tmp_path: Path) -> None:
    """Labels that are not a closed set cannot eat memory, and do not stay unseen."""
    slots = Slots()
    for number in range(SLOTS):
        slots.values[slots.slot((str(number), ""))] += 1.0

    assert slots.slot(("one more", "")) == OVERFLOW
    assert slots.reading().totals[("", "overflow")] == 1.0
    slots.close()


def test_other_layouts_are_neither_read_nor_taken_over(tmp_path: Path) -> None:
    """Two versions with different buckets can share a folder."""
    old = Slots(tmp_path, layout="old")
    old.values[old.slot(("a", ""))] = 1.0
    old.close()

    new = Slots(tmp_path, layout="new")

    assert [reading.totals for reading in read_all(tmp_path, layout="new")] == [{("", "overflow"): 0.0}]
    new.close()


def test_clearing_removes_the_dead_and_leaves_the_living(tmp_path: Path) -> None:
    """A new start counts from zero without taking the file from under a live worker."""
    living, dead = Slots(tmp_path), Slots(tmp_path)
    living.values[living.slot(("a", ""))] = 1.0
    dead.close()

    clear(tmp_path)

    [reading] = read_all(tmp_path)
    assert reading.totals[("a", "")] == 1.0
    living.close()
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    clear(tmp_path / "missing")


def test_adding_from_several_threads_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The promise the class makes about threads, under the fastest switching the interpreter offers."""
    slots = Slots()
    slot = slots.slot(("a", ""))
    values = slots.values
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for _ in range(20_000):
            values[slot] += 1.0

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert values[slot] == 80_000.0
    slots.close()


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Other users of the machine learn nothing from the counters."""
    slots = Slots(tmp_path / "run")

    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()}
    assert next((tmp_path / "run").glob("*.values")).stat().st_size == metric_slots.SLOTS * 8
    slots.close()
