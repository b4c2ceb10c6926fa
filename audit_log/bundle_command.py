# SPDX-License-Identifier: Apache-2.0
"""The command line of the verifier that comes with a bundle: ``python verify.py [BUNDLE] [--vkey KEY] ...``.

Exit status 0: everything holds. 1: something does not. 2: it was called in a wrong way.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from audit_log.bundle import BundleFiles, BundleReport, bundled_body, verify_bundle
from audit_log.errors import VerificationError


def check_bundle(arguments: Sequence[str], default: Path) -> int:
    """Run the command; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="verify.py", description="Check an audit bundle offline. Exit status 0 only where everything holds."
    )
    parser.add_argument("bundle", nargs="?", type=Path, default=default, help="the zip or the unpacked folder")
    parser.add_argument("--vkey", action="append", default=[], help="the log's key as you know it; may be repeated")
    parser.add_argument("--policy", type=Path, help="your own trust policy (c2sp.org/tlog-policy)")
    parser.add_argument("--checkpoint", action="append", type=Path, default=[], help="a checkpoint that you kept")
    parser.add_argument("--receipt", action="append", default=[], help="a client's receipt; may be repeated")
    parser.add_argument("--tsa-roots", type=Path, help="certificates (PEM) of time-stamping authorities that you trust")
    parser.add_argument("--body", type=int, metavar="INDEX", help="print the body of a record, and nothing else")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        policy = options.policy.read_bytes() if options.policy else None
        older = [path.read_bytes() for path in options.checkpoint]
        roots = options.tsa_roots.read_bytes() if options.tsa_roots else None
    except OSError as error:
        parser.error(f"{error.filename} cannot be read: {error.strerror}")
    report = verify_bundle(
        options.bundle, vkeys=options.vkey, policy=policy, older=older, receipts=options.receipt, tsa_roots=roots
    )
    if report.ok and options.body is not None:
        return _write_body(options.bundle, options.body)
    if options.json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        _print_report(report)
    return 0 if report.ok else 1


def _print_report(report: BundleReport) -> None:
    for problem in report.problems:
        print(f"BAD  {problem}")
    if report.problems_left_out:
        print(f"BAD  and {report.problems_left_out} more problems")
    print(f"log           {report.origin}")
    print(f"records       {report.records} ({report.first} to {report.last}) of {report.tree_size} in the log")
    print(f"selection     {'every record of the range' if report.complete else 'a selection'}")
    print(f"checkpoints   {report.checkpoints}, cosigned by {', '.join(report.witnesses) or 'nobody'}")
    for size, at, by in report.timestamps[-1:]:
        known = "" if report.authority_given else ", whose certificate nobody vouched for: use --tsa-roots"
        print(f"time-stamps   {len(report.timestamps)}; the last: {size} records by {at}, by {by}{known}")
    print(f"bodies        {report.bodies} in the bundle; {report.erased} records whose body was erased")
    if not report.key_given:
        print("key           the bundle's own: compare keys/ with the key you were given before, or use --vkey")
    if report.ok:
        print("RESULT        everything holds")
    else:
        first = "" if report.first_bad_index is None else f"; first bad index {report.first_bad_index}"
        print(f"RESULT        BROKEN{first}")


def _write_body(bundle: Path, index: int) -> int:
    try:
        files = BundleFiles(bundle)
        try:
            lines = files.read("records.jsonl").split(b"\n")
            indices = sorted(int(name[7:-11]) for name in files.names if name.startswith("proofs/"))
            text = bundled_body(files, index, lines[indices.index(index)]) if index in indices else None
        finally:
            files.close()
    except VerificationError as error:
        print(f"BAD  {error}", file=sys.stderr)
        return 1
    if text is None:
        print("this bundle has no opened body of that record", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(text)
    return 0
