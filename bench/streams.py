# SPDX-License-Identifier: Apache-2.0
"""What the gateway adds to streams: time to the first token under a slow check, and gaps with a thousand at once.

Usage: python bench/streams.py [--json] [--streams N] [--events N] [--check-ms N]. The gateway runs on a core of its own
with all duties on and 10,000 terms; the paced model and the reader share the next core. Bounded to about 40 s.

First token: a few streams at a time, without a check, then with a check of `--check-ms` in `strict`, `hold` and
`concurrent`. The check reads the prompt too, before the model is asked, so each of the three starts with that much.
Gaps: `--streams` streams at once that send an event every 20 ms. `added` is what stands between the direct lane and the
gateway at the same percentile; where the direct lane itself falls behind, the machine is too small for the question,
and the figures say so. A core that is offered more events than it can pass on shows it in `events/s`, in late events
and in those that are missing at the end: streams then begin more slowly than they end, and not all of them overlap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import httptools

from bench import workload
from bench.lanes import ROOT, TERMS, dutybound_config
from bench.processes import Cores, Started, Unavailable, cores, free_port, pinned_to, start, wait_for_end, wait_for_port

INTERVAL_MS = 20.0
FIRST_STREAMS, FIRST_EVENTS = 4, 40
_MODES = ("no check", "strict", "hold", "concurrent")
_PASS = b'{"verdict":"pass"}'


class SlowCheck(asyncio.Protocol):
    """A context check that passes everything after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no asyncio.Transport, only shaped like one.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; the callback below answers."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer later."""
        self._loop.call_later(self._delay_s, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(_PASS)}\r\n\r\n"
            self._transport.write(head.encode() + _PASS)


async def serve_check(port: int, delay_s: float) -> asyncio.Server:
    """The check on loopback; the caller closes it."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: SlowCheck(delay_s), "127.0.0.1", port, backlog=1_024)


async def _check_forever(port: int, delay_s: float) -> None:
    await (await serve_check(port, delay_s)).serve_forever()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens."""

    folder: Path
    cores: Cores
    secret: str
    requests: Path


def config(check_url: str, release: str) -> str:
    """The gateway's settings: all duties, and a check where there is a URL."""
    base, check = dutybound_config(), ""
    if check_url:
        base = base.replace("[content_filter]\n", f'[content_filter]\nrelease = "{release}"\n')
        check = f'[content_filter.guard_model]\nkind = "http"\nurl = "{check_url}"\nask = "all"\n'
    return f"{base}{check}[upstream]\nmax_connections = 4000\n"


def start_gateway(place: Place, name: str, settings: str, model_port: int) -> tuple[Started, int]:
    """A gateway on its core, and its port."""
    folder = place.folder / name
    folder.mkdir()
    (folder / "terms.tsv").write_text(workload.term_file(TERMS), encoding="utf-8")
    (folder / "dutybound.toml").write_text(settings, encoding="utf-8")
    env = {"DUTYBOUND_JWT_SECRET": place.secret}
    cli = [sys.executable, "-m", "gateway.cli"]
    log = folder / "log"
    made = start([*cli, "init", "--home", folder / "home"], core=place.cores.server, log=log, env=env, cwd=ROOT)
    if wait_for_end(made, 60):
        raise Unavailable("`dutybound init` failed")
    port = free_port()
    serve = [*cli, "serve", "--config", folder / "dutybound.toml", "--home", folder / "home", "--port", port]
    model = ["--upstream", f"http://127.0.0.1:{model_port}", "--operator-port", free_port()]
    started = start([*serve, *model], core=place.cores.server, log=log, env=env, cwd=ROOT)
    try:
        wait_for_port(started, port, 60)
    except BaseException:
        started.stop()
        raise
    return started, port


