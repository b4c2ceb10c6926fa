# SPDX-License-Identifier: Apache-2.0
"""Where the benchmark's yardsticks come from: nginx and wrk from Debian, LiteLLM from the package index.

Nothing is installed into the system: Debian packages are unpacked into the benchmark's folder, which needs neither root
nor a running service, and LiteLLM gets a virtual environment of its own. What cannot be had is `Unavailable`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Unavailable

LITELLM = "1.105.2"
"""The newest release whose whole set of requirements could be resolved when this was written."""
_PACKAGES = {"nginx": ("nginx",), "wrk": ("wrk", "libluajit-5.1-2", "libluajit-5.1-common")}
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, what it needs in its environment, and its version as it says it."""

    program: Path
    version: str
    env: Mapping[str, str] = field(default_factory=dict)


def debian_tool(name: str, folder: Path, *, may_fetch: bool = True, places: Sequence[str] = _PLACES) -> Tool:
    """nginx or wrk: the system's own, or unpacked from the Debian package into `folder`."""
    env: dict[str, str] = {}
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        root = folder / "debian"
        program = next(
            (root / place / name for place in ("usr/sbin", "usr/bin") if (root / place / name).exists()), None
        )
        if program is None and may_fetch:
            _unpack(_PACKAGES[name], folder, root)
            program = next(
                (root / place / name for place in ("usr/sbin", "usr/bin") if (root / place / name).exists()), None
            )
        if program is None:
            raise Unavailable(f"{name} is not installed; run without --offline or `apt-get install {name}`")
        libraries = [str(path) for path in sorted((root / "usr/lib").glob("*-linux-gnu*"))]
        env = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
        found = str(program)
    said = subprocess.run([found, "-v"], capture_output=True, text=True, env={**os.environ, **env}, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    if not lines:
        raise Unavailable(f"{name} does not run here")
    version = lines[0].removeprefix("nginx version: ").partition("Copyright")[0].partition(" [")[0].strip()
    return Tool(Path(found), version, env)


def _unpack(packages: Sequence[str], folder: Path, root: Path) -> None:
    """Fetch Debian packages and unpack them below `root`."""
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    fetched = _run(["apt-get", "download", *packages], debs)
    if fetched and os.geteuid() == 0:
        # A container starts without package lists; only root may fetch them.
        fetched = _run(["apt-get", "update"], debs) or _run(["apt-get", "download", *packages], debs)
    if fetched:
        raise Unavailable(f"{packages[0]} could not be fetched from Debian: {fetched}")
    for package in packages:
        for deb in debs.glob(f"{package}_*.deb"):
            if failed := _run(["dpkg-deb", "-x", str(deb), str(root)], debs):
                raise Unavailable(f"{deb.name} could not be unpacked: {failed}")


def _run(command: Sequence[str], folder: Path) -> str:
    """Run a command; empty where it went well, else why not in one line."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {type(error).__name__}"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return next(
        (line for line in lines if line.startswith(("E:", "ERROR"))), lines[-1] if lines else "it said nothing"
    )[:200]


def litellm(folder: Path, *, version: str = LITELLM, may_fetch: bool = True) -> Tool:
    """LiteLLM's proxy in its own virtual environment below `folder`, installed on first use (about 750 MB)."""
    home = folder / f"litellm-{version}"
    program = home / "bin/litellm"
    ready = home / "ready"
    if not ready.exists():
        if not may_fetch:
            raise Unavailable("LiteLLM is not installed yet; run the benchmark once without --quick and --offline")
        print(f"installing litellm[proxy]=={version} into {home} (a minute or two, once)", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        failed = _run([sys.executable, "-m", "venv", str(home)], folder) or _run(
            [str(home / "bin/python"), "-m", "pip", "install", "--quiet", f"litellm[proxy]=={version}"], folder
        )
        if failed:
            raise Unavailable(f"LiteLLM {version} could not be installed: {failed}")
        ready.touch()
    return Tool(program, f"litellm/{version}")
