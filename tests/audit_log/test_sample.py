# SPDX-License-Identifier: Apache-2.0
"""A sample follows from seed, root and range alone, and from nothing that an operator chooses."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_log import VerificationError
from audit_log.sample import Sample, read_sample

ROOT = bytes(range(32))
SAMPLES = st.builds(
    lambda seed, count, begin, width: Sample(seed, count, begin, begin + width),
    st.text(min_size=1, max_size=20).filter(str.isprintable),
    st.integers(1, 60),
    st.integers(0, 10**12),
    st.integers(1, 200),
)


def test_draws_are_as_the_rule_says() -> None:
    """Written down once more, as an auditor would; so the rule cannot change unnoticed."""
    drawn: list[int] = []
    draw = 0
    while len(drawn) < 5:
        digest = sha256(b"dutybound.sample/v1\nseed\n" + ROOT + draw.to_bytes(8, "big")).digest()
        index = 100 + int.from_bytes(digest[:16], "big") % 1_000_000
        drawn += [] if index in drawn else [index]
        draw += 1
    assert Sample("seed", 5, 100, 1_000_100).indices(ROOT) == sorted(drawn)


@given(SAMPLES, st.binary(min_size=32, max_size=32))
def test_a_sample_is_as_large_as_asked_within_its_range_and_always_the_same(sample: Sample, root: bytes) -> None:
    """All records where there are fewer; and it comes back from what a manifest states."""
    found = sample.indices(root)
    assert len(found) == len({*found}) == min(sample.count, sample.end - sample.begin)
    assert found == sorted(found) and sample.begin <= found[0] and found[-1] < sample.end
    assert read_sample(sample.as_json()).indices(root) == found


def test_seed_and_root_both_decide() -> None:
    """Another of either draws others."""
    base = Sample("a", 50, 0, 100_000)
    assert len({*base.indices(ROOT)} & {*Sample("b", 50, 0, 100_000).indices(ROOT)}) < 5
    assert len({*base.indices(ROOT)} & {*base.indices(ROOT[::-1])}) < 5


@pytest.mark.parametrize(
    "sample",
    [
        Sample("", 1, 0, 9),
        Sample("a\nb", 1, 0, 9),
        Sample("\ud800", 1, 0, 9),
        Sample("a", 0, 0, 9),
        Sample("a", 1, 9, 9),
        Sample("a", 10**6, 0, 9),
    ],
)
def test_what_is_no_sample_is_refused(sample: Sample) -> None:
    """With the package's own error."""
    with pytest.raises(VerificationError):
        sample.indices(ROOT)


@pytest.mark.parametrize("stated", [None, [], {}, {"seed": "a", "count": "x", "from": "0", "to": "1"}, {"seed": 1}])
def test_a_manifest_that_states_none_is_refused(stated: object) -> None:
    """Whatever stands there."""
    with pytest.raises(VerificationError):
        read_sample(stated)
