# SPDX-License-Identifier: Apache-2.0
"""The classes are those of the standard."""

import pytest

from content_filter.taxonomy import CLASSES, SUB_TYPES, Group, Neighbours


def test_there_are_31_classes_and_prompt_attack() -> None:
    """8 + 9 + 5 + 7 + 2 classes, by section, and INJ outside."""
    sizes = {group: sum(found.group is group for found in CLASSES.values()) for group in Group}

    assert sizes == {"A.1": 8, "A.2": 9, "A.3": 5, "A.4": 7, "A.5": 2, "INJ": 1}


def test_exactly_the_17_classes_of_the_first_two_sections_must_be_refused() -> None:
    """The refusal duty covers A.1 and A.2."""
    refused = {code for code, found in CLASSES.items() if found.must_refuse}

    assert refused == {code for code in CLASSES if code[:2] in ("A1", "A2")}
    assert len(refused) == 17


def test_codes_clauses_and_names_fit_together() -> None:
    """A code is its clause without punctuation; names are there in both languages and unique."""
    for code, found in CLASSES.items():
        assert code == found.code
        if code != "INJ":
            assert found.clause == f"A.{code[1]} {code[2]})"
    assert len({found.zh for found in CLASSES.values()}) == len({found.en for found in CLASSES.values()}) == 32


@pytest.mark.parametrize(
    ("code", "openai", "mlcommons", "qwen3guard"),
    [
        ("A1a", Neighbours((), ("illicit",)), Neighbours((), ("S2",)), Neighbours(("Politically Sensitive Topics",))),
        (
            "A1f",
            Neighbours(("sexual", "violence")),
            Neighbours(("S12", "S1")),
            Neighbours(("Sexual Content or Sexual Acts", "Violent")),
        ),
        ("A3b", Neighbours(), Neighbours(), Neighbours(("Unethical Acts",))),
        ("A5b", Neighbours(), Neighbours(("S6",)), Neighbours()),
        ("INJ", Neighbours(), Neighbours(), Neighbours(("Jailbreak",))),
    ],
)
def test_neighbours_in_other_taxonomies(
    code: str, openai: Neighbours, mlcommons: Neighbours, qwen3guard: Neighbours
) -> None:
    """Correspondence and mere nearness are told apart."""
    assert (CLASSES[code].openai, CLASSES[code].mlcommons, CLASSES[code].qwen3guard) == (openai, mlcommons, qwen3guard)


def test_sub_types_belong_to_classes() -> None:
    """Each finer kind refines a class that exists."""
    assert {found.code for found in SUB_TYPES.values()} <= CLASSES.keys()
    assert len(SUB_TYPES) == 23
    assert SUB_TYPES["sexual_minors"].mlcommons == Neighbours(("S4",))
    assert all(name == found.name for name, found in SUB_TYPES.items())
