# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.conformance --target FILE`: judges a gateway; see README.md beside this module."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.suite import CHECKS, Result, Verdict, judging, table, write_report
from tests.conformance.target import Target, TargetError, read_target
from tests.conformance.terms import TERMS


def _heard(result: Result) -> None:
    note = f": {result.note}" if result.note else ""
    print(f"{result.wire} {result.check} {result.verdict.value}{note}", file=sys.stderr, flush=True)


async def _judge(target: Target, wires: Sequence[str], keys: Sequence[str]) -> list[Result]:
    results: list[Result] = []
    async with judging(target) as judge:
        for wire in wires:
            results += await judge.run(wire, keys, _heard)
    return results


def main() -> int:
    """0 where every applicable check passed, 1 where one failed, 2 where the target cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Judge a gateway.")
    parser.add_argument("--target", type=Path, help="the target file")
    parser.add_argument("--wire", action="append", default=[], help="only this wire; may be repeated")
    parser.add_argument("--check", action="append", default=[], help="only this check; may be repeated")
    parser.add_argument("--json", type=Path, help="write the results here as JSON")
    parser.add_argument("--list", action="store_true", help="list the checks and end")
    parser.add_argument("--terms", action="store_true", help="print the words that the target must forbid and end")
    options = parser.parse_args()
    if options.list or options.terms:
        print("\n".join(f"{check.key}: {check.says}" for check in CHECKS) if options.list else "\n".join(TERMS))
        return 0
    if options.target is None:
        parser.error("--target is missing")
    if unknown := set(options.check) - {check.key for check in CHECKS}:
        parser.error(f"unknown checks: {', '.join(sorted(unknown))}")

    try:
        target = read_target(options.target)
        if unknown := set(options.wire) - set(target.wires):
            parser.error(f"wires that the target does not serve: {', '.join(sorted(unknown))}")
        results = asyncio.run(_judge(target, options.wire or target.wires, options.check))
    except TargetError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(results))
    if options.json:
        write_report(options.json, target, results)
    return int(any(result.verdict is Verdict.FAILED for result in results) or not results)


if __name__ == "__main__":
    sys.exit(main())
