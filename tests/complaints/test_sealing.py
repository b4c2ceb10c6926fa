# SPDX-License-Identifier: Apache-2.0
"""Words at rest are unreadable, unmovable and unalterable."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from complaints.errors import Invalid, WrongKey
from complaints.sealing import Vault

VAULT = Vault(bytes(32), os.urandom)


@given(st.text(max_size=200))
def test_what_is_sealed_opens_in_its_place(text: str) -> None:
    """Any Unicode text comes back as it was."""
    assert VAULT.open(VAULT.seal(text, "R", 1, "text"), "R", 1, "text") == text


def test_the_same_words_never_look_the_same() -> None:
    """Equal complaints cannot be told to be equal from the file."""
    assert VAULT.seal("x", "R", 1, "text") != VAULT.seal("x", "R", 1, "text")


@pytest.mark.parametrize(("receipt", "seq", "field"), [("S", 1, "text"), ("R", 2, "text"), ("R", 1, "contact")])
def test_sealed_words_do_not_open_elsewhere(receipt: str, seq: int, field: str) -> None:
    """Receipt, event and field are bound in."""
    with pytest.raises(WrongKey):
        VAULT.open(VAULT.seal("x", "R", 1, "text"), receipt, seq, field)


@given(st.integers(0), st.integers(1, 255))
def test_an_altered_byte_is_noticed(place: int, change: int) -> None:
    """Whichever byte it is, the form byte included."""
    sealed = bytearray(VAULT.seal("words", "R", 1, "text"))
    sealed[place % len(sealed)] ^= change

    with pytest.raises(WrongKey):
        VAULT.open(bytes(sealed), "R", 1, "text")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(12), bytes(40)])
def test_what_is_too_short_or_of_another_form_does_not_open(sealed: bytes) -> None:
    """A truncated file gives the package's own error."""
    with pytest.raises(WrongKey):
        VAULT.open(sealed, "R", 1, "text")


def test_another_key_opens_nothing_and_knows_no_secret() -> None:
    """Fingerprints tell keys apart without being them."""
    other = Vault(bytes([1] * 32), os.urandom)

    with pytest.raises(WrongKey):
        other.open(VAULT.seal("x", "R", 1, "text"), "R", 1, "text")
    assert not other.is_secret(VAULT.secret_hash("R", "s"), "R", "s")
    assert other.fingerprint != VAULT.fingerprint
    assert VAULT.fingerprint == Vault(bytes(32), os.urandom).fingerprint != bytes(32)


def test_a_secret_is_bound_to_its_receipt() -> None:
    """A hash copied to another case does not open it."""
    kept = VAULT.secret_hash("R", "s")

    assert VAULT.is_secret(kept, "R", "s")
    assert not VAULT.is_secret(kept, "R", "t")
    assert not VAULT.is_secret(kept, "S", "s")
    assert kept != b"s" and len(kept) == 32


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    """Half a key is no key."""
    with pytest.raises(Invalid, match="key"):
        Vault(bytes(size), os.urandom)
