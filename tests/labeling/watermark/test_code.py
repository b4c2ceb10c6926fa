# SPDX-License-Identifier: Apache-2.0
"""The error correction of payloads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.errors import LabelError
from labeling.watermark.code import CODED_BITS, PAYLOAD_BYTES, decode, encode

PAYLOADS = st.binary(min_size=PAYLOAD_BYTES, max_size=PAYLOAD_BYTES)


@settings(max_examples=25, deadline=None)
@given(PAYLOADS)
def test_a_payload_is_read_back(payload: bytes) -> None:
    """Any six bytes, from the signs alone."""
    signs = encode(payload)
    assert signs.shape == (CODED_BITS,)
    assert decode(signs) == payload


@settings(max_examples=15, deadline=None)
@given(PAYLOADS, st.integers(0, 2**32 - 1))
def test_noise_louder_than_the_signs_is_corrected(payload: bytes, seed: int) -> None:
    """At 0.8 to 1 some twenty of a hundred signs are wrong, and the payload is still right."""
    noise = np.random.default_rng(seed).normal(size=CODED_BITS)
    assert decode((encode(payload) * 0.8 + noise).astype(np.float32)) == payload


def test_a_fifth_of_the_values_may_be_missing() -> None:
    """A soft value of zero says nothing, and misleads nobody."""
    signs = encode(b"abcdef")
    signs[::5] = 0
    assert decode(signs) == b"abcdef"


def test_noise_alone_is_no_payload() -> None:
    """The check sum lets one of 65,536 pass; none of forty does."""
    chance = np.random.default_rng(3)
    assert [decode(chance.normal(size=CODED_BITS).astype(np.float32)) for _ in range(40)] == [None] * 40


def test_code_words_differ_in_many_places() -> None:
    """Two payloads that differ in one bit differ in at least 32 signs: otherwise a few errors would confuse them."""
    nought = encode(bytes(PAYLOAD_BYTES))
    for bit in range(8 * PAYLOAD_BYTES):
        other = encode((1 << bit).to_bytes(PAYLOAD_BYTES))
        assert int(np.sum(nought != other)) >= 32


def test_a_payload_of_another_length_is_refused() -> None:
    """Nothing is cut or filled up."""
    with pytest.raises(LabelError, match="6 bytes"):
        encode(b"abc")
