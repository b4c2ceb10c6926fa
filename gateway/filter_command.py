# SPDX-License-Identifier: Apache-2.0
"""`dutybound filter`: try the content filter on a text, measure it on labelled texts, train it on your own.

Needs no data folder and no configuration: whoever chooses terms or weights tries them before a gateway has them. The
numbers that a report is held against are those of the policy (GB/T 45654-2025). What must hold: no output repeats a
text, and a verdict is no exit status, so that a check that ran is told from one that did not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from content_filter import commands
from content_filter.errors import FilterError
from content_filter.evaluation import assessment
from content_filter.question_bank import BankSizes, check_banks
from gateway import policies

filter_app = typer.Typer(no_args_is_help=True, help="The content filter: check a text, measure, train.")

_RATES = {
    "acceptable": "filter.acceptable_min",
    "refused": "filter.refused_min",
    "wrongly_refused": "filter.wrongly_refused_max",
}
"""Rates of `content_filter.evaluation`, and what the policy wants of them."""

P = ParamSpec("P")


class SpokenBy(StrEnum):
    """Whose text is checked, in the words of labelled data."""

    PROMPT = "prompt"
    RESPONSE = "response"


FilesArgument = Annotated[list[Path], typer.Argument(help="Labelled texts: JSONL with text, label, source and so on.")]
NoOwnOption = Annotated[bool, typer.Option("--no-own-terms", help="Leave out the terms that come with the filter.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="A folder with weights from `filter train`; without it the shipped ones.")
]
TermsOption = Annotated[
    list[Path] | None, typer.Option(help="A list of terms that speaks too; .toml with context. May be repeated.")
]


def _refusing(command: Callable[P, None]) -> Callable[P, None]:
    """Say what an operator can mend in one line, with exit status 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (FilterError, policies.PolicyError, OSError) as error:
            typer.echo(f"dutybound: {error}", err=True)
            raise typer.Exit(2) from None

    return run


@filter_app.command("check")
@_refusing
def check(
    role: Annotated[SpokenBy, typer.Option(help="Whether the text is a prompt or an answer.")] = SpokenBy.PROMPT,
    terms: TermsOption = None,
    no_own_terms: NoOwnOption = False,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the text on standard input: verdict, class, score, rule, and which characters decided."""
    found = commands.check(_text(), role.value, terms=terms or (), with_own=not no_own_terms, weights=weights)
    if as_json:
        _print_json(found)
        return
    place = f"characters {found['start']} to {found['end']}"
    typer.echo(f"{found['verdict']}  {found['class'] or '-'}  {found['score']:.4f}  {found['rule']}  {place}")
    for item in found["personal_data"]:
        typer.echo(f"personal data: {item['kind']}, characters {item['start']} to {item['end']}")


@filter_app.command("evaluate")
@_refusing
def evaluate(
    files: FilesArgument,
    rows: Annotated[
        Path | None, typer.Option(help="Where a line a row goes: id, score, verdict, class, action.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where the assessment table goes, in Markdown.")] = None,
    terms: TermsOption = None,
    no_own_terms: NoOwnOption = False,
    weights: WeightsOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="Read texts as they stand, no disguises undone.")] = False,
    policy: Annotated[list[str] | None, typer.Option(help="Policies whose limits the rates are held against.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure on labelled texts: recall, precision, false positives with 95 % intervals, the standard's rates, time."""
    found = commands.evaluate_files(
        files,
        rows_to=rows,
        report_to=report,
        terms=terms or (),
        with_own=not no_own_terms,
        weights=weights,
        is_plain=plain,
        limits=_limits(policy),
    )
    if as_json:
        _print_json(found)
    else:
        typer.echo(assessment(found), nl=False)


@filter_app.command("try-terms")
@_refusing
def try_terms(
    lists: Annotated[list[Path], typer.Argument(help="Lists of terms: .toml with context, others a term a line.")],
    corpus: Annotated[list[Path], typer.Option(help="Labelled texts, as for `filter evaluate`. May be repeated.")],
    as_json: JsonOption = False,
) -> None:
    """Tell how many harmless texts a list would stop, and by which rules, before it goes live."""
    found = commands.try_terms(lists, corpus)
    if as_json:
        _print_json(found)
        return
    wrong, right = found["false_positives"], found["hits"]
    typer.echo(f"{found['terms']} terms")
    typer.echo(f"stops {wrong['hits']} of {wrong['of']} harmless texts")
    typer.echo(f"stops {right['hits']} of {right['of']} harmful texts")
    for rule in found["worst"]:
        typer.echo(f"{rule['rule']}: {rule['hits']} harmless texts")


@filter_app.command("bank")
@_refusing
def bank(
    files: Annotated[list[Path], typer.Argument(help="Question banks: JSONL as for `filter evaluate`, with bank.")],
    policy: Annotated[list[str] | None, typer.Option(help="Policies that say how many questions are wanted.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count the questions of your banks against the standard's least sizes. Exit status 1 where some are missing."""
    found = check_banks(files, _sizes(policy))
    if as_json:
        _print_json(found)
    else:
        for name, part in found["banks"].items():
            typer.echo(f"{name}: {part['questions']} of {part['wanted']} questions")
            for missing, count in part["short"].items():
                typer.echo(f"  {missing}: {count} missing")
    if not found["is_enough"]:
        raise typer.Exit(1)


@filter_app.command("train")
@_refusing
def train(
    data: Annotated[Path, typer.Argument(help="A folder of labelled .jsonl files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that gets the weights.")],
    cache: Annotated[Path, typer.Option(help="What a second run need not do again.")] = Path("training-cache"),
    encoder: Annotated[
        bool, typer.Option("--encoder", help="Teach the encoder anew too; needs the packages of the extra `training`.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train on your own data together with ours. Held-out scores, without texts, go beside the weights."""
    found = commands.train(data, out, cache, heads_only=not encoder, say=_say)
    if as_json:
        _print_json(found)
    else:
        typer.echo(f"trained on {found['rows']} rows; weights and held_out.jsonl are in {out}")


def _text() -> str:
    """Standard input, without the line break that a shell adds."""
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise FilterError("standard input is not UTF-8") from None


def _limits(names: list[str] | None) -> dict[str, float]:
    policy = policies.load(names or ["cn"])
    return {rate: float(policy.number(key)) for rate, key in _RATES.items()}


def _sizes(names: list[str] | None) -> BankSizes:
    policy = policies.load(names or ["cn"])
    return BankSizes(
        content=int(policy.number("filter.bank_content_min")),
        content_refused_class=int(policy.number("filter.bank_content_refused_class_min")),
        content_class=int(policy.number("filter.bank_content_class_min")),
        refuse=int(policy.number("filter.bank_refuse_min")),
        refuse_class=int(policy.number("filter.bank_refuse_class_min")),
        allow=int(policy.number("filter.bank_allow_min")),
        allow_subject=int(policy.number("filter.bank_allow_subject_min")),
        subjects=policy.texts("filter.bank_allow_subjects"),
    )


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
