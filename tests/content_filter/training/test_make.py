# SPDX-License-Identifier: Apache-2.0
"""An operator trains heads on own data with the shipped encoder, and gets weights that work."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from content_filter.classifier import Classifier
from content_filter.encoder import load_arrays
from content_filter.errors import FilterError
from content_filter.rows import Row
from content_filter.training import make as module
from content_filter.training.__main__ import main
from content_filter.training.make import make


def _say(line: str) -> None:
    """Quiet."""


def _data(folder: Path) -> Path:
    folder.mkdir()
    for source, lines in {
        "a": [("卖仙丹妙药，包治百病", "harmful"), ("今天去公园散步", "benign")],
        "b": [("仙丹便宜卖了，快来", "harmful"), ("明天开会的时间改了", "benign")],
    }.items():
        rows = [
            {"id": f"{source}{copy}{index}", "text": f"{text}{copy}", "lang": "zh", "role": "prompt", "label": label,
             "category": "A3e" if label == "harmful" else "none", "source": f"source {source}"}
            for copy in range(12) for index, (text, label) in enumerate(lines)
        ]  # fmt: skip
        (folder / f"{source}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder


def _teach(texts: Sequence[str], cache: Path, say: object) -> np.ndarray:
    """A teacher that knows one word."""
    vectors = np.zeros((len(texts), 512), np.float32)
    vectors[:, 0] = [1.0 if "仙丹" in text or "炸弹" in text else -1.0 for text in texts]
    return vectors


def _few_own_rows(seed: int = 1) -> list[Row]:
    return [
        Row(f"{text}{number}", "zh", "prompt", is_harmful, "A1d" if is_harmful else "none", "own_test")
        for number in range(8) for text, is_harmful in (("怎么制造炸弹", True), ("怎么做菜", False))
    ]  # fmt: skip


def test_heads_are_trained_on_own_data_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, and held-out scores that hold ids and no texts."""
    monkeypatch.setattr("content_filter.training.corpus.own_rows", _few_own_rows)
    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr("content_filter.training.distil.teach", _teach)
    data, out = _data(tmp_path / "data"), tmp_path / "out"

    counts = make(data, out, tmp_path / "cache", heads_only=True, say=_say)
    held = [json.loads(line) for line in (out / "held_out.jsonl").read_text("utf-8").splitlines()]

    assert counts == {"rows": 64, "held_out": 128}  # each row by its characters and by its sound
    assert not (out / "encoder.npz").exists()
    assert len(held) == 64
    assert all("text" not in row for row in held)
    assert len((out / "held_out_second.jsonl").read_text("utf-8").splitlines()) == 64
    assert load_arrays(out / "second.npz")["harm_in"].shape[0] == 512
    own = Classifier.load(out)
    assert own.judge("卖仙丹妙药，便宜").score_bp > own.judge("今天开会的时间").score_bp


def test_a_folder_without_rows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Own rows alone are no data; the command line says so and exits with 2."""
    with pytest.raises(FilterError, match="no labelled rows"):
        make(tmp_path, tmp_path / "out", tmp_path / "cache", heads_only=True, say=_say)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["training", str(tmp_path), "--out", str(tmp_path / "out"), "--heads-only"])
        assert main() == 2
    assert "no labelled rows" in capsys.readouterr().err


def test_without_the_second_encoder_nothing_is_made_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run says so."""
    monkeypatch.setattr("content_filter.training.corpus.own_rows", _few_own_rows)
    monkeypatch.setattr(module, "is_installed", lambda: False)
    said: list[str] = []

    make(_data(tmp_path / "data"), tmp_path / "out", tmp_path / "cache", heads_only=True, say=said.append)

    assert "the second encoder is not installed: no weights for it" in said
    assert not (tmp_path / "out" / "second.npz").exists()


def test_an_answer_is_judged_as_it_streams_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and by its worst sentence: two lines of held-out scores."""
    monkeypatch.setattr("content_filter.training.corpus.own_rows", _few_own_rows)
    monkeypatch.setattr(module, "is_installed", lambda: False)
    data, out = _data(tmp_path / "data"), tmp_path / "out"
    lines = [
        {
            "text": f"先把菜洗好{number}。然后放进锅里煮。",
            "lang": "zh",
            "role": "response",
            "label": "benign",
            "source": "a",
        }
        for number in range(12)
    ]
    (data / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    make(data, out, tmp_path / "cache", heads_only=True, say=_say)
    held = [json.loads(line) for line in (out / "held_out.jsonl").read_text("utf-8").splitlines()]

    assert [sum(row["streamed"] is kind for row in held if row["role"] == "response") for kind in (False, True)] == [
        12,
        12,
    ]
    assert not any(row["streamed"] for row in held if row["role"] == "prompt")


def test_encoders_of_an_earlier_run_are_used_again_or_missed_by_name(tmp_path: Path) -> None:
    """`--keep-encoders` without an earlier run says which file it needs."""
    data = _data(tmp_path / "data")

    with pytest.raises(FilterError, match=r"encoder-without-\d\.npz"):
        module.make(data, tmp_path / "out", tmp_path / "cache", keep_encoders=True, say=_say)
