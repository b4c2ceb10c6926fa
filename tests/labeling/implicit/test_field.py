# SPDX-License-Identifier: Apache-2.0
"""A field is a value and nothing more."""

import dataclasses

import pytest

from labeling.implicit.field import AigcField


def test_a_field_cannot_be_changed() -> None:
    """What a reader reported stays what it reported."""
    field = AigcField("here", "{}", True)

    assert field == AigcField("here", "{}", True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        field.place = "there"  # type: ignore[misc]
