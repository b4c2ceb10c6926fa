# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/filter.md: `python -m bench.held_out FILE`, where FILE is the `held_out.jsonl` of a training run.

Every row there was judged by weights that had seen neither its source's labels nor its texts. Prints Markdown: recall
of each source at 5 % of the ordinary harmless prompts of its language, false positives at the thresholds, each class,
and answers, whole and as they stream. `held_out_second.jsonl` of the same folder has what both encoders say.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from content_filter.classifier import CODES
from content_filter.intervals import Share
from content_filter.training.corpus import QUARREL_SOURCES

Row = dict[str, Any]

INSTRUCTIONS = {
    "zh": ("jade", "jailbench", "jailbench_seed", "xsafety_zh"),
    "en": ("advbench", "adv", "tdc2023", "xsafety_en", "hh_rlhf_harmless"),
}
MIXED = ("synth_zh", "jade_v3_medium")
"""Sources whose harmless rows are about what their harmful ones are about."""
_LEAST_ANSWERS = 100


def _share(rows: Iterable[Row], holds: Callable[[Row], bool]) -> str:
    found = [holds(row) for row in rows]
    share = Share(sum(found), len(found))
    if share.value is None or share.interval is None:
        return ""
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%})"


def _is_ordinary(row: Row) -> bool:
    source = row["source"]
    return row["label"] == "benign" and not source.startswith("own_") and source not in {*QUARREL_SOURCES, *MIXED}


def _threshold(rows: Iterable[Row]) -> float:
    scores = sorted((row["score"] for row in rows), reverse=True)
    return float(scores[int(0.05 * len(scores))])


def _blocked(row: Row) -> bool:
    return bool(row["verdict"] == "block")


def _language(rows: list[Row], language: str) -> None:
    mine = [row for row in rows if row["lang"].startswith(language)]
    ordinary = [row for row in mine if _is_ordinary(row) and row["role"] == "prompt"]
    harmful = [row for row in mine if row["label"] == "harmful"]
    at = _threshold(ordinary)
    print(f"\n## {language}: {len(ordinary)} ordinary harmless prompts, 5 % reach {at:.2f}\n")
    print("| source | rows | recall at 5 % | blocked |\n|---|---|---|---|")
    for source in sorted({row["source"] for row in harmful}):
        part = [row for row in harmful if row["source"] == source]
        own = source in (*QUARREL_SOURCES, *MIXED[1:])
        limit = _threshold([row for row in mine if row["source"] == source and row["label"] == "benign"]) if own else at
        recall = _share(part, lambda row, limit=limit: row["score"] > limit)  # type: ignore[misc]
        name = f"{source} (at 5 % of its own harmless rows)" if own else source
        print(f"| {name} | {len(part)} | {recall} | {_share(part, _blocked)} |")
    part = [row for row in harmful if row["source"] in INSTRUCTIONS[language]]
    print(
        f"| **instructions** | {len(part)} | {_share(part, lambda row: row['score'] > at)} | {_share(part, _blocked)} |"
    )
    print("\n| harmless rows | rows | blocked | blocked or second opinion |\n|---|---|---|---|")
    groups = {"ordinary": [row for row in mine if _is_ordinary(row)]}
    for source in sorted({row["source"] for row in mine if row["label"] == "benign"}):
        groups[source] = [row for row in mine if row["source"] == source and row["label"] == "benign"]
    for name, part in groups.items():
        unsure = _share(part, lambda row: row["verdict"] != "pass")
        print(f"| {name} | {len(part)} | {_share(part, _blocked)} | {unsure} |")


def _classes(rows: list[Row]) -> None:
    print("\n## Classes\n\n| class | rows | not our own | blocked | blocked or second opinion | right class first |")
    print("|---|---|---|---|---|---|")
    for code in CODES:
        mine = [row for row in rows if row["label"] == "harmful" and row["category"] == code]
        others = sum(not row["source"].startswith("own_") for row in mine)
        shares = [
            sum(map(holds, mine)) / max(1, len(mine))
            for holds in (
                _blocked, lambda row: row["verdict"] != "pass", lambda row, code=code: row["class"] == code,
            )
        ]  # fmt: skip
        print(f"| {code} | {len(mine)} | {others} | {' | '.join(f'{share:.0%}' for share in shares)} |")


def _answers(lines: list[Row]) -> None:
    print("\n## Answers\n\n| source | label | judged | answers | blocked | blocked or second opinion |")
    print("|---|---|---|---|---|---|")
    groups: dict[tuple[str, str, str, bool], list[Row]] = {}
    for line in lines:
        if line["role"] == "response":
            key = (line["source"], line["lang"][:2], line["label"], line["streamed"])
            groups.setdefault(key, []).append(line)
    for (source, language, label, streamed), part in sorted(groups.items()):
        if len(part) >= _LEAST_ANSWERS:
            how = "as a stream" if streamed else "whole"
            unsure = _share(part, lambda row: row["verdict"] != "pass")
            print(f"| {source} {language} | {label} | {how} | {len(part)} | {_share(part, _blocked)} | {unsure} |")


def main() -> None:
    """Reads and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    lines = [json.loads(line) for line in parser.parse_args().file.read_text("utf-8").splitlines()]
    rows = [line for line in lines if not line["streamed"]]
    for language in INSTRUCTIONS:
        _language(rows, language)
    _classes(rows)
    _answers(lines)


if __name__ == "__main__":
    main()
