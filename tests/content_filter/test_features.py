# SPDX-License-Identifier: Apache-2.0
"""Features are the same wherever a run of words stands, and say where they stand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_filter.encoder import load_arrays
from content_filter.features import MAX_CHARACTERS, features, fingerprint

TEXTS = st.text("abc xyz'中文字标点，。12 \n😀", max_size=40)


def _by_span(text: str) -> dict[tuple[int, int], set[int]]:
    found = features(text)
    spans: dict[tuple[int, int], set[int]] = {}
    for value, start, end in zip(found.hashes, found.starts, found.ends, strict=True):
        spans.setdefault((int(start), int(end)), set()).add(int(value))
    return spans


def test_han_characters_are_units_and_letters_make_words() -> None:
    """Runs of one to four units, pairs at distance two and three, pieces of four letters."""
    assert set(_by_span("中文字")) == {(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)}
    assert set(_by_span("to be")) == {(0, 2), (3, 5), (0, 5)}
    assert set(_by_span("planet")) == {(0, 6), (0, 4), (1, 5), (2, 6)}


@given(TEXTS, TEXTS)
def test_a_feature_does_not_depend_on_its_place(before: str, text: str) -> None:
    """What stands before, parted by a space, changes no feature of the text itself."""
    shifted = len(before) + 1
    alone, later = _by_span(text), _by_span(f"{before} {text}")

    for (start, end), values in alone.items():
        assert values <= later[(start + shifted, end + shifted)]


@given(TEXTS)
def test_every_place_is_inside_the_text(text: str) -> None:
    """And no feature is empty."""
    found = features(text)

    assert len(found.hashes) == len(found.starts) == len(found.ends)
    assert np.all((found.starts >= 0) & (found.starts < found.ends) & (found.ends <= len(text)))


def test_different_words_have_different_features() -> None:
    """Order counts in a run; a pair with a gap is not a run."""
    assert not set(features("ab").hashes) & set(features("ba").hashes)
    ab, ba = (set(map(int, features(text).hashes)) for text in ("中文", "文中"))
    assert len(ab & ba) == 2
    assert len(set(map(int, features("中，文").hashes)) & ab) == 2


def test_one_number_is_as_good_as_another() -> None:
    """Digits are one and the same, how many there are is not."""
    assert set(features("买3斤").hashes) == set(features("买7斤").hashes)
    assert set(features("买3斤").hashes) != set(features("买37斤").hashes)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_a_text_without_words_has_no_features(text: str) -> None:
    """Nothing is not an error."""
    assert len(features(text).hashes) == 0


def test_only_so_many_characters_are_looked_at() -> None:
    """The rest is the caller's to cut."""
    assert set(features("中" * (MAX_CHARACTERS + 9)).ends) == set(features("中" * MAX_CHARACTERS).ends)


def test_the_numbers_never_change() -> None:
    """Weights are stored by them: a change here makes all weights void."""
    assert [f"{int(value):016x}" for value in features("中a").hashes] == [
        "18616828120bcc23",
        "084f61ecef4de353",
        "674edc791a8ef7d7",
    ]


def test_the_shipped_weights_were_made_with_these_features() -> None:
    """Where this fails, features or the normal form have changed and the weights must be made again."""
    shipped = Path(__file__).parents[2] / "content_filter" / "weights" / "encoder.npz"
    assert str(load_arrays(shipped)["features"]) == fingerprint()


def test_the_fingerprint_changes_with_any_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of words, of single characters, of distances; and with the normal form."""
    known = fingerprint()
    for name, value in (("_PIECE", 5), ("_LONGEST_RUN", 3), ("_GAPS", (2,)), ("normalise", lambda text: text)):
        with monkeypatch.context() as patch:
            patch.setattr(f"content_filter.features.{name}", value)
            assert fingerprint() != known
    assert fingerprint() == known
