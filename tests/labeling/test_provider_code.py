# SPDX-License-Identifier: Apache-2.0
"""The provider code is checked to the last character and never made up."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.errors import LabelError
from labeling.provider_code import ProviderCode, uscc_check_character

# Three codes published by their owners in labelled files, and one made up for examples with a right check character.
PUBLISHED = ["001191110102MAD55U9H0F10002", "001191440300708461136T1XGW3", "001191320118MAK93FC72D10001"]
EXAMPLE = "001191110000MA00000AAT10001"


@pytest.mark.parametrize("text", [*PUBLISHED, EXAMPLE])
def test_published_codes_are_read_and_given_back_unchanged(text: str) -> None:
    """What is read is what is written into labels."""
    code = ProviderCode.parse(text)

    assert str(code) == text
    assert code.is_for_generation
    assert not code.is_for_dissemination


def test_the_parts_stand_at_the_positions_of_the_coding_rule() -> None:
    """Positions are those of the coding rule, counted from one."""
    code = ProviderCode.parse("001191440300708461136T1XGW3")

    assert (code.format_code, code.subject_type, code.binding) == ("00", "1", "1")
    assert (code.subject_code, code.service_type, code.model_code) == ("91440300708461136T", "1", "XGW3")


def test_an_unused_extension_fits_every_service() -> None:
    """Five zeros say nothing about the kind of service."""
    code = ProviderCode.parse(EXAMPLE[:22] + "00000")

    assert code.is_for_generation and code.is_for_dissemination


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "27 characters, got 0"),
        (EXAMPLE[:-1], "got 26"),
        (EXAMPLE + "0", "got 28"),
        (EXAMPLE.lower(), "character 13 .* 0-9 and A-Z"),
        (EXAMPLE[:-1] + " ", "character 27"),
        ("\uff10" + EXAMPLE[1:], "character 1 "),
        ("01" + EXAMPLE[2:], "positions 1-2"),
        ("002" + EXAMPLE[3:], "position 3"),
        ("0012" + EXAMPLE[4:], "position 4"),
        (EXAMPLE[:21] + "U" + EXAMPLE[22:], "must be T, got U"),
        (EXAMPLE[:12] + "O" + EXAMPLE[13:], "no I, O, S, V, Z"),
        (EXAMPLE[:22] + "30001", "position 23"),
        (EXAMPLE[:22] + "00001", "position 23"),
    ],
)
def test_a_wrong_code_is_refused_with_the_position_that_is_wrong(text: str, says: str) -> None:
    """The operator must be able to mend the setting from the message alone."""
    with pytest.raises(LabelError, match=says):
        ProviderCode.parse(text)


@given(st.sampled_from([*PUBLISHED, EXAMPLE]), st.integers(4, 21), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_any_single_mistyped_character_of_the_subject_is_noticed(text: str, position: int, character: str) -> None:
    """The check character finds every single substitution (31 is prime, weights are never zero)."""
    mistyped = text[:position] + character + text[position + 1 :]
    if mistyped == text:
        ProviderCode.parse(mistyped)
    else:
        with pytest.raises(LabelError):
            ProviderCode.parse(mistyped)


def test_the_check_character_needs_seventeen_characters() -> None:
    """A whole code in place of its first 17 characters is a mistake of the caller."""
    with pytest.raises(LabelError, match="got 18"):
        uscc_check_character(EXAMPLE[4:22])


@given(st.text(max_size=40))
def test_arbitrary_text_raises_only_label_errors(text: str) -> None:
    """A setting can hold anything."""
    with contextlib.suppress(LabelError):
        assert str(ProviderCode.parse(text)) == text
