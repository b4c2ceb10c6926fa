# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: both types verify what they signed, and nothing else."""

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from audit_log.cosignature import CosignatureSigner, CosignatureVerifier, cosign, cosigned_at, parse_vkey
from audit_log.errors import VerificationError
from audit_log.note import Signer, Verifier, encode_base64, open_note

LOG = Signer("log.example/a", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
NOTE = sign_checkpoint(Checkpoint("log.example/a", 7, b"r" * 32), [LOG])
ED25519 = CosignatureSigner("witness.example/w", Ed25519PrivateKey.from_private_bytes(b"w" * 32), lambda: 1679315147.9)
MLDSA = CosignatureSigner("witness.example/q", MLDSA44PrivateKey.from_seed_bytes(b"q" * 32), lambda: 1679315147.9)
BOTH = pytest.mark.parametrize("signer", [ED25519, MLDSA], ids=["ed25519", "mldsa44"])


@BOTH
def test_a_cosigned_checkpoint_opens_with_the_log_and_with_the_cosigner(signer: CosignatureSigner) -> None:
    """The line is one more signature of the same note, and states its time."""
    note = cosign(NOTE, signer)

    opened = open_note(note, [LOG.verifier, signer.verifier])
    assert opened.verified_by == (LOG.verifier, signer.verifier)
    assert open_checkpoint(note, "log.example/a", [LOG.verifier]).size == 7
    line = note.decode().split("\n")[-2].split(" ")[-1]
    import base64

    assert cosigned_at(signer.verifier.kind, base64.b64decode(line)[4:]) == 1679315147


def test_the_ed25519_message_is_the_one_of_the_specification() -> None:
    """Header line, time line, then the whole note text."""
    text = NOTE.partition(b"\n\n")[0] + b"\n"
    signature = ED25519.sign(text)

    ED25519.private_key.public_key().verify(signature[8:], b"cosignature/v1\ntime 1679315147\n" + text)  # type: ignore[call-arg]
    assert int.from_bytes(signature[:8], "big") == 1679315147


def test_the_mldsa_message_is_the_one_of_the_specification() -> None:
    """Label, cosigner, time, origin, start 0, end, hash, each of the stated length."""
    text = NOTE.partition(b"\n\n")[0] + b"\n"
    message = b"".join(
        (
            b"subtree/v1\n\x00",
            b"\x11witness.example/q",
            (1679315147).to_bytes(8, "big"),
            b"\x0dlog.example/a",
            bytes(8),
            (7).to_bytes(8, "big"),
            b"r" * 32,
        )
    )

    MLDSA.private_key.public_key().verify(MLDSA.sign(text)[8:], message)  # type: ignore[call-arg]


@BOTH
def test_the_key_id_is_the_hash_of_name_type_and_key(signer: CosignatureSigner) -> None:
    """The type byte is in it, so that a witness's key cannot be taken for a log's."""
    verifier = signer.verifier

    assert verifier.key_id == sha256(verifier.name.encode() + b"\n" + verifier.kind + verifier.public_key).digest()[:4]
    assert parse_vkey(verifier.vkey) == verifier


def test_a_log_key_is_read_too() -> None:
    """Type 1 stays what it was."""
    assert parse_vkey(LOG.verifier.vkey) == LOG.verifier
    assert isinstance(parse_vkey(LOG.verifier.vkey), Verifier)


@BOTH
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(signer: CosignatureSigner, position: int, bit: int) -> None:
    """Of the signature, of its time, or of the text."""
    text = NOTE.partition(b"\n\n")[0] + b"\n"
    signature = bytearray(signer.sign(text))
    signature[position % len(signature)] ^= 1 << bit

    with pytest.raises(VerificationError):
        signer.verifier.verify(text, bytes(signature))


@BOTH
def test_another_checkpoint_is_refused(signer: CosignatureSigner) -> None:
    """A cosignature is of one text."""
    text = NOTE.partition(b"\n\n")[0] + b"\n"
    other = Checkpoint("log.example/a", 8, b"r" * 32).text.encode()

    with pytest.raises(VerificationError):
        signer.verifier.verify(other, signer.sign(text))


@pytest.mark.parametrize("signature", [b"", b"x" * 71, b"x" * 73, b"\xff" + b"x" * 71])
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    """Length and time are checked before any mathematics."""
    with pytest.raises(VerificationError):
        ED25519.verifier.verify(NOTE.partition(b"\n\n")[0] + b"\n", signature)


def test_a_text_that_is_no_checkpoint_is_refused() -> None:
    """ML-DSA signs what the checkpoint says, so it has to say something."""
    for text in (b"a\n", b"\xff\n"):
        with pytest.raises(VerificationError):
            MLDSA.verifier.verify(text, bytes(8 + 2420))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "a+b",
        ED25519.verifier.vkey.replace("witness", "wetness"),
        "w+00000000+" + encode_base64(b"\x05" + bytes(32)),
        "w+00000000+" + encode_base64(b"\x04" + bytes(31)),
        "w+00000000+" + encode_base64(b""),
        "w+00000000+!",
    ],
)
def test_a_wrong_verifier_key_is_refused(vkey: str) -> None:
    """Unknown type, wrong length, wrong id, not base64."""
    with pytest.raises(VerificationError):
        parse_vkey(vkey)


def test_a_note_without_signatures_cannot_be_cosigned() -> None:
    """There is nothing to add a line to."""
    with pytest.raises(VerificationError):
        cosign(b"text\n", ED25519)


def test_a_cosigner_has_a_short_name() -> None:
    """255 bytes fit into the message."""
    with pytest.raises(VerificationError):
        CosignatureSigner("w" * 256, ED25519.private_key, lambda: 0.0)
    with pytest.raises(VerificationError):
        CosignatureVerifier("w" * 256, b"\x06", bytes(1312)).verify(NOTE.partition(b"\n\n")[0] + b"\n", bytes(2428))
