# SPDX-License-Identifier: Apache-2.0
"""One root for all errors of the package."""

from audit_log import errors, search


def test_every_error_has_the_same_root() -> None:
    """A caller that catches AuditError catches all that this package means to raise."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]

    assert len(found) >= 7
    assert all(issubclass(value, errors.AuditError) for value in (*found, search.BadQuery))


def test_a_log_that_was_not_initialised_is_a_refusal() -> None:
    """Whoever handles refusals handles the missing log too."""
    assert issubclass(errors.LogNotInitialised, errors.LogRefused)
