# SPDX-License-Identifier: Apache-2.0
"""The one root of what this package raises on purpose.

Messages name a file, a line, a class code or a state; they never carry a term, a prompt or an answer, so they are safe
to log.
"""


class FilterError(Exception):
    """A term file, a setting or a call that the filter cannot work with; the message says what to change."""


class FilterInvalid(FilterError):
    """What was asked of an incident cannot be as it was asked; the message says what was expected."""


class FilterNotFound(FilterError):
    """There is no such incident."""


class FilterConflict(FilterError):
    """The incident is not where the asker thinks, or may not go there from where it is: read it again."""
