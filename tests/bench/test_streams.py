# SPDX-License-Identifier: Apache-2.0
"""The benchmark of streams: its check is as slow as it says, its settings are the gateway's, its table says all."""

from __future__ import annotations

import asyncio
import time
import tomllib
from pathlib import Path

import httpx
import pytest

from bench import streams
from gateway.settings import load


def test_the_check_passes_everything_after_its_time() -> None:
    """One connection, several questions."""

    async def run() -> list[float]:
        server = await streams.serve_check(0, 0.03)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        took = []
        async with httpx.AsyncClient() as client:
            for _ in range(2):
                begun = time.monotonic()
                answer = await client.post(url, json={"text": "x", "role": "answer"})
                took.append(time.monotonic() - begun)
                assert answer.json() == {"verdict": "pass"}
        server.close()
        return took

    assert min(asyncio.run(run())) >= 0.03


@pytest.mark.parametrize("release", ["strict", "hold", "concurrent"])
def test_the_settings_are_ones_that_the_gateway_takes(tmp_path: Path, release: str) -> None:
    """With a check and without."""
    path = tmp_path / "dutybound.toml"
    path.write_text(streams.config("http://127.0.0.1:1/", release))
    settings = load(path, tmp_path)
    assert settings.content_filter.release == release
    assert settings.upstream.max_connections >= 1_000
    assert "guard_model" not in tomllib.loads(streams.config("", ""))["content_filter"]


def test_the_table_names_what_is_missing() -> None:
    """Lost events and failed streams are never left out."""
    first = {
        mode: {"added_first_p50_ms": 1.0, "delay_p50_ms": 2.0, "delay_p99_ms": 3.0, "failed": 0}
        for mode in ("no check", "strict", "hold", "concurrent")
    }
    gap = {"gap_p50_ms": 20.0, "gap_p99_ms": 25.0, "delay_p50_ms": 1.0, "delay_p99_ms": 2.0}
    found = {
        "streams": 1_000, "events_expected": 100, "events_missing": 7, "failed_streams": 3, "direct": gap,
        "gateway": gap, "events_per_s": 5.0, "offered_per_s": 50_000.0, "cpu_us_per_event": 100.0, "core_share": 0.5,
    }  # fmt: skip
    figures = {
        "check_ms": 50.0, "interval_ms": 20.0, "first": {"direct_first_p50_ms": 20.0, **first}, "gaps": [found],
    }  # fmt: skip
    said = streams.table(figures)
    assert "5 events/s of 50000 offered" in said
    assert "7 of 100 events missing, 3 streams failed" in said
    assert all(mode in said for mode in first)
