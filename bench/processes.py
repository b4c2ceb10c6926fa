# SPDX-License-Identifier: Apache-2.0
"""Processes of the benchmark: started on a core of their own, measured with all their children, ended for certain."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Unavailable(Exception):
    """A lane or tool cannot be had; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core does what. The server never shares its core where the machine has two or more."""

    server: int
    upstream: int
    load: int

    @property
    def are_separate(self) -> bool:
        """Whether the server has a core of its own."""
        return self.server not in (self.upstream, self.load)


def cores(usable: Sequence[int] | None = None) -> Cores:
    """The cores of this machine: three of three or more, or two with load and upstream on one, or one for all."""
    ours = sorted(os.sched_getaffinity(0)) if usable is None else list(usable)
    return Cores(ours[0], ours[min(1, len(ours) - 1)], ours[min(2, len(ours) - 1)])


@dataclass(frozen=True, slots=True)
class Started:
    """A running process, the leader of a session; its children count as its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise `Unavailable` with the last line of the log where the process has ended."""
        if (code := self.process.poll()) is not None:
            raise Unavailable(f"ended with {code}: {last_line(self.log)}")

    def cpu_s(self) -> float:
        """CPU seconds that it and its children have used so far, in user and system mode."""
        return sum(int(field) for stat in self._stats() for field in stat[11:13]) / _TICKS_PER_S

    def memory_bytes(self) -> int:
        """Resident memory, with what its processes share counted in each."""
        return sum(int(stat[21]) for stat in self._stats()) * _PAGE_BYTES

    def _stats(self) -> Iterator[list[str]]:
        """Fields 3 and following of /proc/PID/stat (proc(5)) of every process in the session."""
        session = str(self.process.pid)
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                # A process may end between being listed and being read.
                with contextlib.suppress(OSError):
                    stat = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                    # A zombie has ended: it only waits for its parent to notice.
                    if stat[3] == session and stat[0] != "Z":
                        yield stat

    def stop(self) -> None:
        """End it and its children, first kindly."""
        for wanted, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, wanted)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
            ends_s = time.monotonic() + patience_s
            while time.monotonic() < ends_s:
                if not any(self._stats()):
                    return
                time.sleep(0.01)


def start(
    command: Sequence[object],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Started:
    """Start `command` on `core`, with both outputs in `log` and `env` added to the environment."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=pinned_to(core),
        )
    return Started(process, log)


def pinned_to(core: int) -> Callable[[], None]:
    """For `preexec_fn`: the new process runs on that core only."""
    return lambda: os.sched_setaffinity(0, {core})


def last_line(log: Path) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def wait_for_port(started: Started, port: int, timeout_s: float) -> None:
    """Return once something listens on loopback `port`. Raises `Unavailable`."""
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        started.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Unavailable(f"did not listen within {timeout_s:.0f} s: {last_line(started.log)}")


def wait_for_end(started: Started, timeout_s: float) -> int:
    """The exit status once it has ended by itself; -1 where it had to be ended after `timeout_s`."""
    try:
        return started.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        started.stop()
        return -1


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
