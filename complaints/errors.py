# SPDX-License-Identifier: Apache-2.0
"""What can go wrong at the complaint desk, by what the reader should do about it.

Every error of this package is a `ComplaintError`. A message states the fact and the next step and never holds what a
person wrote, a secret, a receipt or a key: it may be logged and shown. HTTP status codes are a suggestion to the
caller; this package knows no HTTP.
"""


class ComplaintError(Exception):
    """Root of every error of this package."""


class Invalid(ComplaintError):
    """An argument is missing or out of bounds (HTTP 400/422). `field` names it, `reason` says what is expected."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFound(ComplaintError):
    """No such case, or the secret does not open it (HTTP 404). The two are one error: receipts cannot be probed."""

    def __init__(self) -> None:
        super().__init__("no case opens with this receipt and secret; check both for typing errors")


class NotPermitted(ComplaintError):
    """This role or this person may not do this to this case (HTTP 403)."""


class Conflict(ComplaintError):
    """The case is not in a state that allows this, or someone moved it meanwhile (HTTP 409). Read it again."""


class Unavailable(ComplaintError):
    """The store cannot be read or written now (HTTP 503). Nothing was stored; try again."""


class WrongKey(ComplaintError):
    """The key given is not the key the stored cases were sealed with, or a sealed text was altered."""
