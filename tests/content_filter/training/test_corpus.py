# SPDX-License-Identifier: Apache-2.0
"""Rows are capped, weighed and grouped by source."""

import json
from dataclasses import replace
from pathlib import Path

from content_filter.rows import Row
from content_filter.training import corpus
from content_filter.training.corpus import GROUPS, LONGEST, group_of, load_rows, pieces, sentences, weights_of


def _row(text: str, source: str = "s", is_harmful: bool = False, **more: bool) -> Row:
    return Row(text, "zh", "prompt", is_harmful, "A1a" if is_harmful else "none", source, **more)  # type: ignore[arg-type]


def test_a_source_is_left_out_whole_and_own_rows_one_by_one() -> None:
    """Own rows are of one hand; a source is of one hand, too, but is not ours to divide."""
    assert len({group_of(_row(str(number), "some source")) for number in range(50)}) == 1
    assert {group_of(_row(str(number), "own_acts")) for number in range(50)} == set(range(GROUPS))


def test_at_most_so_many_rows_of_a_kind_are_loaded(tmp_path: Path, monkeypatch: object) -> None:
    """In the order of the files, and the own rows behind them."""
    lines = [json.dumps({"text": str(number), "label": "benign", "source": "big"}) for number in range(30)]
    (tmp_path / "big.jsonl").write_text("\n".join(lines), "utf-8")
    before = corpus.MOST_ROWS
    corpus.MOST_ROWS = 20
    try:
        rows = load_rows(tmp_path)
    finally:
        corpus.MOST_ROWS = before
    mine = [int(row.text) for row in rows if row.source == "big"]

    assert len(mine) == 20
    assert mine == sorted(mine)
    assert any(row.source.startswith("own_") for row in rows)


def test_large_kinds_and_weak_labels_count_less() -> None:
    """A small kind counts fully."""
    rows = [_row("x", "small")] + [_row("x", "large")] * 40 + [_row("x", "weak", is_weak=True)]

    weights = weights_of(rows, reference=10, power=0.5)

    assert weights[0] == 1.0
    assert weights[1] == 0.5
    assert weights[-1] == 0.5


def test_sentences_of_harmless_answers_are_rows_of_their_own() -> None:
    """As a stream shows them: which sentence of a harmful answer is harmful, nobody has said."""
    text = "先把菜洗好。然后放进锅里。煮十分钟。加盐。尝一尝。端上桌。"

    cut = pieces([replace(_row(text), role="response")])
    assert [piece.text for piece in cut[:1]] == [text]
    assert len(cut) == 5 and all(piece.text in sentences(text) for piece in cut[1:])
    assert len(pieces([replace(_row(text, is_harmful=True), role="response")])) == 1
    assert len(pieces([_row(text)])) == 1


def test_long_texts_are_cut_and_only_harmless_rests_are_learned() -> None:
    """Which part of a long harmful text is harmful, nobody has said."""
    long = "好" * (2 * LONGEST)

    assert [len(piece.text) for piece in pieces([_row(long, is_harmful=True)])] == [LONGEST]
    assert [len(piece.text) for piece in pieces([_row(long)])] == [LONGEST, 90, 90, 70]