def load(place: Place, port: int, streams: int, events: int, timeout_s: float) -> dict[str, Any]:
    """What `bench/load.py` sees of so many paced streams at `port`."""
    command = [sys.executable, str(ROOT / "bench/load.py"), "paced", "--port", str(port)]
    command += ["--requests", str(place.requests), "--connections", str(streams), "--events", str(events)]
    command += ["--timeout-s", str(timeout_s)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=timeout_s + 30,
        preexec_fn=pinned_to(place.cores.load),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def start_model(place: Place, events: int) -> tuple[Started, int]:
    """The paced model on its core, and its port."""
    port = free_port()
    beat = ["--events", events, "--interval-ms", INTERVAL_MS]
    command = [sys.executable, ROOT / "bench/paced.py", "--port", port, *beat]
    started = start(command, core=place.cores.upstream, log=place.folder / f"model-{port}.log")
    wait_for_port(started, port, 10)
    return started, port


def first_tokens(place: Place, check_ms: float, running: list[Started]) -> dict[str, Any]:
    """Milliseconds to the first token, directly and added by the gateway in each way to release."""
    model, model_port = start_model(place, FIRST_EVENTS)
    running.append(model)
    check_port = free_port()
    command = [sys.executable, ROOT / "bench/streams.py", "--serve-check", check_port, "--check-ms", check_ms]
    check = start(command, core=place.cores.upstream, log=place.folder / "check.log")
    running.append(check)
    wait_for_port(check, check_port, 10)
    direct = load(place, model_port, FIRST_STREAMS, FIRST_EVENTS, 10)
    results: dict[str, Any] = {"direct_first_p50_ms": direct["first_p50_ms"]}
    for mode in _MODES:
        url = "" if mode == "no check" else f"http://127.0.0.1:{check_port}/"
        gateway, port = start_gateway(place, mode.replace(" ", "-"), config(url, mode), model_port)
        running.append(gateway)
        load(place, port, 2, FIRST_EVENTS, 10)  # the first connections and tables are made here
        seen = load(place, port, FIRST_STREAMS, FIRST_EVENTS, 10)
        gateway.stop()
        running.remove(gateway)
        results[mode] = {
            "added_first_p50_ms": seen["first_p50_ms"] - direct["first_p50_ms"],
            "delay_p50_ms": seen["delay_p50_ms"],
            "delay_p99_ms": seen["delay_p99_ms"],
            "failed": seen["failed"] + seen["expected"] - seen["events"],
        }
    return results


def gaps(place: Place, levels: Sequence[int], events: int, running: list[Started]) -> list[dict[str, Any]]:
    """The gap between two events of a stream, directly and through the gateway, so many at once."""
    model, model_port = start_model(place, events)
    running.append(model)
    gateway, port = start_gateway(place, "gaps", config("", ""), model_port)
    running.append(gateway)
    load(place, port, 20, events, 10)  # the first connections and tables are made here
    found = []
    for streams in levels:
        direct = load(place, model_port, streams, events, 10)
        begun_s, cpu_s = time.monotonic(), gateway.cpu_s()
        seen = load(place, port, streams, events, 15)
        took_s, cpu_s = time.monotonic() - begun_s, gateway.cpu_s() - cpu_s
        found.append(
            {
                "streams": streams,
                "offered_per_s": streams * 1e3 / INTERVAL_MS,
                "events_expected": seen["expected"],
                "events_missing": seen["expected"] - seen["events"],
                "failed_streams": seen["failed"],
                "direct": {key: direct[key] for key in ("gap_p50_ms", "gap_p99_ms", "delay_p99_ms")},
                "gateway": {key: seen[key] for key in ("gap_p50_ms", "gap_p99_ms", "delay_p50_ms", "delay_p99_ms")},
                "added_gap_p50_ms": seen["gap_p50_ms"] - direct["gap_p50_ms"],
                "added_gap_p99_ms": seen["gap_p99_ms"] - direct["gap_p99_ms"],
                "events_per_s": seen["events"] / seen["seconds"],
                "cpu_us_per_event": cpu_s / max(1, seen["events"]) * 1e6,
                "core_share": cpu_s / took_s,
            }
        )
    return found


def measure(levels: Sequence[int], events: int, check_ms: float) -> dict[str, Any]:
    """All figures."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two connections a stream
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then too
    running: list[Started] = []
    with tempfile.TemporaryDirectory(prefix="streams-") as name:
        place = Place(Path(name), cores(), secrets.token_urlsafe(32), Path(name, "requests"))
        made = workload.requests(stream=True, secret=place.secret, now_s=time.time())
        workload.write(place.requests, made)
        try:
            first = first_tokens(place, check_ms, running)
            found = gaps(place, levels, events, running)
        finally:
            for started in running:
                started.stop()
    separate = place.cores.are_separate
    return {"check_ms": check_ms, "own_core": separate, "interval_ms": INTERVAL_MS, "first": first, "gaps": found}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    first = figures["first"]
    lines = [f"first token, direct: {first['direct_first_p50_ms']:.1f} ms; a check takes {figures['check_ms']:.0f} ms"]
    lines += [
        f"  {mode:<10} added {first[mode]['added_first_p50_ms']:7.1f} ms; "
        f"an event is {first[mode]['delay_p50_ms']:.1f} ms late (p99 {first[mode]['delay_p99_ms']:.1f})"
        for mode in _MODES
    ]
    for found in figures["gaps"]:
        direct, through = found["direct"], found["gateway"]
        lines += [
            f"{found['streams']} streams, an event every {figures['interval_ms']:.0f} ms: "
            f"{found['events_per_s']:.0f} events/s of {found['offered_per_s']:.0f} offered, "
            f"{found['cpu_us_per_event']:.0f} us of CPU each, "
            f"{found['core_share']:.0%} of its core",
            f"  gap p50 {through['gap_p50_ms']:.1f} ms (direct {direct['gap_p50_ms']:.1f}), "
            f"p99 {through['gap_p99_ms']:.1f} ms (direct {direct['gap_p99_ms']:.1f}); "
            f"delay p50 {through['delay_p50_ms']:.1f}, p99 {through['delay_p99_ms']:.1f} ms",
            f"  {found['events_missing']} of {found['events_expected']} events missing, "
            f"{found['failed_streams']} streams failed",
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description="What the gateway adds to streams.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--streams", type=int, nargs="*", default=[100, 1_000], help="streams at once")
    parser.add_argument("--events", type=int, default=100, help="events a stream")
    parser.add_argument("--check-ms", type=float, default=50.0, help="what the check takes")
    parser.add_argument("--serve-check", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_check:
        asyncio.run(_check_forever(options.serve_check, options.check_ms / 1e3))
        return
    figures = measure(options.streams, options.events, options.check_ms)
    print(json.dumps(figures) if options.json else table(figures))


if __name__ == "__main__":
    main()
