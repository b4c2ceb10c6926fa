# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 section 2.1: hashing, and making and checking both kinds of proof.

Pure functions over 32-byte hashes; where the hashes lie is the caller's business. A proof is made in two steps: the
ranges of leaves whose hashes it consists of, then the hash of each range. Checking follows RFC 9162 sections 2.1.3.2
and 2.1.4.2. What must hold: a checker accepts exactly the right proof and raises nothing but VerificationError.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from audit_log.errors import VerificationError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Perfect = Callable[[int, int], bytes]
"""(level, index) -> hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf: SHA-256(0x00 || leaf)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def split_point(size: int) -> int:
    """Largest power of two smaller than ``size`` (``size`` > 1): where RFC 6962 divides a tree."""
    return 1 << ((size - 1).bit_length() - 1)


class Frontier:
    """The right edge of a growing tree: its perfect subtrees, largest first. Memory is O(log n)."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, hash_: bytes) -> None:
        """Add the hash of the next leaf."""
        size = self.size
        while size & 1:
            hash_ = sha256(b"\x01" + self._peaks.pop() + hash_).digest()
            size >>= 1
        self._peaks.append(hash_)
        self.size += 1

    def root(self) -> bytes:
        """Root of the tree over all leaves added so far."""
        return fold(self._peaks)


def fold(peaks: Sequence[bytes]) -> bytes:
    """Root of a tree from the hashes of its perfect subtrees, largest (leftmost) first."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Root of the tree over these leaf hashes."""
    frontier = Frontier()
    for hash_ in hashes:
        frontier.append(hash_)
    return frontier.root()


def range_hash(start: int, end: int, perfect: Perfect) -> bytes:
    """Hash of the subtree over leaves [start, end), one of the ranges that a proof consists of."""
    peaks = []
    while start < end:
        level = (end - start).bit_length() - 1
        peaks.append(perfect(level, start >> level))
        start += 1 << level
    return fold(peaks)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Leaf ranges of the inclusion proof of leaf ``index`` in a tree of ``size`` leaves, the leaf's sibling first."""
    if not 0 <= index < size:
        raise VerificationError(f"no inclusion proof of leaf {index} in a tree of {size} leaves")
    ranges: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    ranges.reverse()
    return ranges


def consistency_ranges(old_size: int, new_size: int) -> list[tuple[int, int]]:
    """Leaf ranges of the consistency proof between two sizes (RFC 6962 section 2.1.2), in the order of the proof."""
    if not 0 < old_size <= new_size:
        raise VerificationError(f"no consistency proof from size {old_size} to size {new_size}")
    ranges: list[tuple[int, int]] = []
    start, end = 0, new_size
    while end != old_size:
        middle = start + split_point(end - start)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:
        ranges.append((start, end))
    ranges.reverse()
    return ranges


def inclusion_proof(index: int, size: int, perfect: Perfect) -> list[bytes]:
    """Inclusion proof of leaf ``index`` in the tree of ``size`` leaves, from the leaf's sibling up."""
    return [range_hash(start, end, perfect) for start, end in inclusion_ranges(index, size)]


def consistency_proof(old_size: int, new_size: int, perfect: Perfect) -> list[bytes]:
    """Proof that the tree of ``new_size`` leaves begins with the tree of ``old_size`` leaves."""
    return [range_hash(start, end, perfect) for start, end in consistency_ranges(old_size, new_size)]


def verify_inclusion(hash_: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this hash is number ``index`` of the tree with this size and root.

    Raises VerificationError otherwise.
    """
    if not 0 <= index < size:
        raise VerificationError(f"leaf index {index} is outside a tree of {size} leaves")
    _check_lengths((hash_, root, *proof))
    position, last = index, size - 1
    for sibling in proof:
        if last == 0:
            raise VerificationError("inclusion proof is longer than the tree is high")
        if position & 1 or position == last:
            hash_ = node_hash(sibling, hash_)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            hash_ = node_hash(hash_, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("inclusion proof is shorter than the tree is high")
    if hash_ != root:
        raise VerificationError(f"inclusion proof of leaf {index} does not lead to the root")


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree (new_size, new_root) begins with the tree (old_size, old_root).

    Raises VerificationError otherwise. The empty tree is a beginning of everything and proves nothing: size 0 is
    refused, so that no caller can mistake it for evidence.
    """
    if not 0 < old_size <= new_size:
        raise VerificationError(f"no consistency proof from size {old_size} to size {new_size}")
    if old_size == new_size:
        if proof:
            raise VerificationError("sizes are equal but the consistency proof is not empty")
        if old_root != new_root:
            raise VerificationError(f"two different roots for size {new_size}")
        return
    _check_lengths((old_root, new_root, *proof))
    path = list(proof)
    if not old_size & (old_size - 1):
        path.insert(0, old_root)
    if not path:
        raise VerificationError("consistency proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_hash = new_hash = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise VerificationError("consistency proof is longer than the tree is high")
        if position & 1 or position == last:
            old_hash = node_hash(sibling, old_hash)
            new_hash = node_hash(sibling, new_hash)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_hash = node_hash(new_hash, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise VerificationError("consistency proof is shorter than the tree is high")
    if old_hash != old_root:
        raise VerificationError(f"consistency proof does not lead to the root of size {old_size}")
    if new_hash != new_root:
        raise VerificationError(f"consistency proof does not lead to the root of size {new_size}")


def _check_lengths(hashes: Iterable[bytes]) -> None:
    for hash_ in hashes:
        if len(hash_) != HASH_BYTES:
            raise VerificationError(f"a hash has {len(hash_)} bytes; expected {HASH_BYTES}")
