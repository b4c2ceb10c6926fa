# SPDX-License-Identifier: Apache-2.0
"""Sealed bodies: open with the right keys only, bound to their record, committed to their key."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit_log.errors import VerificationError
from audit_log.sealing import (
    SealedBody,
    SubjectKey,
    new_subject_key,
    open_body,
    seal_body,
    unwrap_subject_key,
    wrap_subject_key,
)

ID = "01a1ff94-113e-7dea-bfd6-908a6349367b"
MASTER = bytes(range(32))
KEY = new_subject_key()


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_again(body: bytes) -> None:
    """And is nowhere in what is stored."""
    sealed = seal_body(body, ID, KEY)

    assert body == open_body(sealed, KEY, sealed.leaf_fields())
    assert len(body) < 8 or body not in sealed.ciphertext


def test_the_same_body_never_looks_the_same() -> None:
    """Two records of one text cannot be matched without the keys."""
    one, two = seal_body(b"same", ID, KEY), seal_body(b"same", ID, KEY)

    assert one.ciphertext != two.ciphertext
    assert one.commit != two.commit


def test_the_leaf_names_the_ciphertext_and_not_the_text() -> None:
    """Four fields, none of which can be guessed from the text."""
    assert {"sha256", "bytes", "key", "commit"} == set(seal_body(b"x", ID, KEY).leaf_fields())


def changed_body(sealed: SealedBody, what: str, value: bytes) -> SealedBody:
    return replace(sealed, wrapped_key=value) if what == "wrapped_key" else replace(sealed, ciphertext=value)


@pytest.mark.parametrize("what", ["wrapped_key", "ciphertext"])
def test_no_changed_byte_opens(what: str) -> None:
    """Every byte of both."""
    sealed = seal_body(b"some text", ID, KEY)
    good: bytes = getattr(sealed, what)
    for position in range(len(good)):
        changed = good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]
        with pytest.raises(VerificationError):
            open_body(changed_body(sealed, what, changed), KEY)
    for length in (0, 5, 12, len(good) - 1):
        with pytest.raises(VerificationError):
            open_body(changed_body(sealed, what, good[:length]), KEY)


def test_a_body_is_bound_to_its_record() -> None:
    """It cannot be shown as another record's."""
    sealed = seal_body(b"some text", ID, KEY)
    with pytest.raises(VerificationError):
        open_body(replace(sealed, record_id=ID[:-1] + "c"), KEY)


def test_another_subjects_key_opens_nothing() -> None:
    """Nor a key under the same id."""
    sealed = seal_body(b"some text", ID, KEY)
    with pytest.raises(VerificationError):
        open_body(sealed, SubjectKey(KEY.id, bytes(32)))


def test_a_second_key_for_the_same_ciphertext_is_caught() -> None:
    """Whoever re-labels a body with another data key fails on the commitment in the leaf."""
    sealed = seal_body(b"some text", ID, KEY)
    other_key, nonce = bytes(32), bytes(12)
    forged = replace(
        sealed,
        wrapped_key=nonce + AESGCM(KEY.secret).encrypt(nonce, other_key, b"dutybound data key v1\x00" + ID.encode()),
        ciphertext=nonce + AESGCM(other_key).encrypt(nonce, b"other text", b"dutybound body v1\x00" + ID.encode()),
    )
    with pytest.raises(VerificationError, match="committed"):
        open_body(forged, KEY)


def test_a_body_that_its_leaf_does_not_name_is_refused() -> None:
    """Even when it opens."""
    sealed = seal_body(b"some text", ID, KEY)
    with pytest.raises(VerificationError, match="leaf"):
        open_body(sealed, KEY, seal_body(b"some text", ID, KEY).leaf_fields())


def test_a_subject_key_opens_with_the_master_key_alone() -> None:
    """Wrapped under its id; any change is seen."""
    wrapped = wrap_subject_key(KEY, MASTER)

    assert unwrap_subject_key(KEY.id, wrapped, MASTER) == KEY
    assert KEY.secret not in wrapped
    for id_, data, master in ((KEY.id, wrapped, bytes(32)), ("k_0", wrapped, MASTER), (KEY.id, wrapped[:-1], MASTER)):
        with pytest.raises(VerificationError):
            unwrap_subject_key(id_, data, master)
