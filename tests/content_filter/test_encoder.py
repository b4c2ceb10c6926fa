# SPDX-License-Identifier: Apache-2.0
"""The encoder sums what it knows, and refuses weights that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from content_filter.encoder import Encoder, distinct, keys_of, load_arrays
from content_filter.errors import FilterError
from content_filter.features import features, fingerprint


def _arrays(text: str = "好人 good") -> dict[str, Any]:
    keys = np.unique(keys_of(features(text)))
    draw = np.random.default_rng(1)
    return {
        "features": np.array(fingerprint()),
        "keys": keys,
        "table": draw.integers(-127, 128, (len(keys), 4)).astype(np.int8),
        "scales": draw.random(len(keys)).astype(np.float16),
        "hidden": draw.normal(size=(4, 5)).astype(np.float16),
        "hidden_bias": np.ones(5, np.float32),
        "out": draw.normal(size=(5, 3)).astype(np.float16),
        "out_bias": np.ones(3, np.float32),
        "skip": draw.normal(size=(4, 3)).astype(np.float16),
    }


def test_known_n_grams_are_found_with_their_places() -> None:
    """And unknown ones are counted, not found."""
    places = Encoder(_arrays("好人")).places("坏好人")

    assert sorted(zip(places.starts.tolist(), places.ends.tolist(), strict=True)) == [(1, 2), (1, 3), (2, 3)]
    assert places.total == 7  # three characters, two pairs, one triple, one pair with a gap


def test_the_vector_is_the_layer_over_the_sum_of_distinct_rows() -> None:
    """By the definition, in plain loops."""
    arrays = _arrays()
    encoder = Encoder(arrays)
    rows = sorted(set(encoder.places("好人 好人").rows.tolist()))
    table = arrays["table"].astype(float) * arrays["scales"].astype(float)[:, None]
    total = 4.0 * sum(table[row] for row in rows) / np.sqrt(len(rows))
    hidden = np.maximum(total @ arrays["hidden"] + arrays["hidden_bias"], 0)
    expected = hidden @ arrays["out"] + arrays["out_bias"] + total @ arrays["skip"]

    assert encoder.encode("好人 好人") == pytest.approx(expected, rel=1e-3)
    assert (encoder.width, encoder.rows) == (3, len(arrays["keys"]))


def test_a_text_of_unknown_words_has_the_vector_of_no_text() -> None:
    """And says that it knows nothing."""
    encoder = Encoder(_arrays())

    assert encoder.places("xyz").is_empty
    assert np.array_equal(encoder.encode("xyz"), encoder.encode(""))


def test_rows_within_a_window_lie_wholly_in_it() -> None:
    """None twice."""
    encoder = Encoder(_arrays("好人好"))
    places = encoder.places("好人好人")

    assert len(places.within(0, 1)) == 1
    assert len(places.within(0, 2)) == 3
    assert len(places.within(0, 4)) == len(set(places.rows.tolist()))


@pytest.mark.parametrize("rows", [[], [3], [3, 1, 3, 2, 1]])
def test_distinct_is_unique(rows: list[int]) -> None:
    """Sorted, none twice."""
    assert distinct(np.array(rows, np.int64)).tolist() == sorted(set(rows))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Missing arrays, other features, sizes that disagree, damaged and absent files."""
    arrays = _arrays()
    for broken in (
        {name: array for name, array in arrays.items() if name != "skip"},
        arrays | {"features": np.array("0" * 64)},
        arrays | {"keys": arrays["keys"][:-1]},
    ):
        with pytest.raises(FilterError, match="train again"):
            Encoder(broken)
    with pytest.raises(FilterError, match="cannot be read"):
        load_arrays(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(FilterError, match="not a weights file"):
        load_arrays(tmp_path / "bad.npz")
    np.savez(tmp_path / "objects.npz", keys=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FilterError, match="not a weights file"):
        load_arrays(tmp_path / "objects.npz")


def test_the_digest_is_that_of_the_weights() -> None:
    """Heads name the encoder that they were trained on by it."""
    arrays = _arrays()

    assert Encoder(arrays).digest == Encoder(dict(arrays)).digest
    for name in ("keys", "hidden", "out", "skip", "scales"):
        changed = arrays | {name: arrays[name] + np.ones_like(arrays[name])}
        assert Encoder(changed).digest != Encoder(arrays).digest
