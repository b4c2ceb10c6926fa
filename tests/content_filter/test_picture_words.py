# SPDX-License-Identifier: Apache-2.0
"""Words in pictures judged as text."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from content_filter import ContentFilter, FilterError, Outcome, Role, TermSet
from content_filter.picture_words import MOST_CHARACTERS, READERS, PictureWords

FILTER = ContentFilter(TermSet.of(("forbiddenword", "A1d")))
PICTURE = Image.new("RGB", (10, 10))


class Reader:
    """Reads what it was told, in any picture."""

    def __init__(self, words: str) -> None:
        self.words = words

    def read(self, picture: Image.Image) -> str:
        return self.words


def test_words_are_judged_as_text_is() -> None:
    """In their role; places in what was read are not those of the picture, so none are given."""
    said = PictureWords(Reader("a forbiddenword here"), FILTER.check_text).judge(PICTURE, Role.ANSWER)
    assert (said.verdict, said.class_code, said.role) == (Outcome.BLOCK, "A1d", Role.ANSWER)
    assert (said.start, said.end) == (0, 0) and said.rule.startswith("term:")
    for words in ("", " \n", "fine words"):
        assert PictureWords(Reader(words), FILTER.check_text).judge(PICTURE, Role.PROMPT).verdict is Outcome.PASS


def test_only_so_many_characters_are_judged() -> None:
    """A page of a book takes bounded time."""
    seen: list[str] = []
    PictureWords(Reader("x" * 50_000), lambda text, role: (seen.append(text), FILTER.check_text("", role))[1]).judge(
        PICTURE, Role.PROMPT
    )
    assert len(seen[0]) == MOST_CHARACTERS


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_reader_that_is_not_installed_names_the_next_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is a dependency of ours."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FilterError, match="install"):
        READERS[name]()
