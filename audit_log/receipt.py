# SPDX-License-Identifier: Apache-2.0
"""Receipts: a short signed string with which a client can demand, later, the proof that its exchange was recorded.

    v1.<index>.<record id>.<seconds since the epoch>.<signature, base64url>

The log gives it out once the record is durable under its index. Should that record be missing from a later bundle, or
another one have its index, the receipt convicts the log. What must hold: a receipt can never be mistaken for a
checkpoint (its signed text begins with a line that is no origin), and reading one raises only VerificationError.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit_log.errors import VerificationError
from audit_log.note import Signer, Verifier

_RECEIPT_HEADER = "dutybound.receipt/v1"
_RECEIPT = re.compile(r"v1\.(0|[1-9][0-9]{0,17})\.([0-9a-f-]{36})\.(0|[1-9][0-9]{0,11})\.([A-Za-z0-9_-]{86})")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the log promised: that it holds this record under this index, at this time in seconds since the epoch."""

    index: int
    record_id: str
    time_s: int


def sign_receipt(index: int, record_id: str, now: float, signer: Signer) -> str:
    """The receipt of a record that is durable under ``index``."""
    receipt = Receipt(index, record_id, int(now))
    signature = base64.urlsafe_b64encode(signer.sign(_receipt_text(receipt, signer.name))).decode().rstrip("=")
    return f"v1.{index}.{record_id}.{receipt.time_s}.{signature}"


def open_receipt(text: str, origin: str, verifiers: Sequence[Verifier]) -> Receipt:
    """Check a receipt against the log's keys; raises VerificationError."""
    match = _RECEIPT.fullmatch(text)
    if match is None:
        raise VerificationError("this is not a receipt; expected v1.index.record-id.time.signature")
    receipt = Receipt(int(match[1]), match[2], int(match[3]))
    try:
        signature = base64.urlsafe_b64decode(match[4] + "==")
    except binascii.Error:
        raise VerificationError("the signature of the receipt is not base64url") from None
    if base64.urlsafe_b64encode(signature).decode().rstrip("=") != match[4]:
        raise VerificationError("the signature of the receipt is not in its canonical spelling")
    signed = _receipt_text(receipt, origin)
    for verifier in verifiers:
        try:
            verifier.verify(signed, signature)
        except VerificationError:
            continue
        return receipt
    raise VerificationError("no key of this log signed the receipt")


def _receipt_text(receipt: Receipt, origin: str) -> bytes:
    lines = (_RECEIPT_HEADER, origin, receipt.index, receipt.record_id, receipt.time_s)
    return "".join(f"{line}\n" for line in lines).encode()
