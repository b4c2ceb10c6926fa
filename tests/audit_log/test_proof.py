# SPDX-License-Identifier: Apache-2.0
"""tlog-proof files: what is made verifies, what is changed does not."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.errors import VerificationError
from audit_log.merkle import inclusion_proof, leaf_hash, range_hash, root_of
from audit_log.note import Signer
from audit_log.proof import TlogProof, parse_proof, verify_proof
from audit_log.tiles import perfect_root

ORIGIN = "example.com/log"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))
LEAVES = [f"leaf {number}".encode() for number in range(13)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 13, root_of(HASHES)), [SIGNER])


def perfect(level: int, index: int) -> bytes:
    return perfect_root(HASHES[index << level : (index + 1) << level])


def proof_of(index: int, extra: bytes | None = None) -> bytes:
    return TlogProof(index, tuple(inclusion_proof(index, 13, perfect)), NOTE, extra).encode()


@pytest.mark.parametrize("index", range(13))
def test_a_proof_verifies_for_its_leaf_alone(index: int) -> None:
    """Offline, with nothing but the leaf and the key."""
    found, checkpoint = verify_proof(proof_of(index), LEAVES[index], ORIGIN, [SIGNER.verifier])

    assert (index, 13) == (found, checkpoint.size)
    with pytest.raises(VerificationError):
        verify_proof(proof_of(index), LEAVES[index - 1], ORIGIN, [SIGNER.verifier])


def test_extra_data_is_carried_along() -> None:
    """It is opaque and vouched for by nothing."""
    assert parse_proof(proof_of(4, b"context")).extra == b"context"
    assert parse_proof(proof_of(4, b"")).extra == b""
    verify_proof(proof_of(4, b"context"), LEAVES[4], ORIGIN, [SIGNER.verifier])


def test_a_proof_has_the_form_of_the_specification() -> None:
    """Header, index, hashes, blank line, checkpoint."""
    head, _, note = proof_of(12).partition(b"\n\n")

    assert head.decode().split("\n")[:2] == ["c2sp.org/tlog-proof@v1", "index 12"]
    assert note == NOTE


def test_no_changed_byte_is_accepted() -> None:
    """Every byte of the proof file."""
    data = proof_of(6)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(VerificationError):
            verify_proof(bytes(changed), LEAVES[6], ORIGIN, [SIGNER.verifier])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"c2sp.org/tlog-proof@v1\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v2\nindex 0\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 00\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 0\nextra YQ==\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 0\nYQ==\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"AAAA\n" * 64 + b"\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 0\n\xff\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 0\n",
    ],
)
def test_what_is_not_a_proof_is_refused(data: bytes) -> None:
    """One kind of error."""
    with pytest.raises(VerificationError):
        verify_proof(data, LEAVES[0], ORIGIN, [SIGNER.verifier])


def test_a_ragged_range_folds_like_the_tree() -> None:
    """The right edge of the tree is not a perfect subtree."""
    assert root_of(HASHES[8:13]) == range_hash(8, 13, perfect)
