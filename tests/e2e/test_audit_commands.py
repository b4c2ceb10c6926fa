# SPDX-License-Identifier: Apache-2.0
"""What an auditor is given on the command line, of a log that a gateway wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx

from tests.conftest import RunningGateway, dutybound


def test_a_bundle_verifies_offline_and_a_record_proves(shared_gateway: RunningGateway, tmp_path: Path) -> None:
    """Exported beside a running gateway; `verify.py` of the bundle exits 0 only where all holds."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    answer = httpx.post(shared_gateway.url + "/v1/chat/completions", json=body, timeout=20)
    record_id = answer.headers["duty-record"]
    assert shared_gateway.record(record_id)["proof"] is not None
    home, out = str(shared_gateway.home), tmp_path / "bundle.zip"
    proven = json.loads(dutybound("audit", "prove", record_id, "--home", home).stdout)
    assert record_id in json.dumps(proven)
    assert json.loads(dutybound("audit", "census", "--home", home).stdout)
    dutybound("audit", "export", "--home", home, "-o", str(out))
    folder = tmp_path / "bundle"
    with zipfile.ZipFile(out) as bundle:
        bundle.extractall(folder)
    assert record_id in (folder / "records.jsonl").read_text()
    verified = subprocess.run((sys.executable, "verify.py"), cwd=folder, capture_output=True, text=True, timeout=60)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    records = folder / "records.jsonl"
    records.write_text(records.read_text().replace('"completed"', '"Completed"', 1))
    assert subprocess.run((sys.executable, "verify.py"), cwd=folder, capture_output=True, timeout=60).returncode != 0
    refused = dutybound("audit", "export", "--home", home, "-o", str(out), "--since", "soon", check=False)
    assert refused.returncode == 2
    assert "--since" in refused.stderr
