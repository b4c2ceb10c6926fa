# SPDX-License-Identifier: Apache-2.0
"""Offline proofs of inclusion, c2sp.org/tlog-proof@v1: index, Merkle path and signed checkpoint in one text file.

Whoever holds the leaf, such a file and the log's verifier key can check that the leaf is in the log, asking nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from audit_log.checkpoint import Checkpoint, open_checkpoint, parse_decimal
from audit_log.errors import VerificationError
from audit_log.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from audit_log.note import NoteVerifier, decode_base64, encode_base64

_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_PATH = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Leaf index, hashes from the leaf's sibling up, the signed checkpoint, and extra data that nothing vouches for."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The text of the proof file."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines.extend(encode_base64(hash_) for hash_ in self.path)
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint


def parse_proof(data: bytes) -> TlogProof:
    """Read a proof file without checking it; raises VerificationError."""
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank:
        raise VerificationError("proof has no blank line before its checkpoint")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError:
        raise VerificationError("proof is not valid UTF-8") from None
    if lines[0] != _HEADER:
        raise VerificationError(f"proof does not start with {_HEADER}")
    rest = lines[1:]
    extra = None
    if rest and rest[0].startswith("extra "):
        extra = decode_base64(rest[0][len("extra ") :])
        rest = rest[1:]
    if not rest or not rest[0].startswith("index "):
        raise VerificationError("proof has no index line")
    index = parse_decimal(rest[0][len("index ") :])
    if len(rest) - 1 > _MAX_PATH:
        raise VerificationError(f"proof has {len(rest) - 1} hashes; at most {_MAX_PATH} are possible")
    path = tuple(decode_base64(line) for line in rest[1:])
    if any(len(hash_) != HASH_BYTES for hash_ in path):
        raise VerificationError(f"a hash of the proof does not have {HASH_BYTES} bytes")
    return TlogProof(index, path, checkpoint, extra)


def verify_proof(data: bytes, leaf: bytes, origin: str, verifiers: Sequence[NoteVerifier]) -> tuple[int, Checkpoint]:
    """Check a proof file against the leaf bytes; gives the leaf's index and the checkpoint that covers it.

    Raises VerificationError when anything is not as it should be.
    """
    proof = parse_proof(data)
    checkpoint = open_checkpoint(proof.checkpoint, origin, verifiers)
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.path, checkpoint.root)
    return proof.index, checkpoint
