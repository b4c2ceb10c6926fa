# SPDX-License-Identifier: Apache-2.0
"""Manifests inside texts: read and verified by two libraries that are not ours, with no bytes of ours in common."""

from __future__ import annotations

import time
import unicodedata
from typing import Any
from uuid import UUID

import c2pa_text as other
import encypher_c2pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.c2pa_keys import file_signer, new_chain
from labeling.c2pa_text import TextSigner, encoded, find_manifest, without_manifests, wrapped
from labeling.errors import LabelError, LabelNotVerified, UnsupportedFormat

INSTANCE = UUID("0199f0c4-0000-7000-8000-000000000001")
TEXT = "AI生成\n\n这是一段回答。 Café and ﬁne 👍🏽.\n"
CHAIN = new_chain("Example", 30, time.time)


def signer(**given: Any) -> TextSigner:
    """A signer with a chain of its own."""
    settings: dict[str, Any] = {
        "sign": file_signer(CHAIN.key_pem),
        "algorithm": "es256",
        "chain_pem": CHAIN.chain_pem.decode(),
        "generator_name": "Dutybound",
        "version": "0.1",
    }
    return TextSigner(**{**settings, **given})


SIGNER = signer()


def verified(text: str) -> dict[str, Any]:
    """What an independent verifier says."""
    found: dict[str, Any] = encypher_c2pa.verify(text.encode(), mime_type="text/plain")
    return found


def states(found: dict[str, Any]) -> tuple[Any, ...]:
    """Its verdicts on integrity, signature and binding."""
    return tuple(found[key] for key in ("integrity", "signature", "hard_binding"))


def test_an_independent_verifier_says_that_the_manifest_holds() -> None:
    """Signature, digests of the assertions, and the binding to the text."""
    signed = TEXT + SIGNER.manifest(TEXT, INSTANCE)
    assert states(verified(signed)) == ("valid", "valid", "match")


def test_an_independent_reader_finds_the_same_manifest_and_the_same_text() -> None:
    """One wrapper, at the end."""
    signed = TEXT + SIGNER.manifest(TEXT, INSTANCE)
    theirs, clean = other.extract_manifest(signed)
    ours = find_manifest(signed)
    assert ours is not None and theirs == ours.store
    assert clean == ours.text == TEXT
    assert other.validate_jumbf_structure(ours.store).valid


def test_what_people_see_of_the_text_does_not_change() -> None:
    """All that is added are characters without a shape."""
    wrapper = SIGNER.manifest(TEXT, INSTANCE)
    assert without_manifests(TEXT + wrapper) == TEXT
    assert {unicodedata.category(character) for character in wrapper} == {"Cf", "Mn"}
    assert len(wrapper) < 2_600 and len(wrapper.encode()) < 10_000


@pytest.mark.parametrize("change", ["edit", "front", "behind"])
def test_a_changed_text_is_found_out(change: str) -> None:
    """The binding is to every character."""
    wrapper = SIGNER.manifest(TEXT, INSTANCE)
    changed = {
        "edit": TEXT.replace("一", "二") + wrapper,
        "front": "> " + TEXT + wrapper,
        "behind": TEXT + wrapper + "x",
    }
    assert states(verified(TEXT + wrapper)) == ("valid", "valid", "match")
    assert states(verified(changed[change])) == ("invalid", "valid", "mismatch")


@given(st.binary(min_size=1, max_size=300))
def test_every_store_comes_back_and_fills_the_same_room(store: bytes) -> None:
    """Whatever its bytes: the length is known before the signature is."""
    length = other.worst_case_wrapper_byte_length(len(store))
    made = wrapped(store, length)
    found = find_manifest("text" + made)
    assert len(made.encode()) == length
    assert found is not None and (found.store, found.text) == (store, "text")
    assert other.extract_manifest("text" + made) == (store, "text")
    theirs = find_manifest("text" + other.encode_wrapper_padded(store, length))
    assert theirs is not None and theirs.store == store


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (65_536, "1a00010000"),
        (1 << 32, "1b0000000100000000"), (-1, "20"), (-7, "26"), (-257, "390100"), (b"\x01", "4101"), ("ü", "62c3bc"),
        ([1, [2]], "82018102"), ({"a": True, 1: None}, "a26161f501f6"), (False, "f4"),
    ],
)  # fmt: skip
def test_values_are_written_as_the_standard_says(value: object, expected: str) -> None:
    """Examples of RFC 8949, appendix A."""
    assert encoded(value).hex() == expected


def test_what_no_manifest_can_hold_is_refused() -> None:
    """A programming error, said at once."""
    with pytest.raises(LabelError, match="float"):
        encoded(1.5)


def test_a_text_with_a_manifest_gets_no_second_one() -> None:
    """Readers refuse several."""
    signed = TEXT + SIGNER.manifest(TEXT, INSTANCE)
    with pytest.raises(LabelError, match="already"):
        SIGNER.manifest(signed, INSTANCE)
    assert find_manifest(signed + SIGNER.manifest(TEXT, INSTANCE)) is None


def test_a_text_that_readers_would_normalise_gets_none() -> None:
    """The places that the manifest names would be others afterwards."""
    with pytest.raises(UnsupportedFormat, match="NFC"):
        SIGNER.manifest("Cafe\u0301", INSTANCE)


@pytest.mark.parametrize("text", ["", "plain", "\ufeff", "\ufeff\ufe00\ufe01", "\ufeff" + "\ufe00" * 40])
def test_other_texts_have_no_manifest(text: str) -> None:
    """Marks of byte order and emoji selectors are none."""
    assert find_manifest(text) is None


def test_a_key_that_is_not_the_certificates_is_refused_at_the_start() -> None:
    """Not with the first answer."""
    stranger = new_chain("Other", 30, time.time)
    with pytest.raises(LabelNotVerified, match="not that of the certificate"):
        signer(sign=file_signer(stranger.key_pem))


@pytest.mark.parametrize(
    "wrong",
    [{"algorithm": "ps256"}, {"chain_pem": "no pem"}, {"algorithm": "ed25519"}, {"sign": lambda _: b"short"}],
)
def test_a_signer_that_cannot_sign_is_refused(wrong: dict[str, Any]) -> None:
    """With the next step in its message."""
    with pytest.raises(LabelError):
        signer(**wrong)


def test_a_key_service_that_fails_fails_the_text() -> None:
    """Never a text with half a manifest."""
    key = file_signer(CHAIN.key_pem)
    answers = iter([key, lambda _: b"x"])
    broken = signer(sign=lambda content: next(answers)(content))
    with pytest.raises(LabelNotVerified, match="bytes"):
        broken.manifest(TEXT, INSTANCE)
