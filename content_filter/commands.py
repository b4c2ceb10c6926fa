# SPDX-License-Identifier: Apache-2.0
"""What the command line offers: check a text, evaluate on files, try a list of terms, train on own data.

Functions from plain values to JSON-able values; whoever prints them is elsewhere. They raise `FilterError` alone.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from content_filter.classifier import Band, Classifier, Judgement
from content_filter.context_terms import ContextMatcher, load_context_terms, own_terms, try_out
from content_filter.errors import FilterError
from content_filter.evaluation import Judge, Scored, assessment, evaluate, judge_with
from content_filter.judge import TextJudge
from content_filter.matcher import Match, TermMatcher
from content_filter.personal import find
from content_filter.roles import Role
from content_filter.rows import read_rows
from content_filter.second_encoder import Second
from content_filter.terms import Action, TermSet

_ROLES = {"prompt": Role.PROMPT, "response": Role.ANSWER, "answer": Role.ANSWER}
_ACTIONS = {Action.BLOCK: "refuse", Action.MASK: "mask", Action.FLAG: "flag"}


class _Lists:
    """Lists of both kinds together: files that end in .toml hold terms with context, others plain terms."""

    def __init__(self, paths: Iterable[str | Path], with_own: bool = False) -> None:
        listed = list(map(Path, paths))
        plain = TermSet.load(path for path in listed if path.suffix != ".toml")
        context = load_context_terms(path for path in listed if path.suffix == ".toml")
        if with_own:
            known = {term.text for term in context}
            context += [term for term in own_terms() if term.text not in known]
        self._context = ContextMatcher(context)
        self._plain = TermMatcher(plain)
        self.count = len(plain) + len(self._context)

    def find_all(self, text: str) -> list[Match]:
        """Every term that is found."""
        return [*self._plain.find_all(text), *self._context.find_all(text)]

    def strongest(self, text: str, band: Band) -> Match | None:
        """The match that speaks instead of the classifier: one that blocks, any where the classifier lets pass."""
        strength = list(Action)
        match = min(self.find_all(text), key=lambda found: strength.index(found.action), default=None)
        return match if match is not None and (match.action is Action.BLOCK or band is Band.PASS) else None


def check(
    text: str,
    role: str = "prompt",
    *,
    terms: Iterable[str | Path] = (),
    with_own: bool = True,
    weights: str | Path | None = None,
) -> dict[str, Any]:
    """Verdict, class, score, rule and offsets of a text, which is a `prompt` or a `response`. `with_own` asks the terms
    that come with the filter, too.

    `score` is from 0 to 1; `verdict` is pass, second_opinion, flag, mask or block. Terms speak before the classifier
    where they block. Personal data is listed by kind and place. The text itself is not repeated.
    """
    if role not in _ROLES:
        raise FilterError("unknown role; expected prompt or response")
    judge, lists = TextJudge(Classifier.load(weights, second=Second.AUTO)), _Lists(terms, with_own)
    said = judge.judge(text, _ROLES[role])
    match = lists.strongest(text, said.band)
    result = _said(said) if match is None else _found(match, said.score_bp / 10_000)
    result["classes"] = [{"class": code, "share": share / 10_000} for code, share in said.classes]
    result["classifier"] = judge.classifier.digest
    result["personal_data"] = [
        {"kind": item.kind.value, "start": item.start, "end": item.end} for item in find(text)
    ]  # fmt: skip
    return result


def _said(said: Judgement) -> dict[str, Any]:
    return {
        "verdict": said.band.value, "class": said.class_code, "score": said.score_bp / 10_000, "rule": said.rule,
        "start": said.start, "end": said.end,
    }  # fmt: skip


def _found(match: Match, classified: float) -> dict[str, Any]:
    return {
        "verdict": match.action.value, "class": match.class_code, "score": _score(match, classified),
        "rule": match.rule, "start": match.start, "end": match.end,
    }  # fmt: skip


def _score(match: Match, classified: float) -> float:
    """What stops is certain; what flags counts like the middle band at least."""
    return max(classified, 0.5) if match.action is Action.FLAG else 1.0


def evaluate_files(
    files: Iterable[str | Path],
    *,
    rows_to: str | Path | None = None,
    report_to: str | Path | None = None,
    terms: Iterable[str | Path] = (),
    with_own: bool = True,
    limits: Mapping[str, float] | None = None,
    weights: str | Path | None = None,
    is_plain: bool = False,
) -> dict[str, Any]:
    """The report of `evaluation.evaluate`; `report_to` gets the assessment table. `is_plain` leaves the views out."""
    classifier = Classifier.load(weights, second=Second.AUTO)
    judge = judge_with(classifier if is_plain else TextJudge(classifier))
    found = evaluate(files, _with_terms(judge, _Lists(terms, with_own)), rows_to=rows_to, limits=limits)
    found["classifier"] = classifier.digest
    if report_to is not None:
        _write(Path(report_to), assessment(found))
    return found


def _with_terms(judge: Judge, lists: _Lists) -> Judge:
    if not lists.count:
        return judge

    def both(text: str, role: Role) -> Scored:
        scored = judge(text, role)
        match = lists.strongest(text, Band(scored.verdict))
        if match is None:
            return scored
        score = _score(match, scored.score)
        return Scored(score, match.action.value, match.class_code, _ACTIONS[match.action])

    return both


def try_terms(terms: Iterable[str | Path], corpus: Iterable[str | Path]) -> dict[str, Any]:
    """What lists of terms would stop in labelled rows: run this before a list goes live. Files that end in .toml hold
    terms with context, others plain terms."""
    lists = _Lists(terms)
    return try_out(lists.find_all, lists.count, read_rows(corpus)).as_json()


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
