# SPDX-License-Identifier: Apache-2.0
"""Checkpoints, c2sp.org/tlog-checkpoint: a signed note that states origin, size and root of the tree.

What must hold: one spelling for each checkpoint, strict decimal and base64, and VerificationError for all else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from audit_log.errors import VerificationError
from audit_log.merkle import HASH_BYTES
from audit_log.note import NoteSigner, NoteVerifier, decode_base64, encode_base64, open_note, sign_note

_MAX_SIZE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Head of the tree: the log's origin, the number of leaves, the root, and extension lines (ours has none)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text, ending in a newline."""
        return "\n".join((self.origin, str(self.size), encode_base64(self.root), *self.extensions)) + "\n"


def parse_decimal(text: str) -> int:
    """A non-negative decimal below 2**63 without leading zeros; raises VerificationError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or (text[0] == "0" and text != "0"):
        raise VerificationError("number is not a plain decimal without leading zeros")
    value = int(text)
    if value > _MAX_SIZE:
        raise VerificationError("number does not fit in 63 bits")
    return value


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint whose signatures were already checked; raises VerificationError."""
    if not text.endswith("\n"):
        raise VerificationError("checkpoint text does not end in a newline")
    lines = text[:-1].split("\n")
    if len(lines) < 3:
        raise VerificationError(f"checkpoint has {len(lines)} lines; expected origin, size and root hash")
    if not all(lines):
        raise VerificationError("checkpoint holds an empty line")
    root = decode_base64(lines[2])
    if len(root) != HASH_BYTES:
        raise VerificationError(f"root hash has {len(root)} bytes; expected {HASH_BYTES}")
    return Checkpoint(lines[0], parse_decimal(lines[1]), root, tuple(lines[3:]))


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[NoteSigner]) -> bytes:
    """The signed note of a checkpoint."""
    return sign_note(checkpoint.text, signers)


def open_checkpoint(data: bytes, origin: str, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Check signatures and origin of a signed checkpoint and read it; raises VerificationError."""
    checkpoint = parse_checkpoint(open_note(data, verifiers).text)
    if checkpoint.origin != origin:
        raise VerificationError("the checkpoint belongs to another log: its origin line differs from the expected one")
    return checkpoint
