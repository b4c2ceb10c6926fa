# SPDX-License-Identifier: Apache-2.0
"""A target: the file that tells the suite which gateway to judge. `README.md` beside this module explains each key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import string
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.conformance.terms import TERMS
from tests.conformance.wires.table import WIRES

_START_S = 60.0


class TargetError(Exception):
    """A target file, or the gateway that it starts, cannot be used. The message says what to change."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a gateway is started: `setup` commands first, then `command`, until `ready` answers with success."""

    command: tuple[str, ...]
    setup: tuple[tuple[str, ...], ...] = ()
    ready: str = "{base_url}/"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """How the forbidden words are set."""

    how: Literal["file", "command", "already"]
    path: str = ""
    line: str = "{term}"
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Records:
    """Where it can be asked what became of an exchange."""

    url: str
    id_header: str
    headers: Mapping[str, str] = field(default_factory=dict)
    token_command: tuple[str, ...] = ()
    says: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One gateway and what it claims."""

    name: str
    wires: tuple[str, ...]
    terms: Terms
    base_url: str = ""
    upstream_port: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    start: Start | None = None
    hold: Start | None = None
    records: Records | None = None
    label_text: str = ""
    label_member: str = ""
    cut_ms: float = 1_000.0
    normalises: bool = True
    here: Path = Path()


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers, and what the placeholders of its target stand for."""

    base_url: str
    places: Mapping[str, str]
    kept: dict[str, str] = field(default_factory=dict)
    """What was asked of it once and stays true, such as a token."""


def read_target(path: Path) -> Target:
    """The target in the file. Raises `TargetError` naming the key."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TargetError(f"{path}: {error}") from None
    try:
        gateway, terms = table.pop("gateway"), table.pop("terms")
        claims = table.pop("claims", {})
        records, hold = table.pop("records", None), table.pop("hold", None)
        start = _start(gateway) if "command" in gateway else None
        target = Target(
            name=gateway["name"],
            wires=tuple(gateway["wires"]),
            terms=Terms(**{key: _tuples(value) for key, value in terms.items()}),
            base_url=gateway.get("base_url", ""),
            upstream_port=gateway.get("upstream_port", 0),
            headers=gateway.get("headers", {}),
            paths=gateway.get("paths", {}),
            start=start,
            hold=_start({**gateway, **hold}) if hold is not None else None,
            records=Records(**{key: _tuples(value) for key, value in records.items()}) if records else None,
            here=path.parent.resolve(),
            **claims,
        )
    except (KeyError, TypeError) as error:
        raise TargetError(f"{path}: missing or unknown key: {error}") from None
    if table:
        raise TargetError(f"{path}: unknown tables: {', '.join(table)}")
    if unknown := set(target.wires) - set(WIRES):
        raise TargetError(f"{path}: unknown wires {sorted(unknown)}; known are {', '.join(WIRES)}")
    if (start is None) == (target.base_url == ""):
        raise TargetError(f"{path}: [gateway] needs either base_url or command")
    if target.terms.how not in ("file", "command", "already"):
        raise TargetError(f"{path}: [terms] how is file, command or already")
    return target


def _start(table: Mapping[str, Any]) -> Start:
    return Start(
        command=tuple(table["command"]),
        setup=tuple(map(tuple, table.get("setup", ()))),
        ready=table.get("ready", "{base_url}/"),
        env=table.get("env", {}),
    )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _filled(text: str, places: Mapping[str, str]) -> str:
    try:
        return string.Formatter().vformat(text, (), places)
    except (KeyError, IndexError) as error:
        raise TargetError(f"unknown placeholder {error} in {text!r}; known are {', '.join(sorted(places))}") from None


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def running(target: Target, upstream_url: str, start: Start | None = None) -> AsyncIterator[Running]:
    """The target's gateway, started where the target says how; `start` takes the place of its own."""
    start = start or target.start
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        port = _free_port()
        places = {
            "python": sys.executable,
            "here": str(target.here),
            "work": work,
            "upstream": upstream_url,
            "port": port,
            "operator_port": _free_port(),
            "base_url": f"http://127.0.0.1:{port}" if start is not None else target.base_url,
        }
        if start is None:
            _set_terms(target, places)
            yield Running(target.base_url, places)
            return
        env = {**os.environ, **{key: _filled(value, places) for key, value in start.env.items()}}
        _set_terms(target, places)
        for command in start.setup:
            _call(command, places, env)
        log = Path(work, "gateway.log")
        with log.open("w") as output:
            process = await asyncio.create_subprocess_exec(
                *(_filled(part, places) for part in start.command), env=env, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            await _ready(_filled(start.ready, places), process, log)
            yield Running(places["base_url"], places)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 15)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _set_terms(target: Target, places: Mapping[str, str]) -> None:
    terms = target.terms
    if terms.how == "file":
        lines = [terms.line.replace("{term}", term) for term in TERMS]
        Path(_filled(terms.path, places)).write_text("\n".join(lines) + "\n")
    elif terms.how == "command":
        for term in TERMS:
            _call(terms.command, {**places, "term": term}, None)


def _call(command: tuple[str, ...], places: Mapping[str, str], env: Mapping[str, str] | None) -> str:
    parts = [_filled(part, places) for part in command]
    done = subprocess.run(parts, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise TargetError(f"{parts[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2_000:]}")
    return done.stdout


def token(records: Records, running: Running) -> str:
    """What the token command prints last; asked once."""
    if records.token_command and "token" not in running.kept:
        running.kept["token"] = _call(records.token_command, running.places, None).split()[-1]
    return running.kept.get("token", "")


async def _ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    ends_s = time.monotonic() + _START_S
    async with httpx.AsyncClient(timeout=5) as client:
        while time.monotonic() < ends_s:
            if process.returncode is not None:
                raise TargetError(f"the gateway ended with {process.returncode}:\n{log.read_text()[-4_000:]}")
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code < 400:
                    return
            await asyncio.sleep(0.1)
    raise TargetError(f"{url} did not answer within {_START_S:.0f} s:\n{log.read_text()[-4_000:]}")
