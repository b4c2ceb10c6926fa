# SPDX-License-Identifier: Apache-2.0
"""Signed notes: the specification's example, round trips, and everything that must not open."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_log.errors import VerificationError
from audit_log.note import Signer, Verifier, check_key_name, decode_base64, open_note, sign_note

SIGNER = Signer("example.com/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer("example.com/witness", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
NOTE = sign_note("one\ntwo\n", [SIGNER])
# Go sumdb/note: the keys and the note that its own tests use.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_of_the_go_library_opens() -> None:
    """What others sign we can read."""
    note = open_note(NEUMANN_NOTE.encode(), [Verifier.from_vkey(NEUMANN)])

    assert NEUMANN_NOTE[: NEUMANN_NOTE.index("\n\n") + 1] == note.text
    assert note.verified_by[0].vkey == NEUMANN


@given(st.lists(st.text(st.characters(blacklist_categories=["Cc", "Cs"])), min_size=1))
def test_what_is_signed_opens_again(lines: list[str]) -> None:
    """Any text of any lines, also empty ones."""
    text = "\n".join(lines) + "\n"
    note = open_note(sign_note(text, [SIGNER, OTHER]), [SIGNER.verifier, OTHER.verifier])

    assert (text, (SIGNER.verifier, OTHER.verifier), 0) == (note.text, note.verified_by, note.unknown_signatures)


def test_signatures_of_unknown_keys_are_ignored() -> None:
    """Witnesses and new algorithms can be added without breaking anyone."""
    grease = f"— grease.example {base64.b64encode(b'abcd' + bytes(2420)).decode()}\n"
    note = open_note(sign_note("text\n", [OTHER, SIGNER]) + grease.encode(), [SIGNER.verifier])

    assert ((SIGNER.verifier,), 2) == (note.verified_by, note.unknown_signatures)


def test_a_wrong_signature_of_a_known_key_rejects_the_note() -> None:
    """Even where another known key's signature is right."""
    good = sign_note("text\n", [SIGNER, OTHER])
    bad = good.replace(good.splitlines()[-1], sign_note("other\n", [OTHER]).splitlines()[-1])

    with pytest.raises(VerificationError, match="does not verify"):
        open_note(bad, [SIGNER.verifier, OTHER.verifier])


def test_a_note_that_no_known_key_signed_does_not_open() -> None:
    """Text of strangers is never taken."""
    with pytest.raises(VerificationError, match="no known key"):
        open_note(NOTE, [OTHER.verifier])


def test_sixteen_signatures_are_accepted() -> None:
    """The number that every verifier must take."""
    signers = [Signer(f"w{n}.example", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in range(15)]

    assert open_note(sign_note("text\n", [*signers, SIGNER]), [SIGNER.verifier]).unknown_signatures == 15


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"text",
        b"text\n",
        b"text\n\n",
        b"\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace("— ".encode(), "—".encode()),
        NOTE.replace(b"example.com/log ", b"example.com/log  "),
        NOTE.replace(b"example.com/log ", b" "),
        NOTE.replace(b"example.com/log ", b"example.com+log "),
        NOTE.replace(b"one", b"o\tne"),
        NOTE.replace(b"one", b"\xff"),
        NOTE.replace(b"\n\n", b"\r\n\r\n"),
        NOTE[:-2] + b"!\n",
        NOTE + "— x YQ==\n".encode(),
        NOTE + "— x YWJjZA==\n".encode(),
        NOTE + "— x\n".encode(),
        NOTE + b"trailing\n",
        NOTE * 200,
        b"x" * 1_000_001,
    ],
)
def test_what_is_not_a_note_is_refused(data: bytes) -> None:
    """One spelling, and one kind of error."""
    with pytest.raises(VerificationError):
        open_note(data, [SIGNER.verifier])


def test_no_changed_byte_is_accepted() -> None:
    """Every byte of the note, in every bit."""
    for position in range(len(NOTE)):
        for bit in range(8):
            changed = bytearray(NOTE)
            changed[position] ^= 1 << bit
            with pytest.raises(VerificationError):
                open_note(bytes(changed), [SIGNER.verifier])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_garbage_raises_nothing_else(data: bytes) -> None:
    """Any bytes at all."""
    with pytest.raises(VerificationError):
        open_note(data, [SIGNER.verifier])


def test_a_verifier_key_is_read_back() -> None:
    """name+id+key, as others write it."""
    vkey = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

    assert vkey == Verifier.from_vkey(vkey).vkey


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+id",
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("Peter", "Paul"),
        NEUMANN[:-1],
        NEUMANN.replace("+ARpc", "+AhRpc"),
        " " + NEUMANN,
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "x+00000000+" + base64.b64encode(b"\x02" + bytes(32)).decode(),
    ],
)
def test_what_is_not_a_verifier_key_is_refused(vkey: str) -> None:
    """A wrong id, another type, a cut key."""
    with pytest.raises(VerificationError):
        Verifier.from_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b", "a\n", "\ud800"])
def test_a_key_name_is_plain(name: str) -> None:
    """No spaces of any kind, no plus, no control character, valid Unicode."""
    with pytest.raises(VerificationError):
        check_key_name(name)


@pytest.mark.parametrize("text", ["YQ", "YR==", "Y Q==", "YQ==\n", "YQ-_", "é"])
def test_base64_has_one_spelling(text: str) -> None:
    """Lenient decoding would let two notes be one."""
    with pytest.raises(VerificationError):
        decode_base64(text)
