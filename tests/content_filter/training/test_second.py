# SPDX-License-Identifier: Apache-2.0
"""The mixture is calibrated with what the second encoder says of rows that its heads did not learn."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from content_filter.classifier import HEADS, Reading
from content_filter.rows import Row
from content_filter.second_encoder import PROBES
from content_filter.training import second
from content_filter.training.corpus import GROUPS, group_of
from content_filter.training.heads import Held, Plan


def _say(line: str) -> None:
    """Quiet."""


def _row(text: str, is_harmful: bool) -> Row:
    return Row(text, "zh", "prompt", is_harmful, "A1d" if is_harmful else "none", "own_test")


def _held(row: Row, is_sound: bool = False) -> Held:
    spans = ((0, len(row.text)),) * len(HEADS)
    return Held(row, Reading(np.zeros(3, np.float32), spans, np.zeros((3, 2), np.float32), False, 1.0), 3, is_sound)


def _streamed(sentences: tuple[str, ...]) -> Held:
    """An answer that the first encoder says nothing of."""
    row = replace(_row("".join(sentences), False), role="response")
    return replace(_held(row), sentences=tuple((text, np.zeros(3, np.float32)) for text in sentences))


def test_every_group_is_judged_by_heads_that_left_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the teacher knows tells harm apart; readings by sound stay those of the first encoder."""
    asked: list[str] = []

    def teach(texts: Sequence[str], cache: Path, say: object) -> np.ndarray:
        asked.extend(texts)
        vectors = np.zeros((len(texts), 512), np.float32)
        for index, text in enumerate(texts):
            vectors[index, :4] = (0.5 if "坏" in text else -0.5), 0.1, len(text) / 100, 0.2
        return vectors

    monkeypatch.setattr("content_filter.training.distil.teach", teach)
    monkeypatch.setattr(second, "_PLAN", Plan(hidden=8, passes=40, rate=1e-2, batch=16, seeds=(0,)))
    rows = [_row(f"{'坏' if number % 2 else '好'}事{number}", bool(number % 2)) for number in range(120)]
    held = [_held(row) for row in rows] + [_held(rows[0], is_sound=True), _streamed(("坏事1", "好事2"))]
    heads_file = tmp_path / "heads.npz"
    heads_file.write_bytes(b"heads")

    arrays, mixed = second.make_second(rows, held, heads_file, tmp_path, _say)

    assert {group_of(row) for row in rows} == set(range(GROUPS))
    assert len(mixed) == len(held)
    logits = {item.row.text: item.reading.logits[0] for item in mixed if not item.is_sound and not item.sentences}
    assert mixed[-1].reading.logits[0] == pytest.approx(logits["坏事1"], abs=0.1)  # its worst sentence
    assert min(value for text, value in logits.items() if "坏" in text) > max(
        value for text, value in logits.items() if "好" in text
    )
    assert all(np.array_equal(item.reading.logits, np.zeros(3)) for item in mixed if item.is_sound)
    assert str(arrays["heads"]) == hashlib.sha256(b"heads").hexdigest()
    assert float(arrays["share"]) == second.SHARE and arrays["anchors"].shape[3] == len(HEADS)
    assert asked == [row.text for row in rows] + list(PROBES)
