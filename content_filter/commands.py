# SPDX-License-Identifier: Apache-2.0
"""What the command line offers: check a text, evaluate on files, try a list of terms, train on own data.

Functions from plain values to JSON-able values; whoever prints them is elsewhere. They raise `FilterError` alone.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from content_filter.classifier import Classifier
from content_filter.context_terms import ContextMatcher, load_context_terms, try_out
from content_filter.errors import FilterError
from content_filter.evaluation import assessment, evaluate, judge_with
from content_filter.filter import ContentFilter, Outcome
from content_filter.judge import TextJudge
from content_filter.matcher import TermMatcher
from content_filter.personal import find
from content_filter.rows import read_rows
from content_filter.terms import TermSet


def check(
    text: str, role: str = "prompt", *, terms: Iterable[str | Path] = (), weights: str | Path | None = None
) -> dict[str, Any]:
    """Verdict, class, score, rule and offsets of a text. Terms speak before the classifier where they block.

    `score` is from 0 to 1; `verdict` is pass, second_opinion, flag, mask or block. Personal data is listed by kind and
    place. The text itself is not repeated.
    """
    found = ContentFilter(TermSet.load(terms)).check_text(text, role)
    judge = TextJudge(Classifier.load(weights))
    said = judge.judge(text, role)
    result: dict[str, Any] = {
        "verdict": said.band.value,
        "class": said.class_code,
        "score": said.score_bp / 10_000,
        "rule": said.rule,
        "start": said.start,
        "end": said.end,
        "classes": [{"class": code, "share": share / 10_000} for code, share in said.classes],
        "classifier": judge.classifier.digest,
    }
    if found.verdict is Outcome.BLOCK or (found.verdict is not Outcome.PASS and said.band.value == "pass"):
        result |= {
            "verdict": found.verdict.value, "class": found.class_code, "score": found.score_bp / 10_000,
            "rule": found.rule, "start": found.start, "end": found.end,
        }  # fmt: skip
    result["personal_data"] = [
        {"kind": item.kind.value, "start": item.start, "end": item.end} for item in find(text)
    ]  # fmt: skip
    return result


def evaluate_files(
    files: Iterable[str | Path],
    *,
    rows_to: str | Path | None = None,
    report_to: str | Path | None = None,
    limits: Mapping[str, float] | None = None,
    weights: str | Path | None = None,
    is_plain: bool = False,
) -> dict[str, Any]:
    """The report of `evaluation.evaluate`; `report_to` gets the assessment table. `is_plain` leaves the views out."""
    classifier = Classifier.load(weights)
    judge = judge_with(classifier if is_plain else TextJudge(classifier))
    found = evaluate(files, judge, rows_to=rows_to, limits=limits)
    found["classifier"] = classifier.digest
    if report_to is not None:
        _write(Path(report_to), assessment(found))
    return found


def try_terms(terms: Iterable[str | Path], corpus: Iterable[str | Path]) -> dict[str, Any]:
    """What lists of terms would stop in labelled rows: run this before a list goes live. Files that end in .toml hold
    terms with context, others plain terms."""
    paths = list(map(Path, terms))
    rich = [path for path in paths if path.suffix == ".toml"]
    plain = TermSet.load(path for path in paths if path.suffix != ".toml")
    context, matcher = ContextMatcher(load_context_terms(rich)), TermMatcher(plain)
    trial = try_out(
        lambda text: [*matcher.find_all(text), *context.find_all(text)], len(plain) + len(context), read_rows(corpus)
    )
    return trial.as_json()


def train(
    data: str | Path, out: str | Path, cache: str | Path, *, heads_only: bool = True, say: Callable[[str], None]
) -> dict[str, Any]:
    """Trains on a folder of labelled .jsonl files; `out` then holds weights for `check` and `evaluate_files`."""
    from content_filter.training.make import make  # what only training needs

    return make(Path(data), Path(out), Path(cache), heads_only=heads_only, say=say)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise FilterError(f"{path}: cannot be written ({error.strerror or 'unknown error'})") from error
