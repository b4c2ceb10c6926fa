# SPDX-License-Identifier: Apache-2.0
"""Receipts: what a client holds, and what it is worth later."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, VerificationError, new_record_id
from audit_log.bundle import verify_bundle
from audit_log.checkpoint import open_checkpoint
from audit_log.commands import export, redeem
from audit_log.export import Selection
from audit_log.note import Signer, Verifier
from audit_log.receipt import Receipt, open_receipt, sign_receipt

SIGNER = Signer("log.example/a", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
ID = "01a1ffcc-dd0f-78c7-a417-3d2fff91ac6e"
RECEIPT = sign_receipt(17, ID, 1.8e9, SIGNER)


def test_a_receipt_is_short_and_says_what_was_promised() -> None:
    """It fits into a header, and opens with the log's key."""
    assert len(RECEIPT) < 200 and RECEIPT.isascii() and ";" not in RECEIPT
    assert open_receipt(RECEIPT, "log.example/a", [SIGNER.verifier]) == Receipt(17, ID, 1_800_000_000)


@given(st.integers(0, len(RECEIPT) - 1), st.characters(codec="ascii"))
def test_a_changed_receipt_is_refused(position: int, char: str) -> None:
    """Any character of it."""
    changed = RECEIPT[:position] + char + RECEIPT[position + 1 :]
    if changed != RECEIPT:
        with pytest.raises(VerificationError):
            open_receipt(changed, "log.example/a", [SIGNER.verifier])


def test_a_receipt_of_another_log_or_key_is_refused() -> None:
    """Origin and key are part of it."""
    other = Signer("log.example/a", Ed25519PrivateKey.generate())
    for origin, verifiers in (("log.example/b", [SIGNER.verifier]), ("log.example/a", [other.verifier]), ("", [])):
        with pytest.raises(VerificationError):
            open_receipt(RECEIPT, origin, verifiers)


def test_a_receipt_is_no_checkpoint() -> None:
    """Its signature does not open a note of any text that a checkpoint could have."""
    text = f"dutybound.receipt/v1\nlog.example/a\n17\n{ID}\n1800000000\n"
    from audit_log.note import sign_note

    with pytest.raises(VerificationError):
        open_checkpoint(sign_note(text, [SIGNER]), "dutybound.receipt/v1", [Verifier("x", b"")])
    with pytest.raises(VerificationError):
        open_checkpoint(sign_note(text, [SIGNER]), "dutybound.receipt/v1", [SIGNER.verifier])


def test_a_receipt_is_redeemed_for_a_proof(home: Path, tmp_path: Path) -> None:
    """From the log, and against a bundle; one for a record that is not there convicts."""
    log = AuditLog.open(home, writer="gw")
    id_ = new_record_id()
    index = asyncio.run(log.append(Entry({"id": id_, "type": "exchange"})))
    receipt, wrong = log.receipt(index, id_), log.receipt(index, new_record_id())
    moved, beyond = log.receipt(index + 1, id_), log.receipt(99, new_record_id())
    log.close()

    found = redeem(home, receipt)
    assert (found["index"], json.loads(str(found["record"]))["id"]) == (index, id_)
    for bad in (wrong, moved, "v1"):
        with pytest.raises(VerificationError):
            redeem(home, bad)
    export(home, tmp_path / "b.zip", generator="t")
    assert verify_bundle(tmp_path / "b.zip", receipts=[receipt]).ok
    for bad in (wrong, moved):
        report = verify_bundle(tmp_path / "b.zip", receipts=[receipt, bad])
        assert (report.ok, report.first_bad_index) == (False, index if bad == wrong else index + 1)
    assert not verify_bundle(tmp_path / "b.zip", receipts=[beyond]).ok
    assert not verify_bundle(tmp_path / "b.zip", receipts=["v1"]).ok
    export(home, tmp_path / "c.zip", Selection(type="boot"), generator="t")
    assert not verify_bundle(tmp_path / "c.zip", receipts=[receipt]).ok
