# SPDX-License-Identifier: Apache-2.0
"""A tamper-evident log: durable records, one RFC 6962 tree, C2SP checkpoints and tiles, bodies that can be forgotten.

Usable without any gateway. ``merkle``, ``note``, ``checkpoint``, ``tiles``, ``proof`` and ``verify`` need nothing but
the standard library and ``cryptography``.
"""

from audit_log.errors import (
    AuditError,
    BodyErased,
    LogNotInitialised,
    LogRefused,
    LogUnavailable,
    RecordInvalid,
    VerificationError,
)
from audit_log.interfaces import FoundRow
from audit_log.log import AuditLog, LogStatus, open_reader
from audit_log.record import IndexRow, format_time, format_time_us, leaf_bytes, new_record_id, parse_time_us
from audit_log.search import BadQuery, LogReader, Page, ProvenRecord, rows_as_json
from audit_log.verify import VerifyReport, verify_home, verify_tiles
from audit_log.writer import Entry

__all__ = [
    "AuditError",
    "AuditLog",
    "BadQuery",
    "BodyErased",
    "Entry",
    "FoundRow",
    "IndexRow",
    "LogNotInitialised",
    "LogReader",
    "LogRefused",
    "LogStatus",
    "LogUnavailable",
    "Page",
    "ProvenRecord",
    "RecordInvalid",
    "VerificationError",
    "VerifyReport",
    "format_time",
    "format_time_us",
    "leaf_bytes",
    "new_record_id",
    "open_reader",
    "parse_time_us",
    "rows_as_json",
    "verify_home",
    "verify_tiles",
]
