# SPDX-License-Identifier: Apache-2.0
"""RFC 6962 trees and proofs against the RFC's own recursion and against public vectors."""

import base64
import json
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_log.errors import VerificationError
from audit_log.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LIMIT = 300
LEAVES = [leaf_hash(str(number).encode()) for number in range(LIMIT)]
# The eight inputs and nine roots that the RFC 6962 implementations have shared since 2012.
RFC_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
RFC_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@cache
def mth(start: int, end: int) -> bytes:
    """The tree hash as RFC 6962 section 2.1 writes it."""
    size = end - start
    if size == 0:
        return sha256(b"").digest()
    if size == 1:
        return LEAVES[start]
    k = 1
    while k * 2 < size:
        k *= 2
    return node_hash(mth(start, start + k), mth(start + k, end))


@cache
def path(index: int, start: int, end: int) -> tuple[bytes, ...]:
    """The audit path as section 2.1.1 writes it."""
    size = end - start
    if size == 1:
        return ()
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        return (*path(index, start, start + k), mth(start + k, end))
    return (*path(index - k, start + k, end), mth(start, start + k))


@cache
def subproof(old: int, start: int, end: int, whole: bool) -> tuple[bytes, ...]:
    """The consistency proof as section 2.1.2 writes it."""
    size = end - start
    if old == size:
        return () if whole else (mth(start, end),)
    k = 1
    while k * 2 < size:
        k *= 2
    if old <= k:
        return (*subproof(old, start, start + k, whole), mth(start + k, end))
    return (*subproof(old - k, start + k, end, False), mth(start, start + k))


def perfect(level: int, index: int) -> bytes:
    return mth(index << level, (index + 1) << level)


def test_roots_are_those_of_the_rfc_implementations() -> None:
    """The nine roots that every RFC 6962 implementation gives for the eight known inputs."""
    frontier = Frontier()

    assert RFC_ROOTS[0] == frontier.root().hex() == EMPTY_ROOT.hex()
    for text, root in zip(RFC_INPUTS, RFC_ROOTS[1:], strict=True):
        frontier.append(leaf_hash(bytes.fromhex(text)))

        assert root == frontier.root().hex()


def test_roots_of_all_sizes_follow_the_recursion() -> None:
    """The compact right edge gives the root of the definition, for every size."""
    for size in range(LIMIT + 1):
        assert mth(0, size) == root_of(LEAVES[:size])


def test_every_inclusion_proof_follows_the_recursion_and_verifies() -> None:
    """All (index, size) up to 300."""
    for size in range(1, LIMIT + 1):
        root = mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, perfect)

            assert list(path(index, 0, size)) == proof
            verify_inclusion(LEAVES[index], index, size, proof, root)


def test_every_consistency_proof_follows_the_recursion_and_verifies() -> None:
    """All (old, new) up to 300."""
    for new in range(1, LIMIT + 1):
        for old in range(1, new + 1):
            proof = consistency_proof(old, new, perfect)

            assert list(subproof(old, 0, new, True)) == proof
            verify_consistency(old, new, proof, mth(0, old), mth(0, new))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (5, 2)])
def test_there_is_no_inclusion_proof_outside_the_tree(index: int, size: int) -> None:
    """Neither to make nor to check."""
    with pytest.raises(VerificationError):
        inclusion_proof(index, size, perfect)
    with pytest.raises(VerificationError):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (3, 2), (-1, 4)])
def test_there_is_no_consistency_proof_from_nothing_or_backwards(old: int, new: int) -> None:
    """The empty tree is a beginning of everything and proves nothing."""
    with pytest.raises(VerificationError):
        consistency_proof(old, new, perfect)
    with pytest.raises(VerificationError):
        verify_consistency(old, new, [], EMPTY_ROOT, EMPTY_ROOT)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_changed_inclusion_proof_is_accepted(data: st.DataObject) -> None:
    """Flip, drop, add, swap or shift anything: VerificationError, and never another exception."""
    size = data.draw(st.integers(1, LIMIT))
    index = data.draw(st.integers(0, size - 1))
    leaf, root, proof = LEAVES[index], mth(0, size), list(path(index, 0, size))
    kind = data.draw(st.sampled_from(["leaf", "root", "proof", "drop", "add", "swap", "index", "short"]))
    if kind == "leaf":
        leaf = flipped(data, leaf)
    elif kind == "root":
        root = flipped(data, root)
    elif kind == "add":
        proof.insert(data.draw(st.integers(0, len(proof))), data.draw(st.sampled_from([leaf, root, EMPTY_ROOT])))
    elif kind == "index":
        index = data.draw(st.integers(0, size).filter(lambda other: other != index))
    elif not proof:
        return
    else:
        position = data.draw(st.integers(0, len(proof) - 1))
        if kind == "proof":
            proof[position] = flipped(data, proof[position])
        elif kind == "drop":
            del proof[position]
        elif kind == "short":
            proof[position] = proof[position][:-1]
        elif position + 1 < len(proof):
            proof[position : position + 2] = proof[position + 1], proof[position]
        else:
            return
    with pytest.raises(VerificationError):
        verify_inclusion(leaf, index, size, proof, root)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_changed_consistency_proof_is_accepted(data: st.DataObject) -> None:
    """Flip, drop or add anything: VerificationError, and never another exception."""
    new = data.draw(st.integers(1, LIMIT))
    old = data.draw(st.integers(1, new))
    old_root, new_root, proof = mth(0, old), mth(0, new), list(subproof(old, 0, new, True))
    kind = data.draw(st.sampled_from(["old", "new", "proof", "drop", "add"]))
    if kind == "old":
        old_root = flipped(data, old_root)
    elif kind == "new":
        new_root = flipped(data, new_root)
    elif kind == "add":
        proof.insert(data.draw(st.integers(0, len(proof))), data.draw(st.sampled_from([old_root, new_root])))
    elif not proof:
        return
    else:
        position = data.draw(st.integers(0, len(proof) - 1))
        if kind == "proof":
            proof[position] = flipped(data, proof[position])
        else:
            del proof[position]
    with pytest.raises(VerificationError):
        verify_consistency(old, new, proof, old_root, new_root)


def flipped(data: st.DataObject, hash_: bytes) -> bytes:
    bit = data.draw(st.integers(0, 255))
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(hash_))


def test_public_inclusion_vectors(vectors: Path) -> None:
    """transparency-dev/merkle: accepted and refused as its authors say."""
    files = sorted((vectors / "merkle" / "inclusion").rglob("*.json"))

    assert len(files) > 90
    for file in files:
        case = json.loads(file.read_text())
        try:
            verify_inclusion(
                raw(case["leafHash"]), case["leafIdx"], case["treeSize"], raws(case["proof"]), raw(case["root"])
            )
            refused = False
        except VerificationError:
            refused = True

        assert case["wantErr"] == refused, file.name


def test_public_consistency_vectors(vectors: Path) -> None:
    """transparency-dev/merkle: accepted and refused as its authors say; nothing is proven from size 0."""
    files = sorted((vectors / "merkle" / "consistency").rglob("*.json"))

    assert len(files) > 90
    for file in files:
        case = json.loads(file.read_text())
        try:
            verify_consistency(
                case["size1"], case["size2"], raws(case["proof"]), raw(case["root1"]), raw(case["root2"])
            )
            refused = False
        except VerificationError:
            refused = True

        assert case["wantErr"] == refused, file.name


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def raws(texts: list[str] | None) -> list[bytes]:
    return [raw(text) for text in texts or []]
