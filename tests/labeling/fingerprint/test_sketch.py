# SPDX-License-Identifier: Apache-2.0
"""Signatures, their likeness and their bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.errors import LabelError
from labeling.fingerprint.sketch import IMAGE_BYTES, LEAST_LIKENESS, SET_BYTES, Print, of_set


def features(first: int, count: int) -> np.ndarray:
    """Some features, the same for the same numbers."""
    return np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def test_a_signature_is_the_same_on_every_machine() -> None:
    """What was kept years ago is still found: the constants are fixed."""
    assert of_set(features(0, 50)).hex()[:16] == "0000bc920b0eb88e"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400))
def test_order_and_repetition_do_not_matter(count: int) -> None:
    """It is a set."""
    own = features(7, count)
    assert of_set(own) == of_set(np.concatenate([own[::-1], own]))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_likeness_is_the_share_in_common(share: float) -> None:
    """Within what 64 values can tell."""
    common = int(600 * share)
    rest = (600 - common) // 2
    one = np.concatenate([features(0, common), features(10_000, rest)])
    other = np.concatenate([features(0, common), features(20_000, rest)])
    likeness = Print("text", of_set(one)).likeness(Print("text", of_set(other)))
    assert abs(likeness - share) < 0.2


def test_like_ones_share_a_band_and_strangers_do_not() -> None:
    """So that they are found without looking at all of them."""
    one = Print("text", of_set(features(0, 500)))
    near = Print("text", of_set(features(30, 500)))
    far = Print("text", of_set(features(50_000, 500)))
    assert set(one.bands()) & set(near.bands())
    assert not set(one.bands()) & set(far.bands())
    assert one.is_like(near) and not one.is_like(far)


def test_kinds_are_kept_apart() -> None:
    """A picture is never like a text, and shares no band with one."""
    sound, text = (Print(kind, bytes(SET_BYTES)) for kind in ("audio", "text"))
    picture = Print("image", bytes(IMAGE_BYTES))
    assert sound.likeness(text) == 0.0 and picture.likeness(text) == 0.0
    assert not set(picture.bands()) & set(text.bands()) and not set(sound.bands()) & set(text.bands())
    assert all(0 <= band < 2**48 for each in (sound, text, picture) for band in each.bands())


def test_pictures_are_compared_bit_by_bit() -> None:
    """Up to a fifth of the bits may differ."""
    one = Print("image", bytes(IMAGE_BYTES))
    few = Print("image", b"\xff" * 6 + bytes(IMAGE_BYTES - 6))
    many = Print("image", b"\xff" * 7 + bytes(IMAGE_BYTES - 7))
    assert one.likeness(few) == pytest.approx(1 - 48 / 256)
    assert one.is_like(few) and not one.is_like(many)
    assert LEAST_LIKENESS["image"] == 0.80


@pytest.mark.parametrize(("kind", "size"), [("image", SET_BYTES), ("text", 3), ("film", SET_BYTES)])
def test_what_is_no_fingerprint_is_refused(kind: str, size: int) -> None:
    """A wrong kind or length."""
    with pytest.raises(LabelError, match="no fingerprint"):
        Print(kind, bytes(size))  # type: ignore[arg-type]
