# SPDX-License-Identifier: Apache-2.0
"""The one root of what this package raises on purpose.

Messages name a file, a line, a class code or a state; they never carry a term, a prompt or an answer, so they are safe
to log.
"""


class FilterError(Exception):
    """A term file, a setting or a call that the filter cannot work with; the message says what to change."""
