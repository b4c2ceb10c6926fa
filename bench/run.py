# SPDX-License-Identifier: Apache-2.0
"""The benchmark: what Dutybound costs with all duties on, beside nothing, nginx and LiteLLM, in one run.

Server, models and load stand on separate cores (on two cores, models and load share the second). Lanes take turns
within each round; figures are medians over rounds and ratios are paired within a round. A lane or tool that cannot be
had is named with the reason, and the run goes on.

    python bench/run.py [--quick] [--lanes direct,nginx,litellm,dutybound] [--rounds 3] [--seconds 3] [--offline]

Prints a table and writes JSON to bench/results/latest.json (or --json FILE). Exits 0 where every asked lane of ours was
measured without a failed request, with its duties on and its records verified; 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import lanes, report, workload
from bench.processes import Started, Unavailable, cores, pinned_to
from bench.tools import Tool, debian_tool

RESULTS = lanes.ROOT / "bench/results/latest.json"
OURS = "dutybound"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; `--quick` sets what was not given to values that end within 45 seconds."""
    parser = argparse.ArgumentParser(description="Benchmark: direct, nginx, LiteLLM and Dutybound in one run.")
    parser.add_argument("--quick", action="store_true", help="one short round; uses LiteLLM only where it is installed")
    parser.add_argument("--lanes", default=",".join(lanes.LANES), help="which lanes, separated by commas")
    parser.add_argument("--rounds", type=int, help="how often each lane is measured (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="length of a plain measurement, whole with wrk (3; quick: 1)")
    parser.add_argument("--events", type=int, help="events in each paced stream (150; quick: 60)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the plain load")
    parser.add_argument("--streams", type=int, default=50, help="paced streams at once")
    parser.add_argument("--interval-ms", type=float, default=20.0, help="time between the events of a stream")
    parser.add_argument("--offline", action="store_true", help="fetch nothing; use what is installed")
    parser.add_argument("--no-verify", action="store_true", help="do not verify the records afterwards")
    parser.add_argument("--folder", type=Path, default=lanes.ROOT / ".bench", help="tools, logs and data of the run")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results are written")
    parsed = parser.parse_args(arguments)
    for key, usual, quick in (("rounds", 3, 1), ("seconds", 3.0, 1.0), ("events", 150, 60)):
        if getattr(parsed, key) is None:
            setattr(parsed, key, quick if parsed.quick else usual)
    parsed.lanes = [name for name in parsed.lanes.split(",") if name]
    if unknown := set(parsed.lanes) - set(lanes.LANES):
        parser.error(f"unknown lanes {', '.join(sorted(unknown))}; known are {', '.join(lanes.LANES)}")
    return parsed


class Load:
    """Runs the load on its core: wrk for plain requests where it can be had, else bench/load.py."""

    def __init__(self, place: lanes.Place, asked: argparse.Namespace) -> None:
        self._core = place.cores.load
        self._asked = asked
        self._files = {name: place.folder / f"requests-{name}.tsv" for name in ("plain", "paced")}
        for name, file in self._files.items():
            workload.write(file, workload.requests(stream=name == "paced", secret=place.secret, now_s=time.time()))
        self._wrk: Tool | None = None
        self.about = "bench/load.py"
        self.note = ""
        try:
            self._wrk = debian_tool("wrk", place.tools, may_fetch=place.may_fetch)
            self.about = f"{self._wrk.version} for plain, bench/load.py for paced"
        except Unavailable as why:
            self.note = f"plain load is bench/load.py, which may limit the fast lanes: {why}"

    def plain(self, port: int, connections: int, seconds: float) -> dict[str, float]:
        """Requests as fast as they are answered, over so many connections."""
        file = self._files["plain"]
        if self._wrk is None:
            return self._own("plain", port, "--connections", connections, "--seconds", seconds)
        script = lanes.ROOT / "bench/plain.lua"
        # wrk takes whole seconds only.
        duration = f"{max(1, round(seconds))}s"
        command = [self._wrk.program, "-t1", f"-c{connections}", f"-d{duration}", "--timeout", "30s", "-s", script]
        return self._run([*command, f"http://127.0.0.1:{port}", "--", file], self._wrk.env)

    def paced(self, port: int) -> dict[str, float]:
        """Paced streams read to their end, or until they are three times late."""
        asked = self._asked
        timeout_s = 5 + 3 * asked.events * asked.interval_ms / 1e3
        more = ["--connections", asked.streams, "--events", asked.events, "--timeout-s", timeout_s]
        return self._own("paced", port, *more)

    def _own(self, kind: str, port: int, *more: object) -> dict[str, float]:
        script = lanes.ROOT / "bench/load.py"
        return self._run([sys.executable, script, kind, "--port", port, "--requests", self._files[kind], *more], {})

    def _run(self, command: list[Any], env: Any) -> dict[str, float]:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **env},
            preexec_fn=pinned_to(self._core),
            check=False,
        )
        line = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not line.startswith("{"):
            raise Unavailable(f"the load failed: {(done.stderr.strip() or line)[-200:]}")
        measured: dict[str, float] = json.loads(line)
        return measured


