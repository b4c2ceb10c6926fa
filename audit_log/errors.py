# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with the audit log, sorted by what the reader should do about it.

Every message states the fact, what was expected and what was found where that helps, and the next step.
No message carries user text, keys or bodies.
"""


class AuditError(Exception):
    """Root of every error of this package."""


class RecordInvalid(AuditError):
    """The record breaks the rules of docs/record.md; the caller has a bug. Nothing was stored."""


class VerificationError(AuditError):
    """Bytes are not what they claim to be. The only thing that parsers and verifiers raise."""


class LogUnavailable(AuditError):
    """The record could not be made durable now. Refuse the exchange; trying again later may work."""


class LogRefused(AuditError):
    """Going on could harm the log: a person has to look before it is used again."""


class LogNotInitialised(LogRefused):
    """There is no log at this place. A log is created by an explicit command, never by starting."""


class BodyErased(AuditError):
    """The key of this body was destroyed: its leaf stays provable, its content can never be read again."""
