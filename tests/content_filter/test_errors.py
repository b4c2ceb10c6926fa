# SPDX-License-Identifier: Apache-2.0
"""One root for what this package raises."""

from content_filter import FilterError


def test_the_root_is_a_plain_exception() -> None:
    """A caller's `except FilterError` catches what this package means, and no programming error of others."""
    assert FilterError.__mro__[1] is Exception