def measured(lane: lanes.Lane, per: str, go: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What `go` measures, with the server's CPU time for each of `per` (microseconds) and its share of the core."""
    cpu_s, began_s = lane.cpu_s(), time.monotonic()
    figures = go()
    used_s, took_s = lane.cpu_s() - cpu_s, time.monotonic() - began_s
    figures["cpu_us"] = used_s / max(1.0, figures[per]) * 1e6
    figures["core_share"] = used_s / took_s
    figures["memory_mb"] = lane.memory_bytes() / 1e6
    if per == "requests":
        figures["requests_per_s"] = figures["requests"] / figures["seconds"]
    return figures


def turn(lane: lanes.Lane, load: Load, asked: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    """One lane's turn in a round: many connections, one connection, paced streams."""
    yield "plain", measured(lane, "requests", lambda: load.plain(lane.plain_port, asked.connections, asked.seconds))
    yield "single", measured(lane, "requests", lambda: load.plain(lane.plain_port, 1, 1.0))
    yield "paced", measured(lane, "events", lambda: load.paced(lane.paced_port))


@contextlib.contextmanager
def running(
    place: lanes.Place, asked: argparse.Namespace
) -> Iterator[tuple[dict[str, lanes.Lane], dict[str, str], str]]:
    """Models and lanes while the context lasts: the lanes, why others are missing, and what serves the plain model."""
    models: list[Started] = []
    ready: dict[str, lanes.Lane] = {}
    missing: dict[str, str] = {}
    try:
        models, model = lanes.start_models(place, asked.events, asked.interval_ms)
        for name in asked.lanes:
            try:
                ready[name] = lanes.LANES[name](place)
            except Unavailable as why:
                missing[name] = str(why)
        yield ready, missing, model
    finally:
        for lane in ready.values():
            lane.stop()
        for process in models:
            process.stop()


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Run everything and give the results as they are written."""
    run_folder = asked.folder / "run"
    shutil.rmtree(run_folder, ignore_errors=True)
    run_folder.mkdir(parents=True)
    place = lanes.Place(
        asked.folder,
        run_folder,
        cores(),
        secrets.token_hex(32),
        may_fetch=not asked.offline,
        may_install=not asked.quick,
    )
    os.sched_setaffinity(0, {place.cores.load})
    load = Load(place, asked)
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {"plain": [], "single": [], "paced": []}
    with running(place, asked) as (ready, missing, model):
        for lane in ready.values():
            load.plain(lane.plain_port, asked.connections, 1.0)
        for number in range(asked.rounds):
            for entries in rounds.values():
                entries.append({})
            for name, lane in ready.items():
                say(f"round {number + 1} of {asked.rounds}: {name}")
                try:
                    for kind, figures in turn(lane, load, asked):
                        rounds[kind][-1][name] = figures
                except Unavailable as why:
                    missing[name] = str(why)
        described: dict[str, Any] = {}
        for name in asked.lanes:
            if name in missing:
                described[name] = {"unavailable": missing[name]}
                continue
            described[name] = {
                "about": ready[name].about,
                "plain": report.plain_summary(rounds["plain"], rounds["single"], name),
                "paced": report.paced_summary(rounds["paced"], name),
                "proofs": ready[name].proofs,
            }
    if OURS in ready and OURS not in missing and not asked.no_verify:
        say("verifying the records")
        found = lanes.verify(ready[OURS].homes[0], place.cores.server, 120)
        # Every answer that the load counted must have left a record, whatever else the log holds.
        answered = sum(int(entry[OURS]["requests"]) for entry in (*rounds["plain"], *rounds["single"]))
        found["holds"] = found["holds"] and found["count"] >= answered
        described[OURS]["records"] = {**found, "answered": answered}
    notes = [load.note] if load.note else []
    if not place.cores.are_separate:
        notes.append("this machine has one core for all: figures cannot be compared with others")
    return {
        "run": {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
            "cores": {"server": place.cores.server, "upstream": place.cores.upstream, "load": place.cores.load},
            "connections": asked.connections,
            "streams": asked.streams,
            "interval_ms": asked.interval_ms,
            "events": asked.events,
            "rounds": asked.rounds,
            "seconds": asked.seconds,
            "terms": lanes.TERMS,
            "load": load.about,
            "model": model,
            "notes": notes,
        },
        "lanes": described,
        "rounds": rounds,
    }


def say(line: str) -> None:
    """Tell who waits what is going on, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def cpu_name() -> str:
    """The processor as the kernel names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def is_sound(results: dict[str, Any]) -> bool:
    """Whether our own lane, where it was asked for, ran with all duties, without a failure, and left a good log."""
    lane = results["lanes"].get(OURS)
    if lane is None:
        return True
    if "unavailable" in lane or not all(lane["proofs"].values()):
        return False
    failed = lane["plain"]["failed"] + lane["paced"]["failed"] + lane["paced"]["events_missing"]
    return bool(failed == 0 and lane.get("records", {"holds": True})["holds"])


def main() -> int:
    """Measure, write and print."""
    asked = options()
    results = measure(asked)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(report.text(results))
    return 0 if is_sound(results) else 1


if __name__ == "__main__":
    sys.exit(main())
