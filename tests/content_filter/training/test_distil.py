# SPDX-License-Identifier: Apache-2.0
"""Students learn from the teacher's vectors, which come from the cache here."""

import hashlib
from pathlib import Path

import numpy as np

from content_filter.encoder import Encoder
from content_filter.features import fingerprint
from content_filter.normalise import normalise
from content_filter.training.distil import Lesson, Shape, axes, distil, n_grams, packed, spans, teach, vocabulary


def _say(line: str) -> None:
    """Quiet."""


def test_spans_are_parts_of_their_texts_and_depend_on_them_alone() -> None:
    """So that a cache of the teacher's answers stays good when rows are added."""
    texts = ["one two three four five six seven eight nine ten " * 2, "好" * 30 + "人" * 30, "short"]

    found = spans(texts)

    assert found == spans(texts)
    assert spans([texts[0]]) == found[:1]
    assert all(any(span in text for text in texts) for span in found)


def test_the_teacher_is_asked_once_for_the_same_texts(tmp_path: Path) -> None:
    """Its answers lie in the cache under a digest of the texts."""
    texts = ["a", "b"]
    name = hashlib.sha256(b"a\0b").hexdigest()[:16]
    np.save(tmp_path / f"teacher-{name}.npy", np.arange(4, dtype=np.float16).reshape(2, 2))

    assert teach(texts, tmp_path, _say).tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_axes_are_orthogonal_and_the_first_explains_the_most() -> None:
    """Principal axes."""
    draw = np.random.default_rng(1)
    vectors = (draw.normal(size=(4_000, 3)) * [1, 5, 2]).astype(np.float32)

    mean, turned = axes(vectors, 2)

    assert np.allclose(turned.T @ turned, np.eye(2), atol=1e-5)
    assert abs(turned[1, 0]) > 0.99
    assert mean.shape == (3,)


def test_the_vocabulary_holds_the_most_frequent_n_grams_in_order() -> None:
    """By how many texts they stand in, each counted as it counts."""
    keys = n_grams(["好", "好", "人", "坏", "坏"])

    assert set(vocabulary(keys, np.ones(5), 2)) == {keys[0][0], keys[3][0]}
    assert set(vocabulary(keys, np.array([1, 1, 9, 1, 1.0]), 1)) == {keys[2][0]}


def test_packing_loses_less_than_a_hundredth_of_a_row() -> None:
    """One byte a number with a scale of its own for each row."""
    draw = np.random.default_rng(1)
    learned = {
        "table": draw.normal(size=(9, 4)).astype(np.float32), "hidden": np.ones((4, 2), np.float32),
        "hidden_bias": np.ones(2, np.float32), "out": np.ones((2, 3), np.float32), "out_bias": np.ones(3, np.float32),
        "skip": np.ones((4, 3), np.float32),
    }  # fmt: skip

    arrays = packed(np.arange(9, dtype=np.uint32), learned)
    back = arrays["table"].astype(float) * arrays["scales"].astype(float)[:, None]

    assert str(arrays["features"]) == fingerprint()
    assert np.all(np.abs(back - learned["table"]).max(1) <= np.abs(learned["table"]).max(1) * 0.01)


def test_a_student_repeats_its_teacher_and_does_not_see_what_is_left_out() -> None:
    """Two kinds of texts with two vectors are told apart; words of rows that are left out are unknown."""
    texts = [f"好人 word{number % 7}" for number in range(60)] + [f"坏天 text{number % 7}" for number in range(60)]
    targets = np.repeat(np.array([[1, 0], [0, 1]], np.float32), 60, axis=0)
    hidden = ["秘密"] * 5
    lesson = Lesson(
        n_grams(texts + hidden), np.ones(125), np.concatenate([targets, np.zeros((5, 2), np.float32)]),
        np.arange(125), np.zeros(125, bool),
    )  # fmt: skip
    shape = Shape(rows=50, width=8, hidden=8, out=2, epochs=30, batch=16)

    encoder = Encoder(distil(lesson, np.arange(125) >= 120, shape, _say))

    good, bad = encoder.encode(normalise("好人")), encoder.encode(normalise("坏天"))
    assert good[0] > good[1]
    assert bad[1] > bad[0]
    assert encoder.places("秘密").is_empty
