# SPDX-License-Identifier: Apache-2.0
"""Every failure of the package can be caught with one class."""

import inspect

import pytest

from labeling import errors


@pytest.mark.parametrize(
    "kind", [value for _, value in inspect.getmembers(errors, inspect.isclass)], ids=lambda kind: kind.__name__
)
def test_every_error_is_a_label_error_and_says_what_to_do(kind: type[Exception]) -> None:
    """One root, so that a caller cannot let an unlabelled answer through by missing a class."""
    assert issubclass(kind, errors.LabelError)
    assert kind.__doc__ and len(kind.__doc__) > 40
