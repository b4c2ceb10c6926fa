# SPDX-License-Identifier: Apache-2.0
"""A tamper-evident log: durable records, one RFC 6962 tree, C2SP checkpoints and tiles, bodies that can be forgotten.

Usable without any gateway. What an auditor runs (``bundle`` and ``verify``, with all that they import) needs nothing
but the standard library and ``cryptography``. What an operator asks of a log is in ``commands``; a log that several
machines share is in ``shared``, which alone needs ``asyncpg``.
"""

from audit_log.bundle import BundleReport, verify_bundle
from audit_log.census import gap_report, take_census
from audit_log.erasure import ErasureRefused
from audit_log.errors import (
    AuditError,
    BodyErased,
    LogNotInitialised,
    LogRefused,
    LogUnavailable,
    RecordInvalid,
    VerificationError,
)
from audit_log.export import ExportRefused, Selection
from audit_log.holds import Approval, HoldRefused, HoldScope
from audit_log.interfaces import FoundRow
from audit_log.log import AuditLog, LogStatus, open_reader
from audit_log.receipt import Receipt, open_receipt
from audit_log.record import IndexRow, format_time, format_time_us, leaf_bytes, new_record_id, parse_time_us
from audit_log.retention import Retention, RetentionInvalid, RetentionRule, read_retention
from audit_log.search import BadQuery, LogReader, Page, ProvenRecord, rows_as_json
from audit_log.verify import VerifyReport, verify_home, verify_tiles
from audit_log.writer import Entry

__all__ = [
    "Approval",
    "AuditError",
    "AuditLog",
    "BadQuery",
    "BodyErased",
    "BundleReport",
    "Entry",
    "ErasureRefused",
    "ExportRefused",
    "FoundRow",
    "HoldRefused",
    "HoldScope",
    "IndexRow",
    "LogNotInitialised",
    "LogReader",
    "LogRefused",
    "LogStatus",
    "LogUnavailable",
    "Page",
    "ProvenRecord",
    "Receipt",
    "RecordInvalid",
    "Retention",
    "RetentionInvalid",
    "RetentionRule",
    "Selection",
    "VerificationError",
    "VerifyReport",
    "format_time",
    "format_time_us",
    "gap_report",
    "leaf_bytes",
    "new_record_id",
    "open_reader",
    "open_receipt",
    "parse_time_us",
    "read_retention",
    "rows_as_json",
    "take_census",
    "verify_bundle",
    "verify_home",
    "verify_tiles",
]
