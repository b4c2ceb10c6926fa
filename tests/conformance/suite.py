# SPDX-License-Identifier: Apache-2.0
"""Runs the checks against a target and tells what it found."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import httpx

from tests.conformance import lane_checks, manner_checks, prompt_checks, text_checks
from tests.conformance.check import CHECKS, Check, Failed
from tests.conformance.probe import Probe, new_client
from tests.conformance.target import Running, Target, running
from tests.conformance.upstream import TicketUpstream, serve_tickets
from tests.conformance.wires.table import WIRES

__all__ = ["CHECKS", "Judge", "Result", "Verdict", "judging", "table", "write_report"]
_DECLARED = (text_checks, lane_checks, prompt_checks, manner_checks)
"""Importing these declares the checks."""


class Verdict(StrEnum):
    """What became of one check on one wire."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """One check on one wire. `note` is the reason, or a figure."""

    wire: str
    check: str
    says: str
    verdict: Verdict
    note: str
    exchanges: int
    seconds: float


class Judge:
    """A target whose gateways run. `run` may be called for one wire after the other."""

    def __init__(
        self, target: Target, upstream: TicketUpstream, client: httpx.AsyncClient, gateway: Running, held: Running
    ) -> None:
        self._target = target
        self._upstream = upstream
        self._client = client
        self._gateway = gateway
        self._held = held

    async def run(
        self, name: str, keys: Iterable[str] = (), heard: Callable[[Result], None] = lambda result: None
    ) -> list[Result]:
        """The results of one wire, in the order of the checks. `keys` chooses among them; empty is all."""
        wire, chosen = WIRES[name](), frozenset(keys)
        probes = {
            is_on_hold: Probe(self._target, running_, wire, self._upstream, self._client)
            for is_on_hold, running_ in ((False, self._gateway), (True, self._held))
        }
        results = []
        for check in CHECKS:
            if not chosen or check.key in chosen:
                results.append(await _one(check, probes[check.on_hold]))
                self._upstream.forget()
                heard(results[-1])
        return results


@contextlib.asynccontextmanager
async def judging(target: Target) -> AsyncIterator[Judge]:
    """Start what the target says, for as long as the context lasts. Raises `TargetError`."""
    async with (
        serve_tickets(target.upstream_port) as upstream,
        new_client() as client,
        contextlib.AsyncExitStack() as stack,
    ):
        gateway = await stack.enter_async_context(running(target, upstream.url))
        held = gateway
        if target.hold is not None:
            held = await stack.enter_async_context(running(target, upstream.url, target.hold))
        yield Judge(target, upstream, client, gateway, held)


async def _one(check: Check, probe: Probe) -> Result:
    begun_s, before = time.monotonic(), probe.exchanges
    reason = check.claim(probe.target)
    missing = sorted(check.needs - probe.wire.can)
    verdict, note = Verdict.PASSED, ""
    if reason or missing:
        verdict, note = Verdict.NOT_APPLICABLE, reason or f"the wire has no {', '.join(missing)}"
    else:
        try:
            note = await check.run(probe) or ""
        except Failed as why:
            verdict, note = Verdict.FAILED, str(why)
        except Exception as error:  # a check that breaks has proved nothing
            verdict, note = Verdict.FAILED, f"the check broke: {type(error).__name__}: {error}"
    seconds = time.monotonic() - begun_s
    return Result(probe.wire.name, check.key, check.says, verdict, note, probe.exchanges - before, round(seconds, 3))


def table(results: Sequence[Result]) -> str:
    """A line for each check, a column for each wire, then every failure and reason in words."""
    wires = list(dict.fromkeys(result.wire for result in results))
    by_place = {(result.check, result.wire): result for result in results}
    signs = {Verdict.PASSED: "ok", Verdict.FAILED: "FAIL", Verdict.NOT_APPLICABLE: "n/a"}
    keys = list(dict.fromkeys(result.check for result in results))
    width = max(map(len, keys), default=0)
    lines = [" " * width + "  " + "  ".join(wires)]
    for key in keys:
        cells = [signs[by_place[key, wire].verdict].ljust(len(wire)) for wire in wires]
        lines.append(f"{key.ljust(width)}  {'  '.join(cells)}".rstrip())
    for verdict in (Verdict.FAILED, Verdict.NOT_APPLICABLE):
        found = [result for result in results if result.verdict is verdict]
        if found:
            lines += ["", f"{verdict.value.capitalize()}:"]
            lines += [f"  {result.wire} / {result.check}: {result.note}" for result in found]
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    exchanges, seconds = sum(r.exchanges for r in results), sum(r.seconds for r in results)
    told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())
    lines += ["", f"{told}; {exchanges} exchanges in {seconds:.0f} s"]
    return "\n".join(lines)


def write_report(path: Path, target: Target, results: Sequence[Result]) -> None:
    """The results as JSON, for machines."""
    document = {"target": target.name, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
