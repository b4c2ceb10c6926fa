# SPDX-License-Identifier: Apache-2.0
"""Processes run on their core, are measured with their children, and are gone afterwards."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.processes import Unavailable, cores, free_port, start, wait_for_end, wait_for_port

CORE = min(os.sched_getaffinity(0))
BUSY = "import os, time; os.fork(); t = time.process_time()\nwhile time.process_time() - t < 0.1: pass\n"


@pytest.mark.parametrize(
    ("usable", "wanted"), [([0], (0, 0, 0)), ([2, 5], (2, 5, 5)), ([0, 1, 2], (0, 1, 2)), ([0, 1, 2, 3], (0, 1, 2))]
)
def test_the_server_has_its_core_to_itself_where_there_are_two(usable: list[int], wanted: tuple[int, int, int]) -> None:
    """One core for all is the only case in which it does not."""
    given = cores(usable)
    assert (given.server, given.upstream, given.load) == wanted and given.are_separate is (len(usable) > 1)


def test_cpu_and_memory_count_the_children(tmp_path: Path) -> None:
    """A server with workers costs what its workers cost."""
    script = BUSY + "print(os.sched_getaffinity(0), flush=True)\ntime.sleep(60)\n"
    started = start([sys.executable, "-c", script], core=CORE, log=tmp_path / "log")
    try:
        while (tmp_path / "log").read_text().count("{") < 2:
            started.check()
        assert started.cpu_s() >= 0.19 and started.memory_bytes() > 2_000_000
        assert (tmp_path / "log").read_text().splitlines() == [str({CORE})] * 2
    finally:
        started.stop()
    assert started.process.returncode is not None and started.cpu_s() == 0


def test_a_process_that_ends_early_says_why(tmp_path: Path) -> None:
    """The reason is the last line of its log."""
    started = start([sys.executable, "-c", "print('no such file\\n'); exit(3)"], core=CORE, log=tmp_path / "log")
    with pytest.raises(Unavailable, match="ended with 3: no such file"):
        wait_for_port(started, free_port(), 10)
    assert wait_for_end(started, 1) == 3


def test_a_process_that_will_not_end_is_ended(tmp_path: Path) -> None:
    """Nothing is left behind, even where it ignores being asked."""
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); print('up', flush=True); time.sleep(60)"
    )
    started = start([sys.executable, "-c", script], core=CORE, log=tmp_path / "log")
    with pytest.raises(Unavailable, match="did not listen"):
        wait_for_port(started, free_port(), 0.1)
    assert wait_for_end(started, 0.1) == -1
