# SPDX-License-Identifier: Apache-2.0
"""The normal form is a homomorphism over characters and undoes the disguises that it names."""

import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content_filter.normalise import IMAGES, normalise, origins

# A busy machine is no failure of a property.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Any code point, lone surrogates included, and often those that the rules are about.
HARD = st.sampled_from(
    "aAÀßİſﬃ℡Ⅷ①㈱ﷺ傳统瞭乾薴暴力Ａ１がｶﾞ한ᄒ👩\U0001d5d4\U000e0041\ud800\udc00"
    "\u200b\u200d\u00ad\ufeff\ufe0f\u202e\u0301\u0336\u3099\t\r\n\u3000\u2028\u2800\x00\x7f"
)
TEXTS = st.text(st.one_of(HARD, st.characters(exclude_categories=())), max_size=40)


@settings(UNHURRIED)
@given(TEXTS, TEXTS)
def test_parts_normalise_to_the_parts_of_the_whole(left: str, right: str) -> None:
    """normalise(a + b) == normalise(a) + normalise(b): what makes the stream guard exact."""
    assert normalise(left + right) == normalise(left) + normalise(right)


@settings(UNHURRIED)
@given(TEXTS)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """The form is idempotent."""
    assert normalise(normalise(text)) == normalise(text)


@settings(UNHURRIED)
@given(TEXTS)
def test_the_fast_paths_agree_with_the_images_of_the_characters(text: str) -> None:
    """ASCII, the regular expression and the table of images are three ways to the same text."""
    assert normalise(text) == "".join(IMAGES[char] for char in text)


@settings(UNHURRIED)
@given(TEXTS)
def test_every_normalised_character_has_an_origin(text: str) -> None:
    """origins is as long as the normal form, never decreases, and leads to the character that gave it."""
    where = origins(text)
    normalised = normalise(text)

    assert len(where) == len(normalised)
    assert where == sorted(where)
    assert all(char in IMAGES[text[origin]] for char, origin in zip(normalised, where, strict=True))


def test_every_character_of_the_basic_plane_that_changes_is_found() -> None:
    """The expression that skips what needs no change misses nothing, and images are stable."""
    wrong = [
        code
        for code, image in ((code, IMAGES[chr(code)]) for code in range(0x10000))
        if normalise(chr(code) + "\u4e00") != image + "\u4e00" or normalise(image) != image
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("HeLLo", "hello"),
        ("ＨＥＬＬＯ！", "hello!"),  # full width
        ("ⓗⓔⓛⓛⓞ", "hello"),  # circled
        ("𝐡𝓮𝖑𝗹𝚘", "hello"),  # mathematical
        ("ﬃ℡Ⅷ", "ffitelviii"),  # one character, several letters
        ("Straße", "strasse"),
        ("İ", "i"),  # casefolding uncovers a combining mark
        ("café", "cafe"),
        ("cafe\u0301", "cafe"),
        ("h\u0336e\u0336l\u0336l\u0336o\u0336", "hello"),  # struck out
        ("傳統暴力", "传统暴力"),
        ("暴\u200b\u200d\u2060\ufeff力", "暴力"),
        ("暴\u00ad力", "暴力"),
        ("暴\ufe0f\U000e0101力", "暴力"),  # variation selectors
        ("暴\u302a力", "暴力"),  # ideographic tone mark
        ("a\U000e0041\U000e007fb", "ab"),  # tags
        ("\u202eab\u202c\u2066c\u2069", "abc"),  # direction controls
        ("a\x00\x08\x7fb", "ab"),
        ("a\tb\nc\r\nd\u3000e\u00a0f\u2028g\u2800h", "a b c  d e f g h"),
        ("  a   b ", "  a   b "),  # runs stay
        ("⑩㈠", "10(一)"),
        ("한국", "한국"),  # syllables stay whole
        ("が", "が"),
        ("ｶﾞ", "カ\u3099"),
        ("กำ", "ก\u0e4dา"),  # marks of a script stay
        ("\u0939\u093f", "\u0939\u093f"),
        ("🔞👍🏽", "🔞👍🏽"),
        ("\ud800a\udfff", "\ufffda\ufffd"),
        ("", ""),
    ],
)
def test_disguises_are_undone_and_spelling_is_kept(written: str, expected: str) -> None:
    """One row a rule."""
    assert normalise(written) == expected


@settings(UNHURRIED)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_without_controls_maps_one_to_one(text: str) -> None:
    """Printable ASCII keeps its length, so its offsets are its own."""
    if text.isprintable():
        assert origins(text) == list(range(len(text)))
        assert normalise(text) == text.lower()


def test_the_table_of_images_stays_bounded() -> None:
    """A caller who sends all code points beyond the basic plane leaves only those behind that change."""
    for code in range(0x10000, sys.maxunicode, 5):
        IMAGES[chr(code)]

    kept = [char for char in IMAGES if char > "\uffff"]
    assert all(IMAGES[char] != char for char in kept)
    assert len(kept) < 10_000


@settings(UNHURRIED)
@given(st.text(st.characters(categories=["L"]), max_size=12))
def test_composed_and_decomposed_latin_are_one(text: str) -> None:
    """Where only generic marks are at stake, NFC and NFD meet."""
    latin = "".join(char for char in text if unicodedata.name(char, "").startswith("LATIN"))

    assert normalise(unicodedata.normalize("NFD", latin)) == normalise(unicodedata.normalize("NFC", latin))
