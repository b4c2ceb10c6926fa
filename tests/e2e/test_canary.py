# SPDX-License-Identifier: Apache-2.0
"""What people and models write lies sealed or nowhere: a word that was said is looked for in everything that is kept.

Files of the data folder, the log of the process, metrics, what the operator API lists, and an auditor's bundle. The one
place that shows it is the body itself, opened where two people agree to read it; that leaves no trace of it either.
"""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import CONFIG, RunningGateway, StartGateway, dutybound
from tests.upstreams.scripted import ScriptedUpstream

PROMPT, ANSWER = "canaryprompt7f3a9c", "canaryanswer51be02"


def say(running: RunningGateway, *, stream: bool) -> str:
    script: dict[str, Any] = {"text": f"I say {ANSWER} to you.", "split": 3}
    messages = [{"role": "user", "content": f"please {PROMPT}"}]
    body = {"model": "m", "stream": stream, "messages": messages, "metadata": {"script": script}}
    answer = httpx.post(running.url + "/v1/chat/completions", json=body, timeout=30)
    assert answer.status_code == 200
    assert ANSWER in answer.text or stream
    return answer.headers["duty-record"]


def everything(running: RunningGateway, out: Path) -> dict[str, bytes]:
    """All that is kept or shown, by where."""
    found = {str(path): path.read_bytes() for path in running.home.rglob("*") if path.is_file()}
    found["process log"] = running.log.read_bytes()
    found["metrics"] = httpx.get(running.operator_url + "/metrics").content
    found["records"] = json.dumps(running.records(limit="1000")).encode()
    dutybound("audit", "export", "--home", str(running.home), "-o", str(out), "--bodies", "sealed", "--by", "auditor")
    with zipfile.ZipFile(out) as bundle:
        found |= {f"bundle {name}": bundle.read(name) for name in bundle.namelist()}
    return found


def places(found: dict[str, bytes]) -> list[str]:
    return [name for name, data in found.items() if PROMPT.encode() in data or ANSWER.encode() in data]


@pytest.mark.parametrize("bodies", ["none", "all"])
def test_a_word_that_was_said_is_in_no_file_no_log_no_number_and_no_export(
    gateway: StartGateway, upstream: ScriptedUpstream, tmp_path: Path, bodies: str
) -> None:
    """Also where bodies are kept, and after one was read."""
    running = gateway(upstream.url, config=f'{CONFIG}\n[audit]\nbodies = "{bodies}"\n')
    ids = [say(running, stream=stream) for stream in (False, True)]
    found = everything(running, tmp_path / "before.zip")
    assert len(found) > 30 and "process log" in found
    assert places(found) == []
    if bodies == "none":
        return
    officer = {"Authorization": f"Bearer {running.token('officer')}"}
    admin = {"Authorization": f"Bearer {running.token('admin')}"}
    with httpx.Client(base_url=running.operator_url) as client:
        access = client.post("/api/bodies", json={"record": ids[0], "reason": "case-1"}, headers=officer).json()["id"]
        client.post(f"/api/bodies/{access}/approve", headers=admin).raise_for_status()
        read = client.post(f"/api/bodies/{access}/read", headers=officer)
        assert PROMPT in base64.b64decode(read.json()["body"]).decode()
    assert places(everything(running, tmp_path / "read.zip")) == []
    assert running.stop() == 0
    verified = json.loads(dutybound("audit", "verify", "--home", str(running.home), "--json").stdout)
    assert verified["ok"] and verified["bodies"] == 2
