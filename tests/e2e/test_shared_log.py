# SPDX-License-Identifier: Apache-2.0
"""Two gateways on one log in PostgreSQL: killed in the middle of everything, nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx

from audit_log import new_record_id
from tests.conftest import CONFIG, StartGateway, dutybound
from tests.upstreams.scripted import ScriptedUpstream


async def ask(url: str, seen: set[str], *, stream: bool) -> None:
    """The same request over and over, until the gateway is gone; keeps the records of answers that ended."""
    script: dict[str, Any] = {"text": "word " * 20, "split": 5, "event_delay_s": 0.01 if stream else 0.0}
    messages = [{"role": "user", "content": "x"}]
    body = {"model": "m", "stream": stream, "messages": messages, "metadata": {"script": script}}
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        with contextlib.suppress(httpx.TransportError):
            while True:
                answer = await client.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
                seen.add(answer.headers["duty-record"])


def test_two_gateways_share_a_log_and_one_is_killed(
    gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path, postgres_dsn: str
) -> None:
    """Every answer that ended has its record, at contiguous indices; the dead one's streams are closed by the other."""
    schema = f"t_{new_record_id().replace('-', '')}"
    shared = f'[audit]\nurl = "{postgres_dsn}"\nschema_name = "{schema}"\nbodies = "all"\n'
    config = CONFIG + shared
    home, other = tmp_path / "home", tmp_path / "other"
    dutybound("init", "--home", str(home))
    (home / "dutybound.toml").write_text(shared)
    made = json.loads(dutybound("audit", "init", "--home", str(home), "--json").stdout)
    assert made["shared"] and made["vkey"] == dutybound("keys", "show", "--home", str(home)).stdout.split()[-1]
    shutil.copytree(home, other)
    first, second = gateway(upstream.url, config=config), gateway(upstream.url, config=config, home=other)
    seen: set[str] = set()

    async def load() -> None:
        urls = [first.url] * 6 + [second.url] * 6
        tasks = [asyncio.create_task(ask(url, seen, stream=number % 2 == 0)) for number, url in enumerate(urls)]
        await asyncio.sleep(2.0)
        first.process.kill()
        await asyncio.sleep(1.0)
        second.process.kill()
        await asyncio.gather(*tasks)

    asyncio.run(load())
    first.process.wait(10)
    second.process.wait(10)
    assert len(seen) > 20
    again = gateway(upstream.url, config=config, home=other)

    report = json.loads(dutybound("audit", "verify", "--home", str(home), "--json").stdout)
    assert report["ok"] is True, report
    out, folder = tmp_path / "bundle.zip", tmp_path / "bundle"
    dutybound("audit", "export", "--home", str(home), "-o", str(out))
    with zipfile.ZipFile(out) as bundle:
        bundle.extractall(folder)
    verified = subprocess.run((sys.executable, "verify.py"), cwd=folder, capture_output=True, text=True, timeout=60)
    assert verified.returncode == 0, verified.stdout
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert seen <= {record["id"] for record in records}
    assert {record["id"] for record in records if record["type"] == "open"} <= {
        record["exchange"] for record in records if record["type"] == "close"
    }
    assert {record["writer"].partition("/")[0] for record in records} >= {"gw-0"}
    assert len({record["writer"] for record in records if record["type"] == "boot"}) >= 3
    census = json.loads(dutybound("audit", "census", "--home", str(home), check=False).stdout)
    assert census["lost"] == 0
    assert again.stop() == 0
