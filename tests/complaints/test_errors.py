# SPDX-License-Identifier: Apache-2.0
"""Errors of the desk: one root, and what they say."""

import inspect

from complaints import errors
from complaints.errors import ComplaintError, Invalid


def test_every_error_has_one_root() -> None:
    """A caller that catches `ComplaintError` misses none."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]

    assert len(found) == 7
    assert all(issubclass(kind, ComplaintError) for kind in found)


def test_an_invalid_argument_is_named_with_what_is_expected() -> None:
    """A form can show the message beside its field."""
    error = Invalid("text", "expected text")

    assert (error.field, error.reason, str(error)) == ("text", "expected text", "text: expected text")
